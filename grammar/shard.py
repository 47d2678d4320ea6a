"""Shards: the contract between pipelines and parser. Parquet files, one schema, a manifest that comes last.

    data/
      train-00000-of-00002.parquet     rows sorted by id, words and names, never vocabulary ids
      rejected/rejected-00000-of-00001.parquet
      ontology.toml                    inferred from the train rows, or the one given
      manifest.json                    written last: a directory without it is not a data set

One row, written as the parser reads it:

    words    ["play", "music"]
    tree     "(PlayMusicIntent(MediaType(music)))"
    actions  [0, 0, 1, 2, 2]                          NT NT TER RED RED
    symbols  ["PlayMusicIntent", "MediaType", "music", "", ""]
    copy     [-1, -1, 1, -1, -1]                      TER copies word 1

and what is worked out from these, so that no reader must (`pipelines.index` does it a block at a time):

    parent   [-1, 0, 1, 1, 0]      the action that opened the node this one goes into; for RED, the node it closes
    depth    2                     nodes that are open at most
    utterance_hash                 of "play music": lower case, single blanks
    template_hash                  of "play {MediaType}": what the tree copies is masked
    shape_hash                     of "(PlayMusicIntent(MediaType))": the tree without its words

A hash is the first 8 bytes of the SHA-256 of that text, as a signed number: equal rows are found, and data sets are
joined, without reading a word. From `parent` follow the children of a node, what lies below it on the stack
(`parent - 1` for RED) and its height.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

SCHEMA_VERSION = "2"
MANIFEST = "manifest.json"
ONTOLOGY = "ontology.toml"
REJECTED = "rejected"
ROW_GROUP = 16_384
"""Rows of a row group: what a reader must hold at once."""
SPLITS = ("train", "dev", "test")

_NO_DICTIONARY = frozenset({"id", "line", "utterance", "tree", "raw", "utterance_hash", "template_hash"})
"""Columns whose values are nearly all different."""

_text = pa.string()
SCHEMA = pa.schema(
    [
        pa.field("id", _text, nullable=False),
        pa.field("corpus", _text, nullable=False),
        pa.field("domain", _text, nullable=False),
        pa.field("file", _text, nullable=False),
        pa.field("line", pa.int64(), nullable=False),
        pa.field("split", _text, nullable=False),
        pa.field("licence", _text, nullable=False),
        pa.field("locale", _text, nullable=False),
        pa.field("utterance", _text, nullable=False),
        pa.field("words", pa.list_(_text), nullable=False),
        pa.field("tree", _text, nullable=False),
        pa.field("actions", pa.list_(pa.int8()), nullable=False),
        pa.field("symbols", pa.list_(_text), nullable=False),
        pa.field("copy", pa.list_(pa.int32()), nullable=False),
        pa.field("composed", pa.bool_(), nullable=False),
        pa.field("parent", pa.list_(pa.int32()), nullable=False),
        pa.field("depth", pa.int16(), nullable=False),
        pa.field("utterance_hash", pa.int64(), nullable=False),
        pa.field("template_hash", pa.int64(), nullable=False),
        pa.field("shape_hash", pa.int64(), nullable=False),
    ],
    metadata={"treewright.schema": SCHEMA_VERSION},
)
INDEX = ("parent", "depth", "utterance_hash", "template_hash", "shape_hash")
"""The columns that follow from the others; they come last."""
ROW = tuple(name for name in SCHEMA.names if name not in INDEX)
"""The columns that say what a row is."""
ROW_SCHEMA = pa.schema([SCHEMA.field(name) for name in ROW])
REJECTION_SCHEMA = pa.schema(
    [
        pa.field("corpus", _text, nullable=False),
        pa.field("file", _text, nullable=False),
        pa.field("line", pa.int64(), nullable=False),
        pa.field("code", _text, nullable=False),
        pa.field("reason", _text, nullable=False),
        pa.field("raw", _text, nullable=False),
        pa.field("split", _text, nullable=False),
        pa.field("findings", pa.list_(_text), nullable=False),
    ],
    metadata={"treewright.schema": SCHEMA_VERSION},
)
"""Dead letters; `findings` are the codes of `grammar.rules` where a tree is at fault, sorted, each once."""


class ShardError(ValueError):
    """A data set that cannot be used; the message names the file and the mend."""


@dataclass(slots=True)
class Manifest:
    """`manifest.json`: what a data set holds and how it came to be.

    `rows_in = rows_out + rows_rejected`; `rejected` counts rows by code; `rejected_splits` by split
    (`evaluate` counts rejected test rows as wrong).
    """

    schema: str = SCHEMA_VERSION
    corpus: str = ""
    rows_in: int = 0
    rows_out: int = 0
    rows_rejected: int = 0
    rows_composed: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    rejected_splits: dict[str, int] = field(default_factory=dict)
    shards: list[dict[str, Any]] = field(default_factory=list)
    splits: dict[str, int] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    grammar_sha256: str = ""
    ontology_sha256: str = ""
    tokeniser: str = ""
    fingerprint: str = ""

    def check(self) -> None:
        """Raises ShardError unless every row that came in is accounted for."""
        if self.rows_in != self.rows_out + self.rows_rejected:
            raise ShardError(f"rows in {self.rows_in} != out {self.rows_out} + rejected {self.rows_rejected}")
        if self.rows_out + self.rows_composed != sum(self.splits.values()):
            raise ShardError(f"rows out {self.rows_out} + composed {self.rows_composed} != splits {self.splits}")

    def dumps(self) -> str:
        """The manifest as JSON, the same text for the same contents."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False, sort_keys=True) + "\n"


