"""Products whose gradients a CPU makes faster in another form than the library's; elsewhere they are the library's own.

B utterances   T places that ask   W places that are asked   E width   M rows   X input   Y output
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from parser.compiled import trains_on_cpu

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


def linear(x: Tensor, weight_YX: Tensor, bias_Y: Tensor) -> Tensor:
    """[..., Y]: `torch.nn.functional.linear`; the gradient of many rows is made in pieces."""
    if not trains_on_cpu(x) or x.numel() <= 2 * PIECE * x.size(-1):
        return functional.linear(x, weight_YX, bias_Y)
    out_MY: Tensor = _Linear.apply(x.flatten(0, -2), weight_YX, bias_Y)
    return out_MY.view(*x.shape[:-1], -1)


class _Similarity(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, asking_BTE: Tensor, asked_BWE: Tensor) -> Tensor:
        ctx.save_for_backward(asking_BTE, asked_BWE)
        return asking_BTE @ asked_BWE.mT

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        asking_BTE, asked_BWE = ctx.saved_tensors
        return gradients[0] @ asked_BWE, gradients[0].mT @ asking_BTE


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_MX: Tensor, weight_YX: Tensor, bias_Y: Tensor) -> Tensor:
        ctx.save_for_backward(x_MX, weight_YX)
        return functional.linear(x_MX, weight_YX, bias_Y)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x_MX, weight_YX = ctx.saved_tensors
        by_x_MX = torch.empty_like(x_MX)
        for by_out, by_x in zip(gradients[0].split(PIECE), by_x_MX.split(PIECE), strict=True):
            torch.mm(by_out, weight_YX, out=by_x)
        return by_x_MX, gradients[0].t() @ x_MX, gradients[0].sum(0)
