"""Running an experiment: each run is trained, or taken up, and leaves one line of figures.

Models lie in a folder under the hash of their stages, so what several runs begin with is trained once, and a run that
was killed goes on from its last checkpoint. A lock for each model lets many processes work on one experiment.
Ctrl-C and SIGTERM end the whole experiment: each worker leaves a checkpoint first, and none outlives its parent.
"""

from __future__ import annotations

import datetime
import fcntl
import hashlib
import json
import multiprocessing
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from grammar import __version__
from grammar.shard import write_text
from parser import config as configs
from parser.config import Config, ConfigError, DataConfig
from parser.experiment import FORM, Experiment, Run, changed
from parser.memory import keep_freed_memory
from parser.tables import place_of

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
    wanted: Sequence[Run] | None = None,
    report: Callable[[str], None] = print,
) -> int:
    """Run what has no line in `results` yet, in so many processes; returns how many lines were added.

    Args:
        experiment: what to run.
        shards: the folder of the data sets.
        results: the JSON lines to read and append to.
        runs: a folder for models; it may be deleted afterwards.
        device: `cpu` or `cuda`.
        jobs: processes; each uses one thread on a CPU, and tells on stderr how its run goes.
        wanted: these runs only (see `Experiment.select`); none: all.
        report: called with a line of text for each run that ends.

    Raises:
        ConfigError, ShardError, FloatingPointError: of the first run that fails; lines of the others are kept.
        Stopped: Ctrl-C or SIGTERM came; the same call goes on.
        ChildProcessError: a process was killed; the same call goes on.
    """
    from parser.train import Stopped

    lines = lines_of(results)
    have = {line["key"]: line for line in lines}
    done = {(line["key"], *place_of(line)) for line in lines}
    waiting, added = [], 0
    for run in experiment.runs if wanted is None else wanted:
        key = key_of(run, shards)
        if (key, run.corpus, run.variant, run.seed) in done:
            report(f"{run.name}: has a line")
        elif key in have:
            # What the plan has under another name, or had before it was renamed, is not trained again.
            append(results, {**have[key], "corpus": run.corpus, "variant": run.variant, "seed": run.seed})
            report(f"{run.name}: has the line of {' '.join(map(str, place_of(have[key])))}, which is the same")
            added += 1
        else:
            waiting.append(run)
    # Ensembles come last: their members' models are there by then.
    waiting.sort(key=lambda run: bool(run.members))
    context = multiprocessing.get_context("spawn")
    failed: Exception | None = None
    asked = threading.Event()
    theirs, ours = context.Pipe(duplex=False)
    with theirs, ours, ProcessPoolExecutor(jobs, mp_context=context, initializer=_follow, initargs=(theirs,)) as pool:
        try:
            with _ends(asked, ours):
                futures = {pool.submit(_work, run, shards, runs, device): run for run in waiting}
                for future in as_completed(futures):
                    failed = _ended(future, futures[future], results, report) or failed
        except BaseException:
            ours.close()  # the workers end, and are waited for
            if not asked.is_set():
                raise
            report("stopping: runs that are training leave a checkpoint first")
            raise Stopped("stopped; give the same command again to go on from the checkpoints") from None
    if failed is not None:
        raise failed
    return added + len(waiting)


def _ended(future: Future[dict[str, Any]], run: Run, results: Path, report: Callable[[str], None]) -> Exception | None:
    """Keep the line of a run; if it failed, the error, so that the others go on."""
    try:
        line = future.result()
    except BrokenProcessPool as error:
        raise ChildProcessError(
            "a process was killed (was there memory enough?); give the same command again to go on, "
            "with fewer --jobs if memory is short"
        ) from error
    except Exception as error:
        report(f"{run.name}: failed: {error}")
        return error
    append(results, line)
    best = line.get("test", line["dev"])["exact_match"]
    report(f"{run.name}: {best:.1%}, {line['cpu_seconds']:.0f} CPU-seconds")
    return None


