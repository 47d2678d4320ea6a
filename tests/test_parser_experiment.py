"""Experiments: lines of results, tables, significance; ensembles."""

from __future__ import annotations

import json
from dataclasses import replace

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
from parser import running
from parser.__main__ import app
from parser.checkpoint import CheckpointError
from parser.config import ConfigError
from parser.decode import Search
from parser.ensemble import Ensemble
from parser.naive import NaiveParse
from parser.running import keys_of, lines_of, run_all
from parser.significance import pack, paired_bootstrap, unpack
from parser.tables import chosen, difference, newest, table
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
data = { by = "intent", only = ["PlayMusicIntent"] }
start = { auxiliary = 2, train = { epochs = 1 } }
seeds = [1]

[variants.after-other-corpora]
config = "tiny"
start = { shards = ["second", "invented", "third"], train = { epochs = 1 } }
seeds = [1]

[variants.after-others]
config = "tiny"
data = { by = "intent", only = ["PlayMusicIntent"] }
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
    few = CliRunner().invoke(app, [*command, "--corpus", "few"])
    assert few.exit_code == 0, few.output
    # `started` and `after-others` have a target of their own there, so their figures are of other utterances.
    for variant in ("best", "both", "after-other-corpora", "together"):
        command += ["--variant", variant]
    command += ["--corpus", "all"]
    first = CliRunner().invoke(app, command)
    assert first.exit_code == 0, first.output
    text = (folder / "results" / "plan.jsonl").read_text()
    again = CliRunner().invoke(app, command)

    assert again.exit_code == 0 and again.stdout == first.stdout
    assert (folder / "results" / "plan.jsonl").read_text() == text, "runs with a line are skipped"
    lines = [json.loads(line) for line in text.splitlines()]
    places = [(line["corpus"], line["variant"], line["seed"]) for line in lines]
    assert len(set(places)) == len(places) == 14
    for line in lines:
        hits = np.concatenate([unpack(packed) for packed in line["test"]["hits"].values()])
        assert hits.mean() == pytest.approx(line["test"]["exact_match"])
        assert len(hits) == line["test"]["n"], "rejected rows are misses"
    started = next(line for line in lines if line["variant"] == "started" and line["corpus"] == "few")
    tried = started["auxiliary"]["dev"]
    assert sorted(names for names, _ in tried) == [["AddToListIntent"], ["and"]]
    assert (
        started["auxiliary"]["chosen"] == started["settings"][0]["data.only"] == max(tried, key=lambda one: one[1])[0]
    )
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
    assert table.startswith("|  | mean | all | few | dev of few | over plain | 95 % | p | seeds |")
    assert "| best |" in table and "| both |" in table and " ± " in table
    before, shown, after = page.read_text().partition(table)
    assert shown and before.startswith("before\n<!-- experiment") and after.endswith("after\n")


def line_of(run, key="", dev=0.5, test=0.5, **more):
    """A line of results: so large a share of ten utterances is right."""
    shares = {"dev": dev, "test": test}
    figures = {
        split: {"exact_match": share, "hits": {"": pack(np.arange(10) < 10 * share)}} for split, share in shares.items()
    }
    return (
        {"corpus": run.corpus, "variant": run.variant, "seed": run.seed, "key": key, "cpu_seconds": 60.0}
        | figures
        | more
    )


def write_lines(path, lines):
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def rows_of(text):
    """The cells of a Markdown table: {row: {column: cell}}."""
    head, _, *rest = ([cell.strip() for cell in row.strip("|\n").split("|")] for row in text.splitlines())
    return {row[0]: dict(zip(head[1:], row[1:], strict=True)) for row in rest}


