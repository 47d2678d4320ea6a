"""Several models as one: at every step the mean of their probabilities, under one mask.

Members may differ in all settings, but must have the same labels and lexicon, as models of different seeds have.

    M members   B utterances   K beam   R = B K rows   W words   S symbols
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from parser.batch import make_input
from parser.checkpoint import CheckpointError
from parser.decode import Parse, _lstm, _of, _Stack, max_actions, merged, ranked
from parser.domains import of_domain
from parser.folded import Folded
from parser.legal import LegalState
from parser.model import NEVER, Model
from parser.vocab import RED_SYMBOL, Vocab


class _Member:
    """One model: what it makes of the words, and the states of the rows that grow."""

    def __init__(self, folded: Folded, vocab: Vocab, utterances: Sequence[list[str]], beam: int, max_open: int) -> None:
        self.folded, model = folded, folded.model
        memory = model.encode(make_input(utterances, vocab).to(folded.bias_F.device))
        each = torch.arange(len(utterances), device=folded.bias_F.device).repeat_interleave(beam)
        self.words = folded.words(memory).keep(each)
        self.h = self.c = self.stack = None
        if folded.config.history:
            h, c = (x.index_select(0, each) for x in model.start(model.history_start, memory))
            assert folded.history_S4H is not None and folded.recur_XH is not None
            first = functional.linear(h, folded.recur_XH[: 4 * folded.H]) + folded.history_S4H[folded.S]
            self.h, self.c = _lstm(first, c)
        if folded.config.stack:
            h, c = (x.index_select(0, each) for x in model.start(model.stack_start, memory))
            self.stack = _Stack(folded, (h, c), max_open)
        self.recur: Tensor | None = None

    def options(
        self,
        parent_R: Tensor,
        sibling_R: Tensor,
        front_R: Tensor,
        legal: tuple[Tensor, Tensor, Tensor],
    ) -> Tensor:
        """[R, S + W] log-probabilities of the next action, each way to write a word for itself."""
        folded = self.folded
        hidden = None
        if self.h is not None and folded.recur_XH is not None:
            self.recur = functional.linear(self.h, folded.recur_XH)
            hidden = self.recur[:, 4 * folded.H :]
        top = None if self.stack is None else self.stack.h_RH
        sums = folded.features(self.words, hidden, top, parent_R, sibling_R, front_R)
        scores, kinds = folded.scores(self.words, sums, front_R)
        return folded.model.normalise(scores, kinds, legal)

    def take(self, origin_R: Tensor, choice_R: Tensor, parent_R: Tensor, depth_R: Tensor) -> None:
        """Go on with the rows `origin_R`, each with its action; parent and depth are those before it."""
        folded = self.folded
        if self.recur is not None and self.c is not None and folded.history_S4H is not None:
            gates = _of(choice_R, folded.S, folded.history_S4H, self.words.history_BW4H)
            recur = self.recur[:, : 4 * folded.H].index_select(0, origin_R)
            self.h, self.c = _lstm(recur + gates, self.c.index_select(0, origin_R))
        if self.stack is not None:
            self.stack.keep(origin_R)
            self.stack.push(self.words, choice_R, parent_R, depth_R)


class Ensemble:
    """Models that parse together.

    Args:
        members: models and their vocabularies.

    Raises:
        CheckpointError: labels, lexicons, domains, tokenisers or the ways of copying differ.
    """

    def __init__(self, members: Sequence[tuple[Model, Vocab]]) -> None:
        first = members[0][1]
        for model, vocab in members:
            alike = ("labels", "lexicon", "domains", "tokeniser")
            same = all(getattr(vocab, name) == getattr(first, name) for name in alike)
            if not same or model.config.copy != members[0][0].config.copy:
                raise CheckpointError(
                    "the models of an ensemble must have the same labels, lexicon, domains, tokeniser and copying"
                )
        self.members = [(model.eval(), vocab) for model, vocab in members]
        self._folded: dict[str, list[Folded]] = {}

    @torch.inference_mode()
    def parse(
        self, utterances: Sequence[list[str]], domains: Sequence[str], batch_size: int = 128, beam: int = 1
    ) -> list[Parse]:
        """The parses of utterances of some domains, in the given order; see `evaluate.Parsing`."""
        names = domains if self.members[0][1].domains else [""] * len(utterances)
        parses: list[Parse | None] = [None] * len(utterances)
        order = sorted(range(len(utterances)), key=lambda i: (names[i], len(utterances[i])))
        for domain in sorted(set(names)):
            mine = [i for i in order if names[i] == domain]
            for start in range(0, len(mine), batch_size):
                index = mine[start : start + batch_size]
                found = self._parse([utterances[i] for i in index], domain, beam)
                for i, parse in zip(index, found, strict=True):
                    parses[i] = parse
        return [parse for parse in parses if parse is not None]

    def of(self, domain: str) -> Together:
        """A search for utterances of one domain, used as that of a single model.

        Raises:
            KeyError: the models do not know the domain.
        """
        return Together(self, domain)

    def _of(self, domain: str) -> list[Folded]:
        if domain not in self._folded:
            self._folded[domain] = [Folded(of_domain(model, vocab, domain)) for model, vocab in self.members]
        return self._folded[domain]

    def _parse(self, utterances: Sequence[list[str]], domain: str, beam: int) -> list[Parse]:
        vocab = self.members[0][1]
        # Members that were trained on different rows may have met trees of different depths.
        max_open = max(own.max_open for _, own in self.members)
        members = [
            _Member(folded, own, utterances, beam, max_open)
            for folded, (_, own) in zip(self._of(domain), self.members, strict=True)
        ]
        model = members[0].folded.model
        S, device = model.S, model.embed.weight.device
        budget_R = max_actions(members[0].words.length_B).clamp(min=model.legal.smallest)
        legal = LegalState(model.legal, budget_R, max_open)
        rows = torch.arange(len(budget_R), device=device)
        sibling_RD = torch.zeros(len(rows), max_open + 2, dtype=torch.long, device=device)
        front_R = torch.zeros_like(rows)
        # All but the first row of an utterance start without a chance: they would be copies.
        score_R = torch.where(rows % beam == 0, 0.0, NEVER)
        taken_RT = torch.full((len(rows), int(budget_R.max())), -1, dtype=torch.long, device=device)
        for step in range(taken_RT.size(1)):
            labels, word, red = legal.mask()
            done, parent_R, depth_R = legal.done_B, legal.parent_B(), legal.depth_B
            mask = (labels, word, red | done)  # a finished row chooses RED for ever, at no cost
            sibling_R = sibling_RD[rows, depth_R]
            every = torch.stack([member.options(parent_R, sibling_R, front_R, mask) for member in members])
            # Members may prefer different positions of one word, so its ways are added up after the mean.
            options = merged(model, every.logsumexp(0) - math.log(len(members)), members[0].words)
            options = torch.where(done[:, None] & (options > NEVER / 2), 0.0, options)
            total = (score_R[:, None] + options).view(-1, beam * options.size(1))
            best = total.topk(beam, -1)
            score_R, choice_R = best.values.flatten(), (best.indices % options.size(1)).flatten()
            origin = torch.div(best.indices, options.size(1), rounding_mode="floor")
            moved = (origin + torch.arange(len(origin), device=device)[:, None] * beam).flatten()
            legal.keep(moved)
            sibling_RD, front_R, taken_RT = (x.index_select(0, moved) for x in (sibling_RD, front_R, taken_RT))
            done, parent_R, depth_R = legal.done_B, legal.parent_B(), legal.depth_B
            taken_RT[:, step] = torch.where(done, -1, choice_R)
            legal.take(choice_R)
            for member in members:
                member.take(moved, choice_R, parent_R, depth_R)
            opens = (choice_R >= 1) & (choice_R <= model.L)
            last = torch.where(choice_R == RED_SYMBOL, parent_R + 1, torch.where(opens, 0, S))
            sibling_RD[rows, legal.depth_B] = last.clamp(max=S)
            front_R = torch.where((choice_R >= S) & ~done, choice_R - S + 1, front_R)
            if not legal.look():
                break
        parses = []
        scores, choices = score_R.view(-1, beam).tolist(), taken_RT.view(len(utterances), beam, -1).tolist()
        for words, row_scores, row_choices in zip(utterances, scores, choices, strict=True):
            grown = [pair for pair in zip(row_scores, row_choices, strict=True) if pair[0] > NEVER / 2]
            parses.append(ranked(words, grown, vocab))
        return parses


class Together:
    """The search of an ensemble for one domain."""

    def __init__(self, ensemble: Ensemble, domain: str) -> None:
        self.ensemble, self.domain = ensemble, domain
        if ensemble.members[0][1].domains:
            ensemble.members[0][1].domain(domain)

    def parse(self, utterances: Sequence[list[str]], beam: int = 1) -> list[Parse]:
        """The best trees of utterances none of which is empty; see `decode.Search.parse`."""
        return self.ensemble.parse(utterances, [self.domain] * len(utterances), beam=beam)
