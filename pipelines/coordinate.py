"""Coordinated slot values: slots of one label, joined by nothing but `and`, `or` or commas, go under `add`.

    words  add apples and oranges to the list
    from   (AddToListIntent(ItemName(apples))(ItemName(oranges)))
    to     (AddToListIntent(add(ItemName(apples))(ItemName(oranges))))

A flat corpus cannot say that two values belong together; the words between them can.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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
    nodes = list(tree.walk())
    places = {
        id(node): tuple(positions[leaf] for leaf in leaves)
        for node, (_, leaves) in zip(nodes, tree.constituents(), strict=True)
    }
    done: dict[int, Tree] = {}
    for node in reversed(nodes):  # children come before their parents, so no recursion is needed
        runs: list[list[Tree | Leaf]] = []
        for number, child in enumerate(node.children):
            before = node.children[number - 1] if number and node.label != "add" else None
            if _joined(before, child, places, words):
                runs[-1].append(done[id(child)])
            else:
                runs.append([child if isinstance(child, Leaf) else done[id(child)]])
        done[id(node)] = Tree(node.label, [run[0] if len(run) == 1 else Tree("add", run) for run in runs])
    return done[id(tree)]


def _joined(
    before: Tree | Leaf | None, child: Tree | Leaf, places: Mapping[int, tuple[int, ...]], words: Sequence[str]
) -> bool:
    """Whether nothing but joining words stands between two slots of one label."""
    if not isinstance(before, Tree) or not isinstance(child, Tree) or before.label != child.label:
        return False
    left, right = places[id(before)], places[id(child)]
    if not left or not right or min(*left, *right) < 0:
        return False
    between = words[max(left) + 1 : min(right)]
    return bool(between) and all(word.lower() in JOINS for word in between)
