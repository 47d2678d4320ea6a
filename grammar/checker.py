"""All that can be said of one tree: syntax, labels, words and characters, as far as each can be read."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from grammar.align import check_alignment
from grammar.encoding import CODES as ENCODING
from grammar.encoding import check_encoding
from grammar.finding import Finding
from grammar.labels import check_labels
from grammar.ontology import Ontology
from grammar.recover import scan
from grammar.rules import DEFAULT
from grammar.words import words


def check(
    text: str,
    ontology: Ontology | None = None,
    utterance: str | Sequence[str] | None = None,
    tokeniser: str = "words-1",
    codes: Collection[str] = DEFAULT,
) -> list[Finding]:
    """Everything that is wrong with one tree and its utterance, in order of place; an empty list for a good one.

    Args:
        text: a tree in brackets.
        ontology: what the labels are held against; without it E2 is skipped.
        utterance: what the leaves are held against, as text or as words; without it E3 is skipped.
            The characters of a text are checked too; such findings have `field == "utterance"`.
        tokeniser: how an utterance given as text is cut, a name of `grammar.words.TOKENISERS`.
        codes: which rules to hold it against; all but notes if not given.

    >>> [finding.code for finding in check("(PlayMusicIntent(Title(Star) Wars)")]
    ['E101', 'E108']
    """
    findings: list[Finding] = []
    if not ENCODING.isdisjoint(codes) and isinstance(utterance, str):
        findings += check_encoding(utterance, "utterance", codes)
    recovered = scan(text)
    of_tree = list(recovered.findings)
    spoken = None
    if recovered.tree is not None:
        if utterance is not None:
            spoken = words(utterance, tokeniser) if isinstance(utterance, str) else list(utterance)
        if ontology is None:
            leaves = list(recovered.tree.leaves()) if spoken is not None else []
        else:
            more, leaves = check_labels(recovered.tree, text, ontology, frozenset(spoken or ()))
            of_tree += more
        if spoken is not None:
            of_tree += check_alignment(leaves, spoken, ontology.lexicon if ontology else (), "E306" in codes)
    of_tree = [_informed(finding, text, ontology, utterance) for finding in of_tree if finding.code in codes]
    if not ENCODING.isdisjoint(codes):
        of_tree += _unsaid(check_encoding(text, "tree", codes), of_tree)
    return findings + sorted(of_tree, key=lambda f: (f.span.start, f.span.end, f.code))


def _informed(finding: Finding, text: str, ontology: Ontology | None, utterance: str | Sequence[str] | None) -> Finding:
    """The scan knows neither ontology nor utterance.

    Where the ontology names a root that is written as a word, its fix is safe. Where a bracket was said, one that
    closes nothing may be that one, and to remove it would lose it.
    """
    if finding.code == "E102" and utterance is not None and any(")" in part for part in utterance):
        return replace(finding, help=rf"{finding.help}; if it is the one of the utterance, write `\)`", fix=None)
    if finding.code != "E105" or finding.fix is None or ontology is None:
        return finding
    label = text[finding.span.start : finding.span.end]
    return replace(finding, fix=replace(finding.fix, safe=ontology.kind(label) == "intent"))


def _unsaid(encoding: Sequence[Finding], said: Sequence[Finding]) -> list[Finding]:
    """Without the NFC findings (E508) of leaves of which E305 says the same, and better."""
    spans = [finding.span for finding in said if finding.code == "E305"]
    return [
        finding
        for finding in encoding
        if not (finding.code == "E508" and any(s.start <= finding.span.start < s.end for s in spans))
    ]
