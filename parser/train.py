"""Training, top to bottom: data, model, loop. No callbacks; resume gives the same losses.

One JSON line a step goes to `log.jsonl` (loss in nats per action), one a dev evaluation.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from grammar import __version__
from grammar import ontology as ontologies
from grammar.shard import ONTOLOGY, ShardError, read_manifest
from parser.batch import Examples, Order, read_rows
from parser.checkpoint import CheckpointError, Setup, load_last, save_best, save_last
from parser.config import Config
from parser.evaluate import evaluate, gold_of
from parser.metrics import slot_values
from parser.vocab import build_vocab

Report = Callable[[dict[str, Any]], None]


def train(
    shards: str | Path,
    output: str | Path,
    config: Config,
    *,
    device: str = "cpu",
    resume: bool = False,
    stop_after: int | None = None,
    report: Report = lambda event: None,
) -> dict[str, Any]:
    """Train on the train split, choose by exact match on dev, write a model directory.

    Args:
        shards: a data set with the splits `train` and `dev`.
        output: the model directory; must not hold a run unless `resume`.
        config: the settings; with `resume`, those the run was started with count.
        device: `cpu` or `cuda`.
        resume: continue from `output/last`.
        stop_after: stop after this many steps of this call, with a checkpoint.
        report: called with every line of the log.

    Returns:
        The dev figures of the best weights.

    Raises:
        ShardError, CheckpointError, OntologyError: input that cannot be used.
        FloatingPointError: the loss is not finite; the last checkpoint is from before.
    """
    output = Path(output)
    manifest = read_manifest(shards)
    if not resume and any((output / name).exists() for name in ("model.json", "last", ".last.old")):
        raise CheckpointError(f"{output} already holds a run; give --resume to continue it, or another --output")
    for split in ("train", "dev"):
        if not manifest.splits.get(split):
            raise ShardError(f"{shards} has no rows in the split `{split}`; convert again with --dev-share 0.1")

    # Data and model. Everything random comes from the seed, in this order.
    setup = (
        Setup.load(output)
        if resume
        else make_setup(list(read_rows(shards, "train")), shards, config, manifest.tokeniser)
    )
    settings = setup.config.train
    torch.manual_seed(settings.seed)
    model = setup.build(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.lr, weight_decay=settings.weight_decay, fused=True)
    examples = Examples(read_rows(shards, "train"), setup.vocab, setup.ontology, setup.config.model.copy)
    dev = list(read_rows(shards, "dev"))
    order = Order(examples.actions(), settings.batch_size, settings.window, settings.seed)
    steps = len(order) * settings.epochs
    place: dict[str, Any] = {"epoch": 0, "batch": 0, "step": 0, "best": None, "cpu_seconds": 0.0}
    facts = {
        "fingerprint": manifest.fingerprint,
        "corpus": manifest.corpus,
        "parameters": sum(p.numel() for p in model.parameters()),
        "versions": {"treewright": __version__, "torch": torch.__version__},
    }
    if resume:
        place = load_last(output, model, optimizer)
        if place["fingerprint"] != manifest.fingerprint:
            raise CheckpointError(f"{output} was trained on other shards than {shards}; give the same ones")
        _truncate_log(output / "log.jsonl", place["step"])
    else:
        setup.save(output)
        (output / "log.jsonl").unlink(missing_ok=True)  # of a run killed before its first checkpoint
    place["fingerprint"] = manifest.fingerprint
    log = _Log(output / "log.jsonl", report)
    log({"event": "start", "steps": steps, "step": place["step"], "examples": len(examples), **facts})

    autocast = torch.autocast("cuda", torch.bfloat16, enabled=device.startswith("cuda") and settings.bf16)
    spent, began = place["cpu_seconds"], time.process_time()
    stop_at = place["step"] + stop_after if stop_after is not None else None
    for epoch in range(place["epoch"], settings.epochs):
        batches = order.epoch(epoch)
        for number in range(place["batch"], len(batches)):
            model.train()
            rate = _rate(place["step"], steps, settings.warmup, settings.lr_floor)
            for group in optimizer.param_groups:
                group["lr"] = settings.lr * rate
            batch = examples.batch(batches[number]).to(device)
            with autocast:
                loss = model(batch, settings.unk)
            actions = int(batch.real_BT.sum())
            optimizer.zero_grad(set_to_none=True)
            (loss / len(batch.word_BW)).backward()
            norm = torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip)
            value = loss.item() / actions
            if not (math.isfinite(value) and math.isfinite(norm.item())):
                raise FloatingPointError(
                    f"the loss is {value} at step {place['step']}; train anew with a lower train.lr"
                )
            optimizer.step()
            place |= {"step": place["step"] + 1, "batch": number + 1}
            log(
                {
                    "event": "step",
                    "step": place["step"],
                    "epoch": epoch,
                    "loss": value,
                    "utterances": len(batch.word_BW),
                }
            )
            place["cpu_seconds"] = spent + time.process_time() - began
            stopping = stop_at is not None and place["step"] >= stop_at
            if stopping or place["step"] % settings.checkpoint_every == 0:
                save_last(output, model, optimizer, place)
            if stopping:
                return place["best"] or {}
        place |= {"epoch": epoch + 1, "batch": 0}
        if place["epoch"] % settings.evaluate_every == 0 or place["epoch"] == settings.epochs:
            figures = evaluate(model, setup.vocab, setup.ontology, setup.values, dev)
            place["cpu_seconds"] = spent + time.process_time() - began
            log({"event": "dev", "step": place["step"], "epoch": epoch, "cpu_seconds": place["cpu_seconds"], **figures})
            if place["best"] is None or figures["exact_match"] > place["best"]["exact_match"]:
                place["best"] = figures | {"epoch": place["epoch"]}
                save_best(output, model, facts | {"dev": place["best"], "cpu_seconds": place["cpu_seconds"]})
        save_last(output, model, optimizer, place)
    return place["best"]


def make_setup(rows: list[dict[str, Any]], shards: str | Path, config: Config, tokeniser: str) -> Setup:
    """Vocabularies and slot values from training rows, the ontology from beside the shards."""
    ontology = ontologies.load(Path(shards) / ONTOLOGY)
    vocab = build_vocab(rows, ontology, config.model, tokeniser or "words-1")
    values = {value for row in rows for value in slot_values(gold_of(row).tree)}
    return Setup(config, vocab, ontology, values)


def _rate(step: int, steps: int, warmup: int, floor: float) -> float:
    """Share of the peak learning rate: linear warm-up, then a cosine down to `floor`."""
    cosine = floor + (1 - floor) * (1 + math.cos(math.pi * step / max(1, steps))) / 2
    return cosine * min(1.0, (step + 1) / max(1, warmup))


class _Log:
    def __init__(self, path: Path, report: Report) -> None:
        self.path, self.report = path, report

    def __call__(self, event: dict[str, Any]) -> None:
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
