"""How good a set of trees is: exact match, intent accuracy, labelled bracket F1, and slices of them.

Definitions are those of the shards' contract: two trees are equal when their canonical texts are;
a bracket is a label with the positions of its leaves, or their words where they were generated.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from grammar.actions import GENERATED
from grammar.ontology import Ontology
from grammar.tree import Leaf, Tree

Bracket = tuple[str, tuple[int | str, ...]]


def clause_intents(tree: Tree, ontology: Ontology) -> list[str]:
    """The intents of the clauses in order: the root, or the children of a root function."""
    if ontology.kind(tree.label) != "function":
        return [tree.label]
    return [intent for child in tree.children if isinstance(child, Tree) for intent in clause_intents(child, ontology)]


def brackets(tree: Tree, positions: Sequence[int]) -> Counter[Bracket]:
    """The multiset of (label, leaves) of a tree whose leaves stand at `positions` (-1: generated)."""
    names: list[int | str] = [
        word if position == GENERATED else position for word, position in zip(tree.words(), positions, strict=True)
    ]
    return Counter((label, tuple(names[i] for i in leaves)) for label, leaves in tree.constituents())


def slot_values(tree: Tree) -> list[tuple[str, str]]:
    """(label, words in lower case) of every node that holds words directly."""
    values = []
    for node in tree.walk():
        words = [child.word.lower() for child in node.children if isinstance(child, Leaf)]
        if words:
            values.append((node.label, " ".join(words)))
    return values


@dataclass(slots=True)
class Tally:
    """Sums over some utterances: how many, how many of them are right, and their brackets."""

    n: int = 0
    exact: int = 0
    matched: int = 0
    predicted: int = 0
    gold: int = 0

    def add(self, exact: bool, matched: int, predicted: int, gold: int) -> None:
        """Count one utterance."""
        self.n += 1
        self.exact += exact
        self.matched += matched
        self.predicted += predicted
        self.gold += gold

    @property
    def exact_match(self) -> float:
        return self.exact / max(1, self.n)

    @property
    def bracket_f1(self) -> float:
        """F1 of all brackets taken together."""
        return 2 * self.matched / max(1, self.gold + self.predicted)


@dataclass(slots=True)
class Score:
    """Sums over all utterances and over slices of them, and what they come to."""

    whole: Tally = field(default_factory=Tally)
    exact_positions: int = 0
    intents: int = 0
    slices: dict[str, Tally] = field(default_factory=dict)

    def add(
        self,
        gold: Tree,
        gold_positions: Sequence[int],
        predicted: Tree,
        predicted_positions: Sequence[int],
        ontology: Ontology,
        slices: Iterable[str] = (),
    ) -> bool:
        """Count one utterance; returns whether the trees are equal."""
        exact = gold == predicted
        self.exact_positions += exact and list(gold_positions) == list(predicted_positions)
        self.intents += clause_intents(gold, ontology) == clause_intents(predicted, ontology)
        want, got = brackets(gold, gold_positions), brackets(predicted, predicted_positions)
        found = (want & got).total(), got.total(), want.total()
        self.whole.add(exact, *found)
        for name in slices:
            self.slices.setdefault(name, Tally()).add(exact, *found)
        return exact

    def add_rejected(self, rows: int) -> None:
        """Rows that conversion rejected count as wrong."""
        self.whole.n += rows

    def to_dict(self) -> dict[str, Any]:
        """The figures of `evaluate --json`; shares between 0 and 1."""
        n = max(1, self.whole.n)
        return {
            "n": self.whole.n,
            "exact_match": self.whole.exact_match,
            "exact_match_positions": self.exact_positions / n,
            "intent_accuracy": self.intents / n,
            "bracket_f1": self.whole.bracket_f1,
            "slices": {
                # Lines of results keep every slice, so the digits that nobody reads are left out.
                name: {"n": part.n, "exact_match": part.exact_match, "bracket_f1": round(part.bracket_f1, 4)}
                for name, part in sorted(self.slices.items(), key=lambda item: _by_number(item[0]))
            },
        }


def _by_number(name: str) -> list[str | int]:
    """What names are sorted by, so that `words 6 to 10` comes before `words 11 to 20`."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)]


def slices_of(gold: Tree, known_values: set[tuple[str, str]], ontology: Ontology) -> list[str]:
    """The slices an utterance falls into, by its gold tree."""
    unseen = any(value not in known_values for value in slot_values(gold))
    intents = len(clause_intents(gold, ontology))
    return [
        "unseen value" if unseen else "all values seen",
        "compound" if intents > 1 else "single",
        f"intents {intents}",
        f"depth {gold.depth()}",
    ]
