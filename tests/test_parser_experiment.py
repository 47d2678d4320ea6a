"""Experiments: lines of results, tables, significance; ensembles."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from parsing import rows, setup_of, tiny, world, write_shards
from typer.testing import CliRunner

from grammar.actions import GENERATED, Action, Kind, oracle
from grammar.shard import ShardError
from parser import config as configs
from parser import experiment as experiments
from parser.__main__ import app
from parser.checkpoint import CheckpointError
from parser.config import ConfigError
from parser.decode import Search
from parser.ensemble import Ensemble
from parser.naive import NaiveParse
from parser.running import lines_of, run_all
from parser.significance import pack, paired_bootstrap, unpack
from parser.tables import difference, table
from parser.vocab import RED_SYMBOL

PLAN = """
title = "Invented"
baseline = "plain"
seeds = [1, 2]

[corpora.all]
shards = "invented"
train = { batch_size = 16, epochs = 3 }

[corpora.few]
shards = "invented"
data = { by = "intent", only = ["PlayMusicIntent"], rows = 20 }
train = { batch_size = 8, epochs = 3 }

[variants.plain]
config = "tiny"

[variants.no-copy]
config = "tiny"
model = { copy = false }
seeds = [1]

[variants.started]
config = "tiny"
start = { auxiliary = 2, train = { epochs = 1 } }
seeds = [1]

[variants.after-other-corpora]
config = "tiny"
start = { shards = ["second", "invented", "third"], train = { epochs = 1 } }
seeds = [1]

[variants.after-others]
config = "tiny"
start = { others = true, train = { epochs = 1 } }
seeds = [1]

[variants.together]
config = "tiny"
model = { domains = "ter" }
data = { by = "intent" }
together = true
seeds = [1]

[variants.both]
ensemble = ["plain"]

