"""The rows of a data set, batch by batch, wherever it lies; no more than one row group is in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from grammar import shard
from grammar.ontology import loads
from pipelines import storage


def manifest(root: str | Path) -> shard.Manifest:
    """The manifest of a data set, wherever it lies.

    Raises:
        ShardError: no data set, another schema version, or counts that do not add up.
    """
    path = storage.join(str(root), shard.MANIFEST)
    if not storage.is_remote(path):
        return shard.read_manifest(root)
    try:
        if not storage.exists(path):
            raise shard.ShardError(f"{root} is not a data set: it has no {shard.MANIFEST}")
        return shard.parse_manifest(storage.read(path).decode(), root)
    except (OSError, UnicodeDecodeError) as error:
        raise shard.ShardError(f"cannot read {path}: {error}") from error


def ontology(root: str | Path) -> str:
    """The ontology of a data set, as TOML.

    Raises:
        ShardError: it is not there, or cannot be used.
    """
    path = storage.join(str(root), shard.ONTOLOGY)
    try:
        text = storage.read(path).decode()
        loads(text, path)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error).removeprefix(f"{path}: ")
        raise shard.ShardError(f"{path} cannot be used: {why}; convert again") from error
    return text


def batches(
    root: str | Path,
    manifest: shard.Manifest,
    split: str,
    columns: Sequence[str] | None = None,
    coded: Sequence[str] = (),
) -> Iterator[pa.RecordBatch]:
    """The rows of a split, in the order of its shards.

    Args:
        coded: columns of Parquet that come as dictionaries, which takes half the time where values repeat.

    Raises:
        ShardError: a shard cannot be read, or lacks a column.
    """
    for entry in sorted(manifest.shards, key=lambda entry: str(entry["file"])):
        if entry["file"].rpartition("-of-")[0].rpartition("-")[0] == split:
            yield from read(storage.join(str(root), entry["file"]), columns, coded)


def read(path: str, columns: Sequence[str] | None = None, coded: Sequence[str] = ()) -> Iterator[pa.RecordBatch]:
    """The rows of one Parquet file.

    Raises:
        ShardError: it cannot be read, or lacks a column.
    """
    try:
        with storage.reading(path) as file, pq.ParquetFile(file, read_dictionary=list(coded)) as shard_file:
            missing = set(columns or ()) - set(shard_file.schema_arrow.names)
            if missing:
                raise shard.ShardError(f"{path}: no column `{min(missing)}`; convert again")
            yield from shard_file.iter_batches(shard.ROW_GROUP, columns=list(columns) if columns else None)
    except (OSError, pa.ArrowInvalid) as error:
        raise shard.ShardError(f"cannot read {path}: {error}; convert again") from error


def rejections(root: str | Path, manifest: shard.Manifest) -> Iterator[pa.RecordBatch]:
    """The dead letters."""
    if manifest.rows_rejected:
        yield from read(storage.join(str(root), shard.REJECTED, shard.shard_name(shard.REJECTED, 0, 1)))


def shards(manifest: shard.Manifest) -> int:
    """Shards of each split."""
    return max((int(entry["file"].rpartition("-of-")[2].partition(".")[0]) for entry in manifest.shards), default=1)
