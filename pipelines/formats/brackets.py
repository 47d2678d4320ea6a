r"""Trees of our own language, alone or beside their utterance.

    party.trees   (PlayMusicIntent(MediaType(music)))          one a line, `#` comments, blank lines skipped
    party.tree    the same, one tree for the whole file, over as many lines as it likes
    party.tsv     play music\t(PlayMusicIntent(MediaType(music)))
    party.jsonl   {"id": "7", "utterance": "play music", "tree": "(PlayMusicIntent(MediaType(music)))"}
    -> Utterance(text="play music", words=["play", "music"], tree="(PlayMusicIntent(MediaType(music)))")

Without an utterance the leaves are its words. A table is read as `python -m grammar check` reads it: a first line with
a column `tree` names the columns, of which `words`, `utterance` and `split` are looked at; without one a line is
utterance and tree, cut at its first tab. JSONL may also give `words` (the utterance already cut, or in its place),
`positions` (of the leaves), `split`, `domain` and `locale`. Where positions are not given, `pipelines.trees` finds
them. `raw` of a dead letter has the header above the row, where it names other columns than utterance and tree.

Refused: R101 bytes, R102 no words, R103 not a JSON object, R104 field missing or of the wrong type, R112 columns
missing, R201 a tree without utterance that cannot be read.
Source: `grammar/README.md`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from grammar import words as tokenisers
from grammar.rows import PLAIN_TSV, LineReader
from pipelines.formats.files import SPLITS
from pipelines.formats.format import Format, Writer
from pipelines.formats.head import Guess, Head
from pipelines.formats.lines import (
    BOM,
    Range,
    Source,
    bare,
    decode,
    numbered,
    open_file,
    plan_lines,
    plan_whole,
    shown,
    whole,
)
from pipelines.formats.save import save_lines
from pipelines.record import Example, Rejection, Utterance
from pipelines.storage import plain

_JSON = (".jsonl", ".json", ".ndjson")
_TREE = re.compile(r"\([^\s()]+(\(|\))")
_TEXTS = ("utterance", "tree", "split", "domain", "locale")


def plan(source: Source, size: int) -> list[Range]:
    """Ranges of lines; a `.tree` file is one range."""
    return plan_whole(source, size) if plain(source.path).endswith(".tree") else plan_lines(source, size)


def read(range_: Range) -> Iterator[Utterance | Rejection]:
    """One row for each tree."""
    source = range_.source
    if plain(source.path).endswith(".tree"):
        yield _line(source, 1, whole(source.path))
        return
    if plain(source.path).endswith(".tsv"):
        yield from _table(range_)
        return
    comments = not plain(source.path).endswith(_JSON)
    for number, line in numbered(range_):
        if line.strip() and not (comments and line.startswith(b"#")):
            yield _line(source, number, line)


def _table(range_: Range) -> Iterator[Utterance | Rejection]:
    """The rows of a table; what its columns are is for the checker's reader to say."""
    source, reader = range_.source, LineReader(range_.source.file, "tsv")
    if range_.start:
        with open_file(source.path) as file:
            reader.row(1, bare(file.readline().removeprefix(BOM)).decode("utf-8", "surrogateescape"))
    for number, line in numbered(range_):
        text, begins = decode(line), reader.columns is None
        row = reader.row(number, line.decode("utf-8", "surrogateescape") if text is None else text)
        if not line.strip() or (begins and row.text is None and row.problem is None):
            continue  # a blank line, or the header
        columns = reader.columns or PLAIN_TSV
        raw = shown(line) if text is None else text
        if columns != PLAIN_TSV:
            raw = "\t".join(columns) + f"\n{raw}"
        split = row.split or ""
        if text is None:
            yield source.reject(number, "R101", raw)
        elif row.text is None:
            has = f"{text.count(chr(9)) + 1} of {len(columns)}: {', '.join(columns)}"
            has = has if columns != PLAIN_TSV else "no tab between utterance and tree"
            yield source.reject(number, "R112", raw, has)
        elif split and split not in SPLITS:
            yield source.reject(number, "R104", raw, f"`split` is `{split}`")
        elif row.utterance is None:
            yield _alone(source, number, row.text, raw, SPLITS.get(split, ""))
        else:
            yield _pair(source, number, str(row.utterance), row.text, raw, {"split": split})


