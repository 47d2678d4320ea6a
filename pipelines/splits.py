"""Which split a row goes to, where the corpus does not say or is not asked.

Rows that share a key go to one split, whatever else is converted with them: the split follows from the SHA-256 of the
key alone, so a row keeps it in any data set, on any machine.

    utterance   equal requests, in lower case            template   requests that differ in their values alone
    shape       trees with the same labels               domain     the domain, or those that are named
    value       a value is held out, and all rows with it: no train row holds a value that is held out

A row may hold several values. Rows that share any would have to stay together, which puts nearly all of a corpus into
one group; so the values are dealt instead: a row with a held-out value is test (or dev), whatever else it holds.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa

from pipelines.hashes import hash64, normalise, repeated, sha256, value_hashes
from pipelines.index import Steps

MODES = ("corpus", "utterance", "template", "shape", "domain", "value")
OF_TREES = frozenset({"template", "shape", "domain", "value"})
"""Modes that look at what a row became; the others need its text alone."""


class Dealing(NamedTuple):
    """How rows are dealt to splits.

    Attributes:
        by: one of `MODES`; `corpus` keeps the corpus's splits.
        dev_share: share of dev, taken from train where `by` is `corpus`.
        test_share: share of test, where `by` is not `corpus`. Of what is dealt: requests, templates, shapes, domains or
            values.
        dev_domains, test_domains: domains to hold out by name, where `by` is `domain`; the others are train.
    """

    by: str = "corpus"
    dev_share: float = 0.0
    test_share: float = 0.0
    dev_domains: tuple[str, ...] = ()
    test_domains: tuple[str, ...] = ()

    def split(self, own: str, utterance: str) -> str:
        """The split of a row by its text, of a row whose corpus puts it in `own`; trees are dealt by `deal`."""
        if not self._by_text or (self.by == "corpus" and own != "train"):
            return own
        return self._of(place(utterance))

    def deal_texts(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        """What `split` does to each row, for rows that have their hashes."""
        if not self._by_text or not rows.num_rows:
            return rows
        dealt = self._splits(places(rows["utterance_hash"].to_numpy()))
        if self.by == "corpus":
            own = rows["split"].to_numpy(zero_copy_only=False)
            dealt = np.where((own == "train") & (dealt == "dev"), "dev", own)
        return _dealt(rows, dealt)

    @property
    def _by_text(self) -> bool:
        return self.by not in OF_TREES and not (self.by == "corpus" and not self.dev_share)

    def deal(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        """The rows, each in its split.

        Args:
            rows: with the columns of `shard.SCHEMA`.
        """
        if self.by not in OF_TREES or not rows.num_rows:
            return rows
        if self.by == "value":
            splits = self._by_value(rows)
        elif self.by == "domain" and (self.dev_domains or self.test_domains):
            named = dict.fromkeys(self.dev_domains, "dev") | dict.fromkeys(self.test_domains, "test")
            splits = np.array([named.get(domain, "train") for domain in rows["domain"].to_pylist()])
        else:
            keys = repeated(rows["domain"]) if self.by == "domain" else rows[f"{self.by}_hash"].to_numpy()
            splits = self._splits(places(keys))
        return _dealt(rows, splits)

    def _by_value(self, rows: pa.RecordBatch) -> np.ndarray:
        hashes, row = value_hashes(Steps(rows["actions"], rows["symbols"]))
        dealt = self._splits(places(hashes))
        splits = np.full(rows.num_rows, "train", dtype="U5")
        for name in ("dev", "test"):  # test wins
            splits[row[dealt == name]] = name
        return splits

    def _splits(self, share: np.ndarray) -> np.ndarray:
        return np.where(share >= 1 - self.test_share, "test", np.where(share < self.dev_share, "dev", "train"))

    def _of(self, share: float) -> str:
        if self.by != "corpus" and share >= 1 - self.test_share:
            return "test"
        return "dev" if share < self.dev_share else "train"


def _dealt(rows: pa.RecordBatch, splits: np.ndarray) -> pa.RecordBatch:
    column = pa.array(splits, pa.string())
    return rows.set_column(rows.schema.get_field_index("split"), rows.schema.field("split"), column)


def place(utterance: str) -> float:
    """A number in [0, 1), the same on every machine, from the SHA-256 of the normalised utterance."""
    digest = sha256(normalise(utterance).encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:6], "big") / (1 << 48)


def places(hashes: np.ndarray) -> np.ndarray:
    """A number in [0, 1) of each hash; what `place` gives for the hash of an utterance."""
    return (hashes.astype(np.int64).view(np.uint64) >> np.uint64(16)).astype(np.float64) / (1 << 48)


def shards_of(ids: pa.Array, shards: int) -> np.ndarray:
    """int64: the shard of each row, by the SHA-256 of its id."""
    return (hash64(ids.cast(pa.binary()).to_pylist()).view(np.uint64) % np.uint64(shards)).astype(np.int64)
