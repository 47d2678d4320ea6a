"""Requests from templates and values, any number from a seed, each with its flat slots and its gold tree.

Held-out splits share neither a template nor a value with train: dev draws half its rows from templates
of its own, test draws all of them, and no value of either occurs in a training row.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from grammar.tree import Leaf, Tree
from pipelines.samples import invent
from pipelines.samples.templates import SLOT, SPLITS, Book, Template, load, split_of

HELD_SHARE = 15
"""One row of dev and one of test for so many rows of train."""

_COMPOUND = {"train": 0.55, "dev": 0.6, "test": 0.75}
_INVENTED = 0.5
_TRIES = 200


@dataclass(frozen=True, slots=True)
class Sample:
    """One request.

    Attributes:
        words: the utterance; words and commas stand apart.
        intents: one per clause, in order.
        slots: (start, end, label), positions of words, half-open, in order.
        tree: the gold tree, coordinated values under `add`, clauses under `and`.
        positions: for each leaf of the tree the position of its word.
        split: train, dev or test.
        template: the clauses with open slots, joined by ` + `; fillers and joins apart.
    """

    words: tuple[str, ...]
    intents: tuple[str, ...]
    slots: tuple[tuple[int, int, str], ...]
    tree: Tree
    positions: tuple[int, ...]
    split: str
    template: str

    @property
    def compound(self) -> bool:
        """Whether it asks for more than one thing."""
        return len(self.intents) > 1

    @property
    def values(self) -> list[str]:
        """What its slots hold."""
        return [" ".join(self.words[start:end]) for start, end, _ in self.slots]

    @property
    def tags(self) -> list[str]:
        """B-, I- and O, one per word."""
        tags = ["O"] * len(self.words)
        for start, end, label in self.slots:
            tags[start:end] = [f"B-{label}"] + [f"I-{label}"] * (end - start - 1)
        return tags


def sizes(n: int) -> dict[str, int]:
    """Rows of each split for `n` rows of train."""
    held = max(1, n // HELD_SHARE)
    return {"train": n, "dev": held, "test": held}


def generate(n: int, seed: int) -> Iterator[Sample]:
    """`n` samples of train, then dev and test, a fifteenth as many each; no utterance twice.

    Raises:
        ValueError: so many rows cannot be told apart.
        AssertionError: a held-out template or value was seen in train (the promise of this module).
    """
    book = load()
    values: set[str] = set()
    templates: set[str] = set()
    seen: set[tuple[str, ...]] = set()
    for split, rows in sizes(n).items():
        maker = _Maker(book, split, random.Random(f"{seed}/{split}"))
        for _ in range(rows):
            sample = next((s for s in (maker.sample() for _ in range(_TRIES)) if s.words not in seen), None)
            if sample is None:
                raise ValueError(f"{rows} different rows of {split} cannot be made; ask for fewer")
            seen.add(sample.words)
            clauses = sample.template.split(" + ")
            if split == "train":
                values.update(sample.values)
                templates.update(clauses)
                assert not book.test_words & set(sample.words), f"train holds a reserved word: {sample.words}"
            else:
                assert values.isdisjoint(sample.values), f"a value of {split} was seen in train: {sample.values}"
                assert split != "test" or templates.isdisjoint(clauses), f"a template of test was seen: {clauses}"
            yield sample


class _Maker:
    """Draws samples of one split."""

    def __init__(self, book: Book, split: str, rng: random.Random) -> None:
        assert split in SPLITS
        self.book, self.split, self.rng = book, split, rng
        self.own = {i: [t for t in ts if t.split == split] for i, ts in book.templates.items()}
        self.train = {i: [t for t in ts if t.split == "train"] for i, ts in book.templates.items()}

    def sample(self) -> Sample:
        rng, line = self.rng, _Line()
        count = rng.choice((2, 2, 2, 3)) if rng.random() < _COMPOUND[self.split] else 1
        known = self.split == "dev" and rng.random() < 0.5
        templates = self._templates(count, self.train if known else self.own)
        line.say(rng.choice(self.book.before))
        for number, template in enumerate(templates):
            if number:
                line.say(rng.choices(list(self.book.joins), list(self.book.joins.values()))[0])
            self._clause(template, line)
        line.say(rng.choice(self.book.after))
        tree = line.clauses[0] if count == 1 else Tree("and", line.clauses)
        return Sample(
            words=tuple(line.words),
            intents=tuple(template.intent for template in templates),
            slots=tuple(line.slots),
            tree=tree,
            positions=tuple(position for start, end, _ in line.slots for position in range(start, end)),
            split=self.split,
            template=" + ".join(template.text for template in templates),
        )

    def _templates(self, count: int, pool: dict[str, list[Template]]) -> list[Template]:
        """Templates of different intents. An `and` that joins values must tell itself from one that joins
        clauses, so a slot that may be coordinated is taken by one of the intents only."""
        while True:
            drawn = [self.rng.choice(pool[intent]) for intent in self.rng.sample(list(pool), count)]
            several = [(t, m[1]) for t in drawn for m in SLOT.finditer(t.text) if m[2]]
            if not any(
                slot in self.book.takes(other.intent) for t, slot in several for other in drawn if other is not t
            ):
                return drawn

    def _clause(self, template: Template, line: _Line) -> None:
        children: list[Tree] = []
        for word in template.text.split():
            if not (match := SLOT.fullmatch(word)):
                line.say(word)
                continue
            count = self.rng.choice((1, 1, 1, 2, 2, 3)) if match[2] else 1
            nodes: list[Tree] = []
            for number in range(count):
                if number:
                    line.say("and" if number == count - 1 or self.rng.random() < 0.4 else ",")
                nodes.append(line.slot(match[1], self._value(match[1])))
            children.append(nodes[0] if count == 1 else Tree("add", nodes))
        line.clauses.append(Tree(template.intent, children))

    def _value(self, slot: str) -> str:
        if slot not in self.book.invent or self.rng.random() >= _INVENTED:
            # What stands first is asked for most, as in speech: the rank's share falls as 1, 1/2, 1/3, ...
            values = self.book.values[slot][self.split]
            return self.rng.choices(values, [1 / rank for rank in range(1, len(values) + 1)])[0]
        while True:
            value = invent.phrase(self.rng)
            words = set(value.split())
            if split_of(value) == self.split and not words & (self.book.carriers | self.book.test_words):
                return value


class _Line:
    """An utterance under construction."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self.slots: list[tuple[int, int, str]] = []
        self.clauses: list[Tree] = []

    def say(self, text: str) -> None:
        self.words += text.split()

    def slot(self, label: str, value: str) -> Tree:
        start = len(self.words)
        self.say(value)
        self.slots.append((start, len(self.words), label))
        return Tree(label, [Leaf(word) for word in value.split()])
