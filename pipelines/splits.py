"""Which split a row goes to, where the corpus does not say or is not asked.

The hash is taken of the normalised utterance, so equal requests never stand on both sides of a border,
and a row keeps its split whatever else is converted with it.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple


class Dealing(NamedTuple):
    """How rows are dealt to splits.

    Attributes:
        by: `corpus` keeps the corpus's splits, `hash` deals every row anew.
        dev_share: share of dev, taken from train where `by` is `corpus`.
        test_share: share of test, where `by` is `hash`.
    """

    by: str = "corpus"
    dev_share: float = 0.0
    test_share: float = 0.0

    def split(self, own: str, utterance: str) -> str:
        """The split of a row whose corpus puts it in `own`."""
        if self.by == "corpus" and (own != "train" or not self.dev_share):
            return own
        share = place(utterance)
        if self.by == "hash" and share >= 1 - self.test_share:
            return "test"
        return "dev" if share < self.dev_share else "train"


def normalise(utterance: str) -> str:
    """Lower case, single blanks."""
    return " ".join(utterance.casefold().split())


def place(utterance: str) -> float:
    """A number in [0, 1), the same on every machine, from the SHA-256 of the normalised utterance."""
    digest = hashlib.sha256(normalise(utterance).encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:6], "big") / (1 << 48)


def shard_of(row_id: str, shards: int) -> int:
    """The shard of a row, by the SHA-256 of its id."""
    return int.from_bytes(hashlib.sha256(row_id.encode("utf-8", "surrogatepass")).digest()[:8], "big") % shards
