"""Products whose gradients a CPU makes faster in another form than the library's; elsewhere they are the library's own.

B utterances   T places that ask   W places that are asked   E width   M rows   X input   Y, Z output
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from parser.compiled import trains_on_cpu

Layer = tuple[Tensor, Tensor | None]
"""Weight [Y, X] and bias [Y]."""
PIECE = 384
"""Rows of a piece: the gradient [2816, 500] of the features takes a quarter longer as a whole."""


def similarity(asking_BTE: Tensor, asked_BWE: Tensor) -> Tensor:
    """[B, T, W]: how well each place fits each other one, their vectors' inner product.

    The library makes the gradient of what is asked as [E, W], rows of a few numbers; as [W, E] it takes half as long.
    """
    if not trains_on_cpu(asking_BTE):
        return asking_BTE @ asked_BWE.mT
    fits: Tensor = _Similarity.apply(asking_BTE, asked_BWE)
    return fits


def two_layers(x: Tensor, one: Layer, other: Layer) -> tuple[Tensor, Tensor]:
    """[..., Y] of two linear layers that look at the same numbers.

    One product for both is quicker than two, but on a CPU their gradients, which come one by one, would have to be
    copied together first. There the gradient of many rows is made in pieces.
    """
    if trains_on_cpu(x):
        return _TwoLayers.apply(x.flatten(0, -2), *one, *other, x.shape[:-1])
    biases = [x.new_zeros(len(weight)) if bias is None else bias for weight, bias in (one, other)]
    both = functional.linear(x, torch.cat([one[0], other[0]]), torch.cat(biases))
    first, second = both.split([len(one[0]), len(other[0])], -1)
    return first, second


class _Similarity(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, asking_BTE: Tensor, asked_BWE: Tensor) -> Tensor:
        ctx.save_for_backward(asking_BTE, asked_BWE)
        return asking_BTE @ asked_BWE.mT

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        asking_BTE, asked_BWE = ctx.saved_tensors
        return gradients[0] @ asked_BWE, gradients[0].mT @ asking_BTE


class _TwoLayers(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x_MX: Tensor,
        weight_YX: Tensor,
        bias_Y: Tensor | None,
        weight_ZX: Tensor,
        bias_Z: Tensor | None,
        shape: torch.Size,
    ) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(x_MX, weight_YX, weight_ZX)
        ctx.biased = bias_Y is not None, bias_Z is not None
        out_MY, out_MZ = functional.linear(x_MX, weight_YX, bias_Y), functional.linear(x_MX, weight_ZX, bias_Z)
        return out_MY.view(*shape, -1), out_MZ.view(*shape, -1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x_MX, weight_YX, weight_ZX = ctx.saved_tensors
        by_out_MY, by_out_MZ = (gradient.reshape(len(x_MX), -1) for gradient in gradients)
        by_x_MX = torch.empty_like(x_MX)
        for by_y, by_z, by_x in zip(*(line.split(PIECE) for line in (by_out_MY, by_out_MZ, by_x_MX)), strict=True):
            torch.mm(by_y, weight_YX, out=by_x).addmm_(by_z, weight_ZX)
        by_y, by_z = (
            by_out.sum(0) if biased else None for by_out, biased in zip((by_out_MY, by_out_MZ), ctx.biased, strict=True)
        )
        return by_x_MX, by_out_MY.t() @ x_MX, by_y, by_out_MZ.t() @ x_MX, by_z, None
