"""Training, top to bottom: data, model, loop. No callbacks; resume gives the same losses, on a GPU up to rounding.

One JSON line a step goes to `log.jsonl` (loss in nats per action), one a dev evaluation. Under `torchrun`
every process runs this; the first one writes.
"""

from __future__ import annotations

import json
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import torch

from grammar import __version__
from grammar.shard import ShardError
from parser.checkpoint import ENSEMBLE, CheckpointError, Setup, load_last, load_model, save_best, save_last
from parser.config import Config, ConfigError, changed_later
from parser.distributed import Group
from parser.evaluate import evaluate
from parser.loader import Loader
from parser.selection import source_of
from parser.source import Source
from parser.stepping import Stepper
from parser.together import Place
from parser.transfer import take_over
from parser.vectors import put_vectors, read_vectors
from parser.vocab import Counts, Vocab, build_vocab

STOPPED = "stopped"
"""A file beside a checkpoint that SIGTERM asked for: the run wants to go on. `torchrun` tells it by no exit code."""
Report = Callable[[dict[str, Any]], None]


class Stopped(Exception):
    """The run was asked to stop, and has left a checkpoint."""


def train(
    shards: Place,
    output: str | Path,
    config: Config,
    *,
    device: str = "cpu",
    resume: bool = False,
    stop_after: int | None = None,
    report: Report = lambda event: None,
    init: str | Path | None = None,
    changes: Sequence[str] = (),
) -> dict[str, Any]:
    """Train on the train split, choose by exact match on dev, write a model directory.

    Args:
        shards: a data set with the splits `train` and `dev`, a directory or a URI; or several, read as one.
        output: the model directory; must not hold a run unless `resume`.
        config: the settings; with `resume`, those the run was started with count, but for `changes`.
        device: `cpu` or `cuda`.
        resume: continue from `output/last`.
        stop_after: stop after this many steps of this call, with a checkpoint.
        report: called with every line of the log.
        init: a model directory to start from: what both models have a name for is taken over.
        changes: with `resume`, `section.key=value` of `config.LATER`.

    Returns:
        The dev figures of the best weights.

    Raises:
        ShardError, CheckpointError, OntologyError, ConfigError: input or settings that cannot be used.
        FloatingPointError: the loss is not finite; the last checkpoint is from before.
        Stopped: SIGTERM came; `output/last` holds the run.
    """
    output = Path(output)
    if resume:
        config = changed_later(Setup.load(output).config, changes)
    source = source_of(shards, config.data)
    manifest = source.manifest
    if not resume and any((output / name).exists() for name in ("model.json", "last", ".last.old", ENSEMBLE)):
        raise CheckpointError(f"{output} already holds a run; give --resume to continue it, or another --output")
    for split in ("train", "dev"):
        if not manifest.splits.get(split):
            raise ShardError(f"{source.where} has no rows in the split `{split}`; convert again with --dev-share 0.1")
    group = Group(device)
    try:
        with _sigterm() as asked:
            return _run(source, output, config, group, resume, stop_after, report, asked, init)
    finally:
        group.leave()


