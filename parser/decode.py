"""Greedy and beam search in lock-step: all trees of a batch take one action at a time, under the mask.

Every output is a whole tree that the ontology allows: the mask knows what may come next, and takes
away what could not be completed within the budget of actions. The beam is a dimension of the batch:
`beam` rows next to each other grow for one utterance, and greedy search is a beam of one. Utterances
that are finished leave the batch. On a GPU the host looks at the device every few steps only.

    B utterances   K beam   R = B K rows   W words   S symbols   D open nodes   L labels
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor
from torch.nn import functional

from grammar.actions import GENERATED
from grammar.tree import Leaf, Tree
from parser.batch import make_input
from parser.folded import Folded, Words
from parser.legal import LegalState
from parser.model import NEVER, Model
from parser.vocab import RED_SYMBOL, Vocab

SPARE_ACTIONS, ACTIONS_PER_WORD = 24, 4
"""The longest sequence is `SPARE_ACTIONS + ACTIONS_PER_WORD * words`; flat requests take about two a word."""
LOOK_EVERY = 8
"""Steps between looks of the host at a GPU: how many rows are unfinished."""
SHRINK = 0.8
"""Finished utterances leave when no more than this share is unfinished."""


@dataclass(frozen=True, slots=True)
class Parse:
    """One parsed utterance.

    Attributes:
        words: the utterance.
        tree: its best tree.
        positions: for each leaf, the position it was copied from, or -1.
        score: log-probability of the actions, in nats.
        others: with a beam, the next best parses, best first, each with another tree.
    """

    words: list[str]
    tree: Tree
    positions: list[int]
    score: float
    others: list[Parse] = field(default_factory=list)


def max_actions(length: Tensor) -> Tensor:
    """The budget of actions for utterances of so many words."""
    return SPARE_ACTIONS + ACTIONS_PER_WORD * length


class _Stack:
    """The stack-LSTM of R growing trees: its top, and below every open node what a RED goes back to."""

    def __init__(self, folded: Folded, start: tuple[Tensor, Tensor], max_open: int) -> None:
        self.folded = folded
        self.h_RH, self.c_RH = start
        rows, width = self.h_RH.shape
        self.below_h_RDH = self.h_RH.new_zeros(rows, max_open + 2, width)
        self.below_c_RDH = torch.zeros_like(self.below_h_RDH)
        self.total_RDA = self.h_RH.new_zeros(rows, max_open + 2, folded.config.action_dim)
        self.many_RD = self.h_RH.new_zeros(rows, max_open + 2)

    def keep(self, rows: Tensor) -> None:
        for name in ("h_RH", "c_RH", "below_h_RDH", "below_c_RDH", "total_RDA", "many_RD"):
            setattr(self, name, getattr(self, name).index_select(0, rows))

    def push(self, words: Words, choice_R: Tensor, parent_R: Tensor, depth_R: Tensor) -> None:
        """`parent_R` and `depth_R` are the open label and the number of open nodes before the action."""
        folded, rows = self.folded, torch.arange(len(choice_R), device=choice_R.device)
        red = choice_R == RED_SYMBOL
        opens = (choice_R >= 1) & (choice_R <= folded.model.L)
        mean = self.total_RDA[rows, depth_R] / self.many_RD[rows, depth_R].clamp(min=1)[:, None]
        assert folded.node_PA is not None and folded.children_AA is not None and folded.stack_S4H is not None
        node = torch.tanh(folded.node_PA[parent_R] + functional.linear(mean, folded.children_AA))
        vector = _of(choice_R, folded.S, folded.embed_SA, words.vector_BWA)
        gates = _of(choice_R, folded.S, folded.stack_S4H, words.stack_BW4H)
        vector = torch.where(red[:, None], node, vector)
        gates = torch.where(red[:, None], functional.linear(node, folded.stack_in, folded.stack_bias), gates)
        h = torch.where(red[:, None], self.below_h_RDH[rows, depth_R], self.h_RH)
        c = torch.where(red[:, None], self.below_c_RDH[rows, depth_R], self.c_RH)
        # Below a node that opens lies what was the top; elsewhere the same goes to a place nobody reads.
        at = torch.where(opens, depth_R + 1, self.many_RD.size(1) - 1)
        self.below_h_RDH[rows, at], self.below_c_RDH[rows, at] = self.h_RH, self.c_RH
        self.total_RDA[rows, at], self.many_RD[rows, at] = 0.0, 0.0
        self.h_RH, self.c_RH = _lstm(gates + functional.linear(h, folded.stack_hh), c)
        # A word or a closed node is one more child of the node that is open afterwards.
        to = torch.where(red, (depth_R - 1).clamp(min=0), depth_R)
        self.total_RDA[rows, to] += vector * ~opens[:, None]
        self.many_RD[rows, to] += ~opens


class Search:
    """A model made ready to parse; make it anew when its weights have changed."""

    def __init__(self, model: Model, vocab: Vocab) -> None:
        self.model, self.vocab = model, vocab
        self.look_every = 1 if model.embed.weight.device.type == "cpu" else LOOK_EVERY
        with torch.inference_mode():
            self.folded = Folded(model)

    @torch.inference_mode()
    def parse(self, utterances: Sequence[list[str]], beam: int = 1) -> list[Parse]:
        """The best trees of utterances none of which is empty.

        Args:
            utterances: lists of words.
            beam: how many trees grow for each; 1 takes the best action at every step.
        """
        return [
            ranked(words, found, self.vocab)
            for words, found in zip(utterances, self._run(utterances, beam), strict=True)
        ]

    def _run(self, utterances: Sequence[list[str]], beam: int) -> list[list[tuple[float, list[int]]]]:
        model, folded, vocab = self.model, self.folded, self.vocab
        device = folded.bias_F.device
        memory = model.encode(make_input(utterances, vocab).to(device))
        each = torch.arange(len(utterances), device=device).repeat_interleave(beam)
        words = folded.words(memory)
        words = words.keep(each) if beam > 1 else words
        budget_R = max_actions(words.length_B).clamp(min=model.legal.smallest)
        legal = LegalState(model.legal, budget_R, vocab.max_open)
        steps = int(budget_R.max())
        h = c = None
        if self.model.config.history:
            h0, c0 = (x.index_select(0, each) for x in model.start(model.history_start, memory))
            assert folded.history_S4H is not None and folded.recur_XH is not None
            first = functional.linear(h0, folded.recur_XH[: 4 * folded.H]) + folded.history_S4H[folded.S]
            h, c = _lstm(first, c0)
        stack = None
        if self.model.config.stack:
            start = tuple(x.index_select(0, each) for x in model.start(model.stack_start, memory))
            stack = _Stack(folded, (start[0], start[1]), vocab.max_open)
        sibling_RD = torch.zeros(len(each), vocab.max_open + 2, dtype=torch.long, device=device)
        front_R = torch.zeros(len(each), dtype=torch.long, device=device)
        # All but the first row of an utterance start without a chance: they would be copies.
        score_R = torch.where(torch.arange(len(each), device=device) % beam == 0, 0.0, NEVER)
        taken_RT = torch.full((len(each), steps), -1, dtype=torch.long, device=device)
        live = list(range(len(utterances)))
        found: list[list[tuple[float, list[int]]]] = [[] for _ in utterances]

        for step in range(steps):
            rows = torch.arange(len(front_R), device=device)
            labels, word, red = legal.mask()
            done = legal.done_B
            parent_R, depth_R = legal.parent_B(), legal.depth_B
            recur = None if h is None or folded.recur_XH is None else functional.linear(h, folded.recur_XH)
            sums = folded.features(
                words,
                None if recur is None else recur[:, 4 * folded.H :],
                None if stack is None else stack.h_RH,
                parent_R,
                sibling_RD[rows, depth_R],
                front_R,
            )
            scores, kinds = folded.scores(words, sums, front_R)
            # A finished row chooses RED for ever, at no cost.
            logp = model.normalise(scores, kinds, (labels, word, red | done))
            options = merged(model, logp, words)
            if beam == 1:
                gain_R, choice_R = options.max(-1)
                score_R = score_R + gain_R * ~done
            else:
                options = torch.where(done[:, None] & (options > NEVER / 2), 0.0, options)
                total = (score_R[:, None] + options).view(-1, beam * options.size(1))
                best = total.topk(beam, -1)
                origin = torch.div(best.indices, options.size(1), rounding_mode="floor")
                choice_R = (best.indices % options.size(1)).flatten()
                score_R = best.values.flatten()
                # Rows of one utterance share its words, so only what has grown changes places.
                moved = (origin + torch.arange(len(origin), device=device)[:, None] * beam).flatten()
                legal.keep(moved)
                sibling_RD, front_R, taken_RT = (x.index_select(0, moved) for x in (sibling_RD, front_R, taken_RT))
                recur, c = (None if x is None else x.index_select(0, moved) for x in (recur, c))
                if stack is not None:
                    stack.keep(moved)
                done, parent_R, depth_R = legal.done_B, legal.parent_B(), legal.depth_B
            taken_RT[:, step] = torch.where(done, -1, choice_R)
            legal.take(choice_R)
            copied = choice_R >= folded.S
            if recur is not None and c is not None and folded.history_S4H is not None:
                gates = _of(choice_R, folded.S, folded.history_S4H, words.history_BW4H)
                h, c = _lstm(recur[:, : 4 * folded.H] + gates, c)
            if stack is not None:
                stack.push(words, choice_R, parent_R, depth_R)
            # After NT the new node has no child; after TER or RED the open one has this one.
            opens = (choice_R >= 1) & (choice_R <= model.L)
            last = torch.where(choice_R == RED_SYMBOL, parent_R + 1, torch.where(opens, 0, model.S))
            sibling_RD[rows, legal.depth_B] = last.clamp(max=model.S)
            front_R = torch.where(copied & ~done, choice_R - model.S + 1, front_R)
            if (step + 1) % self.look_every and step + 1 < steps:
                continue
            unfinished = legal.look()
            if unfinished and unfinished > SHRINK * len(front_R):
                continue
            whole = legal.done_B.view(-1, beam).all(-1)
            staying = torch.nonzero(~whole)[:, 0]
            if unfinished and len(staying) == len(live):
                continue
            ended = whole.tolist()
            going = [utterance for utterance, over in zip(live, ended, strict=True) if not over]
            leaving = torch.nonzero(whole)[:, 0]
            totals = score_R.view(-1, beam).index_select(0, leaving).tolist()
            taken = taken_RT.view(-1, beam, steps)[..., : step + 1].index_select(0, leaving).tolist()
            gone = [utterance for utterance, over in zip(live, ended, strict=True) if over]
            for utterance, *trees in zip(gone, totals, taken, strict=True):
                found[utterance] = [pair for pair in zip(*trees, strict=True) if pair[0] > NEVER / 2]
            live = going
            if not live:
                break
            stay = (staying[:, None] * beam + torch.arange(beam, device=device)).flatten()
            words = words.keep(stay)
            legal.keep(stay)
            sibling_RD, front_R, taken_RT, score_R = (
                x.index_select(0, stay) for x in (sibling_RD, front_R, taken_RT, score_R)
            )
            h, c = (None if x is None else x.index_select(0, stay) for x in (h, c))
            if stack is not None:
                stack.keep(stay)
        return found


def ranked(words: list[str], found: Sequence[tuple[float, list[int]]], vocab: Vocab) -> Parse:
    """The best of what a beam found (score and choices of each), and the others with it, each tree once.

    Actions that copy the same word from other positions make the same tree. The likeliest of them stands for it, with
    its own score: that is what greedy search tells too, and what a confidence is fitted on.
    """
    best, *rest = (
        parse_of(words, choices, score, vocab) for score, choices in sorted(found, key=lambda pair: -pair[0])
    )
    seen, others = [best.tree], []
    for parse in rest:
        if parse.tree not in seen:
            seen.append(parse.tree)
            others.append(parse)
    return replace(best, others=others) if others else best


def merged(model: Model, logp_RX: Tensor, words: Words) -> Tensor:
    """[R, S + W]: with `marginal`, all ways to write one word as one option, at the likeliest position."""
    if not (model.config.marginal and model.config.copy):
        return logp_RX
    symbols, copies = logp_RX[:, : model.S], logp_RX[:, model.S :]
    same_RWW = (words.surface_BW[:, :, None] == words.surface_BW[:, None]) & words.real_BW[:, None]
    raw_RWW = copies[:, None].expand_as(same_RWW).masked_fill(~same_RWW, NEVER)
    lexical = words.lexical_BW.clamp(min=0)
    known = words.lexical_BW >= 0
    together = torch.logaddexp(raw_RWW.logsumexp(-1), symbols.gather(1, lexical).masked_fill(~known, NEVER))
    likeliest = raw_RWW.argmax(-1) == torch.arange(copies.size(1), device=copies.device)
    together = together.masked_fill(~(likeliest & words.real_BW), NEVER)
    # The lexicon's own way has gone into the copy; where no copy may come, it has not been allowed either.
    gone = torch.zeros_like(symbols, dtype=torch.bool).scatter_(1, lexical, known)
    gone[:, RED_SYMBOL] = False
    return torch.cat([symbols.masked_fill(gone, NEVER), together], -1)


def greedy(model: Model, vocab: Vocab, utterances: Sequence[list[str]]) -> list[Parse]:
    """The best action at every step, for utterances none of which is empty."""
    return Search(model, vocab).parse(utterances)


def parse_of(words: list[str], choices: Sequence[int], score: float, vocab: Vocab) -> Parse:
    """The parse that a sequence of symbols and positions (`S` and above) stands for; -1 ends it."""
    positions: list[int] = []
    symbols, labels = vocab.symbols, vocab.labels
    size = len(labels)
    names: list[str] = []
    outer: list[list[Tree | Leaf]] = []
    children: list[Tree | Leaf] = []
    for choice in choices:
        if choice >= symbols:
            children.append(Leaf(words[choice - symbols]))
            positions.append(choice - symbols)
        elif choice == RED_SYMBOL:
            node = Tree(names.pop(), children)
            children = outer.pop()
            children.append(node)
        elif choice > size:
            children.append(Leaf(vocab.symbol_name(choice)))
            positions.append(GENERATED)
        elif choice > 0:
            names.append(labels[choice - 1])
            outer.append(children)
            children = []
        else:
            break
    (root,) = children
    assert isinstance(root, Tree) and not outer
    return Parse(words, root, positions, score)


def _of(choice_R: Tensor, symbols: int, table_SX: Tensor, words_BWX: Tensor | None) -> Tensor:
    """[R, X]: the row of a table for a symbol, or of the utterance's own table for a position."""
    chosen = functional.embedding(choice_R.clamp(max=symbols - 1), table_SX)
    if words_BWX is None:
        return chosen
    rows, width = words_BWX.shape[:2]
    at = torch.arange(rows, device=choice_R.device) * width + (choice_R - symbols).clamp(min=0)
    return torch.where((choice_R >= symbols)[:, None], functional.embedding(at, words_BWX.flatten(0, 1)), chosen)


def _lstm(gates_R4H: Tensor, c_RH: Tensor) -> tuple[Tensor, Tensor]:
    i, f, g, o = gates_R4H.chunk(4, -1)
    c_RH = torch.sigmoid(f) * c_RH + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c_RH), c_RH
