"""Ontology findings (E2), seen from afar: the rows of a column in which every label and child is certainly right.

The brackets of a whole block are looked at together. Most are first children, whose node's bracket stands right before
them; of the others it is found by depth. Labels become numbers (`atoms.py`), and the rules are tables over (label of
the parent, label of the child).
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from grammar.atoms import Numbers, Words
from grammar.ontology import Ontology
from grammar.rules import MAX_BYTES

_REQUIRED = 60
"""Required children of one label that are told apart; a label with more of them is never certain."""
_FAR = 64
"""How far back among its siblings a child is looked for; behind that many it is doubted."""
_NEVER, _ONCE, _OFTEN = range(3)
_NONE = np.zeros(0, np.int64)
_WHITE = np.isin(np.arange(256), (9, 10, 13, 32))


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
        bit = np.zeros((n + 3, n + 3), np.uint64)  # of a child that is required
        self.needed = np.zeros(n + 3, np.uint64)
        self.least = np.zeros(n + 3, np.int64)
        for label, node in ontology.nodes.items():
            i = number[label]
            if len(node.required) > _REQUIRED:
                continue
            for child in node.takes:
                law[i, number[child]] = _OFTEN if child in node.repeated else _ONCE
            for place, child in enumerate(sorted(node.required)):
                bit[i, number[child]] = np.uint64(1 << place)
                self.needed[i] |= np.uint64(1 << place)
            self.least[i] = node.least
            law[i, n] = _OFTEN if node.words else _NEVER
            law[i, n + 1] = _NEVER if node.required or node.least > 0 else _OFTEN
        self.law, self.bit = law.ravel(), bit.ravel()
        self.asks = bool(self.needed.any())
        # Words that are shorter than all intents, or all labels, need no look.
        self.shortest = [min(map(len, some), default=MAX_BYTES) for some in (ontology.labels("intent"), labels)]

    def __call__(
        self, trees: pa.Array, text: tuple[bytes, np.ndarray], rare: tuple[np.ndarray, np.ndarray]
    ) -> np.ndarray:
        """Of each row, whether it certainly has no E2 finding.

        Args:
            trees: a binary column of valid trees (`columns.valid`), without nulls.
            text: its `columns.contents`.
            rare: what is `columns.unusual` in them.
        """
        from grammar.columns import contents, rows_of

        good = np.ones(len(trees), bool)
        data, starts = text
        odd = self._odd(data, *rare)
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
    def _odd(data: bytes, at: np.ndarray, some: np.ndarray) -> np.ndarray:
        """Where there is a backslash, or white space other than a line end behind a row."""
        odd = at[_WHITE.take(some)]
        if b"\\" in data:
            odd = np.append(odd, np.flatnonzero(np.frombuffer(data, np.uint8) == 0x5C))
        return odd

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
        n, wide = self.n, self.n + 3
        words = Words(data)
        at = np.flatnonzero((words.marks & 0xFE) == 0x28)
        which = np.flatnonzero(words.marks.take(at) == 0x28)  # the openings, by number of their bracket
        place = at.take(which)
        # How many brackets and bytes it is to the next opening; the difference is a label or a word, and the end of
        # a row where that is the last word of one.
        hop, length = (_to_next(x, end) for x, end in ((which, len(at)), (place, int(at[-1]) + 1)))
        length -= hop
        # A bracket that opens right behind one is the first child of its node; nothing else follows a label.
        is_node = hop == 1
        nodes = np.flatnonzero(is_node)
        label = self.numbers(words, place.take(nodes + 1), length.take(nodes))
        child = np.full(len(which), n)
        child[nodes] = label
        empty = np.flatnonzero((length < 2) > is_node)
        child[empty[words.marks.take(place.take(empty) + 1) == 0x29]] = n + 1
        doubts = []
        like = np.flatnonzero((length >= self.shortest[int(any_label)]) > is_node)
        if len(like):
            end = at.take(which.take(like) + 1)
            number = self.numbers(words, end, end - place.take(like) - 1)
            doubts.append(like[number < n if any_label else self.intent.take(number)])

        pair = label * wide
        pair += child.take(nodes + 1)
        doubts.append(nodes[self.law.take(pair) == _NEVER] + 1)
        there = None
        if self.asks:
            there = np.zeros(len(which), np.uint64)
            there[nodes] = self.bit.take(pair)
        # Before an opening stand i others, and which - i closings. A valid tree has at most 17 brackets open at a
        # time (`columns.DEPTH`), so eight bits are enough.
        depth = np.arange(1, 2 * len(which), 2)
        depth -= which
        later = _Later(depth.astype(np.int8), np.append(False, is_node[:-1]))
        doubts.append(later.roots[~self.root.take(child.take(later.roots))])
        pair = child.take(later.parents) * wide
        pair += child.take(later.children)
        law = self.law.take(pair)
        doubts += [later.children[law == _NEVER], later.again(np.flatnonzero(law == _ONCE), child)]
        least = self.least.take(label)
        few = np.flatnonzero(least > 1)
        if len(few):
            size = np.bincount(later.parents, minlength=len(which)).take(nodes.take(few)) + 1
            doubts.append(nodes.take(few)[size < least.take(few)])
        if there is not None:
            np.bitwise_or.at(there, later.parents, self.bit.take(pair))
            doubts.append(nodes[(self.needed.take(label) & ~there.take(nodes)) != 0])
        return place.take(np.concatenate(doubts))


def _to_next(places: np.ndarray, end: int) -> np.ndarray:
    """How far it is from each place to the next, and from the last to the end."""
    return np.append(places[1:], end) - places


class _Later:
    """The openings that are no first children, and where they stand among their siblings.

    Sorted by depth, with the order of the text kept, the children of one node stand side by side; the node is known
    from the first of them, which stands right behind the node's own bracket.

    Attributes:
        roots: the openings of whole trees.
        children: the others that are no first children.
        parents: the opening of the node of each of them.
    """

    def __init__(self, depth: np.ndarray, first: np.ndarray) -> None:
        """
        Args:
            depth: of each opening, 1 for a root; int8.
            first: of each, whether it is the first child of the opening before it.
        """
        order = np.argsort(depth, kind="stable")
        roots = int(np.count_nonzero(depth == 1))
        self.roots, self._below = order[:roots], order[roots:]
        is_first = first.take(self._below)
        self._at = np.flatnonzero(~is_first)
        # Before the later child number i stand i later ones, and all else is first children.
        self._group = np.flatnonzero(is_first).take(self._at - np.arange(1, len(self._at) + 1))
        self.children = self._below.take(self._at)
        self.parents = self._below.take(self._group) - 1

    def again(self, some: np.ndarray, child: np.ndarray) -> np.ndarray:
        """Which of `children`, of the numbers `some`, are labelled as an earlier sibling is, or have too many."""
        left, label = self._at.take(some), child.take(self.children.take(some))
        nth = left - self._group.take(some)
        found = []
        for back in range(1, _FAR):
            if not len(left):
                break
            found.append(left[child.take(self._below.take(left - back)) == label])
            more = np.flatnonzero(nth > back)
            left, label, nth = left.take(more), label.take(more), nth.take(more)
        return self._below.take(np.concatenate([_NONE, *found, left]))
