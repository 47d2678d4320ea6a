"""All that can be said of one tree: syntax, then labels, then words, as far as each can be read."""

from __future__ import annotations

from collections.abc import Sequence

from grammar.align import check_alignment
from grammar.finding import Finding
from grammar.labels import check_labels
from grammar.ontology import Ontology
from grammar.recover import scan
from grammar.words import words


def check(
    text: str,
    ontology: Ontology | None = None,
    utterance: str | Sequence[str] | None = None,
    tokeniser: str = "words-1",
) -> list[Finding]:
    """Everything that is wrong with one tree, in order of place; an empty list for a good one.

    Args:
        text: a tree in brackets.
        ontology: what the labels are held against; without it E2 is skipped.
        utterance: what the leaves are held against, as text or as words; without it E3 is skipped.
        tokeniser: how an utterance given as text is cut, a name of `grammar.words.TOKENISERS`.

    >>> [finding.code for finding in check("(PlayMusicIntent(Title(Star) Wars)")]
    ['E101', 'E108']
    """
    recovered = scan(text)
    findings = list(recovered.findings)
    if recovered.tree is None:
        return findings
    spoken = None
    if utterance is not None:
        spoken = words(utterance, tokeniser) if isinstance(utterance, str) else list(utterance)
    leaves = list(recovered.tree.leaves())
    if ontology is not None:
        more, leaves = check_labels(recovered.tree, text, ontology, frozenset(spoken or ()))
        findings += more
    if spoken is not None:
        findings += check_alignment(leaves, spoken, ontology.lexicon if ontology else ())
    return sorted(findings, key=lambda f: (f.span.start, f.span.end, f.code))
