"""Ontology findings (E2), seen from afar: the rows of a column in which every label and child is certainly right.

The brackets of a whole block are looked at together. Their running count is the depth; sorted by depth, with the
order of the text kept, children of one node stand side by side, and the node is known from the first of them. Labels
become numbers (`atoms.py`), and the rules are tables over (label of the parent, label of the child).
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from grammar.atoms import Numbers
from grammar.ontology import Ontology

_REQUIRED = 60
"""Required children of one label that are told apart; a label with more of them is never certain."""
_FAR = 64
"""How far back among its siblings a child is looked for; behind that many it is doubted."""
_NEVER, _ONCE, _OFTEN = range(3)
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
        law = np.full((n + 3, n + 3), _NEVER, np.uint8)  # how often a child may stand below a parent
        self.bit = np.zeros((n + 3, n + 3), np.uint64)  # of a child that is required
        self.needed = np.zeros(n + 3, np.uint64)
        self.least = np.zeros(n + 3, np.int64)
        for label, node in ontology.nodes.items():
            i = number[label]
            if len(node.required) > _REQUIRED:
                continue
            for child in node.takes:
                law[i, number[child]] = _OFTEN if child in node.repeated else _ONCE
            for place, child in enumerate(sorted(node.required)):
                self.bit[i, number[child]] = np.uint64(1 << place)
                self.needed[i] |= np.uint64(1 << place)
            self.least[i] = node.least
            law[i, n] = _OFTEN if node.words else _NEVER
            law[i, n + 1] = _NEVER if node.required or node.least > 0 else _OFTEN
        self.law = law.ravel()
        self.asks = bool(self.needed.any())
        # Which lengths intents have, and which any label has; the last place stands for all longer ones.
        longest = max(map(len, labels), default=0)
        self.sizes = np.zeros((2, longest + 2), bool)
        for label in labels:
            self.sizes[0, len(label)] |= ontology.nodes[label].kind == "intent"
            self.sizes[1, len(label)] = True

    def __call__(self, trees: pa.Array, text: tuple[bytes, np.ndarray]) -> np.ndarray:
        """Of each row, whether it certainly has no E2 finding.

        Args:
            trees: a binary column of valid trees (`columns.valid`), without nulls.
            text: its `columns.contents`.
        """
        from grammar.columns import contents, rows_of

        good = np.ones(len(trees), bool)
        data, starts = text
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
        from grammar.columns import parts

        return np.concatenate([_NONE, *(a + self._doubts(data[a:b], any_label) for a, b in parts(starts))])

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
        which = np.flatnonzero(opens)  # the openings, by number of their bracket
        # Before an opening stand i others, and which - i closings.
        depth = np.arange(1, 2 * len(which), 2) - which
        place = at[which]
        length = at[which + 1] - place - 1
        is_node = opens[which + 1]
        nodes = np.flatnonzero(is_node)
        child = np.where(length > 0, n, n + 1) if b"()" in data else np.full(len(which), n)
        child[nodes] = self.numbers(data, place[nodes] + 1, length[nodes])
        doubt = self._like_labels(data, place, length, is_node, any_label)

        # By depth, children of one node side by side; the first of them stands right behind the node's own bracket.
        # A valid tree has at most 17 brackets open at a time (`columns.DEPTH`), so eight bits are enough.
        order = np.argsort(depth.astype(np.int8), kind="stable")
        roots = int(np.count_nonzero(depth == 1))
        doubt[order[:roots]] |= ~self.root[child[order[:roots]]]
        below = order[roots:]
        if not len(below):
            return place[doubt]
        first = is_node[below - 1]
        groups = np.flatnonzero(first)
        parent = below[groups] - 1  # the opening before a first child is the node's
        above = child[parent]
        group = np.cumsum(first) - 1
        pair = (above * (n + 3))[group] + child[below]
        law = self.law[pair]
        wrong = np.flatnonzero(law == _NEVER)
        again = self._again(pair, np.flatnonzero((law == _ONCE) > first), groups, group)
        doubt[below[wrong]] = doubt[below[again]] = True
        few = np.flatnonzero(self.least[above] > 1)
        size = np.append(groups[1:], len(below))[few] - groups[few]
        doubt[parent[few[size < self.least[above[few]]]]] = True
        if self.asks:
            there = np.bitwise_or.reduceat(self.bit.ravel()[pair], groups)
            doubt[parent] |= (self.needed[above] & ~there) != 0
        return place[doubt]

    def _like_labels(
        self, data: bytes, place: np.ndarray, length: np.ndarray, is_node: np.ndarray, any_label: bool
    ) -> np.ndarray:
        """Which openings are of words that are spelt like a label, or like an intent."""
        found = np.zeros(len(place), bool)
        # Hardly a word is as long as one of the labels.
        some = np.flatnonzero(~is_node & self.sizes[int(any_label)].take(length, mode="clip"))
        if len(some):
            label = self.numbers(data, place[some] + 1, length[some])
            found[some] = label < self.n if any_label else self.intent[label]
        return found

    @staticmethod
    def _again(pair: np.ndarray, left: np.ndarray, groups: np.ndarray, group: np.ndarray) -> np.ndarray:
        """Which of the children `left` stand a second time below their parent."""
        nth = left - groups[group[left]]
        found = []
        for back in range(1, _FAR):
            found.append(left[pair[left] == pair[left - back]])
            more = nth > back
            left, nth = left[more], nth[more]
            if not len(left):
                break
        return np.concatenate([*found, left])
