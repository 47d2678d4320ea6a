"""Annotation: every line is a row or a dead letter, a run that died goes on, doubtful rows come first and differ."""

from __future__ import annotations

import gzip
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from memory_filesystem import MemoryFileSystem
from parsing import rows, setup_of, tiny
from typer.testing import CliRunner

from parser.checkpoint import save_best, save_ensemble
from parser.confidence import Confidence
from pipelines import annotation, lock, publish, runner
from pipelines.__main__ import app as pipelines_app
from pipelines.annotate import AnnotateAll, Options, describe, fingerprint, prepare, run
from pipelines.annotation import MANIFEST, SCHEMA
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


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_lines_in_are_rows_and_dead_letters(model: Path, text: Path, tmp_path: Path) -> None:
    done = run(
        Options(str(model), [str(text)], str(tmp_path / "out"), corpus="ours", range_bytes=200, max_rejected=0.1)
    )
    assert (done["rows_in"], done["rows_out"], done["rejected"]) == (32, 30, {"R101": 1, "R102": 1})
    assert json.loads((tmp_path / "out" / MANIFEST).read_text())["shards"] == done["shards"] and len(done["shards"]) > 2
    made = [row for entry in done["shards"] for row in pq.read_table(tmp_path / "out" / entry["file"]).to_pylist()]
    assert [row["line"] for row in made] == [*range(1, 11), *range(12, 32)] and made[0]["id"] == "ours/text.txt:1"
    assert pq.read_schema(tmp_path / "out" / done["shards"][0]["file"]).equals(SCHEMA)
    publish.make_room(tmp_path / "out", overwrite=True, last=MANIFEST)
    assert all(row["score"] == -row["uncertainty"] <= 0 and row["tree"].startswith("(") for row in made)
    from grammar.__main__ import app

    shards = [str(tmp_path / "out" / entry["file"]) for entry in done["shards"]]
    told = CliRunner().invoke(app, ["check", "--ontology", str(model / "ontology.toml"), *shards])
    assert told.exit_code in (0, 1) and "E1" not in told.stdout and "E2" not in told.stdout


def test_beam_counts_what_the_manifest_counts(model: Path, text: Path, tmp_path: Path) -> None:
    given = prepare(Options(str(model), [str(text)], str(tmp_path / "out"), range_bytes=200))
    with runner.pipeline(runner.flags()) as pipeline:
        _ = pipeline | AnnotateAll(given.task, given.sources, given.range_bytes)
    done = annotation.finish(given.task, given.corpus, ["text.txt"])
    assert runner.counters(pipeline.result) == {
        **{name: done[name] for name in ("rows_in", "rows_out", "rows_rejected")},
        **{f"rejected_{code}": rows for code, rows in done["rejected"].items()},
    }
    shards = [Path(given.task.build) / entry["file"] for entry in done["shards"]]
    for name, values in {
        "rows_per_shard": [entry["rows"] for entry in done["shards"]],
        "bytes_per_shard": [path.stat().st_size for path in shards],
    }.items():
        found = runner.distributions(pipeline.result)[name]
        assert found == (len(shards), sum(values), min(values), max(values)) and len(shards) > 2
    spread = runner.distributions(pipeline.result)
    assert spread["rows_per_range"][:2] == (len(shards), done["rows_in"])
    assert spread["bytes_per_range"][:2] == (len(shards), text.stat().st_size)


