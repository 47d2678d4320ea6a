"""Where the characters of a string stand in the JSON text that holds it."""

from __future__ import annotations

import json
import re
from functools import lru_cache

_KEY = re.compile(r'[{,\s]*("(?:[^"\\]|\\.)*")\s*:\s*')
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


def written(text: str) -> str:
    """Text as it stands between the quotes of a JSON string."""
    return json.dumps(text, ensure_ascii=False)[1:-1]
