"""Compiled loops do what the library's operations do, and nothing needs them."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from parser import compiled
from parser.config import ModelConfig
from parser.dropout import Draw, Dropout
from parser.encoder import Characters
from parser.lookup import Part, side_by_side


@pytest.fixture(params=["loops", "library"])
def either(request, monkeypatch):
    if request.param == "library":
        monkeypatch.setattr(compiled, "loops", lambda: None)


@pytest.mark.usefixtures("either")
@pytest.mark.parametrize("share", [0.1, 0.4, 0.97])
def test_dropout_drops_its_share_other_units_each_time_and_keeps_the_mean(share):
    torch.manual_seed(6)
    dropout, x = Dropout(share).train(), torch.ones(400, 1000, requires_grad=True)
    dropped = dropout(x)
    one, other = dropped.detach(), dropout(x).detach()

    assert (one == 0).float().mean() == pytest.approx(share, abs=0.005) and one.mean() == pytest.approx(1, abs=0.05)
    assert (one == 0).float().mean(0).std() == pytest.approx((share * (1 - share) / 400) ** 0.5, rel=0.1)
    assert len(one[one != 0].unique()) == 1
    # Two masks have as much in common as chance wants.
    assert ((one == 0) & (other == 0)).float().mean() == pytest.approx(share**2, abs=0.005)
    (gradient,) = torch.autograd.grad(dropped.sum(), x)
    assert torch.equal(gradient, one)
    assert dropout.eval()(x) is x and Dropout(0.0).train()(x) is x


@pytest.mark.usefixtures("either")
def test_dropout_follows_from_the_seed():
    x, found = torch.ones(30, 40, requires_grad=True), []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        found.append(Dropout(0.5).train()(x))

    assert torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])


@pytest.mark.usefixtures("either")
def test_dropout_keeps_to_rows_and_columns_that_lie_otherwise():
    torch.manual_seed(2)
    x = torch.randn(20, 30, 4).transpose(0, 2).requires_grad_()
    dropped = Dropout(0.5).train()(x)

    assert dropped.shape == x.shape and torch.allclose(dropped[dropped != 0], 2 * x[dropped != 0])


def test_a_draw_costs_the_generator_nothing_where_nothing_is_zeroed():
    before = torch.get_rng_state()

    assert Draw.of(0.0)[:2] == (0, 0) and torch.equal(torch.get_rng_state(), before)
    assert Draw.of(0.5).limit == 2**31 and not torch.equal(torch.get_rng_state(), before)


@pytest.mark.usefixtures("either")
@pytest.mark.parametrize("share", [0.0, 0.3])
def test_the_tangent_and_dropout_in_one(share):
    torch.manual_seed(3)
    dropout, x = Dropout(share).train(), (3 * torch.randn(40, 50)).requires_grad_()
    found = dropout.of_tanh(x)
    kept = found != 0
    (gradient,) = torch.autograd.grad(found.sum(), x)

    tanh = torch.tanh(x.detach())
    assert (~kept).float().mean() == pytest.approx(share, abs=0.03)
    assert torch.allclose(found, tanh * kept / (1 - share), atol=1e-6)
    assert torch.allclose(gradient, (1 - tanh**2) * kept / (1 - share), atol=1e-5)


WORDS = st.lists(st.lists(st.integers(1, 6), min_size=1, max_size=9), min_size=1, max_size=6)


@settings(max_examples=60, deadline=None)
@given(WORDS, st.sampled_from([1, 7, 16, 21]))
def test_spellings_are_the_maxima_of_a_convolution(words, width):
    torch.manual_seed(width)
    characters = Characters(7, ModelConfig(char_dim=5, char_hidden=width))
    inputs = spelled(words)
    found = characters(inputs)
    convolution = characters.conv(characters.embed.weight[torch.nn.functional.pad(inputs.chars_UC, (1, 1))].mT)
    # The convolution pads by itself, too, which adds a place at either end that is none of the word's.
    places = torch.arange(convolution.size(2)) - 1
    real = (places >= 0) & (places < inputs.letters_U[:, None])
    expected = convolution.masked_fill(~real[:, None], -torch.inf).amax(-1)

    assert torch.allclose(found, expected, atol=1e-5)
    wanted, weights = [characters.embed.weight, *characters.conv.parameters()], torch.randn_like(found)
    gradients = (torch.autograd.grad((out * weights).sum(), wanted) for out in (found, expected))
    for one, other in zip(*gradients, strict=True):
        # Places that share a maximum may share its gradient, and have the same characters around them.
        assert torch.allclose(one, other, atol=1e-4)


def test_a_spelling_that_is_no_number_is_not_hidden():
    characters = Characters(7, ModelConfig(char_dim=5, char_hidden=4))
    characters.embed.weight.data[3] = torch.nan

    found = characters(spelled([[1, 2], [1, 1, 1, 3, 1, 1, 1, 1], [3]]))
    assert found.isnan().any(1).tolist() == [False, True, True]


def spelled(words: list[list[int]]) -> Any:
    """What `Characters` reads of such words."""
    width, letters_U = max(map(len, words)), torch.tensor([len(word) for word in words])
    chars_UC = torch.tensor([word + [0] * (width - len(word)) for word in words])
    return SimpleNamespace(chars_UC=chars_UC, letters_U=letters_U)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 5), st.integers(1, 4), st.lists(st.integers(1, 20), min_size=1, max_size=3), st.data())
def test_rows_side_by_side_are_rows_side_by_side(rows, places, widths, data):
    numbers = st.lists(st.integers(-1, 3), min_size=rows * places, max_size=rows * places)
    parts, expected = [], []
    for width in widths:
        table = torch.randn(4, width, requires_grad=True)
        at = torch.tensor(data.draw(numbers)).view(rows, places)
        parts.append(Part(table, at, gaps=True))
        expected.append(torch.cat([table, torch.zeros(1, width)])[at])
    count = rows * places
    every, once = torch.randn(count, 3, requires_grad=True), torch.randn(count // 2, 2, requires_grad=True)
    at = torch.randperm(count).view(rows, places)
    at = torch.where(at < len(once), at, -1)
    found = side_by_side([*parts, Part(every), Part(once, at, gaps=True, once=True)], (rows, places))

    wanted = torch.cat([*expected, every.view(rows, places, 3), torch.cat([once, torch.zeros(1, 2)])[at]], -1)
    assert torch.equal(found, wanted)
    tables, weights = [*(part.table for part in parts), every, once], torch.randn_like(found)
    mine, others = (torch.autograd.grad((rows * weights).sum(), tables) for rows in (found, wanted))
    for one, other in zip(mine, others, strict=True):
        assert torch.allclose(one, other, atol=1e-6)


@pytest.mark.usefixtures("either")
def test_rows_side_by_side_are_dropped_and_their_gradient_with_them():
    torch.manual_seed(4)
    table, fixed = torch.ones(50, 30, requires_grad=True), torch.ones(50, 20)
    at = torch.randperm(50).view(5, 10)
    found = side_by_side([Part(table, at), Part(fixed, at)], (5, 10), 0.25)
    (gradient,) = torch.autograd.grad(found.sum(), table)

    found = found.detach()
    assert (found == 0).float().mean() == pytest.approx(0.25, abs=0.04) and found.max() == pytest.approx(4 / 3)
    assert torch.equal(gradient[at], found[..., :30])


def test_other_numbers_than_float32_are_the_library_s():
    x = torch.ones(3, dtype=torch.double)

    assert not compiled.compiled(x) and not compiled.compiled(torch.ones(3, device="meta"))
    with torch.no_grad():
        assert not compiled.compiled(x.float())


def test_everything_runs_without_numba():
    code = (
        "import sys; sys.modules['numba'] = None; import torch; from parser import compiled, recurrence\n"
        "assert compiled.loops() is None and not compiled.compiled(torch.ones(3))\n"
        "lstm, x, zero = torch.nn.LSTM(2, 3, batch_first=True), torch.ones(1, 2, 2), torch.zeros(1, 1, 3)\n"
        "recurrence.run(lstm, x, (zero, zero)).sum().backward()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert done.returncode == 0, done.stderr


def test_loops_are_compiled_where_nothing_can_be_kept(tmp_path):
    copy = tmp_path / "loops.py"
    code = (
        "import numba.core.caching as caching\n"
        "caching.FunctionCache._impl_class._locator_classes = []\n"
        "import numpy as np; from parser import loops\n"
        "x = np.ones((2, 2), np.float32); loops.zeroed(x, x, 0, 0, np.float32(3)); assert (x == 3).all()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=copy.parent)

    assert done.returncode == 0, done.stderr
