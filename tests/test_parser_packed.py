"""LSTMs as products with compiled loops between them give the states and gradients of the library's."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from parsing import world
from torch import Tensor, nn

from parser import compiled, encoder, packed
from parser.lookup import Part, side_by_side
from parser.packed import Packing, run_ahead, run_both

LENGTHS = st.lists(st.integers(1, 7), min_size=1, max_size=6)
VARIANTS = {
    "base": {},
    "two layers": {"encoder_layers": 2},
    "two layers, pooled": {"encoder_layers": 2, "pooled": True},
    "published": {"chars": "lstm", "stack": True, "joint": False, "attention": "additive"},
    "no characters": {"char_hidden": 0},
    "static vectors": {"static_dim": 5},
    "no front, no history": {"front": False, "history": False, "stack": True},
    "no context": {"context": False},
}


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Even a few rows are several blocks."""
    monkeypatch.setattr(packed, "_BLOCK", 2)


def layers(count: int, width: int, hidden: int) -> list[nn.LSTM]:
    torch.manual_seed(width * 100 + hidden)
    return [nn.LSTM(width, hidden, batch_first=True) for _ in range(count)]


def gradients(out: Tensor, wanted: list[Tensor]) -> list[Tensor]:
    """Those of a sum that weighs every number of `out` differently."""
    weights = torch.linspace(-1, 1, out.numel()).view_as(out)
    return list(torch.autograd.grad((out * weights).sum(), wanted))


def same(found: list[Tensor], expected: list[Tensor]) -> None:
    for mine, other in zip(found, expected, strict=True):
        assert torch.allclose(mine, other, atol=2e-5, rtol=1e-4), (mine - other).abs().max()


@given(LENGTHS, st.integers(0, 3))
def test_what_is_packed_is_unpacked_again(lengths, spare):
    width = max(lengths) + spare
    packing = Packing.of(torch.tensor(lengths), width)
    place_BW = torch.arange(len(lengths) * width).view(-1, width)

    assert packing.sizes[: max(lengths)] == [sum(n > t for n in lengths) for t in range(max(lengths))]
    real_BW = torch.arange(width) < torch.tensor(lengths)[:, None]
    assert sorted(packing.pack(place_BW).tolist()) == place_BW[real_BW].tolist()
    line_N1 = packing.pack(place_BW)[:, None].float() + 1
    again_BW = side_by_side([Part(line_N1, packing.place_BW, gaps=True)], real_BW.shape)[..., 0]
    assert torch.equal(again_BW, (place_BW + 1) * real_BW)


@settings(max_examples=40, deadline=None)
@given(LENGTHS, st.integers(1, 5), st.sampled_from([1, 2, 3, 16, 19]), st.integers(0, 2))
def test_both_directions_equal_the_library_row_by_row(lengths, width, hidden, spare):
    ahead, back = layers(2, width, hidden)
    x_BWX = torch.randn(len(lengths), max(lengths) + spare, width, requires_grad=True)
    packing = Packing.of(torch.tensor(lengths), x_BWX.size(1))
    line_NE, last_BE = run_both(ahead, back, [Part(x_BWX.flatten(0, 1), packing.line_N)], packing.sizes)
    rows = [line_NE[packing.place_BW[row, :length]] for row, length in enumerate(lengths)]
    expected = []
    for row, length in zip(x_BWX, lengths, strict=True):
        right, left = ahead(row[None, :length])[0][0], back(row[None, :length].flip(1))[0][0].flip(0)
        expected.append(torch.cat([right, left], -1))
    ends = [torch.cat([expected[row][-1, :hidden], expected[row][0, hidden:]]) for row in packing.order_B]

    same([*rows, last_BE], [*expected, torch.stack(ends)])
    wanted = [x_BWX, *ahead.parameters(), *back.parameters()]
    same(gradients(torch.cat([*rows, last_BE]), wanted), gradients(torch.cat([*expected, torch.stack(ends)]), wanted))


def run_rows(lstm: nn.LSTM, x_BTX: Tensor, start: tuple[Tensor, Tensor] | None = None) -> Tensor:
    """[B, T, H] states of rows of one length."""
    rows, steps, _ = x_BTX.shape
    packing, zero = Packing.of(torch.full((rows,), steps), steps), torch.zeros(rows, lstm.hidden_size)
    parts = [Part(x_BTX.flatten(0, 1), packing.line_N)]
    return run_ahead(lstm, parts, packing.sizes, start or (zero, zero))[packing.place_BW]


