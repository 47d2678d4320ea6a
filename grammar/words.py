"""Tokenisers: text -> words with their places. Named and versioned, since shards and models record which was used.

given     pre-tokenised text, split at blanks only
words-1   split at white space, with `.,;:!?"()[]{}` at the edges of a word apart
signs-1   letters and digits with single `-`, `'`, `.` or `&` inside them; every other sign by itself
chars-1   scripts without blanks (Japanese, Chinese, Thai): every character by itself
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from itertools import pairwise

from grammar.tree import Span

_GIVEN = re.compile(r"[^ \t\r\n]+")
_CHAR = re.compile(r"\S")
_SIGNS = re.compile(r"\w+(?:[-'.&]\w+)*|[^\w\s]")
_CHUNK = re.compile(r"\S+")
_EDGE = '.,;:!?"()[]{}“”'
_LEAD = re.compile(f"[{re.escape(_EDGE)}]+")


def _given(text: str) -> list[Span]:
    return [Span(*match.span()) for match in _GIVEN.finditer(text)]


def _chars(text: str) -> list[Span]:
    return [Span(*match.span()) for match in _CHAR.finditer(text)]


def _signs(text: str) -> list[Span]:
    return [Span(*match.span()) for match in _SIGNS.finditer(text)]


def _words(text: str) -> list[Span]:
    spans: list[Span] = []
    for match in _CHUNK.finditer(text):
        start, end = match.span()
        lead = _LEAD.match(text, start, end)
        core = lead.end() if lead else start
        tail = end
        while tail > core and text[tail - 1] in _EDGE:
            tail -= 1
        spans += [Span(i, i + 1) for i in range(start, core)]
        if core < tail:
            spans.append(Span(core, tail))
        spans += [Span(i, i + 1) for i in range(max(core, tail), end)]
    return spans


_WHOLE = {"given": _GIVEN, "chars-1": _CHAR}  # a word is a match, so its place is not needed to have it
TOKENISERS: dict[str, Callable[[str], list[Span]]] = {
    "given": _given,
    "words-1": _words,
    "signs-1": _signs,
    "chars-1": _chars,
}


def spans(text: str, tokeniser: str = "words-1", borders: Collection[int] = ()) -> list[Span]:
    """Where the words of `text` stand, in characters.

    Args:
        text: one utterance.
        tokeniser: a name of `TOKENISERS`.
        borders: offsets at which a word must be cut, such as the ends of slots.
    """
    found = TOKENISERS[tokeniser](text)
    if not borders:
        return found
    pieces: list[Span] = []
    for span in found:
        cuts = sorted({border for border in borders if span.start < border < span.end})
        edges = [span.start, *cuts, span.end]
        pieces += [Span(a, b) for a, b in pairwise(edges)]
    return pieces


def words(text: str, tokeniser: str = "words-1") -> list[str]:
    """The words of `text`.

    >>> words("Play (loud) music, please!")
    ['Play', '(', 'loud', ')', 'music', ',', 'please', '!']
    """
    if tokeniser == "given" and text.isprintable():
        return text.split()  # a blank is the only white space that can be printed; four times as fast
    if tokeniser in _WHOLE:
        return _WHOLE[tokeniser].findall(text)
    return [text[span.start : span.end] for span in spans(text, tokeniser)]
