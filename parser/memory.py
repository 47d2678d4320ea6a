"""Memory that is freed stays with the process: on a CPU the next step takes it again without a page fault.

A step of training allocates and frees hundreds of buffers of a megabyte. The C library gives each back to the
system, which clears it again, page by page, at the next touch: a tenth of the time of a step.
"""

from __future__ import annotations

import ctypes

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
