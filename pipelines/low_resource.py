"""Low-resource samples: so many rows per intent and slot, as TOPv2 has them (SPIS, samples per intent and slot).

Chen et al. 2020, "Low-Resource Domain Adaptation for Compositional Task-Oriented Semantic Parsing", arXiv 2010.03546:
rows are drawn in a random order, and one is kept if it holds an intent or slot that has fewer than N so far. A row that
is kept is thereby among the first N of one of its labels, so N rows a label are all that is remembered.
"""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from grammar import shard
from grammar.actions import Kind
from grammar.ontology import Ontology, loads
from pipelines import dataset
from pipelines.rewrite import rewrite


def draw(
    directory: str,
    output: str,
    per_label: int,
    seed: int = 0,
    splits: Sequence[str] = ("train",),
    overwrite: bool = False,
) -> shard.Manifest:
    """Publish a sample of some splits, with the other splits whole.

    Args:
        per_label: rows for each intent and slot, where there are as many.
        seed: another seed draws other rows.

    Raises:
        ShardError: no data set, or no such split.
        ValueError: `per_label` is below 1.
        FileExistsError: the output is there and is not to be overwritten.
    """
    if per_label < 1:
        raise ValueError(f"{per_label} rows per label: at least 1")
    manifest = dataset.manifest(directory)
    for split in splits:
        if split not in manifest.splits:
            raise shard.ShardError(f"{directory} has no split `{split}`; its splits are {', '.join(manifest.splits)}")
    text = dataset.ontology(directory)
    kept = {split: sample(directory, manifest, split, loads(text), per_label, seed) for split in splits}

    def rows() -> Iterator[pa.RecordBatch]:
        for split in manifest.splits:
            wanted = pa.array(sorted(kept[split]), pa.string()) if split in kept else None
            for batch in dataset.batches(directory, manifest, split):
                yield batch if wanted is None else batch.filter(pc.is_in(batch["id"], wanted))

    said = {"corpus": manifest.corpus, "fingerprint": manifest.fingerprint, "splits": manifest.splits}
    given = bool(manifest.options.get("ontology"))
    options = manifest.options | {"sample": {"per_label": per_label, "seed": seed, "splits": list(splits), "of": said}}
    return rewrite(
        rows(),
        (),
        output,
        corpus=manifest.corpus,
        tokeniser=manifest.tokeniser,
        options=options,
        ontology=text if given else "",
        overwrite=overwrite,
    )


def sample(
    directory: str, manifest: shard.Manifest, split: str, ontology: Ontology, per_label: int, seed: int
) -> set[str]:
    """The ids of the rows that are kept."""
    first: dict[str, list[tuple[int, str]]] = {}  # label -> its first rows, as a heap with the last one on top
    labels_of: dict[str, frozenset[str]] = {}
    for batch in dataset.batches(directory, manifest, split, ["id", "actions", "symbols"]):
        for row_id, labels in zip(batch["id"].to_pylist(), _labels(batch, ontology), strict=True):
            key = -int.from_bytes(hashlib.sha256(f"{seed}:{row_id}".encode()).digest()[:8], "big")
            for label in labels:
                rows = first.setdefault(label, [])
                if len(rows) < per_label:
                    heapq.heappush(rows, (key, row_id))
                elif (key, row_id) > rows[0]:
                    heapq.heapreplace(rows, (key, row_id))
                else:
                    continue
                labels_of[row_id] = labels
        held = {row_id for rows in first.values() for _, row_id in rows}
        labels_of = {row_id: labels for row_id, labels in labels_of.items() if row_id in held}
    kept: set[str] = set()
    have = Counter[str]()
    for _, row_id in sorted({row for rows in first.values() for row in rows}, reverse=True):
        if any(have[label] < per_label for label in labels_of[row_id]):
            kept.add(row_id)
            have.update(labels_of[row_id])
    return kept


def _labels(batch: pa.RecordBatch, ontology: Ontology) -> Iterator[frozenset[str]]:
    """The intents and slots of each row; functions such as `and` are no labels."""
    functions = {label for label, node in ontology.nodes.items() if node.kind == "function"}
    kinds = np.asarray(batch["actions"].flatten())
    symbols = batch["symbols"].flatten().to_pylist()
    starts = np.asarray(batch["actions"].offsets) - np.asarray(batch["actions"].offsets)[0]
    for start, stop in pairwise(starts):
        opened = np.flatnonzero(kinds[start:stop] == Kind.NT)
        yield frozenset(symbols[start + step] for step in opened) - functions
