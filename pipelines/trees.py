"""Utterance -> Example: the tree, its actions, and the proof that they belong together.

    Utterance(words=["play", "calm", "jazz"], intents=["PlayMusic"], spans=[SlotSpan(2, 3, "genre")])
    -> Example(tree="(PlayMusic(genre(jazz)))", actions=[0, 0, 1, 2, 2],
               symbols=["PlayMusic", "genre", "jazz", "", ""], copy=[-1, -1, 2, -1, -1])

The intent is the root, each slot its child, the words of a slot its leaves; a slot inside a slot is its child. Words
outside all slots are not in the tree. Several intents give one clause each under `and`, or one tree with their joined
label. Whatever comes in, a row whose actions do not rebuild its tree never leaves.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from grammar.actions import GENERATED, Kind, TransitionError, build, oracle
from grammar.tree import Leaf, Tree
from pipelines.align import align
from pipelines.clauses import ClauseError, SlotCounts, divide
from pipelines.coordinate import coordinate as join_values
from pipelines.faults import codes_of, faults
from pipelines.flat import is_label
from pipelines.record import Example, Rejection, SlotSpan, Utterance

MULTI_INTENT = ("clauses", "label")
MOST_LEVELS = 1_000
MOST_BYTES = 1 << 20

_SURROGATE = re.compile("[\ud800-\udfff]")
_UNSTORABLE = re.compile("[\t\r\n\ud800-\udfff]")  # in the tree language, or in UTF-8


class TreeError(ValueError):
    """An utterance that has no tree. `code` is one of `pipelines.record.REASONS`, `findings` the codes of `grammar`."""

    def __init__(self, code: str, detail: str = "", findings: Sequence[str] = ()) -> None:
        super().__init__(detail)
        self.code, self.findings = code, findings


def to_example(
    utterance: Utterance, resolver: SlotCounts | None = None, multi_intent: str = "clauses", coordinate: bool = False
) -> Example | Rejection:
    """The row of a shard for an utterance, or why there is none.

    Args:
        utterance: from any reader.
        resolver: which slots each intent takes, to find the clauses of several intents.
        multi_intent: `clauses` (one tree for each intent, under `and`) or `label` (one tree, labels joined by `#`).
        coordinate: put values that are joined by `and` and the like under `add`.

    Raises:
        ValueError: `multi_intent` is neither; everything about the utterance is a Rejection.
    """
    if multi_intent not in MULTI_INTENT:
        raise ValueError(f"multi-intent `{multi_intent}` is not one of {', '.join(MULTI_INTENT)}")
    try:
        if utterance.tree:
            tree, positions = _given(utterance)
        else:
            tree, positions = _tagged(utterance, resolver, multi_intent)
        if coordinate:
            tree = join_values(tree, positions, utterance.words)
        return example_of(utterance, tree, positions)
    except TreeError as error:
        return utterance.reject(error.code, str(error), error.findings)
    except ClauseError as error:
        return utterance.reject(error.code, str(error))


def read_tree(text: str) -> Tree:
    """Read brackets.

    Raises:
        TreeError: R201 the text is no tree, R206 it is too large.
    """
    # Lark is slow to load, and corpora of tags never need it.
    from grammar.syntax import TreeSyntaxError, over_limit, parse

    try:
        return parse(text)
    except TreeSyntaxError as error:
        raise TreeError("R206" if over_limit(text) else "R201", str(error), codes_of(error.findings)) from error


def _given(utterance: Utterance) -> tuple[Tree, list[int]]:
    """The tree of a row that brings one."""
    tree = utterance.made or read_tree(utterance.tree)
    if utterance.positions is not None:
        return tree, utterance.positions
    try:
        return tree, align(tree, utterance.words)
    except ValueError as error:
        raise TreeError("R206", str(error)) from error


def _tagged(utterance: Utterance, resolver: SlotCounts | None, multi_intent: str) -> tuple[Tree, list[int]]:
    """The tree of a row of intents and slots."""
    if not utterance.intents:
        raise TreeError("R108")
    for span in utterance.spans:
        if not 0 <= span.start < span.end <= len(utterance.words):
            raise TreeError("R205", f"`{span.label}` is [{span.start}, {span.end}) of {len(utterance.words)} words")
    if len(utterance.intents) == 1 or multi_intent == "label":
        return clause("#".join(utterance.intents), utterance.spans, utterance.words)
    parts = [
        clause(intent, spans, utterance.words)
        for intent, spans in zip(utterance.intents, divide(utterance, resolver), strict=True)
    ]
    return Tree("and", [tree for tree, _ in parts]), [position for _, some in parts for position in some]


@dataclass(slots=True)
class _Open:
    label: str
    at: int  # the first word that is not yet in a child
    end: int
    children: list[Tree | Leaf] = field(default_factory=list)


def clause(intent: str, spans: Sequence[SlotSpan], words: Sequence[str]) -> tuple[Tree, list[int]]:
    """The tree of one intent over its slots, and the positions of its leaves.

    >>> tree, positions = clause("PlayMusic", [SlotSpan(1, 3, "genre")], ["play", "free", "jazz"])
    >>> str(tree), positions
    ('(PlayMusic(genre(free)(jazz)))', [1, 2])

    Raises:
        TreeError: R204 two slots cross.
    """
    positions: list[int] = []
    stack = [_Open(intent, 0, len(words))]

    def words_until(end: int) -> None:
        node = stack[-1]
        if len(stack) > 1:  # an intent holds slots, no words
            positions.extend(range(node.at, end))
            node.children.extend(Leaf(word) for word in words[node.at : end])
        node.at = end

    def close() -> None:
        words_until(stack[-1].end)
        node = stack.pop()
        stack[-1].children.append(Tree(node.label, node.children))
        stack[-1].at = node.end

    # The outer of two slots comes first; of equal ones the one that the corpus names first is the outer.
    for span in sorted(spans, key=lambda span: (span.start, -span.end)):
        while len(stack) > 1 and stack[-1].end <= span.start:
            close()
        if span.end > stack[-1].end:
            raise TreeError("R204", f"`{stack[-1].label}` and `{span.label}`")
        words_until(span.start)
        stack.append(_Open(span.label, span.start, span.end))
    while len(stack) > 1:
        close()
    return Tree(intent, stack[0].children), positions


def example_of(utterance: Utterance, tree: Tree, positions: list[int]) -> Example:
    """The row, after every check that a row must pass."""
    for node in tree.walk():
        if not is_label(node.label):
            raise TreeError("R202", f"`{node.label}`")
    leaves = tree.words()
    for words in (utterance.words, leaves):
        # One search over all characters is ten times cheaper than one for each word.
        if not all(words) or _UNSTORABLE.search("".join(words)):
            raise TreeError("R203", repr(next(word for word in words if not word or _UNSTORABLE.search(word))))
    if _SURROGATE.search(utterance.text + utterance.domain + utterance.locale):
        raise TreeError("R101", "a lone surrogate")
    text = str(tree)
    if len(text.encode("utf-8")) > MOST_BYTES or (text.count("(") > MOST_LEVELS and tree.depth() > MOST_LEVELS):
        raise TreeError("R206")
    if len(leaves) != len(positions):
        raise TreeError("R208", f"{len(leaves)} leaves, {len(positions)} positions")
    for word, position in zip(leaves, positions, strict=True):
        if position == GENERATED:
            continue
        if not 0 <= position < len(utterance.words) or utterance.words[position] != word:
            raise TreeError("R208", f"`{word}` at {position}", faults(text, utterance.words))
    actions = oracle(tree, positions)
    try:
        rebuilt = build(actions)
    except TransitionError as error:
        raise TreeError("R207", str(error)) from error
    copied = [action.copy for action in actions if action.kind is Kind.TER]
    if str(rebuilt) != text or copied != positions:
        raise TreeError("R207", str(rebuilt))
    return Example(
        id=utterance.id,
        corpus=utterance.corpus,
        domain=utterance.domain,
        file=utterance.file,
        line=utterance.line,
        split=utterance.split,
        licence=utterance.licence,
        locale=utterance.locale,
        utterance=utterance.text,
        words=list(utterance.words),
        tree=text,
        actions=[int(action.kind) for action in actions],
        symbols=[action.symbol for action in actions],
        copy=[action.copy for action in actions],
    )
