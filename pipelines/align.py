"""Which words of an utterance the leaves of its tree copy.

Positions rise from leaf to leaf as far as they can, since trees are written in utterance order; of all such
alignments that find most leaves, the one with most unbroken runs wins, then the leftmost:

    words   star wars and the star wars film        leaves (star)(wars) -> 0 1, not 0 5
    words   play star music star wars               leaves (star)(wars) -> 3 4: a run beats the leftmost

Where the same run occurs twice nothing in the text says which one is meant, and the first is taken. A leaf that is
left over takes the first equal word that no other leaf has; without one it is generated (-1).
"""

from __future__ import annotations

from collections.abc import Sequence

from grammar.actions import GENERATED
from grammar.tree import Leaf, Tree

MOST_CELLS = 4_000_000
"""Leaves times words. Beyond it, the table takes too long and no annotator made the tree."""

_FOUND = 1 << 32  # one leaf found outweighs every run


def align(tree: Tree, words: Sequence[str]) -> list[int]:
    """The position that each leaf copies, or -1, left to right.

    >>> align(Tree("Title", [Leaf("star"), Leaf("wars")]), ["play", "star", "music", "star", "wars"])
    [3, 4]

    Raises:
        ValueError: leaves times words are over `MOST_CELLS`.
    """
    leaves, joined = _leaves(tree)
    if len(leaves) * len(words) > MOST_CELLS:
        raise ValueError(f"{len(leaves)} leaves times {len(words)} words")
    # free[i][j]: best score of leaves i.. on words j..; after[i][j]: the same when leaf i - 1 copies word j - 1.
    rows, columns = len(leaves) + 1, len(words) + 1
    free = [[0] * columns for _ in range(rows)]
    after = [[0] * columns for _ in range(rows)]
    for i in reversed(range(rows - 1)):
        for j in reversed(range(columns)):
            best = free[i + 1][j]
            run = 0
            if j < columns - 1:
                best = max(best, free[i][j + 1])
                if leaves[i] == words[j]:
                    taken = _FOUND + after[i + 1][j + 1]
                    best = max(best, taken)
                    run = taken + joined[i]
            free[i][j] = best
            after[i][j] = max(best, run)
    positions = [GENERATED] * len(leaves)
    i = j = 0
    follows = False
    while i < len(leaves) and j < len(words):
        score = after[i][j] if follows else free[i][j]
        gain = _FOUND + (joined[i] if follows else 0)
        if leaves[i] == words[j] and score == gain + after[i + 1][j + 1]:
            positions[i] = j
            i, j, follows = i + 1, j + 1, True
        elif score == free[i][j + 1]:
            j, follows = j + 1, False
        else:
            i, follows = i + 1, False
    unused = set(range(len(words))) - set(positions)
    for number, word in enumerate(leaves):
        if positions[number] == GENERATED:
            place = next((at for at in sorted(unused) if words[at] == word), GENERATED)
            positions[number] = place
            unused.discard(place)
    return positions


def _leaves(tree: Tree) -> tuple[list[str], list[int]]:
    """The words of the leaves, and for each whether (1 or 0) the leaf before it is its neighbour under one node."""
    words: list[str] = []
    joined: list[int] = []
    stack: list[tuple[Tree | Leaf, int]] = [(tree, 0)]
    while stack:
        item, follows = stack.pop()
        if isinstance(item, Leaf):
            words.append(item.word)
            joined.append(follows)
        else:
            before = [None, *item.children]
            pairs = zip(item.children, before, strict=False)
            stack.extend(reversed([(child, int(isinstance(left, Leaf))) for child, left in pairs]))
    return words, joined
