"""The loss of a batch's decisions and at once its gradient, some utterances at a time, for training on a CPU.

What a decision is made from (features, query, what is attended to, hidden layer, scores) is two thousand numbers an
action, and as many gradients. For a batch as a whole these go through memory again with every operation; here the
actions of some utterances go all the way there and back while their numbers are in the cache. The loss is a sum over
utterances, so its gradient is known at once, but for one factor.

`Model` says what is computed, and for which networks this is; a test holds one to the other. The units that dropout
zeroes are others.

B utterances   W words (padded)   N actions in a line, without padding   F features
E encoder state   H hidden layer   S symbols   L labels   D distances from the front
R, K input and Y, Z output of the two products that make the layers
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from parser.compiled import loops, plain
from parser.dropout import Draw
from parser.lookup import Part, Rows, room_for

if TYPE_CHECKING:
    from parser.batch import Batch
    from parser.model import Memory

_BLOCK = 384
"""Actions of a block, about: few for the cache of a core, enough for the products; 192 to 768 take as long."""


class Weights(NamedTuple):
    """What is learned of a decision, each as in `Model`."""

    query_EF: Tensor
    hidden_HX: Tensor
    hidden_H: Tensor
    symbols_SH: Tensor
    symbols_S: Tensor
    pointer_EH: Tensor
    near_attention_D1: Tensor
    near_copy_D1: Tensor


def loss_of(
    batch: Batch,
    memory: Memory,
    parts: Sequence[Part],
    weights: Weights,
    legal: tuple[Tensor, Tensor, Tensor],
    bar: float,
    share: float,
) -> Tensor:
    """The negative log-likelihood of the gold actions, summed, in nats.

    Args:
        batch, memory: the utterances.
        parts: the features, rows at all [B T] places; last comes the part of the word at the front.
        weights: of the layers.
        legal: what may come, see `Model.decide`.
        bar: added to the score of what may not come.
        share: of the units of features and of the hidden layer that are zeroed.
    """
    work = _Work.of(batch, memory, parts, legal, len(weights.symbols_S), bar, share)
    tables = [part.table for part in parts[:-1]]
    loss: Tensor = _Decisions.apply(work, memory.states_BWE, *weights, *tables)
    return loss


class _Work(NamedTuple):
    """A batch as the loops want it, its actions in one line."""

    ends_B: np.ndarray
    length_B: np.ndarray
    front_N: np.ndarray
    labels_NL: np.ndarray
    word_N: np.ndarray
    red_N: np.ndarray
    target_N: np.ndarray
    features: Rows
    hidden: Draw
    bar: np.float32

    @classmethod
    def of(
        cls,
        batch: Batch,
        memory: Memory,
        parts: Sequence[Part],
        legal: tuple[Tensor, Tensor, Tensor],
        symbols: int,
        bar: float,
        share: float,
    ) -> _Work:
        real_BT, length_B = plain(batch.real_BT), plain(memory.length_B)
        line_N = np.flatnonzero(real_BT)
        labels, word, red = (plain(mask).reshape(real_BT.size, -1)[line_N] for mask in legal)
        target_BT = torch.where(batch.copy_BT >= 0, symbols + batch.copy_BT, batch.symbol_BT)
        front, target = (plain(x).reshape(-1)[line_N] for x in (batch.front_BT, target_BT))
        rows = Rows.of(parts, share)
        at_N = [at[line_N] if len(at) else line_N for at in rows.places_N]
        # Of a table whose rows come in turn those of padding are left out.
        features, hidden = rows._replace(places_N=at_N, once=[part.once for part in parts]), Draw.of(share)
        ends_B = real_BT.sum(1).cumsum()
        return cls(ends_B, length_B, front, labels, word[:, 0], red[:, 0], target, features, hidden, np.float32(bar))

    def blocks(self) -> list[tuple[slice, slice]]:
        """(utterances, their actions) of each block."""
        blocks, first = [], 0
        starts_B = np.concatenate([[0], self.ends_B])
        while first < len(self.ends_B):
            # At least one utterance, however long.
            last = max(first + 1, int(np.searchsorted(starts_B, starts_B[first] + _BLOCK, "right")) - 1)
            blocks.append((slice(first, last), slice(int(starts_B[first]), int(starts_B[last]))))
            first = last
        return blocks


class _Decisions(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, work: _Work, states_BWE: Tensor, *others: Tensor) -> Tensor:
        known = len(Weights._fields)
        blocks = _Blocks(work, states_BWE, Weights(*others[:known]), others[known:])
        loss = sum(blocks.there_and_back(*places) for places in work.blocks())
        ctx.by = blocks.gradients()
        return states_BWE.new_tensor(loss)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        if ctx.by is None:
            raise RuntimeError("the way back through decisions in training can be gone once: it scales what is there")
        by, ctx.by = ctx.by, None
        return None, *(gradient.mul_(gradients[0]) for gradient in by)


class _Room(NamedTuple):
    """Where a block's numbers lie, one row an action. Each `by_...` that is not here takes the place of its numbers."""

    features_NR: Tensor
    both_NY: Tensor
    share_NW: Tensor
    attended_NE: Tensor
    hidden_NK: Tensor
    by_hidden_NK: Tensor
    scores_NZ: Tensor

    def rows(self, count: int) -> _Room:
        """The first rows."""
        return _Room(*(place[:count] for place in self))


