"""A small pretrained transformer of the BERT family as input, read from a local folder: its states beside our words.

The folder holds `config.json`, `vocab.txt` (one word piece a line) and `model.safetensors`, as all-MiniLM-L6-v2 comes.
Nothing is downloaded. A word's vector is the last layer's state at its first piece. Trained models hold these weights
themselves and do not need the folder.

    B utterances   P pieces   W words   D width   H heads
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from parser.config import ConfigError

UNKNOWN, BEGIN, END = "[UNK]", "[CLS]", "[SEP]"
MOST_PIECES = 512
MOST_KEPT = 1 << 30
"""Bytes of states that training on a CPU holds where the transformer is frozen: of 60,000 utterances of nine words,
384 wide."""
_FIELDS = {
    "width": "hidden_size",
    "heads": "num_attention_heads",
    "layers": "num_hidden_layers",
    "inner": "intermediate_size",
    "places": "max_position_embeddings",
    "pieces": "vocab_size",
}


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes of a transformer."""

    width: int
    heads: int
    layers: int
    inner: int
    places: int
    pieces: int
    epsilon: float = 1e-12

    @classmethod
    def read(cls, folder: Path) -> Shape:
        """The sizes that a folder's `config.json` gives.

        Raises:
            ConfigError: the folder is not a BERT model's.
        """
        try:
            data = json.loads((folder / "config.json").read_text("utf-8"))
            if data.get("model_type") != "bert" or data.get("hidden_act") != "gelu":
                raise ConfigError(f"{folder}: only models of type `bert` with `gelu` can be read")
            shape = cls(**{mine: int(data[theirs]) for mine, theirs in _FIELDS.items()}, epsilon=data["layer_norm_eps"])
            tokenizer = folder / "tokenizer_config.json"
            if tokenizer.exists() and json.loads(tokenizer.read_text("utf-8")).get("do_lower_case") is False:
                raise ConfigError(f"{folder}: the model keeps capitals; only those of lower case can be read")
            if shape.places < MOST_PIECES:
                raise ConfigError(f"{folder}: the model has {shape.places} places; {MOST_PIECES} are needed")
            return shape
        except (OSError, ValueError, KeyError) as error:
            raise ConfigError(f"{folder} is not the folder of a pretrained model: {error}") from error


def read_pieces(folder: Path) -> list[str]:
    """The word pieces of a folder, in the order of their numbers."""
    try:
        return (folder / "vocab.txt").read_text("utf-8").splitlines()
    except OSError as error:
        raise ConfigError(f"{folder} is not the folder of a pretrained model: {error}") from error


class Pieces:
    """WordPiece (Wu et al. 2016) over words that are split already: lower case, no accents, longest piece first."""

    def __init__(self, pieces: Sequence[str]) -> None:
        self.number = {piece: i for i, piece in enumerate(pieces)}
        missing = [name for name in (UNKNOWN, BEGIN, END) if name not in self.number]
        if missing:
            raise ConfigError(f"the pretrained model's vocab.txt lacks {', '.join(missing)}")
        self.begin, self.end, self.unknown = (self.number[name] for name in (BEGIN, END, UNKNOWN))

    def of(self, word: str) -> list[int]:
        """The numbers of a word's pieces; at least one."""
        found: list[int] = []
        for part in _parts(word):
            start, mine = 0, []
            while start < len(part):
                end = len(part)
                while end > start and ("##" * (start > 0) + part[start:end]) not in self.number:
                    end -= 1
                if end == start:
                    mine = [self.unknown]
                    break
                mine.append(self.number["##" * (start > 0) + part[start:end]])
                start = end
            found += mine
        return found or [self.unknown]


def _parts(word: str) -> list[str]:
    """A word in lower case without accents, its punctuation apart."""
    plain = "".join(c for c in unicodedata.normalize("NFD", word.lower()) if unicodedata.category(c) != "Mn")
    parts, fresh = [], True
    for char in plain:
        alone = unicodedata.category(char)[0] in "PS" and not (char.isalnum())
        if alone or fresh:
            parts.append(char)
        else:
            parts[-1] += char
        fresh = alone
    return parts


