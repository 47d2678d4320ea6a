"""Manifests: what is not one is told, and how to mend it, without a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("pyarrow")

from grammar.shard import Manifest, ShardError, parse_manifest, read_manifest

ENTRY = '{"file": "train-00000-of-00001.parquet", "rows": 0, "sha256": ""}'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "d/manifest.json holds no object"),
        ("3", "d/manifest.json holds no object"),
        ("[" * 100_000, "cannot read d/manifest.json"),
        ('{"schema": "2", "shards": 3}', "d/manifest.json: `shards` is no list"),
        ('{"schema": "2", "rows_in": "3"}', "d/manifest.json: `rows_in` is no int"),
        ('{"schema": "2", "splits": []}', "d/manifest.json: `splits` is no dict"),
        ('{"schema": "2", "shards": [1]}', "d/manifest.json: `shards` must hold objects with `file`"),
        ('{"schema": "2", "shards": [{"file": "a"}]}', "d/manifest.json: `shards` must hold objects with `file`"),
        ('{"schema": "1"}', "d/manifest.json: schema '1'"),
    ],
)
def test_what_is_no_manifest(text: str, message: str) -> None:
    with pytest.raises(ShardError) as caught:
        parse_manifest(text, "d")
    assert str(caught.value).startswith(message)


def test_a_manifest_reads_back(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(Manifest().dumps())
    assert read_manifest(tmp_path) == Manifest()
    assert parse_manifest(f'{{"schema": "2", "shards": [{ENTRY}]}}', "d").shards[0]["rows"] == 0
