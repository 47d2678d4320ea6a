"""A data set wherever it lies: a local folder, or any URI that `pyarrow.fs` knows (s3://, gs://, hdfs://).

Shards are read one row group at a time (`Block`), so memory does not grow with the data set.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from grammar import ontology as ontologies
from grammar.ontology import Ontology
from grammar.shard import MANIFEST, ONTOLOGY, SCHEMA, SCHEMA_VERSION, ShardError, parse_manifest
from parser.columns import ROW_COLUMNS


@dataclass(frozen=True, slots=True)
class Block:
    """One row group of a shard."""

    file: str
    group: int
    rows: int


class Source:
    """A data set to read.

    Args:
        where: a directory or a URI, as in `shards/snips` or `s3://bucket/snips?region=eu-west-1`.

    Raises:
        ShardError: it is not a data set, or of another schema version.
    """

    def __init__(self, where: str | Path) -> None:
        self.where = str(where)
        try:
            if "://" in self.where:
                self.fs, self.root = fs.FileSystem.from_uri(self.where)
            else:
                self.fs, self.root = fs.LocalFileSystem(), self.where
        except (pa.ArrowInvalid, OSError) as error:
            raise ShardError(f"cannot open {self.where}: {error}") from error
        self.manifest = parse_manifest(self._text(MANIFEST), self.where)

    def ontology(self) -> Ontology:
        """The ontology beside the shards."""
        return ontologies.loads(self._text(ONTOLOGY))

    def blocks(self, split: str) -> list[Block]:
        """The row groups of a split, in the order of the shards' names.

        Raises:
            ShardError: no such split, or a shard that cannot be read.
        """
        files = sorted(s["file"] for s in self.manifest.shards if s["file"].startswith(f"{split}-"))
        if not files:
            has = ", ".join(sorted(self.manifest.splits)) or "none"
            raise ShardError(f"{self.where} has no split `{split}`; its splits are {has}")
        found = []
        for file in files:
            with self._open(file) as shard:
                found += [Block(file, i, shard.metadata.row_group(i).num_rows) for i in range(shard.num_row_groups)]
        return [block for block in found if block.rows]

    def read(self, block: Block, columns: Sequence[str] = ROW_COLUMNS) -> pa.Table:
        """The rows of a block."""
        with self._open(block.file) as shard:
            try:
                table = shard.read_row_group(block.group, columns=list(columns), use_threads=False)
            except (OSError, pa.ArrowException) as error:
                raise ShardError(f"cannot read {self.where}/{block.file}: {error}; convert again") from error
        wanted = pa.schema([SCHEMA.field(name) for name in columns])
        if not table.schema.equals(wanted, check_metadata=False):
            have = table.schema.names
            raise ShardError(f"{self.where}/{block.file}: columns differ from schema {SCHEMA_VERSION}: {have}")
        return table

    def tables(self, split: str, columns: Sequence[str] = ROW_COLUMNS) -> Iterator[pa.Table]:
        """All rows of a split, a block at a time."""
        for block in self.blocks(split):
            yield self.read(block, columns)

    def rows(self, split: str) -> Iterator[dict[str, Any]]:
        """The same as dicts."""
        for table in self.tables(split):
            yield from table.to_pylist()

    def content(self) -> str:
        """A hash of all rows as training and evaluation read them.

        Unlike the manifest's fingerprint it stays when shards are written anew with other provenance or compression.
        """
        found = hashlib.sha256()
        for split in sorted(split for split, rows in self.manifest.splits.items() if rows):
            found.update(f"{split} {self.manifest.rejected_splits.get(split, 0)}\n".encode())
            for row in self.rows(split):
                found.update(json.dumps(row, ensure_ascii=False, sort_keys=True).encode() + b"\n")
        return found.hexdigest()

    def _text(self, name: str) -> str:
        try:
            with self.fs.open_input_stream(f"{self.root}/{name}") as stream:
                return stream.read().decode("utf-8")
        except (FileNotFoundError, NotADirectoryError) as error:
            raise ShardError(
                f"{self.where} is not a data set: it has no {name}; make one with `python -m pipelines convert`"
            ) from error
        except (OSError, pa.ArrowException) as error:
            raise ShardError(f"cannot read {self.where}/{name}: {error}") from error

    def _open(self, file: str) -> pq.ParquetFile:
        try:
            return pq.ParquetFile(self.fs.open_input_file(f"{self.root}/{file}"), pre_buffer=True)
        except (OSError, pa.ArrowException) as error:
            raise ShardError(f"cannot read {self.where}/{file}: {error}; convert again") from error
