"""LSTMs as products of matrices with compiled loops between them (`loops`), for training on a CPU.

One product of a step makes the gates from input and state together, and while they are in the cache a loop makes the
states of them. The library's own kernel takes longer (at batches of 64 and of 512), and wants rows of one length: of
what it computes for the words of a batch of 256 an eighth is padding. Here words stand in one line without padding,
rows sorted by length, and each step takes those rows that still have a word.

B rows   W words (padded)   N words   T steps   X input   H state   E 2 H
R columns of a step's product: input, state, one
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from parser.compiled import loops, plain

_BLOCK = 128
"""Rows of a product, about: their gates stay in the cache of a core until the loop has done with them."""


@dataclass(frozen=True, slots=True)
class Packing:
    """The words of a padded batch in one line: all first words, all second ones, ..., longer rows first.

    sizes: how many rows have a word at each step, never rising.   line_N: the place in [B W] of each word of the line.
    place_BW: the place in the line of each word, -1 after the end.
    """

    sizes: list[int]
    line_N: Tensor
    place_BW: Tensor

    @classmethod
    def of(cls, length_B: Tensor, width: int) -> Packing:
        """The packing of rows of these lengths, none empty, padded to `width`."""
        length_B, order_B = length_B.sort(descending=True, stable=True)
        held_TB = torch.arange(width)[:, None] < length_B
        step_N, row_N = held_TB.nonzero(as_tuple=True)
        line_N = order_B[row_N] * width + step_N
        place = torch.full((held_TB.numel(),), -1)
        place[line_N] = torch.arange(len(line_N))
        return cls(held_TB.sum(1).tolist(), line_N, place.view(-1, width))

    def pack(self, x_BW: Tensor) -> Tensor:
        """[N] of [B, W]."""
        return x_BW.flatten()[self.line_N]


def run_both(ahead: nn.Module, back: nn.Module, x_NX: Tensor, sizes: Sequence[int]) -> Tensor:
    """[N, E] states of two LSTMs, the second one reading each row from its end.

    Args:
        ahead, back: each an `nn.LSTM` of one layer and direction, both of the same widths.
        x_NX: packed input.
        sizes: see `Packing`.
    """
    states: Tensor = _Both.apply(x_NX, list(sizes), *ahead.parameters(), *back.parameters())
    return states


def run_rows(lstm: nn.Module, x_BTX: Tensor, start: tuple[Tensor, Tensor]) -> Tensor:
    """[B, T, H] states of an `nn.LSTM` of one layer and direction, from (h, c) [B, H] on."""
    states: Tensor = _Rows.apply(x_BTX, *start, *lstm.parameters())
    return states


class _Both(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_NX: Tensor, sizes: list[int], *weights: Tensor) -> Tensor:
        steps = range(len(sizes))
        ctx.ways = [_Way(weights[:4], _spans(sizes, steps)), _Way(weights[4:], _spans(sizes, steps[::-1]))]
        out_NE = x_NX.new_empty(len(x_NX), sum(way.H for way in ctx.ways))
        for way, column in zip(ctx.ways, (0, ctx.ways[0].H), strict=True):
            way.read(x_NX)
            way.forward(out_NE, column)
        return out_NE

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        by_out_NE = gradients[0].contiguous()
        (by_x, by_ahead), (by_x_back, by_back) = (
            way.backward(by_out_NE, column) for way, column in zip(ctx.ways, (0, ctx.ways[0].H), strict=True)
        )
        return by_x + by_x_back, None, *by_ahead, *by_back


class _Rows(torch.autograd.Function):
    """The line holds all first elements, all second ones, ...; the states go to [B, T, H] at once."""

    @staticmethod
    def forward(ctx: Any, x_BTX: Tensor, h_BH: Tensor, c_BH: Tensor, *weights: Tensor) -> Tensor:
        B, T, _ = x_BTX.shape
        way = ctx.way = _Way(weights, _spans([B] * T, range(T), started=True, apart=T))
        way.read(x_BTX.transpose(0, 1), (h_BH, c_BH))
        out_BTH = x_BTX.new_empty(B, T, way.H)
        way.forward(out_BTH.view(B * T, way.H), 0)
        return out_BTH

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, ...]:
        by_out_BTH = gradients[0].contiguous()
        B, T, H = by_out_BTH.shape
        by_x_NX, by_weights = ctx.way.backward(by_out_BTH.view(B * T, H), 0)
        by_h_BH, by_c_BH = ctx.way.by_start()
        return by_x_NX.unflatten(0, (T, B)).transpose(0, 1), by_h_BH, by_c_BH, *by_weights


class Span(NamedTuple):
    """Some rows of a step, as the loops want them; all but the counts are places of the first of these rows.

    Attributes:
        rows: how many.
        row: among the rows of the batch.
        first: in the line.
        cell: among the cells, which may begin with those of a start.
        before, had: of the cell before, and how many of the rows have one.
        after, go_on: in the line at the next step, and how many of the rows come to that.
        out, stride: among the rows of the output, and how far apart there.
    """

    rows: int
    row: int
    first: int
    cell: int
    before: int
    had: int
    after: int
    go_on: int
    out: int
    stride: int


def _spans(sizes: Sequence[int], steps: Sequence[int], started: bool = False, apart: int = 0) -> list[Span]:
    """The work of an LSTM in order.

    Args:
        sizes: rows at each place of a row, see `Packing`.
        steps: the order in which the places come.
        started: the first of these steps has a state before it, too.
        apart: the output has so many places for each row, row by row; 0 if it is a line as the input is.
    """
    firsts, starts = list(accumulate(sizes, initial=0)), sizes[steps[0]] if started else 0
    pieces = max(1, round(max(sizes) / _BLOCK))
    ends = [max(sizes) * piece // pieces for piece in range(pieces + 1)]
    spans = []
    for row, last in pairwise(ends):
        for place, t in enumerate(steps):
            rows = min(sizes[t], last) - row
            if rows <= 0:
                continue
            # Rows are sorted by length, so those of two steps are the first ones of either.
            had = min(sizes[t], sizes[steps[place - 1]]) if place else starts
            before = starts + firsts[steps[place - 1]] if place else 0
            after = steps[place + 1] if place + 1 < len(steps) else None
            go_on = 0 if after is None else min(sizes[t], sizes[after])
            spans.append(
                Span(
                    rows=rows,
                    row=row,
                    first=firsts[t] + row,
                    cell=starts + firsts[t] + row,
                    before=before + row,
                    had=min(max(had - row, 0), rows),
                    after=0 if after is None else firsts[after] + row,
                    go_on=min(max(go_on - row, 0), rows),
                    out=row * apart + t if apart else firsts[t] + row,
                    stride=apart or 1,
                )
            )
    return spans


class _Way:
    """One direction: what it keeps of its way forward for its way backward.

    A step's product takes [input | state before | 1 | nothing] to the four gates. The weights of the candidates are
    doubled: tanh(a) = 2 sigmoid(2 a) - 1, so that all gates go through one sigmoid.

    Args:
        weights: of the input, of the state, and two biases.
        spans: the work.
    """

    def __init__(self, weights: Sequence[Tensor], spans: list[Span]) -> None:
        self.spans = spans
        (H4, X), H = weights[0].shape, weights[1].size(1)
        self.H, self.x, self.h, self.one = H, slice(X), slice(X, X + H), X + H
        R = -(-(X + H + 1) // 16) * 16  # products are quickest where rows begin at the same place of a cache line
        self.weight_4HR = weights[0].new_zeros(H4, R)
        self.weight_4HR[:, self.x], self.weight_4HR[:, self.h] = weights[:2]
        self.weight_4HR[:, self.one] = weights[2] + weights[3]
        self.weight_4HR[2 * H : 3 * H] *= 2

    def read(self, x: Tensor, start: tuple[Tensor, Tensor] | None = None) -> None:
        """Take the input [N, X], or [T, B, X] with (h, c) [B, H] before it."""
        count, H = x[..., 0].numel(), self.H
        self.starts = 0 if start is None else len(start[0])
        self.input_NR = x.new_empty(count, self.weight_4HR.size(1))
        self.input_NR.view(*x.shape[:-1], -1)[..., self.x] = x
        self.input_NR[:, self.one :] = 0
        self.input_NR[:, self.one] = 1
        self.gates_N4H: Tensor | None = x.new_empty(count, 4 * H)  # input, forget, candidate as (tanh + 1) / 2, output
        self.cells = x.new_empty(self.starts + count, H)
        if start is None:
            for span in self.spans:
                self.input_NR[span.first + span.had : span.first + span.rows, self.h] = 0
        else:
            self.input_NR[: self.starts, self.h], self.cells[: self.starts] = start

    def forward(self, out: Tensor, column: int) -> None:
        """Write the states, from a column of `out` on."""
        weight_R4H, gates_N4H = self.weight_4HR.t().contiguous(), self.gates_N4H
        assert gates_N4H is not None
        arrays = plain(gates_N4H), plain(self.cells), out.numpy(), column, plain(self.input_NR), self.h.start
        for span in self.spans:
            rows = slice(span.first, span.first + span.rows)
            torch.mm(self.input_NR[rows], weight_R4H, out=gates_N4H[rows])
            loops().lstm_step(span, *arrays)

    def backward(self, by_out: Tensor, column: int) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The gradients of the input [N, X] and of the weights, from that of the states."""
        H, by_gates_N4H = self.H, self.gates_N4H
        if by_gates_N4H is None:
            raise RuntimeError("the way back through an LSTM in training can be gone once: it writes over the gates")
        self.gates_N4H = None
        self.by_input_NR = torch.empty_like(self.input_NR)
        self.by_cell = self.cells.new_zeros(max(span.row + span.rows for span in self.spans), H)
        arrays = (
            plain(by_gates_N4H), plain(self.cells), plain(by_out), column,
            plain(self.by_input_NR), self.h.start, plain(self.by_cell),
        )  # fmt: skip
        for span in reversed(self.spans):
            rows = slice(span.first, span.first + span.rows)
            loops().lstm_step_back(span, *arrays)
            torch.mm(by_gates_N4H[rows], self.weight_4HR, out=self.by_input_NR[rows])
        by_weight_4HR = by_gates_N4H.t() @ self.input_NR
        by_weight_4HR[2 * H : 3 * H] *= 2
        by_bias_4H = by_weight_4HR[:, self.one]
        by_weights = (by_weight_4HR[:, self.x], by_weight_4HR[:, self.h], by_bias_4H, by_bias_4H)
        return self.by_input_NR[:, self.x], by_weights

    def by_start(self) -> tuple[Tensor, Tensor]:
        """The gradients of (h, c) [B, H] before the first step."""
        return self.by_input_NR[: self.starts, self.h], self.by_cell