class Transformer(nn.Module):
    """BERT's encoder (Devlin et al. 2019), without its pooler; parameter names are those of its files."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.words = nn.Embedding(shape.pieces, shape.width)
        self.places = nn.Embedding(shape.places, shape.width)
        self.kinds = nn.Embedding(2, shape.width)
        self.norm = nn.LayerNorm(shape.width, shape.epsilon)
        self.layers = nn.ModuleList(_Layer(shape) for _ in range(shape.layers))
        self.kept = Kept()

    def read(self, piece_BP: Tensor, length_B: Tensor) -> Tensor:
        """`forward`; on a CPU, in training without gradients, so where it is frozen, each utterance is read once."""
        frozen = not self.words.weight.requires_grad and piece_BP.device.type == "cpu"
        if self.training and frozen and not torch.compiler.is_compiling():
            return self.kept(self, piece_BP, length_B)
        states: Tensor = self(piece_BP, length_B)
        return states

    def forward(self, piece_BP: Tensor, length_B: Tensor) -> Tensor:
        """[B, P, D] states of the last layer.

        Args:
            piece_BP: piece numbers with begin and end, anything after the end.
            length_B: pieces of each utterance, begin and end included.
        """
        place_P = torch.arange(piece_BP.size(1), device=piece_BP.device)
        x = self.norm(self.words(piece_BP) + self.places(place_P) + self.kinds.weight[0])
        seen = (place_P < length_B[:, None])[:, None, None]  # [B, 1, 1, P]
        for layer in self.layers:
            x = layer(x, seen)
        return x

    def load(self, folder: Path) -> None:
        """Take the weights of a folder's `model.safetensors`.

        Raises:
            ConfigError: the file is missing, or holds other weights.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            found = load_file(folder / "model.safetensors")
        except (OSError, SafetensorError) as error:
            raise ConfigError(f"cannot read {folder / 'model.safetensors'}: {error}") from error
        found = {name.removeprefix("bert."): weight for name, weight in found.items()}
        names = {
            "words.weight": "embeddings.word_embeddings.weight",
            "places.weight": "embeddings.position_embeddings.weight",
            "kinds.weight": "embeddings.token_type_embeddings.weight",
            "norm.weight": "embeddings.LayerNorm.weight",
            "norm.bias": "embeddings.LayerNorm.bias",
        }
        parts = {
            "query": "attention.self.query",
            "key": "attention.self.key",
            "value": "attention.self.value",
            "out": "attention.output.dense",
            "norm_1": "attention.output.LayerNorm",
            "up": "intermediate.dense",
            "down": "output.dense",
            "norm_2": "output.LayerNorm",
        }
        for i in range(self.shape.layers):
            for mine, theirs in parts.items():
                for kind in ("weight", "bias"):
                    names[f"layers.{i}.{mine}.{kind}"] = f"encoder.layer.{i}.{theirs}.{kind}"
        try:
            self.load_state_dict({mine: found[theirs].float() for mine, theirs in names.items()})
        except (KeyError, RuntimeError) as error:
            raise ConfigError(f"{folder / 'model.safetensors'} does not fit its config.json: {error}") from error


class Kept:
    """States of utterances that a frozen transformer has read, up to a size; what came later is read again each time.

    The last bits of a state follow from the batch in which it was read first, so a run that was resumed has the losses
    of one that was not stopped up to rounding.

    Args:
        most: bytes.
    """

    def __init__(self, most: int = MOST_KEPT) -> None:
        self.most, self.size = most, 0
        self.states: dict[bytes, Tensor] = {}

    def __call__(self, transformer: Transformer, piece_BP: Tensor, length_B: Tensor) -> Tensor:
        """[B, P, D], zero beyond an utterance's end; for the arguments see `Transformer.forward`."""
        rows, lengths = piece_BP.cpu().numpy(), length_B.tolist()
        keys = [row[:length].tobytes() for row, length in zip(rows, lengths, strict=True)]
        here = {key: self.states[key] for key in keys if key in self.states}
        new = list({key: at for at, key in enumerate(keys) if key not in here}.values())
        if new:
            longest = max(lengths[at] for at in new)
            with torch.no_grad():
                read = transformer(piece_BP[new, :longest], length_B[new])
            for at, states in zip(new, read, strict=True):
                here[keys[at]] = states = states[: lengths[at]].clone()
                if self.size + states.nbytes <= self.most:
                    self.states[keys[at]] = states
                    self.size += states.nbytes
        return nn.utils.rnn.pad_sequence([here[key] for key in keys], batch_first=True)


class _Layer(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads, width = shape.heads, shape.width
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.up, self.down = nn.Linear(width, shape.inner), nn.Linear(shape.inner, width)
        self.norm_1, self.norm_2 = (nn.LayerNorm(width, shape.epsilon) for _ in range(2))

    def forward(self, x_BPD: Tensor, seen: Tensor) -> Tensor:
        q, k, v = (part(x_BPD).unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in self._projections())
        mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=seen)
        x = self.norm_1(x_BPD + self.out(mixed.transpose(1, 2).flatten(2)))
        normed: Tensor = self.norm_2(x + self.down(functional.gelu(self.up(x))))
        return normed

    def _projections(self) -> tuple[Any, Any, Any]:
        return self.query, self.key, self.value


def lined_up(utterances: Sequence[Sequence[list[int]]], pieces: Pieces) -> tuple[Tensor, Tensor, Tensor]:
    """(piece_BP, length_B, first_BW) of utterances whose words are given as piece numbers.

    Words that would not fit into MOST_PIECES are read as their first piece alone; those beyond it as the last place.
    """
    rows, firsts = [], []
    for words in utterances:
        row, first = [pieces.begin], []
        short = 2 + sum(map(len, words)) > MOST_PIECES
        for word in words:
            first.append(min(len(row), MOST_PIECES - 1))
            row += word[:1] if short else word
        rows.append([*row[: MOST_PIECES - 1], pieces.end])
        firsts.append(first)
    length = torch.tensor([len(row) for row in rows])
    piece_BP = nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True)
    first_BW = nn.utils.rnn.pad_sequence([torch.tensor(first) for first in firsts], batch_first=True)
    return piece_BP, length, first_BW
