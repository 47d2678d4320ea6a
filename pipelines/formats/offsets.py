"""Units of offsets: code points, UTF-16 units or bytes -> code points, checked against the surface text.

    "🍕 pie"   pie is [2, 5) in code points, [3, 6) in UTF-16 units, [5, 8) in bytes

A browser counts UTF-16 units, Python code points, Go and Rust bytes. Each format declares what its tool counts. Where
a record repeats the text of a slot, and that is not what stands at its offsets, the record is refused (R115) with the
unit that would fit; `--offsets` reads the corpus in that unit.
"""

from __future__ import annotations

from itertools import accumulate

UNITS = ("code point", "utf-16", "byte")


def _width(char: str, unit: str) -> int:
    return (1 + (char > "\uffff")) if unit == "utf-16" else len(char.encode("utf-8", "surrogatepass"))


def borders(text: str, unit: str) -> list[int] | None:
    """Where each character begins in `unit`, and where the text ends; None for code points, which need no table."""
    if unit == "code point" or text.isascii():
        return None
    return [0, *accumulate(_width(char, unit) for char in text)]


def to_code_points(text: str, start: int, end: int, unit: str) -> tuple[int, int] | None:
    """Offsets in code points; None where one lies outside the text or inside a character.

    >>> to_code_points("🍕 pie", 3, 6, "utf-16")
    (2, 5)
    """
    table = borders(text, unit)
    if table is None:
        return (start, end) if 0 <= start <= end <= len(text) else None
    try:
        return table.index(start), table.index(end)
    except ValueError:
        return None


def from_code_points(text: str, start: int, end: int, unit: str) -> tuple[int, int]:
    """The inverse of `to_code_points`."""
    table = borders(text, unit)
    return (start, end) if table is None else (table[start], table[end])


def located(text: str, start: int, end: int, unit: str, surface: str | None) -> tuple[int, int]:
    """Offsets in code points, checked: what stands there must be `surface`, blanks apart, where that is given.

    Raises:
        ValueError: they do not fit; the message says in which unit they would.
    """
    place = to_code_points(text, start, end, unit)
    if place and (surface is None or _same(text[slice(*place)], surface)):
        return place
    if place is None and surface is None:
        raise ValueError(f"[{start}, {end}) lies outside the text, counted in {unit}s")
    others = (other for other in UNITS if other != unit)
    fits = [
        other
        for other in others
        if surface is not None
        and (found := to_code_points(text, start, end, other))
        and _same(text[slice(*found)], surface)
    ]
    shown = f"`{text[slice(*place)]}`" if place else "nothing"
    hint = f"; counted in {fits[0]}s they fit (`--offsets {fits[0].replace(' ', '-')}`)" if fits else ""
    raise ValueError(f"at [{start}, {end}) in {unit}s stands {shown}, the record says `{surface}`{hint}")


def _same(found: str, surface: str) -> bool:
    """Tools collapse white space in the copy that they keep of a slot's text."""
    return found.split() == surface.split()
