"""Data sets made of the rows of others, by the steps of a conversion: runs by bucket, then shards sorted by id.

A row's shard follows from its id, so several data sets that become one give the bytes that one conversion would have
given for as many shards. A run is sorted at a time; no more is in memory, however large the data sets are.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from grammar import shard
from grammar.infer import Counts
from pipelines import lock, publish, storage
from pipelines.counting import count_train
from pipelines.runs import Runs
from pipelines.spill import Job, merge


def rewrite(
    rows: Iterable[pa.RecordBatch],
    letters: Iterable[pa.RecordBatch],
    output: str,
    *,
    corpus: str,
    tokeniser: str,
    options: dict[str, Any],
    shards: int = 1,
    ontology: str = "",
    overwrite: bool = False,
) -> shard.Manifest:
    """Publish rows and dead letters as a data set, whole or not at all.

    Args:
        rows, letters: with the columns of `shard.SCHEMA` and `shard.REJECTION_SCHEMA`, in any order.
        options: for the manifest.
        shards: of each split.
        ontology: TOML text; empty to infer one from the train rows.

    Raises:
        ValueError: two rows have one id, or there is no row.
        FileExistsError: the output is there and is not to be overwritten, or is no data set.
    """
    output = publish.absolute(output)
    with lock.hold(output):
        publish.clear_up(output)
        publish.make_room(output, overwrite)
        job = Job(publish.build_of(output, "rewrite"), shards, ontology=ontology)
        publish.forget(output, "")
        try:
            report = _spill(rows, letters, job) | {"tokenisers": [tokeniser]}
            storage.write(job.work("reports", "rows.json"), json.dumps(report).encode())
            publish.finish(job, corpus, tokeniser, options, 1.0)
            return publish.publish(job, output, 1.0)
        except BaseException:
            storage.remove(job.build)
            raise


def _spill(rows: Iterable[pa.RecordBatch], letters: Iterable[pa.RecordBatch], job: Job) -> dict[str, Any]:
    counts = Counts()
    rejected, splits = Counter[str](), Counter[str]()
    taken = composed = 0
    with Runs(job.work("spill", "rows.arrow"), job.shards) as runs:
        for batch in rows:
            if batch.num_rows:
                runs.add(batch, [])
                taken += batch.num_rows
                composed += pc.sum(batch["composed"]).as_py() or 0
                counts.merge(count_train(batch))
        for batch in letters:
            runs.refuse(batch)
            rejected.update(batch["code"].to_pylist())
            splits.update(batch["split"].to_pylist())
    for bucket, part in sorted(runs.parts.items()):
        merge(bucket, [part], job)
    return {
        "rows_in": taken - composed + rejected.total(),
        "composed": composed,
        "rejected": dict(rejected),
        "rejected_splits": dict(splits),
        "counts": counts.to_json(),
    }
