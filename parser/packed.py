"""Both directions of an LSTM over words in one line without padding, as products of matrices.

For training in large batches on a CPU. The library's fused kernel wants rows of one length: in batches of 256 a fifth
of what it computes there is padding. Here the rows are sorted by length, each step takes those that still have a word,
and one product makes its gates from input and state together.

B rows   W words (padded)   N words   T steps   X input   H state   R columns of a step's product: state, input, one
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

_through_sigmoid = torch.ops.aten.sigmoid_backward.grad_input
_through_tanh = torch.ops.aten.tanh_backward.grad_input


@dataclass(frozen=True, slots=True)
class Packing:
    """The words of a padded batch in one line: all first words, all second ones, ..., longer rows first.

    sizes: how many rows have a word at each step, never rising.   line_N: the place in [B W] of each word of the line.
    place_BW: the place in the line of each word, 0 after the end.
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
        place = torch.zeros(held_TB.numel(), dtype=torch.long)
        place[line_N] = torch.arange(len(line_N))
        return cls(held_TB.sum(1).tolist(), line_N, place.view(-1, width))

    def pack(self, x_BW: Tensor) -> Tensor:
        """[N] of [B, W]."""
        return x_BW.flatten()[self.line_N]

    def unpack(self, x_NE: Tensor) -> Tensor:
        """[B, W, E] of [N, E]; what stands after the end of a row is not to be used."""
        unpacked: Tensor = _Unpacked.apply(x_NE, self.place_BW, self.line_N)
        return unpacked


