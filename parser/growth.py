"""What has grown in every row of a batch, in NumPy, for `quick`: open nodes, what may come next, the stack-LSTM.

`legal.LegalState` and `decode._Stack` are the same in tensors.

    R rows   D levels, level 0 is "no node is open"   N = R D levels of all rows in one line   L labels   S symbols
"""

from __future__ import annotations

from typing import Any

import numpy as np

from parser.arrays import Array, array, doubled, step, tanh, times, turned
from parser.folded import Folded
from parser.legal import Legal
from parser.model import NEVER
from parser.vocab import RED_SYMBOL


class Rules:
    """The ontology as bars, numbers that are added to scores: 0 or `NEVER`.

    Attributes:
        bars_PX: of a node just opened: RED, the labels, words; X = L + 2.
        owed_P: a bound on the actions it still needs.
    """

    def __init__(self, legal: Legal, max_open: int, symbols: int) -> None:
        self.S, self.L, self.max_open, self.ontology = symbols, len(legal.labels), max_open, legal.ontology
        self.levels = max_open + 2
        takes, required = legal.takes_PL.numpy(), legal.required_PL.numpy()
        self.once, self.required, self.least = (legal.once_PL & legal.takes_PL).numpy(), required, legal.least_P.numpy()
        needy = required.any(1) | (self.least > 0)
        self.needy = bool(needy.any())
        self.heights, self.tallest = legal.height_L.numpy(), int(legal.height_L.max())
        may = np.concatenate([~needy[:, None], takes, legal.words_P.numpy()[:, None]], 1)
        may[self.L, 0] = may[self.L, -1] = False
        self.bars_PX = np.where(may, np.float32(0), np.float32(NEVER))
        lack = np.maximum(0, self.least - required.sum(1))
        self.owed_P = (required * (1 + legal.cost_L.numpy())).sum(1) + lack * (1 + legal.most_cost)
        self.spare, self.smallest = 2 + legal.most_cost, legal.smallest


