"""Dropout whose mask costs little on a CPU.

`torch.nn.Dropout` draws a float for every unit, which was an eighth of a training step. Where loops are compiled a unit
is zeroed or not by a hash of its place and a seed: no mask is drawn or kept, the way back works it out again.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from parser.compiled import compiled, loops, plain


class Draw(NamedTuple):
    """What decides about each unit: its random 32 bits, which begin at `seed`, are held to `limit`."""

    seed: int
    limit: int
    scale: np.float32

    @classmethod
    def of(cls, share: float) -> Draw:
        """A new one, drawn from torch's generator where the share is not 0."""
        seed = int(torch.empty((), dtype=torch.int64).random_(2**32)) if share else 0
        return cls(seed, round(share * 2**32), np.float32(1 / (1 - share)))


class Dropout(nn.Module):
    """Zeroes a share of the units in training and scales up the others.

    Args:
        share: how many are zeroed, below 1.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, x: Tensor) -> Tensor:
        """`x` with some units zeroed."""
        if not self.active:
            return x
        if not compiled(x):
            return functional.dropout(x, self.active)
        dropped: Tensor = _Zeroed.apply(x, self.active)
        return dropped

    def of_tanh(self, x: Tensor) -> Tensor:
        """The hyperbolic tangent of `x` with some units zeroed."""
        if not compiled(x):
            return self(torch.tanh(x))
        dropped: Tensor = _Squashed.apply(x, self.active)
        return dropped

    @property
    def active(self) -> float:
        """The share that is zeroed now: none but in training."""
        return self.share if self.training else 0.0


class _Zeroed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, share: float) -> Tensor:
        ctx.draw = Draw.of(share)
        return _zeroed(x, ctx.draw)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return _zeroed(gradients[0], ctx.draw), None


def _zeroed(x: Tensor, draw: Draw) -> Tensor:
    out = torch.empty_like(x, memory_format=torch.contiguous_format)
    loops().zeroed(_rows(x), _rows(out), *draw)
    return out


class _Squashed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, share: float) -> Tensor:
        ctx.draw, out = Draw.of(share), torch.empty_like(x, memory_format=torch.contiguous_format)
        loops().squashed(_rows(x), 0, _rows(out), x.size(-1), *ctx.draw)
        ctx.save_for_backward(out)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (out,) = ctx.saved_tensors
        by_x = torch.empty_like(out)
        arrays = (_rows(x) for x in (out, gradients[0], by_x))
        loops().squashed_back(*arrays, 0, out.size(-1), *ctx.draw)
        return by_x, None


def _rows(x: Tensor) -> Any:
    return plain(x).reshape(-1, x.size(-1))
