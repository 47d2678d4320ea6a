"""Which symbols may come next, as tensors: the transition system and the ontology.

`grammar.actions.State` is the definition; a test walks both side by side. The tables come from the
ontology once; `LegalState` follows a batch of trees that grow in lock-step.

    B utterances   D open nodes   L labels   P = L + 1 parents, the last one "no node is open"
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from grammar.ontology import Ontology

_FAR = 1 << 20


class Legal:
    """The ontology as tables over label numbers 0..L-1.

    Attributes:
        takes_PL: the child may stand below the parent; the last row is what may be a root.
        once_PL: ... but only once.
        words_P: leaves may stand below the parent.
        required_PL, least_P: what a node needs before RED.
        smallest: actions of the smallest tree.
        cost_L, height_L: fewest actions that complete a node just opened, and the levels they need.
    """

    def __init__(self, ontology: Ontology, labels: list[str]) -> None:
        self.labels, self.ontology = labels, ontology
        number = {label: i for i, label in enumerate(labels)}
        size = len(labels)
        self.takes_PL = torch.zeros(size + 1, size, dtype=torch.bool)
        self.once_PL = torch.zeros(size + 1, size, dtype=torch.bool)
        self.required_PL = torch.zeros(size + 1, size, dtype=torch.bool)
        self.words_P = torch.zeros(size + 1, dtype=torch.bool)
        self.least_P = torch.zeros(size + 1, dtype=torch.long)
        self.cost_L = torch.tensor([ontology.cost(label) for label in labels])
        self.height_L = torch.tensor([ontology.height(label) for label in labels])
        self.most_least = max((node.least for node in ontology.nodes.values()), default=0)
        for label, node in ontology.nodes.items():
            row = number[label]
            for child in node.takes:
                self.takes_PL[row, number[child]] = True
                self.once_PL[row, number[child]] = child not in node.repeated
            for child in node.required:
                self.required_PL[row, number[child]] = True
            self.words_P[row] = node.words
            self.least_P[row] = node.least
        for root in ontology.roots:
            self.takes_PL[size, number[root]] = True
        self.smallest = 1 + min((ontology.cost(root) for root in ontology.roots), default=1)
        # Nobody can owe more than this for the open node and one more child, so far from the
        # budget the exact sum need not be made.
        worst = max((ontology.missing_cost(label, (), 0) for label in labels), default=0)
        self.most_cost = int(self.cost_L.max()) if size else 0
        self.most_owed = 2 + worst + self.most_cost

    def to(self, device: torch.device | str) -> Legal:
        """Move the tables."""
        for name in ("takes_PL", "once_PL", "required_PL", "words_P", "least_P", "cost_L", "height_L"):
            setattr(self, name, getattr(self, name).to(device))
        return self


class LegalState:
    """B trees being built, and what may come next in each.

    Args:
        legal: the tables.
        max_actions_B: the longest sequence of each row.
        max_open: the most open nodes.
    """

    def __init__(self, legal: Legal, max_actions_B: Tensor, max_open: int) -> None:
        self.legal = legal
        self.max_actions_B = max_actions_B
        device, rows, size = max_actions_B.device, len(max_actions_B), len(legal.labels)
        self.rows_B = torch.arange(rows, device=device)
        self.max_open = max_open
        self.depth_B = torch.zeros(rows, dtype=torch.long, device=device)
        self.label_BD = torch.full((rows, max_open + 1), size, dtype=torch.long, device=device)
        self.seen_BDL = torch.zeros(rows, max_open + 1, size, dtype=torch.bool, device=device)
        self.count_BD = torch.zeros(rows, max_open + 1, dtype=torch.long, device=device)
        self.done_B = torch.zeros(rows, dtype=torch.bool, device=device)
        self.taken = 0
        # At most what the open nodes below level d still need, fixed while they are not on top.
        self.owed_below_BD = torch.zeros_like(self.count_BD)
        # Bounds known without asking the device; `look` makes them exact.
        self.deepest, self.owed_below, self.least_budget = 0, 0, int(max_actions_B.min()) if rows else 0

    def look(self) -> int:
        """Ask the device how deep the deepest tree is and what it owes; returns how many are unfinished."""
        owed_B = self._top(self.owed_below_BD)
        asked = torch.stack([(~self.done_B).sum(), self.depth_B.max(), owed_B.max()])
        unfinished, self.deepest, self.owed_below = asked.tolist()
        return int(unfinished)

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows only, in this order; a row may come several times."""
        for name in ("max_actions_B", "depth_B", "label_BD", "seen_BDL", "count_BD", "done_B", "owed_below_BD"):
            setattr(self, name, getattr(self, name).index_select(0, rows))
        self.rows_B = torch.arange(len(rows), device=rows.device)

    # Level 0 of the stack is "no node is open", so the open node is at level depth.
    def parent_B(self) -> Tensor:
        """The open node's label number, L where none is open."""
        return self._top(self.label_BD)

    def _top(self, values_BDX: Tensor) -> Tensor:
        """What belongs to the open node: as one look-up in a long table, several times as fast as two indices."""
        at_B = self.rows_B * (self.max_open + 1) + self.depth_B
        return values_BDX.flatten(0, 1).index_select(0, at_B)

    def mask(self) -> tuple[Tensor, Tensor, Tensor]:
        """(labels_BL, word_B, red_B): what may come next; all False for a finished tree."""
        legal, top = self.legal, self.depth_B
        parent = self.parent_B()
        seen_BL, count_B = self._top(self.seen_BDL), self._top(self.count_BD)
        opened = (top > 0) & ~self.done_B
        labels_BL = legal.takes_PL[parent] & ~(legal.once_PL[parent] & seen_BL)
        labels_BL &= ~self.done_B[:, None] & (top[:, None] + legal.height_L <= self.max_open)
        word_B = legal.words_P[parent] & opened
        absent_BL = legal.required_PL[parent] & ~seen_BL
        lack_B = legal.least_P[parent] - count_B - absent_BL.sum(-1)
        red_B = opened & ~absent_BL.any(-1) & (lack_B <= 0)
        levels = min(self.deepest, self.max_open) + 1
        if self.taken + self.deepest + self.owed_below + legal.most_owed > self.least_budget:
            self._keep_to_budget(labels_BL, word_B, levels)
        return labels_BL, word_B, red_B

    def take(self, symbol_B: Tensor) -> None:
        """Apply one symbol a row: 0 RED, 1..L NT, anything above TER; finished rows stand still."""
        size = len(self.legal.labels)
        live = ~self.done_B
        red = live & (symbol_B == 0)
        opens = live & (symbol_B >= 1) & (symbol_B <= size)
        word = live & (symbol_B > size)
        self.taken += 1
        self.deepest += 1
        self.owed_below += self.legal.most_owed
        # A child is counted at its parent when it is opened; nothing asks before it is closed.
        before_B = self.rows_B * (self.max_open + 1) + self.depth_B
        label_B = (symbol_B - 1).clamp(0, size - 1)
        self.count_BD.flatten().index_add_(0, before_B, (opens | word).long())
        seen_XL = self.seen_BDL.flatten(0, 1)
        held_BL = seen_XL.index_select(0, before_B)
        seen_XL.index_copy_(
            0, before_B, held_BL.scatter(1, label_B[:, None], held_BL.gather(1, label_B[:, None]) | opens[:, None])
        )
        owed_B = self._top(self.owed_below_BD) + self._owed_at_most()
        self.depth_B = self.depth_B + opens.long() - red.long()
        self.done_B = self.done_B | (red & (self.depth_B == 0))
        at_B = before_B + opens.long() - red.long()
        for values_BD, fresh in ((self.owed_below_BD, owed_B), (self.label_BD, label_B), (self.count_BD, 0)):
            line = values_BD.flatten()
            line.index_copy_(0, at_B, torch.where(opens, fresh, line.index_select(0, at_B)))
        seen_XL.index_copy_(0, at_B, seen_XL.index_select(0, at_B) & ~opens[:, None])

    def _owed_at_most(self) -> Tensor:
        """A bound on `_owed` of the open node, cheap to work out."""
        legal, parent_B = self.legal, self.parent_B()
        absent_BL = legal.required_PL[parent_B] & ~self._top(self.seen_BDL)
        owed_B = (absent_BL * (1 + legal.cost_L)).sum(-1)
        if legal.most_least:
            lack_B = (legal.least_P[parent_B] - self._top(self.count_BD)).clamp(min=0)
            owed_B = owed_B + lack_B * (1 + legal.most_cost)
        return owed_B

    def _keep_to_budget(self, labels_BL: Tensor, word_B: Tensor, levels: int) -> None:
        """Take away what could no longer be completed within the budget, in place."""
        rows, top = self.rows_B, self.depth_B
        live = (torch.arange(levels, device=top.device)[None] <= top[:, None]) & (
            torch.arange(levels, device=top.device)[None] > 0
        )
        owed_BD = self._owed(self.label_BD[:, :levels], self.seen_BDL[:, :levels], self.count_BD[:, :levels])
        below_B = (owed_BD * live).sum(-1) - owed_BD[rows, top] * (top > 0)
        room_B = self.max_actions_B - self.taken - below_B - top
        parent = self.parent_B()
        seen_BL, count_B = self.seen_BDL[rows, top], self.count_BD[rows, top]
        open_B = (top > 0).long()
        after_word = self._owed(parent[:, None], seen_BL[:, None], count_B[:, None] + 1)[:, 0] * open_B
        word_B &= room_B >= 1 + after_word
        size = len(self.legal.labels)
        then_BLL = seen_BL[:, None] | torch.eye(size, dtype=torch.bool, device=top.device)[None]
        parent_BL = parent[:, None].expand(-1, size)
        after_label = self._owed(parent_BL, then_BLL, (count_B[:, None] + 1).expand(-1, size)) * open_B[:, None]
        labels_BL &= room_B[:, None] >= 1 + self.legal.cost_L[None] + after_label

    def _owed(self, parent_BX: Tensor, seen_BXL: Tensor, count_BX: Tensor) -> Tensor:
        """Fewest actions, without RED, that give nodes all they still need: `Ontology.missing_cost`."""
        legal = self.legal
        absent = legal.required_PL[parent_BX] & ~seen_BXL
        owed = (absent * (1 + legal.cost_L)).sum(-1)
        lack = (legal.least_P[parent_BX] - count_BX - absent.sum(-1)).clamp(min=0)
        if not legal.most_least:
            return owed
        # A child that may stand only once fills one gap at most; the cheapest repeated one all others.
        takes, once = legal.takes_PL[parent_BX], legal.once_PL[parent_BX]
        costs = 1 + legal.cost_L
        again = torch.where(takes & ~once, costs, _FAR).amin(-1, keepdim=True)
        single = torch.where(takes & once & ~(seen_BXL | absent), costs, _FAR).sort(-1).values
        single = functional.pad(single, (0, legal.most_least), value=_FAR)[..., : legal.most_least]
        upto = torch.minimum(single, again).cumsum(-1)
        filler = upto.gather(-1, (lack - 1).clamp(min=0)[..., None])[..., 0] * (lack > 0)
        return owed + torch.where(legal.words_P[parent_BX], lack, filler)
