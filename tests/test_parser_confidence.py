"""Calibrated confidence and abstention."""

from __future__ import annotations

import errno
import json
import math
import random
import shutil

import numpy as np
import pytest
from parsing import tiny, world, write_shards
from typer.testing import CliRunner

import parser
from grammar.tree import Leaf, Tree
from parser.__main__ import app
from parser.checkpoint import CheckpointError, load_model, save_best, save_ensemble
from parser.confidence import Confidence, calibration_error, describe, fit, log_loss
from parser.config import from_dict
from parser.decode import Parse
from parser.train import train


def parse_with(score, leaves=1):
    return Parse(["a"], Tree("X", [Leaf("a")] * leaves), [0] * leaves, score)


def drawn(temperature, power, count=4000, seed=0):
    """Parses that are right as often as exp(s / (T n ** a)) says."""
    rng = random.Random(seed)
    parses, hits = [], []
    for _ in range(count):
        parse = parse_with(-rng.expovariate(2.0), rng.randint(1, 12))
        n = 2 + len(parse.positions)
        parses.append(parse)
        hits.append(rng.random() < math.exp(parse.score / (temperature * n**power)))
    return parses, hits


@pytest.mark.parametrize(("temperature", "power"), [(1.0, 0.0), (0.3, 0.0), (0.2, 0.5), (0.1, 1.0)])
def test_fitting_finds_what_the_chances_were_made_with(temperature, power):
    found = fit(*drawn(temperature, power))

    assert found.power == power
    assert found.temperature == pytest.approx(temperature, rel=0.15)
    parses, hits = drawn(temperature, power, seed=1)
    assert describe(found, parses, hits, [False] * len(parses))["calibration_error"] < 0.03


def test_a_confidence_is_the_score_at_its_temperature():
    found = Confidence(temperature=0.5, power=1.0, threshold=0.6)

    assert found.of(parse_with(-1.5, leaves=1)) == pytest.approx(math.exp(-1.5 / (0.5 * 3)))
    assert found.abstains(parse_with(-1.5)) and not found.abstains(parse_with(-0.3))


def test_the_share_to_abstain_on_is_kept_on_dev():
    parses, hits = drawn(0.5, 0.0)
    for share in (0.0, 0.05, 0.3):
        found = fit(parses, hits, share)
        assert np.mean([found.abstains(parse) for parse in parses]) == pytest.approx(share, abs=0.001)


def test_calibration_error_by_hand():
    sure = np.array([0.95, 0.95, 0.15, 0.15])
    assert calibration_error(sure, np.array([True, True, False, False])) == pytest.approx(0.1)
    assert calibration_error(sure, np.array([True, False, False, False])) == pytest.approx(0.5 * 0.45 + 0.5 * 0.15)
    assert log_loss(np.array([0.5, 0.5]), np.array([True, False])) == pytest.approx(math.log(2))


def test_precision_recall_and_auroc_by_hand():
    found = Confidence(threshold=0.5)
    parses = [parse_with(math.log(p)) for p in (0.9, 0.8, 0.4, 0.3, 0.6)]
    figures = describe(found, parses, [True, False, True, False, False], [False, False, False, True, True])

    assert figures["n"] == 5 and figures["outside"] == 2
    assert figures["precision"] == pytest.approx(1 / 2) and figures["recall"] == pytest.approx(1 / 2)
    assert figures["answered"] == pytest.approx(2 / 3) and figures["exact_match_answered"] == pytest.approx(1 / 2)
    assert figures["auroc"] == pytest.approx((3 + 2) / 6)


def test_a_model_that_was_trained_on_dev_is_not_calibrated(tmp_path):
    shards = write_shards(tmp_path / "shards")
    train(shards, tmp_path / "m", from_dict({**tiny().to_dict(), "data": {"join_dev": True}}))
    done = CliRunner().invoke(app, ["calibrate", "--model", str(tmp_path / "m"), "--shards", str(shards)])
    assert done.exit_code == 2 and "trained on dev too" in done.output


def test_the_command_writes_what_parsing_uses(tmp_path):
    shards = write_shards(tmp_path / "shards")
    settings = tiny().to_dict()
    data = {"by": "intent", "without": ["PlayMusicIntent"]}
    train(shards, tmp_path / "m", from_dict({**settings, "data": data, "train": settings["train"] | {"epochs": 12}}))
    run, model = CliRunner().invoke, str(tmp_path / "m")
    assert parser.load(model).confidence is None
    done = run(app, ["calibrate", "--model", model, "--shards", str(shards), "--test", "--abstain", "0.2"])
    assert done.exit_code == 0, done.output
    dev, test = (json.loads(line) for line in done.stdout.splitlines())
    parsed = run(app, ["parse", "--model", model, "--format", "json", "add salt and figs"])

    assert (dev["split"], test["split"]) == ("dev", "test")
    assert dev["outside"] > 0 and dev["answered"] == pytest.approx(0.8, abs=0.1)
    assert {"precision", "recall", "auroc"} <= set(test)
    found, row = parser.load(model).confidence, json.loads(parsed.stdout)
    assert row["confidence"] == pytest.approx(found.of(parser.load(model).parse("add salt and figs")), abs=1e-3)
    assert row["abstain"] == (row["confidence"] < found.threshold)
    Confidence(found.temperature, found.power, 1.0).save(tmp_path / "m")
    said = run(app, ["parse", "--model", model, "add salt", "play jazz"])
    assert len(said.stdout.splitlines()) == 2
    assert said.stderr.startswith(
        "note: 2 of 2 requests look unlike what the model was trained on (confidence below 1)"
    )
    assert not run(app, ["parse", "--model", model, "--format", "json", "add salt"]).stderr
    Confidence(found.temperature, found.power, 0.0).save(tmp_path / "m")
    assert not run(app, ["parse", "--model", model, "add salt"]).stderr
    for text in ("{", "[]", '{"temperature": "hot"}'):
        (tmp_path / "m" / "confidence.json").write_text(text)
        with pytest.raises(CheckpointError, match="calibrate the model again"):
            parser.load(model)


