"""The batches of every epoch: shuffled, sorted by length within windows, and the same every time."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


def batches_of(actions: np.ndarray, words: np.ndarray, size: int, window: int, seed: Sequence[int]) -> list[np.ndarray]:
    """The batches of one pool of examples, as arrays of example numbers.

    Within windows of `window` batches examples are sorted by their number of actions, then by their number of
    words, upwards and downwards in turn: padding is lost on both, and where a batch holds two numbers of
    actions, its words are of like length all the same.

    Args:
        actions, words: how many each example has.
        size: examples in a batch.
        window: batches that are sorted together.
        seed: what the shuffling depends on, and nothing else.
    """
    random = np.random.default_rng(list(seed))
    shuffled = random.permutation(len(actions))
    span = size * window
    batches = []
    for start in range(0, len(shuffled), span):
        part = shuffled[start : start + span]
        upwards = np.where(actions[part] % 2 == 0, words[part], -words[part])
        part = part[np.lexsort((upwards, actions[part]))]
        batches += [part[i : i + size] for i in range(0, len(part), size)]
    return [batches[i] for i in random.permutation(len(batches))]


def batch_count(rows: int, size: int, window: int) -> int:
    """How many batches `batches_of` makes of so many examples."""
    whole, rest = divmod(rows, size * window)
    return whole * window + math.ceil(rest / size)


def drawn_of(domains: np.ndarray, temperature: float, seed: Sequence[int]) -> np.ndarray:
    """Example numbers as many as there are, with domains in proportion to (their size) ** (1 / temperature).

    Args:
        domains: the domain's number of each example.
        temperature: 1 leaves all as it is.
        seed: what the drawing depends on, and nothing else.
    """
    everything = np.arange(len(domains))
    if temperature == 1 or not len(domains):
        return everything
    random = np.random.default_rng([*seed, 1])
    sizes = np.bincount(domains).astype(float)
    wanted = np.where(sizes > 0, sizes, 1.0) ** (1 / temperature) * (sizes > 0)
    upto = np.round(np.cumsum(wanted) / wanted.sum() * len(domains)).astype(int)
    drawn = []
    for domain, count in enumerate(np.diff(upto, prepend=0)):
        mine = random.permutation(everything[domains == domain])
        drawn.append(np.resize(mine, count) if len(mine) else mine)  # as often as it takes, each as often as others
    return np.concatenate(drawn)
