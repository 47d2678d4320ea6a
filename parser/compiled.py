"""Whether a computation is one of training on a CPU, and whether compiled loops (`loops`) are at hand for it."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor


def trains_on_cpu(x: Tensor) -> bool:
    """Whether this is on a CPU, with gradients, and not traced by `torch.compile`."""
    return x.device.type == "cpu" and torch.is_grad_enabled() and not torch.compiler.is_compiling()


def compiled(x: Tensor) -> bool:
    """Whether the loops do this."""
    return trains_on_cpu(x) and x.dtype == torch.float32 and loops() is not None


@cache
def loops() -> Any:
    """The module `loops`; None where numba is not installed: everything runs without it, and trains more slowly."""
    try:
        from parser import loops
    except ImportError:
        return None
    return loops


def plain(x: Tensor) -> Any:
    """The same numbers as a NumPy array, rows one after the other."""
    return x.detach().contiguous().numpy()
