"""The encoder in NumPy, for `quick`: what words give its first layer is kept from call to call.

R rows, longest first   N words of all rows in one line   X word input   E encoder state
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from parser.decode import Search
from parser.vocab import PAD

Array = np.ndarray
_KEPT = 50_000
"""Words whose part of the encoder's input is kept; when there are more, all are forgotten."""
_LARGE = 4096
"""From so many numbers on a call of torch is quicker than three of NumPy."""


def array(tensor: Tensor | None) -> Any:
    return None if tensor is None else np.ascontiguousarray(tensor.detach().float().numpy())


def turned(weight: Tensor) -> Tensor:
    """A weight the way round in which rows times it are fast."""
    return weight.detach().T.contiguous()


def times(rows: Array, weight: Tensor, bias: Array | None = None, onto: Array | None = None) -> Array:
    """rows @ weight + bias, with the threads that torch was given; or added to `onto`, in place."""
    if onto is not None:
        line = torch.from_numpy(onto)
        torch.addmm(line, torch.from_numpy(rows), weight, out=line)
        return onto
    made: Array = torch.mm(torch.from_numpy(rows), weight).numpy()
    if bias is not None:
        made += bias
    return made


def sigmoid(x: Array) -> Array:
    """In place."""
    if x.size >= _LARGE:
        line = torch.from_numpy(x)
        torch.sigmoid(line, out=line)
        return x
    np.negative(x, x)
    np.exp(x, x)
    x += 1
    return np.reciprocal(x, x)


def tanh(x: Array) -> Array:
    """In place, by the sigmoid, which is three times as quick."""
    x *= 2
    sigmoid(x)
    x *= 2
    x -= 1
    return x


def doubled(values: Any, size: int) -> Any:
    """Gates with the third doubled, so that one sigmoid serves all four: tanh(x) = 2 sigmoid(2x) - 1."""
    values = values.clone() if isinstance(values, Tensor) else values.copy()
    values[..., 2 * size : 3 * size] *= 2
    return values


def step(gates: Array, c: Array, h: Array | None = None) -> Array:
    """h of one LSTM step; `gates`, the third doubled, are spoilt and `c` is changed in place."""
    h = np.empty_like(c) if h is None else h
    c_XH, h_XH = torch.from_numpy(c), torch.from_numpy(h)
    i, f, g, o = torch.from_numpy(gates).sigmoid_().chunk(4, -1)
    c_XH.mul_(f).addcmul_(i, g, value=2).sub_(i)  # tanh(x) = 2 sigmoid(2x) - 1, here and below
    torch.mul(c_XH, 2, out=h_XH).sigmoid_().mul_(2).sub_(1).mul_(o)
    return h


class Layer:
    """Both directions of one layer of the encoder."""

    def __init__(self, ahead: Any, back: Any) -> None:
        self.half = half = ahead.hidden_size
        pairs = [(turned(x.weight_hh_l0), (x.bias_ih_l0 + x.bias_hh_l0).detach()) for x in (ahead, back)]
        self.w_in = torch.cat([doubled(turned(x.weight_ih_l0), half) for x in (ahead, back)], 1)
        self.w_hh = torch.stack([doubled(w, half) for w, _ in pairs])
        self.bias = array(torch.cat([doubled(b, half) for _, b in pairs]))

    def inputs(self, x_NX: Array) -> Array:
        """[N, 2, 4 half]: the input products of both directions."""
        return times(x_NX, self.w_in, self.bias).reshape(len(x_NX), 2, -1)

    def states(self, gates_N: Array, word_N: Array, length_R: Array) -> tuple[Array, Array]:
        """(states [N + 1, E], final states [R, E]) of rows whose words have the input products `gates_N[word_N]`.

        The words of all rows lie in one line, without padding; the last state is zero.
        """
        half, rows = self.half, len(length_R)
        many = np.searchsorted(-length_R, -np.arange(length_R[0]), "left").tolist()  # rows longer than t
        last_R = np.cumsum(length_R) - 1
        first_R = last_R + 1 - length_R
        flat = np.zeros((len(word_N) + 1, 2 * half), np.float32)
        h, c = np.zeros((2, rows, half), np.float32), np.zeros((2, rows, half), np.float32)
        for t, n in enumerate(many):
            ahead, back = first_R[:n] + t, last_R[:n] - t
            gates = np.empty((2, n, 4 * half), np.float32)
            gates[0] = gates_N[word_N[ahead], 0]
            gates[1] = gates_N[word_N[back], 1]
            if t:
                line = torch.from_numpy(gates)
                torch.baddbmm(line, torch.from_numpy(h[:, :n]), self.w_hh, out=line)
            step(gates, c[:, :n], h[:, :n])
            flat[ahead, :half] = h[0, :n]
            flat[back, half:] = h[1, :n]
        return flat, np.concatenate(list(h), 1)