def shard_name(split: str, number: int, total: int) -> str:
    """`train-00000-of-00004.parquet`, a name that Hugging Face datasets and DuckDB globs know."""
    return f"{split}-{number:05d}-of-{total:05d}.parquet"


def sha256(path: str | Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def grammar_sha256() -> str:
    """The SHA-256 of `tree.lark`, for manifests."""
    return sha256(Path(__file__).with_name("tree.lark"))


def fingerprint(shards: Sequence[dict[str, Any]]) -> str:
    """One hash for a list of shard entries: equal data sets have equal fingerprints."""
    text = "\n".join(f"{s['file']} {s['rows']} {s['sha256']}" for s in sorted(shards, key=lambda s: s["file"]))
    return hashlib.sha256(text.encode()).hexdigest()


def write_table(table: pa.Table, path: str | Path) -> dict[str, Any]:
    """Write a Parquet file atomically with fixed settings: the same rows give the same bytes.

    Returns:
        Its manifest entry: file (name only), rows, sha256.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    groups = (table.slice(first, ROW_GROUP) for first in range(0, table.num_rows, ROW_GROUP))
    entry = write_groups(groups, table.schema, temporary) | {"file": path.name}
    os.replace(temporary, path)
    return entry


def write_groups(groups: Iterable[pa.Table], schema: pa.Schema, path: str | Path) -> dict[str, Any]:
    """Write a Parquet file from tables that become its row groups, so that one of them is in memory at a time.

    Args:
        groups: of `ROW_GROUP` rows each, the last one of fewer.

    Returns:
        Its manifest entry: file (name only), rows, sha256.
    """
    rows = 0
    # A dictionary of what hardly repeats is built in vain, and nobody skips a row group by the range of a word.
    columns = [
        (field.name, field.name if field.type.num_fields == 0 else f"{field.name}.list.element") for field in schema
    ]
    coded = [path_ for name, path_ in columns if name not in _NO_DICTIONARY]
    ranged = [path_ for name, path_ in columns if name == path_]
    with pq.ParquetWriter(
        path, schema, compression="zstd", version="2.6", use_dictionary=coded, write_statistics=ranged
    ) as writer:
        for table in groups:
            rows += table.num_rows
            writer.write_table(table.cast(schema), row_group_size=ROW_GROUP)
    return {"file": Path(path).name, "rows": rows, "sha256": sha256(path)}


def write_text(path: str | Path, text: str) -> None:
    """Write a text file atomically, UTF-8, `\\n` line ends."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_bytes(text.encode("utf-8"))
    os.replace(temporary, path)


def read_manifest(directory: str | Path) -> Manifest:
    """Read and check `manifest.json`.

    Raises:
        ShardError: not a data set, another schema version, or counts that do not add up.
    """
    path = Path(directory) / MANIFEST
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ShardError(
            f"{directory} is not a data set: it has no {MANIFEST}; make one with `python -m pipelines convert`"
        ) from error
    except (OSError, ValueError) as error:
        raise ShardError(f"cannot read {path}: {error}") from error
    return parse_manifest(text, directory)


def parse_manifest(text: str, directory: str | Path) -> Manifest:
    """Check the text of a manifest, wherever it was read from; the rest as `read_manifest`."""
    path = f"{directory}/{MANIFEST}"
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ShardError(f"cannot read {path}: {error}") from error
    if not isinstance(data, dict):
        raise ShardError(f"{path} holds no object, so it is not the manifest of a data set; convert again")
    if data.get("schema") != SCHEMA_VERSION:
        raise ShardError(
            f"{path}: schema {data.get('schema')!r}, but this version reads {SCHEMA_VERSION!r}; convert again"
        )
    unknown = sorted(set(data) - set(Manifest.__dataclass_fields__))
    if unknown:
        raise ShardError(f"{path}: unknown key `{unknown[0]}`")
    for key, value in data.items():
        if type(value) is not type(getattr(Manifest(), key)):
            raise ShardError(f"{path}: `{key}` is no {type(getattr(Manifest(), key)).__name__}; convert again")
    if not all(isinstance(s, dict) and {"file", "rows", "sha256"} <= set(s) for s in data.get("shards", ())):
        raise ShardError(f"{path}: `shards` must hold objects with `file`, `rows` and `sha256`; convert again")
    manifest = Manifest(**data)
    manifest.check()
    return manifest


def read_split(directory: str | Path, split: str, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """The shards of one split, one table each, in the order of their names.

    Raises:
        ShardError: no such split, or a shard of another schema.
    """
    manifest = read_manifest(directory)
    entries = sorted((s for s in manifest.shards if s["file"].startswith(f"{split}-")), key=lambda s: s["file"])
    if not entries:
        has = ", ".join(sorted(manifest.splits)) or "none"
        raise ShardError(f"{directory} has no split `{split}`; its splits are {has}")
    for entry in entries:
        path = Path(directory) / entry["file"]
        try:
            table = pq.read_table(path, columns=list(columns) if columns else None)
        except (OSError, pa.ArrowInvalid) as error:
            raise ShardError(f"cannot read {path}: {error}; convert again") from error
        wanted = SCHEMA if columns is None else pa.schema([SCHEMA.field(name) for name in columns])
        if not table.schema.equals(wanted, check_metadata=False):
            raise ShardError(f"{path}: columns differ from schema {SCHEMA_VERSION}: {table.schema.names}")
        yield table
