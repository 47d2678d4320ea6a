"""The batched loss, the lock-step decoder and the mask equal their slow definitions."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
import torch
from parsing import rows, setup_of, table_of, tiny, world

from grammar.actions import NT, RED, TER, Action, Kind, State
from grammar.ontology import Ontology, loads
from grammar.shard import ShardError
from parser.batch import Examples, make_input
from parser.decode import Search, greedy, max_actions
from parser.evaluate import gold_of
from parser.legal import Legal, LegalState
from parser.naive import NaiveParse, naive_loss
from parser.vocab import Counts

PUBLISHED = {
    "chars": "lstm",
    "stack": True,
    "context": False,
    "front": False,
    "attention": "additive",
    "joint": False,
    "marginal": True,
    "init_from_encoder": False,
    "lexicon_min": 1,
}
VARIANTS = {
    "base": {},
    "published": PUBLISHED,
    "stack only, joint": {"stack": True, "history": False},
    "words in any order": {"ascending": False},
    "pooled": {"pooled": True, "stack": True},
    "static vectors": {"static_dim": 5},
    "no copy": {"copy": False},
    "no attention": {"attention": "none"},
    "marginal, two layers": {"marginal": True, "lexicon_min": 2, "encoder_layers": 2},
    "two steps": {"joint": False, "stack": True},
}


def actions_of(row: dict) -> list[Action]:
    return [Action(Kind(k), s, c) for k, s, c in zip(row["actions"], row["symbols"], row["copy"], strict=True)]


@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS)
def test_batched_loss_and_gradients_equal_the_naive_definition(changes):
    setup, model, examples, data = world(24, **changes)
    model.double()

    loss = model(examples.batch(range(24)))
    loss.backward()
    fast = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad(set_to_none=True)
    slow = sum(naive_loss(model, setup.vocab, setup.ontology, row["words"], actions_of(row)) for row in data)
    slow.backward()

    assert slow.item() == pytest.approx(loss.item(), rel=1e-6)
    for name, parameter in model.named_parameters():
        want = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        got = fast.get(name, torch.zeros_like(parameter))
        assert torch.allclose(want, got, atol=1e-5), name


@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS)
def test_lock_step_greedy_equals_one_at_a_time(changes):
    setup, model, _, data = world(16, **changes)
    words = [row["words"] for row in data]

    for parse in greedy(model, setup.vocab, words):
        naive = NaiveParse(model, setup.vocab, setup.ontology, parse.words)
        naive.state.max_actions = int(max_actions(torch.tensor(len(parse.words))))
        total = 0.0
        while naive.state.tree is None:
            logp = naive.logp()
            options = {}
            for place in torch.nonzero(logp > -1e8)[:, 0].tolist():
                action = _action(place, setup.vocab, parse.words)
                options[action] = max(options.get(action, -1e9), logp[naive.ways(action)].logsumexp(0).item())

            # Of equally likely ways to write a word, the likeliest position is taken, the lexicon last.
            def rank(action: Action, options=options, logp=logp) -> tuple[float, float]:
                own = logp[setup.vocab.symbols + action.copy].item() if action.copy >= 0 else -1e9
                return round(options[action], 5), own

            action = max(options, key=rank)
            total += options[action]
            naive.take(action)
        assert naive.state.tree == parse.tree
        assert total == pytest.approx(parse.score, abs=1e-3)


def _action(place: int, vocab, words: list[str]) -> Action:
    if place == 0:
        return RED
    if place <= len(vocab.labels):
        return NT(vocab.symbol_name(place))
    position = place - vocab.symbols
    return TER(words[position], position) if position >= 0 else TER(vocab.symbol_name(place))


def test_a_row_parses_the_same_in_any_batch():
    setup, model, _, data = world(12)
    words = [row["words"] for row in data]

    together = greedy(model, setup.vocab, words)
    alone = [greedy(model, setup.vocab, [one])[0] for one in words]

    assert [str(p.tree) for p in alone] == [str(p.tree) for p in together]


STRICT = loads("""
roots = ["order", "both"]
[intents.order]
takes = ["item", "size", "both"]
required = ["item"]
repeated = ["item"]
[functions.both]
takes = ["order", "item"]
repeated = ["order", "item"]
[slots.item]
[slots.size]
words = true
takes = ["size"]
least = 3
""")


# Nodes that must hold nodes, and several once-only children of unequal cost: depth and budget both bind.
DEEP = loads("""
roots = ["order"]
[intents.order]
takes = ["part", "size", "colour"]
required = ["part"]
[slots.part]
words = false
takes = ["order", "size", "colour", "group"]
least = 3
[slots.group]
words = false
takes = ["size", "colour"]
repeated = ["size"]
least = 2
[slots.size]
[slots.colour]
words = true
least = 2
""")


@pytest.mark.parametrize("seed", range(8))
def test_tensor_mask_equals_the_state_where_depth_binds(seed):
    assert_mask_equals_state(DEEP, random.Random(seed), budget=19 + seed)  # 19 is the smallest tree


@pytest.mark.parametrize("seed", range(12))
def test_tensor_mask_equals_the_state_on_random_walks(seed):
    assert_mask_equals_state(STRICT, random.Random(seed), budget=8 + seed)


@pytest.mark.parametrize("seed", range(4))
def test_tensor_mask_equals_the_state_under_an_inferred_ontology(seed):
    assert_mask_equals_state(setup_of(rows(30), tiny()).ontology, random.Random(seed), budget=30)


def assert_mask_equals_state(ontology: Ontology, rng: random.Random, budget: int) -> None:
    labels, width = ontology.labels(), 6
    states = [State(ontology, max_open=5, max_actions=budget) for _ in range(width)]
    legal = LegalState(Legal(ontology, labels), torch.full((width,), budget), max_open=5)
    while any(state.tree is None for state in states):
        opens, word, red = legal.mask()
        choices = []
        for i, state in enumerate(states):
            want = state.allowed(labels)
            got = (
                {label for label, on in zip(labels, opens[i].tolist(), strict=True) if on},
                bool(word[i]),
                bool(red[i]),
            )
            assert want == got, (state.taken, state.open_labels)
            actions = [NT(label) for label in sorted(want[0])] + [TER("w")] * want[1] + [RED] * want[2]
            if state.tree is not None:
                choices.append(0)
                continue
            assert actions, "a walk got stuck"
            action = rng.choice(actions)
            state.apply(action)
            choices.append(
                labels.index(action.symbol) + 1 if action.kind is Kind.NT else 0 if action == RED else len(labels) + 1
            )
        legal.take(torch.tensor(choices))


def test_words_are_copied_in_their_order_where_training_does_so():
    """An untrained model goes back to an earlier word only where a node needs one and none is left."""
    backwards = {}
    for ascending in (True, False):
        setup, model, _, data = world(30, ascending=ascending)
        assert setup.vocab.ascending == ascending
        backwards[ascending] = 0
        for row, parse in zip(data, Search(model, setup.vocab).parse([r["words"] for r in data]), strict=True):
            copied = [at for at in parse.positions if at >= 0]
            for before, after in pairwise(copied):
                if after <= before:
                    backwards[ascending] += 1
                    assert not ascending or before == len(row["words"]) - 1
    assert backwards[False] > 10 * backwards[True]


def test_rows_that_copy_in_another_order_are_told():
    setup, *_ = world(8)
    assert setup.vocab.ascending
    data = rows(8)
    copying = next(row for row in data if sum(at >= 0 for at in row["copy"]) > 1)
    copying["copy"] = [len(copying["words"]) - 1 - at if at >= 0 else at for at in copying["copy"]]
    counts = Counts()
    counts.add(table_of(data))
    assert not counts.ascending


def test_unknown_words_are_copied_letter_by_letter():
    setup, model, _, _ = world()

    for parse in greedy(model, setup.vocab, [["Add", "Ünseen-Wörd"], ["(", "\\"]]):
        lexicon = set(setup.vocab.lexicon)
        for word, position in zip(parse.tree.words(), parse.positions, strict=True):
            assert word == parse.words[position] if position >= 0 else word in lexicon


def test_gold_that_the_ontology_forbids_is_refused_by_name():
    data = rows(10)
    setup = setup_of(data, tiny())
    bad = data[0] | {"actions": [0, 2], "symbols": ["ItemName", ""], "copy": [-1, -1], "tree": "(ItemName())"}

    with pytest.raises(ShardError, match="invented/rows:0"):
        Examples(table_of([bad]), setup.vocab, setup.ontology)


def test_gold_of_a_row_is_its_tree():
    for row in rows(20):
        assert str(gold_of(row).tree) == row["tree"]


def test_input_marks_equal_words():
    setup, _, _, _ = world()
    made = make_input([["play", "jazz", "play"], ["jazz"]], setup.vocab)

    assert made.surface_BW[0, 0] == made.surface_BW[0, 2] != made.surface_BW[0, 1]
    assert made.surface_BW[1].tolist() == [made.surface_BW[0, 1].item(), -1, -1]


def test_numbers_are_read_by_their_form_where_unknown():
    data = rows(8)
    for row, number in zip(data, ["20", "37", "1291", "7:30", "20", "20", "0", "x1"], strict=True):
        row["words"] = [*row["words"], number]
    vocab = setup_of(data, tiny(digits=True)).vocab

    assert [vocab.words[vocab.word(word)] for word in ("20", "99", "4711", "9:15", "Y7")] == [
        "20",
        "00",
        "0000",
        "0:00",
        "<unk>",
    ]
    assert [vocab.words[vocab.unknown(word)] for word in ("1291", "milk")] == ["0000", "<unk>"]
    assert setup_of(data, tiny()).vocab.word("4711") == 1
    data[1]["words"][-1] = "20"
    assert setup_of(data, tiny(digits=True)).vocab.word("99") == 1, "a frequent number teaches no form"


def test_rare_numbers_are_read_by_their_form_now_and_then():
    data = rows(4)
    data[0]["words"] = [*data[0]["words"], "1291"]
    setup = setup_of(data, tiny(digits=True))
    encoder = setup.build("cpu").encoder
    inputs = make_input([["1291"], ["0000"]], setup.vocab)
    encoder.characters = None  # spelling stays as it is
    encoder.forwards[0] = encoder.backwards[0] = torch.nn.LSTM(8, 6, batch_first=True)

    (as_itself, form), _ = encoder(inputs)
    (now, _), _ = encoder(inputs, unk=1.0)
    assert torch.equal(now, form) and not torch.equal(as_itself, form)
