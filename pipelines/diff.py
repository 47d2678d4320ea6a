"""What changed between two data sets: rows by id, requests by their hash, splits, labels.

Shards are sorted by id, so both sides are read in step: one row group of each shard is in memory.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from grammar import shard
from grammar.actions import Kind
from pipelines import dataset, storage

_SHOWN = ("id", "split", "utterance", "tree")


class _Row(NamedTuple):
    id: str
    split: str
    utterance: str
    tree: str


def diff(old: str | Path, new: str | Path, examples: int = 5) -> dict[str, Any]:
    """Compare two data sets.

    Args:
        examples: rows shown of each kind.

    Returns:
        {"rows": {"same", "added", "removed", "changed", "moved"}, "examples": {kind: [...]},
        "moves": {"train -> dev": n}, "utterances": {"added", "removed"}, "labels": {label: [old, new]} where these
        differ}; `changed` rows have another utterance or tree, `moved` ones another split.

    Raises:
        ShardError: one of them is no data set, or a shard is not sorted by id.
    """
    sides = [(str(root), dataset.manifest(root)) for root in (old, new)]
    rows, moves = Counter[str](), Counter[str]()
    shown: dict[str, list[dict[str, str]]] = {}

    def tell(kind: str, before: _Row | None, after: _Row | None) -> None:
        rows[kind] += 1
        if len(shown.setdefault(kind, [])) < examples:
            row = {"id": (before or after).id}  # type: ignore[union-attr]
            for side, found in (("old", before), ("new", after)):
                if found:
                    row |= {f"{side}_{name}": getattr(found, name) for name in ("split", "utterance", "tree")}
            shown[kind].append(row)

    left, right = (_rows(*side) for side in sides)
    before, after = next(left, None), next(right, None)
    while before or after:
        if before and after and before.id == after.id:
            if (before.utterance, before.tree) != (after.utterance, after.tree):
                tell("changed", before, after)
            if before.split != after.split:
                tell("moved", before, after)
                moves[f"{before.split} -> {after.split}"] += 1
            rows["same"] += before == after
            before, after = next(left, None), next(right, None)
        elif after is None or (before and before.id.encode() < after.id.encode()):
            tell("removed", before, None)
            before = next(left, None)
        else:
            tell("added", None, after)
            after = next(right, None)
    hashes = [_utterances(*side) for side in sides]
    labels = [_labels(*side) for side in sides]
    return {
        "rows": {kind: rows[kind] for kind in ("same", "added", "removed", "changed", "moved")},
        "examples": {kind: found for kind, found in shown.items() if found},
        "moves": dict(sorted(moves.items())),
        "utterances": {
            "added": len(np.setdiff1d(hashes[1], hashes[0])),
            "removed": len(np.setdiff1d(hashes[0], hashes[1])),
        },
        "labels": {
            label: [labels[0][label], labels[1][label]]
            for label in sorted(labels[0] | labels[1])
            if labels[0][label] != labels[1][label]
        },
    }


def differ(found: dict[str, Any]) -> bool:
    """Whether there is any difference."""
    return any(found["rows"][kind] for kind in ("added", "removed", "changed", "moved"))


def _rows(root: str, manifest: shard.Manifest) -> Iterator[_Row]:
    """All rows in the order of their ids."""
    streams = [_of_shard(storage.join(root, entry["file"])) for entry in manifest.shards]
    return heapq.merge(*streams, key=lambda row: row.id.encode())


def _of_shard(path: str) -> Iterator[_Row]:
    last = b""
    for batch in dataset.read(path, _SHOWN):
        for row in map(_Row._make, zip(*(batch[name].to_pylist() for name in _SHOWN), strict=True)):
            key = row.id.encode()
            if key < last:
                raise shard.ShardError(f"{path}: rows are not sorted by id; `verify` says more")
            last = key
            yield row


def _utterances(root: str, manifest: shard.Manifest) -> np.ndarray:
    """The distinct hashes: 8 bytes each."""
    found = np.zeros(0, dtype=np.int64)
    for split in manifest.splits:
        for batch in dataset.batches(root, manifest, split, ["utterance_hash"]):
            found = np.union1d(found, batch["utterance_hash"].to_numpy())
    return found


def _labels(root: str, manifest: shard.Manifest) -> Counter[str]:
    total = Counter[str]()
    for split in manifest.splits:
        for batch in dataset.batches(root, manifest, split, ["actions", "symbols"]):
            opened = pa.array(np.asarray(batch["actions"].flatten()) == Kind.NT)
            for row in batch["symbols"].flatten().filter(opened).value_counts().to_pylist():
                total[row["values"]] += row["counts"]
    return total
