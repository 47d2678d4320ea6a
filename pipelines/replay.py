"""Whole columns of actions -> the trees that they build, and whether they build one.

`grammar.actions.build` is the definition; a test holds the two equal. A row costs about a microsecond here.

    kinds    0 0 1 2 2                            rows ends 5
    symbols  PlayMusic genre jazz "" ""
    -> ["(PlayMusic(genre(jazz)))"]
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from grammar.actions import GENERATED, Kind
from pipelines.texts import bytes_of, joined, offsets

_SIGNS = pa.array(["(", ")", "()"], pa.string())
_OPEN, _CLOSE, _BARE = 0, 1, 2
_ESCAPED = np.zeros(256, dtype=bool)
_ESCAPED[list(b" ()\\")] = True
_STEP = np.array([1, 0, -1], dtype=np.int64)
_PIECES = np.array([2, 3, 1], dtype=np.int64)


def rebuild(actions: pa.ListArray, symbols: pa.ListArray) -> pa.StringArray:
    """The canonical text of each row's actions; null where they build no tree.

    Args:
        actions: int8 per action, a `Kind`.
        symbols: string per action; the lists are as long as those of `actions`.
    """
    ends = np.asarray(actions.offsets).astype(np.int64)
    kinds = np.asarray(actions.flatten())
    names = symbols.flatten()
    ends = ends - ends[0]
    leaves = kinds == Kind.TER
    if _ESCAPED[bytes_of(names)].any():
        escaped = pc.replace_substring_regex(names, r"([ ()\\])", r"\\\1")
        names = pc.if_else(pa.array(leaves), escaped, names)
    # NT is `(` and its name, TER has brackets around the word, RED is a bracket, and one that closes an empty node `()`
    # and a bracket. Pieces that are taken in this order are the texts, one after the other.
    bare = np.zeros(len(kinds), dtype=bool)
    bare[1:] = (kinds[:-1] == Kind.NT) & (kinds[1:] == Kind.RED)
    places = offsets(_PIECES[kinds] + bare)
    at = places[:-1]
    pieces = np.full(places[-1], len(names) + _CLOSE, dtype=np.int64)
    named = np.flatnonzero(kinds != Kind.RED)
    pieces[at[named]] = len(names) + _OPEN
    pieces[at[named] + 1] = named
    pieces[at[bare]] = len(names) + _BARE
    texts = joined(pa.concat_arrays([names, _SIGNS]).take(pa.array(pieces)), places[ends])
    return pc.if_else(pa.array(_builds(kinds, ends)), texts, None)


def copies(copy: pa.ListArray, actions: pa.ListArray, symbols: pa.ListArray, words: pa.ListArray) -> np.ndarray:
    """For each row, whether every copied leaf is the word at its position and nothing else copies.

    Args:
        copy: int32 per action, a position in `words` or -1; the lists are as long as those of `actions`.
    """
    places = np.asarray(copy.flatten()).astype(np.int64)
    kinds = np.asarray(actions.flatten())
    row = np.repeat(np.arange(len(copy)), np.diff(np.asarray(copy.offsets)))
    bounds = np.asarray(words.offsets).astype(np.int64)
    bounds = bounds - bounds[0]
    copied = np.flatnonzero(places != GENERATED)
    at, of = places[copied], row[copied]
    wrong = (kinds[copied] != Kind.TER) | (at < 0) | (at >= (bounds[1:] - bounds[:-1])[of])
    # What lies outside is wrong already; any word will do to compare with.
    spoken = words.flatten()
    if len(spoken) and len(copied):
        found = spoken.take(pa.array(np.where(wrong, 0, bounds[of] + at)))
        wrong |= ~np.asarray(pc.equal(found, symbols.flatten().take(pa.array(copied))))
    good = np.ones(len(copy), dtype=bool)
    good[of[wrong]] = False
    return good


def _builds(kinds: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """For each row, whether its kinds open a node first and close it with the last action, no sooner."""
    sizes = np.diff(ends)
    steps = _STEP[kinds]
    depth = np.cumsum(steps)
    before = np.concatenate([[0], depth])[ends[:-1]]  # what earlier rows left open
    depth = depth - np.repeat(before, sizes)
    last = np.zeros(len(kinds), dtype=bool)
    last[ends[1:][sizes > 0] - 1] = True
    wrong = (depth == 0) != last
    wrong |= depth < 0
    firsts = ends[:-1][sizes > 0]
    wrong[firsts] |= kinds[firsts] != Kind.NT
    good = sizes > 0
    good[np.repeat(np.arange(len(sizes)), sizes)[wrong]] = False
    return good
