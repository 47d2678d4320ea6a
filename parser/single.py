"""One utterance with as little delay as possible: greedy search in NumPy on the tables of `folded`.

A step is some thirty array operations of a microsecond and one product of a matrix with a vector, where the
same in tensors would spend its time on being called. The result is that of `decode`, up to rounding; an
utterance that comes near its budget of actions, where the mask needs sums over all open nodes, goes there.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from parser.decode import ACTIONS_PER_WORD, SPARE_ACTIONS, Parse, Search, parse_of
from parser.model import NEVER, REACH
from parser.vocab import PAD, RED_SYMBOL

Array = np.ndarray
_KEPT = 50_000
"""Words whose input vectors are kept, the most lately met."""


def _array(tensor: Tensor | None) -> Any:
    return None if tensor is None else np.ascontiguousarray(tensor.detach().numpy())


def _turned(weight: Tensor | None) -> Any:
    """A weight the way round in which a row times it is fast."""
    return None if weight is None else _array(weight.T)


def _sigmoid(x: Array) -> Array:
    # With tanh nothing overflows.
    return 0.5 * np.tanh(0.5 * x) + 0.5


class _Lstm:
    """The weights of one LSTM layer."""

    def __init__(self, lstm: Any) -> None:
        self.w_in = _turned(lstm.weight_ih_l0)
        self.w_hh = _turned(lstm.weight_hh_l0)
        self.bias = (lstm.bias_ih_l0 + lstm.bias_hh_l0).detach().numpy()

    def states(self, x_TX: Array) -> Array:
        """[T, H] of one row, from zeros."""
        gates = x_TX @ self.w_in + self.bias
        size = len(self.w_hh)
        out, h, c = np.empty((len(x_TX), size), np.float32), None, np.zeros(size, np.float32)
        for t, gate in enumerate(gates):
            h, c = _step(gate if h is None else gate + h @ self.w_hh, c)
            out[t] = h
        return out


def _step(gates: Array, c: Array) -> tuple[Array, Array]:
    size = c.shape[-1]
    open_ = _sigmoid(gates[: 2 * size])
    c = open_[size:] * c + open_[:size] * np.tanh(gates[2 * size : 3 * size])
    return _sigmoid(gates[3 * size :]) * np.tanh(c), c


class Single:
    """A search for one utterance at a time, on a CPU.

    Args:
        search: its tables are used, and it parses what this one hands on.
    """

    def __init__(self, search: Search) -> None:
        model, folded, vocab = search.model, search.folded, search.vocab
        self.search, self.vocab, self.config = search, vocab, model.config
        self.S, self.L, self.H, self.Q = model.S, model.L, folded.H, folded.Q
        self.bias_F, self.embed_SA = _array(folded.bias_F), _array(folded.embed_SA)
        self.history_S4H, self.stack_S4H = _array(folded.history_S4H), _array(folded.stack_S4H)
        self.parent_PF, self.sibling_SF = _array(folded.parent_PF), _array(folded.sibling_SF)
        self.recur_XH, self.stack_FH = _turned(folded.recur_XH), _turned(folded.stack_FH)
        self.front_FE, self.context_HE = _turned(folded.front_FE), _turned(folded.context_HE)
        if model.config.history:
            self.history_in, self.history_bias = _turned(folded.history_in), _array(folded.history_bias)
        if model.config.stack:
            self.stack_in, self.stack_bias = _turned(folded.stack_in), _array(folded.stack_bias)
            self.stack_hh, self.node_PA = _turned(folded.stack_hh), _array(folded.node_PA)
            self.children_AA = _turned(folded.children_AA)
        c = self.config
        self.symbols_w, self.symbols_b = _array(model.symbols.weight), _array(model.symbols.bias)
        self.kinds = None if model.kinds is None else (_array(model.kinds.weight), _array(model.kinds.bias))
        self.pointer = None if model.pointer is None else _array(model.pointer.weight)
        self.copied = (_turned(model.copied.weight), _array(model.copied.bias)) if c.copy else None
        if c.attention == "additive":
            self.key, self.energy = _turned(model.key.weight), _array(model.energy.weight)[0]
        if c.front:
            self.near_attention = _array(model.near_attention.weight)[:, 0]
            self.near_copy = _array(model.near_copy.weight)[:, 0]
        starts = {"history": getattr(model, "history_start", None), "stack": getattr(model, "stack_start", None)}
        self.starts = {k: None if v is None else (_turned(v.weight), _array(v.bias)) for k, v in starts.items()}

        encoder = model.encoder
        self.word_vectors = _array(encoder.embed.weight)
        self.layers = [(_Lstm(a), _Lstm(b)) for a, b in zip(encoder.forwards, encoder.backwards, strict=True)]
        self.characters = encoder.characters
        if self.characters is not None and self.characters.kind == "lstm":
            self.char_vectors, self.char_lstm = _array(self.characters.embed.weight), _Lstm(self.characters.lstm)
        elif self.characters is not None:
            conv = self.characters.conv
            table = torch.einsum("cd,hdk->kch", self.characters.embed.weight, conv.weight)
            self.char_table, self.char_bias = _array(table), _array(conv.bias)
        self.kept: dict[str, Array] = {}

        legal = model.legal
        self.takes, self.once = legal.takes_PL.numpy(), (legal.once_PL & legal.takes_PL).numpy()
        self.required = [row.nonzero()[:, 0].tolist() for row in legal.required_PL]
        self.takes_words, self.least = legal.words_P.tolist(), legal.least_P.tolist()
        self.heights = legal.height_L.numpy()
        self.tallest, self.costs, self.most_cost = int(legal.height_L.max()), legal.cost_L.tolist(), legal.most_cost
        self.smallest = legal.smallest

    def parse(self, words: list[str]) -> Parse:
        """The best action at every step."""
        found = self._run(words)
        if found is None:
            return self.search.parse([words])[0]
        return parse_of(words, found[0], found[1], self.vocab)

    # -- reading -------------------------------------------------------------------------------

    def _vector(self, word: str) -> Array:
        """The encoder's input for a word."""
        if (kept := self.kept.get(word)) is not None:
            return kept
        vector = self.word_vectors[self.vocab.word(word)]
        if self.characters is not None:
            letters = self.vocab.spelling(word)
            if self.characters.kind == "lstm":
                spelled = self.char_lstm.states(self.char_vectors[letters])[-1]
            else:
                line = np.array([PAD, *letters, PAD])
                sums = self.char_table[0, line[:-2]] + self.char_table[1, line[1:-1]] + self.char_table[2, line[2:]]
                spelled = sums.max(0) + self.char_bias
            vector = np.concatenate([vector, spelled])
        if len(self.kept) >= _KEPT:
            self.kept.pop(next(iter(self.kept)))
        self.kept[word] = vector
        return vector

    def _encode(self, words: list[str]) -> tuple[Array, Array]:
        x = np.stack([self._vector(word) for word in words])
        for ahead, back in self.layers:
            right, left = ahead.states(x), back.states(x[::-1])
            final = np.concatenate([right[-1], left[-1]])
            x = np.concatenate([right, left[::-1]], 1)
        return x, final

    def _start(self, name: str, final: Array) -> tuple[Array, Array]:
        if (layer := self.starts[name]) is None:
            return np.zeros(self.H, np.float32), np.zeros(self.H, np.float32)
        both = final @ layer[0] + layer[1]
        return np.tanh(both[: self.H]), both[self.H :]

    def _owed(self, label: int, held: set[int], total: int) -> int:
        """A bound on what an open node still needs."""
        absent = [i for i in self.required[label] if i not in held]
        lack = max(0, self.least[label] - total - len(absent))
        return sum(1 + self.costs[i] for i in absent) + lack * (1 + self.most_cost)

    # -- deciding ------------------------------------------------------------------------------

    def _run(self, words: list[str]) -> tuple[list[int], float] | None:
        """(choices, score), or None where the budget comes near."""
        c, S, L, H, Q = self.config, self.S, self.L, self.H, self.Q
        states, final = self._encode(words)
        many = len(words)
        budget = max(SPARE_ACTIONS + ACTIONS_PER_WORD * many, self.smallest)
        vectors: Any = np.tanh(states @ self.copied[0] + self.copied[1]) if self.copied else None
        copy_gates: Any = vectors @ self.history_in + self.history_bias if c.history and vectors is not None else None
        stack_gates: Any = vectors @ self.stack_in + self.stack_bias if c.stack and vectors is not None else None
        front_F = states @ self.front_FE if c.front else None
        contexts = states @ self.context_HE if c.attention != "none" else None
        keys = states if c.attention == "dot" else states @ self.key if c.attention == "additive" else None
        pointers = states @ self.pointer if self.pointer is not None else None
        place = np.arange(many) + REACH
        ways = _Ways(words, self.vocab) if c.marginal and c.copy else None

        if c.history:
            h, cell = self._start("history", final)
            h, cell = _step(h @ self.recur_XH[:, : 4 * H] + self.history_S4H[S], cell)
        if c.stack:
            top, top_cell = self._start("stack", final)
            below: list[tuple[Array, Array]] = []
            totals: list[list[Any]] = []
        open_labels: list[int] = []
        seen: list[set[int]] = []
        counts: list[int] = []
        siblings: list[int] = []
        owed: list[int] = []
        front, score = 0, 0.0
        choices: list[int] = []
        scores = np.empty(S + many, np.float32)
        while True:
            depth = len(open_labels)
            if len(choices) + depth + sum(owed) + 2 + self.most_cost > budget:
                return None
            parent = open_labels[-1] if depth else L
            # What may come next.
            labels, word, red = self.takes[parent], False, False
            if depth:
                held = seen[-1]
                if held:
                    labels = labels.copy()
                    labels[[i for i in held if self.once[parent, i]]] = False
                word = self.takes_words[parent]
                absent = 0
                if self.required[parent]:
                    absent = sum(i not in held for i in self.required[parent])
                red = not absent and self.least[parent] <= counts[-1]
            if depth + self.tallest > self.vocab.max_open:
                labels = labels & (depth + self.heights <= self.vocab.max_open)

            # Scores of symbols and positions.
            sums = self.bias_F
            if c.history:
                recur = h @ self.recur_XH
                sums = sums + recur[4 * H :]
            if c.stack:
                sums = sums + top @ self.stack_FH
            if c.context:
                sums = sums + self.parent_PF[parent] + self.sibling_SF[siblings[-1] if depth else 0]
            if front_F is not None:
                near = np.clip(place - front, 0, 2 * REACH)
                if front < many:
                    sums = sums + front_F[front]
            hidden = sums[Q:]
            if keys is not None:
                query = sums[:Q]
                energy = keys @ query if c.attention == "dot" else np.tanh(query + keys) @ self.energy
                if front_F is not None:
                    energy = energy + self.near_attention[near]
                share = np.exp(energy - energy.max())
                hidden = hidden + (share / share.sum()) @ contexts
            hidden = np.tanh(hidden)
            scores[:S] = self.symbols_w @ hidden
            scores[:S] += self.symbols_b
            if pointers is not None:
                scores[S:] = pointers @ hidden
                if front_F is not None:
                    scores[S:] += self.near_copy[near]
            else:
                scores[S:] = NEVER
            if self.kinds is None:
                if not red:
                    scores[RED_SYMBOL] = NEVER
                scores[1 : 1 + L][~labels] = NEVER
                if not word:
                    scores[1 + L :] = NEVER
                top_score = scores.max()
                logp = scores - (top_score + np.log(np.exp(scores - top_score).sum()))
            else:
                kinds = self.kinds[0] @ hidden + self.kinds[1]
                logp = _two_steps(scores, kinds, labels, word, red, L)
            if ways is not None and word:
                choice, gain = ways.best(logp, S)
            else:
                choice = int(logp.argmax())
                gain = float(logp[choice])
            score += gain
            choices.append(choice)

            # Effects.
            if c.history:
                gates = recur[: 4 * H] + (self.history_S4H[choice] if choice < S else copy_gates[choice - S])
                h, cell = _step(gates, cell)
            if c.stack:
                if choice == RED_SYMBOL:
                    total, number = totals.pop()
                    vector = np.tanh(self.node_PA[parent] + (total / max(1, number)) @ self.children_AA)
                    gates, (top, top_cell) = vector @ self.stack_in + self.stack_bias, below.pop()
                else:
                    vector = self.embed_SA[choice] if choice < S else vectors[choice - S]
                    gates = self.stack_S4H[choice] if choice < S else stack_gates[choice - S]
                    if choice <= L:
                        below.append((top, top_cell))
                        totals.append([np.zeros_like(vector), 0])
                top, top_cell = _step(gates + top @ self.stack_hh, top_cell)
                if totals and not 1 <= choice <= L:
                    totals[-1] = [totals[-1][0] + vector, totals[-1][1] + 1]
            if choice == RED_SYMBOL:
                for stack in (open_labels, seen, counts, siblings, owed):
                    stack.pop()
                if not open_labels:
                    return choices, score
                siblings[-1] = parent + 1
                continue
            if depth:
                counts[-1] += 1
                if choice <= L:
                    seen[-1].add(choice - 1)
                owed[-1] = self._owed(parent, seen[-1], counts[-1])
            if choice <= L:
                open_labels.append(choice - 1)
                seen.append(set())
                counts.append(0)
                siblings.append(0)
                owed.append(self._owed(choice - 1, seen[-1], 0))
            else:
                siblings[-1] = S
                if choice >= S:
                    front = choice - S + 1


