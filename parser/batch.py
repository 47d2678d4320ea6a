"""Rows of a shard -> padded batches of tensors.

    B utterances   W words (padded)   T actions (padded)   U distinct words   C characters
    P characters of all distinct words   S symbols (see `vocab`)

Under teacher forcing every pointer of every step is known beforehand, so a whole batch needs no
loop over actions: `columns` finds the pointers, `Batch` lines them up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from grammar.ontology import Ontology
from parser.columns import Ragged, columns, padded
from parser.pretrained import Pieces, lined_up
from parser.vocab import MAX_CHARS, PAD, Vocab


@dataclass(slots=True)
class Input:
    """What is known of utterances when they are parsed.

    word_BW: word ids, PAD after the end.   length_B: words of each.
    chars_UC, which_BW: the characters of the batch's distinct words, and which one each word is.
    letter_P, letters_U: where in a row of C + 2 (one PAD on either side) each character of all words
    stands, all rows in one line; and how many each word has.
    surface_BW: number of the word's spelling, -1 after the end: equal words have equal numbers.
    lexical_BW: the word's symbol in the lexicon, or -1.
    domain_B: the domain's number, where the model is given one.
    piece_BP, pieces_B, first_BW: word pieces, how many, and each word's first, for a pretrained transformer.
    """

    word_BW: Tensor
    length_B: Tensor
    chars_UC: Tensor
    letter_P: Tensor
    letters_U: Tensor
    which_BW: Tensor
    surface_BW: Tensor
    lexical_BW: Tensor
    domain_B: Tensor
    piece_BP: Tensor
    pieces_B: Tensor
    first_BW: Tensor

    def tensors(self) -> dict[str, Tensor]:
        """The fields that are tensors."""
        every = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: value for name, value in every.items() if isinstance(value, Tensor)}

    def to(self, device: torch.device | str) -> Any:
        """The same on another device; asynchronous where the memory is pinned."""
        if torch.device(device).type == "cpu":
            return self
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def pin(self) -> Any:
        """The same in page-locked memory, from which a GPU copies without waiting."""
        return self._each(lambda tensor: tensor.pin_memory())

    def _each(self, change: Any) -> Any:
        every = {f.name: getattr(self, f.name) for f in fields(self)}
        return type(self)(**(every | {name: change(value) for name, value in self.tensors().items()}))


@dataclass(slots=True)
class Batch(Input):
    """An input with its gold actions; see `columns.Columns` for the columns, here padded to [B, T].

    real_BT: where there is an action.   actions: how many there are.
    copying_K, source_K: the actions that copy, as places in [B T], and their words, as places in [B W].
    kind_BT: 0 for NT, 1 for TER, 2 for RED and padding.   opening_K, leaf_K: the NT and the TER, as places in [B T].
    blocked_X3: (row, step, label) of children that may not come again.
    The stack as a wavefront, over the N real actions numbered row by row; empty without a stack:
    real_N: their places in [B T]; level_sizes: how many elements lie at each depth; order_N: the actions by depth;
    under_N: for each of these, its place in the level below (level 0 is the B bottoms).
    closed: per height of nodes, (RED actions, children, which of the REDs each child belongs to).
    """

    real_BT: Tensor
    symbol_BT: Tensor
    copy_BT: Tensor
    surface_BT: Tensor
    lexical_BT: Tensor
    parent_BT: Tensor
    sibling_BT: Tensor
    front_BT: Tensor
    red_BT: Tensor
    copying_K: Tensor
    source_K: Tensor
    kind_BT: Tensor
    opening_K: Tensor
    leaf_K: Tensor
    blocked_X3: Tensor
    real_N: Tensor
    order_N: Tensor
    under_N: Tensor
    level_sizes: list[int]
    closed: list[tuple[Tensor, Tensor, Tensor]]
    actions: int

    def _each(self, change: Any) -> Batch:
        moved: Batch = Input._each(self, change)
        moved.closed = [(change(a), change(b), change(c)) for a, b, c in self.closed]
        return moved


_FILL = {
    "symbol": -1,
    "copy": -1,
    "surface": -1,
    "lexical": -1,
    "parent": 0,
    "sibling": 0,
    "front": 0,
    "red": 0,
}


class Examples:
    """Some rows with their index columns.

    Args:
        table: rows with `columns.ROW_COLUMNS`.
        vocab, ontology: of the model.
        copying: whether leaves may be copied.
        stack: also line up what a stack-LSTM needs.
    """

    def __init__(
        self, table: pa.Table, vocab: Vocab, ontology: Ontology, copying: bool = True, stack: bool = True
    ) -> None:
        self.columns, self.stack = columns(table, vocab, ontology, copying), stack
        self.characters, self.letters = _spelled(self.columns.spellings, vocab)
        self.splitter = vocab.splitter
        self.pieces = [vocab.splitter.of(word) for word in self.columns.spellings] if vocab.splitter else []
        names = table["domain"].to_pylist()
        self.domain = np.array([vocab.domain(name) for name in names] if vocab.domains else [0] * len(names))
        self.labels = len(vocab.labels)

    def __len__(self) -> int:
        return len(self.columns.word)

    def actions(self) -> np.ndarray:
        """How many actions each example has."""
        return np.diff(self.columns.symbol.starts)

    def words(self) -> np.ndarray:
        """How many words each example has."""
        return np.diff(self.columns.word.starts)

    def batch(self, index: Sequence[int] | np.ndarray) -> Batch:
        """Line up some examples."""
        rows, cols = np.asarray(index, dtype=np.int64), self.columns
        surface_BW, word_BW, lexical_BW = padded((cols.word_surface, cols.word, cols.word_lexical), rows, (-1, PAD, -1))
        distinct, which = np.unique(surface_BW.clip(0), return_inverse=True)
        count = cols.symbol.lengths(rows)
        made = padded([getattr(cols, name) for name in _FILL], rows, list(_FILL.values()))
        steps = {f"{name}_BT": torch.from_numpy(column) for name, column in zip(_FILL, made, strict=True)}
        copy_BT = steps["copy_BT"].numpy()
        row, step = np.nonzero(copy_BT >= 0)
        symbol_BT = steps["symbol_BT"].numpy()
        leaves, opens = (copy_BT >= 0) | (symbol_BT > self.labels), (symbol_BT > 0) & (symbol_BT <= self.labels)
        pairs, owner = cols.blocked.flat(rows)
        real_BT = np.arange(count.max())[None] < count[:, None]
        nothing = torch.zeros(0, dtype=torch.long)
        order, under, sizes = self._levels(rows, count) if self.stack else (nothing, nothing, [])
        return Batch(
            word_BW=torch.from_numpy(word_BW),
            length_B=torch.from_numpy(cols.word.lengths(rows)),
            **_characters(self.characters[distinct], self.letters[distinct]),
            which_BW=torch.from_numpy(which.reshape(surface_BW.shape)),
            surface_BW=torch.from_numpy(surface_BW),
            lexical_BW=torch.from_numpy(lexical_BW),
            domain_B=torch.from_numpy(self.domain[rows]),
            **_word_pieces(self._pieces_of(surface_BW, cols.word.lengths(rows)), self.splitter),
            real_BT=torch.from_numpy(real_BT),
            copying_K=torch.from_numpy(row * copy_BT.shape[1] + step),
            source_K=torch.from_numpy(row * surface_BW.shape[1] + copy_BT[row, step]),
            kind_BT=torch.from_numpy(np.where(opens, 0, np.where(leaves, 1, 2))),
            opening_K=torch.from_numpy(np.flatnonzero(opens)),
            leaf_K=torch.from_numpy(np.flatnonzero(leaves)),
            blocked_X3=torch.from_numpy(np.concatenate([owner[:, None], pairs], 1)),
            real_N=torch.from_numpy(np.flatnonzero(real_BT)) if self.stack else nothing,
            order_N=order,
            under_N=under,
            level_sizes=sizes,
            closed=self._closed(rows, count) if self.stack else [],
            actions=int(count.sum()),
            **steps,
        )

    def _pieces_of(self, surface_BW: np.ndarray, length_B: np.ndarray) -> list[list[list[int]]]:
        if self.splitter is None:
            return []
        return [[self.pieces[i] for i in row[:n]] for row, n in zip(surface_BW.tolist(), length_B, strict=True)]

    def _levels(self, rows: np.ndarray, count: np.ndarray) -> tuple[Tensor, Tensor, list[int]]:
        below, owner = self.columns.below.flat(rows)
        first = np.cumsum(count) - count
        size = len(below)
        # Elements are numbered by action; the bottoms come after them, one a row.
        flat = np.where(below < 0, size + owner, first[owner] + below)
        level = np.zeros(size + len(rows), dtype=np.int64)
        # `below` always points to an earlier action, so one pass a step number is enough.
        step = np.arange(size) - first[owner]
        for t in range(int(count.max())):
            here = np.flatnonzero(step == t)
            level[here] = level[flat[here]] + 1
        order = np.argsort(level[:size], kind="stable")
        sizes = np.bincount(level[:size])[1:]
        place = np.zeros(size + len(rows), dtype=np.int64)
        place[size:] = np.arange(len(rows))
        place[order] = np.arange(size) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        return torch.from_numpy(order), torch.from_numpy(place[flat[order]]), sizes.tolist()

    def _closed(self, rows: np.ndarray, count: np.ndarray) -> list[tuple[Tensor, Tensor, Tensor]]:
        height, _ = self.columns.height.flat(rows)
        pairs, owner = self.columns.child.flat(rows)
        first = np.cumsum(count) - count
        red, child = first[owner] + pairs[:, 0], first[owner] + pairs[:, 1]
        closed = []
        for h in range(1, int(height.max()) + 1):
            nodes = np.flatnonzero(height == h)
            mine = height[red] == h
            local = np.searchsorted(nodes, red[mine])
            closed.append((torch.from_numpy(nodes), torch.from_numpy(child[mine]), torch.from_numpy(local)))
        return closed


def make_input(utterances: Sequence[Sequence[str]], vocab: Vocab) -> Input:
    """Line up utterances (lists of words, none empty) for parsing."""
    flat = [word for words in utterances for word in words]
    number = {word: i for i, word in enumerate(dict.fromkeys(flat))}
    length = np.array([len(words) for words in utterances])
    starts = np.concatenate([[0], np.cumsum(length)])
    every = np.arange(len(utterances))
    surface = np.array([number[word] for word in flat])
    ids = np.array([vocab.word(word) for word in number])
    lexical = np.array([vocab.lexical(word) for word in number])
    surface_BW = Ragged(surface, starts).pad(every, -1)
    return Input(
        word_BW=torch.from_numpy(Ragged(ids[surface], starts).pad(every, PAD)),
        length_B=torch.from_numpy(length),
        **_characters(*_spelled(list(number), vocab)),
        which_BW=torch.from_numpy(surface_BW.clip(0)),
        surface_BW=torch.from_numpy(surface_BW),
        lexical_BW=torch.from_numpy(Ragged(lexical[surface], starts).pad(every, -1)),
        domain_B=torch.zeros(len(utterances), dtype=torch.long),
        **_word_pieces(
            [[vocab.splitter.of(word) for word in words] for words in utterances] if vocab.splitter else [],
            vocab.splitter,
        ),
    )


def _word_pieces(utterances: list[list[list[int]]], splitter: Pieces | None) -> dict[str, Tensor]:
    """The fields of `Input` for a pretrained transformer; empty without one."""
    none = torch.zeros(0, dtype=torch.long)
    piece_BP, pieces_B, first_BW = (none, none, none) if splitter is None else lined_up(utterances, splitter)
    return {"piece_BP": piece_BP, "pieces_B": pieces_B, "first_BW": first_BW}


def _spelled(words: list[str], vocab: Vocab) -> tuple[np.ndarray, np.ndarray]:
    """([words, MAX_CHARS] character ids, how many each word has)."""
    rows = [vocab.spelling(word) for word in words] or [[PAD]]
    letters = np.array([len(row) for row in rows])
    table = np.full((len(rows), MAX_CHARS), PAD, dtype=np.int64)
    table[np.arange(MAX_CHARS)[None] < letters[:, None]] = [char for row in rows for char in row]
    return table, letters


def _characters(table: np.ndarray, letters: np.ndarray) -> dict[str, Tensor]:
    """The fields of `Input` that tell how words are spelt."""
    width = int(letters.max())
    row, column = np.nonzero(np.arange(width)[None] < letters[:, None])
    return {
        "chars_UC": torch.from_numpy(table[:, :width]),
        "letter_P": torch.from_numpy(row * (width + 2) + column + 1),
        "letters_U": torch.from_numpy(letters),
    }
