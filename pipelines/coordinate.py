"""Coordinated slot values: slots of one label, joined by nothing but `and`, `or` or commas, go under `add`.

    words  add apples and oranges to the list
    from   (AddToListIntent(ItemName(apples))(ItemName(oranges)))
    to     (AddToListIntent(add(ItemName(apples))(ItemName(oranges))))

A flat corpus cannot say that two values belong together; the words between them can.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from grammar.tree import Leaf, Tree

JOINS = frozenset({"and", "or", "&", ","})
"""Words that may stand between two values of one list."""


def coordinate(tree: Tree, positions: Sequence[int], words: Sequence[str]) -> Tree:
    """The tree with runs of joined values under `add`; its leaves keep their order, so `positions` stay right.

    Args:
        tree: any tree; values that already stand below `add` are left alone.
        positions: for each leaf the position of its word, or -1 for a generated one.
        words: the utterance.
    """
    if len(tree.words()) != len(positions):
        return tree  # the caller refuses such a row
    return _rebuild(tree, [tuple(positions[i] for i in leaves) for _, leaves in tree.constituents()], words)


def _rebuild(tree: Tree, places: Sequence[tuple[int, ...]], words: Sequence[str]) -> Tree:
    """Children first: nodes are visited in reverse of `walk`, so each finds its children rebuilt."""
    nodes = list(tree.walk())
    number = {id(node): n for n, node in enumerate(nodes)}
    done: dict[int, Tree] = {}
    for node in reversed(nodes):
        if node.label == "add":
            done[id(node)] = node if not node.children else Tree("add", [_done(c, done) for c in node.children])
            continue
        runs: list[list[Tree | Leaf]] = []
        for before, child in pairwise((None, *node.children)):
            if runs and _joined(before, child, places, number, words):
                runs[-1].append(child)
            elif child is not None:
                runs.append([child])
        children = [_grouped([_done(child, done) for child in run]) for run in runs]
        done[id(node)] = Tree(node.label, children)
    return done[id(tree)]


def _done(child: Tree | Leaf, done: dict[int, Tree]) -> Tree | Leaf:
    return child if isinstance(child, Leaf) else done[id(child)]


def _grouped(run: list[Tree | Leaf]) -> Tree | Leaf:
    return run[0] if len(run) == 1 else Tree("add", run)


def _joined(
    before: Tree | Leaf | None,
    child: Tree | Leaf | None,
    places: Sequence[tuple[int, ...]],
    number: dict[int, int],
    words: Sequence[str],
) -> bool:
    if not isinstance(before, Tree) or not isinstance(child, Tree) or before.label != child.label:
        return False
    left, right = places[number[id(before)]], places[number[id(child)]]
    if not left or not right or min(*left, *right) < 0:
        return False
    between = words[max(left) + 1 : min(right)]
    return bool(between) and all(word.lower() in JOINS for word in between)
