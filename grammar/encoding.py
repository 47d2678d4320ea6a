"""Encoding findings (E5): characters that cannot be seen, or are not what was meant.

Text comes here decoded with `surrogateescape`, so that bytes that are no UTF-8 are still in it, as
U+DC80 to U+DCFF, and can be written back as they were.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterator
from functools import cache

from grammar.finding import Finding, Fix
from grammar.rules import DEFAULT, finding
from grammar.tree import Span

CODES = frozenset({"E503", "E504", "E505", "E506", "E507", "E508", "E509", "E510", "E511"})
"""What is found in the text itself; E501 and E502 are of the whole file."""

# The characters that Windows-1252 has for the bytes 80 to BF, and those of Latin-1 for its five holes.
_TABLE = {bytes([byte]).decode("cp1252", "replace"): byte for byte in range(0x80, 0xC0)}
_TABLE |= {chr(byte): byte for byte in range(0x80, 0x100)}
_TABLE.pop("\ufffd", None)
_TAIL = "[" + "".join(re.escape(char) for char, byte in _TABLE.items() if byte < 0xC0) + "]"
_PAIR = f"[\u00c2-\u00df]{_TAIL}"
_TRIPLE = f"[\u00e0-\u00ef]{_TAIL}{{2}}"
_QUAD = f"[\u00f0-\u00f4]{_TAIL}{{3}}"
# One letter alone could be honest text, such as a capital before a closing quote, unless it begins with a
# character that hardly stands before one; two in a row are never honest.
_MOJIBAKE = re.compile(
    f"(?:{_PAIR}|{_TRIPLE}|{_QUAD}){{2,}}|[\u00c2\u00c3](?![\u2019\u201d\u00bb]){_TAIL}|\u00e2{_TAIL}{{2}}|{_QUAD}"
)
_CESU = re.compile("\udced([\udca0-\udcaf])([\udc80-\udcbf])\udced([\udcb0-\udcbf])([\udc80-\udcbf])")
_HALF = re.compile("\udced[\udca0-\udcbf][\udc80-\udcbf]|[\ud800-\udc7f\udd00-\udfff]")
_NOT_UTF_8 = re.compile("[\udc80-\udcff]+")
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]+")
_BIDI = re.compile("[\u202a-\u202e\u2066-\u2069]+")
_SPACE = re.compile("[\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+")
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f\u2060-\u2064\u3164\ufeff\uffa0]+"
)
_LOST = re.compile("\ufffd+")
_ATOM = re.compile(r"[^ \t\r\n()]+")

_WIDE = {b"\xff\xfe\0\0": "utf-32", b"\0\0\xfe\xff": "utf-32", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
_BEGIN = 400
"""Bytes that tell; every second one of ASCII in UTF-16 is NUL."""

# Most text has none of these, and three quick searches say so: one class for all single characters, one pair of
# classes that every piece of mojibake holds, and the quick check for NFC.
_SINGLE = re.compile(
    "[" + "".join(p.pattern.strip("[]+") for p in (_CONTROL, _BIDI, _SPACE, _INVISIBLE, _LOST)) + "\ud800-\udfff]"
)
_MOJIBAKE_TAIL = re.compile(_TAIL)
_MOJIBAKE_PAIR = re.compile(f"[\u00c2-\u00f4]{_TAIL}")


def is_clean(text: str) -> bool:
    """Whether no E5 rule has anything to say of `text`; fast."""
    if text.isascii():
        return text.isprintable() or _CONTROL.search(text) is None
    return not (_SINGLE.search(text) or _MOJIBAKE_PAIR.search(text)) and unicodedata.is_normalized("NFC", text)


def is_utf_8(text: str) -> bool:
    """Whether there is nothing for E503 in a text; halves of UTF-16 characters have a rule of their own, and a mend."""
    return text.isascii() or not _NOT_UTF_8.search(_HALF.sub("", text))


def wide(data: bytes) -> str:
    """Which encoding of two or four bytes a character a file is in, by its first bytes; empty for all others.

    >>> wide("(a(b))".encode("utf-16-be"))
    'utf-16be'
    """
    for mark, name in _WIDE.items():
        if data.startswith(mark):
            return name
    some = data[:_BEGIN]
    even, odd = some[::2].count(0), some[1::2].count(0)
    if len(some) < 8 or 3 * max(even, odd) <= len(some):
        return ""
    return "utf-16le" if odd > even else "utf-16be"


def is_harmless(char: str) -> bool:
    """Whether a character can stand in any text without a part in a finding; such text needs no further look.

    It is in no class of `is_clean`, is no second character of mojibake, and never joins the one before it (in NFC).
    """
    alone = unicodedata.is_normalized("NFC", char) and not unicodedata.combining(char)
    return alone and char not in _joining() and not _SINGLE.match(char) and not _MOJIBAKE_TAIL.match(char)


@cache
def _joining() -> frozenset[str]:
    """The characters that are the second of a pair that NFC makes one of; those of Hangul are not in the database."""
    made_of = filter(None, map(unicodedata.decomposition, map(chr, range(0xC0, 0x20000))))
    pairs = (text.split() for text in made_of if not text.startswith("<"))
    second = [chr(int(pair[1], 16)) for pair in pairs if len(pair) == 2]
    return frozenset((*second, *map(chr, range(0x1161, 0x1176)), *map(chr, range(0x11A8, 0x11C3))))


def check_encoding(text: str, field: str = "tree", codes: Collection[str] = DEFAULT) -> list[Finding]:
    """Every E5 finding of a tree's or an utterance's text, in order of place; none overlap.

    Args:
        text: decoded with `surrogateescape`.
        field: what the text is, `tree` or `utterance`.
        codes: which to look for.

    >>> [(f.code, f.span.start) for f in check_encoding("(Title(Caf\u00c3\u00a9))")]
    [('E505', 10)]
    """
    if is_clean(text):
        return []
    found: list[Finding] = []
    taken: list[Span] = []
    for one in _all(text, field):
        if one.code in codes and not any(one.span.start < span.end and span.start < one.span.end for span in taken):
            found.append(one)
            taken.append(one.span)
    return sorted(found, key=lambda f: f.span.start)


def _all(text: str, field: str) -> Iterator[Finding]:
    """What covers more comes first."""
    for match in _CESU.finditer(text):
        a, b, c, d = (ord(byte) - 0xDC00 for byte in match.groups())
        code = 0x10000 + (((a & 0x0F) << 6 | b & 0x3F) << 10 | (c & 0x0F) << 6 | d & 0x3F)
        what, help_ = "two halves of one character, each written as UTF-8", f"write {_names(chr(code))}"
        yield _finding("E504", match, chr(code), True, field, what=what, help=help_)
    for match in _HALF.finditer(text):
        help_ = "the other half is lost; look the word up in the source of the file"
        yield _finding("E504", match, None, False, field, what="half of a character", help=help_)
    rest = _HALF.sub(lambda half: "x" * len(half[0]), text)  # what is left of bytes that are no UTF-8
    for match in _NOT_UTF_8.finditer(rest):
        shown = " ".join(f"{ord(char) - 0xDC00:02x}" for char in match[0][:8]) + " ..." * (len(match[0]) > 8)
        many = len(match[0]) > 1
        what = f"the bytes {shown} are no UTF-8" if many else f"the byte {shown} is no UTF-8"
        yield _finding("E503", match, None, False, field, what=what, encoding="latin1")
    for match in _MOJIBAKE.finditer(text):
        if (meant := _decoded(match[0])) is not None:
            yield _finding("E505", match, meant, False, field, text=match[0], meant=meant)
    for code_, pattern in (("E506", _CONTROL), ("E507", _BIDI), ("E510", _INVISIBLE)):
        for match in pattern.finditer(text):
            # Without it the brackets would be empty.
            alone = _ATOM.fullmatch(text, *_around(text, match)) and _around(text, match) == match.span()
            yield _finding(code_, match, None if alone else "", False, field, char=_names(match[0]))
    for match in _SPACE.finditer(text):
        yield _finding("E509", match, " ", False, field, char=_names(match[0]))
    for match in _LOST.finditer(text):
        yield _finding("E511", match, None, False, field)
    yield from _composed(text, field)


def _finding(code: str, match: re.Match[str], mended: str | None, safe: bool, field: str, **names: str) -> Finding:
    span = Span(*match.span())
    fix = None if mended is None else Fix(span, mended, safe)
    return finding(code, span, fix, None, field, **names)


def _composed(text: str, field: str) -> Iterator[Finding]:
    if unicodedata.is_normalized("NFC", text):
        return
    for atom in _ATOM.finditer(text):
        old, new = atom[0], unicodedata.normalize("NFC", atom[0])
        if old == new:
            continue
        first = next((i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
        same = 0
        while same < min(len(old), len(new)) - first and old[-1 - same] == new[-1 - same]:
            same += 1
        span = Span(atom.start() + first, atom.end() - same)
        mended = new[first : len(new) - same]
        shown = text[span.start : span.end]
        yield finding("E508", span, Fix(span, mended, True), field=field, text=shown, form=_names(mended))


def _around(text: str, match: re.Match[str]) -> tuple[int, int]:
    """The atom that a match stands in."""
    start, end = match.span()
    while start and text[start - 1] not in " \t\r\n()":
        start -= 1
    while end < len(text) and text[end] not in " \t\r\n()":
        end += 1
    return start, end


def _decoded(text: str) -> str | None:
    try:
        return bytes(_TABLE[char] for char in text).decode("utf-8")
    except (KeyError, UnicodeDecodeError):
        return None


def _names(text: str) -> str:
    """Characters by number and name: U+00A0 (no-break space)."""
    shown = [
        f"U+{ord(char):04X} ({name.lower()})" if (name := unicodedata.name(char, "")) else f"U+{ord(char):04X}"
        for char in text[:3]
    ]
    return " ".join(shown) + " ..." * (len(text) > 3)
