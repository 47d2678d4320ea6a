"""From a finished build to a data set: ontology, manifest, and one rename that makes all of it visible."""

from __future__ import annotations

import glob
import json
import logging
import os
import platform
import shutil
from collections import Counter
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import metadata
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

import grammar
from grammar import shard
from grammar.infer import Counts
from grammar.ontology import loads
from pipelines import card, dataset, ours, storage
from pipelines.record import REASONS
from pipelines.spill import Job, merge, reports
from pipelines.splits import OF_TREES

_LOG = logging.getLogger(__name__)
_MOST = 5
"""Codes that are told of when too many rows were rejected."""


class TooManyRejected(ValueError):
    """More rows were refused than the run allows, or all; nothing was published, and the dead letters stay."""


def finish(job: Job, corpus: str, tokeniser: str, options: dict[str, Any], max_rejected: float) -> shard.Manifest:
    """Write the ontology and, last, the manifest into the build directory; remove its temporary files.

    Args:
        tokeniser: of the format; its rows may name another one.

    Raises:
        ValueError: there is no row, or their words were cut in several ways.
        TooManyRejected: the message lists the commonest reasons, and the first dead letter of each.
        ShardError: rows in, out and rejected do not add up.
    """
    rows_in, composed, counts, tokenisers = 0, 0, Counts(), set[str]()
    mapped = set[str]()
    rejected, rejected_splits = Counter[str](), Counter[str]()
    for report in reports(job):
        rows_in += report["rows_in"]
        composed += report.get("composed", 0)
        rejected.update(report["rejected"])
        rejected_splits.update(report["rejected_splits"])
        tokenisers.update(name or tokeniser for name in report["tokenisers"])
        counts.merge(Counts.from_json(report["counts"]))
        mapped |= set(report.get("mapped", ()))
    _fill_gaps(job)
    manifest = shard.Manifest(corpus=corpus, rows_in=rows_in, rows_composed=composed, options=options)
    for entry in reports(job, "entries"):
        split = entry.pop("split")
        del entry["size"]
        if not split:
            manifest.rows_rejected = entry["rows"]
            continue
        manifest.shards.append(entry)
        manifest.splits[split] = manifest.splits.get(split, 0) + entry["rows"]
        manifest.rows_out += entry["rows"]
    manifest.rows_out -= manifest.rows_composed
    manifest.rejected_splits = dict(sorted(rejected_splits.items()))
    manifest.rejected = dict(sorted(rejected.items()))
    manifest.check()
    if not manifest.rows_in:
        raise ValueError("no row was converted: the input is empty")
    _limit(job, manifest, max_rejected)
    by = options.get("split_by", "")
    if by in OF_TREES and set(manifest.splits) == {"train"}:
        raise ValueError(
            f"`--split-by {by}` put every row into train; give larger shares, or for domains `--test-domain NAME`"
        )
    if len(tokenisers) > 1:
        raise ValueError(
            f"the words are cut by {' and '.join(f'`{name}`' for name in sorted(tokenisers))}, but a data set has one "
            "tokeniser; convert the locales separately"
        )

    [manifest.tokeniser] = tokenisers
    ontology = loads(job.ontology) if job.ontology else counts.ontology()
    unmatched = sorted(job.new_names().names - mapped)
    for name in unmatched:
        near = get_close_matches(name, list(ontology.nodes), 1)
        _LOG.warning("no row has `%s` of the map%s", name, f"; did you mean `{near[0]}`?" if near else "")
    if unmatched:
        manifest.options["map_unmatched"] = unmatched
    manifest.versions = versions("apache-beam", "pyarrow")
    manifest.grammar_sha256 = shard.grammar_sha256()
    manifest.ontology_sha256 = ontology.sha256()
    manifest.fingerprint = shard.fingerprint(manifest.shards)
    storage.write(storage.join(job.build, shard.ONTOLOGY), ontology.dumps().encode())
    card.write(job.build, manifest, ontology)
    storage.write(storage.join(job.build, shard.MANIFEST), manifest.dumps().encode())
    return manifest


def absolute(output: str) -> str:
    """Where the data set goes, links followed, so that a link stays one."""
    output = storage.local(output)
    return output.rstrip("/") if storage.is_remote(output) else str(Path(output).resolve())