[variants.best]
choose = ["plain", "no-copy"]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a data set and an experiment."""
    where = tmp_path_factory.mktemp("experiment")
    write_shards(where / "invented", train=80)
    write_shards(where / "second", train=30, seed=5, corpus="second")
    write_shards(where / "third", train=20, seed=9, corpus="third")
    (where / "plan.toml").write_text(PLAN)
    return where


def test_an_experiment_runs_once_and_shows_its_table(folder):
    page = folder / "page.md"
    page.write_text("before\n<!-- experiment: plan -->\n<!-- /experiment: plan -->\nafter\n")
    paths = ["--shards", str(folder), "--runs", str(folder / "runs"), "--results", str(folder / "results")]
    command = ["experiment", str(folder / "plan.toml"), *paths, "--page", str(page), "--device", "cpu", "--jobs", "1"]
    first = CliRunner().invoke(app, command)
    assert first.exit_code == 0, first.output
    text = (folder / "results" / "plan.jsonl").read_text()
    again = CliRunner().invoke(app, command)

    assert again.exit_code == 0 and again.stdout == first.stdout
    assert (folder / "results" / "plan.jsonl").read_text() == text, "runs with a line are skipped"
    lines = [json.loads(line) for line in text.splitlines()]
    places = [(line["corpus"], line["variant"], line["seed"]) for line in lines]
    assert len(set(places)) == len(places) == 16
    for line in lines:
        hits = np.concatenate([unpack(packed) for packed in line["test"]["hits"].values()])
        assert hits.mean() == pytest.approx(line["test"]["exact_match"])
        assert len(hits) == line["test"]["n"], "rejected rows are misses"
    started = next(line for line in lines if line["variant"] == "started" and line["corpus"] == "few")
    assert started["auxiliary"]["chosen"] in [tried for tried, _ in started["auxiliary"]["dev"]]
    assert "PlayMusicIntent" not in started["auxiliary"]["chosen"]
    assert started["settings"][1]["data.only"] == ["PlayMusicIntent"]
    after = next(line for line in lines if line["variant"] == "after-others" and line["corpus"] == "few")
    assert after["settings"][0]["data.without"] == after["settings"][1]["data.only"] == ["PlayMusicIntent"]
    assert after["test"]["n"] == started["test"]["n"] and "abstention" not in after
    elsewhere = next(line for line in lines if line["variant"] == "after-other-corpora" and line["corpus"] == "few")
    assert elsewhere["start"] == ["second", "third"] and elsewhere["test"]["n"] == started["test"]["n"]
    begun = [path for path in folder.glob("runs/*/model.json") if '"second + third"' in path.read_text("utf-8")]
    assert len(begun) == 2, "once for each corpus, which have batches of their own"
    assert "data.by" not in elsewhere["settings"][0], "other data sets are read whole"
    together = next(line for line in lines if line["variant"] == "together" and line["corpus"] == "few")
    assert together["test"]["n"] == started["test"]["n"] < 25, "evaluated on the target alone"
    assert "data.only" not in together["settings"][0] and together["settings"][0]["data.rows"] == 20
    table = first.stdout
    assert table.startswith("|  | mean | all | few | dev | over plain | 95 % | p | seeds |")
    assert "| best |" in table and "| both |" in table and " ± " in table
    before, shown, after = page.read_text().partition(table)
    assert shown and before.startswith("before\n<!-- experiment") and after.endswith("after\n")


def test_a_dry_run_prints_what_is_there_and_runs_nothing(folder, tmp_path):
    paths = ["--shards", str(folder), "--runs", str(tmp_path), "--results", str(tmp_path)]
    done = CliRunner().invoke(app, ["experiment", str(folder / "plan.toml"), *paths, "--dry-run"])

    assert done.exit_code == 0, done.output
    assert not list(tmp_path.iterdir())


def test_hashes_follow_what_is_changed_and_nothing_else(folder):
    plan = experiments.load(str(folder / "plan.toml"))
    keys = [run.key(str) for run in plan.runs]
    assert len(set(keys)) == len({(r.corpus, r.variant, r.seed) for r in plan.runs})
    other = {"invented": "invented", "second": "other", "third": "third"}.__getitem__
    changed = {run.variant for run, key in zip(plan.runs, keys, strict=True) if run.key(other) != key}
    assert changed == {"after-other-corpora"}, "a run is known by the rows of all that it reads"
    assert not set(keys) & {run.key(lambda name: "x") for run in plan.runs}
    assert experiments.changed(configs.load("base", ["model.dropout=0.4"])) == {}
    assert experiments.changed(configs.load("base", ["model.copy=false"])) == {"model.copy": False}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[variants.plain]", "[variants.plan]", "baseline `plain` is not one of the variants plan,"),
        ("seeds = [1, 2]", "seed = [1, 2]", "unknown key `seed`; known: .*seeds"),
        ("model = { copy = false }", "model = { coppy = false }", "`model.coppy`; the nearest is `model.copy`"),
        ('title = "Invented"', "title = Invented", "Invalid value"),
        (
            "[variants.no-copy]",
            "[variants.plain.on.moon]\n[variants.no-copy]",
            r"\[variants.plain.on.moon\] is of no corpus",
        ),
        ('choose = ["plain", "no-copy"]', 'choose = ["plain", "nope"]', r"choose: no variant `nope` stands above it"),
        ('ensemble = ["plain"]', 'ensemble = ["best"]', r"ensemble: no variant `best` stands above it"),
        ('ensemble = ["plain"]', 'ensemble = ["plain"]\nseeds = [1]', r"`seeds` says nothing beside `ensemble`"),
        ("together = true", "together = true\nstart = {}", "has `together` and `start`"),
        ("seeds = [1, 2]", 'group = "domian"', "group must be `domain` or left out, not `domian`"),
        ("auxiliary = 2", "auxilliary = 2", r"\[variants.started\] start: unknown key `auxilliary`"),
        ("others = true, train", 'others = true, shards = ["a"], train', "`others` is of the target's data set"),
        ('["second", "invented", "third"]', '["invented/"]', "names no data set but the target's, `invented`"),
        ('["second", "invented", "third"]', '["second", "second"]', "names a data set twice: second, second"),
        ('shards = ["second", "invented", "third"]', 'shards = "second"', "`shards` must be a list of data sets"),
        ("auxiliary = 2", "auxiliary = 4", "auxiliary must lie between 0 and 3"),
    ],
)
def test_a_bad_plan_says_what_is_wrong(tmp_path, old, new, message):
    (tmp_path / "bad.toml").write_text(PLAN.replace(old, new, 1))

    with pytest.raises((ConfigError, KeyError), match=message):
        experiments.load(str(tmp_path / "bad.toml"))


def test_a_variant_may_have_settings_of_its_own_on_a_corpus(tmp_path):
    plan = """
    [corpora.one]
    train = { epochs = 5 }
    [corpora.two]
    [variants.base]
    train = { batch_size = 8 }
    [variants.base.on.one]
    train = { swap = 0.5, epochs = 7 }
    """
    (tmp_path / "plan.toml").write_text(plan)
    one, two = experiments.load(str(tmp_path / "plan.toml")).runs

    assert experiments.changed(one.stages[0]) == {"train.batch_size": 8, "train.epochs": 7, "train.swap": 0.5}
    assert experiments.changed(two.stages[0]) == {"train.batch_size": 8}


def test_others_leave_the_target_out_wherever_it_is_named(tmp_path):
    plan = """
    [corpora.one]
    [variants.base]
    data = { by = "intent", only = ["X"], rows = 50 }
    start = { others = true, data = { without = ["Y"] } }
    """
    (tmp_path / "plan.toml").write_text(plan)
    [run] = experiments.load(str(tmp_path / "plan.toml")).runs

    assert experiments.changed(run.stages[0]) == {"data.by": "intent", "data.without": ["Y", "X"]}


def test_a_run_that_fails_leaves_the_lines_of_the_others(folder, tmp_path):
    plan = """
    [corpora.invented]
    train = { epochs = 1 }
    [variants.none]
    config = "tiny"
    data = { only = ["golf"] }
    [variants.plain]
    config = "tiny"
    """
    (tmp_path / "fails.toml").write_text(plan)
    told: list[str] = []
    arguments = (experiments.load(str(tmp_path / "fails.toml")), folder, tmp_path / "lines.jsonl", tmp_path / "runs")
    with pytest.raises(ShardError, match="no domain golf"):
        run_all(*arguments, report=told.append)

    assert [line["variant"] for line in lines_of(tmp_path / "lines.jsonl")] == ["plain"]
    assert any("failed" in text and "golf" in text for text in told)


def test_a_table_shows_no_dev_that_was_trained_on_and_counts_an_utterance_once(tmp_path):
    plan = """
    baseline = "plain"
    [corpora."few 50"]
    shards = "x"
    data = { rows = 50 }
    [corpora."few 100"]
    shards = "x"
    data = { rows = 100 }
    [variants.plain]
    [variants.joined]
    data = { join_dev = true }
    [variants.both]
    ensemble = ["joined"]
    """
    (tmp_path / "plan.toml").write_text(plan)
    made = experiments.load(str(tmp_path / "plan.toml"))
    random = np.random.default_rng(1)
    right = {"plain": random.random(200) < 0.5, "joined": random.random(200) < 0.6, "both": random.random(200) < 0.7}
    lines = [
        {"corpus": run.corpus, "variant": run.variant, "seed": run.seed, "cpu_seconds": 60.0}
        | {
            split: {"exact_match": float(right[run.variant].mean()), "hits": {"": pack(right[run.variant])}}
            for split in ("dev", "test")
        }
        for run in made.runs
    ]
    rows = {
        row.split(" | ")[0].strip("| "): [cell.strip() for cell in row.split("|")]
        for row in table(made, lines).splitlines()
    }
    assert rows["plain"][5] and not rows["joined"][5] and not rows["both"][5]
    found = difference(made, lines, "joined", "test")
    alone = paired_bootstrap({"": right["joined"]}, {"": right["plain"]})
    assert (found.low, found.high, found.p) == (alone.low, alone.high, alone.p)


def test_a_difference_is_over_the_corpora_that_both_were_tried_on(folder):
    plan = experiments.load(str(folder / "plan.toml"))
    random = np.random.default_rng(1)
    bits = {key: random.random(50) < 0.5 for key in (("all", "plain"), ("few", "plain"), ("all", "no-copy"))}
    lines = [
        {"corpus": corpus, "variant": variant, "seed": 1, "cpu_seconds": 60.0}
        | {split: {"exact_match": hits.mean(), "hits": {"": pack(hits)}} for split in ("dev", "test")}
        for (corpus, variant), hits in bits.items()
    ]

    found = difference(plan, lines, "no-copy", "test")

    assert found.mean == pytest.approx(bits["all", "no-copy"].mean() - bits["all", "plain"].mean())
    row = next(row for row in table(plan, lines).splitlines() if row.startswith("| no-copy"))
    assert f"| {100 * found.mean:+.1f} |" in row
    assert difference(plan, lines[1:], "no-copy", "test") is None


def test_every_experiment_that_comes_along_can_be_read():
    assert experiments.names()
    for name in experiments.names():
        plan = experiments.load(name)
        assert plan.runs and plan.baseline in plan.variants


def test_a_broken_line_is_named(tmp_path):
    (tmp_path / "r.jsonl").write_text('{"key": 1}\n{"key"\n')

    with pytest.raises(ConfigError, match=r"r\.jsonl:2: not JSON"):
        lines_of(tmp_path / "r.jsonl")


@given(st.lists(st.booleans(), max_size=300))
def test_hits_survive_packing(hits):
    assert unpack(json.loads(json.dumps(pack(hits)))).tolist() == hits


def test_bootstrap_tells_a_difference_from_none():
    random = np.random.default_rng(0)
    a = {"x": random.random(400) < 0.5, "y": random.random(100) < 0.5}
    same = paired_bootstrap(a, a)
    assert (same.mean, same.low, same.high, same.p) == (0, 0, 0, 1)
    better = {name: hits | (random.random(len(hits)) < 0.2) for name, hits in a.items()}
    found = paired_bootstrap(better, a)
    assert found.low < found.mean < found.high and found.p < 0.01
    mean = np.mean([better[name].mean() - a[name].mean() for name in a])
    assert found.mean == pytest.approx(mean), "the mean of the groups, however many utterances each has"
    back = paired_bootstrap(a, better)
    assert back.mean == pytest.approx(-found.mean) and back.p < 0.01
    with pytest.raises(ValueError, match="same utterances"):
        paired_bootstrap(a, {"x": a["x"]})


def test_bootstrap_intervals_hold_what_they_promise():
    random = np.random.default_rng(1)
    held = 0
    for _ in range(200):
        gap = {"x": (random.random(150) < 0.6).astype(float)}
        found = paired_bootstrap(gap, {"x": (random.random(150) < 0.5).astype(float)}, resamples=400)
        held += found.low <= 0.1 <= found.high
    assert 175 <= held <= 200


@pytest.mark.parametrize("changes", [{}, {"stack": True, "marginal": True, "lexicon_min": 1}, {"joint": False}])
@pytest.mark.parametrize("beam", [1, 3])
def test_an_ensemble_of_one_model_is_that_model(changes, beam):
    setup, model, _, data = world(40, **changes)
    utterances = [row["words"] for row in data[:12]]
    alone = Search(model, setup.vocab).parse(utterances, beam)
    for times in (1, 2):
        together = Ensemble([(model, setup.vocab)] * times).parse(utterances, [""] * len(utterances), 16, beam)

        assert [p.tree for p in together] == [p.tree for p in alone]
        assert [p.positions for p in together] == [p.positions for p in alone]
        assert [p.score for p in together] == pytest.approx([p.score for p in alone], abs=1e-3)


def action_of(choice, words, vocab):
    if choice == RED_SYMBOL:
        return Action(Kind.RED, "", GENERATED)
    if choice >= vocab.symbols:
        return Action(Kind.TER, words[choice - vocab.symbols], choice - vocab.symbols)
    kind = Kind.NT if choice <= len(vocab.labels) else Kind.TER
    return Action(kind, vocab.symbol_name(choice), GENERATED)


@torch.inference_mode()
def test_an_ensemble_takes_the_likeliest_by_the_mean_of_probabilities_at_every_step():
    data = rows(12)
    setup = setup_of(data, tiny())
    vocab = setup.vocab
    models = []
    for seed in (3, 4, 5):
        torch.manual_seed(seed)
        models.append(setup.build().eval())
    utterances = [row["words"] for row in data]
    together = Ensemble([(model, vocab) for model in models]).parse(utterances, [""] * len(utterances))
    differs = False
    for words, parse in zip(utterances, together, strict=True):
        members = [NaiveParse(model, vocab, setup.ontology, words) for model in models]
        for action in oracle(parse.tree, parse.positions):
            if len(words) * 4 + 16 < members[0].state.taken:
                break  # near the budget the mask is narrower
            each = torch.stack([member.logp().exp() for member in members])
            best = int(each.mean(0).argmax())
            differs |= best != int(each[0].argmax())
            assert action_of(best, words, vocab) == action
            for member in members:
                member.take(action)
    assert differs, "the members agree everywhere, so nothing was tried"


def test_an_ensemble_refuses_models_of_other_labels():
    a, b = setup_of(rows(40), tiny()), setup_of(rows(5), tiny())
    with pytest.raises(CheckpointError, match="the same labels"):
        Ensemble([(a.build(), a.vocab), (b.build(), b.vocab)])
