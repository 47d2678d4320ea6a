"""Calibrated confidence and abstention."""

from __future__ import annotations

import json
import math
import random

import numpy as np
import pytest
from parsing import tiny, world, write_shards
from typer.testing import CliRunner

import parser
from grammar.tree import Leaf, Tree
from parser.__main__ import app
from parser.checkpoint import CheckpointError, save_best
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
