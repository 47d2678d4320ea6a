"""Running an experiment: each run is trained, or taken up, and leaves one line of figures.

Models lie in a folder under the hash of their stages, so what several runs begin with is trained once, and a run that
was killed goes on from its last checkpoint. A lock for each model lets many processes work on one experiment.
"""

from __future__ import annotations

import datetime
import fcntl
import hashlib
import json
import multiprocessing
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from grammar import __version__
from grammar.shard import write_text
from parser import config as configs
from parser.config import Config, ConfigError, DataConfig
from parser.experiment import FORM, Experiment, Run, changed
from parser.memory import keep_freed_memory

FIGURES = ("n", "exact_match", "exact_match_positions", "intent_accuracy", "bracket_f1", "slices")
DONE = "done.json"
"""In a model's folder: it is finished."""
DataSets = tuple[Path, ...]
"""Read as one."""


def run_all(
    experiment: Experiment,
    shards: Path,
    results: Path,
    runs: Path,
    *,
    device: str = "cpu",
    jobs: int = 1,
    corpora: Sequence[str] = (),
    variants: Sequence[str] = (),
    seeds: Sequence[int] = (),
    report: Callable[[str], None] = print,
) -> int:
    """Run what has no line in `results` yet, in so many processes; returns how many lines were added.

    Args:
        experiment: what to run.
        shards: the folder of the data sets.
        results: the JSON lines to read and append to.
        runs: a folder for models; it may be deleted afterwards.
        device: `cpu` or `cuda`.
        jobs: processes; each uses one thread on a CPU.
        corpora, variants, seeds: these only; none: all.
        report: called with a line of text for each run.

    Raises:
        ConfigError, ShardError, FloatingPointError: of the first run that fails; lines of the others are kept.
    """
    done = {line["key"] for line in lines_of(results)}
    waiting = []
    for run in experiment.runs:
        own_seeds = {one.seed for one in run.members or (run,)}
        if (
            (corpora and run.corpus not in corpora)
            or (variants and run.variant not in variants)
            or (seeds and not own_seeds <= set(seeds))
        ):
            continue
        if key_of(run, shards) in done:
            report(f"{run.corpus} {run.variant} seed {run.seed}: has a line")
        else:
            waiting.append(run)
    # Ensembles come last: their members' models are there by then.
    waiting.sort(key=lambda run: bool(run.members))
    context = multiprocessing.get_context("spawn")
    failed: Exception | None = None
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        futures = {pool.submit(run_one, run, shards, runs, device): run for run in waiting}
        for future in as_completed(futures):
            run = futures[future]
            try:
                line = future.result()
            except Exception as error:  # the others go on, and their lines are kept
                failed = failed or error
                report(f"{run.corpus} {run.variant} seed {run.seed}: failed: {error}")
                continue
            append(results, line)
            best = line.get("test", line["dev"])["exact_match"]
            report(f"{run.corpus} {run.variant} seed {run.seed}: {best:.1%}, {line['cpu_seconds']:.0f} CPU-seconds")
    if failed is not None:
        raise failed
    return len(waiting)


def keys_of(experiment: Experiment, shards: Path) -> dict[tuple[str, str, int], str]:
    """The key of every run, by (corpus, variant, seed)."""
    return {(run.corpus, run.variant, run.seed): key_of(run, shards) for run in experiment.runs}


def key_of(run: Run, shards: Path) -> str:
    """The key of a run whose data sets are below `shards`."""
    return run.key(lambda name: fingerprint_of(shards / name))


def run_one(run: Run, shards: Path, runs: Path, device: str) -> dict[str, Any]:
    """Train and evaluate one run; returns its line."""
    import torch

    from parser.checkpoint import load_model
    from parser.confidence import calibrated

    keep_freed_memory()
    if device == "cpu":
        torch.set_num_threads(1)
    where = shards / run.shards
    line: dict[str, Any] = {"corpus": run.corpus, "variant": run.variant, "seed": run.seed}
    line["fingerprint"] = fingerprint_of(where)
    line["key"] = key_of(run, shards)
    if run.members:
        directories = [trained(places(member, shards), member.stages, runs, device) for member in run.members]
        line["members"] = [key_of(member, shards) for member in run.members]
    else:
        stages = run.stages
        if run.auxiliary:
            stages, line["auxiliary"] = choose(run, where, runs, device)
        directories = [trained(places(run, shards), stages, runs, device)]
        if run.start:
            line["start"] = list(run.start)
        line["settings"] = [changed(stage) for stage in stages]
    facts = [json.loads((d / "model.json").read_text("utf-8")) for d in directories]
    line["parameters"] = sum(fact["parameters"] for fact in facts)
    line["cpu_seconds"] = round(sum(json.loads((d / DONE).read_text("utf-8"))["cpu_seconds"] for d in directories), 1)
    line["epoch"] = [fact["dev"]["epoch"] for fact in facts]
    splits = ("dev", "test") if run.test else ("dev",)
    for split in splits:
        line[split] = _figures(directories, where, run, split, device)
    data = run.stages[-1].data if run.stages else DataConfig()
    if data.without and not data.join_dev:
        setup, model, _ = load_model(directories[0], device)
        line["abstention"] = calibrated(setup, model, where, splits=splits)[1]
    line["versions"] = {"treewright": __version__, "torch": torch.__version__, "device": device}
    line["date"] = datetime.date.today().isoformat()
    return line


