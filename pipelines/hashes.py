"""Texts that equal rows share, and their hashes: a whole column at a time.

    Play  free JAZZ     (PlayMusic(genre(free)(JAZZ)))
    utterance   play free jazz              lower case, single blanks
    template    play {genre}                what the tree copies gives way to the slot that holds it
    shape       (PlayMusic(genre))          the tree without its words

Requests of one template differ in their values alone; trees of one shape ask for the same things.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from grammar.actions import GENERATED, Kind
from pipelines.index import Steps, forms
from pipelines.texts import bytes_of, edges, strings

try:  # CPython's own takes half the time of OpenSSL's for a short text; 3.12 has it under another name
    sha256: Callable[[bytes], Any] = import_module("_sha256").sha256
except ImportError:
    sha256 = hashlib.sha256

_LEAF = r"\((?:[^()\\]|\\.)+\)"

_PLAIN, _BLANK, _ODD = 0, 1, 2
_SIGNS = np.full(256, _ODD, dtype=np.uint8)
_SIGNS[ord("!") : ord("~") + 1] = _PLAIN
_SIGNS[ord(" ")] = _BLANK
_LOWER = np.array([ord(chr(sign).lower()) if sign < 128 else sign for sign in range(256)], dtype=np.uint8)


def normalise(utterance: str) -> str:
    """Lower case, single blanks."""
    return " ".join(utterance.casefold().split())


def hash64(texts: Iterable[bytes]) -> np.ndarray:
    """int64 of each text in UTF-8: the first 8 bytes of its SHA-256."""
    data = b"".join([sha256(text).digest() for text in texts])
    return np.frombuffer(data, dtype=">i8").reshape(-1, 4)[:, 0].astype(np.int64)


def utterances(column: pa.Array) -> np.ndarray:
    """int64 per row."""
    return hash64(normalised(column))


def normalised(column: pa.Array) -> list[bytes]:
    """`normalise` of every row, in UTF-8. Rows of ASCII with single blanks need no look at their text."""
    raw = bytes_of(column)
    starts = edges(column)
    kind = _SIGNS[raw]
    odd = kind == _ODD
    blank = kind == _BLANK
    odd[1:] |= blank[1:] & blank[:-1]
    held = np.flatnonzero(np.diff(starts))
    for ends in (starts[held], starts[held + 1] - 1):
        odd[ends] |= blank[ends]
    texts: list[bytes] = strings(_LOWER[raw], np.diff(starts), pa.binary()).to_pylist()
    thought = np.unique(np.searchsorted(starts, np.flatnonzero(odd), side="right") - 1)
    for number, text in zip(thought.tolist(), column.take(pa.array(thought)).to_pylist(), strict=True):
        texts[number] = normalise(text).encode()
    return texts


def repeated(texts: pa.Array) -> np.ndarray:
    """int64 per row, for texts that come again and again: each is hashed once."""
    coded = pc.dictionary_encode(texts)
    return hash64(coded.dictionary.cast(pa.binary()).to_pylist())[np.asarray(coded.indices)]


def shape_texts(trees: pa.Array) -> pa.Array:
    """The trees without their words."""
    return pc.replace_substring(pc.replace_substring(bare(trees), "\x01", ""), "()", "")


def bare(trees: pa.Array) -> pa.Array:
    """The trees with `\\x01` for each word, which is no label and no bracket."""
    return pc.replace_substring_regex(trees, _LEAF, "\x01")


def shapes(rows: Any) -> np.ndarray:
    """int64 per row. Rows of one form have one shape, so its text is made and hashed once for each.

    Args:
        rows: columns by name.
    """
    shown, form = forms(rows["actions"], rows["symbols"])
    return repeated(shape_texts(rows["tree"].take(pa.array(shown))))[form]


def template_texts(words: pa.ListArray, copy: pa.ListArray, steps: Steps) -> pa.StringArray:
    """The words of each row, lower-case, each run of copied ones replaced by `{label}` of the node that holds it.

    Args:
        words, copy: columns of a shard.
        steps: the actions of the same rows.
    """
    spoken, codes = _casefolded(words.flatten())
    starts = np.asarray(words.offsets).astype(np.int64)
    starts -= starts[0]
    copied = np.asarray(copy.flatten())
    leaves = np.flatnonzero(copied != GENERATED)
    place = starts[steps.row[leaves]] + copied[leaves]
    node = steps.node[leaves]
    names = pc.dictionary_encode(steps.symbols.take(pa.array(node)))
    masks = [f"{{{name}}}" for name in names.dictionary.to_pylist()]
    keep = np.ones(len(codes), dtype=bool)
    keep[place] = np.concatenate([[True], node[1:] != node[:-1]])[: len(node)]
    codes = codes.copy()
    codes[place] = len(spoken) + np.asarray(names.indices)
    kept = np.concatenate([[0], np.cumsum(keep)])[starts]
    pieces = pa.array([*spoken, *masks], pa.string()).take(pa.array(codes[keep]))
    return pc.binary_join(pa.ListArray.from_arrays(pa.array(kept, pa.int32()), pieces), " ")


def value_texts(steps: Steps) -> tuple[list[str], np.ndarray, np.ndarray]:
    """(distinct values, for each value of each row its number, its row): the leaves of a node, lower-case, joined."""
    leaves, first = _value_leaves(steps)
    spoken, codes = _casefolded(steps.symbols.take(pa.array(leaves)))
    ends = np.concatenate([first, [len(leaves)]])
    pieces = pa.array(spoken, pa.string()).take(pa.array(codes))
    joined = pc.binary_join(pa.ListArray.from_arrays(pa.array(ends, pa.int32()), pieces), " ")
    coded = pc.dictionary_encode(joined)
    return coded.dictionary.to_pylist(), np.asarray(coded.indices).astype(np.int64), steps.row[leaves[first]]


def value_hashes(steps: Steps) -> tuple[np.ndarray, np.ndarray]:
    """Hash of each value, row of each value."""
    texts, which, row = value_texts(steps)
    return hash64(text.encode() for text in texts)[which], row


def value_marks(actions: pa.ListArray, symbols: pa.ListArray) -> tuple[np.ndarray, np.ndarray]:
    """The same with a mark of 64 bits in place of the hash: a sum over words, at a tenth of the cost.

    Two values that differ have one mark as seldom as random numbers are equal. Good for counting, while splits are
    dealt by the hash.

    Args:
        actions, symbols: columns of a shard.
    """
    kinds = np.asarray(actions.flatten())
    leaves = np.flatnonzero(kinds == Kind.TER)
    before = kinds[leaves - 1]
    if (before == Kind.RED).any():
        leaves, first = _value_leaves(Steps(actions, symbols))
    else:  # no node goes on after one inside it, so the leaves of each stand together
        first = np.flatnonzero(before == Kind.NT)
    spoken, codes = _casefolded(symbols.flatten().take(pa.array(leaves)))
    words = _marks(pa.array(spoken, pa.string()))[codes]
    place = np.arange(len(leaves)) - np.repeat(first, np.diff(first, append=len(leaves)))
    marks = np.add.reduceat(words * _factors(place), first) if len(first) else words
    starts = np.asarray(actions.offsets)
    return marks.view(np.int64), np.searchsorted(starts - starts[0], leaves[first], side="right") - 1


def _value_leaves(steps: Steps) -> tuple[np.ndarray, np.ndarray]:
    """(the leaves, those of one node together, which of them are the first of a node)"""
    leaves = np.flatnonzero(steps.kinds == Kind.TER)
    node = steps.node[leaves]
    if (node[1:] < node[:-1]).any():
        order = np.argsort(node, kind="stable")
        leaves, node = leaves[order], node[order]
    return leaves, np.flatnonzero(np.concatenate([[True], node[1:] != node[:-1]])[: len(node)])


def _marks(texts: pa.StringArray) -> np.ndarray:
    """uint64 of each text: the sum of its bytes, each by a number of its place, well mixed."""
    starts = edges(texts)
    sizes = np.diff(starts)
    place = np.arange(starts[-1]) - np.repeat(starts[:-1], sizes)
    every = np.zeros(starts[-1] + 1, dtype=np.uint64)
    every[:-1] = (bytes_of(texts).astype(np.uint64) + np.uint64(1)) * _factors(place)
    sums = np.add.reduceat(every, starts[:-1]) if len(sizes) else every[:0]
    return _mixed(np.where(sizes > 0, sums, np.uint64(0)))


def _factors(places: np.ndarray) -> np.ndarray:
    """An odd random number of each place."""
    return _mixed(np.arange(int(places.max(initial=0)) + 1, dtype=np.uint64))[places] | np.uint64(1)


def _mixed(numbers: np.ndarray) -> np.ndarray:
    """SplitMix64 (Steele et al., OOPSLA 2014): numbers that look drawn at random, each from one."""
    found = (numbers + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    found = (found ^ (found >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    found = (found ^ (found >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return found ^ (found >> np.uint64(31))


def _casefolded(column: pa.Array) -> tuple[list[str], np.ndarray]:
    """(distinct strings, lower-case; which one each value is)"""
    coded = pc.dictionary_encode(column)  # of what is coded already, nothing is left to do
    return [text.casefold() for text in coded.dictionary.to_pylist()], np.asarray(coded.indices).astype(np.int64)