@settings(max_examples=40, deadline=None)
@given(LENGTHS, st.integers(1, 6), st.integers(0, 5), st.sampled_from([1, 2, 3, 16, 19]))
def test_one_direction_from_a_state_on_equals_the_library(lengths, width, other, hidden):
    (lstm,) = layers(1, width + other, hidden)
    x_BTX = torch.randn(len(lengths), max(lengths), width, requires_grad=True)
    y_MX, at_BT = torch.randn(3, other, requires_grad=True), torch.randint(3, x_BTX.shape[:2])
    h_BH, c_BH = (torch.randn(len(lengths), hidden, requires_grad=True) for _ in range(2))
    packing = Packing.of(torch.tensor(lengths), max(lengths))
    parts = [Part(x_BTX.flatten(0, 1), packing.line_N), Part(y_MX, packing.pack(at_BT))]
    start = h_BH[packing.order_B], c_BH[packing.order_B]
    found = run_ahead(lstm, parts, packing.sizes, start)[packing.place_BW]
    expected = lstm(torch.cat([x_BTX, y_MX[at_BT]], -1), (h_BH[None], c_BH[None]))[0]
    found, expected = (
        torch.cat([row[:length] for row, length in zip(states, lengths, strict=True)]) for states in (found, expected)
    )

    same([found], [expected])
    wanted = [x_BTX, y_MX, h_BH, c_BH, *lstm.parameters()]
    same(gradients(found, wanted), gradients(expected, wanted))


def test_input_is_dropped_the_same_way_there_and_back_and_for_both_directions():
    ahead, back = layers(2, 40, 3)
    back.load_state_dict(ahead.state_dict())
    x_NX = torch.ones(500, 40, requires_grad=True)
    states_NE, _ = run_both(ahead, back, [Part(x_NX)], [500], 0.25)
    (gradient,) = torch.autograd.grad(states_NE.sum(), x_NX)

    # Each row is one word long, so that both directions do the same.
    assert torch.equal(states_NE[:, :3], states_NE[:, 3:])
    dropped_NX = (gradient != 0) / 0.75
    assert (gradient == 0).float().mean() == pytest.approx(0.25, abs=0.01)
    assert torch.allclose(ahead(dropped_NX[:, None])[0][:, 0], states_NE[:, :3], atol=1e-5)


@pytest.mark.parametrize("size", [30.0, 1e4, 1e30])
def test_gates_that_are_fully_open_or_closed_stay_finite(size):
    (lstm,) = layers(1, 3, 5)
    x_BTX = (torch.randn(4, 6, 3) * size).requires_grad_()
    found, expected = run_rows(lstm, x_BTX), lstm(x_BTX)[0]

    same([found], [expected])
    assert gradients(found, [x_BTX])[0].isfinite().all()


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_what_is_no_number_is_not_hidden(number):
    (lstm,) = layers(1, 3, 5)
    lstm.weight_hh_l0.data[:] = number

    assert run_rows(lstm, torch.randn(2, 4, 3))[:, 1:].isnan().all()


def test_a_second_way_back_is_refused_since_the_first_overwrites_the_gates():
    (lstm,) = layers(1, 3, 5)
    states = run_rows(lstm, torch.randn(2, 4, 3)).sum()
    states.backward(retain_graph=True)

    with pytest.raises(RuntimeError, match="gone once"):
        states.backward()


@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS)
def test_training_with_loops_has_the_loss_and_gradients_of_training_without(changes, monkeypatch):
    _, model, examples, _ = world(24, **changes)
    batch = examples.batch(range(24))
    found = []
    for loops in (compiled.loops, lambda: None):
        monkeypatch.setattr(compiled, "loops", loops)
        model.train().zero_grad(set_to_none=True)
        loss = model(batch)
        loss.backward()
        found.append((loss.item(), {name: p.grad for name, p in model.named_parameters() if p.grad is not None}))

    (loss, mine), (plain_loss, plain) = found
    assert loss == pytest.approx(plain_loss, rel=1e-5) and mine.keys() == plain.keys()
    for name, gradient in plain.items():
        assert torch.allclose(mine[name], gradient, atol=1e-4 * max(1, gradient.abs().max().item())), name


def test_only_training_is_packed(monkeypatch):
    _, model, examples, _ = world(24)
    batch = examples.batch(range(24))
    monkeypatch.setattr(encoder, "run_both", lambda *_: pytest.fail("packed"))
    with torch.inference_mode():
        model.train()(batch)
    model.eval()(batch)
    with pytest.raises(pytest.fail.Exception):
        model.train()(batch)
    monkeypatch.setattr(compiled, "loops", lambda: None)
    model.train()(batch)
