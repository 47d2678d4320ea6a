"""Some rows of a data set: of some domains, or a few of each. Held in memory, with an ontology of its own.

What a model may know of a target of which few trees are given must come from these trees, so the ontology is
inferred from the rows that are left in train, not read from beside the shards.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from grammar.infer import infer
from grammar.ontology import Ontology
from grammar.shard import SPLITS, ShardError
from parser.columns import ROW_COLUMNS
from parser.config import DataConfig
from parser.evaluate import gold_of
from parser.source import Block, Source
from parser.together import Place, opened


def source_of(where: Place, data: DataConfig) -> Source:
    """A data set, or several as one, or the selection of it that the settings ask for."""
    return opened(where) if data == DataConfig(seed=data.seed) else Selection(where, data)


class Selection(Source):
    """See `config.DataConfig`; the column `domain` holds what a domain is there.

    Raises:
        ShardError: no row of train or dev is left.
    """

    def __init__(self, where: Place, data: DataConfig) -> None:
        self.whole, self.data = opened(where), data
        self.where, self.manifest = self.whole.where, self.whole.manifest
        self._kept: dict[str, pa.Table] = {}
        self._has: dict[str, set[str]] = {}
        # Which domain a rejected row was of is not known.
        self.manifest.rejected_splits = {} if data.only else self.manifest.rejected_splits
        held = {split: len(self._rows(split)) for split in SPLITS if self.manifest.splits.get(split)}
        self.manifest.splits = {split: rows for split, rows in held.items() if rows}
        self._ask_for(data.without, set().union(*self._has.values()))
        print_of = f"{self.manifest.fingerprint} {data}"
        self.manifest.fingerprint = hashlib.sha256(print_of.encode()).hexdigest()

    def ontology(self) -> Ontology:
        """The ontology of the selected train rows."""
        return infer(gold_of(row).tree for row in self.rows("train"))

    def domains(self, split: str) -> list[str]:
        """The domains that a split's rows have."""
        return sorted(set(self._rows(split)["domain"].to_pylist()))

    def blocks(self, split: str) -> list[Block]:
        """One block for each split.

        Raises:
            ShardError: no row of it is left.
        """
        if not len(self._rows(split)):
            raise self._empty(split)
        return [Block(split, 0, len(self._rows(split)))]

    def read(self, block: Block, columns: Sequence[str] = ROW_COLUMNS) -> pa.Table:
        """The rows of a split."""
        return self._rows(block.file).select(list(columns))

    def _rows(self, split: str) -> pa.Table:
        if split not in self._kept:
            splits = ("train", "dev") if split == "train" and self.data.join_dev else (split,)
            blocks = [block for one in splits for block in self.whole.blocks(one)]
            parts = [self.whole.read(block, (*ROW_COLUMNS, "corpus")) for block in blocks]
            table, data = pa.concat_tables(parts), self.data
            if data.by == "intent":
                domain = pa.array([symbols[0] for symbols in table["symbols"].to_pylist()], pa.string())
            else:
                domain = table[data.by].combine_chunks()
            table = table.set_column(table.schema.get_field_index("domain"), table.schema.field("domain"), domain)
            self._has[split] = set(pc.unique(domain).to_pylist())
            if data.only:
                if split == "train":
                    self._ask_for(data.only, self._has[split])
                table = table.filter(pc.is_in(table["domain"], pa.array(data.only)))
            if split == "train":
                table = self._train(table)
            if not len(table) and split != "test":  # which is read by those who ask for it
                raise self._empty(split)
            self._kept[split] = table
        return self._kept[split]

    def _empty(self, split: str) -> ShardError:
        return ShardError(f"{self.where}: no row of `{split}` is left; change data.only or data.without")

    def _ask_for(self, names: Sequence[str], has: set[str]) -> None:
        if missing := sorted(set(names) - has):
            domains = ", ".join(sorted(has))
            raise ShardError(f"{self.where} has no domain {', '.join(missing)}; its domains are {domains}")

    def _train(self, table: pa.Table) -> pa.Table:
        data = self.data
        if data.without:
            table = table.filter(pc.invert(pc.is_in(table["domain"], pa.array(data.without))))
        if not data.rows:
            return table
        # The rows with the lowest hashes: fewer rows are a part of more, whatever else the data set holds.
        ranks = [hashlib.sha256(f"{data.seed} {name}".encode()).digest() for name in table["id"].to_pylist()]
        domains, held, kept = table["domain"].to_pylist(), dict[str, int](), []
        for i in sorted(range(len(ranks)), key=ranks.__getitem__):
            held[domains[i]] = held.get(domains[i], 0) + 1
            if held[domains[i]] <= data.rows:
                kept.append(i)
        return table.take(sorted(kept))