def test_a_confidence_does_not_outlive_the_weights_that_it_was_fitted_to(tmp_path):
    setup, model, _, _ = world(20)
    setup.save(tmp_path)
    save_best(tmp_path, model, {})
    Confidence(0.5).save(tmp_path)
    assert Confidence.load(tmp_path) == Confidence(0.5)

    save_best(tmp_path, model, {})

    assert Confidence.load(tmp_path) is None


def test_an_ensemble_is_one_directory_that_parses_and_is_calibrated(tmp_path):
    shards = write_shards(tmp_path / "shards")
    for name, seed in (("a", 1), ("b", 2)):
        settings = tiny().to_dict()
        train(shards, tmp_path / name, from_dict(settings | {"train": settings["train"] | {"epochs": 3, "seed": seed}}))
    run, together = CliRunner().invoke, str(tmp_path / "together")
    both = ["--model", str(tmp_path / "a"), "--model", str(tmp_path / "b")]
    made = run(app, ["ensemble", *both, "--output", together])
    assert made.exit_code == 0 and made.stdout == f"2 models in {together}\n", made.output

    # It is what the two are together, also when they are gone.
    said = [parser.load([tmp_path / "a", tmp_path / "b"]).parse(text) for text in ("add salt and figs", "play jazz")]

    def figures(*models):
        found = json.loads(run(app, ["evaluate", *models, "--shards", str(shards), "--json"]).stdout)
        return {name: figure for name, figure in found.items() if name != "utterances_per_cpu_second"}

    told = figures(*both)
    for name in "ab":
        (tmp_path / name).rename(tmp_path / f"{name}, elsewhere")
    ready = parser.load(together)
    assert ready.confidence is None
    assert [ready.parse(text) for text in ("add salt and figs", "play jazz")] == said
    assert figures("--model", together) == told

    done = run(app, ["calibrate", "--model", together, "--shards", str(shards), "--abstain", "0.2"])
    assert done.exit_code == 0 and json.loads(done.stdout)["answered"] == pytest.approx(0.8, abs=0.1), done.output
    fitted = Confidence.load(tmp_path / "together")
    assert fitted is not None and parser.load(together).confidence == fitted
    row = json.loads(run(app, ["parse", "--model", together, "--format", "json", "add salt and figs"]).stdout)
    assert row["confidence"] == pytest.approx(fitted.of(said[0]), abs=1e-3)
    assert parser.load([together, tmp_path / "a, elsewhere"]).confidence is None, "three are not what it was fitted to"


def test_an_ensemble_that_was_not_finished_leaves_no_directory(tmp_path, monkeypatch):
    setup, model, _, _ = world(20)
    setup.save(tmp_path / "a")
    save_best(tmp_path / "a", model, {})
    copy, left = shutil.copyfile, [8]

    def full(source, target):
        left[0] -= 1
        if not left[0]:
            raise OSError(errno.ENOSPC, "no space")
        return copy(source, target)

    monkeypatch.setattr("shutil.copyfile", full)
    with pytest.raises(OSError, match="no space"):
        save_ensemble([tmp_path / "a"] * 2, tmp_path / "e")
    assert not (tmp_path / "e").exists()
    save_ensemble([tmp_path / "a"] * 2, tmp_path / "e")
    assert sorted(path.name for path in (tmp_path / "e").iterdir()) == ["1", "2", "ensemble.json"]
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_what_is_no_ensemble_is_refused(tmp_path):
    setup, model, _, _ = world(20)
    other, stranger, _, _ = world(20, copy=False)
    for name, (about, network) in {"a": (setup, model), "b": (other, stranger)}.items():
        about.save(tmp_path / name)
        save_best(tmp_path / name, network, {"dev": {}})
    a, b, out = str(tmp_path / "a"), str(tmp_path / "b"), str(tmp_path / "e")

    def said(*args):
        done = CliRunner().invoke(app, [*args])
        assert done.exit_code == 2, done.output
        return done.output

    assert "two models or more" in said("ensemble", "--model", a, "--output", out)
    assert "the same labels, lexicon" in said("ensemble", "--model", a, "--model", b, "--output", out)
    assert not (tmp_path / "e").exists()
    assert "not empty; give another --output" in said("ensemble", "--model", a, "--model", a, "--output", b)
    assert CliRunner().invoke(app, ["ensemble", "--model", a, "--model", a, "--output", out]).exit_code == 0
    assert f"one of its models, such as {tmp_path / 'e' / '1'}" in said("inspect", "--model", out, "play jazz")
    with pytest.raises(CheckpointError, match="is an ensemble; give one of its models, such as "):
        load_model(out)
    assert "one of its models" in said("train", "--shards", out, "--output", str(tmp_path / "n"), "--init", out)
    shards = str(write_shards(tmp_path / "shards"))
    assert "already holds a run" in said("train", "--shards", shards, "--output", out)
    for text in (
        "{",
        "[]",
        '{"format": 1}',
        '{"format": 1, "models": 0}',
        '{"format": 9, "models": 2}',
        '{"format": 1, "models": "two"}',
    ):
        (tmp_path / "e" / "ensemble.json").write_text(text)
        with pytest.raises(CheckpointError, match=r"make it anew with `python -m parser ensemble`"):
            parser.load(out)
