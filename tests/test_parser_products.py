"""Gradients in another form are the same gradients."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from parser import products
from parser.dropout import Dropout
from parser.products import linear, similarity


def some(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.double, requires_grad=True)


def test_similarity_is_the_inner_product():
    asking_BTE, asked_BWE = some(3, 4, 5), some(3, 2, 5)

    assert torch.equal(similarity(asking_BTE, asked_BWE), torch.einsum("bte,bwe->btw", asking_BTE, asked_BWE))
    assert torch.autograd.gradcheck(similarity, (asking_BTE, asked_BWE))


@pytest.mark.parametrize("rows", [3, 4, 7])
def test_linear_in_pieces_is_linear(rows, monkeypatch):
    monkeypatch.setattr(products, "PIECE", 2)
    x, weight_YX, bias_Y = some(rows, 2, 3), some(4, 3), some(4)

    assert torch.equal(linear(x, weight_YX, bias_Y), functional.linear(x, weight_YX, bias_Y))
    assert torch.autograd.gradcheck(linear, (x, weight_YX, bias_Y))


def test_dropout_in_place_drops_the_same():
    x, dropped = torch.ones(50, 40), []
    for fresh in (False, True):
        torch.manual_seed(5)
        dropped.append(Dropout(0.4).train()(x.clone(), fresh=fresh))
    given = x.clone()

    assert torch.equal(*dropped)
    assert Dropout(0.4).train()(given, fresh=True) is given and (given == 0).float().mean() == pytest.approx(
        0.4, abs=0.06
    )


@pytest.mark.parametrize("share", [0.1, 0.4, 0.999])
def test_dropout_drops_its_share_other_units_each_time_and_keeps_the_mean(share):
    torch.manual_seed(6)
    dropout, x = Dropout(share).train(), torch.ones(400, 1000)
    one, other = dropout(x), dropout(x)

    assert (one == 0).float().mean() == pytest.approx(share, abs=0.005) and one.mean() == pytest.approx(1, abs=0.05)
    assert len(one[one != 0].unique()) == 1 and not torch.equal(one, other)
    assert torch.equal(dropout.eval()(x), x)