def build_of(output: str, fingerprint: str) -> str:
    """The directory beside the output in which a job of this fingerprint works."""
    return _beside(output, f"{fingerprint}.build")


def is_finished(job: Job) -> bool:
    """Whether a run that died had all but published."""
    return storage.exists(storage.join(job.build, shard.MANIFEST))


def make_room(output: str | Path, overwrite: bool, last: str = shard.MANIFEST) -> None:
    """See that a data set may appear here.

    Args:
        last: the file that is published last, by which such a directory is known.

    Raises:
        FileExistsError: something is there that is not to be overwritten, or is none, or holds other files as well.
    """
    output = str(output)
    if storage.is_remote(output):
        there = bool(storage.below(output))
    else:
        path = Path(output)
        if path.exists() and not path.is_dir():
            raise FileExistsError(f"{output} is a file; `--output` takes a directory")
        there = path.exists() and any(path.iterdir())
    if there and not overwrite:
        raise FileExistsError(f"{output} exists; give `--overwrite` to replace it, or another `--output`")
    if not there:
        return
    manifest = storage.join(output, last)
    if not storage.exists(manifest):
        if not _half_revealed(output, last):
            raise FileExistsError(f"{output} has no {last}, so it is not overwritten; give another `--output`")
    elif not ours.is_last(manifest):
        raise FileExistsError(f"{manifest} is not ours, so {output} is not overwritten; give another `--output`")
    if foreign := ours.foreign(output, last):
        more = f" and {len(foreign) - 1:,} more" if foreign[1:] else ""
        raise FileExistsError(
            f"{output} holds files that no run writes ({foreign[0]}{more}), so it is not overwritten; move them away, "
            "or give another `--output`"
        )


def clear_up(output: str | Path) -> None:
    """A data set that had given way to a run that was killed comes back. The caller holds the lock of the output."""
    output = str(output)
    if storage.is_remote(output):
        return
    old = Path(_beside(output, "old"))
    if old.exists():
        if Path(output).exists():
            shutil.rmtree(old)
        else:
            os.replace(old, output)


def forget(output: str, build: str) -> None:
    """Remove what runs with other inputs or options left when they died."""
    for path in _builds(output):
        if path != build:
            storage.remove(path)


def publish(job: Job, output: str, max_rejected: float) -> shard.Manifest:
    """Put a finished build where the data set belongs, unless too many rows were refused."""
    manifest = shard.Manifest(**json.loads(storage.read(storage.join(job.build, shard.MANIFEST))))
    _limit(job, manifest, max_rejected)  # the run that finished it may have allowed more
    put(job.build, output)
    return manifest


def put(build: str, output: str, last: str = shard.MANIFEST) -> None:
    """Put a finished build where it belongs, and remove its temporary files, which lie in its `work/`.

    Here one rename shows all of it, and what stands there gives way whole. Object stores have no such rename: there
    the old manifest goes first and the new one comes last, and what has no manifest is not a data set.

    Args:
        last: the file that says what the others are.
    """
    if storage.is_remote(output):
        _move_files(build, output, last)
    else:
        storage.remove(storage.join(build, "work"))
        reveal(Path(build), Path(output))


def reveal(build: Path, output: Path) -> None:
    """Put the build where the data set belongs; one that stands there gives way whole. Both are on this machine."""
    for path in build.rglob("*"):
        if path.is_file() and path.name.startswith("."):  # a worker that was killed was writing it
            path.unlink()
        else:
            _sync(path)  # a power cut must not leave a data set of empty files
    _sync(build)
    old = Path(_beside(str(output), "old"))
    if output.exists():
        shutil.rmtree(old, ignore_errors=True)
        os.replace(output, old)
    os.replace(build, output)
    _sync(output.parent)
    shutil.rmtree(old, ignore_errors=True)


def _limit(job: Job, manifest: shard.Manifest, allowed: float) -> None:
    if not manifest.rows_out or manifest.rows_rejected - manifest.rejected.get("R210", 0) > allowed * manifest.rows_in:
        raise TooManyRejected(_explain(job, manifest, allowed))


