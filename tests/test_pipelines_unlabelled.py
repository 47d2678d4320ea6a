"""Corpora without trees: whatever the range, every line is one utterance or one dead letter, in order."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines import unlabelled
from pipelines.record import Rejection
from pipelines.unlabelled import Request

LINES = ["play jazz", "", "  stop ", "caf\u00e9 \u65e5\u672c", "a\u2028b", "play"]
CELLS = [{"q": "play jazz"}, {"q": ["stop", "now"]}, {"q": None}, {"x": 1}, {"q": "\ud800 lone"}, {"q": ""}, {"q": [1]}]

KINDS = {
    "a.txt": "\n".join(LINES).encode(),
    "b.txt": b"\xef\xbb\xbfplay jazz\r\n\xff\nstop\r\n",
    "c.tsv": b"n\tq\n1\tplay jazz\n2\n3\tstop\tmore\n4\t\n",
    "d.jsonl": "\n".join([json.dumps(cell) for cell in CELLS] + ["no json", "[]"]).encode(),
    "e.txt": b"",
}


def records(path: Path, size: int, column: str = "q") -> list[Request | Rejection]:
    [source] = unlabelled.find([str(path)], column, "c")
    return [row for range_ in unlabelled.plan(source, size) for row in unlabelled.read(range_, column)]


@pytest.mark.parametrize("name", KINDS)
def test_every_size_of_range_gives_the_same_utterances(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(KINDS[name])
    whole = records(path, 1 << 30)
    for size in range(1, len(KINDS[name]) + 3):
        assert records(path, size) == whole, f"ranges of {size} bytes"
    first = 1 + (name == "c.tsv")
    assert [row.line for row in whole] == list(range(first, first + len(whole)))
    (tmp_path / f"{name}.gz").write_bytes(gzip.compress(KINDS[name]))
    packed = records(tmp_path / f"{name}.gz", 1)
    assert [row if isinstance(row, Request) else row._replace(file=name) for row in packed] == whole
    [source] = unlabelled.find([str(path)], "q", "c")
    read = sum(unlabelled.bytes_of(range_) for range_ in unlabelled.plan(source, 7))
    assert read == len(KINDS[name]), "the line that tells how much is read would lie"


def test_what_the_records_are(tmp_path: Path) -> None:
    for name, data in KINDS.items():
        (tmp_path / name).write_bytes(data)

    def told(name: str) -> list[str]:
        rows = records(tmp_path / name, 9)
        return [row.text if isinstance(row, Request) else row.code for row in rows]

    assert told("a.txt") == ["play jazz", "R102", "  stop ", "caf\u00e9 \u65e5\u672c", "a\u2028b", "play"]
    assert told("b.txt") == ["play jazz", "R101", "stop"]
    assert told("c.tsv") == ["play jazz", "R112", "stop", "R102"]
    assert told("d.jsonl") == ["play jazz", "stop now", "R104", "R104", "\\ud800 lone", "R102", "R104", "R103", "R104"]
    assert records(tmp_path / "d.jsonl", 9)[1] == Request(2, "stop now", ["stop", "now"])


@pytest.mark.parametrize("line", ["[" * 100_000, '{"q": ' + "[" * 100_000])
def test_json_that_is_too_deep_is_a_dead_letter(line: str, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(line + '\n{"q": "stop"}\n')
    first, second = records(tmp_path / "a.jsonl", 1)
    assert isinstance(first, Rejection) and (first.code, first.line, first.raw) == ("R103", 1, line)
    assert "recursion" in first.reason and second == Request(2, "stop")


@pytest.mark.parametrize("word", ["new\nline", "ja\tzz now", "\r"])
def test_words_that_no_tree_can_hold_are_dead_letters(word: str, tmp_path: Path) -> None:
    given = ["play", word]
    (tmp_path / "a.jsonl").write_text(json.dumps({"q": given}) + "\n")
    pq.write_table(pa.table({"q": [given]}), tmp_path / "a.parquet")
    for name in ("a.jsonl", "a.parquet"):
        [found] = records(tmp_path / name, 1)
        assert isinstance(found, Rejection) and found.code == "R203" and repr(word) in found.reason


def test_row_groups_are_ranges(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"q": [f"play {n}" for n in range(20)] + [None]}), path, row_group_size=4)
    [source] = unlabelled.find([str(path)], "q", "c")
    whole = records(path, 1 << 30)
    for size in (1, 50, 100, 1 << 20):
        assert records(path, size) == whole
    assert [row.line for row in whole] == list(range(1, 22)) and whole[-1].code == "R104"  # type: ignore[union-attr]
    read = sum(unlabelled.bytes_of(range_) for range_ in unlabelled.plan(source, 1))
    assert read == pytest.approx(path.stat().st_size, abs=6)


def test_a_column_that_is_not_there_is_told_before_anything_runs(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("n\trequest\n1\tstop\nshort\n")
    pq.write_table(pa.table({"n": [1], "request": ["stop"]}), tmp_path / "b.parquet")
    for name in ("a.tsv", "b.parquet"):
        with pytest.raises(ValueError, match=r"no column `utterance`, its columns are n, request"):
            unlabelled.find([str(tmp_path / name)], "utterance", "c")
    found = records(tmp_path / "a.tsv", 1, "2")
    assert [row.text for row in found[:2]] == ["request", "stop"]  # type: ignore[union-attr]
    assert (found[2].line, found[2].code) == (3, "R112")  # type: ignore[union-attr]
    (tmp_path / "c.parquet").write_bytes(b"no Parquet")
    with pytest.raises(ValueError, match="is no Parquet file"):
        unlabelled.find([str(tmp_path / "c.parquet")], "q", "c")
