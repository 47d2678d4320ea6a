"""One parse, action by action: how likely each was, copy against lexicon, and what was attended to.

The parse is that of the greedy search; its actions then go through `naive`, the definition, which shows its sums.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from grammar.actions import Kind, oracle
from grammar.ontology import Ontology
from parser.decode import Parse
from parser.model import Model
from parser.naive import NaiveParse
from parser.vocab import Vocab


@dataclass(frozen=True, slots=True)
class Moment:
    """One action of a parse.

    Attributes:
        action: as in `NT(Label)`, `TER(word)`, `RED`.
        share: its probability, all ways to write a word together.
        copied, generated: the probabilities of copying any word, and of any word of the lexicon.
        attention: for each word of the utterance its weight; empty without attention.
        rivals: the likeliest other actions, with their probabilities.
    """

    action: str
    share: float
    copied: float
    generated: float
    attention: list[float]
    rivals: list[tuple[str, float]]


@torch.inference_mode()
def inspect(model: Model, vocab: Vocab, ontology: Ontology, parse: Parse, rivals: int = 2) -> list[Moment]:
    """The moments of a parse.

    Args:
        model, vocab, ontology: of the model directory; the model in evaluation mode.
        parse: what to look into.
        rivals: how many other actions to name.
    """
    naive = NaiveParse(model, vocab, ontology, parse.words)
    moments = []
    for action in oracle(parse.tree, parse.positions):
        naive.memory.trace = []
        share = naive.logp().exp()
        ways = set(naive.ways(action))
        order = [i for i in share.argsort(descending=True).tolist() if i not in ways]
        moments.append(
            Moment(
                action=f"{action.kind.name}({action.symbol})" if action.kind is not Kind.RED else "RED",
                share=float(share[sorted(ways)].sum()),
                copied=float(share[vocab.symbols :].sum()),
                generated=float(share[1 + len(vocab.labels) : vocab.symbols].sum()),
                attention=[round(float(w), 4) for w in naive.memory.trace[0].flatten()] if naive.memory.trace else [],
                rivals=[(_name(i, parse.words, vocab), float(share[i])) for i in order[:rivals]],
            )
        )
        naive.take(action)
    return moments


def _name(place: int, words: list[str], vocab: Vocab) -> str:
    if place >= vocab.symbols:
        return f"TER({words[place - vocab.symbols]}), copied"
    if place == 0:
        return "RED"
    kind = "NT" if place <= len(vocab.labels) else "TER"
    return f"{kind}({vocab.symbol_name(place)})"


def as_dicts(moments: list[Moment]) -> list[dict[str, Any]]:
    """For JSON."""
    return [
        {
            "action": m.action,
            "probability": round(m.share, 6),
            "copied": round(m.copied, 6),
            "generated": round(m.generated, 6),
            "attention": m.attention,
            "rivals": [[name, round(share, 6)] for name, share in m.rivals],
        }
        for m in moments
    ]


def as_text(moments: list[Moment], words: list[str]) -> str:
    """A line an action: probability, copy and lexicon, the two words most attended to, the likeliest rival."""
    width = max(len(m.action) for m in moments)
    lines = [f"{'action':{width}}  prob.   copy  lexicon  attention"]
    for m in moments:
        top = sorted(range(len(m.attention)), key=lambda i: -m.attention[i])[:2]
        seen = ", ".join(f"{words[i]} {m.attention[i]:.2f}" for i in top)
        rival = f"   else {m.rivals[0][0]} {m.rivals[0][1]:.2f}" if m.rivals and m.rivals[0][1] >= 0.01 else ""
        lines.append(f"{m.action:{width}}  {m.share:5.2f}  {m.copied:5.2f}    {m.generated:5.2f}  {seen}{rival}")
    return "\n".join(lines)