class Growth:
    """R trees that grow.

    Attributes:
        depth_R: open nodes.
        taken_R: actions so far.
        done_R: the tree is whole; its row goes on below an open root, for nobody.
    """

    def __init__(self, rules: Rules, budget_R: Array) -> None:
        self.rules = rules
        rows, levels = len(budget_R), rules.levels
        self.done_R = np.zeros(rows, bool)
        self.budget_R, self.depth_R, self.owed_R, self.taken_R = (np.zeros(rows, np.int64) for _ in range(4))
        self.label_RD, self.sibling_RD, self.count_RD = (np.zeros((rows, levels), np.int64) for _ in range(3))
        self.bars_RDX = np.zeros((rows, levels, rules.L + 2), np.float32)
        self.absent_RDL = np.zeros((rows, levels if rules.needy else 0, rules.L), bool)
        self._moved()
        self.seat(np.arange(rows), budget_R)

    def seat(self, rows: Array, budget: Array) -> None:
        """Begin new trees in some rows."""
        self.budget_R[rows] = np.maximum(budget, self.rules.smallest)
        for start in (self.depth_R, self.owed_R, self.taken_R, self.done_R):
            start[rows] = 0
        self.label_RD[rows, 0], self.sibling_RD[rows, 0], self.count_RD[rows, 0] = self.rules.L, 0, 0
        self.bars_RDX[rows, 0] = self.rules.bars_PX[self.rules.L]
        self.at_R[rows] = self.base_R[rows]

    def _moved(self) -> None:
        self.base_R = np.arange(len(self.depth_R)) * self.rules.levels
        self.at_R = self.base_R + self.depth_R

    def keep(self, rows: Array) -> None:
        """Go on with some rows only."""
        names = (
            "budget_R",
            "depth_R",
            "done_R",
            "owed_R",
            "taken_R",
            "label_RD",
            "sibling_RD",
            "count_RD",
            "bars_RDX",
            "absent_RDL",
        )
        for name in names:
            setattr(self, name, getattr(self, name)[rows])
        self._moved()

    def parent_R(self) -> Array:
        """The open node's label number, L for none."""
        return self.label_RD.ravel().take(self.at_R)

    def sibling_R(self) -> Array:
        """As in `columns.Columns`."""
        return self.sibling_RD.ravel().take(self.at_R)

    def bars_RX(self) -> Array:
        """What is added to the scores of RED, labels and words."""
        rules = self.rules
        bars: Array = self.bars_RDX.reshape(-1, rules.L + 2).take(self.at_R, 0)
        if int(self.depth_R.max()) + rules.tallest > rules.max_open:
            bars[:, 1 : 1 + rules.L][self.depth_R[:, None] + rules.heights > rules.max_open] = NEVER
        return bars

    def near_budget_R(self) -> Array:
        """Rows where the next action may have to be chosen so that the tree can still be completed."""
        return (self.depth_R + self.owed_R + self.taken_R + self.rules.spare > self.budget_R) & ~self.done_R

    def take(self, choice_R: Array, parent_R: Array) -> Array:
        """Apply one symbol or position a row; returns the rows whose trees are whole with it."""
        rules, size = self.rules, self.rules.L
        label, sibling, count = self.label_RD.ravel(), self.sibling_RD.ravel(), self.count_RD.ravel()
        bars = self.bars_RDX.reshape(-1, size + 2)
        self.taken_R += 1
        red, words = (choice_R == RED_SYMBOL).nonzero()[0], (choice_R > size).nonzero()[0]
        opens = ((choice_R > RED_SYMBOL) & (choice_R <= size)).nonzero()[0]
        at_R = self.at_R
        if len(opens):
            child, above, at = choice_R[opens] - 1, parent_R[opens], at_R[opens]
            barred = rules.once[above, child]
            bars[at[barred], child[barred] + 1] = NEVER
            count[at] += 1
            if rules.needy:
                self._fed(at, above, child)
            self.depth_R[opens] += 1
            at = at + 1
            at_R[opens] = at
            label[at], sibling[at], count[at], bars[at] = child, 0, 0, rules.bars_PX[child]
            if rules.needy:
                self.absent_RDL.reshape(-1, size)[at] = rules.required[child]
            self.owed_R[opens] += rules.owed_P[child]
        if len(words):
            at = at_R[words]
            sibling[at] = rules.S
            count[at] += 1
            if rules.needy:
                self._fed(at, parent_R[words], None)
        whole = red
        if len(red):
            closed = parent_R[red]
            self.owed_R[red] -= rules.owed_P[closed]
            self.depth_R[red] -= 1
            at = at_R[red] - 1
            at_R[red] = at
            sibling[at] = closed + 1
            ended = self.depth_R[red] == 0
            whole = red[ended]
            if len(whole):
                # The root is open again, so that the row has something to do until it is dropped.
                self.depth_R[whole] = 1
                at_R[whole] += 1
                self.owed_R[whole] += rules.owed_P[closed[ended]]
                whole = whole[~self.done_R[whole]]
                self.done_R[whole] = True
        return whole

    def _fed(self, at: Array, parent: Array, child: Array | None) -> None:
        """Nodes have one child more: whether they may be closed now."""
        absent = self.absent_RDL.reshape(-1, self.rules.L)
        if child is not None:
            absent[at, child] = False
        ready = (parent < self.rules.L) & ~absent[at].any(1) & (self.rules.least[parent] <= self.count_RD.ravel()[at])
        self.bars_RDX.reshape(-1, self.rules.L + 2)[at[ready], RED_SYMBOL] = 0


class Gates:
    """The input products of an LSTM over actions."""

    def __init__(self, weight: Any, bias: Any, symbols_S4H: Any, size: int) -> None:
        self.weight, self.bias = doubled(turned(weight), size), doubled(array(bias), size)
        self.symbols_S4H = doubled(array(symbols_S4H), size)

    def of(self, vector_NA: Array) -> Array:
        """[N, 4 H] of action vectors."""
        return times(vector_NA, self.weight, self.bias)

    def chosen(self, choice_R: Array, symbols: int, copies: Array, source: Array, copies_N4H: Array | None) -> Array:
        """[R, 4 H] of symbols, and of the words at `source` for the rows `copies`."""
        return picked(choice_R, symbols, self.symbols_S4H, copies, source, copies_N4H)


