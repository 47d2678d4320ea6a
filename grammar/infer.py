"""A draft ontology from trees: count what they hold, allow all that was seen, require nothing.

Counts add up, so parts of a corpus can be counted apart and merged. A person reviews the draft;
rare, doubtful links stand out by their counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping

from grammar.ontology import Node, Ontology
from grammar.tree import Leaf, Tree

FUNCTIONS = frozenset({"and", "add"})
"""Labels that are taken for functions: `and` joins clauses, `add` joins slot values."""


class Counts:
    """What trees were seen to hold; adds up over parts of a corpus, so that `infer` can run in ranges."""

    def __init__(self) -> None:
        self.roots: Counter[str] = Counter()
        self.labels: Counter[str] = Counter()
        self.words: Counter[str] = Counter()
        self.childless: Counter[str] = Counter()
        self.single: Counter[str] = Counter()  # one child, leaves included
        self.links: Counter[tuple[str, str]] = Counter()
        self.repeats: Counter[tuple[str, str]] = Counter()
        self.generated: Counter[str] = Counter()  # words that are not copied, which a tree alone does not say

    def add(self, tree: Tree, times: int = 1) -> None:
        """Count a tree, or so many that differ from it in words alone."""
        self.roots[tree.label] += times
        for node in tree.walk():
            self.labels[node.label] += times
            below = Counter(child.label for child in node.children if isinstance(child, Tree))
            if any(isinstance(child, Leaf) for child in node.children):
                self.words[node.label] += times
            if not node.children:
                self.childless[node.label] += times
            elif len(node.children) == 1:
                self.single[node.label] += times
            for child, n in below.items():
                self.links[node.label, child] += n * times
                if n > 1:
                    self.repeats[node.label, child] += times

    def merge(self, other: Counts) -> None:
        """Add the counts of another part."""
        for name in ("roots", "labels", "words", "childless", "single", "generated", "links", "repeats"):
            getattr(self, name).update(getattr(other, name))

    def to_json(self) -> dict[str, list]:
        """Plain lists, for a file or a Beam element."""
        pairs = {name: sorted([*k, v] for k, v in getattr(self, name).items()) for name in ("links", "repeats")}
        names = ("roots", "labels", "words", "childless", "single", "generated")
        return {name: sorted([k, v] for k, v in getattr(self, name).items()) for name in names} | pairs

    @classmethod
    def from_json(cls, data: Mapping[str, list]) -> Counts:
        """What `to_json` wrote."""
        counts = cls()
        for name, rows in data.items():
            getattr(counts, name).update({(tuple(r[:-1]) if len(r) > 2 else r[0]): r[-1] for r in rows})
        return counts

    def ontology(self, functions: Collection[str] = FUNCTIONS) -> Ontology:
        """A draft: everything that was seen is allowed, nothing is required; a person reviews it.

        Kinds: names in `functions` are functions, `IN:` marks intents and `SL:` slots; else a label
        that was a root, or stood below a function that was a root, is an intent; all others are slots.
        """
        joiners = {label for label in self.roots if label in functions}
        clauses = {child for (parent, child) in self.links if parent in joiners}
        nodes: dict[str, Node] = {}
        for label in sorted(self.labels):
            takes = {child: n for (parent, child), n in self.links.items() if parent == label}
            kind = self._kind(label, functions, clauses)
            nodes[label] = Node(
                kind=kind,
                takes=frozenset(takes),
                repeated=frozenset(takes if kind == "function" else (c for p, c in self.repeats if p == label)),
                words=self.words[label] > 0,
                least=self._least(label, kind),
                count=self.labels[label],
                counts=takes,
            )
        return Ontology(nodes, sorted(self.roots), self.generated)

    def _least(self, label: str, kind: str) -> int:
        if kind == "intent" or self.childless[label]:
            return 0
        return 2 if kind == "function" and not self.single[label] else 1

    def _kind(self, label: str, functions: Collection[str], clauses: Collection[str]) -> str:
        if label in functions:
            return "function"
        if label.startswith("SL:"):
            return "slot"
        return "intent" if label.startswith("IN:") or label in self.roots or label in clauses else "slot"


def doubts(draft: Ontology, rare: float = 0.01) -> dict[str, list[str]]:
    """What a person should look at in a draft: label -> remarks.

    Args:
        draft: an ontology with counts, such as `Counts.ontology` gives.
        rare: a link is doubtful below this share of the label's occurrences.
    """
    found: dict[str, list[str]] = {}
    for label, node in draft.nodes.items():
        links = sorted(node.counts.items(), key=lambda link: (link[1], link[0]))
        remarks = [f"rare: {child} ({n:,} of {node.count:,})" for child, n in links if n < rare * node.count]
        always = [child for child, n in links if n == node.count > 2 and child not in node.repeated]
        remarks += [f"always there, so perhaps required: {', '.join(sorted(always))}"] * bool(always)
        if node.count <= 2:
            remarks.append("seen only once" if node.count == 1 else "seen only twice")
        if remarks:
            found[label] = remarks
    return found


def infer(trees: Iterable[Tree], functions: Collection[str] = FUNCTIONS) -> Ontology:
    """Draft an ontology from trees; see `Counts.ontology`."""
    counts = Counts()
    for tree in trees:
        counts.add(tree)
    return counts.ontology(functions)
