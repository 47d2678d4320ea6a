"""What a long-running process does with memory.

Memory that is freed stays with it: a step of training allocates and frees hundreds of buffers of a megabyte. The C
library gives each back to the system, which clears it again, page by page, at the next touch: a tenth of the time of
a step.

What is loaded stays for good: Python's search for garbage in cycles looks at every object, and with torch and a web
framework loaded there are some 200,000, so that every now and then a request waited 200 ms for it.
"""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3  # of <malloc.h>
_LARGE, _PAD = 1 << 30, 64 << 20
_kept = False


def keep_freed_memory() -> bool:
    """Tell the C library so, once a process; returns whether it understood (glibc does, others need not)."""
    global _kept
    if not _kept:
        try:
            tell = ctypes.CDLL(None).mallopt
        except (OSError, AttributeError):
            return False
        _kept = bool(tell(_MMAP_THRESHOLD, _LARGE) and tell(_TRIM_THRESHOLD, _LARGE) and tell(_TOP_PAD, _PAD))
    return _kept


@contextmanager
def settled() -> Iterator[None]:
    """Begin when all that stays is loaded: the search for garbage leaves that out until the end."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@contextmanager
def uncollected() -> Iterator[None]:
    """Put off the search for garbage: while many trees are made, all of which stay, it looks at them over and over."""
    on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if on:
            gc.enable()


@cache
def streams(device: torch.device) -> tuple[torch.cuda.Stream, ...]:
    """Three streams of a GPU: for training, and for two threads that parse. Each keeps memory of its own for good."""
    import torch

    return tuple(torch.cuda.Stream(device) for _ in range(3))
