"""Verify finds every way to spoil a data set; stats counts what was written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from grammar import shard
from grammar.shard import ShardError
from pipelines.samples import generate
from pipelines.samples.write import write
from pipelines.stats import describe
from pipelines.verify import verify

TEST = "test-00000-of-00001.parquet"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write(generate(60, 1), tmp_path, shards=True)
    return tmp_path / "shards"


def edit_manifest(data: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = data / shard.MANIFEST
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


def edit_rows(data: Path, change: Callable[[list[dict[str, Any]]], None]) -> None:
    """Change rows of test and make hashes fit again, so that only the rows can tell."""
    rows = pq.read_table(data / TEST).to_pylist()
    change(rows)
    entry = shard.write_table(pa.Table.from_pylist(rows, schema=shard.SCHEMA), data / TEST)

    def fit(manifest: dict[str, Any]) -> None:
        manifest["shards"] = [entry if old["file"] == TEST else old for old in manifest["shards"]]
        manifest["fingerprint"] = shard.fingerprint(manifest["shards"])

    edit_manifest(data, fit)


def test_a_good_data_set(data: Path) -> None:
    assert verify(data) == (68, [])


def set_first(field: str, value: Any) -> Callable[[list[dict[str, Any]]], None]:
    def change(rows: list[dict[str, Any]]) -> None:
        rows[0][field] = value

    return change


def break_copy(rows: list[dict[str, Any]]) -> None:
    place = rows[0]["actions"].index(1)
    rows[0]["copy"][place] = 99


def wrong_word(rows: list[dict[str, Any]]) -> None:
    row = next(row for row in rows if len(set(row["words"])) > 1 and 1 in row["actions"])
    place = row["actions"].index(1)
    row["copy"][place] = next(i for i, w in enumerate(row["words"]) if w != row["symbols"][place])


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        (set_first("tree", "(X())"), "its actions build"),
        (set_first("split", "train"), "it says split `train`"),
        (set_first("copy", []), "differ in length"),
        (set_first("actions", [2]), "differ in length"),
        (break_copy, "copies a word that is not there"),
        (wrong_word, "copies `"),
        (lambda rows: rows.reverse(), "not sorted by id"),
        (lambda rows: rows[1].update(id=rows[0]["id"]), "its id stands twice"),
        (lambda rows: rows[0].update(actions=[0], symbols=["X"], copy=[-1]), "its actions build `None`"),
        (lambda rows: rows[0].update(actions=[2], symbols=[""], copy=[-1]), "RED is not allowed"),
    ],
)
def test_spoilt_rows(data: Path, change: Callable[[list[dict[str, Any]]], None], finding: str) -> None:
    edit_rows(data, change)
    assert any(finding in line and TEST in line for line in verify(data)[1])


def test_a_changed_byte(data: Path) -> None:
    bytes_ = bytearray((data / TEST).read_bytes())
    bytes_[len(bytes_) // 2] ^= 1
    (data / TEST).write_bytes(bytes(bytes_))
    assert any("SHA-256" in line for line in verify(data)[1])


def test_a_lost_shard_and_a_stray_one(data: Path) -> None:
    (data / TEST).rename(data / "extra-00000-of-00001.parquet")
    findings = "\n".join(verify(data)[1])
    assert f"{TEST}: cannot be read" in findings and "extra-00000-of-00001.parquet: not in" in findings


def test_another_ontology(data: Path) -> None:
    text = (data / shard.ONTOLOGY).read_text()
    (data / shard.ONTOLOGY).write_text(text.replace('[functions."add"]', '[functions."add"]\nleast = 3'))
    findings = verify(data)[1]
    assert findings[0] == "ontology.toml: its hash is not the one in manifest.json"
    assert any("RED is not allowed" in line for line in findings[1:])  # a train tree that it refuses


def test_rejected_rows_that_are_not_there(data: Path) -> None:
    edit_manifest(data, lambda m: m.update(rejected={"R101": 1}, rows_rejected=1, rows_in=m["rows_in"] + 1))
    assert any("rejected/ holds {}" in line for line in verify(data)[1])


def test_no_manifest_and_one_that_does_not_add_up(data: Path) -> None:
    edit_manifest(data, lambda m: m.update(rows_in=1))
    with pytest.raises(ShardError, match="rows in 1"):
        verify(data)
    (data / shard.MANIFEST).unlink()
    with pytest.raises(ShardError, match="not a data set"):
        verify(data)


def test_stats_count_what_was_written(data: Path) -> None:
    samples = [sample for sample in generate(60, 1) if sample.split == "train"]
    counts = describe(data)
    train = counts["splits"]["train"]
    assert train["rows"] == 60 and train["compound"] == sum(sample.compound for sample in samples)
    assert sum(train["intents"].values()) == sum(len(sample.intents) for sample in samples)
    assert sum(train["slots"].values()) == sum(len(sample.slots) for sample in samples)
    assert train["depth"]["most"] == max(sample.tree.depth() for sample in samples)
    assert train["words"]["most"] == max(len(sample.words) for sample in samples)
    assert train["copied"] == 1.0 and not train["unknowns"]
    assert (counts["rows_in"], counts["rows_rejected"]) == (68, 0)
