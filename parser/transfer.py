"""Fine-tuning: a new model takes over what an older one has learned, by name, and learns the rest anew.

Input words, characters, labels, lexicon words and domains are matched by name; layers between them must have
the same widths. What only the new model has a name for (labels of a new target, say) keeps its fresh weights.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from parser.checkpoint import CheckpointError
from parser.config import TrainConfig
from parser.model import Model
from parser.vocab import Vocab

DECODER = ("copied", "history", "history_start", "stack", "stack_start", "compose", "query", "key", "energy", "hidden")


@torch.no_grad()
def take_over(model: Model, vocab: Vocab, older: Model, older_vocab: Vocab) -> None:
    """Copy the weights of `older` into `model`, row by row where rows have names.

    Raises:
        CheckpointError: a layer differs in its width or is missing; the message names the setting's section.
    """
    mine, theirs = model.state_dict(), older.state_dict()
    if (model.encoder.pool is None) != (older.encoder.pool is None):
        raise CheckpointError("the model to start from differs in `model.pooled`: give both the same")
    symbols, labels = _pairs(_symbols(vocab), _symbols(older_vocab)), _pairs(_labels(vocab), _labels(older_vocab))
    siblings = _pairs([*_symbols(vocab), "word"], [*_symbols(older_vocab), "word"])
    rows = {
        "encoder.embed.weight": _pairs(vocab.words, older_vocab.words),
        "encoder.characters.embed.weight": _pairs(vocab.chars, older_vocab.chars),
        "encoder.domain.weight": _pairs(vocab.domains, older_vocab.domains),
        "embed.weight": siblings,
        "sibling.weight": siblings,
        "parent.weight": labels,
        "symbols.weight": symbols,
        "symbols.bias": symbols,
    }
    for name, weight in mine.items():
        if name.startswith("domains."):
            continue  # each domain learns its own layer
        if name in rows:
            if name in theirs and theirs[name].shape[1:] == weight.shape[1:]:
                to, source = rows[name]
                weight[to] = theirs[name][source]
                continue
            if name == "encoder.domain.weight":
                continue
        found = theirs.get(name)
        if found is not None and name.startswith("encoder.") and name.endswith("0.weight_ih_l0"):
            # A domain's columns come last; without one on either side they are left out.
            width = min(found.size(1), weight.size(1), model.encoder.width)
            if older.encoder.width == model.encoder.width:
                weight[:, :width] = found[:, :width]
                continue
        if found is None or found.shape != weight.shape:
            raise CheckpointError(
                f"the model to start from differs in `{name}`: give both the same settings in [model], "
                "but for copy, domains and the lexicon"
            )
        weight.copy_(found)


def parts_of(model: Model, settings: TrainConfig) -> list[dict[str, Any]]:
    """Parameter groups with the `share` of the learning rate that each gets; a share of 0 freezes its part."""
    shares = {
        "pretrained": settings.pretrained_rate,
        "encoder": settings.encoder_rate,
        "decoder": settings.decoder_rate,
        "output": 1.0,
    }
    parts: dict[float, list[Tensor]] = {}
    for name, parameter in model.named_parameters():
        share = shares[_part(name)]
        parameter.requires_grad_(share > 0)
        if share > 0:
            parts.setdefault(share, []).append(parameter)
    return [{"params": parameters, "lr": settings.lr, "share": share} for share, parameters in parts.items()]


def _part(name: str) -> str:
    if name.startswith("encoder.pretrained."):
        return "pretrained"
    first = name.partition(".")[0]
    return "encoder" if first == "encoder" else "decoder" if first in DECODER else "output"


def _labels(vocab: Vocab) -> list[str]:
    return [*vocab.labels, "no node is open"]


def _symbols(vocab: Vocab) -> list[str]:
    """A name for each symbol; labels and words are told apart."""
    return ["RED", *(f"NT {label}" for label in vocab.labels), *(f"TER {word}" for word in vocab.lexicon)]


def _pairs(mine: list[str], theirs: list[str]) -> tuple[list[int], list[int]]:
    """Numbers of the names that both have, in either list."""
    number = {name: i for i, name in enumerate(theirs)}
    shared = [(i, number[name]) for i, name in enumerate(mine) if name in number]
    return [i for i, _ in shared], [j for _, j in shared]


def overlap(mine: Vocab, theirs: Vocab) -> float:
    """How near two domains are: the shares of one's labels and input words that the other has, added up."""

    def share(a: list[str], b: list[str]) -> float:
        return len(set(a) & set(b)) / max(1, len(a))

    return share(mine.labels, theirs.labels) + share(mine.words[2:], theirs.words[2:])