def pooled(states_NE: Array, pool_E: Array, length_R: Array) -> Array:
    """[R, E]: for each row the mean of its states, weighted by `pool_E`; the states of all rows lie in one line."""
    first_R = np.cumsum(length_R) - length_R
    energy_N = states_NE @ pool_E
    share_N = np.exp(energy_N - np.maximum.reduceat(energy_N, first_R).repeat(length_R))
    share_N /= np.add.reduceat(share_N, first_R).repeat(length_R)
    mean: Array = np.add.reduceat(states_NE * share_N[:, None], first_R)
    return mean


class Reader:
    """What words give the first layer of the encoder, kept from call to call."""

    def __init__(self, search: Search, layer: Layer) -> None:
        encoder = search.model.encoder
        self.vocab, self.layer = search.vocab, layer
        self.vectors = array(encoder.embed.weight)
        self.static = None if encoder.static is None else array(encoder.static)
        self.characters = encoder.characters
        if self.characters is not None and self.characters.kind == "lstm":
            lstm: Any = self.characters.lstm
            size = lstm.hidden_size
            self.char_gates = doubled(
                array(self.characters.embed.weight @ lstm.weight_ih_l0.T + lstm.bias_ih_l0 + lstm.bias_hh_l0), size
            )
            self.char_hh, self.char_size = doubled(turned(lstm.weight_hh_l0), size), size
        elif self.characters is not None:
            conv = self.characters.conv
            self.char_table = array(torch.einsum("cd,hdk->kch", self.characters.embed.weight, conv.weight))
            self.char_bias = array(conv.bias)
        self.number: dict[str, int] = {}
        self.gates_N = np.zeros((256, 2, 4 * layer.half), np.float32)

    def forget(self) -> None:
        """Keep nothing of the calls so far."""
        self.number.clear()

    def numbers(self, words: list[str]) -> Array:
        """The place of each word in `gates_N`."""
        number = self.number
        found = [number.get(word, -1) for word in words]
        if -1 not in found:
            return np.array(found)
        fresh = list(dict.fromkeys(word for word, at in zip(words, found, strict=True) if at < 0))
        if len(number) + len(fresh) > _KEPT:
            number.clear()
            fresh = list(dict.fromkeys(words))
        first, last = len(number), len(number) + len(fresh)
        if last > len(self.gates_N):
            grown = np.zeros((2 * last, *self.gates_N.shape[1:]), np.float32)
            grown[:first] = self.gates_N[:first]
            self.gates_N = grown
        self.gates_N[first:last] = self.layer.inputs(np.stack([self._vector(word) for word in fresh]))
        number.update(zip(fresh, range(first, last), strict=True))
        return np.array([number[word] for word in words])

    def _vector(self, word: str) -> Array:
        number = self.vocab.word(word)
        parts = [self.vectors[number if number < len(self.vectors) else self.vocab.unknown(word)]]
        if self.characters is not None:
            parts.append(self._spelled(self.vocab.spelling(word)))
        if self.static is not None:
            parts.append(self.static[number])
        return np.concatenate(parts)

    def _spelled(self, letters: list[int]) -> Array:
        """The vector of a spelling."""
        assert self.characters is not None
        if self.characters.kind == "lstm":
            h, c = np.zeros((1, self.char_size), np.float32), np.zeros((1, self.char_size), np.float32)
            for letter in letters:
                h = step(self.char_gates[letter] + times(h, self.char_hh), c)
            last: Array = h[0]
            return last
        line = np.array([PAD, *letters, PAD])
        sums = self.char_table[0, line[:-2]] + self.char_table[1, line[1:-1]] + self.char_table[2, line[2:]]
        maxima: Array = sums.max(0) + self.char_bias
        return maxima
