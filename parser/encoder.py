"""Words and characters -> one state per word.

B utterances   W words (padded)   U distinct words   C characters   P characters of all distinct words
X word input   E encoder state
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from parser.batch import Input
from parser.compiled import compiled, loops, plain
from parser.config import ModelConfig
from parser.dropout import Dropout
from parser.lookup import Mirrored, Part, look_up, rows_at, side_by_side
from parser.packed import Packing, run_both
from parser.pretrained import Shape, Transformer
from parser.recurrence import run
from parser.vocab import PAD, Vocab


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

    def forward(self, inputs: Input) -> Tensor:
        """[U, char_hidden]"""
        if self.kind == "lstm":
            states = run(self.lstm, self.embed(inputs.chars_UC))
            width = states.size(1)
            last = torch.arange(len(states), device=states.device) * width + inputs.letters_U - 1
            return look_up(states.flatten(0, 1), last)
        return self._convolution(inputs)

    def _convolution(self, inputs: Input) -> Tensor:
        """The convolution as sums of three rows of a table, what each character adds at each place.

        No product is made for the padding of short words, and none twice for the same character.
        """
        table_3CX = torch.einsum("cd,hdk->kch", self.embed.weight, self.conv.weight).float()
        bias: Any = self.conv.bias
        if compiled(table_3CX):
            maxima: Tensor = _Spelled.apply(table_3CX, inputs.chars_UC, inputs.letters_U)
            return maxima + bias
        line = functional.pad(inputs.chars_UC, (1, 1)).flatten()
        around = torch.arange(-1, 2, device=line.device)
        windows_P3 = line[inputs.letter_P[:, None] + around] + (around + 1) * table_3CX.size(1)
        if table_3CX.device.type == "cpu":
            sums_PX = functional.embedding_bag(windows_P3, table_3CX.flatten(0, 1), mode="sum")
        else:
            sums_PX = look_up(table_3CX.flatten(0, 1), windows_P3).sum(1)
        # Where several places share a maximum the library hands each of them all of a negative gradient (torch 2.13);
        # the loops hand it to the first.
        return torch.segment_reduce(sums_PX, "max", lengths=inputs.letters_U, unsafe=True) + bias


class _Spelled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, table_3CX: Tensor, chars_UC: Tensor, letters_U: Tensor) -> Tensor:
        ctx.shape, ctx.chars, ctx.letters = table_3CX.shape, plain(chars_UC), plain(letters_U)
        out_UX = table_3CX.new_empty(len(chars_UC), table_3CX.size(2))
        ctx.place_UX = np.empty(out_UX.shape, np.int32)
        loops().spell(plain(table_3CX), ctx.chars, ctx.letters, out_UX.numpy(), ctx.place_UX)
        return out_UX

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        by_table_3CX = torch.zeros(ctx.shape)
        loops().spell_back(by_table_3CX.numpy(), ctx.chars, ctx.letters, plain(gradients[0]), ctx.place_UX)
        return by_table_3CX, None, None


class Encoder(nn.Module):
    """Embeddings, characters, and a BiLSTM as two LSTMs over right-padded rows.

    The backward one reads each row reversed within its own length, so that padding changes nothing:
    a row has the same states in any batch, and both run in the fused kernel.
    """

    def __init__(self, vocab: Vocab, config: ModelConfig) -> None:
        super().__init__()
        self.embed = nn.Embedding(len(vocab.embedded), config.word_dim, padding_idx=PAD)
        nn.init.normal_(self.embed.weight, std=config.word_init)
        self.characters = Characters(len(vocab.chars), config) if config.char_hidden else None
        static = torch.zeros(len(vocab.words), config.static_dim) if config.static_dim else None
        self.register_buffer("static", static)
        self.static: Tensor | None
        width, half = config.word_dim + config.char_hidden + config.static_dim, config.encoder_hidden // 2
        shape: Any = vocab.transformer
        self.pretrained = Transformer(Shape(**shape)) if shape else None
        width += self.pretrained.shape.width if self.pretrained is not None else 0
        # The domain comes last, so that `domains.of_domain` can fold it into a bias.
        self.width = width
        self.domain = nn.Embedding(len(vocab.domains), config.domain_dim) if vocab.domains else None
        width += config.domain_dim if vocab.domains else 0
        widths = [width] + [config.encoder_hidden] * (config.encoder_layers - 1)
        self.forwards = nn.ModuleList(nn.LSTM(w, half, batch_first=True) for w in widths)
        self.backwards = nn.ModuleList(nn.LSTM(w, half, batch_first=True) for w in widths)
        self.pool = nn.Linear(config.encoder_hidden, 1, bias=False) if config.pooled else None
        self.dropout = Dropout(config.dropout)
        self.register_buffer("rare", torch.tensor(vocab.singles), persistent=False)
        self.register_buffer("unknown", torch.tensor([vocab.unknown(word) for word in vocab.words]), persistent=False)
        self.rare: Tensor
        self.unknown: Tensor

    def forward(self, inputs: Input, unk: float = 0.0) -> tuple[Tensor, Tensor]:
        """(states [B, W, E], what stands for all of them [B, E]: the last ones of both directions, or a weighted mean).

        Args:
            inputs: the utterances.
            unk: chance that a word that is rare in training is read as unknown.
        """
        word_BW = embedded_BW = inputs.word_BW
        if self.static is not None:
            embedded_BW = torch.where(word_BW < len(self.embed.weight), word_BW, self.unknown[word_BW])
        if unk:
            drop = self.rare[word_BW] & (torch.rand(word_BW.shape, device=word_BW.device) < unk)
            embedded_BW = torch.where(drop, self.unknown[word_BW], embedded_BW)
        packs = self.training and compiled(self.embed.weight)
        packing = Packing.of(inputs.length_B, word_BW.size(1)) if packs else None
        parts = self._words(inputs, embedded_BW, packing)
        if packing is None:
            x = side_by_side(parts, word_BW.shape, self.dropout.active)
            x, final = self._read_rows(x, inputs.length_B)
        else:
            x, final = self._read_line(parts, packing)
        if self.pool is not None:
            place, length = torch.arange(x.size(1), device=x.device)[None], inputs.length_B[:, None]
            energy_BW = self.pool(x)[..., 0].masked_fill(place >= length, -torch.inf)
            final = (energy_BW.softmax(-1)[:, None] @ x)[:, 0]
        return x, final

    def _words(self, inputs: Input, embedded_BW: Tensor, packing: Packing | None) -> list[Part]:
        """What is known of each word, at [B, W] places, or at [N] in one line; `embedded_BW` are rows of `embed`."""

        def lined(x_BW: Tensor) -> Tensor:
            return x_BW if packing is None else packing.pack(x_BW)

        parts = [Part(self.embed.weight, lined(embedded_BW))]
        if self.characters is not None:
            parts.append(Part(self.characters(inputs), lined(inputs.which_BW)))
        if self.static is not None:
            parts.append(Part(self.static, lined(inputs.word_BW)))
        if self.pretrained is not None:
            pieces_BPD = self.pretrained.read(inputs.piece_BP, inputs.pieces_B)
            row_B1 = torch.arange(len(embedded_BW), device=embedded_BW.device)[:, None] * pieces_BPD.size(1)
            parts.append(Part(pieces_BPD.flatten(0, 1), lined(inputs.first_BW + row_B1)))
        if self.domain is not None:
            parts.append(Part(self.domain.weight, lined(inputs.domain_B[:, None].expand_as(embedded_BW))))
        return parts

    def _read_rows(self, x: Tensor, length_B: Tensor) -> tuple[Tensor, Tensor]:
        """([B, W, E] states, [B, E] the last ones of both directions), from [B, W, X]."""
        place, length = torch.arange(x.size(1), device=x.device)[None], length_B[:, None]
        mirror_BW = torch.where(place < length, length - 1 - place, place)
        for layer, (ahead, back) in enumerate(zip(self.forwards, self.backwards, strict=True)):
            x = self.dropout(x) if layer else x
            right = run(ahead, x)
            left = run(back, Mirrored.apply(x, mirror_BW))
            left = Mirrored.apply(left, mirror_BW)
            # The backward direction ends at the first word.
            final = torch.cat([rows_at(right, length - 1)[:, 0], left[:, 0]], -1)
            x = torch.cat([right, left], -1)
        return self.dropout(x), final

    def _read_line(self, parts: Sequence[Part], packing: Packing) -> tuple[Tensor, Tensor]:
        """The same from words in one line, before dropout."""
        for ahead, back in zip(self.forwards, self.backwards, strict=True):
            x, last = run_both(ahead, back, parts, packing.sizes, self.dropout.active)
            parts = [Part(x)]
        padded = Part(x, packing.place_BW, gaps=True, once=True)
        states = side_by_side([padded], packing.place_BW.shape, self.dropout.active)
        return states, torch.empty_like(last).index_copy(0, packing.order_B, last)
