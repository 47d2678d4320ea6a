"""Fine-tuning: a new model takes over what an older one has learned, by name, and learns the rest anew.

Input words, characters, labels, lexicon words and domains are matched by name; layers between them must have
the same widths. What only the new model has a name for (labels of a new target, say) keeps its fresh weights.
Of an older model over many domains each domain takes its own output layer, a new domain their mean.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor

from parser.checkpoint import CheckpointError
from parser.config import TrainConfig
from parser.domains import on_average
from parser.encoder import Encoder
from parser.model import Model
from parser.vocab import Vocab

DECODER = ("copied", "history", "history_start", "stack", "stack_start", "compose", "query", "key", "energy", "hidden")
OPTIONAL = ("domains.", "encoder.domain.", "pointer.")
"""Layers that one of two models may lack."""
Rows = tuple[list[int], list[int]]
"""Numbers of what two models both have a name for, in the one and in the other."""


@torch.no_grad()
def take_over(model: Model, vocab: Vocab, older: Model, older_vocab: Vocab) -> None:
    """Copy the weights of `older` into `model`, row by row where rows have names.

    Raises:
        CheckpointError: a layer differs in its width or is missing; the message names the settings.
    """
    symbols, labels = _pairs(_symbols(vocab), _symbols(older_vocab)), _pairs(_labels(vocab), _labels(older_vocab))
    if model.domains is not None and model.domains.own:
        _own_layers(model, vocab, older, older_vocab, symbols)
    average = on_average(older, older_vocab)
    if model.encoder.domain is None or _widths(model.encoder)["domain"] != _widths(older.encoder)["domain"]:
        older, older_vocab = average, dataclasses.replace(older_vocab, domains=[], symbols_of=[])
    siblings = _pairs([*_symbols(vocab), "word"], [*_symbols(older_vocab), "word"])
    rows = {
        "encoder.embed.weight": _pairs(vocab.embedded, older_vocab.embedded),
        "encoder.static": _pairs(vocab.words, _with_vector(older, older_vocab)),
        "encoder.characters.embed.weight": _pairs(vocab.chars, older_vocab.chars),
        "encoder.domain.weight": _pairs(vocab.domains, older_vocab.domains),
        "embed.weight": siblings,
        "sibling.weight": siblings,
        "parent.weight": labels,
        "symbols.weight": symbols,
        "symbols.bias": symbols,
    }
    theirs = older.state_dict() | {name: average.state_dict()[name] for name in ("symbols.weight", "symbols.bias")}
    mine = model.state_dict()
    for name in theirs.keys() - mine.keys():
        if not name.startswith(OPTIONAL):
            raise _differs(name, model, older)
    for name, weight in mine.items():
        found = theirs.get(name)
        if name.startswith("domains."):
            continue  # done above
        if found is None:
            if name.startswith((*OPTIONAL, "encoder.pretrained.", "encoder.static")):
                continue
            raise _differs(name, model, older)
        if name.startswith("encoder.") and name.endswith(".0.weight_ih_l0"):
            weight.copy_(_inputs(found, model.encoder, older.encoder, _differs(name, model, older)))
        elif name in rows and found.shape[1:] == weight.shape[1:]:
            to, source = rows[name]
            weight[to] = found[source]
        elif found.shape == weight.shape:
            weight.copy_(found)
        else:
            raise _differs(name, model, older)


def _own_layers(model: Model, vocab: Vocab, older: Model, older_vocab: Vocab, symbols: Rows) -> None:
    """The output layer of each domain: that of the older model's domain where it holds the symbol, or else the mean."""
    assert model.domains is not None
    average, first = on_average(older, older_vocab).symbols, vocab.symbols - model.domains.own
    pairs = [(to - first, source) for to, source in zip(*symbols, strict=True) if to >= first]
    for number, domain in enumerate(vocab.domains):
        weight, bias = average.weight.clone(), average.bias.clone()
        if older.domains is not None and domain in older_vocab.domains:
            there = older_vocab.domain(domain)
            held = [0, *older_vocab.symbols_of[there]]
            own_weight, own_bias = older.domains.layer(older.symbols, there)
            weight[held], bias[held] = own_weight[held], own_bias[held]
        for to, source in pairs:
            model.domains.weight_DOH[number, to] = weight[source]
            model.domains.bias_DO[number, to] = bias[source]


def _widths(encoder: Encoder) -> dict[str, int]:
    """Columns of what the encoder's first layer reads of a word, in their order."""
    static = 0 if encoder.static is None else encoder.static.size(1)
    transformer = 0 if encoder.pretrained is None else encoder.pretrained.shape.width
    domain = 0 if encoder.domain is None else encoder.domain.embedding_dim
    words = encoder.width - static - transformer
    return {"words": words, "static": static, "transformer": transformer, "domain": domain}


def _inputs(found: Tensor, mine: Encoder, theirs: Encoder, error: CheckpointError) -> Tensor:
    """Input weights of the encoder's first layer; those of what the older model did not read are zero at first."""
    parts, widths = [], _widths(theirs)
    for (kind, width), part in zip(_widths(mine).items(), found.split(list(widths.values()), 1), strict=True):
        if widths[kind] not in (0, width) or (kind == "words" and not widths[kind]):
            raise error
        parts.append(part if widths[kind] else part.new_zeros(len(part), width))
    return torch.cat(parts, 1)


def _differs(name: str, model: Model, older: Model) -> CheckpointError:
    mine, theirs = dataclasses.asdict(model.config), dataclasses.asdict(older.config)
    pairs = [f"model.{key}={theirs[key]!r}, here {mine[key]!r}" for key in mine if mine[key] != theirs[key]]
    return CheckpointError(
        f"the model to start from differs in `{name}`: give both the same settings in [model], but for copy, domains, "
        f"the lexicon, static_dim and pretrained; it has "
        f"{'; '.join(pairs) or 'these settings, but was made by another version'}"
    )


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


def _pairs(mine: list[str], theirs: list[str]) -> Rows:
    """Numbers of the names that both have, in either list."""
    number = {name: i for i, name in enumerate(theirs)}
    shared = [(i, number[name]) for i, name in enumerate(mine) if name in number]
    return [i for i, _ in shared], [j for _, j in shared]


def _with_vector(model: Model, vocab: Vocab) -> list[str]:
    """The words, those without a static vector under a name that no word has."""
    static = model.encoder.static
    has = [] if static is None else static.any(1).tolist()
    return [word if given else "" for word, given in zip(vocab.words, has, strict=False)]


def overlap(mine: Vocab, theirs: Vocab) -> float:
    """How near two domains are: the shares of one's labels and input words that the other has, added up."""

    def share(a: list[str], b: list[str]) -> float:
        return len(set(a) & set(b)) / max(1, len(a))

    return share(mine.labels, theirs.labels) + share(mine.embedded[2:], theirs.embedded[2:])
