"""Words in one line without padding give the states and gradients of padded rows."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from parsing import world
from torch import nn

from parser import encoder
from parser.packed import Packing, run_both

LENGTHS = st.lists(st.integers(1, 7), min_size=1, max_size=6)
VARIANTS = {
    "base": {},
    "two layers, pooled": {"encoder_layers": 2, "pooled": True},
    "published": {"chars": "lstm", "stack": True, "joint": False, "attention": "additive"},
    "no characters": {"char_hidden": 0},
    "static vectors": {"static_dim": 5},
}


@given(LENGTHS, st.integers(0, 3))
def test_what_is_packed_is_unpacked_again(lengths, spare):
    width = max(lengths) + spare
    packing = Packing.of(torch.tensor(lengths), width)
    place_BW = torch.arange(len(lengths) * width).view(-1, width)

    assert packing.sizes[: max(lengths)] == [sum(n > t for n in lengths) for t in range(max(lengths))]
    assert sorted(packing.pack(place_BW).tolist()) == [
        i for n, row in zip(lengths, place_BW.tolist(), strict=True) for i in row[:n]
    ]
    again_BW = packing.unpack(packing.pack(place_BW)[:, None].double())[..., 0]
    assert all(a[:n] == b[:n] for n, a, b in zip(lengths, again_BW.tolist(), place_BW.tolist(), strict=True))


def layers(width: int, hidden: int) -> tuple[nn.LSTM, nn.LSTM]:
    torch.manual_seed(0)
    ahead, back = (nn.LSTM(width, hidden, batch_first=True).double() for _ in range(2))
    return ahead, back


@settings(max_examples=30)
@given(LENGTHS, st.integers(1, 5), st.integers(1, 4), st.integers(0, 2))
def test_both_directions_equal_the_library_row_by_row(lengths, width, hidden, spare):
    ahead, back = layers(width, hidden)
    x_BWX = torch.randn(len(lengths), max(lengths), width, dtype=torch.double)
    x_BWX = torch.cat([x_BWX, torch.randn(len(lengths), spare, width, dtype=torch.double)], 1)
    packing = Packing.of(torch.tensor(lengths), x_BWX.size(1))
    states_BWE = packing.unpack(run_both(ahead, back, x_BWX.flatten(0, 1)[packing.line_N], packing.sizes))

    for row, states, length in zip(x_BWX, states_BWE, lengths, strict=True):
        right, left = ahead(row[None, :length])[0][0], back(row[None, :length].flip(1))[0][0].flip(0)
        assert torch.allclose(states[:length], torch.cat([right, left], -1), atol=1e-12)


@pytest.mark.parametrize("lengths", [[1], [3, 3], [1, 4, 2, 4], [5, 1, 1]])
def test_gradients_are_those_of_the_function(lengths):
    ahead, back = layers(3, 2)
    packing = Packing.of(torch.tensor(lengths), max(lengths))
    x_NX = torch.randn(sum(lengths), 3, dtype=torch.double, requires_grad=True)
    weights = [*ahead.parameters(), *back.parameters()]
    real_BW = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]

    def states(x_NX, *_):
        return packing.unpack(run_both(ahead, back, x_NX, packing.sizes))[real_BW]

    assert torch.autograd.gradcheck(states, (x_NX, *weights))


@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS)
def test_a_batch_in_one_line_has_the_loss_and_gradients_of_padded_rows(changes, monkeypatch):
    _, model, examples, _ = world(24, **changes)
    model.double().train()
    batch = examples.batch(range(24))
    found = []
    for rows in (25, 24):
        monkeypatch.setattr(encoder, "PACKED_ROWS", rows)
        model.zero_grad(set_to_none=True)
        loss = model(batch)
        loss.backward()
        found.append((loss.item(), {name: p.grad for name, p in model.named_parameters() if p.grad is not None}))

    (loss, gradients), (packed_loss, packed) = found
    assert packed_loss == pytest.approx(loss, rel=1e-12) and packed.keys() == gradients.keys()
    for name, gradient in gradients.items():
        assert torch.allclose(gradient, packed[name], atol=1e-9), name


def test_only_training_is_packed(monkeypatch):
    _, model, examples, _ = world(24)
    batch = examples.batch(range(24))
    monkeypatch.setattr(encoder, "PACKED_ROWS", 1)
    monkeypatch.setattr(encoder, "run_both", lambda *_: pytest.fail("packed"))
    with torch.inference_mode():
        model.train()(batch)
    model.eval()(batch)
    with pytest.raises(pytest.fail.Exception):
        model.train()(batch)
