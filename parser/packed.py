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
from parser.lookup import Part, Rows

_BLOCK = 128
"""Rows of a product, about: their gates stay in the cache of a core until the loop has done with them."""


@dataclass(frozen=True, slots=True)
class Packing:
    """The words of a padded batch in one line: all first words, all second ones, ..., longer rows first.

    sizes: how many rows have a word at each step, never rising.   line_N: the place in [B W] of each word of the line.
    place_BW: the place in the line of each word, -1 after the end.   order_B: the rows, longer ones first.
    """

    sizes: list[int]
    line_N: Tensor
    place_BW: Tensor
    order_B: Tensor

    @classmethod
    def of(cls, length_B: Tensor, width: int) -> Packing:
        """The packing of rows of these lengths, none empty, padded to `width`."""
        length_B, order_B = length_B.sort(descending=True, stable=True)
        held_TB = torch.arange(width)[:, None] < length_B
        step_N, row_N = held_TB.nonzero(as_tuple=True)
        line_N = order_B[row_N] * width + step_N
        place = torch.full((held_TB.numel(),), -1)
        place[line_N] = torch.arange(len(line_N))
        return cls(held_TB.sum(1).tolist(), line_N, place.view(-1, width), order_B)

    def pack(self, x_BW: Tensor) -> Tensor:
        """[N] of [B, W]."""
        return x_BW.flatten()[self.line_N]


def run_both(
    ahead: nn.Module, back: nn.Module, parts: Sequence[Part], sizes: Sequence[int], share: float = 0.0
) -> tuple[Tensor, Tensor]:
    """([N, E] states of two LSTMs, the second one reading each row from its end, [B, E] the last ones of either).

    The rows of a batch are as `Packing` has them.

    Args:
        ahead, back: each an `nn.LSTM` of one layer and direction, both of the same widths.
        parts: packed input, looked up where it is read.
        sizes: see `Packing`.
        share: of the units of the input that are zeroed, as in `lookup.side_by_side`.
    """
    rows, tables = Rows.of(parts, share), [part.table for part in parts]
    states, last = _Both.apply(rows, list(sizes), *ahead.parameters(), *back.parameters(), *tables)
    return states, last


def run_ahead(
    lstm: nn.Module, parts: Sequence[Part], sizes: Sequence[int], start: tuple[Tensor, Tensor], share: float = 0.0
) -> Tensor:
    """[N, H] states of one LSTM, from (h, c) [B, H] before the first step on; these lie as the rows of `Packing` do."""
    rows, tables = Rows.of(parts, share), [part.table for part in parts]
    states: Tensor = _Ahead.apply(rows, list(sizes), *start, *lstm.parameters(), *tables)
    return states


class _Both(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Rows, sizes: list[int], *tensors: Tensor) -> tuple[Tensor, Tensor]:
        steps, tables = range(len(sizes)), tensors[8:]
        ctx.rows, ctx.tables = rows, tables
        ctx.ways = [_Way(tensors[:4], _spans(sizes, steps)), _Way(tensors[4:8], _spans(sizes, steps[::-1]))]
        ahead, back = ctx.ways
        out_NE, last_BE = (tensors[0].new_empty(count, ahead.H + back.H) for count in (sum(sizes), sizes[0]))
        ahead.take(len(out_NE))
        rows.gather(tables, ahead.input_NR.numpy())
        back.take(len(out_NE))
        back.input_NR[:, back.x] = ahead.input_NR[:, ahead.x]
        ahead.forward(out_NE, last_BE, 0)
        back.forward(out_NE, last_BE, ahead.H)
        return out_NE, last_BE

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        ahead, back = ctx.ways
        by_weights = *ahead.backward(*gradients, 0), *back.backward(*gradients, ahead.H)
        ahead.by_input_NR[:, ahead.x] += back.by_input_NR[:, back.x]
        by_tables = ctx.rows.room(ctx.tables, ctx.needs_input_grad[10:])
        ctx.rows.scatter(by_tables, plain(ahead.by_input_NR))
        return None, None, *by_weights, *by_tables


class _Ahead(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Rows, sizes: list[int], h_BH: Tensor, c_BH: Tensor, *tensors: Tensor) -> Tensor:
        weights, ctx.tables, ctx.rows = tensors[:4], tensors[4:], rows
        ctx.way = _Way(weights, _spans(sizes, range(len(sizes)), started=True))
        out_NH = h_BH.new_empty(sum(sizes), ctx.way.H)
        ctx.way.take(len(out_NH), (h_BH, c_BH))
        rows.gather(ctx.tables, ctx.way.input_NR.numpy())
        ctx.way.forward(out_NH, out_NH[:0], 0)
        return out_NH

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        by_weights = ctx.way.backward(gradients[0], gradients[0][:0], 0)
        by_tables = ctx.rows.room(ctx.tables, ctx.needs_input_grad[8:])
        ctx.rows.scatter(by_tables, plain(ctx.way.by_input_NR))
        return None, None, *ctx.way.by_start(), *by_weights, *by_tables


