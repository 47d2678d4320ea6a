"""Rows of a table by their numbers, in the form that is fastest where the table is.

B utterances   W places   T look-ups   E width
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


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
