"""`kill -9` at random moments of a conversion: what is published is never wrong, and the next run mends the rest.

    python tests/kill_rounds.py --rounds 20 --seed 1      each round: a run is killed, then run again to its end
    python tests/kill_rounds.py --rounds 4 --workers 2    the same with worker processes, through the command line

Every third round replaces a data set of other rows: until the new one is there, the old one must stand whole. An
undisturbed run is timed first, from the moment at which its first file appears (the interpreter and Beam have started
by then) to its end; each round draws its moment uniformly from that time. Time is processor time, so that other work
of the machine moves no moment to an earlier step. At the end it says how many runs were killed in which step.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from grammar import shard
from pipelines.bench import processes
from pipelines.bench_corpus import write_corpus
from pipelines.convert import Options, run
from pipelines.formats import expand, plan
from pipelines.verify import verify

RANGE_BYTES, SHARDS = 100_000, 3


class Wrong(AssertionError):
    """A round that left something it must not leave."""


def hashes(directory: Path) -> dict[str, str]:
    """SHA-256 of every file."""
    return {str(p.relative_to(directory)): shard.sha256(p) for p in sorted(directory.rglob("*")) if p.is_file()}


def convert(corpus: Path, output: Path) -> None:
    """A whole conversion, replacing what is there."""
    run(
        Options(
            [str(corpus)], "seq", str(output), corpus="kill", shards=SHARDS, range_bytes=RANGE_BYTES, overwrite=True
        )
    )


def start(corpus: Path, output: Path, workers: int) -> tuple[int, object]:
    """A conversion in a process of its own: a fork of this one, or with several workers a fresh command."""
    if workers > 1:
        command = [sys.executable, "-m", "pipelines", "convert", "--format", "seq", "--input", str(corpus)]
        command += ["--output", str(output), "--corpus", "kill", "--shards", str(SHARDS), "--overwrite"]
        command += ["--range-bytes", str(RANGE_BYTES), "--workers", str(workers)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return process.pid, process
    fork = multiprocessing.get_context("fork").Process(target=convert, args=(corpus, output))
    fork.start()
    assert fork.pid is not None
    return fork.pid, fork


def wait(process: object) -> None:
    """Until it ends, however it does."""
    process.wait() if isinstance(process, subprocess.Popen) else process.join()  # type: ignore[attr-defined]


def rounds(count: int, seed: int, workers: int = 1, records: int = 60_000) -> Counter[str]:
    """Kill `count` runs, and print a line for each.

    Returns:
        How many were killed in which step.

    Raises:
        Wrong: what a killed run left, or what the next one made, is not right.
    """
    rng = random.Random(seed)
    fell = Counter[str]()
    with tempfile.TemporaryDirectory(prefix="treewright-kill-") as name:
        folder = Path(name)
        for number, size in enumerate((records, records // 2)):
            (folder / str(number)).mkdir()
            write_corpus(folder / str(number), size, seed + number)
        corpus, other = folder / "0" / "corpus", folder / "1" / "corpus"
        convert(other, folder / "old")
        old = hashes(folder / "old")
        pid, process = start(corpus, folder / "whole", workers)
        began = _begins(folder / "whole", pid)
        took = _works(pid) - began
        wait(process)
        wanted = hashes(folder / "whole")
        steps = _Steps(corpus, folder / "whole")
        rows, findings = verify(folder / "whole")
        if rows == 0 or findings:
            raise Wrong(f"the undisturbed run is wrong itself: {findings[:3]}")
        output = folder / "run" / "out"
        for number in range(count):
            shutil.rmtree(output.parent, ignore_errors=True)
            output.parent.mkdir()
            replacing = number % 3 == 2
            if replacing:
                shutil.copytree(folder / "old", output)
            moment = rng.uniform(0, took)
            pid, process = start(corpus, output, workers)
            _works(pid, _begins(output, pid) + moment)
            os.kill(pid, signal.SIGKILL)
            wait(process)
            step, state = steps.left(output, wanted, old if replacing else {})
            fell[step] += 1
            began = time.monotonic()
            _, process = start(corpus, output, workers)
            wait(process)
            if not output.is_dir() or hashes(output) != wanted:
                raise Wrong(f"round {number}: the run after the kill did not end with the same bytes ({state})")
            if sorted(path.name for path in output.parent.iterdir()) != ["out"]:
                raise Wrong(f"round {number}: {sorted(path.name for path in output.parent.iterdir())} is left over")
            print(
                f"round {number + 1:>2}: killed after {moment:5.2f} of {took:.2f} CPU-s, {step}: {state}; "
                f"again: {time.monotonic() - began:.2f} s, same bytes",
                flush=True,
            )
    return fell


def _begins(output: Path, pid: int) -> float:
    """Wait until a run has written its first file; the seconds of CPU that it has taken by then."""
    patience = time.monotonic() + 600
    while not list(output.parent.glob(f".{output.name}.*.build/work/*/*")):
        if time.monotonic() > patience:
            raise Wrong("a run wrote nothing in ten minutes")
        time.sleep(0.001)
    return _cpu(pid)


def _works(pid: int, until: float = float("inf")) -> float:
    """Wait until a run has taken so many seconds of CPU, or has ended; the seconds that it has taken by then."""
    while (seen := _cpu(pid)) < until and not _ended(pid):
        time.sleep(0.002)
    return seen


def _cpu(pid: int) -> float:
    """Seconds of CPU of a process and all below it, those that have ended included."""
    return sum(sum(map(int, fields[11:15])) for _, fields in processes(pid)) / os.sysconf("SC_CLK_TCK")


def _ended(pid: int) -> bool:
    """Whether nothing is left of it but its number, which is ours until it is waited for."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


class _Steps:
    """In which step of a run things are, by what it has left.

    Args:
        whole: what an undisturbed run made.
    """

    def __init__(self, corpus: Path, whole: Path) -> None:
        manifest = shard.read_manifest(whole)
        self.ranges = sum(len(plan(source, RANGE_BYTES)) for source in expand([str(corpus)], "seq"))
        self.shards = len(manifest.shards) + bool(manifest.rows_rejected)

    def left(self, output: Path, wanted: dict[str, str], old: dict[str, str]) -> tuple[str, str]:
        """(step, what is left, in words). Only nothing, the old data set and the whole new one are right."""
        build = [path for path in output.parent.glob(".out.*.build")]
        ranges, shards = (sum(len(list(p.glob(f"work/{kind}/[!.]*.json"))) for p in build) for kind in _DONE)
        if any((path / shard.MANIFEST).exists() for path in build):
            ranges, shards = self.ranges, self.shards  # their reports go before the build is published
        step = "spill" if ranges < self.ranges else "merge" if shards < self.shards else "card and publishing"
        work = f"{ranges} of {self.ranges} ranges and {shards} of {self.shards} shards done"
        if not output.exists():
            if old and not (output.parent / ".out.old").exists():
                raise Wrong("the old data set is gone")
            return step, f"nothing published, {work}"
        found = hashes(output)
        if found == wanted:
            return "published", "published"
        if old and found == old:
            return step, f"the old data set stands, {work}"
        raise Wrong(f"what is published is neither the old nor the new data set: {sorted(found)}")


_DONE = ("reports", "entries")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--records", type=int, default=60_000)
    given = parser.parse_args()
    fell = rounds(given.rounds, given.seed, given.workers, given.records)
    print(f"{fell.total()} rounds: nothing partial was published, every rerun ended with the same bytes")
    print("killed in: " + ", ".join(f"{step} {times}" for step, times in fell.most_common()))


if __name__ == "__main__":
    main()