class _Blocks:
    """Takes one block after the other, and adds up gradients.

    Two products make all layers but one: features and a one (for biases) -> query | hidden layer before what is
    attended to; hidden layer and a one -> symbols | pointer.
    """

    def __init__(self, work: _Work, states_BWE: Tensor, weights: Weights, tables: Sequence[Tensor]) -> None:
        (E, F), (S, H) = weights.query_EF.shape, weights.symbols_SH.shape
        self.work, self.E, self.F, self.H, self.S = work, E, F, H, S
        self.first_YR = states_BWE.new_zeros(E + H, _aligned(F + 1))
        self.first_YR[:E, :F], self.first_YR[E:, :F] = weights.query_EF, weights.hidden_HX[:, :F]
        self.first_YR[E:, F] = weights.hidden_H
        self.first_RY = self.first_YR.t().contiguous()  # each product has the form that it is quickest in
        self.attended_HE = weights.hidden_HX[:, F:].contiguous()
        self.last_ZK = states_BWE.new_zeros(_aligned(S + E), _aligned(H + 1))
        self.last_ZK[:S, :H], self.last_ZK[:S, H] = weights.symbols_SH, weights.symbols_S
        self.last_ZK[S : S + E, :H] = weights.pointer_EH
        self.near = [plain(near).reshape(-1) for near in (weights.near_attention_D1, weights.near_copy_D1)]
        self.states_BWE, self.tables = states_BWE, [*tables, states_BWE.flatten(0, 1)]

        self.by_first_RY, self.by_attended_HE, self.by_last_ZK = (
            torch.zeros_like(weight) for weight in (self.first_RY, self.attended_HE, self.last_ZK)
        )
        self.by_near = [np.zeros_like(near) for near in self.near]
        self.by_states_BWE = torch.empty_like(states_BWE)
        # Those of the states begin with each block.
        self.by_tables = [*map(room_for, tables, work.features.once), self.by_states_BWE.flatten(0, 1)]

        (R, Y), (Z, K), W = self.first_RY.shape, self.last_ZK.shape, states_BWE.size(1)
        most = max(places.stop - places.start for _, places in work.blocks())
        self.room = _Room(*(states_BWE.new_empty(most, width) for width in (R, Y, W, E, K, K, Z)))
        loops().with_a_one(self.room.hidden_NK.numpy(), H)

    def there_and_back(self, rows: slice, places: slice) -> float:
        """The loss of some utterances and their actions, whose gradient is added to what is there."""
        work, (E, F, H, S) = self.work, (self.E, self.F, self.H, self.S)
        features_NR, both_NY, _, attended_NE, hidden_NK, by_hidden_NK, scores_NZ = room = self.room.rows(
            places.stop - places.start
        )
        features, both, share, attended, hidden, by_hidden, scores = map(plain, room)
        looked = work.features.some(places, features.shape[1])
        draw = work.hidden._replace(seed=(work.hidden.seed + places.start * H) % 2**32)
        states, by_states = plain(self.states_BWE[rows]), plain(self.by_states_BWE[rows].zero_())
        asked = (work.ends_B[rows] - places.start, work.length_B[rows], work.front_N[places], states)
        legal = (work.labels_NL[places], work.word_N[places], work.red_N[places], work.bar)

        looked.gather(self.tables, features)
        loops().with_a_one(features, F)
        torch.mm(features_NR, self.first_RY, out=both_NY)
        loops().attend(*asked, self.near[0], both, share, attended)
        both_NY[:, E:].addmm_(attended_NE, self.attended_HE.t())
        loops().squashed(both, E, hidden, H, *draw)
        torch.mm(hidden_NK, self.last_ZK.t(), out=scores_NZ)
        loss: float = loops().judge(
            *asked, self.near[1], scores, S, *legal, work.target_N[places], by_states, self.by_near[1]
        )

        self.by_last_ZK.addmm_(scores_NZ.t(), hidden_NK)
        torch.mm(scores_NZ, self.last_ZK, out=by_hidden_NK)
        loops().squashed_back(hidden, by_hidden, both, E, H, *draw)
        self.by_attended_HE.addmm_(both_NY[:, E:].t(), attended_NE)
        torch.mm(both_NY[:, E:], self.attended_HE, out=attended_NE)
        loops().attend_back(*asked, self.near[0], both, share, attended, by_states, self.by_near[0])
        self.by_first_RY.addmm_(features_NR.t(), both_NY)
        torch.mm(both_NY, self.first_YR, out=features_NR)
        looked.scatter(self.by_tables, features)
        return loss

    def gradients(self) -> list[Tensor]:
        """Of states, weights and tables but that of the states."""
        E, F, H, S = self.E, self.F, self.H, self.S
        by_first_YR, by_last_ZK = self.by_first_RY.t(), self.by_last_ZK
        near_attention_D1, near_copy_D1 = (torch.from_numpy(by)[:, None] for by in self.by_near)
        weights = Weights(
            query_EF=by_first_YR[:E, :F],
            hidden_HX=torch.cat([by_first_YR[E:, :F], self.by_attended_HE], 1),
            hidden_H=by_first_YR[E:, F],
            symbols_SH=by_last_ZK[:S, :H],
            symbols_S=by_last_ZK[:S, H],
            pointer_EH=by_last_ZK[S : S + E, :H],
            near_attention_D1=near_attention_D1,
            near_copy_D1=near_copy_D1,
        )
        return [self.by_states_BWE, *weights, *self.by_tables[:-1]]


def _aligned(width: int) -> int:
    """Products are quickest where rows begin at the same place of a cache line, or nearly so."""
    return -(-width // 8) * 8
