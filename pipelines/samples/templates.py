"""Templates and values: read the two TOML files, write out their choices, deal them to the splits.

>>> list(expand("(add|put) {ItemName+} on the list (please|)"))[:2]
['add {ItemName+} on the list please', 'add {ItemName+} on the list']
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import re
import tomllib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

SPLITS = ("train", "dev", "test")
_CHOICE = re.compile(r"\(([^()]*)\)")
SLOT = re.compile(r"\{(\w+)(\+?)\}")


@dataclass(frozen=True, slots=True)
class Template:
    """One clause with its slots open.

    Attributes:
        intent: what it asks for.
        text: words and `{Slot}` or `{Slot+}`.
        split: the only split that may use it (dev may also use those of train).
    """

    intent: str
    text: str
    split: str

    @property
    def slots(self) -> list[str]:
        """Labels of its slots, in order."""
        return [match[1] for match in SLOT.finditer(self.text)]


@dataclass(frozen=True)
class Book:
    """All that sentences are made of.

    Attributes:
        templates: intent -> its templates, of all splits.
        values: slot -> split -> values.
        invent: slots whose values may also be made of syllables.
        carriers: every word of a template, a join or a filler; no invented word is one of them.
        descriptions: intent or slot -> a line for the ontology.
    """

    templates: dict[str, list[Template]]
    values: dict[str, dict[str, list[str]]]
    invent: frozenset[str]
    test_words: frozenset[str]
    carriers: frozenset[str]
    joins: dict[str, int]
    before: list[str]
    after: list[str]
    descriptions: dict[str, str]

    def takes(self, intent: str) -> set[str]:
        """Every slot that some template of the intent has."""
        return {slot for template in self.templates[intent] for slot in template.slots}


def expand(text: str) -> Iterator[str]:
    """Every way to choose, first choices first, blanks tidied."""
    parts = _CHOICE.split(text)  # plain, choices, plain, choices, ..., plain
    choices = [part.split("|") if i % 2 else [part] for i, part in enumerate(parts)]
    for combination in itertools.product(*choices):
        yield " ".join("".join(combination).split())


def split_of(value: str) -> str:
    """The split of a value: 70 % train, 10 % dev, 20 % test, by hash, the same for any seed and slot."""
    share = _hash(value) % 100
    return "train" if share < 70 else "dev" if share < 80 else "test"


def deal(texts: Collection[str], pinned: Collection[str]) -> dict[str, str]:
    """Template -> split, in the order of hashes, so that even a short list reaches every split: a fifth
    test, a tenth dev, the rest and the pinned ones train."""
    free = sorted((text for text in texts if text not in pinned), key=_hash)
    test, dev = max(1, len(texts) // 5), max(1, len(texts) // 10)
    split = dict.fromkeys(texts, "train")
    return split | dict.fromkeys(free[:test], "test") | dict.fromkeys(free[test : test + dev], "dev")


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


@functools.cache
def load() -> Book:
    """Read both files.

    Raises:
        ValueError: an unknown slot, or an intent or slot that some split lacks.
    """
    here = Path(__file__).parent
    clauses = tomllib.loads((here / "clauses.toml").read_text(encoding="utf-8"))
    slots = tomllib.loads((here / "values.toml").read_text(encoding="utf-8"))
    train_values, test_words = set(slots.pop("train_values")), frozenset(slots.pop("test_words"))
    train_templates = set(clauses["train_templates"])

    values: dict[str, dict[str, list[str]]] = {}
    for label, table in slots.items():
        dealt = values[label] = {split: [] for split in SPLITS}
        for value in dict.fromkeys(v for line in table["values"] for v in expand(line)):
            held = bool(test_words & set(value.split()))
            dealt["test" if held else "train" if value in train_values else split_of(value)].append(value)

    templates: dict[str, list[Template]] = {}
    for intent, table in clauses["intents"].items():
        texts = dict.fromkeys(t for line in table["templates"] for t in expand(line))
        templates[intent] = [Template(intent, t, split) for t, split in deal(texts, train_templates).items()]

    before, after = clauses["fillers"]["before"], clauses["fillers"]["after"]
    carrying = [SLOT.sub("", t.text) for ts in templates.values() for t in ts] + before + after + list(clauses["joins"])
    book = Book(
        templates=templates,
        values=values,
        invent=frozenset(label for label, table in slots.items() if table.get("invent")),
        test_words=test_words,
        carriers=frozenset(word for text in carrying for word in text.split()),
        joins=clauses["joins"],
        before=before,
        after=after,
        descriptions={label: t["description"] for label, t in [*clauses["intents"].items(), *slots.items()]},
    )
    _check(book)
    return book


def _check(book: Book) -> None:
    for intent, templates in book.templates.items():
        for slot in book.takes(intent) - set(book.values):
            raise ValueError(f"clauses.toml: `{intent}` has the slot `{slot}`, which values.toml lacks")
        if lacking := set(SPLITS) - {template.split for template in templates}:
            raise ValueError(f"clauses.toml: `{intent}` has no template for {sorted(lacking)}; add choices")
        known = {word for template in templates if template.split == "train" for word in template.text.split()}
        for template in templates:
            if new := set(template.text.split()) - known:
                raise ValueError(f"clauses.toml: no train template of `{intent}` has {sorted(new)}; add choices")
    for slot, dealt in book.values.items():
        if lacking := {split for split in SPLITS if not dealt[split]}:
            raise ValueError(f"values.toml: `{slot}` has no value for {sorted(lacking)}; add values")
