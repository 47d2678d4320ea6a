"""What the splits of a data set share, and what stands in it twice, from the hashes in its shards.

    test <- train   utterances 13 of 893     the same request, in any case and spacing
                    templates 411            a request that differs in its values alone
                    shapes 806               a tree with the same labels
                    values 17 unseen         rows that hold a value which train does not

Eight bytes a row and hash are held at a time; of data sets over `TOGETHER` rows one part of the hashes after the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from grammar import shard
from pipelines import dataset
from pipelines.hashes import repeated, value_marks

KEYS = ("utterance", "template", "shape")
TOGETHER = 16_000_000
"""Rows whose hashes are in memory at once: 128 MB."""
_WAITING = 1_000_000


def find(root: str | Path, manifest: shard.Manifest, together: int = TOGETHER) -> dict[str, Any]:
    """Leaks between splits, duplicates and conflicts.

    Returns:
        {"leaks": [{"split", "seen_in", "rows", "utterance", "template", "shape"}]: rows of `split` whose key is also in
        `seen_in`; "repeated": {split: rows beyond the first of their utterance}; "conflicts": {"utterances", "rows"}:
        requests with several trees, and the rows that hold them; "unseen": {split: {"rows", "values", "value_rows"}}:
        rows with a value that train lacks, such values, and rows with any value}

    Raises:
        ShardError: a shard cannot be read.
    """
    names = [name for name in shard.SPLITS if name in manifest.splits]
    names += sorted(set(manifest.splits) - set(names))
    pairs = [(late, early) for i, late in enumerate(names) for early in names[:i]]
    shared = {pair: dict.fromkeys(KEYS, 0) for pair in pairs}
    repeats = dict.fromkeys(names, 0)
    doubled: list[np.ndarray] = []
    parts = max(1, -(-sum(manifest.splits.values()) // together))
    for key in KEYS:
        for part in range(parts):
            hashes = {name: _hashes(root, manifest, name, f"{key}_hash", part, parts) for name in names}
            known = {name: _once(found) for name, found in hashes.items()}
            for late, early in pairs:
                shared[late, early][key] += int(within(hashes[late], known[early]).sum())
            if key == "utterance":
                for name in names:
                    repeats[name] += len(hashes[name]) - len(known[name])
                every = np.concatenate([np.zeros(0, dtype=np.int64), *hashes.values()])
                every.sort()
                doubled.append(_once(every[1:][every[1:] == every[:-1]]))
    return {
        "leaks": [
            {"split": late, "seen_in": early, "rows": manifest.splits[late], **shared[late, early]}
            for late, early in pairs
        ],
        "repeated": repeats,
        "conflicts": _conflicts(root, manifest, distinct(np.concatenate(doubled))),
        "unseen": _unseen(root, manifest, names, parts),
    }


def _hashes(root: str | Path, manifest: shard.Manifest, split: str, column: str, part: int, parts: int) -> np.ndarray:
    """Sorted."""
    found = np.empty(manifest.splits[split], dtype=np.int64)  # filled and sorted where it is, for it may be large
    size = 0
    for batch in dataset.batches(root, manifest, split, [column]):
        values = batch[column].to_numpy()
        values = values[values % parts == part] if parts > 1 else values
        found[size : size + len(values)] = values
        size += len(values)
    found = found[:size]
    found.sort()
    return found


def _conflicts(root: str | Path, manifest: shard.Manifest, doubled: np.ndarray) -> dict[str, int]:
    """Requests that stand in the data set with different trees; letter case apart."""
    utterances, trees = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
    for split in manifest.splits if len(doubled) else ():
        for batch in dataset.batches(root, manifest, split, ["utterance_hash", "tree"]):
            again = within(batch["utterance_hash"].to_numpy(), doubled)
            if again.any():
                utterances.append(batch["utterance_hash"].to_numpy()[again])
                trees.append(repeated(pc.utf8_lower(batch["tree"].filter(pa.array(again)))))
    said, made = np.concatenate(utterances), np.concatenate(trees)
    order = np.lexsort((made, said))
    said, made = said[order], made[order]
    at_odds = distinct(said[1:][(said[1:] == said[:-1]) & (made[1:] != made[:-1])])
    return {"utterances": len(at_odds), "rows": int(within(said, at_odds).sum())}


def _unseen(root: str | Path, manifest: shard.Manifest, names: list[str], parts: int) -> dict[str, dict[str, int]]:
    if "train" not in names or len(names) < 2:
        return {}
    held = [name for name in names if name != "train"]
    new, valued = ({name: np.zeros(manifest.splits[name], dtype=bool) for name in held} for _ in range(2))
    values = dict.fromkeys(held, 0)
    for part in range(parts):
        known = np.zeros(0, dtype=np.int64)
        waiting: list[np.ndarray] = []
        for _, marks, _ in _values(root, manifest, "train", part, parts):
            waiting.append(distinct(marks))
            if sum(map(len, waiting)) > max(_WAITING, len(known)):  # all is sorted now and then, not with every batch
                known, waiting = distinct(np.concatenate([known, *waiting])), []
        known = distinct(np.concatenate([known, *waiting]))
        for name in held:
            unknown = [np.zeros(0, dtype=np.int64)]
            for first, marks, row in _values(root, manifest, name, part, parts):
                fresh = ~within(marks, known)
                unknown.append(distinct(marks[fresh]))
                new[name][first + row[fresh]] = True
                valued[name][first + row] = True
            values[name] += len(distinct(np.concatenate(unknown)))
    return {
        name: {"rows": int(new[name].sum()), "values": values[name], "value_rows": int(valued[name].sum())}
        for name in held
    }


def _values(
    root: str | Path, manifest: shard.Manifest, split: str, part: int, parts: int
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """(number of a batch's first row, marks of its values, row of each within the batch)"""
    first = 0
    for batch in dataset.batches(root, manifest, split, ["actions", "symbols"], coded=["symbols.list.element"]):
        marks, row = value_marks(batch["actions"], batch["symbols"])
        mine = marks % parts == part if parts > 1 else slice(None)
        yield first, marks[mine], row[mine]
        first += batch.num_rows


def distinct(values: np.ndarray) -> np.ndarray:
    """Each value once, sorted. (`np.unique` takes fifty times as long for numbers of 64 bits in numpy 2.3.)"""
    return _once(np.sort(values))


def _once(found: np.ndarray) -> np.ndarray:
    """Each of sorted values once."""
    return found[np.concatenate([[True], found[1:] != found[:-1]])[: len(found)]]


def within(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """For each value whether it is one of some.

    Args:
        known: sorted.
    """
    if not len(known):
        return np.zeros(len(values), dtype=bool)
    return known[np.minimum(np.searchsorted(known, values), len(known) - 1)] == values