class Span(NamedTuple):
    """Some rows of a step, as the loops want them; all but the counts are places of the first of these rows.

    Attributes:
        rows: how many.
        row: among the rows of the batch.
        first: in the line.
        cell: among the cells, which may begin with those of a start.
        before, had: of the cell before, and how many of the rows have one.
        after, go_on: in the line at the next step, and how many of the rows come to that.
    """

    rows: int
    row: int
    first: int
    cell: int
    before: int
    had: int
    after: int
    go_on: int


def _spans(sizes: Sequence[int], steps: Sequence[int], started: bool = False) -> list[Span]:
    """The work of an LSTM in order.

    Args:
        sizes: rows at each place of a row, see `Packing`.
        steps: the order in which the places come.
        started: the first of these steps has a state before it, too.
    """
    firsts, starts = list(accumulate(sizes, initial=0)), sizes[steps[0]] if started else 0
    pieces = max(1, round(max(sizes) / _BLOCK))
    ends = [max(sizes) * piece // pieces for piece in range(pieces + 1)]
    spans = []
    # Some rows go all their steps before the next ones begin: what a step leaves for the next is still in the cache.
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

    def take(self, count: int, start: tuple[Tensor, Tensor] | None = None) -> None:
        """Make room for N places, with (h, c) [B, H] before them; their input is to be written into `input_NR`."""
        self.starts = 0 if start is None else len(start[0])
        self.input_NR = self.weight_4HR.new_empty(count, self.weight_4HR.size(1))
        loops().with_a_one(self.input_NR.numpy(), self.one)
        # Input, forget, candidate as (tanh + 1) / 2, output.
        self.gates_N4H: Tensor | None = self.input_NR.new_empty(count, 4 * self.H)
        self.cells = self.input_NR.new_empty(self.starts + count, self.H)
        if start is None:
            for span in self.spans:
                if span.had < span.rows:
                    self.input_NR[span.first + span.had : span.first + span.rows, self.h] = 0
        else:
            self.input_NR[: self.starts, self.h], self.cells[: self.starts] = start

    def forward(self, out: Tensor, last: Tensor, column: int) -> None:
        """Write the states from a column of `out` on, and the last ones of each row from that of `last` on, if wanted.

        `last` is [B, E], or has no row.
        """
        weight_R4H, gates_N4H = self.weight_4HR.t().contiguous(), self.gates_N4H
        assert gates_N4H is not None
        arrays = (
            plain(gates_N4H), plain(self.cells), out.numpy(), last.numpy(), column, plain(self.input_NR), self.h.start
        )  # fmt: skip
        for span in self.spans:
            rows = slice(span.first, span.first + span.rows)
            torch.mm(self.input_NR[rows], weight_R4H, out=gates_N4H[rows])
            loops().lstm_step(span, *arrays)

    def backward(self, by_out: Tensor, by_last: Tensor, column: int) -> tuple[Tensor, ...]:
        """The gradients of the weights, from those of the states; that of the input is left in `by_input_NR`."""
        H, by_gates_N4H = self.H, self.gates_N4H
        if by_gates_N4H is None:
            raise RuntimeError("the way back through an LSTM in training can be gone once: it writes over the gates")
        self.gates_N4H = None
        self.by_input_NR = torch.empty_like(self.input_NR)
        self.by_cell = self.cells.new_zeros(max(span.row + span.rows for span in self.spans), H)
        arrays = (
            plain(by_gates_N4H), plain(self.cells), plain(by_out), plain(by_last), column,
            plain(self.by_input_NR), self.h.start, plain(self.by_cell),
        )  # fmt: skip
        for span in reversed(self.spans):
            rows = slice(span.first, span.first + span.rows)
            loops().lstm_step_back(span, *arrays)
            torch.mm(by_gates_N4H[rows], self.weight_4HR, out=self.by_input_NR[rows])
        # The library makes it quicker as [R, 4 H] than as [4 H, R].
        by_weight_4HR = (self.input_NR.t() @ by_gates_N4H).t()
        by_weight_4HR[2 * H : 3 * H] *= 2
        by_bias_4H = by_weight_4HR[:, self.one]
        return by_weight_4HR[:, self.x], by_weight_4HR[:, self.h], by_bias_4H, by_bias_4H

    def by_start(self) -> tuple[Tensor, Tensor]:
        """The gradients of (h, c) [B, H] before the first step."""
        return self.by_input_NR[: self.starts, self.h], self.by_cell
