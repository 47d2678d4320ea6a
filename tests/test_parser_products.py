"""Gradients in another form are the same gradients."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from parser import products
from parser.products import similarity, two_layers


def some(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.double, requires_grad=True)


def test_similarity_is_the_inner_product():
    asking_BTE, asked_BWE = some(3, 4, 5), some(3, 2, 5)

    assert torch.equal(similarity(asking_BTE, asked_BWE), torch.einsum("bte,bwe->btw", asking_BTE, asked_BWE))
    assert torch.autograd.gradcheck(similarity, (asking_BTE, asked_BWE))


@pytest.mark.parametrize("biased", [(True, True), (False, True), (False, False)])
@pytest.mark.parametrize("rows", [1, 4, 7])
def test_two_layers_are_two_layers(rows, biased, monkeypatch):
    monkeypatch.setattr(products, "PIECE", 2)
    x, first, second = some(rows, 2, 3), some(4, 3), some(5, 3)
    biases = [some(size) if on else None for size, on in zip((4, 5), biased, strict=True)]
    given = [tensor for tensor in (x, first, second, *biases) if tensor is not None]

    def layers(*_):
        return two_layers(x, (first, biases[0]), (second, biases[1]))

    expected = functional.linear(x, first, biases[0]), functional.linear(x, second, biases[1])
    for one, other in zip(layers(), expected, strict=True):
        assert torch.equal(one, other)
    assert torch.autograd.gradcheck(layers, given)
    monkeypatch.setattr(products, "trains_on_cpu", lambda _: False)
    for one, other in zip(layers(), expected, strict=True):
        assert torch.allclose(one, other)
