"""One utterance with as little delay as possible: the greedy search of `quick`, for one row.

A step is one product of the history's state, in a buffer that every step writes again, and some thirty operations of
about a microsecond. Near the budget of actions `grammar.actions.State`, the definition of what may come next, is
asked; far from it nothing can run short, and bars that are kept up with every action say the same.

    W words   S symbols   L labels   H, E, F, Q as in `folded`
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from grammar.actions import RED, Action, Kind, State
from parser.arrays import Array, array, pooled, times
from parser.decode import ACTIONS_PER_WORD, SPARE_ACTIONS
from parser.model import NEVER, REACH
from parser.vocab import RED_SYMBOL

if TYPE_CHECKING:
    from parser.quick import Quick, Ways


class _Cell:
    """The state of an LSTM over actions; `h` is the buffer that products read."""

    def __init__(self, start: tuple[Array, Array], weight: torch.Tensor) -> None:
        self.h, self.c, self.weight = start[0].copy(), start[1].copy(), weight
        self.made = np.empty((1, weight.size(1)), np.float32)
        self._h, self._made = torch.from_numpy(self.h), torch.from_numpy(self.made)

    def product(self) -> Array:
        """[X] what the state gives: gates, and further sums behind them."""
        torch.mm(self._h, self.weight, out=self._made)
        row: Array = self.made[0]
        return row

    def step(self, gates: Array) -> None:
        """Take one step; `gates`, the third doubled, are spoilt."""
        _step(gates, self.c[0], self.h[0])


class Single:
    """A search for one utterance at a time.

    Args:
        quick: its tables are used.
    """

    def __init__(self, quick: Quick) -> None:
        self.quick, self.rules = quick, quick.rules
        rules, c = quick.rules, quick.config
        self.labels = quick.vocab.labels
        self.once, self.least = rules.once.tolist(), rules.least.tolist()
        self.required = [set(row.nonzero()[0].tolist()) for row in rules.required]
        self.owed = rules.owed_P.tolist()
        self.head_b, self.lexicon_b = quick.symbols_b[: 1 + quick.L], quick.symbols_b[1 + quick.L :]
        self.head_LH, self.lexicon_XH = (array(w.T) for w in (quick.head_w, quick.lexicon_w))
        self.front_reach = 0
        if c.front:
            self._reach(256)

    def _reach(self, reach: int) -> None:
        """The biases of the words for fronts and utterances up to `reach`, as slices of one line each."""
        near = np.arange(-reach, reach + 1).clip(-REACH, REACH) + REACH
        self.near_attention, self.near_copy = self.quick.near_attention[near], self.quick.near_copy[near]
        self.front_reach = reach

    def run(self, words: list[str], ways: Ways | None) -> tuple[list[int], float]:
        """(choices, score) of an utterance that is not empty."""
        q, c, rules = self.quick, self.quick.config, self.rules
        S, L, H, Q, many = q.S, q.L, q.H, q.Q, len(words)
        states_WE, final_1E = self._encode(words)
        made = {name: times(states_WE, weight) for name, weight in q.parts.items()}
        front_WF, context_WH, pointer_WH = made.get("front"), made.get("context"), made.get("pointer")
        key_WQ = states_WE if c.attention == "dot" else made.get("key")
        vector_WA: Any = None
        history_W4H: Any = None
        stack_W4H: Any = None
        if q.copied is not None:
            vector_WA = np.tanh(times(states_WE, *q.copied))
            history_W4H = q.history.of(vector_WA) if c.history else None
            stack_W4H = q.stack.of(vector_WA) if c.stack else None
        if c.history:
            history = _Cell(q.start("history", final_1E), q.recur_HX)
            history.step(history.product()[: 4 * H] + q.history.symbols_S4H[S])
        if c.stack:
            stack = _Cell(q.start("stack", final_1E), q.stacked.recur_HX)
            below: list[tuple[Array, Array]] = []
            children: list[list[Array]] = []
        if c.front and many > self.front_reach:
            self._reach(2 * many)
        budget = max(SPARE_ACTIONS + ACTIONS_PER_WORD * many, rules.smallest)

        open_labels: list[int] = []
        bars: list[Array] = [rules.bars_PX[L]]
        missing: list[set[int]] = []
        counts: list[int] = []
        sibling, siblings = 0, [0]
        front, score, owed = 0, 0.0, 0
        choices: list[int] = []
        scores = np.empty(S + many, np.float32)
        state: State | None = None
        while True:
            depth = len(open_labels)
            parent = open_labels[-1] if depth else L
            if state is None and len(choices) + depth + owed + rules.spare > budget:
                state = self._replayed(words, choices, budget)
            bar = bars[-1]
            if state is not None:
                bar = self._allowed(state)
            elif depth + rules.tallest > rules.max_open:
                bar = bar.copy()
                bar[1 : 1 + L][depth + rules.heights > rules.max_open] = NEVER
            word = bar[L + 1] == 0

            sums = q.parent_PF[parent]
            if c.history:
                recur = history.product()
                sums = recur[4 * H :]
                sums += q.parent_PF[parent]
            if c.stack:
                sums = sums + times(stack.h, q.stack_HF)[0]
            if c.context:
                sums = sums + q.sibling_SF[sibling]
            if front_WF is not None and front < many:
                sums = sums + front_WF[front]
            hidden = sums[Q:]
            if key_WQ is not None and context_WH is not None:
                energy = key_WQ @ sums[:Q] if c.attention == "dot" else np.tanh(key_WQ + sums[:Q]) @ q.energy_Q
                if c.front:
                    energy += self.near_attention[self.front_reach - front :][:many]
                energy -= energy.max()
                share = np.exp(energy, energy)
                share /= share.sum()
                hidden = hidden + share @ context_WH
            hidden = np.tanh(hidden)
            # Only what may come is scored: positions and the lexicon, which may be long, where a word may.
            head = np.dot(self.head_LH, hidden, scores[: L + 1])
            head += self.head_b
            head += bar[: L + 1]
            if word:
                if S > L + 1:
                    scores[L + 1 : S] = self.lexicon_XH @ hidden
                    scores[L + 1 : S] += self.lexicon_b
                if pointer_WH is None:
                    scores[S:] = NEVER
                else:
                    copies = np.dot(pointer_WH, hidden, scores[S:])
                    if c.front:
                        copies += self.near_copy[self.front_reach - front :][:many]
            logp = scores if word else head
            if q.kinds is not None:
                self._in_two_steps(logp, hidden, bar, bool(word))
            choice = int(logp.argmax())
            total = 0.0 if q.kinds is not None else _log_of_sum(logp, logp[choice])
            gain = float(logp[choice]) - total
            if word and ways is not None:
                choice, gain = ways.best(logp - np.float32(total), S)
            score += gain
            choices.append(choice)

            # Effects.
            if c.history:
                gates = recur[: 4 * H]
                gates += q.history.symbols_S4H[choice] if choice < S else history_W4H[choice - S]
                history.step(gates)
            if state is not None:
                state.apply(self._action(words, choice))
            red, opens = choice == RED_SYMBOL, RED_SYMBOL < choice <= L
            if c.stack:
                vector = q.stacked.embed_SA[choice] if choice < S else vector_WA[choice - S]
                gates = q.stack.symbols_S4H[choice] if choice < S else stack_W4H[choice - S]
                if red:
                    mine = children.pop()
                    mean = np.mean(mine, 0, keepdims=True) if mine else np.zeros((1, len(vector)), np.float32)
                    vector = np.tanh(times(mean, q.stacked.children_AA)[0] + q.stacked.node_PA[parent])
                    gates = q.stack.of(vector[None])[0]
                    stack.h[:], stack.c[:] = below.pop()
                if opens:
                    below.append((stack.h.copy(), stack.c.copy()))
                if not opens and children:
                    children[-1].append(vector)
                if opens:
                    children.append([])
                stack.step(stack.product() + gates)
            if red:
                owed -= self.owed[parent]
                for line in (open_labels, bars, missing, counts, siblings):
                    line.pop()
                if not open_labels:
                    return choices, score
                sibling = parent + 1
                continue
            if depth:
                counts[-1] += 1
                if opens and self.once[parent][choice - 1]:
                    bars[-1][choice] = NEVER
                if opens:
                    missing[-1].discard(choice - 1)
                if not missing[-1] and self.least[parent] <= counts[-1]:
                    bars[-1][RED_SYMBOL] = 0
            if opens:
                child = choice - 1
                open_labels.append(child)
                bars.append(rules.bars_PX[child].copy())
                missing.append(set(self.required[child]))
                counts.append(0)
                siblings.append(0)
                owed += self.owed[child]
                sibling = 0
            else:
                sibling = S
                front = choice - S + 1 if choice >= S else front

    def _encode(self, words: list[str]) -> tuple[Array, Array]:
        """(states [W, E], what starts history and stack [1, E])"""
        reader, states = self.quick.reader, None
        at_W = reader.numbers(words)
        gates_N = reader.gates_N
        for layer in self.quick.layers:
            if states is not None:
                gates_N, at_W = layer.inputs(states), np.arange(len(words))
            size = layer.half
            gates_W2G = np.stack([gates_N[at_W, 0], gates_N[at_W[::-1], 1]], 1)
            line = torch.from_numpy(gates_W2G)[:, :, None]
            h_2H, c_2H = np.zeros((2, size), np.float32), np.zeros((2, size), np.float32)
            h = torch.from_numpy(h_2H)[:, None]
            states = np.empty((len(words), 2 * size), np.float32)
            for t, gates in enumerate(gates_W2G):
                if t:
                    torch.baddbmm(line[t], h, layer.w_hh, out=line[t])
                _step(gates, c_2H, h_2H)
                states[t, :size], states[-1 - t, size:] = h_2H
        assert states is not None
        pool_E = self.quick.pool_E
        return states, h_2H.reshape(1, -1) if pool_E is None else pooled(states, pool_E, np.array([len(words)]))

    def _in_two_steps(self, scores: Array, hidden: Array, bar: Array, word: bool) -> None:
        """Scores to log-probabilities in place: first the action, then its label or word; see `Model.normalise`."""
        L, layer = self.quick.L, self.quick.kinds
        assert layer is not None
        kinds = times(hidden[None], *layer)[0]
        kinds += np.array([bar[1 : 1 + L].max(), bar[L + 1], bar[RED_SYMBOL]])
        kinds -= _log_of_sum(kinds, kinds.max())
        scores[RED_SYMBOL] = kinds[2]
        labels = scores[1 : 1 + L]
        labels += kinds[0] - _log_of_sum(labels, labels.max())
        if word:
            words = scores[1 + L :]
            words += kinds[1] - _log_of_sum(words, words.max())

    def _replayed(self, words: list[str], choices: list[int], budget: int) -> State:
        """What the definition makes of the actions so far."""
        rules = self.rules
        state = State(rules.ontology, max_open=rules.max_open, max_actions=budget)
        for choice in choices:
            state.apply(self._action(words, choice))
        return state

    def _allowed(self, state: State) -> Array:
        labels, word, red = state.allowed(self.labels)
        may = np.array([red, *(label in labels for label in self.labels), word])
        return np.where(may, np.float32(0), np.float32(NEVER))

    def _action(self, words: list[str], choice: int) -> Action:
        if choice == RED_SYMBOL:
            return RED
        if choice >= self.quick.S:
            return Action(Kind.TER, words[choice - self.quick.S], choice - self.quick.S)
        name = self.quick.vocab.symbol_name(choice)
        return Action(Kind.NT, name) if choice <= self.quick.L else Action(Kind.TER, name)


def _log_of_sum(scores: Array, top: Any) -> float:
    """log sum exp of scores whose largest is `top`."""
    return float(top) + float(np.log(np.exp(scores - top).sum()))


def _step(gates: Array, c: Array, h: Array) -> None:
    """One LSTM step in place; of `gates`, which are spoilt, the third is doubled."""
    size = c.shape[-1]
    np.negative(gates, gates)
    np.exp(gates, gates)
    gates += 1
    np.reciprocal(gates, gates)
    g = gates[..., 2 * size : 3 * size]
    g *= 2
    g -= 1
    g *= gates[..., :size]
    c *= gates[..., size : 2 * size]
    c += g
    np.tanh(c, h)
    h *= gates[..., 3 * size :]