def test_a_dry_run_prints_what_is_there_and_runs_nothing(folder, tmp_path):
    plan = experiments.load(str(folder / "plan.toml"))
    keys = keys_of(plan, folder)
    shares = {("plain", 1): 0.6, ("plain", 2): 0.8, ("no-copy", 1): 0.3}
    lines = [
        line_of(run, keys[run.corpus, run.variant, run.seed], test=shares[run.variant, run.seed])
        for run in plan.runs
        if (run.variant, run.seed) in shares
    ]
    results, page = tmp_path / "plan.jsonl", tmp_path / "page.md"
    write_lines(results, lines)
    page.write_text("<!-- experiment: plan -->\n<!-- /experiment: plan -->\n")
    paths = ["--shards", str(folder), "--runs", str(tmp_path / "runs"), "--results", str(tmp_path), "--page", str(page)]
    command = ["experiment", str(folder / "plan.toml"), *paths, "--dry-run"]
    done = CliRunner().invoke(app, command)

    assert done.exit_code == 0, done.output
    assert not (tmp_path / "runs").exists() and lines_of(results) == lines
    shown = rows_of(done.stdout)
    assert shown["plain"]["mean"] == "**70.0 ± 14.1**" and shown["no-copy"]["few"] == "30.0"
    assert shown["best"]["all"] == "70.0 ± 14.1" and "belong to" not in done.stderr
    assert done.stdout in page.read_text()

    # Lines of settings that the plan no longer has are told of, and do not empty the page.
    write_lines(results, [line | {"key": "other"} if line["seed"] == 2 else line for line in lines])
    fewer = CliRunner().invoke(app, [*command[:-3], "--dry-run"])
    assert fewer.exit_code == 0 and "2 of the 6 lines of plan.jsonl belong to other settings" in fewer.stderr
    write_lines(results, [line for line in lines if line["variant"] == "plain"])
    lost = CliRunner().invoke(app, command)
    assert (
        lost.exit_code == 2
        and "give the settings and --shards that its lines were made with, or --force" in lost.stderr
    )
    assert done.stdout in page.read_text() and "no-copy" not in lost.stdout
    forced = CliRunner().invoke(app, [*command, "--force"])
    assert forced.exit_code == 0 and "no-copy" not in page.read_text() and forced.stdout in page.read_text()


def test_a_part_of_an_experiment_is_named_by_what_it_has(folder):
    plan = experiments.load(str(folder / "plan.toml"))

    assert plan.select() == plan.runs
    assert {run.variant for run in plan.select(variants=["best"])} == {"plain", "no-copy"}
    assert {run.corpus for run in plan.select(corpora=["few"])} == {"few"}
    assert {(run.variant, run.seed) for run in plan.select(variants=["plain", "both"], seeds=[2])} == {("plain", 2)}
    assert len(plan.select(["few"], ["both"], [1, 2])) == 1
    with pytest.raises(ConfigError, match="no corpus `fwe`; the nearest is `few`; there are all, few"):
        plan.select(corpora=["fwe"])
    with pytest.raises(ConfigError, match="no variant `bsae`; there are plain, no-copy,"):
        plan.select(variants=["bsae"])
    with pytest.raises(ConfigError, match="no seed `3`; there are 1, 2"):
        plan.select(seeds=[3])
    with pytest.raises(ConfigError, match="no run with all that --corpus, --variant and --seed ask for"):
        plan.select(variants=["both"], seeds=[1])


@pytest.mark.parametrize("dry", [[], ["--dry-run"]])
def test_a_command_refuses_a_part_that_is_not_there(folder, tmp_path, dry):
    paths = ["--shards", str(folder), "--runs", str(tmp_path), "--results", str(tmp_path)]
    done = CliRunner().invoke(app, ["experiment", str(folder / "plan.toml"), *paths, "--variant", "plian", *dry])

    assert done.exit_code == 2 and "no variant `plian`; the nearest is `plain`" in done.stderr


