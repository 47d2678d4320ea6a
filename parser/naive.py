"""The parser as the paper tells it: one utterance, one action, one Python stack at a time.

Slow on purpose. It is the definition that tests hold the batched loss and the lock-step decoder to.
"""

from __future__ import annotations

import torch
from torch import Tensor

from grammar.actions import GENERATED, Action, Kind, State
from grammar.ontology import Ontology
from parser.batch import make_input
from parser.model import Model
from parser.recurrence import lstm_step
from parser.vocab import RED_SYMBOL, Vocab


class NaiveParse:
    """A parse in progress of one utterance; `logp()` looks, `take()` moves."""

    def __init__(self, model: Model, vocab: Vocab, ontology: Ontology, words: list[str]) -> None:
        self.model, self.vocab, self.words = model, vocab, words
        self.state = State(ontology, max_open=vocab.max_open)
        self.memory = model.encode(make_input([words], vocab))
        config = model.config
        start = model.embed.weight[vocab.symbols][None, None]
        if config.history:
            h, c = model.start(model.history_start, self.memory)
            self.history, self.history_state = model.history(start, (h[None], c[None].contiguous()))
        if config.stack:
            # Each element: (LSTM state above it, its vector, its label where it is an open node).
            self.stack: list[tuple[tuple[Tensor, Tensor], Tensor, str]] = [
                (model.start(model.stack_start, self.memory), start[0], "")
            ]
        self.siblings: list[int] = []
        self.front = 0

    def logp(self) -> Tensor:
        """[S + W] log-probabilities of the next action."""
        vocab, model = self.vocab, self.model
        opens, word, red = self.state.allowed(vocab.labels)
        labels = torch.tensor([[[label in opens for label in vocab.labels]]])
        legal = (labels, torch.tensor([[word]]), torch.tensor([[red]]))
        names = self.state.open_labels
        parent = vocab.labels.index(names[-1]) if names else len(vocab.labels)
        sibling = self.siblings[-1] if self.siblings else 0
        history = self.history if model.config.history else None
        stack = self.stack[-1][0][0][None] if model.config.stack else None
        places = [torch.tensor([[value]]) for value in (parent, sibling, self.front)]
        return model.decide(self.memory, history, stack, places[0], places[1], places[2], legal)[0, 0]

    def take(self, action: Action) -> None:
        """Apply an action to the state, the stack and the history."""
        model, vocab = self.model, self.vocab
        label = self.state.open_labels[-1] if self.state.open_labels else ""
        self.state.apply(action)
        copies = action.kind is Kind.TER and action.copy != GENERATED and model.config.copy
        if action.kind is Kind.NT:
            symbol = vocab.label(action.symbol)
        elif action.kind is Kind.TER:
            symbol = -1 if copies else vocab.lexical(action.symbol)
        else:
            symbol = RED_SYMBOL
        place = action.copy if copies else -1
        vector = model.action_vectors(torch.tensor([[symbol]]), torch.tensor([[place]]), self.memory)
        if model.config.history:
            self.history, self.history_state = model.history(vector, self.history_state)
        if model.config.stack:
            self._push(action, vector[0], label)
        if action.kind is Kind.NT:
            self.siblings.append(0)
        elif action.kind is Kind.TER:
            self.siblings[-1] = vocab.symbols
            self.front = place + 1 if copies else self.front
        else:
            self.siblings.pop()
            if self.siblings:
                self.siblings[-1] = vocab.label(label)

    def _push(self, action: Action, vector: Tensor, label: str) -> None:
        model = self.model
        if action.kind is Kind.RED:
            children = []
            while not self.stack[-1][2]:
                children.append(self.stack.pop()[1])
            self.stack.pop()
            mean = torch.stack(children).mean(0) if children else torch.zeros_like(vector)
            vector = model.composed(model.embed(torch.tensor([self.vocab.label(label)])), mean)
        gates = vector @ model.stack.weight_ih.T + model.stack.bias_ih
        state = lstm_step(model.stack, gates, *self.stack[-1][0])
        self.stack.append((state, vector, action.symbol if action.kind is Kind.NT else ""))

    def ways(self, action: Action) -> list[int]:
        """The places of the distribution that write this action; several with `marginal`."""
        vocab = self.vocab
        if action.kind is Kind.RED:
            return [RED_SYMBOL]
        if action.kind is Kind.NT:
            return [vocab.label(action.symbol)]
        copies = self.model.config.copy and action.copy != GENERATED
        if not self.model.config.marginal:
            return [vocab.symbols + action.copy if copies else vocab.lexical(action.symbol)]
        lexical = vocab.lexical(action.symbol)
        positions = [i for i, word in enumerate(self.words) if word == action.symbol] if self.model.config.copy else []
        return [lexical] * (lexical >= 0) + [vocab.symbols + i for i in positions]


def naive_loss(model: Model, vocab: Vocab, ontology: Ontology, words: list[str], actions: list[Action]) -> Tensor:
    """Negative log-likelihood of one example, in nats; equals the batched loss."""
    parse = NaiveParse(model, vocab, ontology, words)
    total = torch.zeros(())
    for action in actions:
        total = total - parse.logp()[parse.ways(action)].logsumexp(0)
        parse.take(action)
    return total
