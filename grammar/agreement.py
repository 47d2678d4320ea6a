"""How far annotators agree on the trees of the same items.

    exact match   equal canonical texts
    bracket F1    labelled brackets: (label, positions of the words below it), as multisets
    intents       chance-corrected; a unit is an utterance, its value the intents of its clauses
    slots         chance-corrected; a unit is a word, its value the path of labels above it, or O

Chance-corrected are Cohen's kappa (1960) for two annotators and Krippendorff's alpha (2011, nominal) for any
number, with missing values. A measure without a value (one category only, nothing to compare) is None.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from grammar.infer import FUNCTIONS
from grammar.tree import Leaf, Tree
from grammar.treediff import unordered

OUTSIDE = "O"

Position = int | tuple[str, int]
"""A word of the utterance by its number, or (word, how many like it stood before) where it is not there."""


@dataclass(frozen=True, slots=True)
class Item:
    """One utterance and what each annotator made of it.

    Attributes:
        key: its id, utterance or line, as they were matched.
        words: of the utterance; None where no file has it.
        trees: one for each annotator; None where there is none, or none that can be read.
    """

    key: str
    words: list[str] | None
    trees: list[Tree | None]

    def agreed(self, free: Collection[str] = ()) -> bool:
        """Whether every annotator has a tree, and all are equal; order below the labels `free` aside."""
        trees = [unordered(tree, free) for tree in self.trees if tree is not None]
        return len(trees) == len(self.trees) and len({str(tree) for tree in trees}) == 1


@dataclass(slots=True)
class Pair:
    """Two annotators, over the items that both have."""

    items: int = 0
    exact: int = 0
    matched: int = 0
    brackets: int = 0
    intents: tuple[list[Hashable], list[Hashable]] = field(default_factory=lambda: ([], []))
    slots: tuple[list[Hashable], list[Hashable]] = field(default_factory=lambda: ([], []))

    def to_dict(self) -> dict[str, Any]:
        """The measures; shares between 0 and 1."""
        return {
            "items": self.items,
            "exact_match": self.exact / self.items if self.items else None,
            "bracket_f1": 2 * self.matched / self.brackets if self.brackets else None,
            "intent_kappa": kappa(*self.intents),
            "slot_kappa": kappa(*self.slots),
        }


@dataclass(slots=True)
class Agreement:
    """What `agree` gives.

    Attributes:
        pairs: (number of one annotator, of the other) -> their measures.
        items: all of them, whoever has them.
        complete: items that every annotator has.
        agreed: those of them on which all are of one mind.
        intent_alpha, slot_alpha: over all annotators.
    """

    pairs: dict[tuple[int, int], Pair]
    items: int
    complete: int
    agreed: int
    intent_alpha: float | None
    slot_alpha: float | None

    def bracket_f1(self) -> float | None:
        """The mean over pairs."""
        values = [f1 for pair in self.pairs.values() if (f1 := pair.to_dict()["bracket_f1"]) is not None]
        return sum(values) / len(values) if values else None


def agree(
    items: Sequence[Item], annotators: int, functions: Collection[str] = FUNCTIONS, free: Collection[str] = ()
) -> Agreement:
    """All measures over some items.

    Args:
        items: with one tree, or None, for each annotator.
        annotators: how many there are.
        functions: labels that join clauses; what stands below one at the root is a clause.
        free: labels below which the order of children means nothing.
    """
    pairs = {pair: Pair() for pair in combinations(range(annotators), 2)}
    intents: list[list[Hashable]] = []
    slots: list[list[Hashable]] = []
    complete = agreed = 0
    for item in items:
        trees = [tree and unordered(tree, free) for tree in item.trees] if free else item.trees
        whole = None not in trees
        complete += whole
        agreed += item.agreed(free)
        clauses = [tree and tuple(clause_intents(tree, functions)) for tree in trees]
        paths = [word_paths(tree, item.words) if tree else None for tree in trees]
        brackets = [_brackets(tree, item.words) if tree else None for tree in trees]
        places = list(dict.fromkeys([*range(len(item.words or ())), *(p for path in paths if path for p in path)]))
        intents.append(list(clauses))
        slots += [[None if path is None else path.get(place, OUTSIDE) for path in paths] for place in places]
        for (a, b), pair in pairs.items():
            mine, yours, left, right = brackets[a], brackets[b], paths[a], paths[b]
            if mine is None or yours is None or left is None or right is None:
                continue
            pair.items += 1
            pair.exact += trees[a] == trees[b]
            pair.matched += (mine & yours).total()
            pair.brackets += mine.total() + yours.total()
            pair.intents[0].append(clauses[a])
            pair.intents[1].append(clauses[b])
            # A word that neither of the two has in a tree counts only if it is known to be there.
            for place in places:
                if isinstance(place, int) or place in left or place in right:
                    pair.slots[0].append(left.get(place, OUTSIDE))
                    pair.slots[1].append(right.get(place, OUTSIDE))
    return Agreement(pairs, len(items), complete, agreed, alpha(intents), alpha(slots))


def kappa(left: Sequence[Hashable], right: Sequence[Hashable]) -> float | None:
    """Cohen's kappa of two lists of categories, unit by unit; None where chance alone would agree always.

    >>> kappa("aabb", "aabc")
    0.6
    """
    n = len(left)
    if not n:
        return None
    observed = sum(a == b for a, b in zip(left, right, strict=True))
    of_left, of_right = Counter(left), Counter(right)
    chance = sum(count * of_right[value] for value, count in of_left.items())
    return (n * observed - chance) / (n * n - chance) if chance != n * n else None


def alpha(units: Iterable[Sequence[Hashable | None]]) -> float | None:
    """Krippendorff's alpha for nominal categories; None in a unit is a missing value.

    Args:
        units: for each unit, the category that each annotator gave.

    >>> alpha([["a", "a", None], ["b", "b", "b"], ["a", "b", "a"]])
    0.5625
    """
    pairable: Counter[Hashable] = Counter()
    disagreement = 0.0
    for unit in units:
        values = Counter(value for value in unit if value is not None)
        n = values.total()
        if n < 2:
            continue  # nothing to compare it with
        pairable.update(values)
        disagreement += (n * n - sum(count * count for count in values.values())) / (n - 1)
    total = pairable.total()
    expected = total * total - sum(count * count for count in pairable.values())
    return 1 - (total - 1) * disagreement / expected if expected else None


def clause_intents(tree: Tree, functions: Collection[str] = FUNCTIONS) -> list[str]:
    """Labels of the clauses in order: the root, or what stands below functions at the root."""
    found = []
    stack = [tree]
    while stack:
        node = stack.pop()
        if node.label in functions:
            stack += [child for child in reversed(node.children) if isinstance(child, Tree)]
        else:
            found.append(node.label)
    return found


def positions(tree: Tree, words: Sequence[str] | None) -> list[Position]:
    """For every leaf the word it was copied from.

    The leftmost reading in order; a leaf out of order takes the first word like it that is free. Case and
    character form do not matter. Without the utterance, or for a word it has not, the n-th leaf of one
    spelling has the place (word, n).
    """
    keys = [_key(word) for word in words or ()]
    leaves = [_key(word) for word in tree.words()]
    found: list[Position | None] = [None] * len(leaves)
    for i, place in _in_order(leaves, keys):
        found[i] = place
    free = [i for i in range(len(keys)) if i not in found]
    seen: Counter[str] = Counter()
    for i, leaf in enumerate(leaves):
        if found[i] is None:
            spare = next((place for place in free if keys[place] == leaf), None)
            if spare is None:
                found[i] = (leaf, seen[leaf])
                seen[leaf] += 1
            else:
                free.remove(spare)
                found[i] = spare
    return [place for place in found if place is not None]


def word_paths(tree: Tree, words: Sequence[str] | None = None) -> dict[Position, tuple[str, ...]]:
    """Place of a word -> labels above it, root first; only words of the tree."""
    paths: list[tuple[str, ...]] = []
    stack: list[tuple[Tree | Leaf, tuple[str, ...]]] = [(tree, ())]
    while stack:
        item, above = stack.pop()
        if isinstance(item, Leaf):
            paths.append(above)
        else:
            stack += [(child, (*above, item.label)) for child in reversed(item.children)]
    return dict(zip(positions(tree, words), paths, strict=True))


def _brackets(tree: Tree, words: Sequence[str] | None) -> Counter[tuple[str, tuple[Position, ...]]]:
    places = positions(tree, words)
    return Counter((label, tuple(places[i] for i in leaves)) for label, leaves in tree.constituents())


def _in_order(leaves: Sequence[str], keys: Sequence[str]) -> list[tuple[int, int]]:
    """A longest alignment of leaves with words in order, the leftmost one; (leaf, word) numbers."""
    at, greedy = 0, []
    for i, leaf in enumerate(leaves):
        try:
            at = keys.index(leaf, at) + 1
        except ValueError:
            break
        greedy.append((i, at - 1))
    if len(greedy) == len(leaves):
        return greedy
    best = [[0] * (len(keys) + 1) for _ in range(len(leaves) + 1)]
    for i in range(len(leaves) - 1, -1, -1):
        for j in range(len(keys) - 1, -1, -1):
            same = best[i + 1][j + 1] + 1 if leaves[i] == keys[j] else 0
            best[i][j] = max(same, best[i + 1][j], best[i][j + 1])
    aligned, i, j = [], 0, 0
    while best[i][j]:
        if leaves[i] == keys[j] and best[i][j] == best[i + 1][j + 1] + 1:
            aligned.append((i, j))
            i, j = i + 1, j + 1
        elif best[i + 1][j] == best[i][j]:
            i += 1
        else:
            j += 1
    return aligned


def _key(word: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", word).casefold())