class _Unpacked(torch.autograd.Function):
    """The gradient is looked up too: added up, as that of any look-up is, it costs several times as much."""

    @staticmethod
    def forward(ctx: Any, x_NE: Tensor, place_BW: Tensor, line_N: Tensor) -> Tensor:
        ctx.save_for_backward(line_N)
        return x_NE.index_select(0, place_BW.flatten()).view(*place_BW.shape, -1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return gradients[0].flatten(0, 1).index_select(0, *ctx.saved_tensors), None, None


def run_both(ahead: nn.Module, back: nn.Module, x_NX: Tensor, sizes: Sequence[int]) -> Tensor:
    """[N, 2 H] states of two LSTMs of one layer and direction, the second one reading each row from its end.

    Args:
        ahead, back: each an `nn.LSTM` of one layer and direction, both of the same widths.
        x_NX: packed input.
        sizes: see `Packing`.
    """
    states: Tensor = _Both.apply(x_NX, list(sizes), *ahead.parameters(), *back.parameters())
    return states


class _Both(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_NX: Tensor, sizes: list[int], *weights: Tensor) -> Tensor:
        steps = range(len(sizes))
        ctx.ways = _Way(x_NX, weights[:4], sizes, steps), _Way(x_NX, weights[4:], sizes, steps[::-1])
        out_NE = x_NX.new_empty(len(x_NX), 2 * weights[1].size(1))
        for way, out_NH in zip(ctx.ways, out_NE.chunk(2, 1), strict=True):
            way.forward(out_NH)
        return out_NE

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        both = [way.backward(by_out_NH) for way, by_out_NH in zip(ctx.ways, gradients[0].chunk(2, 1), strict=True)]
        return both[0][0] + both[1][0], None, *both[0][1], *both[1][1]


class _Way:
    """One direction: what it keeps of its way forward for its way backward.

    A step's product takes [input | state before | 1 | nothing] to the four gates. The weights of the candidates are
    doubled: tanh(a) = 2 sigmoid(2 a) - 1, so that all gates go through one sigmoid.

    Args:
        x_NX: the input.
        weights: of the input, of the state, and two biases.
        sizes: rows of each step.
        steps: in which order they come.
    """

    def __init__(self, x_NX: Tensor, weights: Sequence[Tensor], sizes: list[int], steps: Sequence[int]) -> None:
        self.sizes, self.steps = sizes, steps
        (count, X), H = x_NX.shape, weights[1].size(1)
        self.x, self.h, self.one = slice(X), slice(X, X + H), X + H
        R = -(-(X + H + 1) // 16) * 16  # products are quickest where rows begin at the same place of a cache line
        self.weight_4HR = x_NX.new_zeros(4 * H, R)
        self.weight_4HR[:, self.x], self.weight_4HR[:, self.h] = weights[:2]
        self.weight_4HR[:, self.one] = weights[2] + weights[3]
        self.weight_4HR[2 * H : 3 * H] *= 2
        self.input_NR = x_NX.new_zeros(count, R)
        self.input_NR[:, self.x], self.input_NR[:, self.one] = x_NX, 1
        self.gates_N4H = x_NX.new_empty(count, 4 * H)  # input, forget, candidate as (tanh + 1) / 2, output
        self.cell_NH, self.squashed_NH, self.candidate_NH = x_NX.new_empty(3, count, H).unbind()

    def forward(self, out_NH: Tensor) -> None:
        """Write the states after each step."""
        weight_R4H = self.weight_4HR.t()
        one, two = (self.cell_NH.new_full((), number) for number in (1, 2))  # Python's are converted at every call
        inputs, starts, gates, i, f, s, o, cells, squashed, candidates, outs = self._steps(
            self.input_NR, self.input_NR[:, self.h], self.gates_N4H, *_four(self.gates_N4H),
            self.cell_NH, self.squashed_NH, self.candidate_NH, out_NH,
        )  # fmt: skip
        before: int | None = None
        for t in self.steps:
            rows = self.sizes[t]
            if before is not None:
                # Rows are sorted by length, so those of both steps are the first ones of either.
                both = min(rows, self.sizes[before])
                starts[t][:both].copy_(outs[before][:both])
            torch.mm(inputs[t], weight_R4H, out=gates[t]).sigmoid_()
            torch.mul(s[t], two, out=candidates[t]).sub_(one)
            torch.mul(i[t], candidates[t], out=cells[t])
            if before is not None:
                cells[t][:both].addcmul_(f[t][:both], cells[before][:both])
            torch.mul(cells[t], two, out=squashed[t]).sigmoid_().mul_(two).sub_(one)
            torch.mul(o[t], squashed[t], out=outs[t])
            before = t

    def backward(self, by_out_NH: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The gradients of the input and of the weights, from that of the states."""
        by_input_NR = torch.empty_like(self.input_NR)
        by_gates_N4H = torch.empty_like(self.gates_N4H)
        by_cell_NH = torch.zeros_like(self.cell_NH)
        most, H, two = self.sizes[0], self.cell_NH.size(1), self.cell_NH.new_full((), 2)
        by_outs, room = by_out_NH.new_empty(2, most, H).unbind()
        outs, inputs, starts, all_by, d_i, d_f, d_s, d_o, gates, i, f, _, o, cells, squashed, candidates, d_c = (
            self._steps(
                by_out_NH, by_input_NR, by_input_NR[:, self.h], by_gates_N4H, *_four(by_gates_N4H), self.gates_N4H,
                *_four(self.gates_N4H), self.cell_NH, self.squashed_NH, self.candidate_NH, by_cell_NH,
            )
        )  # fmt: skip
        later: int | None = None
        for place in range(len(self.steps))[::-1]:
            t = self.steps[place]
            rows = self.sizes[t]
            by_out = outs[t]
            if later is not None:
                both = min(rows, self.sizes[later])
                by_out = by_outs[:rows].copy_(by_out)
                by_out[:both].add_(starts[later][:both])
            by_squashed = torch.mul(by_out, o[t], out=room[:rows])
            d_c[t].add_(_through_tanh(by_squashed, squashed[t], grad_input=by_squashed))
            torch.mul(by_out, squashed[t], out=d_o[t])
            torch.mul(d_c[t], candidates[t], out=d_i[t])
            torch.mul(d_c[t], i[t], out=d_s[t]).mul_(two)
            had = 0
            if place:
                before = self.steps[place - 1]
                had = min(rows, self.sizes[before])
                torch.mul(d_c[t][:had], cells[before][:had], out=d_f[t][:had])
                torch.mul(d_c[t][:had], f[t][:had], out=d_c[before][:had])
            if had < rows:
                d_f[t][had:].zero_()
            _through_sigmoid(all_by[t], gates[t], grad_input=all_by[t])
            torch.mm(all_by[t], self.weight_4HR, out=inputs[t])
            later = t
        by_weight_4HR = by_gates_N4H.t() @ self.input_NR
        by_weight_4HR[2 * H : 3 * H] *= 2
        by_bias_4H = by_weight_4HR[:, self.one]
        return by_input_NR[:, self.x], (by_weight_4HR[:, self.x], by_weight_4HR[:, self.h], by_bias_4H, by_bias_4H)

    def _steps(self, *lines: Tensor) -> list[tuple[Tensor, ...]]:
        return [line.split(self.sizes) for line in lines]


def _four(gates_N4H: Tensor) -> tuple[Tensor, ...]:
    return gates_N4H.view(len(gates_N4H), 4, -1).unbind(1)
