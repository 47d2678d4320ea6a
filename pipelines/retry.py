"""Dead letters come back: written out for a person, mended by hand, read again, and put into the data set.

    data set --write_out--> letters.jsonl --a person mends `raw`--> mend --> data set with more rows

    {"id": "tiny/train/seq.in:5", "file": "train/seq.in", "line": 5, "split": "train", "code": "R106", "reason": "...",
     "findings": [], "raw": "play bad row\nO O\nPlay"}

`raw` is a file of the format that holds this record and no other (of parallel files, a line of each), so what is
mended goes through the reader of the format, with the options that the manifest tells. A letter whose line is deleted
or whose `raw` is as it was stays a dead letter; `"drop": true` gives it up (R211). Ids stay, and so does the number of
rows in: a letter becomes one row or is a dead letter again.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Collection, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from grammar import shard
from grammar.actions import Kind
from pipelines import dataset, storage
from pipelines.block import rejection_batch
from pipelines.clauses import SlotCounts
from pipelines.formats import FORMATS, Format, Reading, Source, plan, read
from pipelines.formats.files import companion_of
from pipelines.record import Rejection, Utterance, reason
from pipelines.relabel import Map
from pipelines.rewrite import rewrite
from pipelines.spill import Job, blocks, placed
from pipelines.splits import Dealing

GIVEN_UP = "R211"
ON_PURPOSE = frozenset({"R210", GIVEN_UP})
"""Refused by the user's own wish, so not written out unless asked for."""

Mended = dict[str, tuple[str | None, int]]
"""Id of a letter -> its new `raw` (None: given up), and the line that says so."""


class Outcome(NamedTuple):
    """What became of the letters that were changed.

    Attributes:
        rejected: mended ones that were refused again, by code.
    """

    manifest: shard.Manifest
    mended: int
    rejected: dict[str, int]
    given_up: int


def letters(directory: str, manifest: shard.Manifest) -> Iterator[tuple[str, Rejection]]:
    """The dead letters with their ids: what the row would be called, with `#2` and so on for more of one line."""
    last, times = "", 1
    for batch in dataset.rejections(directory, manifest):
        for fields in batch.to_pylist():
            letter = Rejection(**fields)
            row_id = Utterance(letter.corpus, letter.file, letter.line, "", "", [], [], []).id
            times = times + 1 if row_id == last else 1
            last = row_id
            yield row_id if times == 1 else f"{row_id}#{times}", letter


def write_out(directory: str, codes: Collection[str] = ()) -> Iterator[str]:
    """The dead letters as lines of JSON, ready to be mended.

    Args:
        codes: those that are wanted; empty for all but what was refused on purpose (R210, R211).

    Raises:
        ShardError: no data set.
        ValueError: its letters cannot be read again.
    """
    manifest = dataset.manifest(directory)
    _format_of(directory, manifest)
    for row_id, letter in letters(directory, manifest):
        if letter.code in codes if codes else letter.code not in ON_PURPOSE:
            said = {key: value for key, value in letter._asdict().items() if key != "corpus"}
            order = ("file", "line", "split", "code", "reason", "findings", "raw")
            yield json.dumps({"id": row_id} | {key: said[key] for key in order}, ensure_ascii=False)


