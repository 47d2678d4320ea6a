"""Check a data set against its manifest and every row against itself, wherever it lies, a row group at a time.

A block of rows is replayed all at once (`replay.py`); what does not come out right is looked at row by row, to say
why. Whether the ontology allows a tree follows from its labels and how many words stand where, so each such form of a
tree is tried once.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from grammar import shard
from grammar.actions import GENERATED, Action, Kind, State, TransitionError
from grammar.ontology import Ontology, OntologyError, loads
from grammar.rules import RULES
from pipelines import dataset, storage
from pipelines.hashes import bare, hash64
from pipelines.index import indexed
from pipelines.leaks import TOGETHER
from pipelines.record import REASONS
from pipelines.replay import copies, rebuild

_MOST = 100
"""Findings after which a file is given up: a thousand more say nothing new."""
_FORMS = 1_000_000
"""Forms of trees that are remembered as allowed."""


def verify(directory: str | Path, together: int = TOGETHER) -> tuple[int, list[str]]:
    """(rows read, findings); no finding means that the data set is what its manifest says.

    Args:
        together: rows whose ids are held at once, 8 bytes each.

    Raises:
        ShardError: there is no manifest, or it contradicts itself.
    """
    root = str(directory)
    manifest = dataset.manifest(root)
    findings: list[str] = []
    ontology = _ontology(root, manifest, findings)
    if shard.fingerprint(manifest.shards) != manifest.fingerprint:
        findings.append(f"{shard.MANIFEST}: the fingerprint is not that of the shards")
    listed = {entry["file"] for entry in manifest.shards}
    there = (path.removeprefix(root.rstrip("/") + "/") for path in storage.below(root))
    strays = (name for name in there if name.endswith(".parquet") and "/" not in name)
    findings += [f"{name}: not in {shard.MANIFEST}" for name in strays if name not in listed]
    rows, splits = 0, Counter[str]()
    allowed = _Allowed(ontology)
    readable = []
    for entry in manifest.shards:
        name, split = entry["file"], entry["file"].split("-")[0]
        found = _File(name, split, allowed if split == "train" else None)
        unread: list[str] = []
        for batch in _batches(storage.join(root, name), name, shard.SCHEMA, entry["sha256"], unread):
            found.add(batch)
        findings += unread + found.findings
        rows += found.rows
        splits[split] += found.rows
        if not found.rows and unread:
            continue
        readable.append(name)
        if found.rows != entry["rows"]:
            findings.append(f"{name}: {found.rows} rows, but {shard.MANIFEST} says {entry['rows']}")
    if dict(splits) != manifest.splits:
        findings.append(f"splits hold {dict(splits)}, but {shard.MANIFEST} says {manifest.splits}")
    findings += _twice(root, readable, max(1, -(-rows // together)))
    findings += _rejected(root, manifest)
    return rows, findings


def _ontology(root: str, manifest: shard.Manifest, findings: list[str]) -> Ontology | None:
    path = storage.join(root, shard.ONTOLOGY)
    try:
        ontology = loads(storage.read(path).decode(), path)
    except (OntologyError, OSError, ValueError) as error:
        findings.append(f"{shard.ONTOLOGY}: {error}")
        return None
    if ontology.sha256() != manifest.ontology_sha256:
        findings.append(f"{shard.ONTOLOGY}: its hash is not the one in {shard.MANIFEST}")
    return ontology


def _batches(path: str, name: str, schema: pa.Schema, sha256: str, findings: list[str]) -> Iterator[pa.RecordBatch]:
    """The row groups of a file, unless it cannot be used; findings say why."""
    try:
        with storage.reading(path) as file:
            digest = hashlib.sha256()
            while sha256 and (data := file.read(1 << 20)):
                digest.update(data)
            if sha256 and digest.hexdigest() != sha256:
                findings.append(f"{name}: its SHA-256 is not the one in {shard.MANIFEST}")
            file.seek(0)
            with pq.ParquetFile(file) as parquet:
                have = parquet.schema_arrow
                version = (have.metadata or {}).get(b"treewright.schema", b"none").decode("utf-8", "replace")
                if not have.equals(schema, check_metadata=False) or version != shard.SCHEMA_VERSION:
                    said = f", but it says {version}" if version != shard.SCHEMA_VERSION else ""
                    findings.append(f"{name}: columns differ from schema {shard.SCHEMA_VERSION}{said}")
                    return
                yield from parquet.iter_batches(shard.ROW_GROUP)
    except (OSError, pa.ArrowException) as error:
        findings.append(f"{name}: cannot be read: {error}")


class _Allowed:
    """Whether the ontology allows trees, by their form."""

    def __init__(self, ontology: Ontology | None) -> None:
        self.ontology = ontology
        self._known: set[str] = set()

    def refused(self, batch: pa.RecordBatch) -> dict[int, str]:
        """Row -> why; the rows must replay."""
        if self.ontology is None:
            return {}
        coded = pc.dictionary_encode(bare(batch["tree"]))
        codes = np.asarray(coded.indices)
        found: dict[int, str] = {}
        for code, form in enumerate(coded.dictionary.to_pylist()):
            if form in self._known:
                continue
            rows = np.flatnonzero(codes == code)
            [row] = batch.slice(int(rows[0]), 1).to_pylist()
            problem = _replayed(row, State(self.ontology))
            if problem:
                found |= dict.fromkeys(rows.tolist(), problem)
            elif len(self._known) < _FORMS:
                self._known.add(form)
        return found


class _File:
    """The rows of one shard, block by block, and what is wrong with them."""

    def __init__(self, name: str, split: str, allowed: _Allowed | None) -> None:
        self.name, self.split, self.allowed = name, split, allowed
        self.rows = 0
        self.findings: list[str] = []
        self._last = ""

    def add(self, batch: pa.RecordBatch) -> None:
        """Look at a block; after `_MOST` findings rows are only counted."""
        self.rows += batch.num_rows
        if len(self.findings) > _MOST or not batch.num_rows:
            return
        good = _replays(batch)
        whole = batch if good.all() else batch.filter(pa.array(good))
        told: dict[int, list[str]] = {}
        for row in np.flatnonzero(~good).tolist():
            told[row] = _problems(batch.slice(row, 1).to_pylist()[0])
        places = np.flatnonzero(good)
        for row, problem in (self.allowed.refused(whole) if self.allowed and whole.num_rows else {}).items():
            told.setdefault(int(places[row]), []).append(problem)
        for row in np.flatnonzero(np.asarray(pc.not_equal(batch["split"], self.split))).tolist():
            told.setdefault(row, []).append(f"it says split `{batch['split'][row]}`")
        for row in _out_of_order(batch["id"], self._last):
            told.setdefault(row, []).append("rows are not sorted by id")
        self._last = batch["id"][-1].as_py()
        self._tell((batch["id"][row].as_py(), problem) for row in sorted(told) for problem in told[row])
        self._tell(_index(whole))

    def _tell(self, problems: Iterator[tuple[str, str]]) -> None:
        for row_id, problem in problems:
            self.findings.append(f"{self.name}: row `{row_id}`: {problem}")
            if len(self.findings) == _MOST:
                self.findings.append(f"{self.name}: over {_MOST} findings, the rest is left out")
                return


def _replays(batch: pa.RecordBatch) -> np.ndarray:
    """Which rows are certainly right: their actions build their trees, and copies are the words."""
    actions, symbols, copy = batch["actions"], batch["symbols"], batch["copy"]
    sizes = pc.list_value_length(actions)
    good = np.asarray(
        pc.and_(pc.equal(sizes, pc.list_value_length(symbols)), pc.equal(sizes, pc.list_value_length(copy)))
    )
    kinds = np.asarray(actions.flatten())
    if not good.all() or (len(kinds) and (kinds.min() < 0 or kinds.max() > max(Kind))):
        return np.zeros(batch.num_rows, dtype=bool)  # lists of unequal length cannot be looked at together
    built = pc.fill_null(pc.equal(rebuild(actions, symbols), batch["tree"]), False)
    return np.asarray(built) & copies(copy, actions, symbols, batch["words"])


def _out_of_order(ids: pa.Array, last: str) -> list[int]:
    found = (np.flatnonzero(np.asarray(pc.less(ids[1:], ids[:-1]))) + 1).tolist() if len(ids) > 1 else []
    return [0, *found] if ids[0].as_py() < last else found


def _index(batch: pa.RecordBatch) -> Iterator[tuple[str, str]]:
    """Index columns that do not follow from the others, with the id of the row. The rows must replay."""
    made = indexed(batch)
    for column in shard.INDEX:
        if made[column].equals(batch[column]):
            continue
        for row_id, have, want in zip(batch["id"].to_pylist(), batch[column], made[column], strict=True):
            if have != want:
                yield row_id, f"its `{column}` is {have}, not {want}"


def _twice(root: str, names: list[str], parts: int) -> Iterator[str]:
    """Ids that stand twice, found by their hashes, a part of these after the other."""
    doubled: set[int] = set()
    for part in range(parts):
        hashes = [found[found % parts == part] for _, _, found in _ids(root, names)]
        values, times = np.unique(np.concatenate(hashes) if hashes else np.zeros(0, np.int64), return_counts=True)
        doubled.update(values[times > 1].tolist())
    if not doubled:
        return
    seen: set[str] = set()
    told = 0
    wanted = np.array(sorted(doubled))
    for name, ids, found in _ids(root, names):
        for row_id in ids.filter(pa.array(np.isin(found, wanted))).to_pylist():
            if row_id in seen and told < _MOST:
                told += 1
                yield f"{name}: row `{row_id}`: its id stands twice"
            seen.add(row_id)


def _ids(root: str, names: list[str]) -> Iterator[tuple[str, pa.Array, np.ndarray]]:
    """(file, ids, their hashes)"""
    for name in names:
        try:
            for batch in dataset.read(storage.join(root, name), ["id"]):
                yield name, batch["id"], hash64(batch["id"].cast(pa.binary()).to_pylist())
        except shard.ShardError:
            continue  # told when its rows were looked at


def _problems(row: dict[str, Any]) -> list[str]:
    """What is wrong with a row; nothing where it is all right."""
    if not len(row["actions"]) == len(row["symbols"]) == len(row["copy"]):
        return ["actions, symbols and copy differ in length"]
    found = [
        f"copies a word that is not there at action {number}"
        if not 0 <= copy < len(row["words"])
        else f"action {number} copies `{row['words'][copy]}`, not `{symbol}`"
        for number, (kind, symbol, copy) in enumerate(zip(row["actions"], row["symbols"], row["copy"], strict=True))
        if copy != GENERATED and (not 0 <= copy < len(row["words"]) or row["words"][copy] != symbol or kind != Kind.TER)
    ]
    problem = _replayed(row, State())
    return [*found, problem] if problem else found


def _replayed(row: dict[str, Any], state: State) -> str:
    """Why the actions do not build the tree of a row; empty if they do."""
    try:
        for kind, symbol, copy in zip(row["actions"], row["symbols"], row["copy"], strict=True):
            state.apply(Action(Kind(kind), symbol, copy))
    except (TransitionError, ValueError) as error:
        return str(error)
    return "" if str(state.tree) == row["tree"] else f"its actions build `{state.tree}`, not `{row['tree']}`"


def _rejected(root: str, manifest: shard.Manifest) -> Iterator[str]:
    rejected, named = Counter[str](), set[str]()
    folder = storage.join(root, shard.REJECTED)
    for path in storage.below(folder):
        if path.endswith(".parquet"):
            broken: list[str] = []
            for batch in _batches(
                path, f"{shard.REJECTED}/{path.rpartition('/')[2]}", shard.REJECTION_SCHEMA, "", broken
            ):
                rejected.update(batch["code"].to_pylist())
                named.update(pc.list_flatten(batch["findings"]).to_pylist())
            yield from broken
    for code in sorted({*rejected} - {*REASONS}) + sorted(named - {*RULES}):
        yield f"{shard.REJECTED}/: unknown code `{code}`"
    if dict(rejected) != manifest.rejected:
        yield f"{shard.REJECTED}/ holds {dict(sorted(rejected.items()))}, but {shard.MANIFEST} says {manifest.rejected}"
