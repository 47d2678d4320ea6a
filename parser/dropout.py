"""Dropout whose mask costs little on a CPU.

`torch.nn.Dropout` draws a float for every unit, which was an eighth of a training step. 8 random bits decide as well,
and NumPy's SFC64 makes them in a third of the time that torch's own generator takes, which only seeds it.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

_LEVELS = 256


class Dropout(nn.Module):
    """Zeroes a share of the units in training and scales up the others.

    Args:
        share: how many are zeroed; on a CPU the nearest multiple of 1 / 256.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, x: Tensor, fresh: bool = False) -> Tensor:
        """`x` with some units zeroed; in its own memory where it is `fresh`: neither gradients nor others need it."""
        if not self.training or not self.share:
            return x
        if x.device.type != "cpu" or torch.compiler.is_compiling():
            return functional.dropout(x, self.share)
        zeroed = min(round(self.share * _LEVELS), _LEVELS - 1)
        # Compared as floats and in place: to a mask of booleans and back is five times as slow.
        keep = _bytes(x.numel()).view(x.shape).float().ge_(zeroed - _LEVELS // 2)
        keep = keep.mul_(_LEVELS / (_LEVELS - zeroed)).to(x.dtype)
        return x.mul_(keep) if fresh else x * keep


def _bytes(count: int) -> Tensor:
    """[count] random numbers from -128 to 127; another call of torch's generator gives others."""
    seed = int(torch.empty((), dtype=torch.int64).random_())
    drawn = np.random.SFC64(seed).random_raw(count // 8 + 1)
    return torch.from_numpy(drawn.view(np.int8))[:count]
