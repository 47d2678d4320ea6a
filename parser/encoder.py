"""Words and characters -> one state per word.

B utterances   W words (padded)   U distinct words   C characters   X word input   E encoder state
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from parser.batch import Input
from parser.config import ModelConfig
from parser.vocab import PAD, UNK, Vocab


class Characters(nn.Module):
    """A vector for a word's spelling: the last state of an LSTM, or the maxima of a convolution."""

    def __init__(self, size: int, config: ModelConfig) -> None:
        super().__init__()
        self.embed = nn.Embedding(size, config.char_dim, padding_idx=PAD)
        self.kind = config.chars
        if self.kind == "lstm":
            self.lstm = nn.LSTM(config.char_dim, config.char_hidden, batch_first=True)
        else:
            self.conv = nn.Conv1d(config.char_dim, config.char_hidden, 3, padding=1)

    def forward(self, chars_UC: Tensor) -> Tensor:
        """[U, char_hidden]"""
        x = self.embed(chars_UC)
        if self.kind == "lstm":
            states, _ = self.lstm(x)
            last = (chars_UC != PAD).sum(-1).clamp(min=1) - 1
            return states[torch.arange(len(last), device=last.device), last]
        y = self.conv(x.transpose(1, 2)).masked_fill((chars_UC == PAD)[:, None], -1e4)
        return y.amax(-1)


class Encoder(nn.Module):
    """Embeddings, characters, and a BiLSTM as two LSTMs over right-padded rows.

    The backward one reads each row reversed within its own length, so that padding changes nothing:
    a row has the same states in any batch, and both run in the fused kernel.
    """

    def __init__(self, vocab: Vocab, config: ModelConfig) -> None:
        super().__init__()
        self.embed = nn.Embedding(len(vocab.words), config.word_dim, padding_idx=PAD)
        nn.init.normal_(self.embed.weight, std=config.word_init)
        self.characters = Characters(len(vocab.chars), config) if config.char_hidden else None
        width, half = config.word_dim + config.char_hidden, config.encoder_hidden // 2
        widths = [width] + [config.encoder_hidden] * (config.encoder_layers - 1)
        self.forwards = nn.ModuleList(nn.LSTM(w, half, batch_first=True) for w in widths)
        self.backwards = nn.ModuleList(nn.LSTM(w, half, batch_first=True) for w in widths)
        self.dropout = nn.Dropout(config.dropout)
        self.register_buffer("single", torch.tensor(vocab.singles), persistent=False)
        self.single: Tensor

    def forward(self, inputs: Input, unk: float = 0.0) -> tuple[Tensor, Tensor]:
        """(states [B, W, E], final states of both directions [B, E]).

        Args:
            inputs: the utterances.
            unk: chance that a word seen once in training is read as unknown.
        """
        word_BW = inputs.word_BW
        if unk:
            drop = self.single[word_BW] & (torch.rand(word_BW.shape, device=word_BW.device) < unk)
            word_BW = word_BW.masked_fill(drop, UNK)
        x = self.embed(word_BW)
        if self.characters is not None:
            x = torch.cat([x, self.characters(inputs.chars_UC)[inputs.which_BW]], -1)
        place = torch.arange(word_BW.size(1), device=word_BW.device)[None]
        length = inputs.length_B[:, None]
        mirror = torch.where(place < length, length - 1 - place, place)
        last = inputs.length_B - 1
        rows = torch.arange(len(last), device=last.device)
        for ahead, back in zip(self.forwards, self.backwards, strict=True):
            x = self.dropout(x)
            right, _ = ahead(x)
            left, _ = back(_take(x, mirror))
            final = torch.cat([right[rows, last], left[rows, last]], -1)
            x = torch.cat([right, _take(left, mirror)], -1)
        return self.dropout(x), final


def _take(states_BWX: Tensor, place_BW: Tensor) -> Tensor:
    return states_BWX.gather(1, place_BW[..., None].expand(-1, -1, states_BWX.size(-1)))