def test_what_cannot_be_compared_is_told_before_anything_runs(folder, tmp_path):
    paths = ["--shards", str(folder), "--runs", str(tmp_path), "--results", str(tmp_path)]
    parts = ["--corpus", "all", "--variant", "plain", "--variant", "started"]
    done = CliRunner().invoke(app, ["experiment", str(folder / "plan.toml"), *paths, *parts])

    assert done.exit_code == 2 and not list(tmp_path.iterdir())
    assert "`started` is evaluated on other rows of all than `plain`" in done.stderr
    assert "give `data.only` in [corpora.all]" in done.stderr


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
        ("others = true, train", 'others = true, shards = ["a"], train', "`others` and `shards` both say what is read"),
        (
            "others = true, train",
            "others = true, auxiliary = 1, train",
            "`auxiliary` and `others` both say what is read",
        ),
        (
            "start = { others = true, train",
            "start = { train",
            "start does not say what is read first; give `auxiliary`",
        ),
        ("auxiliary = 2", "auxiliary = 0", "start does not say what is read first"),
        (
            'only = ["PlayMusicIntent"] }\nstart = { auxiliary',
            "rows = 50 }\nstart = { auxiliary",
            "`auxiliary` needs to know the target; name its domains in `data.only`",
        ),
        (
            'only = ["PlayMusicIntent"] }\nstart = { others',
            "rows = 50 }\nstart = { others",
            "`others` needs to know the target",
        ),
        (
            'only = ["PlayMusicIntent"] }\nstart = { auxiliary',
            'only = ["PlayMusicIntent"], join_dev = true }\nstart = { auxiliary',
            "dev chooses the auxiliary domain, so `data.join_dev` cannot",
        ),
        (
            "model = { copy = false }",
            "data = { join_dev = true }",
            "choose: `no-copy` trains on dev .*cannot choose it",
        ),
        ('["plain", "no-copy"]', '["best"]', "choose: no variant `best` stands above it"),
        ('["plain", "no-copy"]', "[]", r"\[variants.best\]: `choose` must be a list of strings, not \[\]"),
        ("seeds = [1, 2]", "seeds = 3", "`seeds` must be a list of whole numbers, not 3"),
        ("seeds = [1, 2]", 'seeds = ["1"]', r"`seeds` must be a list of whole numbers, not \['1'\]"),
        ('title = "Invented"', 'test = "no"', "`test` must be true or false, not 'no'"),
        ('shards = "invented"', "shards = 3", r"\[corpora.all\]: `shards` must be a string, not 3"),
        ("train = { batch_size = 16, epochs = 3 }", "train = 3", r"\[corpora.all\]: `train` must be a table, not 3"),
        ('[variants.plain]\nconfig = "tiny"', "[variants]\nplain = 3", r"\[variants.plain\] must be a table, not 3"),
        ("start = { others = true, train = { epochs = 1 } }", "start = true", "`start` must be a table, not True"),
        ("auxiliary = 2", "auxiliary = true", "`auxiliary` must be a whole number, not True"),
        (
            "others = true, train",
            "others = true, data = { without = 3 }, train",
            "`data.without` must be a list of str",
        ),
        ('["second", "invented", "third"]', '["invented/"]', "names no data set but the target's, `invented`"),
        ('["second", "invented", "third"]', '["second", "second"]', "names a data set twice: second, second"),
        (
            'shards = ["second", "invented", "third"]',
            'shards = "second"',
            "`shards` must be a list of strings, not 'second'",
        ),
        ("auxiliary = 2", "auxiliary = 4", "auxiliary must lie between 0 and 3"),
    ],
)
def test_a_bad_plan_says_what_is_wrong(tmp_path, old, new, message):
    (tmp_path / "bad.toml").write_text(PLAN.replace(old, new, 1))

    with pytest.raises((ConfigError, KeyError), match=message):
        experiments.load(str(tmp_path / "bad.toml"))


def test_an_experiment_is_of_tables(tmp_path):
    (tmp_path / "bad.toml").write_text("corpora = 3\n[variants.plain]\n")

    with pytest.raises(ConfigError, match=r"bad\.toml: `corpora` must be a table, not 3"):
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


def plan_of(tmp_path, text):
    (tmp_path / "plan.toml").write_text(text)
    return experiments.load(str(tmp_path / "plan.toml"))


def test_a_mean_over_corpora_takes_the_seeds_that_all_have(tmp_path):
    made = plan_of(tmp_path, "seeds = [1, 2, 3]\n[corpora.x]\n[corpora.y]\n[variants.plain]\n")
    shares = {("x", 1): 1.0, ("x", 2): 0.2, ("x", 3): 0.4, ("y", 2): 0.6, ("y", 3): 0.8}
    lines = [line_of(run, test=shares[run.corpus, run.seed]) for run in made.runs if (run.corpus, run.seed) in shares]
    row = rows_of(table(made, lines))["plain"]

    assert row["mean"] == "**50.0 ± 14.1**"  # of 40 and 60
    assert row["x"].startswith("53.3") and row["y"].startswith("70.0")
    none = [line for line in lines if (line["corpus"], line["seed"]) in (("x", 1), ("y", 2))]
    assert rows_of(table(made, none))["plain"]["mean"] == ""


def test_a_data_set_without_some_labels_is_a_corpus_of_its_own(tmp_path):
    plan = """
    [corpora.all]
    shards = "x"
    [corpora.supported]
    shards = "x"
    without = "IN:UNSUPPORTED*"
    [variants.plain]
    [variants.other]
    """
    made = plan_of(tmp_path, plan)
    right = {"all": 10, "supported": 8}
    lines = [
        line_of(run)
        | {
            split: {"exact_match": 1.0, "hits": {"": pack(np.ones(right[run.corpus], bool))}}
            for split in ("dev", "test")
        }
        for run in made.runs
    ]

    assert difference(made, lines, "other", "test").mean == 0
    assert rows_of(table(made, lines))["other"]["mean"] == "**100.0**"


