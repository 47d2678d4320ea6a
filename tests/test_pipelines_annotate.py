"""Annotation: every line is a row or a dead letter, a run that died goes on, doubtful rows come first and differ."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from parsing import rows, setup_of, tiny
from typer.testing import CliRunner

import pipelines.annotate as annotating
from parser.checkpoint import save_best
from pipelines.annotate import MANIFEST, SCHEMA, Options, run
from pipelines.uncertainty import Candidate, choose, tsv


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that has learnt nothing; its trees are whole all the same."""
    folder = tmp_path_factory.mktemp("model")
    setup = setup_of(rows(40, 0), tiny())
    setup.save(folder)
    save_best(folder, setup.build(), {})
    return folder


@pytest.fixture
def text(tmp_path: Path) -> Path:
    lines = [" ".join(row["words"]) for row in rows(30, 1)]
    path = tmp_path / "text.txt"
    path.write_bytes("\n".join([*lines[:10], "", *lines[10:]]).encode() + b"\n\xff\n")
    return path


def test_lines_in_are_rows_and_dead_letters(model: Path, text: Path, tmp_path: Path) -> None:
    done = run(Options(str(model), [str(text)], str(tmp_path / "out"), corpus="ours", range_bytes=200))
    assert (done["rows_in"], done["rows_out"], done["rejected"]) == (32, 30, {"R101": 1, "R102": 1})
    assert json.loads((tmp_path / "out" / MANIFEST).read_text())["shards"] == done["shards"] and len(done["shards"]) > 2
    made = [row for entry in done["shards"] for row in pq.read_table(tmp_path / "out" / entry["file"]).to_pylist()]
    assert [row["line"] for row in made] == [*range(1, 11), *range(12, 32)] and made[0]["id"] == "ours/text.txt:1"
    assert pq.read_schema(tmp_path / "out" / done["shards"][0]["file"]).equals(SCHEMA)
    assert all(row["score"] <= 0 <= row["uncertainty"] and row["tree"].startswith("(") for row in made)
    from grammar.__main__ import app

    shards = [str(tmp_path / "out" / entry["file"]) for entry in done["shards"]]
    told = CliRunner().invoke(app, ["check", "--ontology", str(model / "ontology.toml"), *shards])
    assert told.exit_code in (0, 1) and "E1" not in told.stdout and "E2" not in told.stdout


def test_a_run_that_died_goes_on(model: Path, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = Options(str(model), [str(text)], str(tmp_path / "out"), range_bytes=200)
    finish, annotate = annotating.finish, annotating._parsed
    monkeypatch.setattr(annotating, "finish", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run(options)
    monkeypatch.setattr(annotating, "finish", finish)
    monkeypatch.setattr(annotating, "_parsed", lambda *_: 1 / 0)  # nothing is parsed again
    assert run(options)["rows_out"] == 30
    monkeypatch.setattr(annotating, "_parsed", annotate)
    with pytest.raises(FileExistsError, match="--overwrite"):
        run(options)


def test_doubtful_rows_come_first_and_differ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def row(doubt: float, text: str, *copied: int) -> Candidate:
        return Candidate(doubt, text, text, text.split(), "(A())", list(copied))

    found = [row(0.9, "play jazz", 1), row(0.8, "play folk", 1), row(0.5, "stop"), row(0.3, "play soul", 1)]
    monkeypatch.setattr("pipelines.uncertainty._rows", lambda _: iter([*found, row(0.7, "play  JAZZ", 1)]))
    assert [one.utterance for one in choose(tmp_path, 4)] == ["play jazz", "stop", "play folk", "play soul"]
    assert [one.utterance for one in choose(tmp_path, 2)] == ["play jazz", "stop"]
    assert tsv(found[:1]) == "utterance\ttree\nplay jazz\t(A())\n"


def test_what_is_no_model_is_refused(text: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no finished model"):
        run(Options(str(tmp_path), [str(text)], str(tmp_path / "out")))
