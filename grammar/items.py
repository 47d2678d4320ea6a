"""The same items in several files: rows matched by id, by utterance or by line, and a file to settle them in."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from grammar.agreement import Item
from grammar.files import Row
from grammar.tree import Tree
from grammar.words import words

BY = ("id", "utterance", "line")


@dataclass(frozen=True, slots=True)
class Annotated:
    """One row of one file.

    Attributes:
        row: where it stands and what it says.
        tree: None where it cannot be read.
    """

    row: Row
    tree: Tree | None

    @property
    def key(self) -> str | None:
        """The id of the row, where the file has ids."""
        return self.row.id

    @property
    def spoken(self) -> str | None:
        """The utterance as one line."""
        given = self.row.utterance
        return given if given is None or isinstance(given, str) else " ".join(given)


def match(files: Sequence[Sequence[Annotated]], by: str | None = None, tokeniser: str = "words-1") -> list[Item]:
    """One item for every id, utterance or line of any file, in the order of the first file that has it.

    Args:
        files: the rows of each.
        by: one of `BY`; without it ids if all rows have them and no file has one twice, else utterances if
            all rows have them, else lines. An utterance that a file has twice is matched in turn.
        tokeniser: how an utterance given as text is cut.

    Raises:
        ValueError: a row lacks what it is to be matched by, or has the id of another; the message names it.
    """
    by = by or _best(files)
    rows: dict[str, list[Annotated | None]] = {}
    for number, file in enumerate(files):
        seen: Counter[str] = Counter()
        for one in file:
            key = {"id": one.key, "utterance": one.spoken, "line": str(one.row.place.line)}[by]
            place = f"{one.row.place.path}:{one.row.place.line}"
            if key is None:
                raise ValueError(f"{place}: no {by} to match this row by; match by another with `--by`")
            if seen[key] and by == "id":
                raise ValueError(f"{place}: the id `{key}` stands in this file already; match by another with `--by`")
            turn = f"{key} #{seen[key] + 1}" if seen[key] else key
            seen[key] += 1
            rows.setdefault(turn, [None] * len(files))[number] = one
    return [_item(key, found, tokeniser) for key, found in rows.items()]


def settle(items: Iterable[Item], names: Sequence[str], form: str) -> str:
    """A file in which a person settles what annotators disagree on; `check` finds what is still open (E103, E111).

    Args:
        items: all of them; agreed ones are filled in.
        names: of the annotators.
        form: `jsonl`; `tsv`, with a column an annotator; or `trees`, in which their trees are comments.
    """
    items = list(items)
    if form == "tsv":
        return _table(items, names)
    lines = []
    for item in items:
        trees = {name: str(tree) for name, tree in zip(names, item.trees, strict=True) if tree is not None}
        agreed = next(iter(trees.values())) if item.agreed() else ""
        spoken = " ".join(item.words or ())
        if form == "jsonl":
            row = {"id": item.key, "utterance": spoken, "words": item.words, "tree": agreed, "trees": trees}
            if item.words is None:
                del row["utterance"], row["words"]
            lines.append(json.dumps(row, ensure_ascii=False))
        elif agreed:
            lines.append(agreed)
        else:
            lines += [
                "",
                f"# {' '.join((spoken or item.key).split())}",
                *(f"# {n}: {t}" for n, t in trees.items()),
                "()",
            ]
    return "\n".join(lines) + "\n"


def by_annotator(rows: Iterable[Annotated]) -> dict[str, list[Annotated]]:
    """The rows of one file, by what its column `annotator` says, in order of appearance.

    Raises:
        ValueError: a row does not say it; the message names the row.
    """
    found: dict[str, list[Annotated]] = {}
    for one in rows:
        if one.row.annotator is None:
            place = f"{one.row.place.path}:{one.row.place.line}"
            raise ValueError(f"{place}: no column `annotator`; give one file an annotator, or name whose row it is")
        found.setdefault(one.row.annotator, []).append(one)
    return found


def _table(items: Sequence[Item], names: Sequence[str]) -> str:
    spoken = any(item.words is not None for item in items)
    taken = {"tree", "utterance", "words", "annotator", "batch", "split"}
    lines = [["utterance"] * spoken + ["tree", *(f"{name}_" if name in taken else name for name in names)]]
    for item in items:
        trees = ["" if tree is None else str(tree) for tree in item.trees]
        utterance = " ".join(" ".join(item.words or ()).split())
        lines.append([utterance] * spoken + [trees[0] if item.agreed() else "", *trees])
    return "\n".join("\t".join(line) for line in lines) + "\n"


def _best(files: Sequence[Sequence[Annotated]]) -> str:
    ids = [[one.key for one in file] for file in files]
    if all(None not in file and len(set(file)) == len(file) for file in ids):
        return "id"
    return "utterance" if all(one.spoken is not None for file in files for one in file) else "line"


def _item(key: str, found: Sequence[Annotated | None], tokeniser: str) -> Item:
    given = next((one.row.utterance for one in found if one and one.row.utterance is not None), None)
    spoken = words(given, tokeniser) if isinstance(given, str) else given
    return Item(key, spoken, [one.tree if one else None for one in found])