def test_what_is_called_otherwise_now_is_not_trained_again(folder, tmp_path):
    plan = '[corpora.old]\nshards = "invented"\n[variants.plain]\nconfig = "tiny"\n'
    old = plan_of(tmp_path, plan)
    write_lines(tmp_path / "r.jsonl", [line_of(old.runs[0], key, test=0.7) for key in keys_of(old, folder).values()])
    new = plan_of(tmp_path, plan.replace("old", "new") + '[variants.same]\nconfig = "tiny"\n')
    told = []
    added = run_all(new, folder, tmp_path / "r.jsonl", tmp_path / "runs", report=told.append)

    assert added == 2 and not (tmp_path / "runs").exists()
    assert told == [
        "new plain seed 1: has the line of old plain 1, which is the same",
        "new same seed 1: has the line of old plain 1, which is the same",
    ]
    shown = rows_of(table(new, newest(lines_of(tmp_path / "r.jsonl"), keys_of(new, folder))))
    assert shown["plain"]["new"] == shown["same"]["new"] == "70.0"
    assert run_all(new, folder, tmp_path / "r.jsonl", tmp_path / "runs", report=told.append) == 0
    by_domain = plan_of(tmp_path, 'group = "domain"\n' + plan)
    assert not set(keys_of(by_domain, folder).values()) & set(keys_of(old, folder).values()), "hits lie elsewhere"


def test_what_is_best_on_dev_is_chosen_for_each_corpus(tmp_path):
    plan = plan_of(
        tmp_path,
        "seeds = [1, 2]\n[corpora.x]\n[corpora.y]\n[variants.a]\n[variants.b]\n[variants.c]\n"
        '[variants.best]\nchoose = ["a", "b", "c"]\n',
    )
    # (dev, test) by corpus and variant; one seed of `a` on x is the best of all, its mean is not.
    figures = {
        "x": {"a": ((0.9, 0.1), 0.1), "b": ((0.6, 0.6), 0.2), "c": ((0.4, 0.4), 0.9)},
        "y": {"a": ((0.2, 0.2), 0.9), "b": ((0.3, 0.3), 0.8), "c": ((0.7, 0.7), 0.3)},
    }
    lines = []
    for run in plan.runs:
        dev, test = figures[run.corpus][run.variant]
        lines.append(line_of(run, dev=dev[run.seed - 1], test=test))
    found = {(line["corpus"], line["seed"]): line["chosen"] for line in chosen(plan, lines)}

    assert found == {("x", 1): "b", ("x", 2): "b", ("y", 1): "c", ("y", 2): "c"}
    shown = rows_of(table(plan, lines))["best"]
    assert (shown["x"], shown["y"], shown["dev"]) == ("20.0 ± 0.0", "30.0 ± 0.0", "65.0")
    assert not chosen(plan, [line for line in lines if line["variant"] != "c"]), "until all are there nothing is"


def test_the_auxiliary_domain_that_is_best_on_dev_is_chosen(folder, tmp_path, monkeypatch):
    run = next(run for run in experiments.load(str(folder / "plan.toml")).runs if run.variant == "started")
    dev = {"low": 0.2, "high": 0.7, "middle": 0.5}

    def trained(where, stages, runs, device, name):
        [domain] = stages[0].data.only
        (tmp_path / domain).mkdir()
        (tmp_path / domain / "model.json").write_text(json.dumps({"dev": {"exact_match": dev[domain]}}))
        return tmp_path / domain

    monkeypatch.setattr(running, "trained", trained)
    monkeypatch.setattr(running, "candidates", lambda run, where: [[name] for name in dev])
    (first, target), told = running.choose(run, folder, tmp_path, "cpu")

    assert first.data.only == ("high",) and first.train == run.stages[0].train and target == run.stages[1]
    assert told == {"chosen": ["high"], "dev": [[["low"], 0.2], [["high"], 0.7], [["middle"], 0.5]]}


def test_auxiliary_domains_are_tried_by_how_much_of_the_target_they_know(tmp_path):
    # The fewer rows of the same world a domain has, the fewer labels and words of the target it knows.
    sizes = {"far": 1, "mid": 5, "near": 60, "target": 60}
    where = tuple(write_shards(tmp_path / name, size, seed=3, corpus=name) for name, size in sizes.items())
    data = {"by": "corpus", "only": ["target"]}
    stages = tuple(configs.from_dict(tiny().to_dict() | {"data": one}) for one in ({"by": "corpus"}, data))
    run = experiments.Run("target", "started", 1, "target", stages=stages, auxiliary=2)

    assert running.candidates(run, where) == [["near"], ["mid"]]
    assert running.candidates(replace(run, auxiliary=3), where) == [["near"], ["mid"], ["far"]]


