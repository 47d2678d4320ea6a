"""Gradients in another form are the same gradients."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from parser import products
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
