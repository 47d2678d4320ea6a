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
from pipelines.hashes import repeated, value_hashes
from pipelines.index import Steps

KEYS = ("utterance", "template", "shape")
TOGETHER = 16_000_000
"""Rows whose hashes are in memory at once: 128 MB."""


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
            distinct = {name: np.unique(found) for name, found in hashes.items()}
            for late, early in pairs:
                shared[late, early][key] += int(np.isin(hashes[late], distinct[early]).sum())
            if key == "utterance":
                for name in names:
                    repeats[name] += len(hashes[name]) - len(distinct[name])
                values, times = np.unique(np.concatenate(list(hashes.values())), return_counts=True)
                doubled.append(values[times > 1])
    return {
        "leaks": [
            {"split": late, "seen_in": early, "rows": manifest.splits[late], **shared[late, early]}
            for late, early in pairs
        ],
        "repeated": repeats,
        "conflicts": _conflicts(root, manifest, np.concatenate(doubled) if doubled else np.zeros(0, np.int64)),
        "unseen": _unseen(root, manifest, names),
    }


def _hashes(root: str | Path, manifest: shard.Manifest, split: str, column: str, part: int, parts: int) -> np.ndarray:
    found = [np.zeros(0, dtype=np.int64)]
    for batch in dataset.batches(root, manifest, split, [column]):
        values = batch[column].to_numpy()
        found.append(values[values % parts == part] if parts > 1 else values)
    return np.concatenate(found)


def _conflicts(root: str | Path, manifest: shard.Manifest, doubled: np.ndarray) -> dict[str, int]:
    """Requests that stand in the data set with different trees; letter case apart."""
    utterances, trees = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
    for split in manifest.splits if len(doubled) else ():
        for batch in dataset.batches(root, manifest, split, ["utterance_hash", "tree"]):
            again = np.isin(batch["utterance_hash"].to_numpy(), doubled)
            if again.any():
                utterances.append(batch["utterance_hash"].to_numpy()[again])
                trees.append(repeated(pc.utf8_lower(batch["tree"].filter(pa.array(again)))))
    every = np.stack([np.concatenate(utterances), np.concatenate(trees)], 1)
    several = np.unique(np.unique(every, axis=0)[:, 0], return_counts=True)
    at_odds = several[0][several[1] > 1]
    return {"utterances": len(at_odds), "rows": int(np.isin(every[:, 0], at_odds).sum())}


def _unseen(root: str | Path, manifest: shard.Manifest, names: list[str]) -> dict[str, dict[str, int]]:
    if "train" not in names or len(names) < 2:
        return {}
    known = np.zeros(0, dtype=np.int64)
    for hashes, _ in _values(root, manifest, "train"):
        known = np.union1d(known, hashes)
    found = {}
    for name in names:
        if name == "train":
            continue
        rows = value_rows = 0
        values = np.zeros(0, dtype=np.int64)
        for hashes, row in _values(root, manifest, name):
            new = ~np.isin(hashes, known)
            values = np.union1d(values, hashes[new])
            rows += len(np.unique(row[new]))
            value_rows += len(np.unique(row))
        found[name] = {"rows": rows, "values": len(values), "value_rows": value_rows}
    return found


def _values(root: str | Path, manifest: shard.Manifest, split: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for batch in dataset.batches(root, manifest, split, ["actions", "symbols"]):
        yield value_hashes(Steps(batch["actions"], batch["symbols"]))
