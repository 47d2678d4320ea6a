"""Data sets: other libraries open them, merging and sampling add up, diff sees every change."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from test_pipelines_convert import convert, corpus, hashes  # noqa: F401
from typer.testing import CliRunner

from grammar import shard
from pipelines.__main__ import app
from pipelines.convert import Options, run
from pipelines.diff import diff
from pipelines.low_resource import draw
from pipelines.merge import merge
from pipelines.samples.generate import generate
from pipelines.samples.write import write
from pipelines.splits import Dealing
from pipelines.verify import verify

CLI = CliRunner()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write(generate(80, 1), folder, shards=True)
    return folder / "shards"


def test_hugging_face_datasets_takes_the_splits_and_no_dead_letter(corpus: Path, tmp_path: Path, monkeypatch) -> None:  # noqa: F811
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    manifest = convert(corpus, tmp_path / "out", shards=2)
    loaded = datasets.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))
    assert {name: len(split) for name, split in loaded.items()} == manifest.splits
    assert loaded["train"].column_names == shard.SCHEMA.names
    assert loaded["test"][0]["words"] == ["play", "sad", "tunes"]


def test_duckdb_and_polars_open_it(corpus: Path, tmp_path: Path) -> None:  # noqa: F811
    duckdb, polars = pytest.importorskip("duckdb"), pytest.importorskip("polars")
    convert(corpus, tmp_path / "out", shards=2)
    pattern = f"{tmp_path / 'out'}/train-*.parquet"
    sql = f"select count(*), sum(len(words)), max(depth), count(distinct shape_hash) from '{pattern}'"
    [(rows, words, depth, shapes)] = duckdb.sql(sql).fetchall()
    frame = polars.read_parquet(pattern)
    assert (rows, words, depth) == (5, int(frame["words"].list.len().sum()), frame["depth"].max()) == (5, 20, 3)
    assert shapes == frame["shape_hash"].n_unique() == 5


def test_shards_are_packed_with_zstd_and_say_their_schema(corpus: Path, tmp_path: Path) -> None:  # noqa: F811
    convert(corpus, tmp_path / "out", shards=2)
    for path in sorted((tmp_path / "out").rglob("*.parquet")):
        meta = pq.ParquetFile(path).metadata
        groups = [meta.row_group(number) for number in range(meta.num_row_groups)]
        columns = [group.column(number) for group in groups for number in range(group.num_columns)]
        assert {column.compression for column in columns} <= {"ZSTD"}
        assert meta.metadata[b"treewright.schema"].decode() == shard.SCHEMA_VERSION
        wanted = shard.REJECTION_SCHEMA if path.parent.name == shard.REJECTED else shard.SCHEMA
        assert pq.read_schema(path).equals(wanted, check_metadata=False)


def test_the_card_tells_splits_licence_and_what_was_rejected(corpus: Path, tmp_path: Path) -> None:  # noqa: F811
    convert(corpus, tmp_path / "out", licence="CC0-1.0")
    _, head, text = (tmp_path / "out" / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    front = yaml.safe_load(head)
    assert front["license"] == "cc0-1.0" and front["size_categories"] == ["n<1K"]
    assert {d["split"]: d["path"] for d in front["configs"][0]["data_files"]}["dev"] == "dev-*.parquet"
    assert "| R106 | words and tags differ in number | 1 |" in text and "| `Stop` | 0 | 1 | 0 |" in text
    for name in ("words", "depth"):
        assert f"pictures/{name}.svg" in text
        assert (tmp_path / "out" / "pictures" / f"{name}.svg").read_text(encoding="utf-8").startswith("<svg")


def test_merging_adds_up(corpus: Path, tmp_path: Path) -> None:  # noqa: F811
    parts = [
        run(Options([str(corpus)], "seq", str(tmp_path / name), corpus=name, max_rejected=0.5)) for name in ("a", "b")
    ]
    folders = [str(tmp_path / name) for name in ("a", "b")]
    both = merge(folders, str(tmp_path / "merged"), shards=2)
    assert verify(tmp_path / "merged")[1] == []
    assert both.rows_in == sum(part.rows_in for part in parts) and both.rejected == {"R106": 2}
    assert both.splits == {name: 2 * rows for name, rows in parts[0].splits.items()}
    merge(folders[::-1], str(tmp_path / "again"), shards=2)
    shards = {entry["file"]: entry["sha256"] for entry in both.shards}
    assert {entry["file"]: entry["sha256"] for entry in shard.read_manifest(tmp_path / "again").shards} == shards


def test_merging_refuses_equal_ids_and_other_words(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"two rows have the id .*another `--corpus`"):
        merge([str(data), str(data)], str(tmp_path / "twice"))
    assert not list(tmp_path.iterdir()) or not (tmp_path / "twice").exists()
    (tmp_path / "a.jsonl").write_text(
        '{"partition": "train", "scenario": "s", "intent": "Wake", "utt": "wake ana", "locale": "ja-JP", '
        '"annot_utt": "wake [who : ana]"}\n'
    )
    run(Options([str(tmp_path / "a.jsonl")], "massive", str(tmp_path / "ja")))
    with pytest.raises(ValueError, match="the words are cut by"):
        merge([str(data), str(tmp_path / "ja")], str(tmp_path / "mixed"))


def test_a_sample_has_so_many_rows_of_each_label(data: Path, tmp_path: Path) -> None:
    manifest = draw(str(data), str(tmp_path / "few"), 3, seed=5)
    assert verify(tmp_path / "few")[1] == [] and manifest.splits["test"] == shard.read_manifest(data).splits["test"]

    def labels(folder: Path) -> tuple[Counter[str], set[str]]:
        total, ids = Counter[str](), set()
        for table in shard.read_split(folder, "train"):
            for row in table.to_pylist():
                ids.add(row["id"])
                pairs = zip(row["actions"], row["symbols"], strict=True)
                total.update({symbol for kind, symbol in pairs if kind == 0} - {"and", "add"})
        return total, ids

    (whole, every), (few, kept) = labels(data), labels(tmp_path / "few")
    assert kept < every
    assert all(few[label] >= min(3, times) for label, times in whole.items())
    draw(str(data), str(tmp_path / "again"), 3, seed=5)
    draw(str(data), str(tmp_path / "other"), 3, seed=6)
    assert labels(tmp_path / "again")[1] == kept != labels(tmp_path / "other")[1]


def test_diff_tells_what_changed(corpus: Path, tmp_path: Path) -> None:  # noqa: F811
    convert(corpus, tmp_path / "old", shards=2)
    assert diff(tmp_path / "old", tmp_path / "old")["rows"] == {
        "same": 8, "added": 0, "removed": 0, "changed": 0, "moved": 0,
    }  # fmt: skip
    (corpus / "test" / "seq.out").write_text("O B-mood O\nB-who\n")  # a slot more
    with (corpus / "train" / "seq.in").open("a") as a, (corpus / "train" / "seq.out").open("a") as b:
        a.write("buy rice\n"), b.write("O B-item\n")
    with (corpus / "train" / "label").open("a") as file:
        file.write("Buy\n")
    convert(corpus, tmp_path / "new", shards=3, dealing=Dealing("corpus", 0.3))
    found = diff(tmp_path / "old", tmp_path / "new")
    moved = found["moves"].get("train -> dev", 0)
    assert found["rows"] == {"same": 8 - 1 - moved, "added": 1, "removed": 0, "changed": 1, "moved": moved}
    assert found["examples"]["added"][0]["id"] == "tiny/train/seq.in:7"
    assert found["utterances"] == {"added": 1, "removed": 0}
    assert found["labels"] == {"Buy": [4, 5], "item": [5, 6], "who": [0, 1]}
    told = CLI.invoke(app, ["diff", str(tmp_path / "old"), str(tmp_path / "new")])
    assert told.exit_code == 1 and "label who: 0 -> 1" in told.stdout


@pytest.mark.parametrize("mode", ["template", "value"])
def test_dealt_splits_do_not_leak(tmp_path: Path, mode: str) -> None:
    write(generate(400, 3), tmp_path / "samples")
    options = Options([str(tmp_path / "samples/flat")], "seq", str(tmp_path / "out"), dealing=Dealing(mode, 0.2, 0.2))
    assert set(run(options).splits) == {"train", "dev", "test"}
    from pipelines.stats import describe

    told = describe(tmp_path / "out")
    if mode == "template":
        assert all(leak["template"] == 0 for leak in told["leaks"])
    else:
        assert told["unseen"]["test"]["rows"] == told["splits"]["test"]["rows"]


def test_a_domain_split_of_a_corpus_without_domains_is_refused(corpus: Path, tmp_path: Path) -> None:  # noqa: F811
    with pytest.raises(ValueError, match=r"every row into train.*--test-domain"):
        convert(corpus, tmp_path / "out", dealing=Dealing("domain", 0.0, 1e-9))
