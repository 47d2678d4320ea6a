"""Arrow texts out of bytes and pieces: whole columns, without a look at any one text."""

from __future__ import annotations

import numpy as np
import pyarrow as pa


def offsets(sizes: np.ndarray) -> np.ndarray:
    """int64 [n + 1]: where each begins that is so long, and the end.

    >>> offsets(np.array([2, 0, 3])).tolist()
    [0, 2, 2, 5]
    """
    found = np.zeros(len(sizes) + 1, dtype=np.int64)
    np.cumsum(sizes, out=found[1:])
    return found


def strings(data: np.ndarray, sizes: np.ndarray, kind: pa.DataType) -> pa.Array:
    """Texts of so many bytes each, out of all their bytes.

    Args:
        data: uint8.
        kind: `pa.string()`, where the caller vouches for the UTF-8, or `pa.binary()`.
    """
    starts = offsets(sizes).astype(np.int32)
    return pa.Array.from_buffers(kind, len(sizes), [None, pa.py_buffer(starts), pa.py_buffer(data)])


def joined(pieces: pa.StringArray, starts: np.ndarray) -> pa.StringArray:
    """One text of the pieces of each row. These stand one after the other already, so no byte is moved.

    Args:
        pieces: without nulls, as `take` gives them.
        starts: [rows + 1] where each row begins.
    """
    _, edges, data = pieces.buffers()
    every = np.frombuffer(edges, np.int32)[pieces.offset : pieces.offset + len(pieces) + 1]
    return pa.Array.from_buffers(pa.string(), len(starts) - 1, [None, pa.py_buffer(every[starts]), data])


def edges(texts: pa.Array) -> np.ndarray:
    """int64 [n + 1]: where each text begins in `bytes_of`, and the end. No nulls."""
    if not len(texts):
        return np.zeros(1, dtype=np.int64)
    found = np.frombuffer(texts.buffers()[1], np.int32)[texts.offset : texts.offset + len(texts) + 1]
    return found.astype(np.int64) - found[0]


def bytes_of(texts: pa.Array) -> np.ndarray:
    """uint8: all bytes of a column, one text after the other. No nulls."""
    if not len(texts):
        return np.zeros(0, dtype=np.uint8)
    _, places, data = texts.buffers()
    found = np.frombuffer(places, np.int32)[texts.offset : texts.offset + len(texts) + 1]
    return np.frombuffer(data or b"", np.uint8)[found[0] : found[-1]]
