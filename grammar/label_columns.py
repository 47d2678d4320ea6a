"""Ontology findings (E2), seen from afar: the rows of a column in which every label and child is certainly right.

The brackets of a whole block are looked at together. Their running count is the depth; sorted by depth, with the
order of the text kept, children of one node stand side by side, and the node is known from the first of them. Labels
become numbers (`atoms.py`), and the rules are tables over (label of the parent, label of the child).
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from grammar.atoms import Numbers
from grammar.ontology import Ontology

_REQUIRED = 60
"""Required children of one label that are told apart; a label with more of them is never certain."""
_FAR = 64
"""How far back among its siblings a child is looked for; behind that many it is doubted."""
_BLOCK = 1 << 19
"""Bytes looked at together: what is worked on should stay in the cache."""
_NONE = np.zeros(0, np.int64)


class LabelColumns:
    """Tables of an ontology, and the test of a column against them.

    A label is its number among the sorted labels. Behind these come, as children: a word, an empty child list, and an
    unknown label.
    """

    def __init__(self, ontology: Ontology) -> None:
        labels = sorted(ontology.nodes)
        number = {label: i for i, label in enumerate(labels)}
        n = self.n = len(labels)
        self.numbers = Numbers([label.encode() for label in labels], n + 2)
        self.intent = np.array([ontology.nodes[label].kind == "intent" for label in labels] + [False] * 3)
        self.root = np.array([label in ontology.roots for label in labels] + [False] * 3)
        self.fits = np.zeros((n + 3, n + 3), bool)  # a child below a parent
        self.once = np.zeros((n + 3, n + 3), bool)  # and only once
        self.bit = np.zeros((n + 3, n + 3), np.uint64)  # and it is required
        self.needed = np.zeros(n + 3, np.uint64)
        self.least = np.zeros(n + 3, np.int64)
        for label, node in ontology.nodes.items():
            i = number[label]
            if len(node.required) > _REQUIRED:
                continue
            for child in node.takes:
                self.fits[i, number[child]] = True
                self.once[i, number[child]] = child not in node.repeated
            for place, child in enumerate(sorted(node.required)):
                self.bit[i, number[child]] = np.uint64(1 << place)
                self.needed[i] |= np.uint64(1 << place)
            self.least[i] = node.least
            self.fits[i, n] = node.words
            self.fits[i, n + 1] = not node.required and node.least <= 0
        self.asks = bool(self.needed.any())

    def __call__(self, trees: pa.Array) -> np.ndarray:
        """Of each row, whether it certainly has no E2 finding.

        Args:
            trees: a binary column of valid trees (`columns.valid`), without nulls.
        """
        from grammar.columns import contents, rows_of

        good = np.ones(len(trees), bool)
        data, starts = contents(trees)
        odd = self._odd(data, starts)
        if not len(odd):
            good[rows_of(self._doubtful(data, starts, False), starts)] = False
            return good
        hard = np.zeros(len(trees), bool)
        hard[rows_of(odd, starts)] = True
        good[hard] = self._rewritten(trees.filter(pa.array(hard)))
        data, starts = contents(trees.filter(pa.array(~hard)))
        good[np.flatnonzero(~hard)[rows_of(self._doubtful(data, starts, False), starts)]] = False
        return good

    def _rewritten(self, trees: pa.Array) -> np.ndarray:
        """The same for rows with escapes, white space and brackets of several words."""
        from grammar.columns import contents, rows_of

        # What is escaped is no part of a label, and neither is `~`.
        text = pc.replace_substring_regex(trees, r"\\[ ()\\]", "~~")
        text = pc.replace_substring_regex(text, r"[ \t\r\n]*([()])[ \t\r\n]*", r"\1")
        text = pc.replace_substring_regex(text, r"[ \t\r\n]+", ")(")
        good = np.ones(len(trees), bool)
        data, starts = contents(text)
        # A first word that is a label is E208; which word was first is lost here, so any is doubted.
        good[rows_of(self._doubtful(data, starts, True), starts)] = False
        return good

    @staticmethod
    def _odd(data: bytes, starts: np.ndarray) -> np.ndarray:
        """Where there is a backslash, or white space other than a line end behind a row."""
        marks = np.frombuffer(data, np.uint8)
        ends = np.count_nonzero(marks[starts[1:] - 1] == 10) if len(data) else 0
        inner = data.count(b"\n") != ends
        if not inner and not any(char in data for char in (b" ", b"\\", b"\t", b"\r")):
            return _NONE
        odd = (marks == 0x20) | (marks == 0x5C) | (marks == 9) | (marks == 13)
        if inner:
            lines = marks == 10
            lines[starts[1:] - 1] = False
            odd |= lines
        return np.flatnonzero(odd)

    def _doubtful(self, data: bytes, starts: np.ndarray, any_label: bool) -> np.ndarray:
        """`_doubts` of whole rows, a part that fits the cache at a time."""
        if not data:
            return _NONE
        wanted = np.searchsorted(starts, np.arange(0, len(data) + _BLOCK, _BLOCK))
        cuts = np.unique(starts[wanted.clip(0, len(starts) - 1)]).tolist()
        parts = [a + self._doubts(data[a:b], any_label) for a, b in pairwise(cuts)]
        return np.concatenate(parts)

    def _doubts(self, data: bytes, any_label: bool) -> np.ndarray:
        """Byte positions of the brackets that make a row doubtful.

        Args:
            data: whole rows, one behind the other; valid, and without escapes or white space in brackets.
            any_label: doubt every word that is spelt like a label; else only those spelt like an intent (E207).
        """
        n = self.n
        marks = np.frombuffer(data, np.uint8)
        at = np.flatnonzero((marks & 0xFE) == 0x28)
        opens = marks[at] == 0x28
        # A valid tree has at most 17 brackets open at a time (`columns.DEPTH`), so eight bits are enough.
        depth = np.cumsum((opens.view(np.int8) << 1) - 1, dtype=np.int8)
        which = np.flatnonzero(opens)  # the openings, by number of their bracket
        place = at[which]
        length = at[which + 1] - place - 1
        is_node = opens[which + 1]
        label = self.numbers(data, place + 1, length)
        doubt = ((label < n) if any_label else self.intent[label]) & ~is_node
        child = np.where(is_node, label, np.where(length > 0, n, n + 1))

        # By depth, children of one node side by side; the first of them stands right behind the node's own bracket.
        order = np.argsort(depth[which], kind="stable")
        first = opens[which - 1]
        first[0] = False
        roots = int(np.count_nonzero(depth[which] == 1))
        doubt[order[:roots]] |= ~self.root[child[order[:roots]]]
        below = order[roots:]
        if not len(below):
            return place[doubt]
        groups = np.flatnonzero(first[below])
        size = np.diff(groups, append=len(below))
        parent = below[groups] - 1  # the opening before a first child is the node's
        above = child[parent]
        pair = np.repeat(above * (n + 3), size) + child[below]
        doubt[below] |= ~self.fits.ravel()[pair]
        doubt[below[self._again(pair, groups, size)]] = True
        doubt[parent] |= size < self.least[above]
        if self.asks:
            there = np.bitwise_or.reduceat(self.bit.ravel()[pair], groups)
            doubt[parent] |= (self.needed[above] & ~there) != 0
        return place[doubt]

    def _again(self, pair: np.ndarray, groups: np.ndarray, size: np.ndarray) -> np.ndarray:
        """Which children stand a second time below a parent that takes them once."""
        nth = np.arange(len(pair)) - np.repeat(groups, size)
        left = np.flatnonzero((nth > 0) & self.once.ravel()[pair])
        found = []
        for back in range(1, _FAR):
            found.append(left[pair[left] == pair[left - back]])
            left = left[nth[left] > back]
            if not len(left):
                break
        return np.concatenate([*found, left])
