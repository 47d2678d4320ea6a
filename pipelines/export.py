r"""A data set as a corpus in another format, and proof of what that kept.

    shards --read_split--> Example --writer.record--> record --writer.save--> <output>/train.<suffix>, dev, test
                               \--> refused.jsonl (id, feature, reason)

What was written is read again and held against the rows, so the report says what this format lost of these rows, not
what it might lose. A row that comes back different for a reason that its format does not declare is an error of ours
and is reported as such.
"""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pipelines import dataset, storage
from pipelines.clauses import SlotCounts
from pipelines.formats import FORMATS, Format, Reading, expand, plan, read
from pipelines.formats.features import FIELDS, Unwritable, features, tree_of
from pipelines.formats.files import REFUSED
from pipelines.record import Example, Rejection, Utterance
from pipelines.trees import to_example


@dataclass
class Report:
    """What became of the rows of a data set.

    `rows = written + refused` and `written = kept + changed`; a kept row is equal but for its `dropped` fields.

    Attributes:
        refused: feature -> rows that the format cannot hold.
        changed: feature -> rows that were written and come back different, or not at all, because of it.
        dropped: feature that is a field -> rows without it now.
        unexplained: ids of rows that come back different and should not.
    """

    format: str
    variant: str
    rows: int = 0
    written: int = 0
    kept: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    changed: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    unexplained: list[str] = field(default_factory=list)
    files: dict[str, int] = field(default_factory=dict)

    def dumps(self) -> str:
        """As JSON."""
        return json.dumps(vars(self), indent=2, ensure_ascii=False)


def rows_of(directory: str | Path, split: str) -> Iterator[Example]:
    """The rows of one split of a data set, in their order.

    Raises:
        ShardError: not a data set, or a shard that cannot be read.
    """
    manifest = dataset.manifest(directory)
    for batch in dataset.batches(directory, manifest, split, list(Example._fields)):
        for row in batch.to_pylist():
            yield Example(**row)


def export(
    directory: str | Path, format_: str, output: str | Path, variant: str = "", overwrite: bool = False
) -> Report:
    """Write every split of a data set in a format, read it back and compare.

    Args:
        directory: a data set.
        format_: a name of `FORMATS` that has a writer.
        output: a folder that is made; it appears whole or not at all.
        variant: one of the writer's; empty for its first.
        overwrite: replace an earlier export that stands there.

    Raises:
        ValueError: the format is unknown or cannot be written, or has no such variant.
        ShardError: `directory` is not a data set.
        FileExistsError: the output is there, and is not to be overwritten or is no export.
    """
    manifest = dataset.manifest(directory)
    fmt = writable(format_, manifest.options.get("notation", ""))
    assert fmt.writer is not None
    if variant and variant not in fmt.writer.variants:
        raise ValueError(f"`{format_}` has no variant `{variant}`; it has {', '.join(fmt.writer.variants)}")
    variant = variant or fmt.writer.variants[0]
    if storage.is_remote(str(output)):
        raise ValueError(
            f"{output}: an export is written to a folder of this machine, and read back there; copy it then"
        )
    output = Path(output).resolve()
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        if not overwrite:
            raise FileExistsError(f"{output} exists; give `--overwrite` to replace it, or another `--output`")
        if not (output / REFUSED).is_file():
            raise FileExistsError(f"{output} is no export, so it is not overwritten; give another `--output`")
    build = output.with_name(f".{output.name}.{os.getpid()}.build")
    report = Report(format_, variant)
    try:
        build.mkdir(parents=True)
        sources = {split: _write(directory, split, fmt, build, variant, report) for split in manifest.splits}
        if fmt.writer.finish:
            fmt.writer.finish(build)
        resolver = _slots(fmt, sources)
        for split, path in sources.items():
            _compare(directory, split, fmt, path, variant, resolver, manifest.options, report)
        if output.exists():
            shutil.rmtree(output)
        os.rename(build, output)
    finally:
        shutil.rmtree(build, ignore_errors=True)
    return report


def writable(name: str, notation: str = "") -> Format:
    """A format that has a writer.

    Args:
        notation: of the trees, if they stand for logical forms.

    Raises:
        ValueError: it is unknown or only read, or is for logical forms and there are none.
    """
    if name not in FORMATS:
        raise ValueError(f"unknown format `{name}`; the formats are {', '.join(FORMATS)}")
    forms = FORMATS[name].forms
    if forms:
        if not notation:
            raise ValueError(f"`{name}` holds logical forms, and the trees of this data set stand for none")
        return replace(FORMATS[name], writer=forms(notation))
    if FORMATS[name].writer is None:
        can = ", ".join(other for other, row in FORMATS.items() if row.writer or row.forms)
        raise ValueError(f"`{name}` is read only; written are {can}")
    return FORMATS[name]