def picked(
    choice_R: Array, symbols: int, table_SX: Array, copies: Array, source: Array, words_NX: Array | None
) -> Array:
    """[R, X]: the row of a table for a symbol, or for the rows `copies` that of a word, at `source`."""
    rows: Array = table_SX.take(np.minimum(choice_R, symbols - 1), 0)
    if words_NX is not None and len(copies):
        rows[copies] = words_NX.take(source, 0)
    return rows


class Stacked:
    """What the stack-LSTM and composition multiply with."""

    def __init__(self, folded: Folded) -> None:
        assert folded.children_AA is not None
        self.S, self.L = folded.S, folded.model.L
        self.recur_HX = doubled(turned(folded.stack_hh), folded.H)
        self.children_AA, self.node_PA = turned(folded.children_AA), array(folded.node_PA)
        self.embed_SA = array(folded.embed_SA)


class Tops:
    """The stack-LSTM's top of R rows, and below every open node what a RED goes back to."""

    def __init__(self, weights: Stacked, gates: Gates) -> None:
        self.gates, self.weights, self.S, self.L = gates, weights, weights.S, weights.L

    def begin(self, start: tuple[Array, Array], levels: int) -> None:
        """Empty stacks."""
        self.h_RH, self.c_RH = (x.copy() for x in start)
        rows, width = self.h_RH.shape
        self.below_RDX = np.zeros((rows, levels, 2 * width), np.float32)
        self.total_RDA = np.zeros((rows, levels, self.weights.embed_SA.shape[1]), np.float32)
        self.many_RD = np.zeros((rows, levels), np.float32)

    def seat(self, rows: Array, start: tuple[Array, Array]) -> None:
        """Empty some stacks."""
        self.h_RH[rows], self.c_RH[rows] = start

    def keep(self, rows: Array) -> None:
        """Go on with some rows only."""
        for name in ("h_RH", "c_RH", "below_RDX", "total_RDA", "many_RD"):
            setattr(self, name, getattr(self, name)[rows])

    def push(
        self,
        choice_R: Array,
        parent_R: Array,
        at_R: Array,
        copies: Array,
        source: Array,
        words: tuple[Array | None, Array | None],
    ) -> None:
        """One element more on every stack.

        Args:
            choice_R: symbols and positions.
            parent_R, at_R: the open label, and the place of its level in N, before the action.
            copies, source: the rows that copy, and the flat places of their words.
            words: action vectors and input products of the words.
        """
        size = self.h_RH.shape[1]
        below, total, many = (x.reshape(-1, *x.shape[2:]) for x in (self.below_RDX, self.total_RDA, self.many_RD))
        vector = picked(choice_R, self.S, self.weights.embed_SA, copies, source, words[0])
        gates = self.gates.chosen(choice_R, self.S, copies, source, words[1])
        red = (choice_R == RED_SYMBOL).nonzero()[0]
        opens = ((choice_R > RED_SYMBOL) & (choice_R <= self.L)).nonzero()[0]
        leaves = (choice_R > self.L).nonzero()[0]
        above = at_R[opens] + 1
        below[above, :size], below[above, size:] = self.h_RH[opens], self.c_RH[opens]
        total[above], many[above] = 0, 0
        if len(red):
            at = at_R[red]
            mean = total[at] / np.maximum(1, many[at])[:, None]
            node = times(mean, self.weights.children_AA)
            node += self.weights.node_PA[parent_R[red]]
            vector[red] = tanh(node)
            gates[red] = self.gates.of(node)
            self.h_RH[red], self.c_RH[red] = below[at, :size], below[at, size:]
            total[at - 1] += node
            many[at - 1] += 1
        total[at_R[leaves]] += vector[leaves]
        many[at_R[leaves]] += 1
        step(times(self.h_RH, self.weights.recur_HX, onto=gates), self.c_RH, self.h_RH)
