"""Where the characters of a string stand in the JSON text that holds it, and how others are put in their place."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from functools import lru_cache

_KEY = re.compile(r'[{,\s]*("(?:[^"\\]|\\.)*")\s*:\s*')
_SURROGATE = re.compile("[\ud800-\udfff]")
_CHAR = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\.|[^\"\\]", re.S)


@lru_cache(8)  # one finding asks for several places
def places(raw: str, key: str) -> tuple[int, ...]:
    """Where each character of a top-level string value stands in an object's text, and where the string ends.

    Args:
        raw: one JSON object.
        key: of the value; of two equal keys the last one counts. Where it has no string, the only place is 0.

    >>> places('{"tree": "(\\\\u00e9)"}', "tree")
    (10, 11, 17, 18)
    """
    decoder = json.JSONDecoder()
    at, found = raw.index("{"), None
    while match := _KEY.match(raw, at):
        if json.loads(match[1]) == key:
            found = match.end()
        at = decoder.raw_decode(raw, match.end())[1]
    if found is None or raw[found] != '"':
        return (0,)
    there, at = [], found + 1
    while match := _CHAR.match(raw, at):
        there.append(at)
        at = match.end()
    return (*there, at)


def written(text: str, kept: Collection[str] = ()) -> str:
    """Text as it stands between the quotes of a JSON string.

    Args:
        text: halves of pairs in it become escapes, as no file of UTF-8 can hold them.
        kept: those that do not, since they stand for bytes of the file.
    """

    def escaped(half: re.Match[str]) -> str:
        return half[0] if half[0] in kept else f"\\u{ord(half[0]):04x}"

    return _SURROGATE.sub(escaped, json.dumps(text, ensure_ascii=False)[1:-1])


def replaced(raw: str, key: str, text: str) -> str:
    """An object's text with another top-level string value; what is the same at its begin and end stays as written.

    >>> replaced('{"n": 1e400,  "tree": "(\\\\u00e9"}', "tree", "(\\u00e9)")
    '{"n": 1e400,  "tree": "(\\\\u00e9)"}'
    """
    there = places(raw, key)
    value = raw[there[0] : there[-1]]
    old = json.loads(f'"{value}"')
    head = _same(old, text)
    tail = _same(old[head:][::-1], text[head:][::-1])
    new = written(text[head : len(text) - tail], frozenset(_SURROGATE.findall(value)))
    return raw[: there[head]] + new + raw[there[len(old) - tail] :]


def _same(a: str, b: str) -> int:
    """How many characters two texts begin with alike."""
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
