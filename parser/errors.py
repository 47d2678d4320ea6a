"""What is wrong with wrong parses: kinds of errors, and which labels are taken for which.

A slot is a node that holds words directly. Gold and predicted slots are paired: equal ones first, then those with
equal leaves (a wrong label), then those with the same label (shifted where they share a leaf, else other words).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from grammar.actions import GENERATED
from grammar.ontology import Ontology
from grammar.tree import Leaf, Tree
from parser.decode import Parse
from parser.evaluate import Gold
from parser.metrics import clause_intents

KINDS = {
    "wrong intent": "as many clauses, another intent",
    "wrong conjunction": "other functions, or another number of clauses",
    "wrong slot label": "the same words under another label",
    "missing slot": "a slot that was not found",
    "extra slot": "a slot that should not be there",
    "shifted slot": "the label is right, the border is not",
    "wrong copy": "the label is right, other words of the utterance stand below it",
    "wrong word": "the label is right, another word of the lexicon stands below it",
    "wrong structure": "the same intents and slots, put together in another way",
}


@dataclass(slots=True)
class Slot:
    """A node with words: its label, and its leaves as positions, or words where they were generated."""

    label: str
    leaves: tuple[int | str, ...]


@dataclass(slots=True)
class Analysis:
    """Sums over wrong parses.

    Attributes:
        kinds: how many parses have an error of each kind; one may have several.
        intents, slots: (gold, predicted) labels and how often.
        examples: per kind, numbers of the parses that have it, those with fewest kinds first; among equals every
            beginning of the list is spread over all of them, as corpora put like next to like.
    """

    kinds: Counter[str] = field(default_factory=Counter)
    intents: Counter[tuple[str, str]] = field(default_factory=Counter)
    slots: Counter[tuple[str, str]] = field(default_factory=Counter)
    examples: dict[str, list[int]] = field(default_factory=dict)


def slots_of(tree: Tree, positions: Sequence[int]) -> list[Slot]:
    """The slots of a tree, in the order of their nodes."""
    found: list[Slot] = []
    at = 0

    def visit(node: Tree) -> None:
        nonlocal at
        mine: list[int | str] = []
        slot = Slot(node.label, ())
        found.append(slot)
        for child in node.children:
            if isinstance(child, Leaf):
                mine.append(child.word if positions[at] == GENERATED else positions[at])
                at += 1
            else:
                visit(child)
        slot.leaves = tuple(mine)

    visit(tree)
    return [slot for slot in found if slot.leaves]


def kinds_of(
    gold: Tree, gold_positions: Sequence[int], predicted: Tree, positions: Sequence[int], ontology: Ontology
) -> tuple[set[str], list[tuple[str, str]], list[tuple[str, str]]]:
    """(kinds of error, intents taken for others, slots taken for others) of a wrong parse."""
    kinds: set[str] = set()
    want, got = clause_intents(gold, ontology), clause_intents(predicted, ontology)
    confused_intents = []
    if len(want) == len(got):
        confused_intents = [(a, b) for a, b in zip(want, got, strict=True) if a != b]
        kinds |= {"wrong intent"} if confused_intents else set()
    if len(want) != len(got) or _functions(gold, ontology) != _functions(predicted, ontology):
        kinds.add("wrong conjunction")
    theirs, ours = slots_of(gold, gold_positions), slots_of(predicted, positions)
    for slot in list(theirs):
        if slot in ours:
            ours.remove(slot)
            theirs.remove(slot)
    confused_slots = []
    for slot in list(theirs):
        twin = next((other for other in ours if other.leaves == slot.leaves), None)
        if twin is not None:
            confused_slots.append((slot.label, twin.label))
            kinds.add("wrong slot label")
            ours.remove(twin)
            theirs.remove(slot)
    # Those that share a leaf are paired before those that share the label alone.
    for overlapping in (True, False):
        for slot in list(theirs):
            twin = next(
                (
                    other
                    for other in ours
                    if other.label == slot.label and bool(set(other.leaves) & set(slot.leaves)) == overlapping
                ),
                None,
            )
            if twin is not None:
                kinds.add(_difference(slot, twin))
                ours.remove(twin)
                theirs.remove(slot)
    kinds |= {"missing slot"} if theirs else set()
    kinds |= {"extra slot"} if ours else set()
    return kinds or {"wrong structure"}, confused_intents, confused_slots


def analyse(wrong: Sequence[tuple[Gold, Parse]], ontology: Ontology) -> Analysis:
    """The analysis of (gold, parse) pairs that differ."""
    analysis = Analysis()
    by_size: dict[str, dict[int, list[int]]] = {}
    for number, (gold, parse) in enumerate(wrong):
        tree, positions = parse.tree, parse.positions
        kinds, intents, slots = kinds_of(gold.tree, gold.positions, tree, positions, ontology)
        analysis.kinds.update(kinds)
        analysis.intents.update(intents)
        analysis.slots.update(slots)
        for kind in kinds:
            by_size.setdefault(kind, {}).setdefault(len(kinds), []).append(number)
    analysis.examples = {
        kind: [number for size in sorted(found) for number in spread(found[size])] for kind, found in by_size.items()
    }
    return analysis


def spread(numbers: Sequence[int]) -> list[int]:
    """The numbers in such an order that every beginning lies spread over them: first, middle, quarters, eighths."""
    bits = max(1, (len(numbers) - 1).bit_length())
    order = (int(f"{i:0{bits}b}"[::-1], 2) for i in range(1 << bits))
    return [numbers[i] for i in order if i < len(numbers)]


def _difference(gold: Slot, predicted: Slot) -> str:
    odd = set(gold.leaves) ^ set(predicted.leaves)
    if odd and all(isinstance(leaf, str) for leaf in odd):
        return "wrong word"
    return "shifted slot" if set(gold.leaves) & set(predicted.leaves) else "wrong copy"


def _functions(tree: Tree, ontology: Ontology) -> list[str]:
    return [node.label for node in tree.walk() if ontology.kind(node.label) == "function"]