def _run(
    source: Source,
    output: Path,
    config: Config,
    group: Group,
    resume: bool,
    stop_after: int | None,
    report: Report,
    asked: threading.Event,
    init: str | Path | None,
) -> dict[str, Any]:
    # Data and model. Everything random comes from the seed and the step's number.
    device, fingerprint = group.device, source.manifest.fingerprint
    setup = None
    older = load_model(init) if init is not None and not resume else None
    if group.first:
        known = older[0].vocab if older else None
        setup = replace(Setup.load(output), config=config) if resume else make_setup(source, config, known)
        _know_domains(setup, source)
    setup = group.share(setup)
    settings = setup.config.train
    if device == "cpu":
        # Adam's moments of words that are not seen for long become denormal numbers, a hundred times as slow.
        torch.set_flush_denormal(True)
    torch.manual_seed(settings.seed)
    model = setup.build(device)
    if settings.vectors and not resume:
        put_vectors(model, setup.vocab, read_vectors(setup.config))
    if model.encoder.pretrained is not None and not resume:
        model.encoder.pretrained.load(Path(setup.config.model.pretrained))
    if older:
        take_over(model, setup.vocab, older[1], older[0].vocab)
    stepper = Stepper(model, setup.config, device)
    loader = Loader(source, setup, group.rank, group.world, device)
    steps = sum(loader.steps(epoch) for epoch in range(settings.epochs))
    place: dict[str, Any] = {"epoch": 0, "batch": 0, "step": 0, "best": None, "cpu_seconds": 0.0}
    facts = {
        "fingerprint": fingerprint,
        "corpus": source.manifest.corpus,
        "parameters": sum(p.numel() for p in model.parameters()),
        "versions": {"treewright": __version__, "torch": torch.__version__},
    }
    if resume:
        place = load_last(output, model, stepper.optimizer)
        if place["fingerprint"] != fingerprint:
            raise CheckpointError(
                f"{output} was trained on other shards than {source.where}; give the same ones, in the same order"
            )
        if group.first:
            setup.save(output)
            (output / STOPPED).unlink(missing_ok=True)
            _truncate_log(output / "log.jsonl", place["step"])
    elif group.first:
        setup.save(output)
        (output / "log.jsonl").unlink(missing_ok=True)  # of a run killed before its first checkpoint
    place["fingerprint"] = fingerprint
    log = _Log(output / "log.jsonl", report, group.first)
    log({"event": "start", "steps": steps, "step": place["step"], "examples": loader.rows, **facts})

    spent, began, saved = place["cpu_seconds"], time.process_time(), time.monotonic()
    stop_at = place["step"] + stop_after if stop_after is not None else None

    def save() -> None:
        nonlocal saved
        place["cpu_seconds"], saved = spent + time.process_time() - began, time.monotonic()
        if group.first:
            save_last(output, model, stepper.optimizer, place)

    for epoch in range(place["epoch"], settings.epochs):
        model.train()
        padding: list[dict[str, float]] = []
        pending: _Pending | None = None
        for step in loader.epoch(epoch, place["batch"]):
            torch.manual_seed((settings.seed * 1_000_003 + place["step"]) * group.world + group.rank)
            total = stepper.gradients(step)
            actions, wish = sum(batch.actions for batch in step.parts), int(asked.is_set())
            if group.world > 1:
                numbers = torch.tensor([actions, wish], dtype=torch.float32, device=device)
                sums = group.add_up(stepper.parameters, torch.cat([total[None], numbers]))
                total, (actions, wish) = sums[0], (int(number) for number in sums[1:].tolist())
            norm = stepper.update(_rate(place["step"], steps, settings.warmup, settings.lr_floor))
            place |= {"step": place["step"] + 1, "batch": place["batch"] + 1}
            padding.append(step.padding())
            # On a GPU the figures of a step are read while the next one runs, so that it never waits for us.
            line = {"event": "step", "step": place["step"], "epoch": epoch, "utterances": step.utterances}
            before, pending = pending, _Pending(line, total, norm, actions)
            if before is not None:
                log(before.read())
            reached = stop_at is not None and place["step"] >= stop_at
            due = time.monotonic() - saved > 60 * settings.checkpoint_minutes
            if wish or reached or due or place["step"] % settings.checkpoint_every == 0:
                log(pending.read())
                pending = None
                save()
            if wish:
                if group.first:
                    (output / STOPPED).touch()
                raise Stopped(f"stopped at step {place['step']} of {steps}; go on with --resume")
            if reached:
                return place["best"] or {}
        if pending is not None:
            log(pending.read())
        place |= {"epoch": epoch + 1, "batch": 0}
        if place["epoch"] % settings.evaluate_every == 0 or place["epoch"] == settings.epochs:
            if group.first:
                figures = evaluate(model, setup.vocab, setup.ontology, setup.values, source.rows("dev"))
                place["cpu_seconds"] = spent + time.process_time() - began
                line = {"event": "dev", "step": place["step"], "epoch": epoch, "cpu_seconds": place["cpu_seconds"]}
                log(line | _means(padding) | figures)
                best = place["best"]
                # Rows that were trained on cannot choose.
                if best is None or setup.config.data.join_dev or _merit(figures) > _merit(best):
                    place["best"] = figures | {"epoch": place["epoch"]}
                    save_best(output, model, facts | {"dev": place["best"], "cpu_seconds": place["cpu_seconds"]})
            place["best"] = group.share(place["best"])
        save()
    return place["best"]


def _merit(figures: dict[str, Any]) -> tuple[float, float]:
    """What the best epoch has most of; trees that are nearly right tell apart epochs with equally many right ones."""
    return figures["exact_match"], figures["bracket_f1"]


