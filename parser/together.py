"""Several data sets read as one, so that a parser may learn from any set of corpora before it comes to its own.

A split holds the rows of all that have it, the ontology is what any of theirs allows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from grammar.ontology import Ontology, joined
from grammar.shard import Manifest, ShardError
from parser.columns import ROW_COLUMNS
from parser.source import Block, Source

Place = str | Path | Sequence[str | Path]
"""A data set, or several: directories or URIs."""
_COUNTS = ("rows_in", "rows_out", "rows_rejected", "rows_composed")


def opened(where: Place) -> Source:
    """The data set that lies there, or several as one.

    Raises:
        ShardError: one is not a data set, of another schema version, without train rows or given twice.
        OntologyError: a label is of different kinds in two of them.
    """
    if isinstance(where, (str, Path)):
        return Source(where)
    return Source(where[0]) if len(where) == 1 else Together(where)


class Together(Source):
    """See the module's text; names of shards begin with the number of their data set.

    Each data set has rows to train on; dev is that of those which have one.
    """

    def __init__(self, places: Sequence[str | Path]) -> None:
        names = [str(place).rstrip("/") for place in places]
        if not names or len(set(names)) < len(names):
            raise ShardError(f"a data set is given twice: {', '.join(names)}" if names else "no data set is given")
        self.parts = [Source(place) for place in places]
        self.where = " + ".join(part.where for part in self.parts)
        manifests = [part.manifest for part in self.parts]
        for part in self.parts:
            if not part.manifest.splits.get("train"):
                raise ShardError(f"{part.where} has no rows in the split `train`; leave it out")
        self._ontology = joined({part.where: part.ontology() for part in self.parts})
        tokenisers = {manifest.tokeniser for manifest in manifests}
        prints = "\n".join(manifest.fingerprint for manifest in manifests)
        self.manifest = Manifest(
            corpus=" + ".join(manifest.corpus for manifest in manifests),
            **{name: sum(getattr(manifest, name) for manifest in manifests) for name in _COUNTS},
            splits=_sums([manifest.splits for manifest in manifests]),
            rejected_splits=_sums([manifest.rejected_splits for manifest in manifests]),
            # Where words were cut in different ways, `parse` cuts text in its own.
            tokeniser=tokenisers.pop() if len(tokenisers) == 1 else "",
            fingerprint=hashlib.sha256(prints.encode()).hexdigest(),
        )

    def ontology(self) -> Ontology:
        """What any of the ontologies beside the shards allows."""
        return self._ontology

    def blocks(self, split: str) -> list[Block]:
        """The row groups of a split, those of one data set after those of another."""
        if split not in self.manifest.splits:
            has = ", ".join(sorted(self.manifest.splits)) or "none"
            raise ShardError(f"{self.where} has no split `{split}`; its splits are {has}")
        return [
            Block(f"{number}/{block.file}", block.group, block.rows)
            for number, part in enumerate(self.parts)
            if part.manifest.splits.get(split)
            for block in part.blocks(split)
        ]

    def read(self, block: Block, columns: Sequence[str] = ROW_COLUMNS) -> pa.Table:
        """The rows of a block."""
        number, _, file = block.file.partition("/")
        return self.parts[int(number)].read(Block(file, block.group, block.rows), columns)


def _sums(counts: Sequence[dict[str, int]]) -> dict[str, int]:
    return {
        name: sum(count.get(name, 0) for count in counts) for name in sorted({n for count in counts for n in count})
    }
