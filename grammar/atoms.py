"""Many pieces of a text -> the numbers of the strings that they are, at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_PAD = 8
_LOW = np.array([(1 << 8 * k) - 1 for k in range(8)] + [(1 << 64) - 1], np.uint64)
_SHIFT = np.array([0] + [64 - 8 * k for k in range(1, 9)], np.uint64)
_MOST_BITS = 18
"""Of the table; strings that still share a place in it are alike in what is looked at."""
_MIX = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F], np.uint64)


class Numbers:
    """A look-up of strings by their first and last eight bytes and their length.

    These three are all of a string of up to 16 bytes. Of longer ones the rest is compared too, so a number is never
    wrong. Where two known strings are alike in all three, only one of them is found.

    Args:
        known: different strings, none empty; each has its place here as number.
        other: the number of all other strings.
    """

    def __init__(self, known: Sequence[bytes], other: int) -> None:
        self.other = other
        window = _window(b"".join(known))
        length = np.array([len(word) for word in known], np.int64)
        start = np.cumsum(length) - length
        head, tail = _ends(window, start, length)
        # One place more, for `other`, which is equal to nothing.
        self.head, self.tail = (np.append(x, np.zeros(other + 1 - len(x), np.uint64)) for x in (head, tail))
        self.length = np.append(length, np.full(other + 1 - len(length), -1))
        # Eight bytes each of what is between; where a label is shorter, they are never asked for.
        chunks = range(1, max(1, (int(self.length.max()) - 1) // 8))
        self.middle = [
            window[
                np.minimum(np.append(start, np.zeros(other + 1 - len(start), np.int64)) + 8 * c + _PAD, len(window) - 1)
            ]
            for c in chunks
        ]
        self.bits = max(5, len(known).bit_length() + 1)
        while len(np.unique(self._slot(head, tail, length))) < len(known) and self.bits < _MOST_BITS:
            self.bits += 1
        self.table = np.full(1 << self.bits, other, np.int64)
        self.table[self._slot(head, tail, length)] = np.arange(len(known))

    def __call__(self, data: bytes, start: np.ndarray, length: np.ndarray) -> np.ndarray:
        """The number of each piece `data[start : start + length]`."""
        window = _window(data)
        head, tail = _ends(window, start, length)
        found = self.table[self._slot(head, tail, length)]
        same = self.head[found] == head
        same &= self.tail[found] == tail
        same &= self.length[found] == length
        for chunk, words in enumerate(self.middle, 1):
            long = np.flatnonzero(same & (length > 8 * chunk + 8))
            same[long] = window[start[long] + 8 * chunk + _PAD] == words[found[long]]
        found[~same] = self.other
        return found

    def _slot(self, head: np.ndarray, tail: np.ndarray, length: np.ndarray) -> np.ndarray:
        mixed = ((head ^ length.view(np.uint64)) + tail * _MIX[0]) * _MIX[1]
        return (mixed >> np.uint64(64 - self.bits)).view(np.int64)


def _window(data: bytes) -> np.ndarray:
    """At each place, eight bytes as a number; the place 0 is `_PAD` bytes before the data."""
    padded = b"".join((bytes(_PAD), data, bytes(_PAD)))
    return np.ndarray((len(data) + _PAD + 1,), "<u8", padded, strides=(1,))


def _ends(window: np.ndarray, start: np.ndarray, length: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first eight bytes of each piece, and the last eight, as numbers; of shorter ones all."""
    short = np.minimum(length, 8)
    return window[_PAD:][start] & _LOW[short], window[start + length] >> _SHIFT[short]
