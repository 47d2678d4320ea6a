"""Training runs: equal losses after a kill, the commands, model directories, settings."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from parsing import tiny, write_shards
from typer.testing import CliRunner

import parser
from parser.__main__ import app
from parser.checkpoint import CheckpointError, load_model
from parser.config import ConfigError, from_dict, load, names
from parser.order import batch_count, batches_of
from parser.train import train

SETTINGS = tiny().to_dict()


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """A small data set in the invented world of `parsing`."""
    return write_shards(tmp_path_factory.mktemp("shards"))


def losses(directory):
    lines = (directory / "log.jsonl").read_text().splitlines()
    return {e["step"]: e["loss"] for e in map(json.loads, lines) if e["event"] == "step"}


def test_a_killed_run_resumes_with_the_same_losses(shards, tmp_path):
    config = from_dict(
        {
            "model": SETTINGS["model"] | {"dropout": 0.3},
            "train": SETTINGS["train"] | {"epochs": 3, "checkpoint_every": 4},
        }
    )
    train(shards, tmp_path / "whole", config)

    changes = [f"--set=model.{k}={json.dumps(v)}" for k, v in config.to_dict()["model"].items()]
    changes += [f"--set=train.{k}={json.dumps(v)}" for k, v in config.to_dict()["train"].items()]
    arguments = ["--shards", str(shards), "--output", str(tmp_path / "killed"), "--device", "cpu"]
    command = [sys.executable, "-m", "parser", "train", *arguments]
    run = subprocess.Popen([*command, *changes], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    log = tmp_path / "killed" / "log.jsonl"
    deadline = time.time() + 120
    # Kill it somewhere after the first checkpoint in the middle of an epoch.
    while time.time() < deadline and run.poll() is None and not (log.exists() and log.read_text().count('"step"') > 12):
        time.sleep(0.005)
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    before = len(losses(tmp_path / "killed"))
    done = subprocess.run([*command, "--resume"], capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert 4 <= before < len(losses(tmp_path / "whole"))
    assert losses(tmp_path / "whole") == losses(tmp_path / "killed")


def test_stopping_at_every_step_gives_the_same_losses(shards, tmp_path):
    config = tiny(dropout=0.2)
    train(shards, tmp_path / "whole", config)
    train(shards, tmp_path / "parts", config, stop_after=7)
    for _ in range(2):
        train(shards, tmp_path / "parts", config, resume=True, stop_after=9)
    train(shards, tmp_path / "parts", config, resume=True)

    assert losses(tmp_path / "whole") == losses(tmp_path / "parts")


def test_train_evaluate_and_parse_commands(shards, tmp_path):
    run = CliRunner().invoke
    model = str(tmp_path / "model")
    small = ["--set", "train.epochs=12", "--set", "train.batch_size=16", "--device", "cpu"]

    trained = run(app, ["train", "--shards", str(shards), "--output", model, "--config", "tiny", *small])
    assert trained.exit_code == 0, trained.output
    scored = run(app, ["evaluate", "--model", model, "--shards", str(shards), "--json"])
    figures = json.loads(scored.stdout)
    assert figures["n"] == 25, "rejected rows count as wrong"
    assert 0.5 < figures["exact_match"] <= 0.8
    assert {"n", "exact_match", "exact_match_positions", "intent_accuracy", "bracket_f1", "slices"} <= set(figures)
    assert figures["slices"]["single"]["n"] + figures["slices"]["compound"]["n"] == 20
    (tmp_path / "in.txt").write_text("play jazz\nadd salt and figs\n")
    parsed = run(app, ["parse", "--model", model, "--file", str(tmp_path / "in.txt"), "--format", "json"])
    assert [json.loads(line)["utterance"] for line in parsed.stdout.splitlines()] == ["play jazz", "add salt and figs"]
    stdin = run(app, ["parse", "--model", model, "-"], input="play jazz\n")
    once = run(app, ["parse", "--model", model, "play jazz"])
    assert stdin.stdout == once.stdout == str(parser.load(model).parse("play jazz").tree) + "\n"
    again = run(app, ["train", "--shards", str(shards), "--output", model])
    assert again.exit_code == 2 and "--resume" in again.output


def test_api_refuses_an_empty_utterance(shards, tmp_path):
    train(shards, tmp_path / "m", tiny(), stop_after=None)

    with pytest.raises(ValueError, match="utterance 2 has no words"):
        parser.load(tmp_path / "m").parse_many(["play", " "])


def test_a_run_killed_before_its_first_checkpoint_starts_anew(shards, tmp_path):
    train(shards, tmp_path / "m", tiny(), stop_after=3)
    shutil.rmtree(tmp_path / "m" / "last")
    train(shards, tmp_path / "m", tiny(), stop_after=2)

    assert list(losses(tmp_path / "m")) == [1, 2]


def test_a_run_may_go_on_with_another_rate_but_not_with_other_data(shards, tmp_path):
    train(shards, tmp_path / "m", tiny(), stop_after=3)
    call = ["train", "--shards", str(shards), "--output", str(tmp_path / "m"), "--resume", "--device", "cpu"]
    refused = {change: CliRunner().invoke(app, [*call, "--set", change]) for change in ("model.copy=false", "train.lr")}
    named = CliRunner().invoke(app, [*call, "--config", "published"])
    done = CliRunner().invoke(app, [*call, "--set", "train.lr=0.001", "--set", "train.epochs=3"])

    assert named.exit_code == 2 and "leave --config" in named.output
    for change, result in refused.items():
        assert result.exit_code == 2 and f"`{change}`" in result.output and "train.lr" in result.output
    assert done.exit_code == 0, done.output
    settings = load_model(tmp_path / "m")[0].config.train
    assert (settings.lr, settings.epochs) == (0.001, 3)
    steps = losses(tmp_path / "m")
    train(shards, tmp_path / "plain", tiny(), stop_after=5)
    assert list(steps) == list(range(1, len(steps) + 1)) and len(steps) % 3 == 0
    assert steps[3] == losses(tmp_path / "plain")[3] and steps[5] != losses(tmp_path / "plain")[5]


def test_parse_keeps_input_and_output_side_by_side(shards, tmp_path):
    train(shards, tmp_path / "m", tiny())
    run = CliRunner().invoke
    done = run(app, ["parse", "--model", str(tmp_path / "m"), "-"], input="play jazz\n\nplay music\n")
    bad = run(app, ["parse", "--model", str(tmp_path / "m"), "-"], input=b"play jazz\n\xff\n")
    both = run(app, ["parse", "--model", str(tmp_path / "m"), "--file", "x", "play"])

    assert [bool(line) for line in done.stdout.split("\n")] == [True, False, True, False]
    assert bad.exit_code == 2 and "<stdin>:2" in bad.output
    assert both.exit_code == 2


def test_directories_that_are_no_models_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match="python -m parser train"):
        load_model(tmp_path)


def test_unfit_shards_are_refused(tmp_path):
    result = CliRunner().invoke(app, ["train", "--shards", str(tmp_path), "--output", str(tmp_path / "x")])

    assert result.exit_code == 2
    assert "python -m pipelines convert" in result.output


def test_every_config_loads():
    assert {"base", "published", "tiny"} <= set(names())
    for name in names():
        load(name)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["train.epoch=3"], "the nearest is `train.epochs`"),
        (["train.lr=fast"], "`train.lr` must be a float"),
        (["model.chars=rnn"], "one of cnn, lstm"),
        (["epochs=3"], "write `section.key=value`"),
        (["trian.epochs=3"], "the nearest is `train`"),
        (["model.stack=false", "model.history=false"], "needs one of them"),
    ],
)
def test_bad_settings_are_named(changes, message):
    with pytest.raises(ConfigError, match=message):
        load("base", changes)


def test_batches_take_every_example_once_and_repeat_themselves():
    actions, words = np.array([5, 3, 9, 1, 4, 4, 8, 2, 7, 6, 3]), np.arange(11)
    epochs = [[b.tolist() for b in batches_of(actions, words, 2, 2, (7, e))] for e in range(3)]

    assert all(sorted(i for batch in batches for i in batch) == list(range(11)) for batches in epochs)
    assert all(len(batches) == batch_count(11, 2, 2) for batches in epochs)
    assert epochs[0] != epochs[1]
    assert epochs[2] == [b.tolist() for b in batches_of(actions, words, 2, 2, (7, 2))]