@contextmanager
def _ends(asked: threading.Event, ours: Connection) -> Iterator[None]:
    """SIGTERM and Ctrl-C end the workers, then us: an interrupt raised in a callback of Python's own may get lost."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: object) -> None:
        asked.set()
        ours.close()
        raise KeyboardInterrupt

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _follow(parent: Connection) -> None:
    """Begin a worker: the parent alone hears Ctrl-C, and the worker ends when the parent does or says so."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def end() -> None:
        parent.poll(None)  # until the parent closes its end, or is no more
        # Training answers SIGTERM with a checkpoint; one that comes after its last step is not answered.
        while True:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.2)

    threading.Thread(target=end, daemon=True).start()


def _work(run: Run, shards: Path, runs: Path, device: str) -> dict[str, Any]:
    """`run_one` in a worker, which takes up nothing more when it is asked to stop."""
    from parser.train import Stopped

    try:
        return run_one(run, shards, runs, device)
    except Stopped:
        os._exit(128 + signal.SIGTERM)


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
    _tell(f"{run.name}: starts")
    where = shards / run.shards
    line: dict[str, Any] = {"corpus": run.corpus, "variant": run.variant, "seed": run.seed}
    line["fingerprint"] = fingerprint_of(where)
    line["key"] = key_of(run, shards)
    if run.members:
        directories = [
            trained(places(member, shards), member.stages, runs, device, member.name) for member in run.members
        ]
        line["members"] = [key_of(member, shards) for member in run.members]
    else:
        stages = run.stages
        if run.auxiliary:
            stages, line["auxiliary"] = choose(run, where, runs, device)
        directories = [trained(places(run, shards), stages, runs, device, run.name)]
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
        line["abstention"] = calibrated([(setup, model)], where, splits=splits)[1]
    line["versions"] = {"treewright": __version__, "torch": torch.__version__, "device": device}
    line["date"] = datetime.date.today().isoformat()
    return line


def places(run: Run, shards: Path) -> tuple[DataSets, ...]:
    """What each stage of a run reads."""
    own = (shards / run.shards,)
    first = tuple(shards / name for name in run.start) or own
    return (first, own)[-len(run.stages) :]


def trained(where: Sequence[DataSets], stages: Sequence[Config], runs: Path, device: str, name: str) -> Path:
    """The directory of the model that these stages make; trained now, or taken up, unless it is there.

    Args:
        where: the data sets that each stage reads.
        stages: their settings.
        runs: the folder of models.
        device: `cpu` or `cuda`.
        name: of the run, for what is told of it.
    """
    from parser.train import train

    def report(event: dict[str, Any]) -> None:
        if event["event"] == "dev":
            epochs = stages[-1].train.epochs
            _tell(f"{name}: epoch {event['epoch'] + 1} of {epochs}: dev exact match {event['exact_match']:.1%}")

    before = trained(where[:-1], stages[:-1], runs, device, name) if len(stages) > 1 else None
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
            train(where[-1], directory, stages[-1], device=device, resume=resume, report=report, init=before)
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
        directory = trained([(where,)] * 2, stages, runs, device, f"{run.name} after {', '.join(names_)}")
        facts = json.loads((directory / "model.json").read_text("utf-8"))
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
    if not others:
        raise ConfigError(f"{where} has no domain beside the target's; leave `auxiliary` out")
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


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def lines_of(results: Path) -> list[dict[str, Any]]:
    """The lines of a results file; none where there is no file.

    Raises:
        ConfigError: a line that is not JSON, or that no run has written.
    """
    lines = []
    if results.exists():
        for number, text in enumerate(results.read_text("utf-8").splitlines(), 1):
            try:
                lines.append(json.loads(text))
            except (ValueError, RecursionError) as error:
                raise ConfigError(f"{results}:{number}: not JSON ({error}); delete the line") from error
            if not isinstance(lines[-1], dict) or not {"key", "corpus", "variant", "seed", "dev"} <= lines[-1].keys():
                raise ConfigError(f"{results}:{number}: not the figures of a run; delete the line")
    return lines


def append(results: Path, line: Mapping[str, Any]) -> None:
    """Add a line, whole, whoever else writes."""
    results.parent.mkdir(parents=True, exist_ok=True)
    with open(results, "a", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n")
        file.flush()
        os.fsync(file.fileno())
