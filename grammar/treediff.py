"""How two trees differ: the edit distance of Zhang and Shasha (1989), and a line by line picture of it.

      PlayMusicIntent
    -   Title (Jolene)
    +   ArtistName (Jolene)

Deleting, inserting and renaming a node or a word cost 1 each; a word never becomes a node.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher

from grammar.tree import Leaf, Tree, escape

_LARGEST = 250_000
"""Pairs of nodes for which the exact distance is worked out; about a second and a half."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a diff: `sign` is a blank, `-` (only in the first tree) or `+` (only in the second)."""

    sign: str
    level: int
    text: str

    def __str__(self) -> str:
        return f"{self.sign} {'  ' * self.level}{self.text}"


def distance(before: Tree, after: Tree) -> int:
    """Fewest deletions, insertions and renamings that make one tree of the other.

    Takes time with the product of the sizes, and of the depths; see `diff` for trees of any size.

    >>> distance(Tree("a", [Leaf("x")]), Tree("b", [Leaf("x"), Leaf("y")]))
    2
    """
    return 0 if before == after else _edit(_Flat(before), _Flat(after))[0]


def diff(before: Tree, after: Tree) -> list[Line]:
    """Every node and word of both trees, those that both have once.

    Trees of more than 250,000 pairs of nodes are compared as two lists of nodes: still right, maybe not shortest.
    """
    a, b = _Flat(before), _Flat(after)
    if before == after:
        pairs = [(i, i) for i in range(len(a.names))]
    elif len(a.names) * len(b.names) <= _LARGEST:
        pairs = _edit(a, b)[1]
    else:
        blocks = SequenceMatcher(None, a.names, b.names, autojunk=False).get_matching_blocks()
        pairs = [(block.a + i, block.b + i) for block in blocks for i in range(block.size)]
    # Pairs keep both orders, so the two lists of nodes can be read side by side, parents first.
    kept = sorted((a.first[i], b.first[j]) for i, j in pairs if a.names[i] == b.names[j])
    lines: list[Line] = []
    at = other = 0
    for i, j in [*kept, (len(a.names), len(b.names))]:
        lines += [Line("-", *a.shown[k]) for k in range(at, i)]
        lines += [Line("+", *b.shown[k]) for k in range(other, j)]
        if j < len(b.names):
            lines.append(Line(" ", *b.shown[j]))
        at, other = i + 1, j + 1
    return list(_joined(lines))


def unordered(tree: Tree, labels: Collection[str]) -> Tree:
    """The tree with the children of some labels sorted: for comparing where their order means nothing."""
    if not labels:
        return tree
    done: list[Tree | Leaf] = []
    stack: list[tuple[Tree | Leaf, bool]] = [(tree, False)]
    while stack:
        item, ready = stack.pop()
        if isinstance(item, Leaf):
            done.append(item)
        elif not ready:
            stack.append((item, True))
            stack += [(child, False) for child in reversed(item.children)]
        else:
            cut = len(done) - len(item.children)
            children, done = done[cut:], done[:cut]
            if item.label in labels:
                children.sort(key=lambda child: str(child) if isinstance(child, Tree) else f"({escape(child.word)})")
            done.append(Tree(item.label, children))
    assert isinstance(done[0], Tree)
    return done[0]


class _Flat:
    """A tree as lists in postorder: `names`, `left` (the first node below), `first` (place in preorder)."""

    def __init__(self, tree: Tree) -> None:
        self.names: list[str] = []
        self.left: list[int] = []
        self.first: list[int] = []
        self.shown: list[tuple[int, str]] = []  # in preorder: level and text
        stack: list[tuple[Tree | Leaf, int, tuple[int, int] | None]] = [(tree, 0, None)]
        while stack:
            item, level, entered = stack.pop()
            if entered is None:
                # What stands in postorder from here on, up to the node itself, is below it.
                stack.append((item, level, (len(self.shown), len(self.names))))
                self.shown.append((level, item.label if isinstance(item, Tree) else f"({escape(item.word)})"))
                if isinstance(item, Tree):
                    stack += [(child, level + 1, None) for child in reversed(item.children)]
                continue
            number, left = entered
            self.names.append(self.shown[number][1])
            self.left.append(left)
            self.first.append(number)
        # The nodes to start from: of all nodes with one first leaf, the highest.
        last = {left: i for i, left in enumerate(self.left)}
        self.roots = sorted(last.values())


