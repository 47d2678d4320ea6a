"""What stands at a place of a half-written tree, and what may be written there."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from grammar.ontology import Ontology
from grammar.recover import scan
from grammar.tree import Span, escape, unescape
from grammar.words import words

_TOKEN = re.compile(r"[()]|(?:[^ \t\r\n()\\]|\\[^\t\r\n]?)+")


@dataclass(frozen=True, slots=True)
class Choice:
    """Something that may be written: a label (`kind` is its kind) or a word of the utterance (`kind` is `word`)."""

    text: str
    kind: str


@dataclass(frozen=True, slots=True)
class Choices:
    """All that may be written in the place of `span`, the likeliest first."""

    span: Span
    choices: list[Choice]


@dataclass(slots=True)
class _Open:
    label: str | None = None
    children: list[str] = field(default_factory=list)
    inner: bool = False


def label_at(text: str, at: int) -> tuple[str, Span] | None:
    """The label at a character of a tree, however broken, and its span."""
    tree = scan(text).tree
    for node in tree.walk() if tree else ():
        span = node.label_span
        if span and node.label and span.start <= at <= span.end:
            return node.label, span
    return None


def choices(text: str, at: int, ontology: Ontology, utterance: str | Sequence[str] | None = None) -> Choices | None:
    """What may stand at a character; None where nothing can be completed (not just behind an opening bracket).

    Required children come first, then those seen most often; a child that may stand only once is offered once.
    """
    stack: list[_Open] = []
    token, begun = "", at
    used: list[str] = []
    for match in _TOKEN.finditer(text, 0, at):
        token, begun = match[0], match.start()
        if token == "(":
            if stack:
                stack[-1].inner = True
                stack[-1].label = stack[-1].label or ""  # a bracket where a label should be
            stack.append(_Open())
        elif token == ")" and stack:
            closed = stack.pop()
            if closed.label and not closed.inner:
                used.append(unescape(closed.label))
            elif stack and closed.label:
                stack[-1].children.append(closed.label)
        elif token != ")" and stack and stack[-1].label is None and match.end() < at:
            stack[-1].label = token
    if not stack or text[begun:at].strip(" \t\r\n") != text[begun:at]:
        return None
    if token == "(":
        prefix = Span(at, at)
    elif token != ")" and stack[-1].label is None:
        prefix = Span(begun, at)
    else:
        return None
    stack.pop()
    if not stack:
        labels = sorted(ontology.roots)
        return Choices(prefix, [Choice(label, ontology.kind(label) or "") for label in labels])
    parent = stack[-1].label
    if parent is None or parent not in ontology:
        return None
    node = ontology.nodes[parent]
    may = [label for label in node.takes if ontology.takes(parent, label, stack[-1].children)]
    missing = node.required - set(stack[-1].children)
    may.sort(key=lambda label: (label not in missing, -node.counts.get(label, 0), label))
    found = [Choice(label, ontology.kind(label) or "") for label in may]
    if node.words and utterance is not None:
        spoken = words(utterance) if isinstance(utterance, str) else utterance
        left = list(spoken)
        for word in used:
            if word in left:
                left.remove(word)
        found += [Choice(escape(word), "word") for word in dict.fromkeys(left)]
    return Choices(prefix, found)
