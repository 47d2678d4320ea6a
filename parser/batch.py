"""Shards -> batches: index columns computed once, length buckets, an order that can be taken up anywhere.

    B utterances   W words (padded)   T actions (padded)   U distinct words   C characters
    S symbols (see `vocab`)

Under teacher forcing every pointer of every step is known beforehand, so a whole batch needs no
loop over actions: `Columns` finds the pointers of one example, `Batch` lines them up.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from grammar.actions import GENERATED, Kind
from grammar.ontology import Ontology
from grammar.shard import ShardError, read_split
from parser.vocab import MAX_CHARS, PAD, RED_SYMBOL, Vocab

ROW_COLUMNS = ("id", "domain", "words", "tree", "actions", "symbols", "copy")


def read_rows(directory: str | Path, split: str) -> Iterator[dict[str, Any]]:
    """The rows of one split as dicts of the columns that the parser needs."""
    for table in read_split(directory, split, ROW_COLUMNS):
        yield from table.to_pylist()


@dataclass(slots=True)
class Columns:
    """The pointers of one example's actions, `T` long each unless said otherwise.

    Attributes:
        symbol: the symbol of the action; -1 for a copied word.
        copy: the position it copies; -1 otherwise.
        surface, lexical: for TER, its word's number among all spellings, and its lexicon symbol or -1.
        parent: label number of the open node before the action, L for none.
        sibling: symbol of that node's last finished child: its label, 0 for none, S for a word.
        front: the word after the last copied one, 0 before any.
        red: whether RED was legal.
        blocked: (step, label number) pairs: children that the open node has and may not repeat.
        below: the step whose stack element lies below the one this action pushes; -1 for the bottom.
        child: (step of RED, step of a child) pairs.
        height: of RED: 1 for a node of leaves; 0 for other actions.
    """

    symbol: list[int]
    copy: list[int]
    surface: list[int]
    lexical: list[int]
    parent: list[int]
    sibling: list[int]
    front: list[int]
    red: list[int]
    blocked: list[tuple[int, int]]
    below: list[int]
    child: list[tuple[int, int]]
    height: list[int]


class Spellings:
    """Every distinct word once, so that its characters are read once per batch."""

    def __init__(self, vocab: Vocab) -> None:
        self.vocab = vocab
        self.number: dict[str, int] = {}
        self.rows: list[list[int]] = []

    def __call__(self, word: str) -> int:
        if word not in self.number:
            self.number[word] = len(self.rows)
            self.rows.append(self.vocab.spelling(word))
        return self.number[word]

    def table(self) -> np.ndarray:
        """[spellings, MAX_CHARS] character ids, padded with 0."""
        table = np.zeros((max(1, len(self.rows)), MAX_CHARS), dtype=np.int64)
        for i, row in enumerate(self.rows):
            table[i, : len(row)] = row
        return table


def columns(row: dict[str, Any], vocab: Vocab, ontology: Ontology, spell: Spellings, copying: bool = True) -> Columns:
    """Find the pointers of one row.

    Raises:
        ShardError: an action that the ontology does not allow; names the row.
    """
    number = {label: i for i, label in enumerate(vocab.labels)}
    out = Columns([], [], [], [], [], [], [], [], [], [], [], [])
    open_steps: list[int] = []  # step of each open NT
    open_labels: list[str] = []
    finished: list[list[str]] = []  # labels of the finished children that are nodes
    totals: list[int] = []
    siblings: list[int] = []
    children: list[list[int]] = []  # steps that pushed the children
    front = 0
    for step, (kind, symbol, copy) in enumerate(zip(row["actions"], row["symbols"], row["copy"], strict=True)):
        top = open_labels[-1] if open_labels else None
        out.parent.append(number[top] if top is not None else len(number))
        out.sibling.append(siblings[-1] if siblings else 0)
        out.front.append(front)
        legal_red = bool(open_labels) and not ontology.missing(open_labels[-1], finished[-1], totals[-1])
        out.red.append(int(legal_red))
        if top is not None:
            held = set(finished[-1]) - ontology.nodes[top].repeated
            out.blocked += [(step, number[label]) for label in sorted(held)]
        below, height, surface, lexical = step - 1, 0, -1, -1
        if kind == Kind.NT:
            roots_or_takes = symbol in ontology.roots if top is None else ontology.takes(top, symbol, finished[-1])
            if not roots_or_takes:
                raise _illegal(row, f"`{symbol}` below `{top or 'nothing'}`")
            if open_steps:
                children[-1].append(-1)  # filled when it is closed
            open_steps.append(step)
            open_labels.append(symbol)
            for stack in (finished, children):
                stack.append([])
            totals.append(0)
            siblings.append(0)
            code, place = vocab.label(symbol), -1
        elif kind == Kind.TER:
            if top is None or not ontology.takes_words(top):
                raise _illegal(row, f"a word below `{top or 'nothing'}`")
            surface, lexical = spell(symbol), vocab.lexical(symbol)
            place = copy if copying and copy != GENERATED else -1
            code = -1 if place >= 0 else lexical
            front = place + 1 if place >= 0 else front
            totals[-1] += 1
            siblings[-1] = vocab.symbols
            children[-1].append(step)
        else:
            if not legal_red:
                raise _illegal(row, f"the end of `{top or 'nothing'}`")
            code, place = RED_SYMBOL, -1
            start, label = open_steps.pop(), open_labels.pop()
            finished.pop(), totals.pop(), siblings.pop()
            parts = children.pop()
            below = start - 1
            out.child += [(step, part) for part in parts]
            height = 1 + max((out.height[part] for part in parts), default=0)
            if open_steps:
                children[-1][-1] = step
                finished[-1].append(label)
                totals[-1] += 1
                siblings[-1] = vocab.label(label)
        for name, value in (("symbol", code), ("copy", place), ("surface", surface), ("lexical", lexical)):
            getattr(out, name).append(value)
        out.below.append(below)
        out.height.append(height)
    return out


def _illegal(row: dict[str, Any], what: str) -> ShardError:
    return ShardError(
        f"row {row['id']}: the ontology does not allow {what} in {row['tree']}; "
        "mend ontology.toml beside the shards, or convert again without --ontology"
    )


class Ragged:
    """Rows of unequal length in one flat array: `values`, and where each row starts."""

    def __init__(self, rows: Iterable[Sequence[Any]], width: int = 0) -> None:
        rows = list(rows)
        flat = [value for row in rows for value in row]
        self.values = np.asarray(flat, dtype=np.int64).reshape((-1, width) if width else (-1,))
        self.starts = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)

    def lengths(self, index: np.ndarray) -> np.ndarray:
        """How long the rows are."""
        return self.starts[index + 1] - self.starts[index]

    def flat(self, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(values of the rows one after the other, number of the row within `index` of each)."""
        lengths = self.lengths(index)
        owner = np.repeat(np.arange(len(index)), lengths)
        first = np.repeat(self.starts[index], lengths)
        within = np.arange(len(owner)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        return self.values[first + within], owner

    def pad(self, index: np.ndarray, fill: int) -> np.ndarray:
        """[rows, longest] values, short rows filled up."""
        lengths = self.lengths(index)
        out = np.full((len(index), max(1, int(lengths.max()))), fill, dtype=np.int64)
        out[np.arange(out.shape[1])[None] < lengths[:, None]] = self.flat(index)[0]
        return out


@dataclass(slots=True)
class Input:
    """What is known of utterances when they are parsed.

    word_BW: word ids, PAD after the end.   length_B: words of each.
    chars_UC, which_BW: the characters of the batch's distinct words, and which one each word is.
    surface_BW: number of the word's spelling, -1 after the end: equal words have equal numbers.
    lexical_BW: the word's symbol in the lexicon, or -1.
    """

    word_BW: Tensor
    length_B: Tensor
    chars_UC: Tensor
    which_BW: Tensor
    surface_BW: Tensor
    lexical_BW: Tensor

    def to(self, device: torch.device | str) -> Any:
        """The same on another device."""
        return type(self)(
            **{
                f.name: value.to(device, non_blocking=True)
                if isinstance(value := getattr(self, f.name), Tensor)
                else value
                for f in fields(self)
            }
        )


@dataclass(slots=True)
class Batch(Input):
    """An input with its gold actions; see `Columns` for the columns, here padded to [B, T].

    real_BT: where there is an action.
    blocked_X3: (row, step, label) of children that may not come again.
    The stack as a wavefront, over the N real actions numbered row by row:
    level_sizes: how many elements lie at each depth; order_N: the actions by depth;
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
    blocked_X3: Tensor
    order_N: Tensor
    under_N: Tensor
    level_sizes: list[int]
    closed: list[tuple[Tensor, Tensor, Tensor]]

    def to(self, device: torch.device | str) -> Batch:
        """The same on another device."""
        moved: Batch = Input.to(self, device)
        moved.closed = [(a.to(device), b.to(device), c.to(device)) for a, b, c in self.closed]
        return moved


_STEP_COLUMNS = {
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
    """All examples of a split with their index columns."""

    def __init__(self, rows: Iterable[dict[str, Any]], vocab: Vocab, ontology: Ontology, copying: bool = True) -> None:
        spell = Spellings(vocab)
        words: list[list[int]] = []
        surfaces: list[list[int]] = []
        lexicals: list[list[int]] = []
        cols: list[Columns] = []
        for row in rows:
            words.append([vocab.word(word) for word in row["words"]])
            surfaces.append([spell(word) for word in row["words"]])
            lexicals.append([vocab.lexical(word) for word in row["words"]])
            cols.append(columns(row, vocab, ontology, spell, copying))
        self.words, self.surfaces, self.lexicals = Ragged(words), Ragged(surfaces), Ragged(lexicals)
        self.steps = {name: Ragged(getattr(c, name) for c in cols) for name in (*_STEP_COLUMNS, "below", "height")}
        self.blocked = Ragged((c.blocked for c in cols), 2)
        self.child = Ragged((c.child for c in cols), 2)
        self.characters = spell.table()

    def __len__(self) -> int:
        return len(self.words.starts) - 1

    def actions(self) -> np.ndarray:
        """How many actions each example has."""
        return np.diff(self.steps["symbol"].starts)

    def batch(self, index: Sequence[int] | np.ndarray) -> Batch:
        """Line up some examples."""
        rows = np.asarray(index, dtype=np.int64)
        length = self.words.lengths(rows)
        surface_BW = self.surfaces.pad(rows, -1)
        distinct, which = np.unique(surface_BW.clip(0), return_inverse=True)
        count = self.steps["symbol"].lengths(rows)
        steps = {name: torch.from_numpy(self.steps[name].pad(rows, fill)) for name, fill in _STEP_COLUMNS.items()}
        pairs, owner = self.blocked.flat(rows)
        order, under, sizes = self._levels(rows, count)
        return Batch(
            word_BW=torch.from_numpy(self.words.pad(rows, PAD)),
            length_B=torch.from_numpy(length),
            chars_UC=torch.from_numpy(self.characters[distinct]),
            which_BW=torch.from_numpy(which.reshape(surface_BW.shape)),
            surface_BW=torch.from_numpy(surface_BW),
            lexical_BW=torch.from_numpy(self.lexicals.pad(rows, -1)),
            real_BT=torch.from_numpy(np.arange(count.max())[None] < count[:, None]),
            blocked_X3=torch.from_numpy(np.concatenate([owner[:, None], pairs], 1)),
            order_N=order,
            under_N=under,
            level_sizes=sizes,
            closed=self._closed(rows, count),
            **{f"{name}_BT": value for name, value in steps.items()},
        )

    def _levels(self, rows: np.ndarray, count: np.ndarray) -> tuple[Tensor, Tensor, list[int]]:
        below, owner = self.steps["below"].flat(rows)
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
        height, _ = self.steps["height"].flat(rows)
        pairs, owner = self.child.flat(rows)
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
    spell = Spellings(vocab)
    surface_BW = Ragged([spell(word) for word in words] for words in utterances)
    every = np.arange(len(utterances))
    surface = surface_BW.pad(every, -1)
    return Input(
        word_BW=torch.from_numpy(Ragged([vocab.word(w) for w in words] for words in utterances).pad(every, PAD)),
        length_B=torch.tensor([len(words) for words in utterances]),
        chars_UC=torch.from_numpy(spell.table()),
        which_BW=torch.from_numpy(surface.clip(0)),
        surface_BW=torch.from_numpy(surface),
        lexical_BW=torch.from_numpy(Ragged([vocab.lexical(w) for w in words] for words in utterances).pad(every, -1)),
    )


class Order:
    """The batches of every epoch: shuffled, sorted by length within windows, and the same every time.

    The order of an epoch depends on the seed and the epoch's number alone, so a run can be taken up
    at any batch of any epoch.
    """

    def __init__(self, lengths: np.ndarray, batch_size: int, window: int, seed: int) -> None:
        self.lengths, self.batch_size, self.window, self.seed = lengths, batch_size, window, seed

    def __len__(self) -> int:
        """Batches in an epoch."""
        span = self.batch_size * self.window
        whole, rest = divmod(len(self.lengths), span)
        return whole * self.window + math.ceil(rest / self.batch_size)

    def epoch(self, number: int) -> list[np.ndarray]:
        """The batches of one epoch, as arrays of example numbers."""
        random = np.random.default_rng([self.seed, number])
        shuffled = random.permutation(len(self.lengths))
        span = self.batch_size * self.window
        batches = []
        for start in range(0, len(shuffled), span):
            part = shuffled[start : start + span]
            part = part[np.argsort(self.lengths[part], kind="stable")]
            batches += [part[i : i + self.batch_size] for i in range(0, len(part), self.batch_size)]
        return [batches[i] for i in random.permutation(len(batches))]
