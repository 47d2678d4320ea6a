"""Rows of a table by their numbers, in the form that is fastest where the table is.

B utterances   W places   T look-ups   E width
M rows of a table   X its width   N look-ups in a line   F widths of several tables
"""

from __future__ import annotations

from collections.abc import Sequence
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

    With `gaps` a number may be -1, for a row of zeros.
    """

    table: Tensor
    at: Tensor | None = None
    gaps: bool = False

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
    line_NF: Tensor = _SideBySide.apply(share, [part.at for part in parts], *(part.table for part in parts))
    return line_NF.view(*shape, -1)


class _SideBySide(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, share: float, indices: list[Tensor | None], *tables: Tensor) -> Tensor:
        rows = len(tables[0]) if indices[0] is None else indices[0].numel()
        ctx.draw, ctx.shapes = Draw.of(share), [table.shape for table in tables]
        ctx.indices = [_EVERY if index is None else plain(index).reshape(-1) for index in indices]
        out_NF = tables[0].new_empty(rows, sum(table.size(1) for table in tables))
        column = 0
        for table, index in zip(tables, ctx.indices, strict=True):
            loops().gather(plain(table), index, out_NF.numpy(), column, *ctx.draw)
            column += table.size(1)
        return out_NF

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        by_out, column = plain(gradients[0]), 0
        by_tables: list[Tensor | None] = []
        for shape, index, needed in zip(ctx.shapes, ctx.indices, ctx.needs_input_grad[2:], strict=True):
            by_tables.append(torch.zeros(shape) if needed else None)
            if needed:
                loops().scatter(by_tables[-1].numpy(), index, by_out, column, *ctx.draw)  # type: ignore[union-attr]
            column += shape[1]
        return None, None, *by_tables
