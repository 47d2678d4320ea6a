"""A trained model with its sums worked out beforehand, for parsing.

Without dropout a linear layer over joined features is a sum of one product a feature. What a symbol, a
label or a word adds does not change from step to step, so it is looked up: symbols and labels once for a
model, words once for an utterance. One product with the history's state is left of each step, and it makes
the recurrence, the query and the hidden layer at once. It is a third of the arithmetic and of the calls.

    B utterances   W words   R rows: trees that grow, one or several an utterance   S symbols
    E encoder state   A action vector   H decoder state   Q query   F = Q + H, query and hidden layer together
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from parser.model import REACH, Memory, Model


@dataclass(slots=True)
class Words:
    """What the words of utterances add, at every step that looks at them.

    Attributes:
        states_BWE: encoder states.
        real_BW: where there is a word.
        vector_BWA: the action vector of copying it; None where nothing is copied.
        history_BW4H, stack_BW4H: its input products of the two LSTMs.
        front_BVF: what it adds as the front; the last of V = W + 1 is for "past the end".
        context_BWH: what it adds to the hidden layer when attended to.
        key_BWQ: what the query meets.
        pointer_BWH: what the hidden layer meets to copy it.
        surface_BW, lexical_BW, length_B: as in `batch.Input`.
    """

    states_BWE: Tensor
    real_BW: Tensor
    vector_BWA: Tensor | None
    history_BW4H: Tensor | None
    stack_BW4H: Tensor | None
    front_BVF: Tensor | None
    context_BWH: Tensor | None
    key_BWQ: Tensor | None
    pointer_BWH: Tensor | None
    surface_BW: Tensor
    lexical_BW: Tensor
    length_B: Tensor

    def keep(self, rows: Tensor) -> Words:
        """Those of some rows."""
        every: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
        kept: dict[str, Any] = {name: None if t is None else t.index_select(0, rows) for name, t in every.items()}
        return Words(**kept)


class Folded:
    """The tables of a model in evaluation mode; they do not follow the model when it is trained on.

    Attributes:
        bias_F: of query and hidden layer.
        history_S4H, stack_S4H: input products of every symbol in the two LSTMs.
        recur_XH: the history's state to its recurrence and to query and hidden layer, 4 H + F long.
        stack_FH: the stack's state to query and hidden layer.
        parent_PF, sibling_SF: what labels and last children add.
        node_PA, children_AA: what its label and the mean of its children add to a closed node's vector.
    """

    def __init__(self, model: Model) -> None:
        c = model.config
        self.model, self.config = model, c
        H, S = c.decoder_hidden, model.S
        weight = model.hidden.weight.detach()
        asks = c.attention != "none"
        only_stack = c.attention == "additive" and c.stack
        query = model.query.weight.detach() if asks else weight.new_zeros(0, weight.size(1))
        bias = model.query.bias if asks and c.attention == "additive" else None
        bias_Q = weight.new_zeros(len(query)) if bias is None else bias.detach()
        self.Q, self.H = len(query), H
        self.bias_F = torch.cat([bias_Q, model.hidden.bias.detach()])
        at = 0

        def columns(width: int, name: str) -> Tensor:
            """[F, width]: what the next `width` features add to query and hidden layer."""
            nonlocal at
            mine = weight[:, at : at + width]
            if only_stack:
                asked = query if name == "stack" else query.new_zeros(len(query), width)
            else:
                asked = query[:, at : at + width]
            at += width
            return torch.cat([asked, mine])

        embed = model.embed.weight.detach()
        self.embed_SA = embed
        self.history_S4H = self.stack_S4H = self.recur_XH = self.stack_FH = None
        self.parent_PF = self.sibling_SF = self.node_PA = self.children_AA = self.front_FE = None
        if c.history:
            lstm: Any = model.history
            self.history_in, self.history_bias = (
                lstm.weight_ih_l0.detach(),
                (lstm.bias_ih_l0 + lstm.bias_hh_l0).detach(),
            )
            self.history_S4H = functional.linear(embed, self.history_in, self.history_bias)
            self.recur_XH = torch.cat([lstm.weight_hh_l0.detach(), columns(H, "history")]).contiguous()
        if c.stack:
            cell: Any = model.stack
            self.stack_in, self.stack_bias = cell.weight_ih.detach(), (cell.bias_ih + cell.bias_hh).detach()
            self.stack_S4H = functional.linear(embed, self.stack_in, self.stack_bias)
            self.stack_hh = cell.weight_hh.detach()
            self.stack_FH = columns(H, "stack").contiguous()
            A = c.action_dim
            compose = model.compose.weight.detach()
            self.node_PA = functional.linear(embed[1 : 1 + model.L], compose[:, :A], model.compose.bias.detach())
            self.node_PA = torch.cat([self.node_PA, self.node_PA.new_zeros(1, A)])  # no node is open
            self.children_AA = compose[:, A:]
        if c.context:
            half = c.action_dim // 2
            self.parent_PF = model.parent.weight.detach() @ columns(half, "parent").mT
            self.sibling_SF = model.sibling.weight.detach() @ columns(half, "sibling").mT
        if c.front:
            self.front_FE = columns(c.encoder_hidden, "front").contiguous()
            self.copy_biases = model.copy_biases().detach()
        self.context_HE = weight[:, at:] if asks else None
        self.symbols, self.kinds = model.symbols, model.kinds
        self.S = S

    def words(self, memory: Memory) -> Words:
        """The tables of encoded utterances."""
        c, states, model = self.config, memory.states_BWE, self.model
        vector = torch.tanh(model.copied(states)) if c.copy else None
        front = None
        if self.front_FE is not None:
            # Past the end there is nothing; the front of no row lies in its padding.
            front = functional.pad(
                functional.linear(states, self.front_FE) * ~memory.padding_BW[..., None], (0, 0, 0, 1)
            )
        key = None
        if c.attention == "dot":
            key = states
        elif c.attention == "additive":
            key = model.key(states)
        return Words(
            states_BWE=states,
            real_BW=~memory.padding_BW,
            vector_BWA=vector,
            history_BW4H=self._gates(vector, self.history_in, self.history_bias) if c.history else None,
            stack_BW4H=self._gates(vector, self.stack_in, self.stack_bias) if c.stack else None,
            front_BVF=front,
            context_BWH=None if self.context_HE is None else functional.linear(states, self.context_HE),
            key_BWQ=key,
            pointer_BWH=None if model.pointer is None else states @ model.pointer.weight,
            surface_BW=memory.surface_BW,
            lexical_BW=memory.lexical_BW,
            length_B=memory.length_B,
        )

    @staticmethod
    def _gates(vector_BWA: Tensor | None, weight: Tensor, bias: Tensor) -> Tensor | None:
        return None if vector_BWA is None else functional.linear(vector_BWA, weight, bias)

    def features(
        self,
        words: Words,
        history_RF: Tensor | None,
        top_RH: Tensor | None,
        parent_R: Tensor,
        sibling_R: Tensor,
        front_R: Tensor,
    ) -> Tensor:
        """[R, F] query and hidden layer of a step; `history_RF` is its part of the product with `recur_XH`."""
        sums = self.bias_F if history_RF is None else history_RF + self.bias_F
        if top_RH is not None and self.stack_FH is not None:
            sums = sums + functional.linear(top_RH, self.stack_FH)
        if self.parent_PF is not None and self.sibling_SF is not None:
            sums = (
                sums + functional.embedding(parent_R, self.parent_PF) + functional.embedding(sibling_R, self.sibling_SF)
            )
        if words.front_BVF is not None:
            rows, width = words.front_BVF.shape[:2]
            at = torch.arange(rows, device=front_R.device) * width + front_R
            sums = sums + functional.embedding(at, words.front_BVF.flatten(0, 1))
        return sums.expand(len(parent_R), -1)

    def scores(self, words: Words, sums_RF: Tensor, front_R: Tensor) -> tuple[Tensor, Tensor | None]:
        """([R, S + W] scores of symbols and positions, [R, 3] scores of kinds where they come first)."""
        near = None
        if self.config.front:
            place = torch.arange(words.real_BW.size(1), device=front_R.device)
            near = (place - front_R[:, None]).clamp(-REACH, REACH) + REACH
        query, hidden = sums_RF[:, : self.Q], sums_RF[:, self.Q :]
        if words.key_BWQ is not None and words.context_BWH is not None:
            if self.config.attention == "dot":
                energy = torch.bmm(words.key_BWQ, query[..., None])[..., 0]
            else:
                energy = self.model.energy(torch.tanh(query[:, None] + words.key_BWQ))[..., 0]
            if near is not None:
                energy = energy + functional.embedding(near, self.model.near_attention.weight)[..., 0]
            share = energy.masked_fill(~words.real_BW, -1e9).softmax(-1)
            hidden = hidden + torch.bmm(share[:, None], words.context_BWH)[:, 0]
        hidden = torch.tanh(hidden)
        symbols = self.symbols(hidden)
        if words.pointer_BWH is None:
            copies = symbols.new_full((len(symbols), words.real_BW.size(1)), -1e9)
        else:
            copies = torch.bmm(words.pointer_BWH, hidden[..., None])[..., 0]
            if near is not None:
                copies = copies + functional.embedding(near, self.copy_biases)[..., 0]
            copies = copies.masked_fill(~words.real_BW, -1e9)
        return torch.cat([symbols, copies], -1), None if self.kinds is None else self.kinds(hidden)