def test_dev_is_shown_over_the_corpora_that_all_rows_have(tmp_path):
    plan = plan_of(
        tmp_path,
        """
    seeds = [1, 2]
    [corpora.easy]
    [corpora.hard]
    [corpora.harder]
    [variants.whole]
    [variants.part]
    [variants.joined]
    data = { join_dev = true }
    """,
    )
    dev = {("whole", "easy"): 0.9, ("whole", "hard"): 0.4, ("whole", "harder"): 0.2, ("part", "easy"): 0.8}
    dev |= {("joined", "hard"): 1.0, ("part", "hard"): 0.5}
    # A second seed on one corpus does not make that corpus count twice.
    lines = [
        line_of(run, dev=dev[run.variant, run.corpus])
        for run in plan.runs
        if (run.variant, run.corpus) in dev and (run.seed == 1 or run.corpus == "easy")
    ]

    shown = rows_of(table(plan, lines))
    assert {name: row["dev of easy, hard"] for name, row in shown.items()} == {
        "whole": "65.0",
        "part": "65.0",
        "joined": "",
    }
    apart = [line for line in lines if line["variant"] != "part" or line["corpus"] == "hard"]
    apart = [line for line in apart if line["variant"] != "whole" or line["corpus"] == "easy"]
    assert {row["dev"] for row in rows_of(table(plan, apart)).values()} == {""}, "no corpus is shared"


def test_an_experiment_about_abstention_has_a_table_of_it(tmp_path):
    text = "abstention = true\nseeds = [1, 2]\n[corpora.golf]\n[corpora.news]\n[variants.all]\n"
    plan = plan_of(tmp_path, text)
    figures = {"n": 700, "outside": 86, "precision": 0.25, "recall": 0.15, "auroc": 0.625, "answered": 0.93}
    figures |= {"exact_match_answered": 0.858, "calibration_error": 0.01}
    lines = [
        line_of(run, abstention={"dev": {}, "test": figures | {"recall": 0.1 * run.seed}})
        for run in plan.runs
        if run.corpus == "golf"
    ]

    assert rows_of(table(plan, lines)) == {
        "golf": {
            "outside": "86 of 700",
            "precision": "25.0 ± 0.0",
            "recall": "15.0 ± 7.1",
            "auroc": "62.5 ± 0.0",
            "answered, of those inside": "93.0 ± 0.0",
            "exact match of these": "85.8 ± 0.0",
        }
    }


def test_every_experiment_that_comes_along_can_be_read():
    assert experiments.names()
    for name in experiments.names():
        plan = experiments.load(name)
        assert plan.runs and plan.baseline in plan.variants


def test_a_broken_line_is_named(tmp_path):
    for text in ("[]", "3", '{"a": 1}'):
        (tmp_path / "s.jsonl").write_text(text)
        with pytest.raises(ConfigError, match=r"s\.jsonl:1: not the figures of a run; delete the line"):
            lines_of(tmp_path / "s.jsonl")
    written = {"key": "", "corpus": "", "variant": "", "seed": 1, "dev": {}}
    write_lines(tmp_path / "r.jsonl", [written])
    with open(tmp_path / "r.jsonl", "a") as file:
        file.write('{"key"\n')
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


def test_members_that_met_trees_of_other_depths_search_as_deep_as_the_deepest():
    setup, model, _, data = world(40, stack=True)
    utterances = [row["words"] for row in data[:12]]
    alone = Ensemble([(model, setup.vocab)]).parse(utterances, [""] * 12)
    shallow = replace(setup.vocab, max_open=2)
    for members in ([setup.vocab, shallow], [shallow, setup.vocab]):
        together = Ensemble([(model, vocab) for vocab in members]).parse(utterances, [""] * 12)

        assert [p.tree for p in together] == [p.tree for p in alone]
        assert [p.score for p in together] == pytest.approx([p.score for p in alone], abs=1e-3)


def test_an_ensemble_refuses_models_of_other_labels():
    a, b = setup_of(rows(40), tiny()), setup_of(rows(5), tiny())
    with pytest.raises(CheckpointError, match="the same labels"):
        Ensemble([(a.build(), a.vocab), (b.build(), b.vocab)])
