"""Rows of a shard -> index columns: every pointer of every action, known beforehand from the oracle.

All rows of a block take their actions in lock-step, so the work is array operations as many as the
longest row has actions, not a loop over actions: a few hundred thousand rows a second, which is why
the columns are worked out when a block is read and stored nowhere.

    R rows   N actions of all rows, one row after the other   D open nodes   L labels
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from grammar.actions import GENERATED, Kind
from grammar.ontology import Ontology
from grammar.shard import ShardError
from parser.legal import Legal
from parser.vocab import RED_SYMBOL, Vocab

ROW_COLUMNS = ("id", "domain", "words", "tree", "actions", "symbols", "copy")
_TOGETHER = 4096
"""Rows in lock-step; more would need more memory for what each open node holds."""


class Ragged:
    """Rows of unequal length in one flat array: `values`, and where each row starts."""

    def __init__(self, values: np.ndarray, starts: np.ndarray) -> None:
        self.values, self.starts = values, starts

    def __len__(self) -> int:
        return len(self.starts) - 1

    def lengths(self, index: np.ndarray) -> np.ndarray:
        """How long the rows are."""
        return self.starts[index + 1] - self.starts[index]

    def flat(self, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(values of the rows one after the other, number of the row within `index` of each)."""
        places, owner = self.places(index)
        return self.values[places], owner

    def places(self, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(where the values of the rows stand, number of the row within `index` of each)."""
        lengths = self.lengths(index)
        owner = np.repeat(np.arange(len(index)), lengths)
        first = np.repeat(self.starts[index] - (np.cumsum(lengths) - lengths), lengths)
        return first + np.arange(len(owner)), owner

    def pad(self, index: np.ndarray, fill: int) -> np.ndarray:
        """[rows, longest] values, short rows filled up."""
        return padded([self], index, [fill])[0]


def padded(columns: Sequence[Ragged], index: np.ndarray, fills: Sequence[int]) -> list[np.ndarray]:
    """`Ragged.pad` of columns whose rows are equally long, so that places are worked out once."""
    lengths, (places, _) = columns[0].lengths(index), columns[0].places(index)
    width = max(1, int(lengths.max()))
    to = np.flatnonzero(np.arange(width)[None] < lengths[:, None])
    lines = [np.full(len(index) * width, fill, dtype=np.int64) for fill in fills]
    for line, column in zip(lines, columns, strict=True):
        line[to] = column.values[places]
    return [line.reshape(-1, width) for line in lines]


@dataclass(slots=True)
class Columns:
    """The pointers of R rows; each of the first group has one value an action.

    Attributes:
        symbol: the symbol of the action; -1 for a copied word.
        copy: the position it copies; -1 otherwise.
        surface, lexical: for TER, its word's number among all spellings, and its lexicon symbol or -1.
        parent: label number of the open node before the action, L for none.
        sibling: symbol of that node's last finished child: its label, 0 for none, S for a word.
        front: the word after the last copied one, 0 before any.
        red: whether RED was legal.
        below: the step whose stack element lies below the one this action pushes; -1 for the bottom.
        height: of RED: 1 for a node of leaves; 0 for other actions.
        blocked: (step, label number) pairs: children that the open node has and may not repeat.
        child: (step of RED, step of a child) pairs.
        word, word_surface, word_lexical: for every word its id, spelling and lexicon symbol or -1.
        spellings: every distinct word of the rows.
    """

    symbol: Ragged
    copy: Ragged
    surface: Ragged
    lexical: Ragged
    parent: Ragged
    sibling: Ragged
    front: Ragged
    red: Ragged
    below: Ragged
    height: Ragged
    blocked: Ragged
    child: Ragged
    word: Ragged
    word_surface: Ragged
    word_lexical: Ragged
    spellings: list[str]


def columns(table: pa.Table, vocab: Vocab, ontology: Ontology, copying: bool = True) -> Columns:
    """Find the pointers of all rows of a table with `ROW_COLUMNS`.

    Args:
        table: rows of a shard.
        vocab: names to ids.
        ontology: what the rows must obey.
        copying: whether copy positions count; without it every leaf comes from the lexicon.

    Raises:
        ShardError: an action that the ontology does not allow; names the row.
    """
    kind_N, starts = _list(table["actions"])
    names, spelled_as = _distinct(table["symbols"].combine_chunks().flatten())
    is_word = kind_N == Kind.TER
    number = {label: i for i, label in enumerate(vocab.labels)}
    label_N = np.array([number.get(name, -1) for name in names], dtype=np.int64)[spelled_as]
    lexical_N = np.array([vocab.lexical(name) for name in names], dtype=np.int64)[spelled_as]
    copy_N = _list(table["copy"])[0].astype(np.int64)
    place_N = np.where(is_word & (copy_N != GENERATED) & copying, copy_N, -1)

    word_column = table["words"].combine_chunks()
    word_starts = _offsets(word_column)
    words, word_N = _distinct(word_column.flatten())
    spellings, surface = _numbered(words, names)
    walk = _Walk(kind_N, label_N, place_N, starts, vocab, ontology)
    for first in range(0, len(table), _TOGETHER):
        if (bad := walk.run(first, min(first + _TOGETHER, len(table)))) is not None:
            row, step, above = bad
            raise _illegal(table.slice(row, 1).to_pylist()[0], step, above)

    def steps(values: np.ndarray) -> Ragged:
        return Ragged(values, starts)

    def of_words(values: list[int]) -> Ragged:
        return Ragged(np.array(values, dtype=np.int64)[word_N], word_starts)

    symbol_N = np.where(kind_N == Kind.RED, RED_SYMBOL, np.where(is_word, lexical_N, label_N + 1))
    return Columns(
        symbol=steps(np.where(place_N >= 0, -1, symbol_N)),
        copy=steps(place_N),
        surface=steps(np.where(is_word, np.array([surface[name] for name in names])[spelled_as], -1)),
        lexical=steps(np.where(is_word, lexical_N, -1)),
        parent=steps(walk.parent),
        sibling=steps(walk.sibling),
        front=steps(walk.front),
        red=steps(walk.red),
        below=steps(walk.below),
        height=steps(walk.height),
        blocked=walk.blocked(),
        child=walk.children(),
        word=of_words([vocab.word(word) for word in words]),
        word_surface=of_words([surface[word] for word in words]),
        word_lexical=of_words([vocab.lexical(word) for word in words]),
        spellings=spellings,
    )


class _Walk:
    """Takes the actions of many rows in lock-step and notes what each one sees."""

    def __init__(
        self,
        kind: np.ndarray,
        label: np.ndarray,
        place: np.ndarray,
        starts: np.ndarray,
        vocab: Vocab,
        ontology: Ontology,
    ) -> None:
        self.kind, self.label, self.place, self.starts = kind, label, place, starts
        self.labels, self.symbols = vocab.labels, vocab.symbols
        legal = Legal(ontology, vocab.labels)
        self.takes, self.once = legal.takes_PL.numpy(), legal.once_PL.numpy()
        self.required, self.words, self.least = legal.required_PL.numpy(), legal.words_P.numpy(), legal.least_P.numpy()
        size = len(kind)
        self.parent, self.sibling, self.front = (np.zeros(size, dtype=np.int64) for _ in range(3))
        self.red = np.zeros(size, dtype=np.int64)
        self.below, self.height = np.full(size, -1, dtype=np.int64), np.zeros(size, dtype=np.int64)
        self.owner = np.full(size, -1, dtype=np.int64)  # where the node was opened that this element is a child of
        self.closed = np.full(size, -1, dtype=np.int64)  # for NT: where it was closed
        self.blocked_at: list[tuple[np.ndarray, np.ndarray]] = []

    def run(self, first: int, last: int) -> tuple[int, int, str] | None:
        """Walk rows `first` to `last`; returns a forbidden action, if any, as (row, step, open node)."""
        size = len(self.labels)
        length = np.diff(self.starts[first : last + 1])
        rows = np.argsort(-length, kind="stable")  # the rows still going are always the first ones
        length, at = length[rows], self.starts[first:last][rows]
        opens = (self.kind == Kind.NT).astype(np.int64) - (self.kind == Kind.RED)
        deep = 2 + int(_depth(opens[self.starts[first] : self.starts[last]], self.starts[first : last + 1]))
        every = np.arange(len(rows))
        depth, front = np.zeros_like(every), np.zeros_like(every)
        opened, label, sibling, total, tall = (np.zeros((len(rows), deep), dtype=np.int64) for _ in range(5))
        label[:, 0], opened[:, 0] = size, -1
        seen = np.zeros((len(rows), deep, size), dtype=bool)
        for step in range(int(length.max(initial=0))):
            n = int(np.searchsorted(-length, -step))
            r, d, here = every[:n], depth[:n], at[:n] + step
            top, held = label[r, d], seen[r, d]
            kind, child = self.kind[here], self.label[here]
            is_open, is_word, is_red = kind == Kind.NT, kind == Kind.TER, kind == Kind.RED
            absent = self.required[top] & ~held
            lack = self.least[top] - total[r, d] - absent.sum(-1)
            may_close = (d > 0) & ~absent.any(-1) & (lack <= 0)
            barred = held & self.once[top]
            safe = np.maximum(child, 0)
            fits = (child >= 0) & self.takes[top, safe] & ~barred[r, safe]
            wrong = (is_open & ~fits) | (is_word & ~self.words[top]) | (is_red & ~may_close)
            if wrong.any():
                i = int(np.flatnonzero(wrong)[0])
                return first + int(rows[i]), step, self.labels[top[i]] if top[i] < size else "nothing"
            self.parent[here], self.sibling[here] = top, sibling[r, d]
            self.front[here], self.red[here] = front[:n], may_close
            where, which = np.nonzero(barred)
            self.blocked_at.append((here[where], which))
            # Effects. A closed node becomes a child of the node below it.
            start = opened[r, d]
            self.below[here] = step - 1
            self.below[here[is_red]] = start[is_red] - at[:n][is_red] - 1
            self.closed[start[is_red]] = here[is_red]
            self.height[here[is_red]] = 1 + tall[r, d][is_red]
            self.owner[here[is_word]] = start[is_word]
            up = np.maximum(d - 1, 0)
            self.owner[here[is_red]] = opened[r, up][is_red]
            total[r, d] += is_open | is_word
            a = r[is_open]
            seen[a, d[is_open], child[is_open]] = True
            a, b = r[is_red], up[is_red]
            tall[a, b] = np.maximum(tall[a, b], self.height[here[is_red]])
            sibling[a, b] = top[is_red] + 1
            sibling[r[is_word], d[is_word]] = self.symbols
            copied = self.place[here] >= 0
            front[:n][copied] = self.place[here][copied] + 1
            depth[:n] += is_open.astype(np.int64) - is_red
            a, b = r[is_open], depth[:n][is_open]
            label[a, b], opened[a, b] = child[is_open], here[is_open]
            seen[a, b], total[a, b], sibling[a, b], tall[a, b] = False, 0, 0, 0
        return None

    def blocked(self) -> Ragged:
        """(step, label number) pairs by row."""
        if not self.blocked_at:
            return self._by_row(np.zeros(0, dtype=np.int64), np.zeros((0, 2), dtype=np.int64))
        where = np.concatenate([a for a, _ in self.blocked_at])
        which = np.concatenate([b for _, b in self.blocked_at])
        order = np.argsort(where, kind="stable")
        return self._by_row(where[order], np.stack([where[order], which[order]], 1))

    def children(self) -> Ragged:
        """(step of RED, step of a child) pairs by row."""
        child = np.flatnonzero(self.owner >= 0)
        return self._by_row(child, np.stack([self.closed[self.owner[child]], child], 1), 2)

    def _by_row(self, where: np.ndarray, pairs: np.ndarray, columns: int = 1) -> Ragged:
        """Pairs that stand at places `where`, which rise; the first columns become steps within the row."""
        row = np.searchsorted(self.starts, where, side="right") - 1
        pairs[:, :columns] -= self.starts[row][:, None]
        return Ragged(pairs, np.searchsorted(where, self.starts))


def _illegal(row: dict[str, Any], step: int, above: str) -> ShardError:
    kind = Kind(row["actions"][step])
    what = {Kind.NT: f"`{row['symbols'][step]}` below", Kind.TER: "a word below", Kind.RED: "the end of"}[kind]
    return ShardError(
        f"row {row['id']}: the ontology does not allow {what} `{above}` in {row['tree']}; "
        "mend ontology.toml beside the shards, or convert again without --ontology"
    )


def _depth(change: np.ndarray, starts: np.ndarray) -> int:
    """The most nodes that are open at once in any row."""
    if not len(change):
        return 0
    depth = np.cumsum(change)
    offset = np.repeat(np.concatenate([[0], depth])[starts[:-1] - starts[0]], np.diff(starts))
    return int((depth - offset).max(initial=0))


def _offsets(column: pa.Array) -> np.ndarray:
    starts = column.offsets.to_numpy().astype(np.int64)
    return starts - starts[0]


def _list(column: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
    """(values, starts) of a list column."""
    whole = column.combine_chunks()
    return whole.flatten().to_numpy(zero_copy_only=False), _offsets(whole)


def _distinct(column: pa.Array) -> tuple[list[str], np.ndarray]:
    """(distinct strings, which one each value is)."""
    coded = pc.dictionary_encode(column)
    return coded.dictionary.to_pylist(), coded.indices.to_numpy(zero_copy_only=False).astype(np.int64)


def _numbered(*groups: list[str]) -> tuple[list[str], dict[str, int]]:
    """(distinct strings of all groups, number of each)."""
    number = {word: i for i, word in enumerate(dict.fromkeys(word for group in groups for word in group))}
    return list(number), number