def _explain(job: Job, manifest: shard.Manifest, allowed: float) -> str:
    """Why a run was stopped: the commonest reasons first, each with the first record that it refused."""
    share = manifest.rows_rejected / manifest.rows_in
    if manifest.rows_out:
        said = f"{manifest.rows_rejected:,} of {manifest.rows_in:,} rows ({share:.2%}) were rejected, more than "
        said += f"`--max-rejected {allowed:g}` allows"
    else:
        said = f"all {manifest.rows_in:,} rows were rejected"
    lines = [f"{said}; nothing was published"]
    commonest = Counter(manifest.rejected).most_common(_MOST)
    letters = storage.join(job.build, shard.REJECTED, shard.shard_name(shard.REJECTED, 0, 1))
    first = _first(letters, [code for code, _ in commonest])
    for code, rows in commonest:
        lines.append(f"  {rows:>8,}  {code}  {first.get(code, REASONS.get(code, ''))}")
    mend = "mend the corpus, or look whether `--format` is the right one"
    if manifest.rows_out:
        mend = "the same command with a larger share publishes the others, and converts nothing again"
    lines.append(f"the dead letters are in {letters}; {mend}")
    return "\n".join(lines)


def _first(path: str, codes: Sequence[str]) -> dict[str, str]:
    """Code -> file, line and reason of its first dead letter."""
    found: dict[str, str] = {}
    for batch in dataset.read(path, ["file", "line", "code", "reason"]):
        for code in codes:
            if code not in found and (at := pc.index(batch["code"], code).as_py()) >= 0:
                file, line, reason = (batch[name][at].as_py() for name in ("file", "line", "reason"))
                found[code] = f"{file}:{line}: {reason}"
        if len(found) == len(codes):
            break
    return found


def versions(*packages: str) -> dict[str, str]:
    """What made the data set: our version, Python's, and those of `packages`."""
    found = {name: metadata.version(name) for name in packages}
    return {"treewright": grammar.__version__, "python": platform.python_version()} | found


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _move_files(build: str, output: str, last: str) -> None:
    plan = storage.join(build, "work", "files.json")
    if not storage.exists(plan):  # else an earlier try may have moved some of them already
        made = (path.removeprefix(build + "/") for path in storage.below(build))
        names = sorted(name for name in made if not name.startswith(("work/", ".")) and name != last)
        storage.write(plan, json.dumps(names).encode())
    wanted = set(json.loads(storage.read(plan)))
    storage.remove(storage.join(output, last))
    for path in storage.below(output):
        if path.removeprefix(output + "/") not in wanted:
            storage.remove(path)
    for name in sorted(wanted):
        if storage.exists(storage.join(build, name)):
            storage.move(storage.join(build, name), storage.join(output, name))
    storage.move(storage.join(build, last), storage.join(output, last))
    storage.remove(build)


def _half_revealed(output: str, last: str) -> bool:
    """Whether a finished build stands beside an output that has no manifest: a run died while it moved the files."""
    return storage.is_remote(output) and any(storage.exists(storage.join(path, last)) for path in _builds(output))


def _builds(output: str) -> list[str]:
    if storage.is_remote(output):
        folder, _, name = output.rpartition("/")
        found = {path.removeprefix(f"{folder}/").partition("/")[0] for path in storage.match(f"{folder}/.{name}.*/**")}
        return sorted(f"{folder}/{build}" for build in found if build.endswith(".build"))
    path = Path(output)
    found_here = path.parent.glob(f".{glob.escape(path.name)}.*.build")
    return sorted(str(build) for build in found_here if build.name.count(".") == path.name.count(".") + 3)


def _beside(output: str, kind: str) -> str:
    folder, _, name = output.rpartition("/")
    return f"{folder}/.{name}.{kind}"


def _fill_gaps(job: Job) -> None:
    """A split with any row has all its shards, so that `-of-00004` tells the truth."""
    made = {entry["file"]: entry["split"] for entry in reports(job, "entries")}
    for split in sorted({split for split in made.values() if split}):
        for number in range(job.shards):
            if shard.shard_name(split, number, job.shards) not in made:
                merge(f"{split}-{number:05d}", [], job)