def places(run: Run, shards: Path) -> tuple[DataSets, ...]:
    """What each stage of a run reads."""
    own = (shards / run.shards,)
    first = tuple(shards / name for name in run.start) or own
    return (first, own)[-len(run.stages) :]


def trained(where: Sequence[DataSets], stages: Sequence[Config], runs: Path, device: str) -> Path:
    """The directory of the model that these stages make; trained now, or taken up, unless it is there.

    Args:
        where: the data sets that each stage reads.
        stages: their settings.
        runs: the folder of models.
        device: `cpu` or `cuda`.
    """
    from parser.train import train

    before = trained(where[:-1], stages[:-1], runs, device) if len(stages) > 1 else None
    prints = [fingerprint_of(*each) for each in where]
    data = [
        FORM,
        prints if len(set(prints)) > 1 else prints[0],
        [(changed(stage), stage.train.seed) for stage in stages],
    ]
    directory = runs / hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:16]
    with _locked(directory):
        if not (directory / DONE).exists():
            resume = any((directory / name).exists() for name in ("last", ".last.old"))
            if not resume:
                shutil.rmtree(directory, ignore_errors=True)
            train(where[-1], directory, stages[-1], device=device, resume=resume, init=before)
            place = json.loads((directory / "last" / "place.json").read_text("utf-8"))
            earlier = json.loads((before / DONE).read_text("utf-8"))["cpu_seconds"] if before else 0.0
            write_text(directory / DONE, json.dumps({"cpu_seconds": place["cpu_seconds"] + earlier}) + "\n")
            shutil.rmtree(directory / "last")
    return directory


def choose(run: Run, where: Path, runs: Path, device: str) -> tuple[tuple[Config, ...], dict[str, Any]]:
    """(stages with the auxiliary domains that are best on dev, what was tried)."""
    tried = []
    for names_ in candidates(run, where):
        first, target = run.stages
        data = first.to_dict()["data"] | {"only": names_}
        stages = (configs.from_dict(first.to_dict() | {"data": data}), target)
        facts = json.loads((trained([(where,)] * 2, stages, runs, device) / "model.json").read_text("utf-8"))
        tried.append((facts["dev"]["exact_match"], names_, stages))
    best = max(tried, key=lambda one: one[0])
    return best[2], {"chosen": best[1], "dev": [[names_, round(dev, 4)] for dev, names_, _ in tried]}


def candidates(run: Run, where: Path) -> list[list[str]]:
    """The auxiliary domains to try for a target: those nearest to it by `transfer.overlap`."""
    from parser.selection import Selection
    from parser.train import make_setup
    from parser.transfer import overlap

    target = run.stages[-1]
    mine = make_setup(Selection(where, target.data), target).vocab
    others = set(Selection(where, DataConfig(by=target.data.by)).domains("train")) - set(target.data.only)
    near = []
    for name in sorted(others):
        rows = Selection(where, replace(run.stages[0].data, only=(name,)))
        near.append((-overlap(mine, make_setup(rows, target).vocab), name))
    return [[name] for _, name in sorted(near)[: run.auxiliary]]


def _figures(directories: Sequence[Path], where: Path, run: Run, split: str, device: str) -> dict[str, Any]:
    from parser.checkpoint import load_model
    from parser.ensemble import Ensemble
    from parser.evaluate import Gold, evaluate
    from parser.selection import source_of
    from parser.significance import pack

    loaded = [load_model(directory, device) for directory in directories]
    setup, model, _ = loaded[0]
    source = source_of(where, run.target or setup.config.data)
    pairs: list[tuple[Gold, Any]] = []
    rejected = source.manifest.rejected_splits.get(split, 0)
    figures = evaluate(
        model,
        setup.vocab,
        setup.ontology,
        setup.values,
        source.rows(split),
        rejected=rejected,
        without=run.without,
        pairs=pairs,
        beam=run.beam,
        search=Ensemble([(m, s.vocab) for s, m, _ in loaded]) if len(loaded) > 1 else None,
    )
    hits: dict[str, list[bool]] = {}
    for gold, parse in pairs:
        hits.setdefault(gold.domain if run.group == "domain" else "", []).append(gold.tree == parse.tree)
    if len(hits) == 1:
        next(iter(hits.values())).extend([False] * rejected)
    return {name: figures[name] for name in FIGURES} | {"hits": {name: pack(bits) for name, bits in hits.items()}}


@cache
def fingerprint_of(*where: Path) -> str:
    """A hash of the rows of a data set, or of several read as one; see `Source.content`."""
    from parser.source import Source

    if len(where) == 1:
        return Source(where[0]).content()
    return hashlib.sha256("\n".join(fingerprint_of(one) for one in where).encode()).hexdigest()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One process at a time trains a model that several runs need."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path.with_suffix(".lock"), "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def lines_of(results: Path) -> list[dict[str, Any]]:
    """The lines of a results file; none where there is no file.

    Raises:
        ConfigError: a line that is not JSON.
    """
    lines = []
    if results.exists():
        for number, text in enumerate(results.read_text("utf-8").splitlines(), 1):
            try:
                lines.append(json.loads(text))
            except ValueError as error:
                raise ConfigError(f"{results}:{number}: not JSON ({error}); delete the line") from error
    return lines


def append(results: Path, line: Mapping[str, Any]) -> None:
    """Add a line, whole, whoever else writes."""
    results.parent.mkdir(parents=True, exist_ok=True)
    with open(results, "a", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n")
        file.flush()
        os.fsync(file.fileno())
