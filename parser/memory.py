"""What a long-running process does with memory.

Memory that is freed stays with it: a step of training allocates and frees hundreds of buffers of a megabyte. The C
library gives each back to the system, which clears it again, page by page, at the next touch: a tenth of the time of
a step. And it asks for pages of two megabytes, since a step goes through so much memory that the processor is kept
looking up where its small pages are.

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
_HEAP, _HUGE_PAGE, _MADV_HUGEPAGE = 768 << 20, 2 << 20, 14  # the last one of <sys/mman.h>, on Linux
_kept = False


def keep_freed_memory() -> bool:
    """Tell the C library so, once a process; returns whether it understood (glibc does, others need not)."""
    global _kept
    if not _kept:
        try:
            library = ctypes.CDLL(None)
            tell = library.mallopt
        except (OSError, AttributeError):
            return False
        _kept = bool(tell(_MMAP_THRESHOLD, _LARGE) and tell(_TRIM_THRESHOLD, _LARGE) and tell(_TOP_PAD, _PAD))
        if _kept:
            _in_large_pages(library)
    return _kept


def _in_large_pages(library: ctypes.CDLL) -> None:
    """Let the heap grow at once, untouched, and ask the system to back it by huge pages as it is touched.

    Where the system has none, or no such calls, nothing is lost.
    """
    try:
        malloc, free, end, advise = library.malloc, library.free, library.sbrk, library.madvise
    except AttributeError:
        return
    malloc.restype = end.restype = ctypes.c_void_p
    malloc.argtypes, end.argtypes, free.argtypes = [ctypes.c_size_t], [ctypes.c_ssize_t], [ctypes.c_void_p]
    advise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    if start := malloc(_HEAP):
        free(start)
        first = -(-start // _HUGE_PAGE) * _HUGE_PAGE
        # Less than was asked for: the memory came from elsewhere and is gone again.
        if (length := (end(0) or 0) - first) > _HEAP // 2:
            advise(first, length, _MADV_HUGEPAGE)


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
