"""Check a data set against its manifest and every row against itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from grammar import shard
from grammar.actions import GENERATED, Action, Kind, State, TransitionError
from grammar.ontology import Ontology, OntologyError, load
from grammar.rules import RULES
from pipelines.index import indexed
from pipelines.record import REASONS

_MOST = 100
"""Findings after which a file is given up: a thousand more say nothing new."""


def verify(directory: str | Path) -> tuple[int, list[str]]:
    """(rows read, findings); no finding means that the data set is what its manifest says.

    Raises:
        ShardError: there is no manifest, or it contradicts itself.
    """
    root = Path(directory)
    manifest = shard.read_manifest(root)
    findings: list[str] = []
    ontology = _ontology(root, manifest, findings)
    if shard.fingerprint(manifest.shards) != manifest.fingerprint:
        findings.append(f"{shard.MANIFEST}: the fingerprint is not that of the shards")
    listed = {entry["file"] for entry in manifest.shards}
    findings += [
        f"{path.name}: not in {shard.MANIFEST}" for path in sorted(root.glob("*.parquet")) if path.name not in listed
    ]
    rows, splits, ids = 0, Counter[str](), set[str]()
    for entry in manifest.shards:
        table = _table(root / entry["file"], shard.SCHEMA, entry["sha256"], findings)
        if table is None:
            continue
        rows += table.num_rows
        if table.num_rows != entry["rows"]:
            findings.append(f"{entry['file']}: {table.num_rows} rows, but {shard.MANIFEST} says {entry['rows']}")
        split = entry["file"].split("-")[0]
        splits[split] += table.num_rows
        findings += _rows(entry["file"], table, split, ids, ontology)
    if dict(splits) != manifest.splits:
        findings.append(f"splits hold {dict(splits)}, but {shard.MANIFEST} says {manifest.splits}")
    findings += _rejected(root, manifest)
    return rows, findings


def _ontology(root: Path, manifest: shard.Manifest, findings: list[str]) -> Ontology | None:
    try:
        ontology = load(root / shard.ONTOLOGY)
    except OntologyError as error:
        findings.append(str(error))
        return None
    if ontology.sha256() != manifest.ontology_sha256:
        findings.append(f"{shard.ONTOLOGY}: its hash is not the one in {shard.MANIFEST}")
    return ontology


def _table(path: Path, schema: pa.Schema, sha256: str, findings: list[str]) -> pa.Table | None:
    """A shard, unless it cannot be used."""
    try:
        if sha256 and shard.sha256(path) != sha256:
            findings.append(f"{path.name}: its SHA-256 is not the one in {shard.MANIFEST}")
        table = pq.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        findings.append(f"{path.name}: cannot be read: {error}")
        return None
    if not table.schema.equals(schema, check_metadata=False):
        findings.append(f"{path.name}: columns differ from schema {shard.SCHEMA_VERSION}")
        return None
    return table


def _rows(name: str, table: pa.Table, split: str, ids: set[str], ontology: Ontology | None) -> Iterator[str]:
    found = 0
    last = ""
    whole: list[int] = []
    for number, row in enumerate(table.to_pylist()):
        problems = list(_problems(row, split, ontology if split == "train" else None))
        if not problems:
            whole.append(number)
        if row["id"] in ids:
            problems.append("its id stands twice")
        elif row["id"] < last:
            problems.append("rows are not sorted by id")
        last = row["id"]
        ids.add(last)
        for problem in problems:
            found += 1
            yield f"{name}: row `{row['id']}`: {problem}"
        if found >= _MOST:
            yield f"{name}: over {_MOST} findings, the rest is left out"
            return
    yield from islice(_index(name, table.take(pa.array(whole, pa.int64()))), _MOST)


def _index(name: str, table: pa.Table) -> Iterator[str]:
    """Index columns that do not follow from the others. The rows must replay."""
    for batch in table.to_batches(shard.ROW_GROUP):
        made = indexed(batch)
        for column in shard.INDEX:
            for row_id, have, want in zip(batch["id"], batch[column], made[column], strict=True):
                if have != want:
                    yield f"{name}: row `{row_id}`: its `{column}` is {have}, not {want}"


def _problems(row: dict[str, Any], split: str, ontology: Ontology | None) -> Iterator[str]:
    if row["split"] != split:
        yield f"it says split `{row['split']}`"
    if not len(row["actions"]) == len(row["symbols"]) == len(row["copy"]):
        yield "actions, symbols and copy differ in length"
        return
    state, held = State(), State(ontology) if ontology else None
    try:
        for kind, symbol, copy in zip(row["actions"], row["symbols"], row["copy"], strict=True):
            action = Action(Kind(kind), symbol, copy)
            state.apply(action)
            if action.kind is Kind.TER and copy != GENERATED:
                if not 0 <= copy < len(row["words"]):
                    yield f"{action} copies a word that is not there"
                elif row["words"][copy] != symbol:
                    yield f"{action} copies `{row['words'][copy]}`"
            if held is not None:
                held.apply(action)
    except (TransitionError, ValueError) as error:
        yield str(error)
        return
    if str(state.tree) != row["tree"]:
        yield f"its actions build `{state.tree}`, not `{row['tree']}`"


def _rejected(root: Path, manifest: shard.Manifest) -> Iterator[str]:
    rejected = Counter[str]()
    for path in sorted((root / shard.REJECTED).glob("*.parquet")):
        broken: list[str] = []
        table = _table(path, shard.REJECTION_SCHEMA, "", broken)
        yield from broken
        if table is not None:
            rejected.update(table["code"].to_pylist())
            named = {code for codes in table["findings"].to_pylist() for code in codes}
            for code in sorted({*rejected} - {*REASONS}) + sorted(named - {*RULES}):
                yield f"{shard.REJECTED}/{path.name}: unknown code `{code}`"
    if dict(rejected) != manifest.rejected:
        yield f"{shard.REJECTED}/ holds {dict(sorted(rejected.items()))}, but {shard.MANIFEST} says {manifest.rejected}"
