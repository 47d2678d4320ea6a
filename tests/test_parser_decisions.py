"""Decisions block by block have the loss and the gradients that the model says, whatever the blocks."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from parsing import world
from torch import Tensor

from parser import compiled, decisions, model
from parser.batch import Batch
from parser.dropout import Dropout
from parser.model import Model

VARIANTS = {
    "base": {},
    "stack": {"stack": True},
    "no context": {"context": False},
    "stack alone": {"stack": True, "history": False, "context": False},
}


def learned(network: Model, batch: Batch, seed: int = 3) -> tuple[float, dict[str, Tensor]]:
    """(loss, gradients) of training."""
    torch.manual_seed(seed)
    network.train().zero_grad(set_to_none=True)
    loss = network(batch)
    (loss / 7).backward()
    return loss.item(), {name: p.grad for name, p in network.named_parameters() if p.grad is not None}


def same(found: tuple[float, dict], expected: tuple[float, dict]) -> None:
    assert found[0] == pytest.approx(expected[0], rel=1e-5) and found[1].keys() == expected[1].keys()
    for name, gradient in expected[1].items():
        assert torch.allclose(found[1][name], gradient, atol=1e-5 * max(1, gradient.abs().max().item())), name


@pytest.fixture
def whole(monkeypatch):
    """Runs something with the decisions of all utterances at once, as the model says."""

    def run(work):
        with monkeypatch.context() as patch:
            patch.setattr(Model, "_block_by_block", lambda *_: False)
            return work()

    return run


@pytest.mark.parametrize("block", [1, 7, 40, 10_000])
@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS)
def test_blocks_have_the_loss_and_gradients_of_the_whole(changes, block, whole, monkeypatch):
    monkeypatch.setattr(decisions, "_BLOCK", block)
    _, network, examples, _ = world(24, **changes)
    batch = examples.batch(range(24))
    calls = []
    loss_of = decisions.loss_of
    monkeypatch.setattr(decisions, "loss_of", lambda *given: calls.append(1) or loss_of(*given))
    found = learned(network, batch)

    assert calls
    same(found, whole(lambda: learned(network, batch)))
    assert len(calls) == 1


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 23), min_size=1, max_size=6), st.integers(1, 30), st.integers(0, 2**31))
def test_any_utterances_in_any_blocks(rows, block, seed):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decisions, "_BLOCK", block)
        _, network, examples, _ = world(24)
        for p in network.parameters():
            torch.nn.init.normal_(p, std=0.3, generator=torch.Generator().manual_seed(seed))
        batch = examples.batch(rows)
        found = learned(network, batch)
        patch.setattr(Model, "_block_by_block", lambda *_: False)
        same(found, learned(network, batch))


def test_dropout_is_the_same_there_and_back(whole, monkeypatch):
    _, network, examples, _ = world(24, dropout=0.3)
    batch = examples.batch(range(24))
    monkeypatch.setattr(decisions, "_BLOCK", 30)
    works, work_of = [], decisions._Work.of
    monkeypatch.setattr(decisions._Work, "of", lambda *given: works.append(work_of(*given)) or works[-1])
    found = learned(network, batch)

    # What the blocks have zeroed is what comes of ones; the model as a whole is given that.
    (work,), actions, hidden = works, batch.actions, network.config.decoder_hidden
    widths = [*work.features.columns[1:], network.query.in_features]
    ones = [torch.ones(1000, end - first) for first, end in zip(work.features.columns, widths, strict=True)]
    features_NR = torch.zeros(actions, -(-(widths[-1] + 1) // 8) * 8)
    work.features.gather(ones, features_NR.numpy())
    hidden_NH = torch.zeros(actions, hidden)
    compiled.loops().zeroed(torch.ones(actions, hidden).numpy(), hidden_NH.numpy(), *work.hidden)
    front = work.features.places_N[-1] >= 0
    assert (features_NR[front, : widths[-1]] == 0).float().mean() == pytest.approx(0.3, abs=0.02)
    assert (hidden_NH == 0).float().mean() == pytest.approx(0.3, abs=0.02)

    def dropped(x_BTX: Tensor, kept_NX: Tensor) -> Tensor:
        kept_BTX = torch.zeros_like(x_BTX)
        kept_BTX[batch.real_BT] = kept_NX[:, : x_BTX.size(-1)]
        return x_BTX * kept_BTX

    side_by_side = model.side_by_side
    monkeypatch.setattr(model, "side_by_side", lambda parts, shape, _: dropped(side_by_side(parts, shape), features_NR))
    monkeypatch.setattr(Dropout, "of_tanh", lambda _, x_BTH: dropped(torch.tanh(x_BTH), hidden_NH))
    same(found, whole(lambda: learned(network, batch)))


def test_what_may_not_come_costs_as_much_as_in_the_whole(whole):
    """A gold action that the ontology forbids; the loss is huge and finite, so are the gradients."""
    _, network, examples, _ = world(24)
    batch = examples.batch(range(24))
    network.legal.words_P[:] = False
    found = learned(network, batch)

    assert 1e9 < found[0] < float("inf") and all(gradient.isfinite().all() for gradient in found[1].values())
    same(found, whole(lambda: learned(network, batch)))


def test_a_loss_that_is_no_number_is_not_hidden():
    _, network, examples, _ = world(24)
    with torch.no_grad():
        network.pointer.weight[0, 0] = float("nan")

    assert math.isnan(learned(network, examples.batch(range(24)))[0])


def test_a_second_way_back_is_refused():
    _, network, examples, _ = world(24)
    loss = network.train()(examples.batch(range(24)))
    loss.backward(retain_graph=True)

    with pytest.raises(RuntimeError, match="gone once"):
        loss.backward()


@pytest.mark.parametrize("changes", [{"marginal": True}, {"front": False}, {"copy": False}, {"joint": False}], ids=str)
def test_networks_that_blocks_do_not_know_go_as_a_whole(changes, monkeypatch):
    monkeypatch.setattr(decisions, "loss_of", lambda *_: pytest.fail("blocks"))
    _, network, examples, _ = world(24, **changes)

    assert learned(network, examples.batch(range(24)))[1]
