"""Rows good and bad from a seed: trees of the example ontology, damaged trees, noise, and their utterances."""

from __future__ import annotations

import random

INTENTS = ("AddToListIntent", "PlayMusicIntent", "SetTimerIntent", "and")
LABELS = (
    *INTENTS,
    "add",
    "Duration",
    "ItemName",
    "MediaType",
    "Title",
    "Titel",
    "x",
    "IN:GET_A_VERY_LONG_LABEL_OF_MANY",
)
WORDS = (
    "apples",
    "Star",
    "Wars",
    "Caf\u00e9",
    "Cafe\u0301",
    "\u97f3\u4e50",
    "yes",
    "New\\ York",
    "\\(live\\)",
    "AC\\\\DC",
    "#",
    "a",
    "Title",
    "PlayMusicIntent",
    "\u00c3\u00a9",
    "a\u00a0b",
    "\u202e",
    "\udce9",
    "x\x00",
    "hour",
    "don't",
    "one.",
)
NOISE = (
    "(",
    ")",
    "()",
    " ",
    "\t",
    "\\",
    "\\x",
    "\\(",
    "(a",
    "\u00e9",
    "(a(b))",
    "\x7f",
    "\r",
    "\udcff",
    "\U0001f3b5",
    ")(",
)


def random_tree(made: random.Random, depth: int = 3) -> str:
    """A valid tree that is often right by the example ontology."""
    kind = made.random()
    if depth > 2 and kind < 0.5:
        parts = [random_tree(made, 2) for _ in range(made.randint(2, 3))]
        return f"(and{''.join(parts)})"
    if kind < 0.6:
        return _intent(made)
    label = made.choice(LABELS)
    inner = "".join(
        random_tree(made, depth - 1) if depth > 1 and made.random() < 0.6 else _leaf(made)
        for _ in range(made.randint(1, 3))
    )
    return f"({label}{inner})" if made.random() < 0.95 else f"({label}())"


def _intent(made: random.Random) -> str:
    slot = made.choice(("MediaType", "Title"))
    words = "".join(_leaf(made, good=True) for _ in range(made.randint(1, 3)))
    return made.choice(
        (
            f"(PlayMusicIntent({slot}{words}))",
            "(PlayMusicIntent())",
            f"(SetTimerIntent(Duration{words}))",
            f"(AddToListIntent(add(ItemName{words})(ItemName{_leaf(made, good=True)})))",
        )
    )


def _leaf(made: random.Random, good: bool = False) -> str:
    words = WORDS[:9] if good or made.random() < 0.8 else WORDS
    return f"({' '.join(made.choice(words) for _ in range(1 if made.random() < 0.9 else 2))})"


def mutated(made: random.Random, text: str) -> str:
    """The text with one to three small damages."""
    for _ in range(made.randint(1, 3)):
        at = made.randrange(len(text) + 1)
        kind = made.random()
        if kind < 0.35:
            text = text[:at] + made.choice(NOISE) + text[at:]
        elif kind < 0.7:
            text = text[:at] + text[at + 1 :]
        else:
            end = made.randrange(len(text) + 1)
            text = (
                text[: min(at, end)] + text[max(at, end) :]
                if made.random() < 0.2
                else text[:at] + text[at : at + 3] * 2 + text[at + 3 :]
            )
    return text


def random_rows(made: random.Random, count: int) -> list[str]:
    """Good trees, damaged trees and noise, shuffled."""
    rows = []
    for _ in range(count):
        kind = made.random()
        if kind < 0.6:
            text = random_tree(made)
            spaced = text.replace("(", made.choice((" (", "( ", "(\t", " (\n"))) if made.random() < 0.2 else text
            rows.append(spaced)
        elif kind < 0.9:
            rows.append(mutated(made, random_tree(made)))
        else:
            rows.append("".join(made.choice(NOISE + LABELS + WORDS) for _ in range(made.randint(0, 9))))
    return rows


def random_row(made: random.Random, tree: str) -> str:
    """An utterance for a tree, as a rule with its words in order."""
    words = [part.partition(")")[0].replace("\\ ", " ").replace("\\", "") for part in tree.split("(")]
    words = [word.strip() for word in words if word.strip() and word not in LABELS]
    if made.random() < 0.2:
        made.shuffle(words)
    if made.random() < 0.2 and words:
        words[0] = words[0].swapcase()
    ends = made.choice(("", "", ".", " please"))
    return made.choice(("play ", "", "the ")) + made.choice((" ", " ", "  ")).join(words) + ends
