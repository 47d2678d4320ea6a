"""Invented trees from a seed, for measuring: good ones of any depth, and ones with a mistake of a chosen family."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator

from grammar.ontology import Ontology, loads

_VERBS, _THINGS = ("Add", "Play", "Set", "Find", "Cancel"), ("List", "Music", "Timer", "Weather", "Table")
INTENTS = tuple(f"{verb}{thing}Intent" for verb in _VERBS for thing in _THINGS)
SLOTS = tuple(f"{a}{b}" for a in ("Item", "Media", "Date", "Place", "Person") for b in ("Name", "Type", "Value"))
_TEXT = "apples oranges jazz tomorrow the morning two small lamps Jolene café half past nine"
WORDS = tuple(_TEXT.split())
_NOISE = ("(", ")", "()", " ", "\t", "\\", "\\x", "\\(", "(a", "é", "(a(b))", "\x7f", "\r", "🎵", ")(")
FAMILIES = ("E1", "E2", "E5")


def ontology() -> Ontology:
    """What the trees are right by."""
    quoted = [f'"{label}"' for label in INTENTS]
    joined = ", ".join([*quoted, '"ask"', '"and"'])
    lines = [f"[functions.and]\ntakes = [{joined}]\nrepeated = [{joined}]"]
    lines.append(f"[functions.ask]\nleast = 1\ntakes = [{joined}]")
    slots = ", ".join(f'"{slot}"' for slot in SLOTS)
    lines += [f"[intents.{intent}]\ntakes = [{slots}]" for intent in INTENTS]
    lines += [f"[slots.{slot}]" for slot in SLOTS]
    return loads("\n".join(lines))


def tree(made: random.Random, size: int) -> str:
    """A good tree of about `size` bytes and 2 to 12 levels."""
    depth = made.randint(2, 12)
    around = max(0, depth - 3) if size > 200 else max(0, min(depth - 3, 9))
    inner = [_intent(made)]
    while sum(map(len, inner)) + 5 * around < size * 0.75:
        inner.append(_intent(made))
    text = inner[0] if len(inner) == 1 else f"(and{''.join(inner)})"
    return "(ask" * around + text + ")" * around


def _intent(made: random.Random) -> str:
    slots = made.sample(SLOTS, made.randint(1, 2))
    words = ("".join(f"({made.choice(WORDS)})" for _ in range(made.randint(1, 3))) for _ in slots)
    return f"({made.choice(INTENTS)}{''.join(f'({slot}{inner})' for slot, inner in zip(slots, words, strict=True))})"


def damaged(made: random.Random, text: str, family: str) -> str:
    """The tree with one mistake of syntax (E1), labels (E2) or characters (E5)."""
    places = [match.start() for match in re.finditer(r"[()]", text)]
    if family == "E1":
        at = made.choice(places)
        return text[:at] + text[at + 1 :]
    if family == "E2":
        return re.sub(r"\((\w+)Name\(|\((\w)(\w+)Intent\(", r"(\1Nmae\2\3Intnet(", text, count=1)
    at = made.choice([match.start() for match in re.finditer(r"[^()]\)", text)])
    return text[:at] + made.choice(("\u200b", "e\u0301", "\x07", "\u202e", "Ã©")) + text[at:]


def trees(count: int, size: int, bad: float, seed: int = 1) -> list[str]:
    """`count` trees, of which the share `bad` has a mistake, in turn of each family."""
    return [text for text, _ in zip(endless(size, bad, seed), range(count), strict=False)]


def endless(size: int, bad: float, seed: int) -> Iterator[str]:
    made = random.Random(seed)
    turn = 0
    while True:
        text = tree(made, size)
        if made.random() < bad:
            text = damaged(made, text, FAMILIES[turn % len(FAMILIES)])
            turn += 1
        yield text


def strings(count: int, seed: int = 1) -> Iterator[str]:
    """Good trees, damaged ones and noise, in turn by chance: what two judges of the grammar should agree on."""
    made = random.Random(seed)
    for _ in range(count):
        kind = made.random()
        if kind > 0.8:
            yield "".join(made.choice((*_NOISE, *SLOTS[:3], *WORDS)) for _ in range(made.randint(0, 9)))
            continue
        text = tree(made, made.choice((40, 90)))
        if made.random() < 0.3:
            text = text.replace("(", made.choice((" (", "( ", "(\t", "(\n")))
        for _ in range(made.randint(1, 3) if kind > 0.45 else 0):
            at = made.randrange(len(text) + 1)
            text = text[:at] + made.choice((*_NOISE, "")) + text[at + made.randint(0, 1) :]
        yield text
