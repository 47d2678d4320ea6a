"""What `grammar` has against a tree that becomes no row, as the codes of its findings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from grammar.ontology import Ontology

if TYPE_CHECKING:
    from grammar.finding import Finding


def faults(tree: str, words: Sequence[str] | None = None, ontology: Ontology | None = None) -> tuple[str, ...]:
    """The codes of what is wrong with a tree.

    Args:
        words: of the utterance, where the leaves are to be among them.

    >>> faults("(PlayMusic(genre(jazz))", ["play", "blues"])
    ('E101', 'E301')
    """
    from grammar.checker import check

    return codes_of(check(tree, ontology, words))


def codes_of(findings: Iterable[Finding]) -> tuple[str, ...]:
    """The codes of findings, sorted, each once."""
    return tuple(sorted({finding.code for finding in findings}))


def bracket_faults(text: str, opens: str, closes: str) -> tuple[str, ...]:
    """The codes for a tree in the brackets of TOP or PIZZA, whose words stand bare.

    >>> bracket_faults("[IN:PLAY play [SL:GENRE jazz ]", "[", "]")
    ('E101',)
    """
    pieces = []
    for token in text.split():
        if token == closes:
            pieces.append(")")
        elif token.startswith(opens) and len(token) > len(opens):
            pieces.append(f"({token[len(opens) :]}")
        else:
            pieces.append("(word)")
    return faults("".join(pieces))
