"""Whether one variant is better than another: hits kept compactly, and the paired bootstrap over utterances."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 10_000


def pack(hits: Sequence[bool]) -> dict[str, int | str]:
    """Hits as JSON: how many there are, and a bit for each, in base64."""
    bits = np.packbits(np.array(hits, dtype=bool))
    return {"n": len(hits), "bits": base64.b64encode(bits.tobytes()).decode("ascii")}


def unpack(packed: Mapping[str, int | str]) -> np.ndarray:
    """What `pack` made a mapping of."""
    bits = np.frombuffer(base64.b64decode(str(packed["bits"])), dtype=np.uint8)
    return np.unpackbits(bits, count=int(packed["n"])).astype(bool)


@dataclass(frozen=True, slots=True)
class Difference:
    """A difference of exact match, as a share.

    Attributes:
        mean: theirs over ours.
        low, high: its 95 % interval.
        p: chance of a difference this far on the other side of zero or beyond, both sides together.
    """

    mean: float
    low: float
    high: float
    p: float


def paired_bootstrap(
    theirs: Mapping[str, np.ndarray], ours: Mapping[str, np.ndarray], seed: int = 1, resamples: int = RESAMPLES
) -> Difference:
    """The difference between two systems over the same utterances, drawn again within each group.

    Args:
        theirs, ours: per group (a domain, a corpus) the share of seeds that got each utterance right, [n];
            the figure is the mean of the groups' means.
        seed: of the drawing.
        resamples: how many samples are drawn.

    Raises:
        ValueError: the groups or their sizes differ.
    """
    if {k: len(v) for k, v in theirs.items()} != {k: len(v) for k, v in ours.items()}:
        raise ValueError("the two systems were not tried on the same utterances")
    random = np.random.default_rng(seed)
    total, mean = np.zeros(resamples), 0.0
    for name in sorted(theirs):
        gap = theirs[name].astype(float) - ours[name]
        mean += gap.mean() / len(theirs)
        # Utterances are alike when their gaps are, so it is enough to draw how many come of each kind.
        kinds, counts = np.unique(gap, return_counts=True)
        drawn = random.multinomial(len(gap), counts / len(gap), size=resamples)
        total += drawn @ kinds / len(gap) / len(theirs)
    low, high = np.quantile(total, [0.025, 0.975])
    p = 2 * min((total <= 0).mean(), (total >= 0).mean())
    return Difference(mean, float(low), float(high), float(min(1.0, p)))
