"""What the commands of the parser refuse, and what they say of rows that the model cannot get right."""

from __future__ import annotations

import json
import shutil

import pytest
from parsing import tiny, world, write_shards
from typer.testing import CliRunner

from parser.__main__ import app
from parser.commands import door
from parser.evaluate import evaluate
from parser.train import train


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(shards, model) as arguments."""
    folder = tmp_path_factory.mktemp("options")
    shards = write_shards(folder / "s")
    train(shards, folder / "m", tiny())
    return ["--shards", str(shards)], ["--model", str(folder / "m")]


def run(*arguments):
    return CliRunner().invoke(app, [word for part in arguments for word in ([part] if isinstance(part, str) else part)])


def test_what_is_damaged_is_told_in_a_line(trained, tmp_path):
    shards, (option, model) = trained
    (tmp_path / "latin.toml").write_bytes(b'title = "caf\xe9"\n')
    for arguments, message in (
        (["train", shards, "--output", str(tmp_path / "o"), "--config", str(tmp_path / "latin.toml")], "cannot read"),
        (["experiment", str(tmp_path / "latin.toml"), shards], "cannot read"),
        (["train", shards, "--output", str(tmp_path / "o"), "--set", "train.seed=-1"], "`train.seed` must be at least"),
        (["experiment", "overnight", shards, "--jobs", "-1"], "greater than or equal to 0"),
    ):
        done = run(*arguments)
        assert done.exit_code == 2 and message in " ".join(done.output.split())
    for name, broken in (("values.json.gz", lambda data: data[:-9]), ("model.json", lambda data: b"[]")):
        copy = tmp_path / name
        shutil.copytree(model, copy)
        (copy / name).write_bytes(broken((copy / name).read_bytes()))
        done = run("parse", option, str(copy), "play jazz")
        assert done.exit_code == 2 and str(copy) in done.stderr


def test_an_option_with_one_value_is_given_once(trained):
    shards, model = trained
    for call in (("evaluate", model, shards, shards), ("inspect", model, model, "play jazz")):
        done = run(*call)
        assert done.exit_code == 2 and "it takes one value and is given 2 times" in done.output
    assert run("evaluate", model, model, shards).exit_code == 0, "several models are an ensemble"
    assert run("evaluate", model, shards, "--json", "--json").exit_code == 0


@pytest.mark.parametrize("command", ["evaluate", "parse"])
@pytest.mark.parametrize("beam", ["0", "-1"])
def test_a_beam_is_at_least_one(trained, command, beam):
    shards, model = trained
    done = run(command, model, "--beam", beam, shards if command == "evaluate" else "play jazz")

    assert done.exit_code == 2 and "'--beam'" in done.output


@pytest.mark.parametrize("command", ["parse", "inspect"])
def test_a_model_without_domains_is_given_none(trained, command):
    done = run(command, trained[1], "--domain", "golf", "play jazz")

    assert done.exit_code == 2 and "has no domains" in done.output and "golf" in done.output


def test_leaving_out_every_row_is_refused(trained):
    shards, model = trained
    done = run("evaluate", model, shards, "--without", "*")

    assert done.exit_code == 2 and "no row is left" in done.output
    some = run("evaluate", model, shards, "--without", "PlayMusicIntent", "--json")
    assert some.exit_code == 0 and 5 < json.loads(some.stdout)["n"] < 25


@pytest.mark.parametrize("new", ["Speaker", "Device"])
def test_labels_that_the_model_does_not_know_are_told(new, capsys):
    setup, model, _, data = world(30)
    foreign = [row | {"symbols": [new if name == "Device" else name for name in row["symbols"]]} for row in data]
    figures = evaluate(model, setup.vocab, setup.ontology, setup.values, foreign)
    door.note_unknown_labels(figures)
    said = capsys.readouterr().err

    have = sum(new in row["symbols"] for row in foreign)
    assert 0 < have < 30
    if new == "Device":
        assert (figures["rows_unknown"], figures["unknown_labels"], said) == (0, {}, "")
    else:
        assert (figures["rows_unknown"], figures["unknown_labels"]) == (have, {"Speaker": have})
        assert said.startswith(f"note: {have} of 30 rows cannot be right") and said.endswith(": Speaker\n")


def test_of_many_unknown_labels_a_few_are_named(capsys):
    door.note_unknown_labels({"n": 9, "rows_unknown": 9, "unknown_labels": {f"x{i}": 9 - i for i in range(8)}})

    assert capsys.readouterr().err.endswith("8 labels of theirs: x0, x1, x2, x3, x4 and 3 more\n")
