"""The parser's network: features of the parse so far -> a distribution over symbols and positions.

    B utterances   T actions   W words   N real actions of the batch   S symbols (see `vocab`)
    E encoder state   A action vector   H decoder state

One decision is a distribution over `S + W` places: RED, every label, every lexicon word, every
position of the utterance (the copy mechanism: lexicon and positions in one softmax, after Fan et
al. 2017, no gate). `loss` sees all actions of a batch at once (a wavefront: nothing loops over
actions but the stack's recurrence, which runs by stack depth); `naive` is the definition that a
test holds it to, `decode` takes one action at a time.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from parser import decisions
from parser.batch import Batch, Input
from parser.compiled import compiled
from parser.config import ModelConfig
from parser.domains import Domains
from parser.dropout import Dropout
from parser.encoder import Encoder
from parser.legal import Legal
from parser.lookup import Part, look_up, rows_at, side_by_side
from parser.packed import Packing, run_ahead
from parser.products import similarity, two_layers
from parser.recurrence import lstm_step, run
from parser.vocab import Vocab

NEVER = -1e9
PASSED = -5e3
"""Added to the copy scores of words before the front, where training never copies them: no chance, but a better one
than a symbol of another domain has."""
REACH = 10
"""Distances from the front pointer beyond this count as this."""


def bar(mask: Tensor) -> Tensor:
    """What a mask adds to scores: 0 where it is true, `NEVER` elsewhere. Added, it costs a fifth of a `masked_fill`."""
    return mask.view(torch.uint8).float().sub_(1).mul_(-NEVER)


class Memory:
    """An encoded batch: what every decision looks at."""

    def __init__(self, states_BWE: Tensor, final_BE: Tensor, inputs: Input) -> None:
        self.states_BWE = states_BWE
        self.final_BE = final_BE
        width = states_BWE.size(1)
        place = torch.arange(width, device=states_BWE.device)
        self.place_W = place
        self.length_B = inputs.length_B
        self.padding_BW = place[None] >= inputs.length_B[:, None]
        self.bar_BW = bar(~self.padding_BW)
        self.surface_BW = inputs.surface_BW
        self.lexical_BW = inputs.lexical_BW
        self.domain_B = inputs.domain_B
        self.trace: list[Tensor] | None = None  # gets the attention weights of every call where it is a list


class Model(nn.Module):
    """See the module's text; switches are in `config.ModelConfig`."""

    def __init__(self, vocab: Vocab, legal: Legal, config: ModelConfig) -> None:
        super().__init__()
        self.config, self.legal = config, legal
        self.S, self.L = vocab.symbols, len(vocab.labels)
        E, A, H = config.encoder_hidden, config.action_dim, config.decoder_hidden
        self.encoder = Encoder(vocab, config)
        self.embed = nn.Embedding(self.S + 1, A)  # the last one stands before the first action
        self.copied = nn.Linear(E, A)
        features = 0
        if config.history:
            self.history = nn.LSTM(A, H, batch_first=True)
            self.history_start = nn.Linear(E, 2 * H) if config.init_from_encoder else None
            features += H
        if config.stack:
            self.stack = nn.LSTMCell(A, H)
            self.stack_start = nn.Linear(E, 2 * H) if config.init_from_encoder else None
            self.compose = nn.Linear(2 * A, A)
            features += H
        if config.context:
            self.parent = nn.Embedding(self.L + 1, A // 2)
            self.sibling = nn.Embedding(self.S + 1, A // 2)
            features += 2 * (A // 2)
        if config.front:
            features += E
            self.near_attention = nn.Embedding(2 * REACH + 1, 1)
            self.near_copy = nn.Embedding(2 * REACH + 1, 1)
            nn.init.zeros_(self.near_attention.weight)
            nn.init.zeros_(self.near_copy.weight)
            # Where training copies in order, words before the front have no chance while another place is legal.
            passed = torch.arange(2 * REACH + 1)[:, None] < REACH
            self.register_buffer("passed", passed * (PASSED if vocab.ascending else 0.0), persistent=False)
            self.passed: Tensor
        if config.attention == "dot":
            self.query = nn.Linear(features, E, bias=False)
        elif config.attention == "additive":
            # The stack asks where there is one, as published.
            self.query = nn.Linear(H if config.stack else features, H)
            self.key = nn.Linear(E, H, bias=False)
            self.energy = nn.Linear(H, 1, bias=False)
        self.hidden = nn.Linear(features + (E if config.attention != "none" else 0), H)
        self.symbols = nn.Linear(H, self.S)
        self.domains = Domains(vocab, config, H) if vocab.domains else None
        self.pointer = nn.Linear(H, E, bias=False) if config.copy else None
        self.kinds = None if config.joint else nn.Linear(H, 3)
        self.dropout = Dropout(config.dropout if config.decoder_dropout < 0 else config.decoder_dropout)

    # -- parts that training, decoding and the definition share -------------------------------

    def encode(self, inputs: Input, unk: float = 0.0) -> Memory:
        """Read the utterances."""
        states_BWE, final_BE = self.encoder(inputs, unk)
        return Memory(states_BWE, final_BE, inputs)

    def start(self, layer: nn.Linear | None, memory: Memory) -> tuple[Tensor, Tensor]:
        """(h, c) [B, H] of history or stack before the first action."""
        if layer is None:
            zero = memory.final_BE.new_zeros(len(memory.final_BE), self.config.decoder_hidden)
            return zero, zero
        h, c = layer(memory.final_BE).chunk(2, -1)
        return torch.tanh(h), c

    def action_vectors(self, symbol_BT: Tensor, copy_BT: Tensor, memory: Memory) -> Tensor:
        """[B, T, A]: the embedding of a symbol, or the encoder state of a copied word."""
        vectors = self.embed(symbol_BT.clamp(min=0))
        if self.config.copy:
            words = torch.tanh(self.copied(rows_at(memory.states_BWE, copy_BT.clamp(min=0))))
            vectors = torch.where((copy_BT >= 0)[..., None], words, vectors)
        return self.dropout(vectors)

    def composed(self, label_NA: Tensor, mean_NA: Tensor) -> Tensor:
        """[N, A]: the vector of a closed node, from its label and the mean of its children."""
        return torch.tanh(self.compose(torch.cat([label_NA, mean_NA], -1)))

    def decide(
        self,
        memory: Memory,
        history_BTH: Tensor | None,
        stack_BTH: Tensor | None,
        parent_BT: Tensor,
        sibling_BT: Tensor,
        front_BT: Tensor,
        legal: tuple[Tensor, Tensor, Tensor],
    ) -> Tensor:
        """Log-probabilities [B, T, S + W].

        Args:
            memory: the encoded utterances.
            history_BTH, stack_BTH: states before the action; None where switched off.
            parent_BT, sibling_BT, front_BT: as in `batch.Columns`.
            legal: labels [B, T, L], word [B, T], RED [B, T] that may come.
        """
        history = None if history_BTH is None else Part(history_BTH.flatten(0, 1))
        parts = self._parts(memory, history, stack_BTH, parent_BT, sibling_BT, front_BT)
        hidden_BTH, near_copy = self._looked(parts, memory, stack_BTH, front_BT)
        return self._distribution(hidden_BTH, near_copy, memory, legal)

    def _distribution(
        self, hidden_BTH: Tensor, near_copy: Tensor | None, memory: Memory, legal: tuple[Tensor, Tensor, Tensor]
    ) -> Tensor:
        """[B, T, S + W] log-probabilities, from what decisions are made from."""
        kinds = None if self.kinds is None else self.kinds(hidden_BTH)
        if self.domains is None:
            symbols = self.symbols(hidden_BTH)
        else:
            symbols = self.domains(hidden_BTH, self.symbols, memory.domain_B)
        copies = self._copy_scores(hidden_BTH, near_copy, memory)
        return self.normalise(torch.cat([symbols, copies], -1), kinds, legal)

    def _looked(
        self, parts: list[Part], memory: Memory, stack_BTH: Tensor | None, front_BT: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """([B, T, H] what a decision is made from, [B, T, W] biases of positions or None), from `_parts`."""
        near_attention = near_copy = None
        if self.config.front:
            tables = (self.near_attention.weight, self.copy_biases())
            near_attention, near_copy = (self._near(table, front_BT, memory) for table in tables)
        features = side_by_side(parts, front_BT.shape, self.dropout.active)
        hidden = self._hidden(features, stack_BTH, memory, near_attention)
        return self.dropout.of_tanh(hidden), near_copy

    def _parts(
        self,
        memory: Memory,
        history: Part | None,
        stack_BTH: Tensor | None,
        parent_BT: Tensor,
        sibling_BT: Tensor,
        front_BT: Tensor,
    ) -> list[Part]:
        """The features of a decision: rows of tables at [B, T] places, that of the word at the front last."""
        stack = None if stack_BTH is None else Part(stack_BTH.flatten(0, 1))
        parts = [part for part in (history, stack) if part is not None]
        if self.config.context:
            parts += [Part(self.parent.weight, parent_BT), Part(self.sibling.weight, sibling_BT)]
        if self.config.front:
            rows, width = memory.states_BWE.shape[:2]
            start_B1 = torch.arange(rows, device=front_BT.device)[:, None] * width
            at = torch.where(front_BT < memory.length_B[:, None], front_BT + start_B1, -1)
            parts.append(Part(memory.states_BWE.flatten(0, 1), at, gaps=True))
        return parts

    def _copy_scores(self, hidden_BTH: Tensor, near_BTW: Tensor | None, memory: Memory) -> Tensor:
        """[B, T, W]"""
        if self.pointer is None:
            return hidden_BTH.new_full((*hidden_BTH.shape[:2], len(memory.place_W)), NEVER)
        copy_BTW = similarity(self.pointer(hidden_BTH), memory.states_BWE) + memory.bar_BW[:, None]
        return copy_BTW if near_BTW is None else copy_BTW + near_BTW

    def normalise(self, scores: Tensor, kinds: Tensor | None, legal: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        """Log-probabilities [..., S + W] from scores [..., S + W], and [..., 3] of kinds in two steps, under a mask."""
        scores, (labels, word, red) = scores.float(), legal
        if kinds is not None:
            return self._in_two_steps(scores, kinds.float(), labels, word, red)
        words = word[..., None].expand(*word.shape, scores.size(-1) - 1 - self.L)
        return (scores + bar(torch.cat([red[..., None], labels, words], -1))).log_softmax(-1)

    def _in_two_steps(self, scores: Tensor, kinds: Tensor, labels: Tensor, word: Tensor, red: Tensor) -> Tensor:
        """First the action, then its label or word, as published.

        Where no word may come its kind is ruled out, so the lexicon, which is long, needs no mask of its own.
        """
        kinds = (kinds + bar(torch.stack([labels.any(-1), word, red], -1))).log_softmax(-1)
        of_labels = (scores[..., 1 : 1 + self.L] + bar(labels)).log_softmax(-1) + kinds[..., 0:1]
        of_words = scores[..., 1 + self.L :].log_softmax(-1) + kinds[..., 1:2]
        return torch.cat([kinds[..., 2:3], of_labels, of_words], -1)

    def _hidden(
        self, features_BTF: Tensor, stack_BTH: Tensor | None, memory: Memory, near_BTW: Tensor | None
    ) -> Tensor:
        """[B, T, H]: the hidden layer of the features and of what is attended to, before its tanh."""
        if self.config.attention == "none":
            return self.hidden(features_BTF)
        width = features_BTF.size(-1)
        if stack_BTH is not None and self.config.attention == "additive":
            query = self.query(stack_BTH)
            hidden = functional.linear(features_BTF, self.hidden.weight[:, :width], self.hidden.bias)
        else:
            of_features = self.hidden.weight[:, :width], self.hidden.bias
            query, hidden = two_layers(features_BTF, (self.query.weight, self.query.bias), of_features)
        attended = self._attend(query, memory, near_BTW)
        both = torch.addmm(hidden.flatten(0, 1), attended.flatten(0, 1), self.hidden.weight[:, width:].t())
        return both.view_as(hidden)

    def _attend(self, query_BTQ: Tensor, memory: Memory, near_BTW: Tensor | None) -> Tensor:
        """[B, T, E]: the mean of the encoder states, weighted by the query."""
        if self.config.attention == "dot":
            energy = similarity(query_BTQ, memory.states_BWE)
        else:
            energy = self.energy(torch.tanh(query_BTQ[:, :, None] + self.key(memory.states_BWE)[:, None]))[..., 0]
        energy = energy + memory.bar_BW[:, None]
        weights = (energy if near_BTW is None else energy + near_BTW).softmax(-1)
        if memory.trace is not None:
            memory.trace.append(weights)
        return weights @ memory.states_BWE

    def copy_biases(self) -> Tensor:
        """[2 REACH + 1, 1]: what the copy score of a word gains by its distance from the front."""
        return self.near_copy.weight + self.passed

    @staticmethod
    def _near(biases: Tensor, front_BT: Tensor, memory: Memory) -> Tensor:
        """[B, T, W]: the bias of every word by its distance from the front, as rows of a table."""
        width = len(memory.place_W)
        front_V = torch.arange(width + 1, device=front_BT.device)
        distance_VW = (memory.place_W - front_V[:, None]).clamp(-REACH, REACH) + REACH
        return look_up(look_up(biases, distance_VW)[..., 0], front_BT)

    # -- training: all actions of a batch at once ----------------------------------------------

    def forward(self, batch: Batch, unk: float = 0.0) -> Tensor:
        """The negative log-likelihood of the gold actions, summed over them, in nats."""
        memory = self.encode(batch, unk)
        table_MA, row_BT = self._gold_vectors(batch, memory)
        history = self._history_states(batch, table_MA, row_BT, memory) if self.config.history else None
        stack = None
        if self.config.stack:
            stack = self._stack_states(batch, self.dropout(look_up(table_MA, row_BT)), memory)
        parts = self._parts(memory, history, stack, batch.parent_BT, batch.sibling_BT, batch.front_BT)
        legal = self._legal(batch)
        if self._block_by_block(memory):
            return self._loss_in_blocks(batch, memory, parts, legal)
        hidden_BTH, near_copy = self._looked(parts, memory, stack, batch.front_BT)
        if self.kinds is not None and self.domains is None:
            return self._loss_in_two_steps(batch, memory, hidden_BTH, near_copy, legal)
        logp = self._distribution(hidden_BTH, near_copy, memory, legal)
        return -(self._gold(logp, batch, memory) * batch.real_BT).sum()

    def _gold_vectors(self, batch: Batch, memory: Memory) -> tuple[Tensor, Tensor]:
        """([M, A] embeddings of symbols and then vectors of copied words, [B, T] which one each gold action has).

        As `action_vectors`, with a product for those that copy only, and before dropout.
        """
        table_MA, row_BT = self.embed.weight, batch.symbol_BT.clamp(min=0)
        if self.config.copy:
            words_KE = look_up(memory.states_BWE.flatten(0, 1), batch.source_K)
            copied_KA = torch.tanh(self.copied(words_KE)).to(table_MA.dtype)
            row_K = torch.arange(len(words_KE), device=row_BT.device) + len(table_MA)
            row_BT = row_BT.flatten().index_copy(0, batch.copying_K, row_K).view_as(row_BT)
            table_MA = torch.cat([table_MA, copied_KA])
        return table_MA, row_BT

    def _history_states(self, batch: Batch, table_MA: Tensor, row_BT: Tensor, memory: Memory) -> Part:
        """The history before every action, as a feature. It begins with the vector that is no symbol's."""
        before_BT = torch.cat([torch.full_like(row_BT[:, :1], self.S), row_BT[:, :-1]], 1)
        h, c = self.start(self.history_start, memory)
        if not compiled(table_MA):
            vectors_BTA = self.dropout(look_up(table_MA, before_BT))
            return Part(run(self.history, vectors_BTA, (h[None], c[None].contiguous())).flatten(0, 1))
        packing = Packing.of(batch.real_BT.sum(1), batch.real_BT.size(1))
        order, parts = packing.order_B, [Part(table_MA, packing.pack(before_BT))]
        states_NH = run_ahead(self.history, parts, packing.sizes, (h[order], c[order]), self.dropout.active)
        return Part(states_NH, packing.place_BW, gaps=True, once=True)

    def _block_by_block(self, memory: Memory) -> bool:
        """Whether the decisions go through the cache block by block; `decisions` is made for networks like `base`."""
        c = self.config
        known = c.joint and c.front and c.copy and not c.marginal and c.attention == "dot" and self.domains is None
        return known and compiled(memory.states_BWE)

    def _loss_in_blocks(
        self, batch: Batch, memory: Memory, parts: list[Part], legal: tuple[Tensor, Tensor, Tensor]
    ) -> Tensor:
        """The loss as `decisions` computes it."""
        assert self.pointer is not None
        weights = decisions.Weights(
            query_EF=self.query.weight,
            hidden_HX=self.hidden.weight,
            hidden_H=self.hidden.bias,
            symbols_SH=self.symbols.weight,
            symbols_S=self.symbols.bias,
            pointer_EH=self.pointer.weight,
            near_attention_D1=self.near_attention.weight,
            near_copy_D1=self.copy_biases(),
        )
        return decisions.loss_of(batch, memory, parts, weights, legal, NEVER, self.dropout.active)

    def _loss_in_two_steps(
        self,
        batch: Batch,
        memory: Memory,
        hidden_BTH: Tensor,
        near_copy: Tensor | None,
        legal: tuple[Tensor, Tensor, Tensor],
    ) -> Tensor:
        """The loss where the kind of action comes first: labels are scored where one is opened, words where one comes.

        The lexicon is long, so this is what makes such a model trainable.
        """
        assert self.kinds is not None
        labels, word, red = legal
        kinds = self.kinds(hidden_BTH).float() + bar(torch.stack([labels.any(-1), word, red], -1))
        gold = (kinds.log_softmax(-1).gather(-1, batch.kind_BT[..., None])[..., 0] * batch.real_BT).sum()
        line_NH, (weight, bias) = hidden_BTH.flatten(0, 1), (self.symbols.weight, self.symbols.bias)

        opens = functional.linear(line_NH[batch.opening_K], weight[1 : 1 + self.L], bias[1 : 1 + self.L]).float()
        opens = (opens + bar(labels.flatten(0, 1)[batch.opening_K])).log_softmax(-1)
        gold = gold + opens.gather(-1, batch.symbol_BT.flatten()[batch.opening_K, None] - 1).sum()

        skipped = 1 + self.L
        at_K = batch.leaf_K
        row_K = torch.div(at_K, batch.real_BT.size(1), rounding_mode="floor")
        lexicon = functional.linear(line_NH[at_K], weight[skipped:], bias[skipped:]).float()
        copies = self._copy_scores(hidden_BTH, near_copy, memory).flatten(0, 1)[at_K].float()
        logp = torch.cat([lexicon, copies], -1).log_softmax(-1)
        symbol, copy, surface, lexical = (
            x.flatten()[at_K] for x in (batch.symbol_BT, batch.copy_BT, batch.surface_BT, batch.lexical_BT)
        )
        target = torch.where(copy >= 0, self.S + copy, symbol) - skipped
        return -(gold + self._ways(logp, target, surface, lexical, memory.surface_BW[row_K], skipped).sum())

    def _ways(
        self,
        logp_KX: Tensor,
        target_K: Tensor,
        surface_K: Tensor,
        lexical_K: Tensor,
        surface_KW: Tensor,
        skipped: int = 0,
    ) -> Tensor:
        """[...] log-probability of the gold action, with `marginal` of all ways to write its word.

        Args:
            logp_KX: of symbols, the first `skipped` left out, and positions.
            target_K: the gold place in it.
            surface_K, lexical_K: the gold word's spelling and lexicon symbol, -1 for none.
            surface_KW: the spelling of every position.
            skipped: symbols left out.
        """
        gold = logp_KX.gather(-1, target_K[..., None])[..., 0]
        if not self.config.marginal:
            return gold
        # A word may be written in several ways: every position that holds it, and the lexicon.
        same = (surface_K[..., None] == surface_KW) & (surface_K >= 0)[..., None]
        lexical = logp_KX.gather(-1, (lexical_K - skipped).clamp(min=0)[..., None]) + bar(lexical_K >= 0)[..., None]
        ways = torch.cat([logp_KX[..., self.S - skipped :] + bar(same), lexical], -1)
        return torch.where(surface_K >= 0, ways.logsumexp(-1), gold)

    def _gold(self, logp: Tensor, batch: Batch, memory: Memory) -> Tensor:
        """[B, T] log-probability of the gold action."""
        target = torch.where(batch.copy_BT >= 0, self.S + batch.copy_BT, batch.symbol_BT).clamp(min=0)
        return self._ways(logp, target, batch.surface_BT, batch.lexical_BT, memory.surface_BW[:, None])

    def _legal(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        labels = self.legal.takes_PL[batch.parent_BT]
        row, step, label = batch.blocked_X3.unbind(-1)
        labels.index_put_((row, step, label), labels.new_zeros(()))
        real = batch.real_BT
        # Padding gets an open mask, or its softmax would be over nothing.
        return labels | ~real[..., None], self.legal.words_P[batch.parent_BT] | ~real, batch.red_BT.bool() | ~real

    def _stack_states(self, batch: Batch, vectors_BTA: Tensor, memory: Memory) -> Tensor:
        """[B, T, H]: the stack-LSTM's top before every action.

        Each action pushes one element: slot t is what action t pushed, and the top before action t
        is slot t - 1. Closed nodes are composed first, by height; then the recurrence runs by
        depth, since an element's state comes from the element below it.
        """
        vectors_NA = self._composed_nodes(batch, vectors_BTA.flatten(0, 1).index_select(0, batch.real_N))
        bottom_h, bottom_c = self.start(self.stack_start, memory)
        gates_N4H = functional.linear(vectors_NA, self.stack.weight_ih, self.stack.bias_ih)[batch.order_N]
        h, c = bottom_h, bottom_c
        levels = []
        for gates, under in zip(
            gates_N4H.split(batch.level_sizes), batch.under_N.split(batch.level_sizes), strict=True
        ):
            h, c = lstm_step(self.stack, gates, h[under], c[under])
            levels.append(h)
        states_NH = torch.cat(levels)
        rows, steps = batch.real_BT.shape
        slots = states_NH.new_zeros(rows * steps, states_NH.size(1))
        slots = slots.index_copy(0, batch.real_N[batch.order_N], states_NH).view(rows, steps, -1)
        return torch.cat([bottom_h[:, None].to(slots.dtype), slots[:, :-1]], 1)

    def _composed_nodes(self, batch: Batch, vectors_NA: Tensor) -> Tensor:
        """The vectors with every RED's replaced by that of the node it closes."""
        label_NA = self.embed(batch.parent_BT.flatten()[batch.real_N] + 1)
        for red, child, owner in batch.closed:
            # The last column counts the children.
            children = functional.pad(vectors_NA[child], (0, 1), value=1.0)
            total = children.new_zeros(len(red), children.size(1)).index_add(0, owner, children)
            node = self.composed(label_NA[red], total[:, :-1] / total[:, -1:].clamp(min=1))
            vectors_NA = vectors_NA.index_copy(0, red, node.to(vectors_NA.dtype))
        return vectors_NA