def _edit(a: _Flat, b: _Flat) -> tuple[int, list[tuple[int, int]]]:
    """(distance, pairs of nodes that correspond), in postorder numbers."""
    n, m = len(a.names), len(b.names)
    table = [[0] * m for _ in range(n)]
    for i in a.roots:
        for j in b.roots:
            _forest(a, b, i, j, table)
    return table[n - 1][m - 1], _pairs(a, b, table)


def _forest(a: _Flat, b: _Flat, i: int, j: int, table: list[list[int]]) -> list[list[int]]:
    """Distances between all prefixes of two forests; fills in those of whole subtrees."""
    left_a, left_b = a.left[i], b.left[j]
    rows, columns = i - left_a + 2, j - left_b + 2
    cost = [[0] * columns for _ in range(rows)]
    cost[0] = list(range(columns))
    for x in range(1, rows):
        node = left_a + x - 1
        row, above = cost[x], cost[x - 1]
        row[0] = x
        below_a, name, whole = a.left[node], a.names[node], a.left[node] == left_a
        skip_row = cost[below_a - left_a]
        known = table[node]
        word = name[0] == "("
        for y in range(1, columns):
            other = left_b + y - 1
            best = above[y] + 1
            if row[y - 1] + 1 < best:
                best = row[y - 1] + 1
            if whole and b.left[other] == left_b:
                that = b.names[other]
                same = above[y - 1] + (0 if name == that else 1 if word == (that[0] == "(") else 2)
                known[other] = best = min(best, same)
            else:
                best = min(best, skip_row[b.left[other] - left_b] + known[other])
            row[y] = best
    return cost


def _pairs(a: _Flat, b: _Flat, table: list[list[int]]) -> list[tuple[int, int]]:
    """The correspondence behind the distance, read back from the end."""
    pairs = []
    todo = [(len(a.names) - 1, len(b.names) - 1)]
    scratch = [row[:] for row in table]
    while todo:
        i, j = todo.pop()
        cost = _forest(a, b, i, j, scratch)
        left_a, left_b = a.left[i], b.left[j]
        x, y = i - left_a + 1, j - left_b + 1
        while x or y:
            node, other = left_a + x - 1, left_b + y - 1
            if x and y and a.left[node] == left_a and b.left[other] == left_b:
                if cost[x][y] == cost[x - 1][y - 1] + _rename(a.names[node], b.names[other]) and (
                    a.names[node][0] == "("
                ) == (b.names[other][0] == "("):
                    pairs.append((node, other))
                    x, y = x - 1, y - 1
                    continue
            elif x and y and cost[x][y] == cost[a.left[node] - left_a][b.left[other] - left_b] + table[node][other]:
                todo.append((node, other))
                x, y = a.left[node] - left_a, b.left[other] - left_b
                continue
            if x and cost[x][y] == cost[x - 1][y] + 1:
                x -= 1
            else:
                y -= 1
    return pairs


def _rename(name: str, other: str) -> int:
    return 0 if name == other else 1 if (name[0] == "(") == (other[0] == "(") else 2


def _joined(lines: list[Line]) -> Iterator[Line]:
    """Words on the line of their node, where the sign is the same."""
    held: Line | None = None
    for line in lines:
        if held and line.text[0] == "(" and line.sign == held.sign and line.level == held.level + 1:
            held = Line(held.sign, held.level, f"{held.text} {line.text}")
            continue
        if held:
            yield held
        held = line
        if line.text[0] == "(":
            yield line
            held = None
    if held:
        yield held