def _line(source: Source, number: int, line: bytes) -> Utterance | Rejection:
    text = decode(line)
    if text is None:
        return source.reject(number, "R101", shown(line))
    if plain(source.path).endswith(_JSON):
        return _json(source, number, text)
    return _alone(source, number, text, text)


def _alone(source: Source, number: int, text: str, raw: str, split: str = "") -> Utterance | Rejection:
    from pipelines.trees import TreeError, read_tree

    try:
        tree = read_tree(text)
    except TreeError as error:
        return source.reject(number, error.code, raw, str(error), split, error.findings)
    found = tree.words()
    if not found:
        return source.reject(number, "R102", raw, split=split)
    positions = list(range(len(found)))
    return Utterance(
        corpus=source.corpus,
        file=source.file,
        line=number,
        split=split or source.split,
        text=" ".join(found),
        words=found,
        intents=[],
        spans=[],
        tree=str(tree),
        positions=positions,
        raw=raw,
        made=tree,
    )


def _json(source: Source, number: int, text: str) -> Utterance | Rejection:
    try:
        row = json.loads(text)
    except (ValueError, RecursionError) as error:
        return source.reject(number, "R103", text, str(error))
    if not isinstance(row, dict):
        return source.reject(number, "R103", text, "not an object")
    if "utterance" not in row and isinstance(row.get("words"), list):
        row["utterance"] = " ".join(map(str, row["words"]))  # what is no string among them is refused below
    for key in _TEXTS:
        if not isinstance(row.get(key, "" if key in _TEXTS[2:] else None), str):
            return source.reject(number, "R104", text, f"`{key}`")
    split = row.get("split", "")
    if split and split not in SPLITS:
        return source.reject(number, "R104", text, f"`split` is `{split}`")
    for key, kind in (("words", str), ("positions", int)):
        given = row.get(key)
        if given is not None and not (isinstance(given, list) and all(type(item) is kind for item in given)):
            return source.reject(number, "R104", text, f"`{key}`")
    return _pair(source, number, row["utterance"], row["tree"], text, row)


def _pair(
    source: Source, number: int, utterance: str, tree: str, raw: str, row: dict[str, Any] | None = None
) -> Utterance | Rejection:
    row = row or {}
    split = SPLITS.get(row.get("split", ""), source.split)
    text = utterance if row.get("words") else utterance.strip()
    found = row.get("words") or tokenisers.words(text, "words-1")
    if not found:
        return source.reject(number, "R102", raw, split=split)
    return Utterance(
        corpus=source.corpus,
        file=source.file,
        line=number,
        split=split,
        text=text,
        words=found,
        intents=[],
        spans=[],
        tree=tree.strip(" \t\r\n"),
        positions=row.get("positions"),
        domain=row.get("domain", ""),
        locale=row.get("locale", ""),
        raw=raw,
    )


def record(row: Example, variant: str) -> str:
    """A line of JSON, which keeps all that a row says."""
    from pipelines.formats.features import tree_of

    said = {"utterance": row.utterance, "words": row.words, "tree": row.tree, "positions": tree_of(row)[1]}
    more = {key: value for key in ("split", "domain", "locale") if (value := getattr(row, key))}
    return json.dumps(said | more, ensure_ascii=False)


def recognise(head: Head) -> Guess | None:
    """JSON with `tree`, or lines that begin with a bracket, alone or after a tab."""
    if head.rows:
        return Guess(3, "JSON lines with `tree`") if isinstance(head.first.get("tree"), str) else None
    if head.name.endswith(".tsv"):
        reader = LineReader(head.name, "tsv")
        rows = [reader.row(number, line) for number, line in enumerate(head.lines[:20], 1)]
        texts = [row.text or "" for row in rows if row.text is not None or row.problem]
    else:
        texts = [line.rpartition("\t")[2] for line in head.lines if not line.startswith("#")][:20]
    trees = [_TREE.match(text.strip()) for text in texts]
    if not trees or sum(map(bool, trees)) * 2 < len(trees):
        return None
    return Guess(2, "trees in round brackets, the word of a leaf in its own")


FORMAT = Format(
    name="brackets",
    summary="trees of our own language: .trees, .tree, .tsv with utterance<TAB>tree or a header, .jsonl",
    patterns=("*.trees", "*.tree", "*.tsv", "*.jsonl"),
    plan=plan,
    read=read,
    example='{"utterance": "play jazz", "tree": "(PlayMusic(genre(jazz)))"}',
    recognise=recognise,
    tokeniser="words-1",
    writer=Writer(record, save_lines(".jsonl")),
)
