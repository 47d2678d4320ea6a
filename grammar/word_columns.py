"""A quick test, sound and not complete, that a tree's leaves were copied from its utterance in order (E3)."""

from __future__ import annotations

import re

from grammar.words import words

_LEAVES = re.compile(rb"\(([^ \t\r\n()\\]+)\)")
_HARD = re.compile(rb"[ \t\\]")
_EDGE = re.compile(r'[.,;:!?"()\[\]{}“”]')


def spoken_in_order(tree: bytes, utterance: str | list[str], tokeniser: str) -> bool:
    """Whether the leaves of a valid tree are certainly words of the utterance, in its order and spelling.

    A tree with escapes, or with brackets of several words, is left to `grammar.check`.
    """
    if _HARD.search(tree):
        return False
    if isinstance(utterance, str):
        # Where nothing stands at the edges of words, the tokeniser only splits.
        simple = tokeniser == "words-1" and not _EDGE.search(utterance)
        utterance = utterance.split() if simple else words(utterance, tokeniser)
    rest = iter(utterance)
    try:
        return all(leaf.decode() in rest for leaf in _LEAVES.findall(tree))
    except UnicodeDecodeError:
        return False