def mend(directory: str, lines: Iterable[str], name: str, output: str, overwrite: bool = False) -> Outcome:
    """Publish the data set with what the mended letters became; it may take the place of the old one.

    Args:
        lines: what `write_out` gave, mended.
        name: of their file, for messages.

    Raises:
        ShardError: no data set.
        ValueError: the letters cannot be read again, or a line is not what it should be; the message names it.
        FileExistsError: the output is there and is not to be overwritten, or is no data set.
    """
    manifest = dataset.manifest(directory)
    format_ = _format_of(directory, manifest)
    options = manifest.options
    map_ = Map(**options["map"]) if options.get("map") else Map()
    job = _job(directory, manifest)
    reading = Reading(**{key: options[key] for key in Reading._fields if key in options})
    changed = _parse(lines, name)
    known = set[str]()
    records: list[Utterance | Rejection] = []
    with tempfile.TemporaryDirectory() as folder:
        for row_id, letter in letters(directory, manifest):
            if row_id not in changed:
                continue
            known.add(row_id)
            raw, line = changed[row_id]
            if raw is None:
                records.append(letter._replace(code=GIVEN_UP, reason=reason(GIVEN_UP, letter.reason)))
            elif raw == letter.raw:
                del changed[row_id]  # nobody touched it
            else:
                split = _split_of(letter, format_, job.dealing)
                found = read_again(letter, raw, format_, reading, split, Path(folder))
                if len(found) != 1:
                    raise ValueError(
                        f"{name}:{line}: `raw` of `{row_id}` holds {len(found)} records, but it stands for one; where "
                        "a whole file was refused, mend the file and convert again"
                    )
                records.append(placed(found[0], job.dealing, map_))
    for row_id in changed.keys() - known:
        raise ValueError(f"{name}:{changed[row_id][1]}: {directory} has no dead letter `{row_id}`")

    rows: list[pa.RecordBatch] = []
    refused: list[Rejection] = []
    for examples, rejections, tokenisers in blocks(records, job, _slots(directory, manifest, records)):
        others = {one or format_.tokeniser for one in tokenisers} - {manifest.tokeniser}
        if others:
            raise ValueError(f"{name}: words are cut by `{min(others)}`, but by `{manifest.tokeniser}` in {directory}")
        rows.append(examples)
        refused += rejections
    made = sum(batch.num_rows for batch in rows)
    unmatched = [old for old in options.get("map_unmatched", ()) if old not in map_.seen]
    options = {key: value for key, value in options.items() if key != "map_unmatched"}
    old = (dataset.batches(directory, manifest, split) for split in manifest.splits)
    kept = (letter for row_id, letter in letters(directory, manifest) if row_id not in changed)
    result = rewrite(
        chain(chain.from_iterable(old), rows),
        _letter_batches(chain(kept, refused)),
        output,
        corpus=manifest.corpus,
        tokeniser=manifest.tokeniser,
        options=options
        | ({"map_unmatched": unmatched} if unmatched else {})
        | {"retried": manifest.options.get("retried", 0) + made},
        shards=job.shards,
        ontology=job.ontology,
        overwrite=overwrite,
    )
    again: dict[str, int] = {}
    for letter in refused:
        if letter.code != GIVEN_UP:
            again[letter.code] = again.get(letter.code, 0) + 1
    given_up = sum(raw is None for raw, _ in changed.values())
    return Outcome(result, made, dict(sorted(again.items())), given_up)


def read_again(
    letter: Rejection, raw: str, format_: Format, reading: Reading, split: str, folder: Path
) -> list[Utterance | Rejection]:
    """The records of a mended letter, from a file that is called as the one that it came from.

    Args:
        split: of records that do not carry their own.
        folder: for that file.
    """
    assert format_.alone is not None
    path = folder / Path(storage.plain(letter.file)).name
    beside = [folder / companion_of(str(path), name) for name in format_.companions]
    text = format_.alone(raw)
    pieces = text.split("\n", len(beside)) if beside else [text]
    pieces += [""] * (1 + len(beside) - len(pieces))
    for target, piece in zip((path, *beside), pieces, strict=True):
        end = "" if piece.endswith("\n") else "\n"
        target.write_bytes(f"{piece}{end}".encode("utf-8", "surrogatepass"))
    source = Source(str(path), letter.file, tuple(map(str, beside)), split, letter.corpus, format_.name, reading)
    # Where lines are read as they stand, reasons then name those of the corpus.
    before = letter.line - 1 if text == raw else 0
    ranges = [range_._replace(first_line=range_.first_line + before) for range_ in plan(source)]
    found = chain.from_iterable(map(read, ranges))
    return [row._replace(line=letter.line) for row in found]


