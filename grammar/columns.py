"""Whole columns of trees at once: which rows are trees, and which are clean beyond doubt.

Nothing here reports a finding. A row that is not certainly clean goes to `grammar.check`, which has the last word; what
is tested is that no row is called clean in which it would find something.

`valid` is the verdict of the grammar, by one expression derived from it (`regular.py`) over the Arrow column.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cache
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from grammar import encoding
from grammar.label_columns import LabelColumns
from grammar.ontology import Ontology
from grammar.regular import pattern
from grammar.rules import MAX_BYTES
from grammar.syntax import lark
from grammar.word_columns import spoken_in_order

DEPTH = 16
"""Levels that the expression is unrolled to. Deeper trees are rare, and get their verdict one by one."""


_PART = 1 << 18
_KEPT = 31 << 20
"""Memory that is asked for once and not used. Having freed this much, glibc no longer gives the arrays of every part
back to the system and asks for them again, which costs more than what is done with them; elsewhere nothing happens."""
_FREE = np.isin(np.arange(256), (9, 10, 13, 32))
_NONE = np.zeros(0, np.int64)


@cache
def expression(depth: int = DEPTH) -> str:
    return pattern(lark(), depth)


def valid(trees: pa.Array) -> pa.Array:
    """Which rows are trees of at most `DEPTH` levels; no other row is true, and null is false.

    Args:
        trees: binary or string, large or not. Bytes that are no UTF-8 are characters of words in a binary column, and
            make a row of a string column false.
    """
    return pc.fill_null(pc.match_substring_regex(trees, expression()), False)


class Clean:
    """Finds the rows that are clean beyond doubt.

    Args:
        ontology: what labels are held against; without it only their syntax counts.
        tokeniser: how utterances given as text are cut.
        aligned_once: whether a leaf that could have two places is a finding (E306); then no row with an utterance
            is certain.
    """

    def __init__(
        self, ontology: Ontology | None = None, tokeniser: str = "words-1", aligned_once: bool = False
    ) -> None:
        self.labels = LabelColumns(ontology) if ontology is not None else None
        np.empty(_KEPT, np.uint8)
        self.tokeniser, self.aligned_once = tokeniser, aligned_once

    def __call__(self, trees: pa.Array, utterances: Sequence[str | list[str] | None] | None = None) -> np.ndarray:
        """Of each row, whether `grammar.check` certainly finds nothing; a row without a tree is not certain.

        Args:
            trees: a binary column.
            utterances: what the leaves are held against, row by row; None where a row has none.
        """
        good = to_numpy(valid(trees))
        lengths = to_numpy(pc.fill_null(pc.binary_length(trees), 0))
        if len(lengths) and lengths.max() > MAX_BYTES:
            good &= lengths <= MAX_BYTES
        if good.any():
            some = trees if good.all() else trees.filter(pa.array(good))
            text = contents(some)
            rare = unusual(text)
            fine = ~unclean(some, text, rare)
            if self.labels is not None:
                fine &= self.labels(some, text, rare)
            good[good] = fine
        if utterances is not None and good.any():
            for i, tree in zip(np.flatnonzero(good).tolist(), trees.filter(pa.array(good)).to_pylist(), strict=True):
                spoken = utterances[i]
                if spoken is not None:
                    good[i] = not self.aligned_once and self._said(tree, spoken)
        return good

    def _said(self, tree: bytes, spoken: str | list[str]) -> bool:
        if isinstance(spoken, str) and not encoding.is_clean(spoken):
            return False
        return spoken_in_order(tree, spoken, self.tokeniser)


def unusual(text: tuple[bytes, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Where a column holds bytes that are no printable ASCII, and which; blanks count, line ends behind rows do not."""
    data, starts = text
    marks = np.frombuffer(data, np.uint8)
    # Modulo 256, so what is smaller is greater, too.
    at = np.concatenate([_NONE, *(a + np.flatnonzero((marks[a:b] - 0x21) >= 0x5E) for a, b in parts(starts))])
    some = marks.take(at)
    lines = np.flatnonzero(some == 10)
    if len(lines):
        place = at.take(lines)
        behind = place + 1 == starts[np.searchsorted(starts, place, "right")]
        keep = np.ones(len(at), bool)
        keep[lines] = ~behind
        at, some = at[keep], some[keep]
    return at, some


def unclean(trees: pa.Array, text: tuple[bytes, np.ndarray], rare: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Of each row of a binary column of valid trees, whether an E5 rule finds something.

    Args:
        text: its `contents`.
        rare: what is `unusual` in them.
    """
    found = np.zeros(len(trees), bool)
    for row in np.unique(rows_of(_doubtful(*rare), text[1])).tolist():
        found[row] = not _clean_bytes(trees[row].as_py())
    return found


def _doubtful(at: np.ndarray, some: np.ndarray) -> np.ndarray:
    """Where characters stand that E5 may have something to say of; all beyond ASCII, if some are not UTF-8."""
    wide = some >= 0x80
    found = at[~(wide | _FREE[some])]
    at, some = at[wide], some[wide]
    tails = (some & 0xC0) == 0x80
    # Without what is between them, characters could come together to what looks right only if one began with a tail.
    if (tails & (np.diff(at, prepend=-2) != 1)).any():
        return np.append(found, at)
    try:
        points = np.frombuffer(some.tobytes().decode().encode("utf-32-le"), "<u4")
    except UnicodeDecodeError:
        return np.append(found, at)
    return np.append(found, at[~tails][_POINTS.doubts(points)])


class _Points:
    """Which characters could be part of something that E5 finds, each looked at when it is first met."""

    def __init__(self) -> None:
        self.table = np.full(sys.maxunicode + 1, 2, np.uint8)  # 0 harmless, 1 not, 2 never met

    def doubts(self, points: np.ndarray) -> np.ndarray:
        verdicts = self.table[points]
        if len(verdicts) and verdicts.max() == 2:
            for point in np.unique(points[verdicts == 2]).tolist():
                self.table[point] = not encoding.is_harmless(chr(point))
            verdicts = self.table[points]
        return verdicts.astype(bool)


_POINTS = _Points()


def _clean_bytes(text: bytes) -> bool:
    try:
        return encoding.is_clean(text.decode())
    except UnicodeDecodeError:
        return False


def contents(column: pa.Array) -> tuple[bytes, np.ndarray]:
    """The bytes of a binary column without nulls, and where each row begins in them (one more at the end)."""
    wide = np.int64 if pa.types.is_large_binary(column.type) or pa.types.is_large_string(column.type) else np.int32
    _, offsets, data = column.buffers()
    at = np.frombuffer(offsets, wide)[column.offset : column.offset + len(column) + 1]
    if not len(column):
        return b"", np.zeros(1, np.int64)
    return memoryview(data)[int(at[0]) : int(at[-1])].tobytes(), at - at[0]


def parts(starts: np.ndarray) -> list[tuple[int, int]]:
    """Whole rows, about `_PART` bytes at a time, as (first byte, behind the last); their arrays fit the cache."""
    wanted = np.searchsorted(starts, np.arange(0, starts[-1] + _PART, _PART))
    return list(pairwise(np.unique(starts[wanted.clip(0, len(starts) - 1)]).tolist()))


def rows_of(positions: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """The row of each byte position."""
    return np.searchsorted(starts, positions, "right") - 1


def to_numpy(array: pa.Array) -> np.ndarray:
    return array.to_numpy(zero_copy_only=False)
