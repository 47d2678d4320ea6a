"""Batches of a few fixed shapes, each as one line of numbers: what a GPU needs that records a step once for each shape.

A batch is filled up to the shape: rows of one unknown word without an action, words and actions after the end, and
places in a cell that is never real. That changes neither loss nor gradients. One line is one copy to the device, where
its parts are views. Only what models without a stack and with one softmax need is kept.

    B rows   W words   T actions   U distinct words   P characters of all distinct words   K copies   X blocked children
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from parser.batch import Batch
from parser.config import Config
from parser.vocab import MAX_CHARS, PAD


def records(config: Config, device: str) -> bool:
    """Whether steps are recorded: on a GPU, where every operation of a step follows from the shape of its batch.

    A stack-LSTM runs by the depths of a batch's trees, and a softmax of its own for labels over as many as it opens.
    """
    plain = config.model.joint and not config.model.stack and not config.train.compile
    return device.startswith("cuda") and config.train.graphs and plain


class Shape(NamedTuple):
    """The sizes of a batch; `pieces` is 0 without a pretrained transformer."""

    rows: int
    words: int
    actions: int
    distinct: int
    letters: int
    copies: int
    blocked: int
    pieces: int


class _Field(NamedTuple):
    name: str
    size: Callable[[Shape], tuple[int, ...]]
    fill: int


def _wide(shape: Shape) -> tuple[int, int]:
    return shape.rows, shape.words


def _long(shape: Shape) -> tuple[int, int]:
    return shape.rows, shape.actions


_FIELDS = (
    _Field("word_BW", _wide, PAD),
    _Field("length_B", lambda s: (s.rows,), 1),
    _Field("chars_UC", lambda s: (s.distinct, MAX_CHARS), PAD),
    _Field("letter_P", lambda s: (s.letters,), 1),
    _Field("letters_U", lambda s: (s.distinct,), 1),
    _Field("which_BW", _wide, 0),
    _Field("surface_BW", _wide, -1),
    _Field("lexical_BW", _wide, -1),
    _Field("domain_B", lambda s: (s.rows,), 0),
    _Field("piece_BP", lambda s: (s.rows, s.pieces), 0),
    _Field("pieces_B", lambda s: (s.rows if s.pieces else 0,), 1),
    _Field("first_BW", lambda s: (s.rows, s.words if s.pieces else 0), 0),
    _Field("real_BT", _long, 0),
    _Field("symbol_BT", _long, -1),
    _Field("copy_BT", _long, -1),
    _Field("surface_BT", _long, -1),
    _Field("lexical_BT", _long, -1),
    _Field("parent_BT", _long, 0),
    _Field("sibling_BT", _long, 0),
    _Field("front_BT", _long, 0),
    _Field("red_BT", _long, 0),
    _Field("copying_K", lambda s: (s.copies,), 0),
    _Field("source_K", lambda s: (s.copies,), 0),
    _Field("blocked_X3", lambda s: (s.blocked, 3), 0),
)
_UNUSED = ("kind_BT", "opening_K", "leaf_K", "real_N", "order_N", "under_N")
_SPARE = 1.2
"""So much more room than its first batch needs has a shape; what does not fit makes a larger one."""


class Shapes:
    """Finds the shape of a batch: few of them, so that each is worth recording.

    Words and actions are rounded up; of what goes with them, a shape has room for the most that came so far.

    Args:
        rows: of every shape; no batch has more.
    """

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self._room: dict[tuple[int, int], np.ndarray] = {}

    def of(self, batch: Batch) -> Shape:
        """The shape of a batch."""
        words, actions = batch.word_BW.size(1), batch.real_BT.size(1)
        distinct, letters = len(batch.letters_U), len(batch.letter_P)
        need = np.array(
            [distinct, letters, len(batch.copying_K), len(batch.blocked_X3), batch.piece_BP.size(-1)], dtype=np.int64
        )
        # The last action is never real: places that are filled up point there.
        key = _round(words), _round(actions + 1)
        room = self._room.get(key, np.zeros_like(need))
        if (need > room).any():
            more = np.ceil(need * _SPARE / 32).astype(np.int64) * 32
            more[-1] = _round(int(need[-1])) if need[-1] else 0
            self._room[key] = room = np.where(need > room, more, room)
        distinct, letters, copies, blocked, pieces = map(int, room)
        # Distinct words that are filled up have one letter each.
        return Shape(self.rows, *key, distinct, letters + distinct, copies, blocked, pieces)


def _round(size: int) -> int:
    """Up to a multiple of a power of two that is an eighth to a quarter of it, 4 at least."""
    step = max(4, 1 << max(0, math.ceil(math.log2(max(1, size))) - 3))
    return -(-size // step) * step


def pack(batch: Batch, shape: Shape, utterances: int) -> Tensor:
    """One line of numbers that holds a batch, filled up to a shape, after the number of utterances of its step."""
    line = np.empty(_length(shape), dtype=np.int64)
    line[0], at = utterances, 1
    parts: dict[str, np.ndarray] = {}
    for field in _FIELDS:
        size = field.size(shape)
        end = at + math.prod(size)
        parts[field.name] = part = line[at:end].reshape(size)
        at = end
        part.fill(field.fill)
        source = getattr(batch, field.name).numpy()
        if source.size:
            part[tuple(slice(0, n) for n in source.shape)] = source
    # What points into a table points into a wider one now.
    letters, copies = len(batch.letter_P), len(batch.copying_K)
    row, column = np.divmod(batch.letter_P.numpy(), batch.chars_UC.size(1) + 2)
    parts["letter_P"][:letters] = row * (MAX_CHARS + 2) + column
    row, column = np.divmod(batch.copying_K.numpy(), batch.real_BT.size(1))
    parts["copying_K"][:copies] = row * shape.actions + column
    parts["copying_K"][copies:] = shape.actions - 1
    row, column = np.divmod(batch.source_K.numpy(), batch.word_BW.size(1))
    parts["source_K"][:copies] = row * shape.words + column
    parts["blocked_X3"][len(batch.blocked_X3) :, 1] = shape.actions - 1
    return torch.from_numpy(line)


def unpack(line: Tensor, shape: Shape) -> tuple[Batch, Tensor]:
    """(the batch, the utterances of its step) of a line, wherever it is; views of it."""
    parts: dict[str, Tensor] = {}
    at = 1
    for field in _FIELDS:
        size = field.size(shape)
        end = at + math.prod(size)
        parts[field.name] = line[at:end].view(size)
        at = end
    parts["real_BT"] = parts["real_BT"].bool()
    none = line[:0]
    batch = Batch(**parts, **dict.fromkeys(_UNUSED, none), level_sizes=[], closed=[], actions=0)
    return batch, line[0]


def _length(shape: Shape) -> int:
    return 1 + sum(math.prod(field.size(shape)) for field in _FIELDS)