def _format_of(directory: str, manifest: shard.Manifest) -> Format:
    """The format that the letters are in.

    Raises:
        ValueError: they cannot be read again.
    """
    for key, what in (("compose", "composed from"), ("merged", "merged from"), ("sample", "drawn from")):
        if key in manifest.options:
            raise ValueError(f"{directory} was {what} another data set; mend the dead letters there")
    name = manifest.options.get("format")
    if name not in FORMATS:
        raise ValueError(f"{directory} was not converted from a corpus, so there is no way to read its letters again")
    if FORMATS[name].alone is None:
        raise ValueError(
            f"a dead letter of `{name}` does not hold all of its record, so it cannot be read again; mend the corpus "
            "and convert again"
        )
    return FORMATS[name]


def _job(directory: str, manifest: shard.Manifest) -> Job:
    """How the rows of a data set became trees, as its manifest tells."""
    said = manifest.options
    dealing = Dealing(
        said["split_by"],
        said["dev_share"],
        said["test_share"],
        tuple(said.get("dev_domains", ())),
        tuple(said.get("test_domains", ())),
    )
    ontology = dataset.ontology(directory) if said.get("ontology") else ""
    return Job(
        "",
        dataset.shards(manifest),
        dealing,
        said["multi_intent"],
        said["coordinate"],
        ontology,
        said.get("licence", ""),
    )


def _parse(lines: Iterable[str], name: str) -> Mended:
    found: Mended = {}
    for number, line in enumerate(lines, 1):
        line = line.removeprefix("\ufeff") if number == 1 else line  # editors put a byte order mark there
        if not line.strip():
            continue
        where = f"{name}:{number}"
        try:
            row = json.loads(line)
        except ValueError as error:
            raise ValueError(f"{where}: not JSON: {error}") from error
        if not isinstance(row, dict) or not isinstance(row.get("id"), str) or not isinstance(row.get("raw"), str):
            raise ValueError(f"{where}: a letter is an object with the texts `id` and `raw`")
        if not isinstance(row.get("drop", False), bool):
            raise ValueError(f"{where}: `drop` is true or false")
        if row["id"] in found:
            raise ValueError(f"{where}: `{row['id']}` stands on line {found[row['id']][1]} as well")
        found[row["id"]] = (None if row.get("drop") else row["raw"], number)
    return found


def _split_of(letter: Rejection, format_: Format, dealing: Dealing) -> str:
    """The split of a letter in its corpus, before rows were dealt."""
    # Where dev was taken out of train, `dev` says nothing.
    own = letter.split if letter.split == "test" or not dealing.dev_share else "train"
    return format_.split_of(letter.file) or own


def _slots(directory: str, manifest: shard.Manifest, records: list[Utterance | Rejection]) -> str:
    """What `spill.count_slots` gives for the corpus, from the rows that it became; empty where nobody needs it."""
    said = manifest.options
    several = any(isinstance(row, Utterance) and len(row.intents) > 1 for row in records)
    if not several or said["multi_intent"] != "clauses":
        return ""
    counts = SlotCounts()
    for batch in dataset.batches(directory, manifest, "train", ["actions", "symbols", "words"]):
        columns = (batch[name].to_pylist() for name in ("actions", "symbols", "words"))
        for kinds, symbols, words in zip(*columns, strict=True):
            labels = [symbol for kind, symbol in zip(kinds, symbols, strict=True) if kind == Kind.NT]
            if labels[0] != "and":
                counts.count(labels[0], {*labels[1:]} - ({"add"} if said["coordinate"] else set()), words[0])
    for row in records:
        if isinstance(row, Utterance):
            counts.add(row)
    return json.dumps(counts.to_json())


def _letter_batches(rows: Iterable[Rejection]) -> Iterator[pa.RecordBatch]:
    held: list[Rejection] = []
    for row in rows:
        held.append(row)
        if len(held) == shard.ROW_GROUP:
            yield rejection_batch(held)
            held = []
    if held:
        yield rejection_batch(held)
