"""From a finished build to a data set: ontology, manifest, and one rename that makes all of it visible."""

from __future__ import annotations

import glob
import os
import platform
import shutil
from collections import Counter
from importlib import metadata
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

import grammar
from grammar import shard
from grammar.infer import Counts
from grammar.ontology import loads
from pipelines.record import REASONS
from pipelines.spill import Job, merge, reports


class TooManyRejected(ValueError):
    """More rows were refused than the run allows; nothing was published."""


def finish(job: Job, corpus: str, tokeniser: str, options: dict[str, Any], max_rejected: float) -> shard.Manifest:
    """Write the ontology and, last, the manifest into the build directory; remove its temporary files.

    Args:
        tokeniser: of the format; its rows may name another one.

    Raises:
        ValueError: no row was converted, or their words were cut in several ways.
        TooManyRejected: the message lists the commonest reasons.
        ShardError: rows in, out and rejected do not add up.
    """
    rows_in, rejected, counts, tokenisers = 0, Counter[str](), Counts(), set[str]()
    for report in reports(job):
        rows_in += report["rows_in"]
        rejected.update(report["rejected"])
        tokenisers.update(name or tokeniser for name in report["tokenisers"])
        counts.merge(Counts.from_json(report["counts"]))
    _fill_gaps(job)
    entries = [entry for entry in reports(job, "entries") if entry["split"]]
    manifest = shard.Manifest(corpus=corpus, rows_in=rows_in, options=options)
    for entry in entries:
        split = entry.pop("split")
        del entry["size"]
        manifest.shards.append(entry)
        manifest.splits[split] = manifest.splits.get(split, 0) + entry["rows"]
        manifest.rows_out += entry["rows"]
    refused = Path(job.build) / shard.REJECTED / shard.shard_name(shard.REJECTED, 0, 1)
    if refused.exists():
        splits = Counter(pq.read_table(refused, columns=["split"])["split"].to_pylist())
        manifest.rejected_splits = dict(sorted(splits.items()))
        manifest.rows_rejected = splits.total()
    manifest.rejected = dict(sorted(rejected.items()))
    manifest.check()
    if manifest.rows_rejected > max_rejected * rows_in:
        raise TooManyRejected(explain(manifest, max_rejected))
    if not manifest.rows_out:
        raise ValueError("no row was converted: the input is empty")
    if len(tokenisers) > 1:
        raise ValueError(
            f"the words are cut by {' and '.join(f'`{name}`' for name in sorted(tokenisers))}, but a data set has one "
            "tokeniser; convert the locales separately"
        )

    [manifest.tokeniser] = tokenisers
    ontology = loads(job.ontology) if job.ontology else counts.ontology()
    manifest.versions = versions("apache-beam", "pyarrow")
    manifest.grammar_sha256 = shard.grammar_sha256()
    manifest.ontology_sha256 = ontology.sha256()
    manifest.fingerprint = shard.fingerprint(manifest.shards)
    shutil.rmtree(job.work())
    shard.write_text(Path(job.build) / shard.ONTOLOGY, ontology.dumps())
    shard.write_text(Path(job.build) / shard.MANIFEST, manifest.dumps())
    return manifest


def make_room(output: Path, overwrite: bool) -> None:
    """See that a data set may appear here.

    Raises:
        FileExistsError: something is there that is not to be overwritten, or is no data set.
    """
    if output.exists() and not output.is_dir():
        raise FileExistsError(f"{output} is a file; `--output` takes a directory")
    if output.exists() and any(output.iterdir()):
        if not overwrite:
            raise FileExistsError(f"{output} exists; give `--overwrite` to replace it, or another `--output`")
        if not (output / shard.MANIFEST).exists():
            raise FileExistsError(f"{output} is not a data set, so it is not overwritten; give another `--output`")


def clear_up(output: Path) -> None:
    """Undo what killed runs left beside the output: builds go, and a data set that had given way comes back."""
    olds = _left_behind(output, "old")
    if len(olds) == 1 and not output.exists():
        os.replace(olds[0], output)
    for build in _left_behind(output, "build"):
        shutil.rmtree(build, ignore_errors=True)


def reveal(build: Path, output: Path) -> None:
    """Put the build where the data set belongs; one that stands there gives way whole."""
    old = output.with_name(f".{output.name}.{os.getpid()}.old")
    if output.exists():
        shutil.rmtree(old, ignore_errors=True)
        os.replace(output, old)
    os.replace(build, output)
    shutil.rmtree(old, ignore_errors=True)


def explain(manifest: shard.Manifest, allowed: float) -> str:
    """Why a run was stopped: the commonest reasons first."""
    share = manifest.rows_rejected / max(1, manifest.rows_in)
    lines = [
        f"{manifest.rows_rejected:,} of {manifest.rows_in:,} rows ({share:.2%}) were rejected, more than "
        f"`--max-rejected {allowed:g}` allows; nothing was published"
    ]
    for code, rows in Counter(manifest.rejected).most_common(5):
        lines.append(f"  {rows:>8,}  {code}  {REASONS.get(code, '')}")
    return "\n".join(lines)


def versions(*packages: str) -> dict[str, str]:
    """What made the data set: our version, Python's, and those of `packages`."""
    found = {name: metadata.version(name) for name in packages}
    return {"treewright": grammar.__version__, "python": platform.python_version()} | found


def _left_behind(output: Path, kind: str) -> list[Path]:
    """Directories `.NAME.PID.kind` whose process has ended; one with our own number is of an earlier process."""
    found = []
    for path in output.parent.glob(f".{glob.escape(output.name)}.*.{kind}"):
        pid = path.name.removeprefix(f".{output.name}.").removesuffix(f".{kind}")
        if pid.isdecimal() and (int(pid) == os.getpid() or not _runs(int(pid))):
            found.append(path)
    return found


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return True


def _fill_gaps(job: Job) -> None:
    """A split with any row has all its shards, so that `-of-00004` tells the truth."""
    made = {entry["file"]: entry["split"] for entry in reports(job, "entries")}
    for split in sorted({split for split in made.values() if split}):
        for number in range(job.shards):
            if shard.shard_name(split, number, job.shards) not in made:
                merge(f"{split}-{number:05d}", [], job)
