"""`kill -9` at random moments of a conversion: what is published is never wrong, and the next run mends the rest.

    python tests/kill_rounds.py --rounds 20 --seed 1      each round: a run is killed, then run again to its end
    python tests/kill_rounds.py --rounds 4 --workers 2    the same with worker processes, through the command line

Every third round replaces a data set of other rows: until the new one is there, the old one must stand whole. The
moment is drawn anew for each round over the time that an undisturbed run took.
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
from pathlib import Path

from grammar import shard
from pipelines.bench import write_corpus
from pipelines.convert import Options, run
from pipelines.verify import verify

RANGE_BYTES, SHARDS = 40_000, 3


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


def rounds(count: int, seed: int, workers: int = 1, records: int = 6_000) -> list[str]:
    """Kill `count` runs; a line for each.

    Raises:
        Wrong: what a killed run left, or what the next one made, is not right.
    """
    rng = random.Random(seed)
    lines: list[str] = []
    with tempfile.TemporaryDirectory(prefix="treewright-kill-") as name:
        folder = Path(name)
        for number, size in enumerate((records, records // 2)):
            (folder / str(number)).mkdir()
            write_corpus(folder / str(number), size, seed + number)
        corpus, other = folder / "0" / "corpus", folder / "1" / "corpus"
        convert(other, folder / "old")
        old = hashes(folder / "old")
        began = time.monotonic()
        _, process = start(corpus, folder / "whole", workers)
        wait(process)
        took = time.monotonic() - began
        wanted = hashes(folder / "whole")
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
            moment = rng.uniform(0.02, 1.05) * took
            pid, process = start(corpus, output, workers)
            time.sleep(moment)
            os.kill(pid, signal.SIGKILL)
            wait(process)
            stage = _left(output, wanted, old if replacing else {})
            began = time.monotonic()
            _, process = start(corpus, output, workers)
            wait(process)
            if not output.is_dir() or hashes(output) != wanted:
                raise Wrong(f"round {number}: the run after the kill did not end with the same bytes ({stage})")
            if sorted(path.name for path in output.parent.iterdir()) != ["out"]:
                raise Wrong(f"round {number}: {sorted(path.name for path in output.parent.iterdir())} is left over")
            lines.append(
                f"round {number + 1:>2}: killed after {moment:5.2f} of {took:.2f} s, {stage}; "
                f"again: {time.monotonic() - began:.2f} s, same bytes"
            )
            print(lines[-1], flush=True)
    return lines


def _left(output: Path, wanted: dict[str, str], old: dict[str, str]) -> str:
    """What the killed run left, in words; only nothing, the old data set and the whole new one are right."""
    build = [path for path in output.parent.glob(".out.*.build")]
    done = {kind: len(list(path.glob(f"work/{kind}/[!.]*.json"))) for path in build for kind in ("reports", "entries")}
    work = f"{done.get('reports', 0)} ranges and {done.get('entries', 0)} shards done"
    if not output.exists():
        if old and not (output.parent / ".out.old").exists():
            raise Wrong("the old data set is gone")
        return f"nothing published, {work}"
    found = hashes(output)
    if found == wanted:
        return "published"
    if old and found == old:
        return f"the old data set stands, {work}"
    raise Wrong(f"what is published is neither the old nor the new data set: {sorted(found)}")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--records", type=int, default=6_000)
    given = parser.parse_args()
    done = rounds(given.rounds, given.seed, given.workers, given.records)
    print(f"{len(done)} rounds: nothing partial was published, every rerun ended with the same bytes")


if __name__ == "__main__":
    main()
