"""One network over many domains: what each domain has of its own, and the network of one domain alone.

D domains   O symbols with a layer of their own in every domain: the last O of S
B utterances   T actions   S symbols   H decoder state
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from parser.config import ModelConfig
from parser.vocab import RED_SYMBOL, Vocab

if TYPE_CHECKING:
    from parser.model import Model

FOREIGN = -1e4
"""Added to the scores of symbols that a domain does not have: no chance, but a better one than what is not legal."""


class Domains(nn.Module):
    """The output layers of a model that is given the domain: shared or one for each, and what each domain has."""

    def __init__(self, vocab: Vocab, config: ModelConfig, hidden: int) -> None:
        super().__init__()
        own = {"shared": 0, "ter": len(vocab.lexicon), "both": vocab.symbols}[config.domains]
        self.own, count = own, len(vocab.domains)
        bound = hidden**-0.5  # as in nn.Linear
        if own:
            self.weight_DOH = nn.Parameter(torch.empty(count, own, hidden).uniform_(-bound, bound))
            self.bias_DO = nn.Parameter(torch.empty(count, own).uniform_(-bound, bound))
        foreign_DS = torch.full((count, vocab.symbols), FOREIGN)
        for row, symbols in zip(foreign_DS, vocab.symbols_of, strict=True):
            row[[RED_SYMBOL, *symbols]] = 0.0
        self.register_buffer("foreign_DS", foreign_DS, persistent=False)
        self.foreign_DS: Tensor

    def forward(self, hidden_BTH: Tensor, shared: nn.Linear, domain_B: Tensor) -> Tensor:
        """[B, T, S] scores."""
        common = shared.out_features - self.own
        scores = functional.linear(hidden_BTH, shared.weight[:common], shared.bias[:common])
        if self.own:
            bias_BO, weight_BOH = (x.index_select(0, domain_B) for x in (self.bias_DO, self.weight_DOH))
            own = torch.baddbmm(bias_BO[:, None], hidden_BTH, weight_BOH.mT)
            scores = torch.cat([scores, own], -1)
        return scores + self.foreign_DS[domain_B][:, None]

    def layer(self, shared: nn.Linear, domain: int) -> tuple[Tensor, Tensor]:
        """(weight [S, H], bias [S]) of one domain."""
        common = shared.out_features - self.own
        weight, bias = shared.weight[:common], shared.bias[:common]
        if self.own:
            weight = torch.cat([weight, self.weight_DOH[domain]])
            bias = torch.cat([bias, self.bias_DO[domain]])
        return weight, bias + self.foreign_DS[domain]

    def average(self, shared: nn.Linear) -> tuple[Tensor, Tensor]:
        """(weight [S, H], bias [S]) of no domain in particular: the mean of those that hold a symbol."""
        common = shared.out_features - self.own
        weight, bias = shared.weight[:common], shared.bias[:common]
        if self.own:
            held_DO = (self.foreign_DS[:, common:] == 0).float()
            share_DO = held_DO / held_DO.sum(0).clamp(min=1)
            weight = torch.cat([weight, torch.einsum("do,doh->oh", share_DO, self.weight_DOH)])
            bias = torch.cat([bias, (share_DO * self.bias_DO).sum(0)])
        return weight, bias


@torch.no_grad()
def of_domain(model: Model, vocab: Vocab, domain: str) -> Model:
    """The model of one domain, without domains: what they add is folded into biases, so parsing costs no more.

    Args:
        model, vocab: of a model that is given the domain; others are returned as they are.
        domain: its name.

    Raises:
        KeyError: the model does not know it.
    """
    if model.domains is None or model.encoder.domain is None:
        return model
    number = vocab.domain(domain)
    return _folded(model, vocab, model.domains.layer(model.symbols, number), model.encoder.domain.weight[number])


@torch.no_grad()
def on_average(model: Model, vocab: Vocab) -> Model:
    """The model without domains that is the mean of its domains, to start others from; see `of_domain`."""
    if model.domains is None or model.encoder.domain is None:
        return model
    return _folded(model, vocab, model.domains.average(model.symbols), model.encoder.domain.weight.mean(0))


def _folded(model: Model, vocab: Vocab, output: tuple[Tensor, Tensor], vector: Tensor) -> Model:
    """A model without domains, with this output layer and this vector of a domain for every word."""
    plain = type(model)(
        dataclasses.replace(vocab, domains=[], symbols_of=[]),
        model.legal,
        dataclasses.replace(model.config, domains="none"),
    ).to(model.embed.weight.device)
    weights = {k: v for k, v in model.state_dict().items() if not k.startswith(("domains.", "encoder.domain."))}
    weights["symbols.weight"], weights["symbols.bias"] = output
    for side in ("forwards", "backwards"):
        name = f"encoder.{side}.0."
        words, domains = weights[f"{name}weight_ih_l0"].split([plain.encoder.width, len(vector)], 1)
        weights[f"{name}weight_ih_l0"] = words
        weights[f"{name}bias_ih_l0"] = weights[f"{name}bias_ih_l0"] + domains @ vector
    plain.load_state_dict(weights)
    return plain.train(model.training)
