"""Dropout whose mask costs little on a CPU.

`torch.nn.Dropout` draws a float for every unit, which was an eighth of a training step; 16 random bits
decide as well, and a 64-bit number holds four of them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class Dropout(nn.Module):
    """Zeroes a share of the units in training and scales up the others.

    Args:
        share: how many are zeroed, to 1 / 65536.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, x: Tensor, fresh: bool = False) -> Tensor:
        """`x` with some units zeroed; in its own memory where it is `fresh`: neither gradients nor others need it."""
        if not self.training or not self.share:
            return x
        if x.device.type != "cpu":
            return functional.dropout(x, self.share)
        bits = torch.empty(x.numel() // 4 + 1, dtype=torch.int64).random_(-(2**63), None).view(torch.int16)
        # Compared as floats and in place: to a mask of booleans and back is five times as slow.
        keep = bits[: x.numel()].view(x.shape).float().ge_(round(self.share * 65536) - 32768)
        keep = keep.mul_(1 / (1 - self.share)).to(x.dtype)
        return x.mul_(keep) if fresh else x * keep
