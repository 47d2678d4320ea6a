"""Greedy search on a CPU, for one utterance or many: the rows of a batch grow in lock-step, in NumPy.

The sums are those of `folded`, the result that of `decode` up to rounding. A step is one product with the
history's state and some sixty array operations, each on the rows that it concerns, so one utterance is answered
with little delay and a large batch spends its time on arithmetic. A few utterances, and a row that comes near its
budget of actions, where the mask needs sums over all open nodes, go to `single`, one by one.

    R rows, longest first   W words   N = R W words of all rows in one line   S symbols   L labels
    H, E, F, Q as in `folded`
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from parser.arrays import Array, Layer, Reader, array, doubled, step, tanh, times, turned
from parser.decode import ACTIONS_PER_WORD, SHRINK, SPARE_ACTIONS, Parse, Search, parse_of
from parser.growth import Gates, Growth, Rules, Stacked, Tops
from parser.model import NEVER, REACH
from parser.single import Single
from parser.vocab import Vocab

FEW = 3
"""So many utterances are parsed sooner one after the other."""


class _Words:
    """What the words of a batch add, at every step that looks at them; see `folded.Words`."""

    def __init__(self, quick: Quick, states_NE: Array, length_R: Array, width: int) -> None:
        c, rows = quick.config, len(length_R)
        made: dict[str, Array] = {}
        if quick.parts_w is not None:
            borders = np.cumsum(quick.part_sizes)[:-1]
            made = dict(zip(quick.parts, np.split(times(states_NE, quick.parts_w), borders, 1), strict=True))
        self.front_NF = made.get("front")  # states of padding are zero, so a front past the end adds nothing
        self.key_RWQ, self.context_RWH, self.pointer_RWH = (
            made[name][:-1].reshape(rows, width, -1) if name in made else None for name in ("key", "context", "pointer")
        )
        if c.attention == "dot":
            self.key_RWQ = states_NE[:-1].reshape(rows, width, -1)
        place_W = np.arange(width)
        self.pad_RW = np.where(place_W < length_R[:, None], np.float32(0), np.float32(NEVER))
        self.start_R, self.past = np.arange(rows) * width, rows * width
        self.vector_NA = self.history_N4H = self.stack_N4H = None
        if quick.copied is not None:
            self.vector_NA = tanh(times(states_NE, *quick.copied))
            if c.history:
                self.history_N4H = quick.history.of(self.vector_NA)
            if c.stack:
                self.stack_N4H = quick.stack.of(self.vector_NA)
        if c.front:
            near = (place_W - np.arange(width + 1)[:, None]).clip(-REACH, REACH) + REACH
            self.near_attention, self.near_copy = quick.near_attention[near], quick.near_copy[near]

    def keep(self, rows: Array) -> None:
        """Go on with some rows only."""
        for name in ("key_RWQ", "context_RWH", "pointer_RWH", "pad_RW", "start_R"):
            if (kept := getattr(self, name)) is not None:
                setattr(self, name, kept[rows])


class Quick:
    """A greedy search for a CPU.

    Args:
        search: its tables are used, and it makes beams.
    """

    def __init__(self, search: Search) -> None:
        model, folded = search.model, search.folded
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
        self.bias_F = array(folded.bias_F)
        self.parent_PF, self.sibling_SF = array(folded.parent_PF), array(folded.sibling_SF)
        head = 1 + self.L
        self.head_w, self.lexicon_w = (turned(w) for w in model.symbols.weight.split([head, self.S - head]))
        self.symbols_b = array(model.symbols.bias)
        self.kinds = None if model.kinds is None else (turned(model.kinds.weight), array(model.kinds.bias))
        self.copied = (turned(model.copied.weight), array(model.copied.bias)) if c.copy else None
        # One product makes all that words add to later steps.
        parts: dict[str, torch.Tensor] = {}
        if c.front:
            parts["front"] = folded.front_FE.T
            self.near_attention = array(model.near_attention.weight)[:, 0]
            self.near_copy = array(model.near_copy.weight)[:, 0]
        if c.attention != "none":
            parts["context"] = folded.context_HE.T
        if c.attention == "additive":
            parts["key"] = model.key.weight.T
            self.energy_Q = array(model.energy.weight)[0]
        if c.copy:
            parts["pointer"] = model.pointer.weight
        self.parts, self.part_sizes = list(parts), [part.size(1) for part in parts.values()]
        self.parts_w = torch.cat(list(parts.values()), 1).contiguous() if parts else None
        if c.history:
            self.history = Gates(folded.history_in, folded.history_bias, folded.history_S4H, self.H)
            self.recur_HX = doubled(turned(folded.recur_XH), self.H)
        if c.stack:
            self.stack = Gates(folded.stack_in, folded.stack_bias, folded.stack_S4H, self.H)
            self.stack_HF, self.stacked = turned(folded.stack_FH), Stacked(folded)
        starts = {"history": getattr(model, "history_start", None), "stack": getattr(model, "stack_start", None)}
        self.starts = {k: None if v is None else (turned(v.weight), array(v.bias)) for k, v in starts.items()}

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
        """(choices, score) by number of the utterance, of all that keep clear of their budget."""
        c, S, L, H = self.config, self.S, self.L, self.H
        length_U = np.array([len(words) for words in utterances])
        utterance_R = np.argsort(-length_U, kind="stable")
        words, final_RE = self._read([utterances[i] for i in utterance_R.tolist()], length_U[utterance_R])
        growth = Growth(self.rules, SPARE_ACTIONS + ACTIONS_PER_WORD * length_U[utterance_R])
        ways = self._ways(utterances)
        if c.history:
            h, cell = self.start("history", final_RE)
            h = step(times(h, self.recur_HX)[:, : 4 * H] + self.history.symbols_S4H[S], cell)
        if c.stack:
            tops = Tops(self.stacked, self.stack)
            tops.begin(self.start("stack", final_RE), self.rules.levels)
        front_R, score_R = np.zeros(len(length_U), np.int64), np.zeros(len(length_U))
        taken: list[tuple[Array, Array]] = []
        steps_U, score_U = np.zeros(len(length_U), np.int64), np.zeros(len(length_U))

        while len(utterance_R):
            sums = np.repeat(self.bias_F[None], len(utterance_R), 0)
            if c.history:
                recur = times(h, self.recur_HX)
                sums += recur[:, 4 * H :]
            if c.stack:
                sums += times(tops.h_RH, self.stack_HF)
            parent_R = growth.parent_R()
            if c.context:
                sums += self.parent_PF.take(parent_R, 0)
                sums += self.sibling_SF.take(growth.sibling_R(), 0)
            if words.front_NF is not None:
                inside = front_R < words.pad_RW.shape[1]
                sums += words.front_NF.take(np.where(inside, words.start_R + front_R, words.past), 0)
            bars_RX = growth.bars_RX()
            logp = self._decide(words, sums, front_R, bars_RX)
            choice_R = logp.argmax(1)
            gain_R = logp[np.arange(len(choice_R)), choice_R]
            if ways:
                for row in (bars_RX[:, L + 1] == 0).nonzero()[0].tolist():
                    if (way := ways.get(int(utterance_R[row]))) is not None:
                        choice_R[row], gain_R[row] = way.best(logp[row], S)
            score_R += gain_R
            taken.append((utterance_R, choice_R))

            copies = (choice_R >= S).nonzero()[0]
            place = choice_R[copies] - S
            source = words.start_R[copies] + place
            if c.history:
                gates = recur[:, : 4 * H]
                gates += self.history.chosen(choice_R, S, copies, source, words.history_N4H)
                h = step(gates, cell)
            if c.stack:
                tops.push(choice_R, parent_R, growth.at_R, copies, source, (words.vector_NA, words.stack_N4H))
            front_R[copies] = place + 1
            whole = growth.take(choice_R, parent_R)
            steps_U[utterance_R[whole]], score_U[utterance_R[whole]] = len(taken), score_R[whole]
            leaving = growth.done_R | growth.near_budget_R()
            gone = np.count_nonzero(leaving)
            if (gone and len(leaving) - gone <= SHRINK * len(leaving)) or np.any(leaving & ~growth.done_R):
                stay = (~leaving).nonzero()[0]
                utterance_R, front_R, score_R = utterance_R[stay], front_R[stay], score_R[stay]
                words.keep(stay)
                growth.keep(stay)
                if c.history:
                    h, cell = h[stay], cell[stay]
                if c.stack:
                    tops.keep(stay)
        line_TU = np.zeros((len(taken), len(length_U)), np.int64)
        for line, (rows, choices) in zip(line_TU, taken, strict=True):
            line[rows] = choices
        ended = (steps_U).nonzero()[0].tolist()
        choices_of = line_TU.T.tolist()
        return {i: (choices_of[i][: steps_U[i]], float(score_U[i])) for i in ended}

    def _read(self, utterances: list[list[str]], length_R: Array) -> tuple[_Words, Array]:
        """(what the words add, final states [R, E]) of utterances by length, longest first."""
        rows, width = len(utterances), int(length_R[0])
        place_W, row_R1 = np.arange(width), np.arange(rows)[:, None]
        real_RW = place_W < length_R[:, None]
        mirror_RW = np.where(real_RW, length_R[:, None] - 1 - place_W, 0)
        at_RW = np.zeros((rows, width), np.int64)
        at_RW[real_RW] = self.reader.numbers([word for words in utterances for word in words])
        states, final = self.layers[0].states(self.reader.gates_N, at_RW, at_RW[row_R1, mirror_RW], length_R)
        at_RW = row_R1 * width + place_W
        for layer in self.layers[1:]:
            gates = layer.inputs(states)
            states, final = layer.states(gates, at_RW, at_RW[row_R1, mirror_RW], length_R)
        return _Words(self, states, length_R, width), final

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
        if words.key_RWQ is not None and words.context_RWH is not None:
            query = sums_RF[:, : self.Q]
            if c.attention == "dot":
                energy = np.matmul(words.key_RWQ, query[..., None])[..., 0]
            else:
                energy = tanh(words.key_RWQ + query[:, None]) @ self.energy_Q
            energy += words.pad_RW
            if c.front:
                energy += words.near_attention.take(front_R, 0)
            energy -= energy.max(1, keepdims=True)
            share = np.exp(energy, energy)
            share /= share.sum(1, keepdims=True)
            hidden = hidden + np.matmul(share[:, None], words.context_RWH)[:, 0]
        hidden = tanh(np.ascontiguousarray(hidden))
        scores = np.empty((len(hidden), S + words.pad_RW.shape[1]), np.float32)
        scores[:, : L + 1] = times(hidden, self.head_w)
        scores[:, : L + 1] += self.symbols_b[: L + 1]
        scores[:, : L + 1] += bars_RX[:, : L + 1]
        if words.pointer_RWH is not None:
            copies = scores[:, S:]
            copies[:] = np.matmul(words.pointer_RWH, hidden[..., None])[..., 0]
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
