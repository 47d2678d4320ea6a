"""What a row may hold that some formats cannot say: the words in which losses are declared, reported and tested.

    Format.loses   which of these a format cannot keep, and what becomes of them
    features(row)  which of these a row has

A row that has none of what its format loses comes back equal, field by field; a row that has some comes back without
`FIELDS` of them, or is refused, or comes back changed, and is counted as such. `flattened` is the inverse of
`pipelines.trees.clause`: a tree as intents and slots, which is all that most formats know.
"""

from __future__ import annotations

from typing import NamedTuple

from grammar import words as tokenisers
from grammar.actions import Kind
from grammar.tree import Leaf, Tree
from pipelines.record import Example, SlotSpan

FEATURES = {
    "domain": "the domain",
    "locale": "the locale",
    "raw text": "blanks of the utterance that are not one between each two words",
    "other text": "an utterance whose characters are not those of its words",
    "given words": "words that are not what `words-1` cuts from the utterance",
    "blanks in words": "a word with white space in it",
    "clauses": "several intents, each with its own slots",
    "joined labels": "an intent with `#` in its name",
    "nested slots": "a slot or an intent inside a slot",
    "mixed slots": "words beside a slot or an intent inside a slot",
    "coordinated values": "slot values under `add`",
    "generated words": "a leaf that is no word of the utterance",
    "empty slots": "a slot without words",
    "scattered slots": "a slot whose words are not neighbours, overlap another slot's, or stand in another order",
    "words of intents": "a word right under an intent",
    "functions": "`and` or `add` elsewhere than at the root or over values of one slot",
    "marks in text": "characters of the text that the format uses as its marks",
    "odd labels": "characters in a label that the format uses as its marks",
    "no slots": "an utterance without a slot",
}
"""Feature -> what it is. Formats name these in `loses`; writers name them when they refuse a row."""

FIELDS = {"domain": "domain", "locale": "locale", "raw text": "utterance", "other text": "utterance"}
"""Features that are one field of a row: losing them changes that field alone."""


class Unwritable(ValueError):
    """A row that a format cannot hold, because of `feature`, one of `FEATURES`."""

    def __init__(self, feature: str, detail: str = "") -> None:
        super().__init__(f"{FEATURES[feature]}{f': {detail}' if detail else ''}")
        self.feature = feature


class Flat(NamedTuple):
    """Intents, and the slots of each as spans of words, outer before inner."""

    intents: list[str]
    slots: list[list[SlotSpan]]

    @property
    def spans(self) -> list[SlotSpan]:
        """All slots, in the order of the utterance."""
        return sorted((span for some in self.slots for span in some), key=lambda span: (span.start, -span.end))


def tree_of(row: Example) -> tuple[Tree, list[int]]:
    """The tree of a row, and for each leaf the word that it copies."""
    stack: list[tuple[str, list[Tree | Leaf]]] = [("", [])]
    for kind, symbol in zip(row.actions, row.symbols, strict=True):
        if kind == Kind.NT:
            stack.append((symbol, []))
        elif kind == Kind.TER:
            stack[-1][1].append(Leaf(symbol))
        else:
            node = Tree(*stack.pop())
            stack[-1][1].append(node)
    (root,) = stack[0][1]
    assert isinstance(root, Tree)
    return root, [copy for kind, copy in zip(row.actions, row.copy, strict=True) if kind == Kind.TER]


def clauses_of(tree: Tree) -> list[Tree]:
    """The parts of a compound request, or the tree alone."""
    if tree.label != "and" or not tree.children:
        return [tree]
    return [child for child in tree.children if isinstance(child, Tree)]


def plain(tree: Tree) -> Tree:
    """The tree with the values under each `add` in its place, as a corpus without coordination has them."""
    done: dict[int, list[Tree | Leaf]] = {}
    for node in reversed(list(tree.walk())):
        children = [
            piece for child in node.children for piece in ([child] if isinstance(child, Leaf) else done.pop(id(child)))
        ]
        done[id(node)] = children if node.label == "add" and node is not tree else [Tree(node.label, children)]
    (root,) = done[id(tree)]
    assert isinstance(root, Tree)
    return root


