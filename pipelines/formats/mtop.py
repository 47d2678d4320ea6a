r"""MTOP: trees without carrier words in a TSV of eight columns, with the words and the places of the outer slots.

    7\tIN:PLAY_MUSIC\t11:15:SL:GENRE\tplay some jazz!\tmusic\ten_XX\t[IN:PLAY_MUSIC [SL:GENRE jazz ] ]\t
    {"tokens": ["play", "some", "jazz", "!"], "tokenSpans": [{"start": 0, "length": 4}, ...]}     (on the same line)
    -> Utterance(text="play some jazz!", words=["play", "some", "jazz", "!"], positions=[2],
                 tree="(IN:PLAY_MUSIC(SL:GENRE(jazz)))", domain="music", locale="en_XX")

Columns: id (left out in some releases), intent, slots, utterance, domain, locale, decoupled tree, tokens. Slots stand
as `start:end:SL:NAME`, divided by `,` or the full-width `，`; offsets count code points and `end` is exclusive. They
say which of two equal words a slot means; slots inside slots are looked for within the outer one.

Refused: R101 bytes, R102 no words, R104 tokens or slots that are not what they should be, R112 columns, R114 the
brackets do not match, R115 the slots' offsets and the tree differ.
Source: Li et al., EACL 2021, arXiv 2008.09335.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from grammar.tree import Leaf, Tree
from pipelines.align import align
from pipelines.faults import bracket_faults
from pipelines.formats import top
from pipelines.formats.features import Unwritable, plain, text_and_places, tree_of
from pipelines.formats.format import Format, Writer
from pipelines.formats.head import Guess, Head
from pipelines.formats.lines import Range, Source, decode, numbered, plan_lines, shown
from pipelines.formats.offsets import to_code_points
from pipelines.formats.save import save_lines
from pipelines.record import Example, Rejection, Utterance

plan = plan_lines

_COMMA = re.compile("[,，]")
_SLOT = re.compile(r"(\d+):(\d+):(.+)")


def read(range_: Range) -> Iterator[Utterance | Rejection]:
    """One row for each line that is not blank."""
    for number, line in numbered(range_):
        if line.strip():
            yield _record(range_.source, number, line)


def _record(source: Source, number: int, line: bytes) -> Utterance | Rejection:
    raw = decode(line)
    if raw is None:
        return source.reject(number, "R101", shown(line))
    columns = raw.split("\t")
    if len(columns) not in (7, 8):
        return source.reject(number, "R112", raw, f"{len(columns)} columns")
    _, slots, text, domain, locale, decoupled, tokens = columns[-7:]
    words = _tokens(tokens)
    if words is None:
        return source.reject(number, "R104", raw, "the tokens")
    if not words:
        return source.reject(number, "R102", raw)
    try:
        _, tree, _ = top.convert(decoupled)
    except ValueError as error:
        return source.reject(number, "R114", raw, str(error), findings=bracket_faults(decoupled, "[", "]"))
    found = []
    for slot in _COMMA.split(slots) if slots.strip() else []:
        match = _SLOT.fullmatch(slot.strip())
        unit = source.reading.offsets or "code point"
        place = to_code_points(text, int(match[1]), int(match[2]), unit) if match else None
        if match is None or place is None:
            return source.reject(number, "R115" if match else "R104", raw, f"slot `{slot}`")
        found.append((*place, match[3]))
    try:
        positions = _positions(tree, [word for word, _ in words], _bounds(words, found))
    except ValueError as error:
        return source.reject(number, "R115", raw, str(error))
    return Utterance(
        corpus=source.corpus,
        file=source.file,
        line=number,
        split=source.split,
        text=text.strip(),
        words=[word for word, _ in words],
        intents=[],
        spans=[],
        tree=str(tree),
        positions=positions,
        domain=domain,
        locale=locale,
        raw=raw,
        made=tree,
    )


def _tokens(text: str) -> list[tuple[str, tuple[int, int]]] | None:
    """Words with their characters `[start, end)`; None where the column holds something else."""
    try:
        body = json.loads(text)
        spans = [(span["start"], span["start"] + span["length"]) for span in body["tokenSpans"]]
        words = list(zip(body["tokens"], spans, strict=True))
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return words if all(isinstance(word, str) and type(a) is int is type(b) for word, (a, b) in words) else None


def _bounds(words: list[tuple[str, tuple[int, int]]], slots: list[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    """The words `[start, end)` that overlap each slot, in the order of the text."""
    found = []
    for start, end, label in sorted(slots):
        inside = [number for number, (_, (a, b)) in enumerate(words) if a < end and b > start]
        found.append((inside[0], inside[-1] + 1, label) if inside else (0, 0, label))
    return found


def _positions(tree: Tree, words: list[str], bounds: list[tuple[int, int, str]]) -> list[int]:
    """The word of each leaf: within its outer slot where the slots of the tree are those of the column.

    Slots without words may stand in the column or not.

    Raises:
        ValueError: they are, but the words differ; or the utterance is too long to align.
    """
    outer = [child for child in tree.children if isinstance(child, Tree)]
    if len(outer) != len(tree.children):
        return align(tree, words)
    labels = [label for *_, label in bounds]
    if [child.label for child in outer] != labels:
        outer = [child for child in outer if child.words()]
    if [child.label for child in outer] != labels:
        return align(tree, words)
    positions: list[int] = []
    for child, (start, end, label) in zip(outer, bounds, strict=True):
        inside = align(child, words[start:end])
        if any(place < 0 for place in inside):
            raise ValueError(f"`{label}` holds other words than stand at its offsets")
        positions += [start + place for place in inside]
    return positions


def record(row: Example, variant: str) -> str:
    """A line; it is read again, since equal words may leave open which one an inner slot means.

    Raises:
        Unwritable: the tree is not one of intents and slots in turns, or reads as another one.
    """
    decoupled = top.bracketed(row, carriers=False)
    text, places = text_and_places(row)
    tree, positions = tree_of(row)
    tree = plain(tree)
    slots, at = [], 0
    for child in tree.children if tree.label != "and" else []:
        size = 1 if isinstance(child, Leaf) else len(child.words())
        if isinstance(child, Tree) and size:
            first, last = positions[at], positions[at + size - 1]
            slots.append(f"{places[first][0]}:{places[last][1]}:{child.label}")
        at += size
    for field in ("domain", "locale"):
        if "\t" in getattr(row, field):
            raise Unwritable(field, repr(getattr(row, field)))
    spans = [{"start": start, "length": end - start} for start, end in places]
    tokens = json.dumps({"tokens": row.words, "tokenSpans": spans}, ensure_ascii=False)
    line = [row.id, tree.label, ",".join(slots), text, row.domain, row.locale, decoupled, tokens]
    again = _record(Source("", ""), 1, "\t".join(line).encode())
    if not isinstance(again, Utterance) or again.positions != positions:
        raise Unwritable("nested slots" if tree.depth() > 2 else "clauses", "equal words leave open which one is meant")
    return "\t".join(line)


def recognise(head: Head) -> Guess | None:
    """Seven or eight columns, of which the last is JSON with `tokens`."""
    rows = [line.split("\t") for line in head.lines[:20]]
    if rows and sum(len(row) in (7, 8) and '"tokens' in row[-1] for row in rows) * 2 > len(rows):
        return Guess(3, "eight columns, the last JSON with `tokens`")
    return None


FORMAT = Format(
    name="mtop",
    summary="decoupled trees in a TSV of eight columns: MTOP",
    patterns=("*.tsv", "*.txt"),
    plan=plan,
    read=read,
    example="7<TAB>IN:PLAY<TAB>0:4:SL:GENRE<TAB>jazz<TAB>music<TAB>en_XX<TAB>[IN:PLAY [SL:GENRE jazz ] ]<TAB>{...}",
    recognise=recognise,
    offsets="code point",
    writer=Writer(record, save_lines(".tsv")),
    loses={key: said for key, said in top.LOSES.items() if key not in ("locale", "raw text")},
)
