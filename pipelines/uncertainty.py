"""Which annotated rows a person should look at first: those that the parser is least sure of, no two of a kind.

The most uncertain rows often say the same thing in the same words; so rows are taken one after the other, and the worth
of the rest falls with every row that was taken of the same request with its values masked:

    worth = uncertainty / (1 + rows taken of its template)

A request that stands there several times is looked at once. Only `POOL` times the budget of the most uncertain rows are
held in memory.
Uncertainty is that of the whole tree (least confidence, Lewis and Gale 1994), not of each action: it finds more
mistakes.
"""

from __future__ import annotations

import heapq
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from pipelines import dataset, storage
from pipelines.annotation import MANIFEST
from pipelines.hashes import normalise

POOL = 20
"""Candidates for each row that is chosen."""

_COLUMNS = ("uncertainty", "id", "utterance", "words", "tree", "positions")


class Candidate(NamedTuple):
    """A row that may be chosen."""

    uncertainty: float
    id: str
    utterance: str
    words: list[str]
    tree: str
    positions: list[int]

    def template(self) -> str:
        """Its words in lower case, those that the tree copies masked."""
        copied = set(self.positions)
        masked = ("_" if place in copied else word.casefold() for place, word in enumerate(self.words))
        return " ".join(masked)


def choose(directory: str | Path, budget: int) -> list[Candidate]:
    """The rows to look at, most useful first.

    Raises:
        ShardError: the directory holds no annotations.
    """
    pool: list[tuple[float, str, Candidate]] = []
    held: set[str] = set()
    for row in _rows(str(directory)):
        item, text = (row.uncertainty, row.id, row), normalise(row.utterance)
        if text in held:
            continue
        if len(pool) < budget * POOL:
            heapq.heappush(pool, item)
            held.add(text)
        elif item[:2] > pool[0][:2]:
            held.remove(normalise(heapq.heapreplace(pool, item)[2].utterance))
            held.add(text)
    templates = Counter[str]()
    queue = [(-uncertainty, row_id, 0, row) for uncertainty, row_id, row in pool]
    heapq.heapify(queue)
    chosen: list[Candidate] = []
    while queue and len(chosen) < budget:
        _, row_id, known, row = heapq.heappop(queue)
        template = row.template()
        if templates[template] != known:  # rows of its template were taken meanwhile, so it is worth less
            known = templates[template]
            heapq.heappush(queue, (-row.uncertainty / (1 + known), row_id, known, row))
            continue
        chosen.append(row)
        templates[template] += 1
    return chosen


def tsv(rows: list[Candidate]) -> str:
    """`utterance<TAB>tree` lines under a head, as `python -m grammar check` reads them, with id and uncertainty."""
    lines = ["\t".join([" ".join(row.utterance.split()), row.tree, row.id, f"{row.uncertainty:.4f}"]) for row in rows]
    return "\n".join(["utterance\ttree\tid\tuncertainty", *lines]) + "\n"


def _rows(directory: str) -> Iterator[Candidate]:
    for entry in json.loads(storage.read(storage.join(directory, MANIFEST)))["shards"]:
        for batch in dataset.read(storage.join(directory, entry["file"]), _COLUMNS):
            yield from map(Candidate._make, zip(*(batch[name].to_pylist() for name in _COLUMNS), strict=True))