def flattened(row: Example) -> Flat:
    """Intents and slots of a row, from which `pipelines.trees` makes its tree again (values under `add` apart).

    Raises:
        Unwritable: the tree says more than intents and slots can.
    """
    from pipelines.trees import TreeError, clause

    tree, positions = tree_of(row)
    at = 0
    intents: list[str] = []
    slots: list[list[SlotSpan]] = []
    parts = clauses_of(plain(tree))
    if tree.label == "and" and (len(parts) != len(tree.children) or len(parts) < 2):
        raise Unwritable("functions")
    for part in parts:
        mine = positions[at : at + len(part.words())]
        at += len(mine)
        spans: list[SlotSpan] = []
        if part.label in ("and", "add"):
            raise Unwritable("functions")
        if any(isinstance(child, Leaf) for child in part.children):
            raise Unwritable("words of intents", f"`{part.label}`")
        for label, leaves in part.constituents()[1:]:
            if label in ("and", "add"):
                raise Unwritable("functions")
            places = [mine[leaf] for leaf in leaves]
            if not places:
                raise Unwritable("empty slots", f"`{label}`")
            if min(places) < 0:
                raise Unwritable("generated words", f"`{label}`")
            if places != list(range(places[0], places[0] + len(places))):
                raise Unwritable("scattered slots", f"`{label}`")
            spans.append(SlotSpan(places[0], places[-1] + 1, label))
        try:
            made = clause(part.label, spans, row.words)
        except TreeError as error:
            raise Unwritable("scattered slots", str(error)) from error
        if (str(made[0]), made[1]) != (str(part), mine):
            raise Unwritable("scattered slots", f"`{part.label}`")
        intents.append(part.label)
        slots.append(spans)
    return Flat(intents, slots)


def single(row: Example, nested: bool = False) -> tuple[str, list[SlotSpan]]:
    """The intent and the slots of a row.

    Raises:
        Unwritable: several intents, or what `flattened` refuses, or a slot inside a slot unless they may be `nested`.
    """
    found = flattened(row)
    if len(found.intents) > 1:
        raise Unwritable("clauses", ", ".join(found.intents))
    return found.intents[0], found.slots[0] if nested else unnested(found.slots[0])


def unnested(spans: list[SlotSpan]) -> list[SlotSpan]:
    """The spans, of which none may lie in another.

    Raises:
        Unwritable: one does.
    """
    end, label = 0, ""
    for span in sorted(spans, key=lambda span: (span.start, -span.end)):
        if span.start < end:
            raise Unwritable("nested slots", f"`{span.label}` in `{label}`")
        end, label = span.end, span.label
    return spans


def places_of(row: Example) -> tuple[str, list[tuple[int, int]]] | None:
    """The utterance and the characters `[start, end)` of each word in it; None where it is not made of the words."""
    text, at = row.utterance, 0
    places: list[tuple[int, int]] = []
    for word in row.words:
        while at < len(text) and text[at].isspace() and not text.startswith(word, at):
            at += 1
        if not text.startswith(word, at):
            return None
        places.append((at, at + len(word)))
        at += len(word)
    return None if text[at:].strip() else (text, places)


def has_blank(word: str) -> bool:
    """Whether a word holds white space, or the zero-width blank that is a byte order mark at the start of a file."""
    return "\ufeff" in word or any(char.isspace() for char in word)


def features(row: Example) -> set[str]:
    """The features of a row, marks of a format apart: those only its writer knows."""
    found = {name for name in ("domain", "locale") if getattr(row, name)}
    joined = " ".join(row.words)
    if any(map(has_blank, row.words)):
        found.add("blanks in words")
    placed = places_of(row)
    if placed is None:
        found.add("other text")
    elif row.utterance != joined:
        found.add("raw text")
    tree, positions = tree_of(row)
    found |= _of_tree(tree, positions)
    try:
        spans = flattened(row).spans
    except Unwritable as error:
        found.add(error.feature)
        spans = []
    text, places = placed or (joined, _one_blank(row.words))
    borders = {border for span in spans for border in (places[span.start][0], places[span.end - 1][1])}
    if places != [(place.start, place.end) for place in tokenisers.spans(text, "words-1", borders)]:
        found.add("given words")
    return found


def _of_tree(tree: Tree, positions: list[int]) -> set[str]:
    found = set[str]()
    parts = clauses_of(tree)
    if tree.label == "and":
        found.add("clauses")
    if any(copy < 0 for copy in positions):
        found.add("generated words")
    if all(not any(isinstance(child, Tree) for child in part.children) for part in parts):
        found.add("no slots")
    for part in parts:
        if "#" in part.label:
            found.add("joined labels")
        for node in part.walk():
            under = [child for child in node.children if isinstance(child, Tree)]
            if node.label == "add":
                found.add("coordinated values")
            elif node is part:
                if len(under) < len(node.children):
                    found.add("words of intents")
            elif under:
                found.add("nested slots")
                if len(under) < len(node.children):
                    found.add("mixed slots")
            elif not node.children:
                found.add("empty slots")
    return found


def _one_blank(words: list[str]) -> list[tuple[int, int]]:
    places, at = list[tuple[int, int]](), 0
    for word in words:
        places.append((at, at + len(word)))
        at += len(word) + 1
    return places


def text_and_places(row: Example) -> tuple[str, list[tuple[int, int]]]:
    """The utterance and where its words stand, in characters; where it has others, its words joined by blanks."""
    return places_of(row) or (" ".join(row.words), _one_blank(row.words))
