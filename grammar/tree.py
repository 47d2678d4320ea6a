"""Trees: what every other module passes around.

A tree is a label over children; a child is another tree or a leaf, which is one word.

    >>> str(Tree("PlayMusicIntent", [Tree("Title", [Leaf("Star"), Leaf("Wars")])]))
    '(PlayMusicIntent(Title(Star)(Wars)))'

Nothing here recurses, so a tree of a thousand levels is as good as any other.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

NOT_LABEL = re.compile(r"[^A-Za-z0-9_.:/\-!@#<>=+*?'$%]")
"""A character that no label can hold."""
_ESCAPED = re.compile(r"([ ()\\])")
_ESCAPE = re.compile(r"\\([ ()\\])")
_UNWRITABLE = re.compile(r"[\t\r\n]")


@dataclass(frozen=True, slots=True)
class Span:
    """A half-open range `[start, end)`, 0-based, in characters of the text that was read."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Leaf:
    """One word. `span` is where it was read, brackets not counted, and takes no part in equality."""

    word: str
    span: Span | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Tree:
    """A labelled node. Two trees are equal when their canonical texts are.

    Attributes:
        label: an intent, a function (`and`, `add`) or a slot.
        children: trees and leaves in utterance order; may be empty.
        span: both brackets and all between them, in characters of the text that was read.
        label_span: the label alone.
    """

    label: str
    children: tuple[Tree | Leaf, ...] = ()
    span: Span | None = None
    label_span: Span | None = None

    def __init__(
        self,
        label: str,
        children: Iterable[Tree | Leaf] = (),
        span: Span | None = None,
        label_span: Span | None = None,
    ) -> None:
        put = object.__setattr__
        put(self, "label", label)
        put(self, "children", tuple(children))
        put(self, "span", span)
        put(self, "label_span", label_span)

    def walk(self) -> Iterator[Tree]:
        """Every node, parents before children, left to right."""
        stack = [self]
        while stack:
            tree = stack.pop()
            yield tree
            stack.extend(child for child in reversed(tree.children) if isinstance(child, Tree))

    def leaves(self) -> Iterator[Leaf]:
        """Every leaf, left to right."""
        stack: list[Tree | Leaf] = [self]
        while stack:
            item = stack.pop()
            if isinstance(item, Leaf):
                yield item
            else:
                stack.extend(reversed(item.children))

    def words(self) -> list[str]:
        """The words of the leaves, left to right."""
        return [leaf.word for leaf in self.leaves()]

    def depth(self) -> int:
        """Levels of nodes; a leaf adds none."""
        deepest, stack = 0, [(self, 1)]
        while stack:
            tree, level = stack.pop()
            deepest = max(deepest, level)
            stack.extend((child, level + 1) for child in tree.children if isinstance(child, Tree))
        return deepest

    def constituents(self) -> list[tuple[str, tuple[int, ...]]]:
        """(label, numbers of the leaves below it) of every node, parents first.

        The numbers count the leaves of this tree from 0; map them to positions in the utterance
        to compare trees of one utterance.
        """
        # Leaves below a node are consecutive, so (first, last) is enough until the end.
        order: list[Tree] = []
        bounds: list[list[int]] = []
        seen = 0
        stack: list[tuple[Tree | Leaf | None, int]] = [(self, -1)]
        while stack:
            item, number = stack.pop()
            if item is None:
                bounds[number][1] = seen
            elif isinstance(item, Leaf):
                seen += 1
            else:
                number = len(order)
                order.append(item)
                bounds.append([seen, seen])
                stack.append((None, number))
                stack.extend((child, -1) for child in reversed(item.children))
        return [(tree.label, tuple(range(a, b))) for tree, (a, b) in zip(order, bounds, strict=True)]

    def __str__(self) -> str:
        """The canonical text: no white space, one leaf per word, only needed escapes."""
        parts: list[str] = []
        stack: list[Tree | Leaf | str] = [self]
        while stack:
            item = stack.pop()
            if isinstance(item, str):
                parts.append(item)
            elif isinstance(item, Leaf):
                parts.append(f"({escape(item.word)})")
            else:
                parts.append(f"({item.label}")
                stack.append(")")
                stack.extend(reversed(item.children))
                if not item.children:
                    stack.append("()")
        return "".join(parts)

    def __repr__(self) -> str:
        return f"parse({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return str(self) == str(other) if isinstance(other, Tree) else NotImplemented

    def __hash__(self) -> int:
        return hash(str(self))


def escape(word: str) -> str:
    r"""Write a word so that it can be read back: a backslash before blank, brackets and backslash.

    >>> escape("a (b)")
    'a\\ \\(b\\)'
    """
    return _ESCAPED.sub(r"\\\1", word)


def unescape(text: str) -> str:
    r"""Undo `escape`. A backslash before any other character stays as it is.

    >>> unescape("a\\ \\(b\\)")
    'a (b)'
    """
    return _ESCAPE.sub(r"\1", text)


def is_label(text: str) -> bool:
    """Whether the language can hold this label; the characters are those of `tree.lark`."""
    return bool(text) and not NOT_LABEL.search(text)


def is_writable(word: str) -> bool:
    """Whether the language can hold this word: not empty, no tab, newline or carriage return."""
    return bool(word) and not _UNWRITABLE.search(word)
