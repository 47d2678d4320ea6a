"""Rows of a table by their numbers, in the form that is fastest where the table is.

B utterances   W places   T look-ups   E width
M rows of a table   X its width   N look-ups in a line   F widths of several tables
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from parser.compiled import compiled, loops, plain
from parser.dropout import Draw

_EVERY = np.zeros(0, dtype=np.int64)


def look_up(table: Tensor, index: Tensor) -> Tensor:
    """[..., E]: `table[index]`.

    On a CPU an embedding is the quickest form. On a GPU its gradient sorts the numbers first, a dozen kernels where
    adding them up in place is one.
    """
    if table.device.type == "cpu":
        return functional.embedding(index, table)
    return table.index_select(0, index.flatten()).unflatten(0, index.shape)


def rows_at(states_BWE: Tensor, place_BT: Tensor) -> Tensor:
    """[B, T, E]: the states at some places, as a look-up in one long table."""
    rows, width = states_BWE.shape[:2]
    start = torch.arange(rows, device=place_BT.device)[:, None] * width
    return look_up(states_BWE.flatten(0, 1), place_BT + start)


class Mirrored(torch.autograd.Function):
    """`rows_at` for places that are their own inverse: the gradient is looked up too, where any other is added up."""

    @staticmethod
    def forward(ctx: Any, states_BWE: Tensor, mirror_BW: Tensor) -> Tensor:
        ctx.save_for_backward(mirror_BW)
        return rows_at(states_BWE, mirror_BW)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return rows_at(gradients[0], *ctx.saved_tensors), None


class Part(NamedTuple):
    """What `side_by_side` looks up: rows of `table` [M, X] by their numbers, or all in turn.

    With `gaps` a number may be -1, for a row of zeros. `once`: each row of the table is looked up exactly once, so its
    gradient is written, not added up.
    """

    table: Tensor
    at: Tensor | None = None
    gaps: bool = False
    once: bool = False

    def rows(self, shape: Sequence[int]) -> Tensor:
        """[*shape, X]"""
        if self.at is None:
            return self.table.view(*shape, -1)
        if not self.gaps:
            return look_up(self.table, self.at)
        return look_up(self.table, self.at.clamp(min=0)) * (self.at >= 0)[..., None]


def side_by_side(parts: Sequence[Part], shape: Sequence[int], share: float = 0.0) -> Tensor:
    """[*shape, F]: rows of several tables side by side, a share of their units zeroed as by `dropout.Dropout`."""
    if not compiled(parts[0].table):
        return functional.dropout(torch.cat([part.rows(shape) for part in parts], -1), share)
    rows, tables = Rows.of(parts, share), [part.table for part in parts]
    line_NF: Tensor = _SideBySide.apply(rows, *tables)
    return line_NF.view(*shape, -1)


class Rows(NamedTuple):
    """How compiled loops look rows of several tables up, side by side, and drop a share of their units.

    Attributes:
        places_N: of each table, see `loops.gather`.
        columns: the first one of each.
        once: whether each row of it is read exactly once.
        draw: what decides about each unit.
    """

    places_N: list[np.ndarray]
    columns: list[int]
    once: list[bool]
    draw: Draw

    @classmethod
    def of(cls, parts: Sequence[Part], share: float) -> Rows:
        """Rows of these parts, with a draw of their own."""
        places_N = [_EVERY if part.at is None else plain(part.at).reshape(-1) for part in parts]
        columns = list(accumulate((part.table.size(1) for part in parts[:-1]), initial=0))
        return cls(places_N, columns, [part.once or part.at is None for part in parts], Draw.of(share))

    def gather(self, tables: Sequence[Tensor], out_NF: np.ndarray) -> None:
        """Write the rows into the first columns of `out_NF`."""
        for table, places, column in zip(tables, self.places_N, self.columns, strict=True):
            loops().gather(plain(table), places, out_NF, column, *self.draw)

    def room(self, tables: Sequence[Tensor], needed: Sequence[bool]) -> list[Tensor | None]:
        """Where `scatter` puts the gradients of tables: of those that need one."""
        rows = zip(tables, self.once, needed, strict=True)
        return [room_for(table, once) if wanted else None for table, once, wanted in rows]

    def scatter(self, by_tables: Sequence[Tensor | None], by_out_NF: np.ndarray) -> None:
        """Add the gradients of the tables to what is there, or write them where each row is read once."""
        for by_table, places, once, column in zip(by_tables, self.places_N, self.once, self.columns, strict=True):
            if by_table is not None:
                loops().scatter(by_table.numpy(), places, once, by_out_NF, column, *self.draw)

    def some(self, places: slice, width: int) -> Rows:
        """Some of the rows, where all of them have that many columns; none may be of all rows in turn."""
        draw = self.draw._replace(seed=(self.draw.seed + places.start * width) % 2**32)
        return self._replace(places_N=[every[places] for every in self.places_N], draw=draw)


def room_for(table: Tensor, once: bool) -> Tensor:
    """Where the gradient of a table is added up, or written where each row is read once."""
    return torch.empty(table.shape) if once else torch.zeros(table.shape)


class _SideBySide(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Rows, *tables: Tensor) -> Tensor:
        ctx.rows, ctx.tables = rows, tables
        count = len(rows.places_N[0]) or len(tables[0])
        out_NF = tables[0].new_empty(count, sum(table.size(1) for table in tables))
        rows.gather(tables, out_NF.numpy())
        return out_NF

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        by_tables = ctx.rows.room(ctx.tables, ctx.needs_input_grad[1:])
        ctx.rows.scatter(by_tables, plain(gradients[0]))
        return None, *by_tables
