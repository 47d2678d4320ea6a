"""An LSTM over right-padded rows, in the precision that training has asked for, and one step of an LSTM.

B rows   T steps   X input   H state
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


def run(lstm: nn.Module, x_BTX: Tensor, start: tuple[Tensor, Tensor] | None = None) -> Tensor:
    """[B, T, H] states of an `nn.LSTM` of one layer and direction.

    Under autocast to bfloat16 the library itself computes LSTMs in float16, whose small gradients can vanish without
    loss scaling; here they are bfloat16 too, or float32 where the GPU has none.

    Args:
        lstm: the layer.
        x_BTX: its input.
        start: (h, c) [1, B, H] before the first step; zeros without.
    """
    if x_BTX.is_cuda and torch.is_autocast_enabled("cuda"):
        return _narrow(lstm, x_BTX, start, torch.bfloat16 if _has_bfloat16() else torch.float32)
    states: Tensor = lstm(x_BTX, start)[0]
    return states


@cache
def _has_bfloat16() -> bool:
    """Whether the GPU computes in bfloat16 itself; before, the library has no LSTM for it."""
    return torch.cuda.is_bf16_supported(including_emulation=False)


def _narrow(lstm: Any, x_BTX: Tensor, start: tuple[Tensor, Tensor] | None, dtype: torch.dtype) -> Tensor:
    with torch.autocast("cuda", enabled=False):
        # One piece of memory for all weights: otherwise the library copies them into one at every call.
        weights = lstm._flat_weights
        line = torch.cat([weight.flatten() for weight in weights]).to(dtype)
        parts = [part.view_as(w) for part, w in zip(line.split([w.numel() for w in weights]), weights, strict=True)]
        x_BTX = x_BTX.to(dtype)
        zero = x_BTX.new_zeros(1, len(x_BTX), lstm.hidden_size)
        h, c = (zero, zero) if start is None else (start[0].to(dtype), start[1].to(dtype))
        # has_biases, layers, dropout between them, train, bidirectional, batch_first
        states: Tensor = torch._VF.lstm(x_BTX, (h, c), parts, True, 1, 0.0, lstm.training, False, True)[0]
        return states


def lstm_step(cell: nn.LSTMCell, gates_N4H: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """One LSTM step whose input product is already made."""
    i, f, g, o = (gates_N4H + functional.linear(h, cell.weight_hh, cell.bias_hh)).chunk(4, -1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c
