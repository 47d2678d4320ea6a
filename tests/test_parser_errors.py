"""Error analysis: kinds of errors, the page, and a parse looked into action by action."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pyarrow as pa
import pytest
import torch
from parsing import rows, tiny, world, write_shards
from typer.testing import CliRunner

from grammar.actions import oracle
from grammar.infer import infer
from grammar.tree import Leaf, Tree
from parser.__main__ import app
from parser.decode import Parse, Search
from parser.errors import KINDS, analyse, kinds_of, slots_of, spread
from parser.evaluate import Gold, gold_of, template_of
from parser.inspection import inspect
from parser.naive import naive_loss
from parser.report import report
from parser.train import train
from pipelines.hashes import template_texts
from pipelines.index import Steps


def slot(label, *words):
    return Tree(label, [Leaf(word) for word in words])


GOLD = Tree("and", [Tree("Buy", [slot("Item", "salt")]), Tree("Play", [slot("Title", "blue", "train")])])
PLACES = [1, 4, 5]
ONTOLOGY = infer([GOLD, Tree("Stop", [slot("Artist", "x")])])


@pytest.mark.parametrize(
    ("predicted", "positions", "kinds"),
    [
        (Tree("and", [Tree("Stop", [slot("Item", "salt")]), GOLD.children[1]]), PLACES, {"wrong intent"}),
        (GOLD.children[0], [1], {"wrong conjunction", "missing slot"}),
        (
            Tree("and", [GOLD.children[0], Tree("Play", [slot("Artist", "blue", "train")])]),
            PLACES,
            {"wrong slot label"},
        ),
        (Tree("and", [GOLD.children[0], Tree("Play", [slot("Title", "train")])]), [1, 5], {"shifted slot"}),
        (Tree("and", [Tree("Buy", [slot("Item", "some")]), GOLD.children[1]]), [0, 4, 5], {"wrong copy"}),
        (
            Tree("and", [Tree("Buy", [slot("Item", "salt"), slot("Artist", "and")]), GOLD.children[1]]),
            [1, 2, 4, 5],
            {"extra slot"},
        ),
        (
            Tree("and", [Tree("Buy", [slot("Title", "blue", "train")]), Tree("Play", [slot("Item", "salt")])]),
            [4, 5, 1],
            {"wrong structure"},
        ),
    ],
)
def test_every_kind_of_error(predicted, positions, kinds):
    assert kinds_of(GOLD, PLACES, predicted, positions, ONTOLOGY)[0] == kinds
    assert kinds <= set(KINDS)


def test_confusions_name_the_gold_label_first():
    predicted = Tree("and", [Tree("Stop", [slot("Item", "salt")]), Tree("Play", [slot("Artist", "blue", "train")])])

    _, intents, slots = kinds_of(GOLD, PLACES, predicted, PLACES, ONTOLOGY)
    assert (intents, slots) == ([("Buy", "Stop")], [("Title", "Artist")])
    found = analyse([(Gold("a", ["x"] * 6, GOLD, PLACES), Parse(["x"] * 6, predicted, PLACES, -1.0))], ONTOLOGY)
    assert (found.intents, found.slots) == ({("Buy", "Stop"): 1}, {("Title", "Artist"): 1})


def test_what_lacks_is_missing_and_what_is_too_much_is_extra():
    more, less = Tree("Play", [slot("Title", "blue"), slot("Artist", "x")]), Tree("Play", [slot("Title", "blue")])

    assert kinds_of(more, [1, 2], less, [1], ONTOLOGY)[0] == {"missing slot"}
    assert kinds_of(less, [1], more, [1, 2], ONTOLOGY)[0] == {"extra slot"}


def test_a_generated_word_is_told_from_a_copied_one():
    gold, predicted = Tree("Play", [slot("Device", "HERE")]), Tree("Play", [slot("Device", "THERE")])

    assert kinds_of(gold, [-1], predicted, [-1], infer([gold]))[0] == {"wrong word"}


def test_slots_hold_positions_or_generated_words():
    tree = Tree("Play", [slot("Title", "blue", "train"), slot("Device", "HERE")])

    assert [(s.label, s.leaves) for s in slots_of(tree, [4, 5, -1])] == [("Title", (4, 5)), ("Device", ("HERE",))]


def test_analysis_counts_and_puts_the_clearest_examples_first():
    wrong = [
        (Gold("a", ["x"] * 6, GOLD, PLACES), Parse(["x"] * 6, GOLD.children[0], [1], -1.0)),
        (
            Gold("b", ["x"] * 6, GOLD, PLACES),
            Parse(
                ["x"] * 6,
                Tree("and", [Tree("Stop", [slot("Item", "salt")]), Tree("Play", [])]),
                [1],
                -1.0,
            ),
        ),
        (
            Gold("c", ["x"] * 6, GOLD, PLACES),
            Parse(["x"] * 6, Tree("and", [GOLD.children[0], Tree("Play", [])]), [1], -1),
        ),
    ]
    found = analyse(wrong, ONTOLOGY)

    assert found.kinds == {"missing slot": 3, "wrong conjunction": 1, "wrong intent": 1}
    assert found.examples["missing slot"] == [2, 0, 1]
    assert found.intents == {("Buy", "Stop"): 1}


def scored(n):
    """Figures of so many utterances, half of them right."""
    half = {"exact_match": 0.5, "bracket_f1": 0.5, "n": n}
    return half | {"exact_match_positions": 0.5, "intent_accuracy": 0.5, "slices": {"single": half}}


class Names(HTMLParser):
    """Which elements are open at the end."""

    def __init__(self):
        super().__init__()
        self.open, self.seen = [], []

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        if tag not in ("meta", "line", "path", "rect", "circle", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag in self.open:
            assert self.open.pop() == tag


def test_the_page_is_whole_and_escapes_what_it_shows():
    evil = Tree("Play", [slot("Title", "<b>&", "train")])
    wrong = [
        (Gold("<id>", ["<b>&", "train"], evil, [0, 1]), Parse(["<b>&", "train"], slot("Stop", "train"), [1], -1.0))
    ]
    html = report(scored(2), wrong, ONTOLOGY)
    seen = Names()
    seen.feed(html)

    assert not seen.open and seen.seen.count("svg") >= 2 and "b" not in seen.seen
    assert "&lt;b&gt;&amp;" in html and "50.0%" in html


@pytest.mark.parametrize(
    ("words", "tree", "positions", "template"),
    [
        ("Play blue train", GOLD.children[1], [1, 2], "play {Title}"),
        ("play blue and train", GOLD.children[1], [1, 3], "play {Title} and {Title}"),
        (
            "players with 3 more points than Kobe Bryant in one season",
            Tree(">", [slot("who", "en.player.kobe_bryant"), slot("what", "number_3_point")]),
            [-1, -1],
            "players with {what} more points than {who} in one season",
        ),
        (
            "is there a bus stop in France",
            Tree("query", [slot("kv", "kv:is_in:country=France"), slot("nwr", "kv:highway=bus_stop")]),
            [-1, -1],
            "is there a {nwr} in {kv}",
        ),
    ],
)
def test_a_template_has_slots_in_place_of_values(words, tree, positions, template):
    assert template_of(Gold("a", words.split(), tree, positions)) == template


def test_a_template_is_that_of_the_pipelines_where_all_is_copied():
    data = [row for row in rows(60) if -1 not in row["copy"][1:-1] or "HERE" not in row["symbols"]]
    columns = {name: pa.array([row[name] for row in data]) for name in ("words", "copy", "actions", "symbols")}
    texts = template_texts(columns["words"], columns["copy"], Steps(columns["actions"], columns["symbols"]))

    assert [template_of(gold_of(row)) for row in data] == texts.to_pylist()


@pytest.mark.parametrize("size", [1, 2, 5, 8, 100])
def test_every_beginning_of_what_is_spread_lies_over_all_of_it(size):
    order = spread(range(size))

    assert sorted(order) == list(range(size)) and order == spread(range(size))
    if size == 100:
        assert {number // 25 for number in order[:5]} == {0, 1, 2, 3}


def test_examples_come_from_all_over_the_split():
    less = Tree("and", [GOLD.children[0], Tree("Play", [])])
    wrong = [(Gold(str(i), ["x"] * 6, GOLD, PLACES), Parse(["x"] * 6, less, [1], -1.0)) for i in range(40)]
    html = report(scored(len(wrong)), wrong, ONTOLOGY)

    assert [int(name) for name in re.findall(r"<code>(\d+)</code></span>", html)] == [0, 32, 16, 8, 24]


@pytest.mark.parametrize("changes", [{}, {"attention": "none"}, {"marginal": True, "lexicon_min": 1, "stack": True}])
def test_looking_into_a_parse_gives_its_own_sums(changes):
    setup, model, _, data = world(**changes)
    words = data[0]["words"]
    (parse,) = Search(model, setup.vocab).parse([words])
    moments = inspect(model, setup.vocab, setup.ontology, parse)
    actions = oracle(parse.tree, parse.positions)
    total = sum(torch.log(torch.tensor(m.share)) for m in moments)

    assert len(moments) == len(actions)
    assert -total.item() == pytest.approx(
        naive_loss(model, setup.vocab, setup.ontology, words, actions).item(), abs=1e-3
    )
    for moment in moments:
        assert len(moment.attention) == (0 if changes.get("attention") == "none" else len(words))
        assert not moment.attention or sum(moment.attention) == pytest.approx(1, abs=0.01)
        assert 0 <= moment.copied + moment.generated <= 1.001
        assert all(share <= 1.001 - moment.share for _, share in moment.rivals)


def test_the_commands(tmp_path):
    shards, run = write_shards(tmp_path / "shards"), CliRunner().invoke
    train(shards, tmp_path / "m", tiny())
    page = tmp_path / "out.html"
    done = run(
        app, ["evaluate", "--model", str(tmp_path / "m"), "--shards", str(shards), "--report", str(page), "--json"]
    )
    assert done.exit_code == 0, done.output
    figures = json.loads(done.stdout)["slices"]
    for start in ("words ", "known template unseen template"):
        parts = [part["n"] for name, part in figures.items() if name in start or name.startswith(start)]
        assert sum(parts) == 20
    assert "all words known" in figures and "Kinds of errors" in page.read_text()
    twice = ["--model", str(tmp_path / "m")] * 2
    several = run(app, ["evaluate", *twice, "--shards", str(shards), "--beam", "3", "--json"])
    assert several.exit_code == 0, several.output
    assert json.loads(several.stdout)["n"] == 25
    parsed = run(app, ["parse", *twice, "--beam", "3", "--nbest", "2", "play jazz"])
    assert parsed.exit_code == 0 and len(parsed.stdout.splitlines()) == 2
    looked = run(app, ["inspect", "--model", str(tmp_path / "m"), "play jazz", "--json"])
    assert looked.exit_code == 0, looked.output
    assert json.loads(looked.stdout)["actions"][0]["action"].startswith("NT(")
    shown = run(app, ["inspect", "--model", str(tmp_path / "m"), "play jazz"])
    assert shown.stdout.splitlines()[1].split() == ["action", "prob.", "copy", "lexicon", "attention"]
    empty = run(app, ["inspect", "--model", str(tmp_path / "m"), " "])
    assert empty.exit_code == 2 and "no words" in empty.output
