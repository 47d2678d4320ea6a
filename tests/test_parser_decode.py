"""Fast paths of parsing give what the slow ones give; every output of a beam is a whole tree."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from parsing import world
from test_parser_model import VARIANTS

from grammar.actions import State, oracle
from parser import Parser
from parser.decode import Parse, Search, parse_of
from parser.ensemble import Ensemble
from parser.quick import Quick
from parser.vocab import RED_SYMBOL


def same(one, other):
    assert str(one.tree) == str(other.tree)
    assert one.positions == other.positions
    assert one.score == pytest.approx(other.score, abs=1e-3)


@pytest.mark.parametrize("closing", [-6, 3], ids=["long", "short"])
@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS)
def test_the_quick_searches_parse_as_the_one_in_tensors(changes, closing):
    """Long trees come near the budget of actions, where its mask counts; short ones do not."""
    setup, model, _, data = world(30, **changes)
    with torch.no_grad():
        model.symbols.bias[RED_SYMBOL] += closing
        if model.kinds is not None:
            model.kinds.bias[2] += closing / 3
    ready = Parser(setup, model)
    words = [row["words"] for row in data]

    slow = ready.search.search.parse(words)
    for one, together, other in zip(map(ready.parse, words), ready.parse_many(words), slow, strict=True):
        same(one, other)
        same(together, other)
    with np.errstate(over="ignore"), torch.inference_mode():
        in_lock_step = ready.search.run(words)
        in_turns = Quick(ready.search.search, seats=7).run(words)
    assert len(in_lock_step) < 20 if closing < 0 else len(in_lock_step) > 10
    assert in_turns.keys() == in_lock_step.keys()
    for i, (choices, score) in in_turns.items():
        assert (choices, pytest.approx(score, abs=1e-3)) == in_lock_step[i]


@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS)
def test_a_beam_of_one_is_greedy_and_a_wider_one_finds_better(changes):
    setup, model, _, data = world(16, **changes)
    search, words = Search(model, setup.vocab), [row["words"] for row in data]
    greedy = search.parse(words)

    for one, other in zip(search.parse(words, beam=1), greedy, strict=True):
        same(one, other)
    wide = search.parse(words, beam=6)
    assert sum(w.score for w in wide) >= sum(g.score for g in greedy) - 1e-3


@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS)
def test_every_tree_of_a_beam_is_whole_allowed_and_ranked(changes):
    setup, model, _, data = world(12, **changes)

    for parse in Search(model, setup.vocab).parse([row["words"] for row in data], beam=4):
        every = [parse, *parse.others]
        assert 1 < len(every) <= 4
        scores = [p.score for p in every]
        assert scores == sorted(scores, reverse=True)
        assert len({str(p.tree) for p in every}) == len(every)
        for one in every:
            state = State(setup.ontology, max_open=setup.vocab.max_open)
            for action in oracle(one.tree, one.positions):
                state.apply(action)
            assert state.tree == one.tree


@pytest.mark.parametrize("changes", [{}, {"ascending": False, "stack": True}], ids=["base", "any order"])
def test_a_tree_stands_in_the_list_once_by_its_likeliest_positions(changes):
    """Copies of one word from several positions make the same tree."""
    setup, model, _, _ = world(20, **changes)
    words, vocab = ["play", "jazz", "jazz", "jazz"], setup.vocab
    with torch.no_grad():
        for label in ("PlayMusicIntent", "MediaType"):
            model.symbols.bias[vocab.label(label)] += 4
        model.symbols.bias[RED_SYMBOL] += 2
    search = Search(model, vocab)
    with torch.inference_mode():
        (found,) = search._run([words], 12)
    several = [parse_of(words, choices, score, vocab) for score, choices in sorted(found, key=lambda pair: -pair[0])]
    likeliest: dict[str, Parse] = {}
    for parse in several:
        likeliest.setdefault(str(parse.tree), parse)
    assert len(likeliest) < len(several), "nothing is to be merged"

    for searching in (search, Parser(setup, model).search, Ensemble([(model, vocab)] * 2).of("")):
        for best in searching.parse([words, words], 12):
            for one, other in zip([best, *best.others], likeliest.values(), strict=True):
                same(one, other)


def test_a_beam_row_parses_the_same_in_any_batch():
    setup, model, _, data = world(12, stack=True)
    search, words = Search(model, setup.vocab), [row["words"] for row in data]

    for one, other in zip(search.parse(words, beam=3), [search.parse([w], beam=3)[0] for w in words], strict=True):
        same(one, other)


@pytest.mark.parametrize("changes", [{}, {"stack": True, "joint": False}], ids=["base", "stack"])
def test_looking_at_the_device_seldom_changes_nothing(changes):
    setup, model, _, data = world(20, **changes)
    often, seldom = Search(model, setup.vocab), Search(model, setup.vocab)
    seldom.look_every = 7
    words = [row["words"] for row in data]

    for beam in (1, 3):
        for one, other in zip(seldom.parse(words, beam), often.parse(words, beam), strict=True):
            same(one, other)


@pytest.mark.parametrize("chars", ["cnn", "lstm"])
def test_what_was_parsed_before_shows_in_no_bit_once_it_is_forgotten(chars):
    setup, model, _, data = world(60, chars=chars)
    said = [row["words"] for row in data]
    one = Parser(setup, model)
    fresh = [parse.score for parse in one.parse_many(said)]
    one.forget()
    for words in said:
        one.parse(words)
    kept = [parse.score for parse in one.parse_many(said)]
    one.forget()
    assert [parse.score for parse in one.parse_many(said)] == fresh
    assert kept == pytest.approx(fresh, rel=1e-5)
