"""Static word vectors from a file: text as of GloVe and fastText, or binary as of word2vec.

    text     one word and its numbers a line, maybe below a line "words width"
    binary   a line "words width", then each word, a blank, its float32 numbers, maybe a line break

The file is read once, from the beginning; frequent words come first in such files, so the first ones are taken.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch

from parser.config import Config, ConfigError
from parser.model import Model
from parser.vocab import PLACES, Vocab

_HEAD = re.compile(rb"\s*(\d+) +(\d+)\s*")
_LONGEST = 1 << 20
SPREAD = 0.4
"""Standard deviation of the numbers of a static table; those of GloVe have 0.46 as they come."""


@dataclass(slots=True)
class Vectors:
    """Words and their vectors [words, width], in the order of the file."""

    words: list[str]
    table: np.ndarray


def read_vectors(config: Config) -> Vectors:
    """The vectors that the settings name.

    Raises:
        ConfigError: they cannot be read, or are not as wide as `model.static_dim`, or without it `model.word_dim`.
    """
    found = read(config.train.vectors, config.train.vectors_most, config.model.lowercase)
    # Some files have vectors for what has a place of its own here.
    words = [i for i, word in enumerate(found.words) if word not in PLACES]
    found = Vectors([found.words[i] for i in words], found.table[words])
    name = "static_dim" if config.model.static_dim else "word_dim"
    width = found.table.shape[1]
    if width != getattr(config.model, name):
        raise ConfigError(f"the vectors of {config.train.vectors} have {width} numbers; set model.{name}={width}")
    return found


@torch.no_grad()
def put_vectors(model: Model, vocab: Vocab, vectors: Vectors) -> None:
    """Fill the static table, or start word embeddings, from vectors.

    Embeddings start as wide as `model.word_init` makes fresh ones, a static table is as wide as `SPREAD`.
    """
    static, rows = model.encoder.static, [vocab.word(word) for word in vectors.words]
    weight, wish = (model.encoder.embed.weight, model.config.word_init) if static is None else (static, SPREAD)
    table = torch.from_numpy(vectors.table).to(weight.device)
    weight[rows] = table * (wish / table.std().clamp(min=1e-6))


def read(path: str | Path, most: int = 200_000, lowercase: bool = True) -> Vectors:
    """The first vectors of a file.

    Args:
        path: the file.
        most: at most so many words.
        lowercase: take words in lower case; of several spellings the first counts.

    Raises:
        ConfigError: the file cannot be read, or is neither form; names the line or the word.
    """
    path = Path(path)
    found: dict[str, np.ndarray] = {}
    try:
        for word, vector in _entries(path):
            found.setdefault(word.lower() if lowercase else word, vector)
            if len(found) >= most:
                break
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error}") from error
    if not found:
        raise ConfigError(f"{path}: there is no vector in it")
    return Vectors(list(found), np.stack(list(found.values())).astype(np.float32))


def _entries(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    with open(path, "rb") as file:
        first = file.readline(_LONGEST)
        head = _HEAD.fullmatch(first)
        if head is None:
            file.seek(0)
            yield from _text(path, file, 1)
            return
        width, start = int(head[2]), file.tell()
        second = file.readline(_LONGEST)
        file.seek(start)
        if _numbers(second, width):
            yield from _text(path, file, 2, width)
        else:
            yield from _binary(path, file, int(head[1]), width)


def _numbers(line: bytes, width: int) -> bool:
    """Whether a line ends with so many numbers written as text."""
    try:
        return np.array(line.decode("utf-8").rstrip().split(" ")[-width:], dtype=np.float32).size == width
    except ValueError:  # not UTF-8, or no numbers
        return False


def _text(path: Path, file: BinaryIO, number: int, width: int = 0) -> Iterator[tuple[str, np.ndarray]]:
    for at, line in enumerate(file, number):
        # Words may hold blanks of other kinds, and in some files ordinary ones: the numbers are the last parts.
        parts = line.decode("utf-8", "replace").rstrip().split(" ")
        width = width or len(parts) - 1
        try:
            vector = np.array(parts[-width:], dtype=np.float32)
        except ValueError as error:
            raise ConfigError(f"{path}:{at}: not a word and {width} numbers ({error})") from error
        if len(parts) <= width or not width:
            raise ConfigError(f"{path}:{at}: {len(parts) - 1} numbers, the first line has {width}")
        yield " ".join(parts[:-width]), vector


def _binary(path: Path, file: BinaryIO, words: int, width: int) -> Iterator[tuple[str, np.ndarray]]:
    buffer, at = b"", 0
    for number in range(words):
        while (blank := buffer.find(b" ", at)) < 0 or len(buffer) < blank + 1 + 4 * width:
            more = file.read(_LONGEST)
            if not more:
                raise ConfigError(f"{path}: ends at word {number + 1} of {words}; the file is cut short")
            buffer, at = buffer[at:] + more, 0
        word = buffer[at:blank].lstrip(b"\n").decode("utf-8", "replace")
        at = blank + 1 + 4 * width
        yield word, np.frombuffer(buffer[blank + 1 : at], dtype="<f4")