def test_a_run_that_died_goes_on(model: Path, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = Options(str(model), [str(text)], str(tmp_path / "out"), range_bytes=200, max_rejected=0.1)
    parsed, ranges = annotation._parsed, []

    def dies(*given: Any) -> Any:
        ranges.append(given)
        return parsed(*given) if len(ranges) < 3 else 1 / 0

    with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
        patch.setattr(annotation, "_parsed", dies)
        run(options)
    assert not (tmp_path / "out").exists()
    first, again = len(ranges) - 1, []
    with monkeypatch.context() as patch:
        patch.setattr(annotation, "_parsed", lambda *given: (again.append(given), parsed(*given))[1])
        done = run(options)
    assert first == 2 and len(again) == len(done["shards"]) - first, "a range that was done was done again"
    run(replace(options, output=str(tmp_path / "whole"), corpus="out"))
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    with pytest.raises(FileExistsError, match="--overwrite"):
        run(options)
    with lock.hold(str(tmp_path / "out")), pytest.raises(lock.Busy):
        run(replace(options, overwrite=True))


def test_other_inputs_options_or_models_begin_anew(model: Path, text: Path, tmp_path: Path) -> None:
    options = Options(str(model), [str(text)], str(tmp_path / "out"))
    builds = [prepare(options).task.build for _ in range(2)]
    for change in ({"batch_size": 7}, {"range_bytes": 100}, {"corpus": "other"}):
        builds.append(prepare(replace(options, **change)).task.build)
    shutil.copytree(model, tmp_path / "model")
    assert prepare(replace(options, model=str(tmp_path / "model"))).task.build == builds[0]
    Confidence(temperature=0.5, power=1.0).save(tmp_path / "model")
    builds.append(prepare(replace(options, model=str(tmp_path / "model"))).task.build)
    text.write_text("play jazz\n")
    builds.append(prepare(options).task.build)
    assert len(set(builds)) == len(builds) - 1 and builds[0] == builds[1]
    assert prepare(replace(options, max_rejected=0.5, overwrite=True, workers=2)).task.build == builds[-1]


def test_too_many_rejected_are_not_published_and_not_parsed_again(
    model: Path, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = Options(str(model), [str(text)], str(tmp_path / "out"))
    with pytest.raises(ValueError, match=r"2 of 32 utterances \(6.25%\) were rejected \(R101 1, R102 1\)"):
        run(options)
    assert not (tmp_path / "out").exists()
    monkeypatch.setattr(annotation, "_parsed", lambda *_: 1 / 0)
    assert run(replace(options, max_rejected=0.1))["rows_out"] == 30


def test_every_kind_of_input_holds_the_same_utterances(model: Path, tmp_path: Path) -> None:
    said = [row["words"] for row in rows(25, 1)]
    lines = [" ".join(words) for words in said]
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.txt").write_text("\n".join(lines))
    (folder / "b.txt.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    (folder / "c.tsv").write_text("n\trequest\n" + "".join(f"{n}\t{line}\n" for n, line in enumerate(lines)))
    (folder / "d.jsonl").write_text("".join(json.dumps({"request": line}) + "\n" for line in lines))
    for name, column in {"e": lines, "f": said}.items():
        table = pa.table({"n": range(25), "request": column})
        pq.write_table(table, folder / f"{name}.parquet", row_group_size=7)
    done = run(Options(str(model), [str(folder)], str(tmp_path / "out"), column="request", range_bytes=150))
    made = [row for entry in done["shards"] for row in pq.read_table(tmp_path / "out" / entry["file"]).to_pylist()]
    assert done["rows_in"] == len(made) == 6 * 25
    for file in done["inputs"]:
        some = [row for row in made if row["file"] == file]
        assert [row["utterance"] for row in some] == lines and [row["words"] for row in some] == said
        assert [row["line"] for row in some] == list(range(1 + (file == "c.tsv"), 26 + (file == "c.tsv")))


def test_what_is_no_utterance_is_a_dead_letter(model: Path, tmp_path: Path) -> None:
    good = {"utterance": "play jazz"}
    bad = [{"utterance": 3}, {"utterance": ["a", ""]}, {"utterance": []}, {}, {"utterance": "a " * 1_001}, good]
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in bad) + "no json\n")
    done = run(Options(str(model), [str(path)], str(tmp_path / "out"), max_rejected=1))
    assert done["rows_out"] == 1 and done["rejected"] == {"R102": 2, "R103": 1, "R104": 2, "R206": 1}
    [letters] = [pq.read_table(tmp_path / "out" / "rejected" / entry["file"]).to_pylist() for entry in done["letters"]]
    assert [letter["line"] for letter in letters] == [1, 2, 3, 4, 5, 7]


def test_model_input_and_output_may_lie_elsewhere(model: Path, text: Path, tmp_path: Path) -> None:
    MemoryFileSystem.objects.clear()
    for name in sorted(path.name for path in model.iterdir() if path.is_file()):
        MemoryFileSystem.put(f"mem://store/model/{name}", (model / name).read_bytes())
    MemoryFileSystem.put("mem://store/in/text.txt", text.read_bytes())
    here = Options(str(model), [str(text)], str(tmp_path / "out"), range_bytes=200, max_rejected=0.1)
    run(here)
    MemoryFileSystem.log.clear()
    run(replace(here, model="mem://store/model", inputs=["mem://store/in/*.txt"], output="mem://store/out"))
    found = {p.removeprefix("mem://store/out/"): d for p, (d, _) in MemoryFileSystem.objects.items() if "/out/" in p}
    told = contents(tmp_path / "out")
    assert found.keys() == told.keys()
    assert all(found[name] == told[name] for name in told if name != MANIFEST)
    touched = [line for line in MemoryFileSystem.log if " mem://store/out/" in line]
    assert touched[-1] == f"put mem://store/out/{MANIFEST}"
    assert [row.id for row in choose("mem://store/out", 5)] == [row.id for row in choose(tmp_path / "out", 5)]


def test_a_dry_run_estimates_and_writes_nothing(model: Path, text: Path, tmp_path: Path) -> None:
    options = Options(str(model), [str(text)], str(tmp_path / "out"), range_bytes=200, max_rejected=0.1)
    plan = describe(prepare(options))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["text.txt"]
    done = run(options)
    assert plan["ranges"] == len(done["shards"]) and plan["estimate"]["rows"] == plan["estimate"]["sampled"] == 32
    told = CliRunner().invoke(
        pipelines_app,
        ["annotate", "--model", str(model), "--input", str(text), "--output", str(tmp_path / "new"), "--dry-run"],
    )
    assert told.exit_code == 0 and "nothing was written" in told.stdout and not (tmp_path / "new").exists()


def test_a_file_for_annotators_is_replaced_only_on_request(model: Path, text: Path, tmp_path: Path) -> None:
    def annotate(name: str, *more: str) -> Any:
        given = ["--input", str(text), "--output", str(tmp_path / name), "--max-rejected", "0.1"]
        first = ["--for-annotators", str(tmp_path / "first.tsv"), "--budget", "3"]
        return CliRunner().invoke(pipelines_app, ["annotate", "--model", str(model), *given, *first, *more])

    assert annotate("one").exit_code == 0
    made = (tmp_path / "first.tsv").read_text()
    assert len(made.splitlines()) == 4
    (tmp_path / "first.tsv").write_text("work of a week")
    told = annotate("two")
    assert told.exit_code == 2 and "may have been edited; give `--overwrite`" in told.stderr
    assert (tmp_path / "first.tsv").read_text() == "work of a week" and not (tmp_path / "two").exists()
    assert annotate("one", "--overwrite").exit_code == 0 and (tmp_path / "first.tsv").read_text() == made


def test_doubtful_rows_come_first_and_differ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def row(doubt: float, text: str, *copied: int) -> Candidate:
        return Candidate(doubt, text, text, text.split(), "(A())", list(copied))

    found = [row(0.9, "play jazz", 1), row(0.8, "play folk", 1), row(0.5, "stop"), row(0.3, "play soul", 1)]
    monkeypatch.setattr("pipelines.uncertainty._rows", lambda _: iter([*found, row(0.7, "play  JAZZ", 1)]))
    assert [one.utterance for one in choose(tmp_path, 4)] == ["play jazz", "stop", "play folk", "play soul"]
    assert [one.utterance for one in choose(tmp_path, 2)] == ["play jazz", "stop"]
    crowd = [row(0.9, "play jazz", 1)] * 100 + [row(0.5, f"stop {number}", 1) for number in range(50)]
    monkeypatch.setattr("pipelines.uncertainty._rows", lambda _: iter(crowd))
    assert len({one.utterance for one in choose(tmp_path, 4)}) == 4
    assert tsv(found[:1]) == "utterance\ttree\tid\tuncertainty\nplay jazz\t(A())\tplay jazz\t0.9000\n"


def test_a_calibrated_model_says_how_likely_a_tree_is_right(model: Path, text: Path, tmp_path: Path) -> None:
    calibrated = tmp_path / "model"
    shutil.copytree(model, calibrated)
    sure = Confidence(temperature=0.5, power=1.0)
    sure.save(calibrated)
    assert fingerprint(str(calibrated)) != fingerprint(str(model))
    done = run(Options(str(calibrated), [str(text)], str(tmp_path / "out"), max_rejected=0.1))
    [entry] = done["shards"]
    for row in pq.read_table(tmp_path / "out" / entry["file"]).to_pylist():
        brackets = row["tree"].count("(") - row["tree"].count("\\(")
        nodes = brackets - len(row["positions"]) - row["tree"].count("()")  # a leaf has a bracket, and one action
        wanted = -row["score"] / (0.5 * (2 * nodes + len(row["positions"])))
        assert row["uncertainty"] == pytest.approx(wanted, rel=1e-4)


def test_an_ensemble_annotates_as_its_models_do(model: Path, text: Path, tmp_path: Path) -> None:
    together = tmp_path / "together"
    save_ensemble([model, model], together)
    MemoryFileSystem.objects.clear()
    for name, data in contents(together).items():
        MemoryFileSystem.put(f"mem://store/together/{name}", data)
    elsewhere = "mem://store/together"
    assert fingerprint(str(together)) == fingerprint(elsewhere) != fingerprint(str(model))
    trees = []
    for number, where in enumerate((str(model), str(together), elsewhere)):
        done = run(Options(where, [str(text)], str(tmp_path / f"{number}"), max_rejected=0.1))
        trees.append(pq.read_table(tmp_path / f"{number}" / done["shards"][0]["file"])["tree"].to_pylist())
    assert trees[0] == trees[1] == trees[2] and len(trees[0]) == 30
    for text in ("{}", '{"models": 0}'):
        (together / "ensemble.json").write_text(text)
        with pytest.raises(ValueError, match="no finished model"):
            fingerprint(str(together))


def test_what_is_no_model_is_refused(text: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no finished model"):
        run(Options(str(tmp_path), [str(text)], str(tmp_path / "out")))
