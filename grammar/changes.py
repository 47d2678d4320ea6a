"""What changed between two ontologies, in words and as plain values."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from grammar.ontology import Ontology


@dataclass(frozen=True, slots=True)
class Change:
    """One difference.

    Attributes:
        label: the label it is about; empty for `roots` and the lexicon.
        what: `label`, `kind`, `takes`, `required`, `repeated`, `words`, `least`, `description`, `examples`,
            `roots` or `lexicon`.
        before: the old value; None where it was added.
        after: the new value; None where it is gone.
        breaks: whether trees that were good may now have findings.
    """

    label: str
    what: str
    before: Any
    after: Any
    breaks: bool

    def __str__(self) -> str:
        where = f"{self.label}: " if self.label else ""
        if self.what == "label":
            return f"+ {self.label}  ({self.after})" if self.before is None else f"- {self.label}  ({self.before})"
        if self.after is None or self.before is None:
            sign, value = ("-", self.before) if self.after is None else ("+", self.after)
            return f"{sign} {where}{self.what} {value}"
        return f"~ {where}{self.what} {_shown(self.before)} -> {_shown(self.after)}"

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        return {name: getattr(self, name) for name in self.__slots__}


def changes(before: Ontology, after: Ontology) -> list[Change]:
    """Every difference between two ontologies but counts: labels, then what each holds, then roots and words."""
    found = []
    for label in sorted(set(before.nodes) | set(after.nodes)):
        old, new = before.nodes.get(label), after.nodes.get(label)
        if old is None or new is None:
            found.append(Change(label, "label", old and old.kind, new and new.kind, new is None))
            continue
        if old.kind != new.kind:
            found.append(Change(label, "kind", old.kind, new.kind, False))
        found += _members(label, "takes", old.takes, new.takes, loss=True)
        found += _members(label, "required", old.required, new.required, loss=False)
        found += _members(label, "repeated", old.repeated & new.takes, new.repeated & old.takes, loss=True)
        if old.words != new.words:
            found.append(Change(label, "words", old.words, new.words, old.words))
        if old.least != new.least:
            found.append(Change(label, "least", old.least, new.least, new.least > old.least))
        if old.description != new.description:
            found.append(Change(label, "description", old.description, new.description, False))
        if old.examples != new.examples:
            found.append(Change(label, "examples", list(old.examples), list(new.examples), False))
    found += _members("", "roots", before.roots, after.roots, loss=True)
    return found + _members("", "lexicon", before.lexicon, after.lexicon, loss=True)


def _members(label: str, what: str, old: Collection[str], new: Collection[str], loss: bool) -> list[Change]:
    """What a set lost and gained. `loss`: losing a member breaks trees; else gaining one does."""
    gone = [Change(label, what, member, None, loss) for member in sorted(set(old) - set(new))]
    return gone + [Change(label, what, None, member, not loss) for member in sorted(set(new) - set(old))]


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) and (" " in value or not value) else str(value)
