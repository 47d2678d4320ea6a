"""Trees as transitions: the top-down scheme of the parser, its oracle, and its rules.

Three actions build a tree from left to right, parents first (Cheng et al. 2017, ACL P17-1005;
Damonte et al. 2019, arXiv 1903.04521):

    (PlayMusicIntent(MediaType(music)))   of the utterance   play music

    NT(PlayMusicIntent)  NT(MediaType)  TER(music, copied from word 1)  RED  RED

Words are never consumed; RED pops the open node with all its children and pushes one subtree.
`State` is the definition of what may come next; the parser's tensor mask is tested against it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from grammar.ontology import Ontology
from grammar.tree import Leaf, Tree

GENERATED = -1
"""The copy position of a word that is generated from the lexicon, not copied."""


class Kind(IntEnum):
    """The kinds of action, as they are stored in shards."""

    NT = 0
    TER = 1
    RED = 2


@dataclass(frozen=True, slots=True)
class Action:
    """One transition.

    NT:  start a node.   Allowed when the tree is not finished; effect: push an empty node `symbol`.
    TER: add a leaf.     Allowed when a node is open; effect: the word `symbol`, copied from
         utterance position `copy` or generated (-1), becomes the last child of the open node.
    RED: close a node.   Allowed when a node is open; effect: the open node becomes the last child
         of the node below it, or the finished tree. `symbol` is empty.
    """

    kind: Kind
    symbol: str = ""
    copy: int = GENERATED

    def __str__(self) -> str:
        if self.kind is Kind.RED:
            return "RED"
        where = f" <- {self.copy}" if self.copy != GENERATED else ""
        return f"{self.kind.name}({self.symbol}{where})"


RED = Action(Kind.RED)


def NT(label: str) -> Action:
    """Start a node."""
    return Action(Kind.NT, label)


def TER(word: str, copy: int = GENERATED) -> Action:
    """Add a leaf."""
    return Action(Kind.TER, word, copy)


class TransitionError(ValueError):
    """An action that its state does not allow, or a sequence that ends before its tree does."""


def oracle(tree: Tree, positions: Sequence[int] | None = None) -> list[Action]:
    """The one top-down sequence that builds `tree`.

    Args:
        tree: any tree.
        positions: for each leaf, left to right, the position in the utterance of the word that it
            copies, or -1; without it every leaf is generated.

    Raises:
        ValueError: not one position for each leaf.
    """
    actions: list[Action] = []
    leaf = 0
    stack: list[Tree | Leaf | None] = [tree]
    while stack:
        item = stack.pop()
        if item is None:
            actions.append(RED)
        elif isinstance(item, Leaf):
            actions.append(TER(item.word, positions[leaf] if positions and leaf < len(positions) else GENERATED))
            leaf += 1
        else:
            actions.append(NT(item.label))
            stack.append(None)
            stack.extend(reversed(item.children))
    if positions is not None and leaf != len(positions):
        raise ValueError(f"{leaf} leaves but {len(positions)} copy positions")
    return actions


def build(actions: Iterable[Action]) -> Tree:
    """The tree that a sequence of actions builds.

    Raises:
        TransitionError: an action is not allowed, or the sequence stops too early.
    """
    state = State()
    for action in actions:
        state.apply(action)
    if state.tree is None:
        raise TransitionError(f"the sequence ends with {state.depth} open nodes")
    return state.tree


@dataclass(slots=True)
class _Open:
    label: str
    children: list[Tree | Leaf] = field(default_factory=list)
    # A child counts from when it is opened: what the parent still lacks is then paid for.
    child_labels: list[str] = field(default_factory=list)
    total: int = 0


class State:
    """A tree being built, and what may come next.

    Args:
        ontology: without one every label may stand anywhere.
        max_open: the most nodes that may be open at once; a node that could not be completed within
            it is not opened.
        max_actions: the longest sequence. An action that could no longer be completed within it
            is not allowed, so greedy search always ends with a whole tree.
    """

    def __init__(
        self,
        ontology: Ontology | None = None,
        max_open: int | None = None,
        max_actions: int | None = None,
    ) -> None:
        self.ontology = ontology
        self.max_open = max_open
        self.max_actions = max_actions
        self.tree: Tree | None = None
        self.taken = 0
        self._stack: list[_Open] = []

    @property
    def depth(self) -> int:
        """How many nodes are open."""
        return len(self._stack)

    @property
    def open_labels(self) -> list[str]:
        """The labels of the open nodes, outermost first."""
        return [node.label for node in self._stack]

    def allows(self, action: Action) -> bool:
        """Whether `action` may be taken now."""
        if self.tree is not None:
            return False
        if action.kind is Kind.NT:
            return self._allows_label(action.symbol)
        if not self._stack:
            return False
        top = self._stack[-1]
        if self.ontology is None:
            return action.kind is Kind.RED or self._fits(1)
        if action.kind is Kind.RED:
            return not self.ontology.missing(top.label, top.child_labels, top.total)
        return self.ontology.takes_words(top.label) and self._fits(1, top.label, None)

    def allowed(self, labels: Iterable[str]) -> tuple[set[str], bool, bool]:
        """(labels that NT may open, may TER come, may RED come), out of the given labels."""
        opens = {label for label in labels if self.allows(NT(label))}
        return opens, self.allows(TER("word")), self.allows(RED)

    def apply(self, action: Action) -> None:
        """Take an action.

        Raises:
            TransitionError: the action is not allowed here.
        """
        if not self.allows(action):
            raise TransitionError(f"{action} is not allowed at action {self.taken}, open nodes: {self.open_labels}")
        self.taken += 1
        if self._stack and action.kind is not Kind.RED:
            self._stack[-1].total += 1
        if action.kind is Kind.NT:
            if self._stack:
                self._stack[-1].child_labels.append(action.symbol)
            self._stack.append(_Open(action.symbol))
        elif action.kind is Kind.TER:
            self._stack[-1].children.append(Leaf(action.symbol))
        else:
            node = self._stack.pop()
            tree = Tree(node.label, node.children)
            if self._stack:
                self._stack[-1].children.append(tree)
            else:
                self.tree = tree

    def _allows_label(self, label: str) -> bool:
        if self.ontology is not None and label not in self.ontology:
            return False
        levels = self.ontology.height(label) if self.ontology is not None else 1
        if self.max_open is not None and self.depth + levels > self.max_open:
            return False
        if self.ontology is None:
            return self._fits(2)
        if not self._stack:
            return label in self.ontology.roots and self._fits(1 + self.ontology.cost(label))
        top = self._stack[-1]
        return self.ontology.takes(top.label, label, top.child_labels) and self._fits(
            1 + self.ontology.cost(label), top.label, label
        )

    def _fits(self, cost: int, parent: str | None = None, child: str | None = None) -> bool:
        """Whether `cost` actions, and then closing everything, stay within the budget."""
        if self.max_actions is None:
            return True
        pending = self.depth
        if self.ontology is not None:
            for node in self._stack:
                pending += self.ontology.missing_cost(node.label, node.child_labels, node.total)
            # The open node gets this child, which may be one that it still lacked.
            if parent is not None:
                top = self._stack[-1]
                before = self.ontology.missing_cost(top.label, top.child_labels, top.total)
                labels = top.child_labels + ([child] if child is not None else [])
                after = self.ontology.missing_cost(top.label, labels, top.total + 1)
                pending += after - before
        return self.taken + cost + pending <= self.max_actions