def make_setup(source: Source, config: Config, before: Vocab | None = None) -> Setup:
    """Vocabularies and slot values from one pass over the training rows, the ontology from beside the shards.

    Input words and characters of a model `before` stay known, and no other ones where the encoder is frozen.

    Raises:
        ConfigError: the encoder is frozen with fresh weights, or domains are asked for where rows have none.
    """
    if not config.train.encoder_rate and before is None:
        raise ConfigError("train.encoder_rate=0 freezes an encoder that knows nothing; give --init, or leave it out")
    ontology, counts = source.ontology(), Counts()
    for table in source.tables("train"):
        counts.add(table)
    static = config.model.static_dim
    if static and not config.train.vectors and (before is None or not before.learned):
        raise ConfigError(f"model.static_dim={static} reads static vectors; give train.vectors=FILE, or leave it out")
    if static and not config.train.encoder_rate and (before is None or not before.learned):
        raise ConfigError("train.encoder_rate=0 freezes an encoder that reads no static vectors; leave one of them out")
    extra = read_vectors(config).words if config.train.vectors else []
    tokeniser = source.manifest.tokeniser or "words-1"
    several = len(counts.labels_of) > 1 or (before is not None and before.domains)
    if config.model.domains != "none" and (not several or "" in counts.labels_of):
        held = ", ".join(f"`{name}`" for name in sorted(counts.labels_of))
        raise ConfigError(
            f"model.domains={config.model.domains} needs rows of two domains or more, and each with a name; "
            f"train has {held}: give data.by=corpus or data.by=intent, or leave model.domains out"
        )
    frozen = not config.train.encoder_rate
    vocab = build_vocab(counts, ontology, config.model, tokeniser, before, extra, config.train.rare, frozen)
    return Setup(config, vocab, ontology, counts.values)


def _know_domains(setup: Setup, source: Source) -> None:
    """A model that is given the domain cannot be tried on one that train lacks."""
    if not setup.vocab.domains:
        return
    held = {name for table in source.tables("dev", ["domain"]) for name in pc.unique(table["domain"]).to_pylist()}
    if lacking := sorted(held - set(setup.vocab.domains)):
        raise ConfigError(f"dev has the domains {', '.join(lacking)}, which train lacks; give model.domains=none")


class _Pending:
    """The figures of a step that a GPU may still be working on: they follow it to the host's memory."""

    def __init__(self, line: dict[str, Any], loss: torch.Tensor, norm: torch.Tensor, actions: int) -> None:
        self.line, self.actions = line, actions
        self.figures = torch.stack([loss, norm]).to("cpu", non_blocking=True)
        self.there = torch.cuda.current_stream(loss.device).record_event() if loss.is_cuda else None

    def read(self) -> dict[str, Any]:
        """The line of the log.

        Raises:
            FloatingPointError: the loss or its gradient is not finite.
        """
        if self.there is not None:
            self.there.synchronize()
        loss, norm = self.figures.tolist()
        if not (math.isfinite(loss) and math.isfinite(norm)):
            step = self.line["step"] - 1
            raise FloatingPointError(
                f"the loss is {loss / self.actions} and the norm of its gradient {norm} at step {step}; "
                "go on from the last checkpoint at a lower rate (--resume --set train.lr=...), or train anew with one"
            )
        return self.line | {"loss": loss / self.actions}


@contextmanager
def _sigterm() -> Iterator[threading.Event]:
    """An event that SIGTERM sets, so that the run can leave a checkpoint."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = signal.signal(signal.SIGTERM, lambda number, frame: asked.set())
    try:
        yield asked
    finally:
        signal.signal(signal.SIGTERM, before)


def _means(lines: list[dict[str, float]]) -> dict[str, float]:
    return {name: sum(line[name] for line in lines) / len(lines) for name in (lines[0] if lines else {})}


def _rate(step: int, steps: int, warmup: int, floor: float) -> float:
    """Share of the peak learning rate: linear warm-up, then a cosine down to `floor`."""
    cosine = floor + (1 - floor) * (1 + math.cos(math.pi * step / max(1, steps))) / 2
    return cosine * min(1.0, (step + 1) / max(1, warmup))


class _Log:
    def __init__(self, path: Path, report: Report, on: bool) -> None:
        self.path, self.report, self.on = path, report, on

    def __call__(self, event: dict[str, Any]) -> None:
        if not self.on:
            return
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(event, ensure_ascii=False) + "\n")
        self.report(event)


def _truncate_log(path: Path, step: int) -> None:
    """Drop what was logged after the checkpoint: those steps are taken again."""
    kept = []
    for line in path.read_text("utf-8").splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            break  # a line cut short by a kill
        if event["step"] <= step:
            kept.append(line)
    path.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
