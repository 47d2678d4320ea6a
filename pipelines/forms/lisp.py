"""Brackets as lists: the text of a Lisp-like form, and its plain tree.

( call SW.size ( string a ) )  <->  ["call", "SW.size", ["string", "a"]]
"""

from __future__ import annotations

import re
from typing import Union

from grammar.tree import Leaf, Tree
from pipelines.flat import is_label
from pipelines.forms import FormError

Form = Union[str, list["Form"]]  # noqa: UP007
"""An atom, or what stands in a bracket."""

APPLY = "@"
"""The node of a bracket whose head is no name: `( ( lambda s B ) A )`."""

MOST_LEVELS = 200
"""Brackets in brackets; real forms have a dozen."""

_TOKEN = re.compile(r"[()]|[^\s()]+")


def read_all(text: str) -> list[Form]:
    """The forms of a text, one behind the other.

    Raises:
        FormError: a bracket has no partner, or too many are nested.
    """
    stack: list[list[Form]] = [[]]
    for token in _TOKEN.findall(text):
        if token == "(":
            if len(stack) > MOST_LEVELS:
                raise FormError(f"over {MOST_LEVELS} brackets are nested")
            stack.append([])
        elif token == ")":
            if len(stack) == 1:
                raise FormError("a `)` that closes nothing")
            done = stack.pop()
            stack[-1].append(done)
        else:
            stack[-1].append(token)
    if len(stack) > 1:
        raise FormError(f"{len(stack) - 1} brackets are not closed")
    return stack[0]


def read(text: str) -> list[Form]:
    """The one bracket of a text.

    Raises:
        FormError: it holds something else.
    """
    found = read_all(text)
    if len(found) != 1 or isinstance(found[0], str):
        raise FormError("a form is one bracket")
    return found[0]


def write(form: Form) -> str:
    """The text of a form, with one blank between tokens.

    >>> write(["a", ["b"]])
    '( a ( b ) )'
    """
    return form if isinstance(form, str) else " ".join(["(", *map(write, form), ")"])


def plain(form: list[Form], reserved: frozenset[str] = frozenset()) -> Tree:
    """The bracket as a node: its head is the label, the rest are its children, atoms are leaves.

    `( call F ... )` is a node `F` where F has a dot; a head that is no label, or is `reserved`, is a child of `@`.

    >>> str(plain(read("( call SW.size ( string a ) )")))
    '(SW.size(string(a)))'
    """
    head, rest = (form[0], form[1:]) if form else ("", [])
    if head == "call" and rest and isinstance(rest[0], str) and "." in rest[0] and is_label(rest[0]):
        head, rest = rest[0], rest[1:]
    elif not isinstance(head, str) or not is_label(head) or "." in head or head in reserved | {"call", APPLY}:
        head, rest = APPLY, form
    return Tree(head, [Leaf(item) if isinstance(item, str) else plain(item, reserved) for item in rest])


def unplain(tree: Tree) -> list[Form]:
    """The inverse of `plain`."""
    rest: list[Form] = [child.word if isinstance(child, Leaf) else unplain(child) for child in tree.children]
    if tree.label == APPLY:
        return rest
    return ["call", tree.label, *rest] if "." in tree.label else [tree.label, *rest]