class _Ways:
    """With `marginal`: which positions hold the same word, and its lexicon symbol."""

    def __init__(self, words: list[str], vocab: Any) -> None:
        self.same = np.array([[a == b for b in words] for a in words])
        self.lexical = np.array([vocab.lexical(word) for word in words])
        self.symbols = self.lexical[self.lexical >= 0]

    def best(self, logp: Array, symbols: int) -> tuple[int, float]:
        """(choice, log-probability) of the best option, all ways to write a word taken together."""
        raw = np.where(self.same, logp[symbols:], NEVER)
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


def _two_steps(scores: Array, kinds: Array, labels: Array, word: bool, red: bool, size: int) -> Array:
    """First the action, then its label or word; see `Model.normalise`."""
    kinds = np.where(np.array([labels.any(), word, red]), kinds, NEVER)
    kinds = kinds - kinds.max()
    kinds = kinds - np.log(np.exp(kinds).sum())
    logp = np.full(len(scores), NEVER, np.float32)
    if red:
        logp[RED_SYMBOL] = kinds[2]
    for on, part, kind in ((labels, slice(1, 1 + size), kinds[0]), (word, slice(1 + size, None), kinds[1])):
        if np.any(on):
            own = np.where(on, scores[part], NEVER)
            top = own.max()
            logp[part] = np.where(on, own - (top + np.log(np.exp(own - top).sum())) + kind, NEVER)
    return logp