def _records(
    directory: str | Path, split: str, fmt: Format, variant: str, refused: Any = None
) -> Iterator[tuple[Example, Any]]:
    """The rows that the format can hold, with their records, in the order in which they are written."""
    assert fmt.writer is not None
    rows: Iterator[Example] = rows_of(directory, split)
    if fmt.writer.grouped:
        rows = iter(sorted(rows, key=lambda row: row.symbols[0]))
    for row in rows:
        try:
            record = fmt.writer.record(row, variant)
        except Unwritable as error:
            if refused:
                refused(row, error)
        else:
            yield row, record


def _write(directory: str | Path, split: str, fmt: Format, build: Path, variant: str, report: Report) -> Path:
    assert fmt.writer is not None
    written = 0
    with open(build / REFUSED, "a", encoding="utf-8") as letters:

        def refused(row: Example, error: Unwritable) -> None:
            report.refused[error.feature] += 1
            line = {"id": row.id, "split": row.split, "feature": error.feature, "reason": str(error), "tree": row.tree}
            letters.write(json.dumps(line, ensure_ascii=False) + "\n")

        def records() -> Iterator[Any]:
            nonlocal written
            for _, record in _records(directory, split, fmt, variant, refused):
                written += 1
                yield record

        path = fmt.writer.save(records(), build, split, variant)
    report.files[path.relative_to(build).as_posix()] = written
    report.written += written
    report.rows = report.written + report.refused.total()
    return path


def _read(fmt: Format, path: Path, notation: str = "") -> Iterator[Utterance | Rejection]:
    reading = Reading(notation=notation) if notation else Reading()
    for source in expand([str(path)], fmt, reading=reading):
        source = source._replace(split=fmt.split_of(path.name) or fmt.split_of(f"{path.parent.name}/x") or "train")
        for range_ in plan(source):
            yield from read(range_)


def _slots(fmt: Format, sources: dict[str, Path]) -> SlotCounts | None:
    if not fmt.several or "train" not in sources:
        return None
    counts = SlotCounts()
    for row in _read(fmt, sources["train"]):
        if isinstance(row, Utterance):
            counts.add(row)
    return counts


def _compare(
    directory: str | Path,
    split: str,
    fmt: Format,
    path: Path,
    variant: str,
    resolver: SlotCounts | None,
    options: dict[str, Any],
    report: Report,
) -> None:
    back = _read(fmt, path, options.get("notation", ""))
    for row, _ in _records(directory, split, fmt, variant):
        read_ = next(back, None)
        made: Example | Rejection | None = None
        if isinstance(read_, Utterance):
            made = to_example(
                read_, resolver, options.get("multi_intent", "clauses"), bool(options.get("coordinate", False))
            )
        lost = features(row) & fmt.loses.keys()
        if isinstance(made, Example) and same(row, made, lost):
            report.kept += 1
            report.dropped.update(name for name in lost & FIELDS.keys() if not same(row, made, {name} ^ FIELDS.keys()))
        else:
            why = sorted(lost - FIELDS.keys())
            report.changed.update(why[:1] or ["unexplained"])
            if not why:
                report.unexplained.append(row.id)
    extra = sum(1 for _ in back)
    if extra:
        report.unexplained.append(f"{path.name}: {extra} more rows than were written")


def same(row: Example, other: Example, lost: set[str] | frozenset[str] = frozenset()) -> bool:
    """Whether two rows say the same, fields apart that `lost` names (see `features.FIELDS`)."""
    fields = {"utterance", "domain", "locale"} - {FIELDS[name] for name in lost if name in FIELDS}
    return (
        all(getattr(row, name) == getattr(other, name) for name in fields)
        and (row.split, row.words, row.tree) == (other.split, other.words, other.tree)
        and tree_of(row)[1] == tree_of(other)[1]
    )


def lines_of(report: Report, output: str, kinds: Sequence[str] = ("refused", "changed", "dropped")) -> Iterator[str]:
    """The report in words."""
    counts = f"{report.rows:,} rows, {report.written:,} written, {report.kept:,} read back equal"
    yield f"{output}: {report.format}, {counts}"
    loses = FORMATS[report.format].loses
    for kind in kinds:
        for name, rows in sorted(getattr(report, kind).items()):
            yield f"{kind} {rows:,}: {name} ({loses.get(name, 'not declared')})"
