"""Many pieces of a text -> the numbers of the strings that they are, at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_PAD = 16
_ALL = (1 << 64) - 1
# Of the sixteen bytes before the end of a string, as two numbers, those that are its own, by its length.
_FRONT = np.array([0] * 9 + [_ALL ^ (_ALL >> 8 * k) for k in range(1, 9)], np.uint64)
_BACK = np.array([_ALL ^ (_ALL >> 8 * k) for k in range(9)], np.uint64)
_MOST_BITS = 18
"""Of the table; strings that still share a place in it are alike in what is looked at."""
_MIX = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F], np.uint64)
_ONE, _LAST = np.uint64(1), np.uint64(63)


class Words:
    """Bytes, sixteen of which can be looked at as two numbers from any place.

    numpy is several times slower in reading numbers that are not aligned than in putting each together from the two
    aligned ones that it lies in.

    Attributes:
        marks: the bytes one by one.
    """

    def __init__(self, data: bytes) -> None:
        padded = b"".join((bytes(_PAD), data, bytes(_PAD + -len(data) % 8)))
        self._eights = np.frombuffer(padded, "<u8")
        self.marks = np.frombuffer(padded, np.uint8)[_PAD : _PAD + len(data)]

    def before(self, place: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The sixteen bytes before each place, as two numbers; what lies before the data is 0."""
        shift = ((place & 7) << 3).view(np.uint64)
        at = place >> 3
        front = self._eights.take(at, mode="clip")
        at += 1
        back = self._eights.take(at, mode="clip")
        at += 1
        rest = self._eights.take(at, mode="clip")
        front >>= shift
        left = _LAST - shift
        part = back << left
        part <<= _ONE
        front |= part
        back >>= shift
        rest <<= left
        rest <<= _ONE
        back |= rest
        return front, back


class Numbers:
    """A look-up of strings by their last sixteen bytes.

    Of longer ones the rest is compared too, so a number is never wrong. Where two known strings end alike, only one of
    them is found.

    Args:
        known: different strings, none empty and none with a NUL; each has its place here as number.
        other: the number of all other strings.
    """

    def __init__(self, known: Sequence[bytes], other: int) -> None:
        self.other = other
        words = Words(b"".join(known))
        length = np.array([len(word) for word in known], np.int64)
        end = np.cumsum(length)
        front, back = _ends(words, end, length)
        # One place more, for `other`, which is equal to nothing.
        more = other + 1 - len(known)
        self.front, self.back = (np.append(x, np.zeros(more, np.uint64)) for x in (front, back))
        self.length = np.append(length, np.full(more, -1))
        # Sixteen bytes each of what is before; the first may be looked at twice.
        self.rest: list[tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]] = []
        for nth in range(1, -(-int(self.length.max()) // 16)):
            back_by = np.minimum(16 * nth, self.length - 16).clip(0)
            self.rest.append((back_by, words.before(np.append(end, np.zeros(more, np.int64)) - back_by)))
        self.bits = max(5, len(known).bit_length() + 1)
        while len(np.unique(self._slot(front, back))) < len(known) and self.bits < _MOST_BITS:
            self.bits += 1
        self.table = np.full(1 << self.bits, other, np.int64)
        self.table[self._slot(front, back)] = np.arange(len(known))

    def __call__(self, words: Words, end: np.ndarray, length: np.ndarray) -> np.ndarray:
        """The number of each piece, up to `end`; a piece has no NUL."""
        front, back = _ends(words, end, length)
        found = self.table.take(self._slot(front, back))
        same = self.front.take(found) == front
        same &= self.back.take(found) == back
        long = np.flatnonzero(length > 16)
        if len(long):
            same[long] &= self._same_before(words, end.take(long), length.take(long), found.take(long))
        if not same.all():
            found[~same] = self.other
        return found

    def _same_before(self, words: Words, end: np.ndarray, length: np.ndarray, found: np.ndarray) -> np.ndarray:
        """Of pieces of more than sixteen bytes, whether they are equal to what was found in all others, too."""
        same = self.length.take(found) == length
        for back_by, (front, back) in self.rest:
            here = words.before(end - back_by.take(found))
            same &= here[0] == front.take(found)
            same &= here[1] == back.take(found)
        return same

    def _slot(self, front: np.ndarray, back: np.ndarray) -> np.ndarray:
        mixed = front * _MIX[0]
        mixed += back
        mixed *= _MIX[1]
        mixed >>= np.uint64(64 - self.bits)
        return mixed.view(np.int64)


def _ends(words: Words, end: np.ndarray, length: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The last sixteen bytes of each piece as two numbers; of shorter ones all, with zeros before them."""
    front, back = words.before(end)
    front &= _FRONT.take(length, mode="clip")
    back &= _BACK.take(length, mode="clip")
    return front, back
