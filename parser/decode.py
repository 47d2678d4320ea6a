"""Greedy search in lock-step: all utterances of a batch take one action at a time, under the mask.

Every output is a whole tree that the ontology allows: the mask knows what may come next, and takes
away what could not be completed within the budget of actions.

    B utterances   W words   S symbols   D open nodes   L labels
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from grammar.actions import NT as nt
from grammar.actions import RED, TER, Action, build
from grammar.tree import Tree
from parser.batch import make_input
from parser.legal import LegalState
from parser.model import NEVER, Memory, Model, lstm_step
from parser.vocab import RED_SYMBOL, Vocab

SPARE_ACTIONS, ACTIONS_PER_WORD = 24, 4
"""The longest sequence is `SPARE_ACTIONS + ACTIONS_PER_WORD * words`; flat requests take about two a word."""


@dataclass(frozen=True, slots=True)
class Parse:
    """One parsed utterance.

    Attributes:
        words: the utterance.
        tree: its best tree.
        positions: for each leaf, the position it was copied from, or -1.
        score: log-probability of the actions, in nats.
    """

    words: list[str]
    tree: Tree
    positions: list[int]
    score: float


def max_actions(length: Tensor) -> Tensor:
    """The budget of actions for utterances of so many words."""
    return SPARE_ACTIONS + ACTIONS_PER_WORD * length


class _Stack:
    """The stack-LSTM of B growing trees: slot t + 1 holds what action t pushed, slot 0 the bottom."""

    def __init__(self, model: Model, memory: Memory, steps: int, max_open: int) -> None:
        self.model = model
        h, c = model.start(model.stack_start, memory)
        rows = len(h)
        self.rows_B = torch.arange(rows, device=h.device)
        self.h_BXH = h.new_zeros(rows, steps + 2, h.size(-1))
        self.c_BXH = torch.zeros_like(self.h_BXH)
        self.h_BXH[:, 0], self.c_BXH[:, 0] = h, c
        width = model.config.action_dim
        self.total_BDA = h.new_zeros(rows, max_open + 1, width)
        self.many_BD = h.new_zeros(rows, max_open + 1)
        self.slot_BD = torch.zeros(rows, max_open + 1, dtype=torch.long, device=h.device)
        self.step = 0

    def top(self) -> Tensor:
        """[B, 1, H]"""
        return self.h_BXH[:, self.step][:, None]

    def push(self, symbol_B: Tensor, vector_BA: Tensor, parent_B: Tensor, depth_B: Tensor) -> None:
        """`parent_B` and `depth_B` are the open label and the number of open nodes before the action."""
        rows, size = self.rows_B, self.model.L
        red = symbol_B == RED_SYMBOL
        opens = (symbol_B >= 1) & (symbol_B <= size)
        mean = self.total_BDA[rows, depth_B] / self.many_BD[rows, depth_B].clamp(min=1)[:, None]
        node = self.model.composed(self.model.embed((parent_B + 1).clamp(max=size)), mean)
        vector = torch.where(red[:, None], node, vector_BA)
        below = torch.where(red, self.slot_BD[rows, depth_B] - 1, self.step).clamp(min=0)
        cell = self.model.stack
        gates = vector @ cell.weight_ih.T + cell.bias_ih
        h, c = lstm_step(cell, gates, self.h_BXH[rows, below], self.c_BXH[rows, below])
        self.step += 1
        self.h_BXH[:, self.step], self.c_BXH[:, self.step] = h, c
        # A word or a closed node is one more child of the node that is open afterwards.
        to = torch.where(red, (depth_B - 1).clamp(min=0), depth_B)
        adds = (~opens).to(h.dtype)
        self.total_BDA[rows, to] += vector * adds[:, None]
        self.many_BD[rows, to] += adds
        at = (depth_B + 1).clamp(max=self.slot_BD.size(1) - 1)
        self.slot_BD[rows, at] = torch.where(opens, self.step, self.slot_BD[rows, at])
        self.total_BDA[rows, at] *= (~opens)[:, None]
        self.many_BD[rows, at] *= ~opens


@torch.inference_mode()
def greedy(model: Model, vocab: Vocab, utterances: Sequence[list[str]]) -> list[Parse]:
    """The best action at every step, for utterances none of which is empty."""
    device = next(model.parameters()).device
    inputs = make_input(utterances, vocab).to(device)
    memory = model.encode(inputs)
    rows = len(utterances)
    budget_B = max_actions(inputs.length_B).clamp(min=model.legal.smallest)
    legal = LegalState(model.legal, budget_B, vocab.max_open)
    longest = int(budget_B.max())
    stack = _Stack(model, memory, longest, vocab.max_open) if model.config.stack else None
    history = state = None
    if model.config.history:
        h, c = model.start(model.history_start, memory)
        first = model.embed.weight[model.S].expand(rows, 1, -1)
        history, state = model.history(first, (h[None], c[None].contiguous()))
    at_B = torch.arange(rows, device=device)
    sibling_BD = torch.zeros(rows, vocab.max_open + 2, dtype=torch.long, device=device)
    front_B = torch.zeros(rows, dtype=torch.long, device=device)
    score_B = torch.zeros(rows, device=device)
    taken: list[Tensor] = []
    for _ in range(longest):
        labels, word, red = legal.mask()
        done = legal.done_B
        # A finished row chooses RED for ever, at no cost.
        mask = (labels[:, None], word[:, None], (red | done)[:, None])
        parent_B, depth_B = legal.parent_B(), legal.depth_B
        sibling_B = sibling_BD[at_B, depth_B]
        top = stack.top() if stack else None
        logp = model.decide(memory, history, top, parent_B[:, None], sibling_B[:, None], front_B[:, None], mask)[:, 0]
        best_B, choice_B = _choose(logp, model, memory)
        score_B = score_B + best_B * ~done
        taken.append(torch.where(done, -1, choice_B))
        copied = choice_B >= model.S
        legal.take(choice_B)
        symbol_B = torch.where(copied, -1, choice_B)
        copy_B = torch.where(copied, choice_B - model.S, -1)
        vector = model.action_vectors(symbol_B[:, None], copy_B[:, None], memory)
        if model.config.history:
            history, state = model.history(vector, state)
        if stack:
            stack.push(choice_B, vector[:, 0], parent_B, depth_B)
        # After NT the new node has no child; after TER or RED the open one has this one.
        opens = (choice_B >= 1) & (choice_B <= model.L)
        last = torch.where(choice_B == RED_SYMBOL, parent_B + 1, torch.where(opens, 0, model.S))
        sibling_BD[at_B, legal.depth_B] = last.clamp(max=model.S)
        front_B = torch.where(copied & ~done, copy_B + 1, front_B)
        if bool(legal.done_B.all()):
            break
    sequences = torch.stack(taken, 1).tolist()
    scores = score_B.tolist()
    return [_parse(words, row, score, vocab) for words, row, score in zip(utterances, sequences, scores, strict=True)]


def _choose(logp_BX: Tensor, model: Model, memory: Memory) -> tuple[Tensor, Tensor]:
    """(log-probability, place) of the best symbol or position of each row."""
    if not (model.config.marginal and model.config.copy):
        best = logp_BX.max(-1)
        return best.values, best.indices
    symbols, copies = logp_BX[:, : model.S], logp_BX[:, model.S :]
    same_BWW = (memory.surface_BW[:, :, None] == memory.surface_BW[:, None]) & ~memory.padding_BW[:, None]
    raw_BWW = copies[:, None].expand_as(same_BWW).masked_fill(~same_BWW, NEVER)
    lexical = symbols.gather(1, memory.lexical_BW.clamp(min=0)).masked_fill(memory.lexical_BW < 0, NEVER)
    merged = torch.logaddexp(raw_BWW.logsumexp(-1), lexical).masked_fill(memory.padding_BW, NEVER)
    best = torch.cat([symbols, merged], -1).max(-1)
    # Of several positions with the chosen word, the likeliest is the one that is copied.
    position = (best.indices - model.S).clamp(min=0)
    likeliest = raw_BWW[torch.arange(len(position), device=position.device), position].argmax(-1)
    return best.values, torch.where(best.indices >= model.S, model.S + likeliest, best.indices)


def _parse(words: list[str], choices: list[int], score: float, vocab: Vocab) -> Parse:
    actions: list[Action] = []
    positions: list[int] = []
    for choice in choices:
        if choice < 0:
            break
        if choice == RED_SYMBOL:
            actions.append(RED)
        elif choice <= len(vocab.labels):
            actions.append(nt(vocab.symbol_name(choice)))
        else:
            position = choice - vocab.symbols
            name = words[position] if position >= 0 else vocab.symbol_name(choice)
            actions.append(TER(name, max(position, -1)))
            positions.append(max(position, -1))
    return Parse(words, build(actions), positions, score)
