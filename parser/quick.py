"""Greedy search on a CPU, for one utterance or many: the rows of a batch grow in lock-step, in NumPy.

The sums are those of `folded`, the result that of `decode` up to rounding. A step is two products with the
history's state and some sixty array operations, each on the rows that it concerns, so one utterance is answered
with little delay and a large batch spends its time on arithmetic. All utterances are read at once; a row whose tree
is whole goes to the next one, so hardly any row grows for nobody. A few utterances, and a row that comes near its
budget of actions, where the mask needs sums over all open nodes, go to `single`, one by one.

    U utterances, longest first   R rows, trees that grow   W words   N words of all utterances in one line
    S symbols   L labels
    H, E, F, Q as in `folded`
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from parser.arrays import Array, Layer, Reader, array, doubled, pooled, step, tanh, times, turned
from parser.decode import ACTIONS_PER_WORD, SPARE_ACTIONS, Parse, Search, parse_of
from parser.growth import Gates, Growth, Rules, Stacked, Tops
from parser.model import NEVER, REACH
from parser.single import Single
from parser.vocab import Vocab

FEW = 3
"""So many utterances are parsed sooner one after the other."""
SEATS = 64
"""Trees that grow at once: what a step touches fits into the cache of a core."""
FREE, EMPTY = 0.06, 0.2
"""Rows whose trees are whole are given to other utterances, or dropped when none wait, when they are such a share."""


class _Words:
    """What the words of a batch add, at every step that looks at them; see `folded.Words`.

    The words of all utterances lie in one line; those of the rows that grow also side by side, padded to equal length.
    """

    def __init__(self, quick: Quick, states_NE: Array, length_U: Array, rows: int) -> None:
        c, width = quick.config, int(length_U[0])
        self.length_U, self.first_U, self.past = length_U, np.cumsum(length_U) - length_U, len(states_NE) - 1
        made = {name: times(states_NE, weight) for name, weight in quick.parts.items()}
        self.front_NF = made.pop("front", None)  # the last state is zero, so a front past the end adds nothing
        if c.attention == "dot":
            made["key"] = states_NE
        self.lines = made
        self.rows = {name: np.empty((rows, width, line.shape[1]), np.float32) for name, line in made.items()}
        self.place_W = np.arange(width)
        self.pad_RW, self.first_R = np.empty((rows, width), np.float32), np.empty(rows, np.int64)
        self.vector_NA = self.history_N4H = self.stack_N4H = None
        if quick.copied is not None:
            self.vector_NA = tanh(times(states_NE, *quick.copied))
            if c.history:
                self.history_N4H = quick.history.of(self.vector_NA)
            if c.stack:
                self.stack_N4H = quick.stack.of(self.vector_NA)
        if c.front:
            near = (self.place_W - np.arange(width + 1)[:, None]).clip(-REACH, REACH) + REACH
            self.near_attention, self.near_copy = quick.near_attention[near], quick.near_copy[near]
        self.seat(np.arange(rows), np.arange(rows))

    def seat(self, rows: Array, utterances: Array) -> None:
        """Give some rows to other utterances."""
        real = self.place_W < self.length_U[utterances, None]
        first = self.first_U[utterances]
        at = np.where(real, first[:, None] + self.place_W, self.past)
        for name, line in self.lines.items():
            self.rows[name][rows] = line.take(at, 0)
        self.pad_RW[rows], self.first_R[rows] = np.where(real, np.float32(0), np.float32(NEVER)), first

    def keep(self, rows: Array) -> None:
        """Go on with some rows only."""
        self.rows = {name: line[rows] for name, line in self.rows.items()}
        self.pad_RW, self.first_R = self.pad_RW[rows], self.first_R[rows]


class Quick:
    """A greedy search for a CPU.

    Args:
        search: its tables are used, and it makes beams.
        seats: so many trees grow at once at most.
    """

    def __init__(self, search: Search, seats: int = SEATS) -> None:
        model, folded, self.seats = search.model, search.folded, seats
        c = model.config
        self.search, self.vocab, self.config = search, search.vocab, c
        self.S, self.L, self.H, self.Q = model.S, model.L, folded.H, folded.Q
        with torch.inference_mode():
            self._tables(model, folded)
        self.rules = Rules(model.legal, self.vocab.max_open, self.S)
        self.single = Single(self)

    def _tables(self, model: Any, folded: Any) -> None:
        c = self.config
        self.layers = [Layer(a, b) for a, b in zip(model.encoder.forwards, model.encoder.backwards, strict=True)]
        self.reader = Reader(self.search, self.layers[0])
        self.parent_PF = array(folded.bias_F.repeat(1 + self.L, 1) + (folded.parent_PF if c.context else 0))
        self.sibling_SF = array(folded.sibling_SF)
        head = 1 + self.L
        self.head_w, self.lexicon_w = (turned(w) for w in model.symbols.weight.split([head, self.S - head]))
        self.symbols_b = array(model.symbols.bias)
        self.kinds = None if model.kinds is None else (turned(model.kinds.weight), array(model.kinds.bias))
        self.copied = (turned(model.copied.weight), array(model.copied.bias)) if c.copy else None
        # What makes of a word's state what it adds to later steps.
        parts: dict[str, torch.Tensor] = {}
        if c.front:
            parts["front"] = folded.front_FE.T
            self.near_attention = array(model.near_attention.weight)[:, 0]
            self.near_copy = array(model.copy_biases())[:, 0]
        if c.attention != "none":
            parts["context"] = folded.context_HE.T
        if c.attention == "additive":
            parts["key"] = model.key.weight.T
            self.energy_Q = array(model.energy.weight)[0]
        if c.copy:
            parts["pointer"] = model.pointer.weight
        self.parts = {name: part.contiguous() for name, part in parts.items()}
        if c.history:
            self.history = Gates(folded.history_in, folded.history_bias, folded.history_S4H, self.H)
            self.recur_HX = doubled(turned(folded.recur_XH), self.H)
            self.recur_H4H, self.history_HF = (x.contiguous() for x in self.recur_HX.tensor_split([4 * self.H], 1))
        if c.stack:
            self.stack = Gates(folded.stack_in, folded.stack_bias, folded.stack_S4H, self.H)
            self.stack_HF, self.stacked = turned(folded.stack_FH), Stacked(folded)
        starts = {"history": getattr(model, "history_start", None), "stack": getattr(model, "stack_start", None)}
        self.pool_E = None if model.encoder.pool is None else array(model.encoder.pool.weight)[0]
        self.starts = {k: None if v is None else (turned(v.weight), array(v.bias)) for k, v in starts.items()}

    def forget(self) -> None:
        """Keep nothing of the utterances so far: what one product gave for a word depends on those beside it."""
        self.reader.forget()

    def parse(self, utterances: Sequence[list[str]], beam: int = 1) -> list[Parse]:
        """The trees that the best action at every step makes, of utterances none of which is empty.

        A beam above 1 is left to the search that this one was made of.
        """
        if beam > 1:
            return self.search.parse(utterances, beam)
        with np.errstate(over="ignore"), torch.inference_mode():
            found = self.run(utterances) if len(utterances) > FEW else {}
            for i in range(len(utterances)):
                if i not in found:
                    found[i] = self.single.run(utterances[i], self._ways([utterances[i]]).get(0))
        return [parse_of(words, *found[i], self.vocab) for i, words in enumerate(utterances)]

    def _ways(self, utterances: Sequence[list[str]]) -> dict[int, Ways]:
        """By number of the utterance, where a word may be written in several ways that are taken together."""
        return _repeated(utterances, self.vocab) if self.config.marginal and self.config.copy else {}

    def run(self, utterances: Sequence[list[str]]) -> dict[int, tuple[list[int], float]]:
        """(choices, score) by number of the utterance, of all that keep clear of their budget.

        `seats` trees grow at once; a row whose tree is whole is given to the next utterance.
        """
        c, S, L = self.config, self.S, self.L
        number_U = np.argsort([-len(words) for words in utterances], kind="stable")
        utterances = [utterances[i] for i in number_U.tolist()]
        length_U = np.array([len(words) for words in utterances])
        many, seated = len(utterances), min(self.seats, len(utterances))
        states, final_UE = self._read(utterances, length_U)
        words = _Words(self, states, length_U, seated)
        budget_U = SPARE_ACTIONS + ACTIONS_PER_WORD * length_U
        growth = Growth(self.rules, budget_U[:seated])
        ways = self._ways(utterances)
        if c.history:
            h_U, cell_U = self.start("history", final_UE)
            step(times(h_U, self.recur_H4H, onto=self.history.symbols_S4H[[S]].repeat(many, 0)), cell_U, h_U)
            h, cell = h_U[:seated].copy(), cell_U[:seated].copy()
        if c.stack:
            below_U, tops = self.start("stack", final_UE), Tops(self.stacked, self.stack)
            tops.begin((below_U[0][:seated], below_U[1][:seated]), self.rules.levels)
        utterance_R, front_R, score_R = np.arange(seated), np.zeros(seated, np.int64), np.zeros(seated)
        taken: list[tuple[Array, Array]] = []
        steps_U, score_U = np.zeros(many, np.int64), np.zeros(many)

        while len(utterance_R):
            parent_R = growth.parent_R()
            sums = self.parent_PF.take(parent_R, 0)
            if c.context:
                sums += self.sibling_SF.take(growth.sibling_R(), 0)
            if words.front_NF is not None:
                inside = front_R < words.length_U[utterance_R]
                sums += words.front_NF.take(np.where(inside, words.first_R + front_R, words.past), 0)
            if c.history:
                times(h, self.history_HF, onto=sums)
            if c.stack:
                times(tops.h_RH, self.stack_HF, onto=sums)
            bars_RX = growth.bars_RX()
            logp = self._decide(words, sums, front_R, bars_RX)
            choice_R = logp.argmax(1)
            gain_R = logp[np.arange(len(choice_R)), choice_R]
            if ways:
                for row in (bars_RX[:, L + 1] == 0).nonzero()[0].tolist():
                    if (way := ways.get(int(utterance_R[row]))) is not None:
                        choice_R[row], gain_R[row] = way.best(logp[row], S)
            score_R += gain_R
            taken.append((utterance_R.copy(), choice_R))

            copies = (choice_R >= S).nonzero()[0]
            place = choice_R[copies] - S
            source = words.first_R[copies] + place
            if c.history:
                gates = self.history.chosen(choice_R, S, copies, source, words.history_N4H)
                step(times(h, self.recur_H4H, onto=gates), cell, h)
            if c.stack:
                tops.push(choice_R, parent_R, growth.at_R, copies, source, (words.vector_NA, words.stack_N4H))
            front_R[copies] = place + 1
            whole = growth.take(choice_R, parent_R)
            steps_U[utterance_R[whole]], score_U[utterance_R[whole]] = growth.taken_R[whole], score_R[whole]

            near_R = growth.near_budget_R()
            leaving = (growth.done_R | near_R).nonzero()[0]
            few = len(leaving) < (FREE if seated < many else EMPTY) * len(utterance_R)
            if few and not near_R.any():
                continue
            fresh = np.arange(seated, min(seated + len(leaving), many))
            seated += len(fresh)
            rows, empty = leaving[: len(fresh)], leaving[len(fresh) :]
            if len(rows):
                utterance_R[rows], front_R[rows], score_R[rows] = fresh, 0, 0
                words.seat(rows, fresh)
                growth.seat(rows, budget_U[fresh])
                if c.history:
                    h[rows], cell[rows] = h_U[fresh], cell_U[fresh]
                if c.stack:
                    tops.seat(rows, (below_U[0][fresh], below_U[1][fresh]))
            if len(empty):
                stay = np.delete(np.arange(len(utterance_R)), empty)
                utterance_R, front_R, score_R = utterance_R[stay], front_R[stay], score_R[stay]
                words.keep(stay)
                growth.keep(stay)
                if c.history:
                    h, cell = h[stay], cell[stay]
                if c.stack:
                    tops.keep(stay)
        whose_X, choice_X = (np.concatenate(parts) for parts in zip(*taken, strict=True))
        order_X = whose_X.argsort(kind="stable")
        choices = choice_X[order_X].tolist()
        first_U = np.searchsorted(whose_X[order_X], np.arange(many)).tolist()
        return {
            int(number_U[u]): (choices[first_U[u] : first_U[u] + steps_U[u]], float(score_U[u]))
            for u in steps_U.nonzero()[0].tolist()
        }

    def _read(self, utterances: list[list[str]], length_U: Array) -> tuple[Array, Array]:
        """(states [N + 1, E], what starts history and stack [U, E]) of utterances, longest first."""
        word_N, gates_N = self.reader.numbers([word for words in utterances for word in words]), self.reader.gates_N
        states, final = self.layers[0].states(gates_N, word_N, length_U)
        for layer in self.layers[1:]:
            states, final = layer.states(layer.inputs(states), np.arange(len(word_N)), length_U)
        return states, final if self.pool_E is None else pooled(states[:-1], self.pool_E, length_U)

    def start(self, name: str, final_RE: Array) -> tuple[Array, Array]:
        if (layer := self.starts[name]) is None:
            zero = np.zeros((len(final_RE), self.H), np.float32)
            return zero, zero.copy()
        both = times(final_RE, *layer)
        return np.tanh(both[:, : self.H]), both[:, self.H :].copy()

    def _decide(self, words: _Words, sums_RF: Array, front_R: Array, bars_RX: Array) -> Array:
        """[R, S + W] log-probabilities."""
        c, S, L = self.config, self.S, self.L
        hidden = sums_RF[:, self.Q :]
        if (key_RWQ := words.rows.get("key")) is not None:
            query = sums_RF[:, : self.Q]
            if c.attention == "dot":
                energy = np.matmul(key_RWQ, query[..., None])[..., 0]
            else:
                energy = tanh(key_RWQ + query[:, None]) @ self.energy_Q
            energy += words.pad_RW
            if c.front:
                energy += words.near_attention.take(front_R, 0)
            energy -= energy.max(1, keepdims=True)
            share = np.exp(energy, energy)
            share /= share.sum(1, keepdims=True)
            hidden = hidden + np.matmul(share[:, None], words.rows["context"])[:, 0]
        hidden = tanh(np.ascontiguousarray(hidden))
        scores = np.empty((len(hidden), S + words.pad_RW.shape[1]), np.float32)
        scores[:, : L + 1] = times(hidden, self.head_w)
        scores[:, : L + 1] += self.symbols_b[: L + 1]
        scores[:, : L + 1] += bars_RX[:, : L + 1]
        if (pointer_RWH := words.rows.get("pointer")) is not None:
            copies = scores[:, S:]
            copies[:] = np.matmul(pointer_RWH, hidden[..., None])[..., 0]
            copies += words.pad_RW
            if c.front:
                copies += words.near_copy.take(front_R, 0)
        else:
            scores[:, S:] = NEVER
        may = bars_RX[:, L + 1] == 0
        if S > L + 1:
            # A lexicon may be long: only rows that may take a word look at it.
            scores[may, L + 1 : S] = times(hidden[may], self.lexicon_w, self.symbols_b[L + 1 :])
        scores[~may, L + 1 :] = NEVER
        if self.kinds is None:
            return _log_softmax(scores)
        bars = np.stack([bars_RX[:, 1 : L + 1].max(1), bars_RX[:, L + 1], bars_RX[:, 0]], 1)
        kinds = _log_softmax(times(hidden, *self.kinds) + bars)
        scores[:, 0] = kinds[:, 2]
        scores[:, 1 : L + 1] = _log_softmax(scores[:, 1 : L + 1]) + kinds[:, :1]
        scores[may, L + 1 :] = _log_softmax(scores[may, L + 1 :]) + kinds[may, 1:2]
        return scores


def _log_softmax(scores: Array) -> Array:
    """In place, of the last axis."""
    scores -= scores.max(1, keepdims=True)
    scores -= np.log(np.exp(scores).sum(1, keepdims=True))
    return scores


class Ways:
    """With `marginal`: which positions of an utterance hold the same word, and its lexicon symbol."""

    def __init__(self, words: list[str], lexical: list[int]) -> None:
        self.same = np.array([[a == b for b in words] for a in words])
        self.lexical = np.array(lexical)
        self.symbols = self.lexical[self.lexical >= 0]

    def best(self, logp: Array, symbols: int) -> tuple[int, float]:
        """(choice, log-probability) of the best option, all ways to write a word taken together."""
        raw = np.where(self.same, logp[symbols : symbols + len(self.same)], NEVER)
        likeliest = raw.argmax(1)
        rows = np.arange(len(likeliest))
        top = raw[rows, likeliest]
        together = top + np.log(np.exp(raw - top[:, None]).sum(1))
        lexical = np.where(self.lexical >= 0, logp[self.lexical], NEVER)
        together = np.logaddexp(together, lexical)
        own = logp[:symbols].copy()
        own[self.symbols] = NEVER
        a, b = int(own.argmax()), int(together.argmax())
        if own[a] >= together[b]:
            return a, float(own[a])
        return symbols + int(likeliest[b]), float(together[b])


def _repeated(utterances: Sequence[list[str]], vocab: Vocab) -> dict[int, Ways]:
    """By number, the utterances in which some word can be written in several ways."""
    ways = {}
    for number, words in enumerate(utterances):
        lexical = [vocab.lexical(word) for word in words]
        if len(set(words)) < len(words) or max(lexical) >= 0:
            ways[number] = Ways(words, lexical)
    return ways
