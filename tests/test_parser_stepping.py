"""Steps as a GPU takes them: batches filled up to fixed shapes, packed, recorded once a shape and played back.

Without a GPU "recorded" work is done anew each time it is played; all else is the same.
"""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from parsing import world, write_shards
from test_parser_scale import config, losses

from parser import loader, stepping
from parser.recurrence import _narrow
from parser.shapes import Shapes, pack, unpack
from parser.train import train

VARIANTS = {
    "base": {},
    "pooled": {"pooled": True},
    "static vectors": {"static_dim": 5},
    "no front, no attention": {"front": False, "attention": "none"},
    "marginal, characters by LSTM": {"marginal": True, "lexicon_min": 2, "chars": "lstm"},
    "no copy, no characters": {"copy": False, "char_hidden": 0},
}


@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS)
def test_a_packed_batch_has_the_loss_and_gradients_of_the_batch(changes):
    _, model, examples, _ = world(40, **changes)
    model.double()
    shapes = Shapes(12)

    @settings(max_examples=20, deadline=None)
    @given(st.lists(st.integers(0, 39), min_size=1, max_size=12, unique=True))
    def check(index):
        batch = examples.batch(index)
        shape = shapes.of(batch)
        filled, utterances = unpack(pack(batch, shape, len(index)), shape)
        assert int(utterances) == len(index) and len(filled.length_B) == 12
        found = []
        for each in (batch, filled):
            model.zero_grad(set_to_none=True)
            loss = model(each)
            loss.backward()
            found.append([loss.detach(), *(p.grad for p in model.parameters() if p.grad is not None)])
        for want, got in zip(*found, strict=True):
            assert torch.allclose(want, got, atol=1e-4)  # probabilities are float32 in any model

    check()


def test_a_shape_has_room_for_what_came_and_few_are_needed():
    _, _, examples, _ = world(200)
    shapes, seen = Shapes(8), set()
    for start in range(0, 200, 8):
        batch = examples.batch(range(start, start + 8))
        shape = shapes.of(batch)
        seen.add(shape)
        assert shape.words >= batch.word_BW.size(1) and shape.actions > batch.real_BT.size(1)
        assert shape.copies >= len(batch.copying_K) and shape.blocked >= len(batch.blocked_X3)
        assert shape.letters >= len(batch.letter_P) + shape.distinct - len(batch.letters_U)
        assert shapes.of(batch) == shape
    assert len(seen) < 12


@pytest.fixture
def played(monkeypatch):
    """Steps are packed and "recorded"; the list gets every piece of work that was."""
    recorded = []

    def recorder(device):
        def record(work):
            recorded.append(work)
            return work

        return record

    for module in (loader, stepping):
        monkeypatch.setattr(module, "records", lambda config, device: True)
    monkeypatch.setattr(stepping, "recorder", recorder)
    return recorded


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return write_shards(tmp_path_factory.mktemp("data"), 160)


def test_played_steps_train_like_those_that_are_taken_as_they_come(shards, tmp_path, request):
    plain = config(accumulate=2)
    train(shards, tmp_path / "as they come", plain)
    recorded = request.getfixturevalue("played")
    train(shards, tmp_path / "played", plain)

    want, got = (losses(tmp_path / name) for name in ("as they come", "played"))
    assert len(recorded) > 1
    assert got == pytest.approx(want, rel=1e-4)


def test_a_run_of_played_steps_goes_on_with_the_same_losses(shards, tmp_path, played):
    settings = config()
    train(shards, tmp_path / "whole", settings)
    train(shards, tmp_path / "parts", settings, stop_after=7)
    train(shards, tmp_path / "parts", settings, resume=True)

    assert losses(tmp_path / "parts") == losses(tmp_path / "whole")


def test_an_lstm_in_another_precision_is_the_same_lstm():
    torch.manual_seed(5)
    lstm = torch.nn.LSTM(6, 8, batch_first=True)
    x, start = torch.randn(3, 7, 6), (torch.randn(1, 3, 8), torch.randn(1, 3, 8))
    found = []
    for states in (lstm(x, start)[0], _narrow(lstm, x, start, torch.float32)):
        lstm.zero_grad()
        states.square().sum().backward()
        found.append([states.detach(), *(p.grad.clone() for p in lstm.parameters())])
    for want, got in zip(*found, strict=True):
        assert torch.allclose(want, got, atol=1e-5)
    wide, narrow = found[0][0], _narrow(lstm, x, start, torch.bfloat16)
    assert narrow.dtype == torch.bfloat16 and torch.allclose(wide, narrow.float(), atol=0.02)
