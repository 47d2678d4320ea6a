"""Lines of words, tags and intents -> columns: a block at a time, and no row by itself.

    play calm jazz | O B-mood B-genre | PlayMusic
    tokens   play  calm            jazz                  actions  NT PlayMusic, NT mood, TER calm, RED,
    inside   no    yes             yes                            NT genre, TER jazz, RED, RED
    opens    no    yes             yes                   tree     (PlayMusic(mood(calm))(genre(jazz)))
    closes   no    yes             yes

A word in a slot is one action, and one more where the slot opens and where it closes; a row has two more, of its
intent. So every place follows from sums over tokens. The text of the tree is put together from the tags and not from
the actions, and `pipelines.replay` then holds the two against each other, for every row.

Rows that need thought are left to the definition, `pipelines.trees`: bytes that are no UTF-8, brackets and other signs
that must be escaped, counts that differ, malformed tags, labels that cannot be written, several intents to be divided,
slots to be coordinated. Tests hold the two ways equal. What is worth doing once for many rows is done for each distinct
tag and label of a block; nothing is kept from block to block.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from grammar import shard
from grammar.actions import GENERATED, Kind
from pipelines.block import Settings
from pipelines.flat import MOST_CHARACTERS, is_label
from pipelines.formats.parallel import Lines
from pipelines.formats.tags import parts
from pipelines.index import forms, indexed
from pipelines.replay import copies, rebuild
from pipelines.texts import joined, offsets, strings
from pipelines.trees import MOST_BYTES

_PLAIN, _BLANK, _ODD = 0, 1, 2
_OF_WORDS = np.zeros(256, dtype=np.uint8)
_OF_WORDS[list(b" \n")] = _BLANK
_OF_WORDS[list(b"\t\r()\\")] = _ODD
_OF_TAGS = _OF_WORDS.copy()
_OF_TAGS[list(b"()\\")] = _PLAIN  # a label that holds one is refused as a label


def examples(lines: Lines, settings: Settings) -> tuple[pa.RecordBatch, np.ndarray]:
    """The columns of `grammar.shard.SCHEMA` of most lines, in their order; and which lines are left, ascending.

    Args:
        lines: of three files: words, tags, label.
    """
    made, good = columns(lines, settings)
    right = replayed(made, settings)
    left = np.ones(len(good), dtype=bool)
    left[np.flatnonzero(good)[right]] = False
    return indexed(made if right.all() else made.filter(pa.array(right))), np.flatnonzero(left)


def columns(lines: Lines, settings: Settings) -> tuple[pa.RecordBatch, np.ndarray]:
    """The columns of `shard.ROW` of the lines that need no thought, not yet checked; and whether each line is one."""
    words, tags, labels = lines.columns
    spoken, marked = _Tokens(words, _OF_WORDS), _Tokens(tags, _OF_TAGS)
    total = len(spoken.counts)
    good = (spoken.counts == marked.counts) & (spoken.counts > 0) & spoken.clean & marked.clean
    intents, intent_of, whole = _intents(labels, settings.multi_intent)
    slots = _Slots(marked)
    good &= whole & slots.whole
    if settings.coordinate:
        good &= ~slots.neighbours
    good &= np.bincount(spoken.line, spoken.sizes, total) <= MOST_CHARACTERS
    return _rows(lines, spoken, marked, slots, intents, intent_of, good, settings), good


class _Tokens:
    """The words of lines: what stands between blanks.

    Attributes:
        starts, sizes: bytes of each.
        line: of each.
        counts: of each line.
        clean: of each line, whether it is UTF-8 without an odd byte.
    """

    def __init__(self, data: bytes, classes: np.ndarray) -> None:
        self.raw = np.frombuffer(data, np.uint8)
        self.kinds = classes[self.raw]
        borders = np.flatnonzero(self.kinds == _BLANK)
        ends = self.raw[borders] == ord("\n")
        line = np.cumsum(ends) - ends
        starts = np.empty_like(borders)
        starts[:1] = 0
        starts[1:] = borders[:-1] + 1
        sizes = borders - starts
        held = sizes > 0
        self.starts, self.sizes, self.line = starts[held], sizes[held], line[held]
        self.ends = borders[ends]
        self.counts = np.bincount(self.line, minlength=len(self.ends))
        self.clean = np.ones(len(self.ends), dtype=bool)
        odd = np.flatnonzero(self.kinds == _ODD)
        self.clean[np.searchsorted(self.ends, odd)] = False
        if not (data.isascii() or _is_text(data)):
            self.clean &= [_is_text(text) for text in data.split(b"\n")[:-1]]

    def strings(self, lines: np.ndarray | None = None) -> pa.Array:
        """The words as bytes, or those of some lines as text.

        Args:
            lines: which, as one flag for each.
        """
        plain, sizes = self.kinds == _PLAIN, self.sizes
        if lines is None:
            plain = self.kinds != _BLANK
        elif not lines.all():
            plain &= np.repeat(lines, np.diff(self.ends, prepend=-1))
            sizes = sizes[lines[self.line]]
        return strings(self.raw[plain], sizes, pa.binary() if lines is None else pa.string())

    def texts(self, lines: np.ndarray) -> pa.StringArray:
        """What stands between the outer blanks of some lines."""
        first = np.searchsorted(self.line, np.flatnonzero(lines))
        last = first + self.counts[lines] - 1
        starts, stops = self.starts[first], self.starts[last] + self.sizes[last]
        change = np.zeros(len(self.raw) + 1, dtype=np.int8)
        change[starts] = 1
        change[stops] = -1
        within = np.cumsum(change[:-1], dtype=np.int8).view(bool)
        return strings(self.raw[within], stops - starts, pa.string())


class _Slots:
    """The slots that tags say, left to right; the rule is that of `formats.tags.decode_tags`.

    Attributes:
        labels: names of slots.
        label: of each token, a number in `labels`; means nothing outside slots.
        inside, opens, closes: of each token, whether it is in a slot, the first or the last word of one.
        whole: of each line, whether its tags are well-formed and its labels can be written.
        neighbours: of each line, whether two slots of one label follow each other.
    """

    def __init__(self, tags: _Tokens) -> None:
        coded = pc.dictionary_encode(tags.strings())
        names: dict[str, int] = {}
        known = [_tag(data, names) for data in coded.dictionary.to_pylist()]
        begins, ends, label = (
            (np.array(column, dtype=np.int64) for column in zip(*known, strict=True))
            if known
            else (np.zeros(0, dtype=np.int64),) * 3
        )
        code = np.asarray(coded.indices)
        self.labels = list(names)
        self.label = label[code]
        self.inside = self.label >= 0
        self.whole = np.ones(len(tags.counts), dtype=bool)
        self.whole[tags.line[self.label == _MALFORMED]] = False
        goes_on = np.zeros(len(code), dtype=bool)
        goes_on[1:] = (self.label[1:] == self.label[:-1]) & (tags.line[1:] == tags.line[:-1])
        goes_on[1:] &= (begins[code][1:] == 0) & (ends[code][:-1] == 0)
        goes_on &= self.inside
        self.opens = self.inside & ~goes_on
        self.closes = self.inside.copy()
        self.closes[:-1] &= ~goes_on[1:]
        self.neighbours = np.zeros(len(tags.counts), dtype=bool)
        first = np.flatnonzero(self.opens)
        twice = (self.label[first][1:] == self.label[first][:-1]) & (tags.line[first][1:] == tags.line[first][:-1])
        self.neighbours[tags.line[first][1:][twice]] = True


_OUTSIDE, _MALFORMED = -1, -2


def _tag(data: bytes, names: dict[str, int]) -> tuple[int, int, int]:
    """Whether a tag begins a slot, whether it closes it, and the number of its label."""
    if data == b"O":
        return 0, 0, _OUTSIDE
    found = parts(data.decode("utf-8", "replace"))
    if found is None or not is_label(found[2]):
        return 0, 0, _MALFORMED
    return int(found[0]), int(found[1]), names.setdefault(found[2], len(names))


def _intents(labels: bytes, multi_intent: str) -> tuple[list[str], np.ndarray, np.ndarray]:
    """(distinct intents, which one each line has, whether it is one that needs no division)"""
    raw = np.frombuffer(labels, np.uint8)
    ends = np.flatnonzero(raw == ord("\n"))
    coded = pc.dictionary_encode(strings(raw[raw != ord("\n")], np.diff(ends, prepend=-1) - 1, pa.binary()))
    names = [data.decode("utf-8", "replace").strip(" \t") for data in coded.dictionary.to_pylist()]
    plain = [is_label(name) and all(found := name.split("#")) and _one(found, multi_intent) for name in names]
    code = np.asarray(coded.indices)
    return names, code, np.array(plain, dtype=bool)[code]


def _one(intents: list[str], multi_intent: str) -> bool:
    return len(intents) == 1 or multi_intent == "label"


def _rows(
    lines: Lines,
    spoken: _Tokens,
    marked: _Tokens,
    slots: _Slots,
    intents: list[str],
    intent_of: np.ndarray,
    good: np.ndarray,
    settings: Settings,
) -> pa.RecordBatch:
    """The columns of `shard.ROW` of the good lines."""
    counts, intent = spoken.counts[good], intent_of[good]
    kept = good[marked.line]
    inside, opens, closes, label = (flags[kept] for flags in (slots.inside, slots.opens, slots.closes, slots.label))
    words = spoken.strings(good)
    first = offsets(counts)
    row = np.repeat(np.arange(len(counts)), counts)
    within = np.flatnonzero(inside)
    held = words.take(pa.array(within))

    # Actions: where each one stands.
    steps = inside.astype(np.int64) + opens + closes
    before = offsets(steps)
    place = before[:-1] + 2 * row + 1
    starts = before[first] + 2 * np.arange(len(first))
    kinds = np.full(starts[-1], Kind.TER, dtype=np.int8)
    symbol = np.full(starts[-1], len(held) + len(slots.labels) + len(intents))  # an empty text
    copy = np.full(starts[-1], GENERATED, dtype=np.int32)
    root, opened, leaf = starts[:-1], place[opens], (place + opens)[inside]
    kinds[root] = kinds[opened] = Kind.NT
    kinds[starts[1:] - 1] = kinds[(place + steps - 1)[closes]] = Kind.RED
    symbol[root] = len(held) + len(slots.labels) + intent
    symbol[opened] = len(held) + label[opens]
    symbol[leaf] = np.arange(len(held))
    copy[leaf] = within - first[row[inside]]
    pool = pa.concat_arrays([held, pa.array([*slots.labels, *intents, ""], pa.string())])
    starts_ = pa.array(starts, pa.int32())

    source, size = lines.source, len(counts)
    line = pa.array(lines.first + np.flatnonzero(good))
    prefix = f"{source.corpus}/{source.file}:" if source.corpus else f"{source.file}:"
    constant = {
        "corpus": source.corpus,
        "domain": "",
        "file": source.file,
        "split": source.split,
        "licence": settings.licence,
        "locale": "",
    }
    made = {name: pa.repeat(pa.scalar(text, pa.string()), size) for name, text in constant.items()} | {
        "id": pc.binary_join_element_wise(pa.scalar(prefix), line.cast(pa.string()), ""),
        "line": line,
        "utterance": spoken.texts(good),
        "words": pa.ListArray.from_arrays(pa.array(first, pa.int32()), words),
        "tree": _trees(held, opens[inside], closes[inside], label[inside], row[inside], intent, slots.labels, intents),
        "actions": pa.ListArray.from_arrays(starts_, pa.array(kinds)),
        "symbols": pa.ListArray.from_arrays(starts_, pool.take(pa.array(symbol))),
        "copy": pa.ListArray.from_arrays(starts_, pa.array(copy)),
        "composed": pa.repeat(pa.scalar(False), size),
    }
    return pa.record_batch([made[name] for name in shard.ROW], schema=shard.ROW_SCHEMA)


def _trees(
    held: pa.StringArray,
    opens: np.ndarray,
    closes: np.ndarray,
    label: np.ndarray,
    row: np.ndarray,
    intent: np.ndarray,
    labels: list[str],
    intents: list[str],
) -> pa.StringArray:
    """The canonical text of each row.

    Args:
        held: the words in slots, of all rows.
        opens, closes, label, row: of each of them.
        intent: of each row.
    """
    # A row is the head of its intent; three pieces for each word: what stands before it, the word, what stands after
    # it; and the last bracket. Pieces that are taken in this order are the texts, one after the other.
    heads = [f"({name}" for name in intents] + [f"({name}()" for name in intents]
    befores = [f"({name}(" for name in labels]
    pool = pa.concat_arrays([held, pa.array([*heads, *befores, "(", ")", "))"], pa.string())])
    head, before = len(held), len(held) + len(heads)
    plain, after = before + len(befores), before + len(befores) + 1
    counts = np.bincount(row, minlength=len(intent))
    starts = offsets(3 * counts + 2)
    piece = np.full(starts[-1], after, dtype=np.int64)
    piece[starts[:-1]] = head + intent + len(intents) * (counts == 0)
    place = 3 * np.arange(len(held)) + 2 * row + 1
    piece[place] = np.where(opens, before + label, plain)
    piece[place + 1] = np.arange(len(held))
    piece[place + 2] = after + closes
    return joined(pool.take(pa.array(piece)), starts)


def replayed(made: pa.RecordBatch, settings: Settings) -> np.ndarray:
    """Which rows pass every check that a row must pass; the others are told by the definition what is wrong."""
    good = np.asarray(pc.fill_null(pc.equal(rebuild(made["actions"], made["symbols"]), made["tree"]), False))
    good = good & copies(made["copy"], made["actions"], made["symbols"], made["words"])
    good &= np.asarray(pc.binary_length(made["tree"])) <= MOST_BYTES
    if settings.ontology is not None and made.num_rows:
        shown, form = forms(made["actions"], made["symbols"])
        some = made.take(pa.array(shown))
        steps = (some[name].to_pylist() for name in ("actions", "symbols", "copy"))
        allowed = [not settings.refuses(bytes(k), s, c) for k, s, c in zip(*steps, strict=True)]
        good &= np.array(allowed, dtype=bool)[form]
    return good


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
