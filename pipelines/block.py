"""Rows -> columns: a block of utterances becomes one Arrow batch of examples and one list of rejections.

Python sees each row once, in `add`; everything that can be done for a block at a time is done in `finish`:
the replay of every row, and the columns that are computed from others.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from grammar import shard
from grammar.actions import Action, Kind, TransitionError
from grammar.actions import State as TreeState
from grammar.ontology import Ontology
from pipelines.clauses import ClauseError, SlotCounts, divide
from pipelines.faults import faults
from pipelines.flat import Transitions, flat
from pipelines.index import indexed
from pipelines.record import Example, Rejection, Utterance
from pipelines.replay import copies, rebuild
from pipelines.trees import to_example

ROWS = 8_192
"""Rows of a block: enough that a call of Arrow costs nothing per row, few enough to stay in the cache."""


_MOST_SHAPES = 100_000


class Settings:
    """How utterances become trees; the same for all rows of a run."""

    def __init__(
        self,
        multi_intent: str = "clauses",
        coordinate: bool = False,
        slots: SlotCounts | None = None,
        ontology: Ontology | None = None,
        licence: str = "",
    ) -> None:
        self.multi_intent, self.coordinate = multi_intent, coordinate
        self.slots, self.licence = slots, licence
        self.ontology = ontology
        self._allowed: set[tuple[bytes, tuple[str, ...]]] = set()

    def general(self, utterance: Utterance) -> Example | Rejection:
        """The definition of a row."""
        return to_example(utterance, self.slots, self.multi_intent, self.coordinate)

    def quick(self, utterance: Utterance) -> Transitions | None:
        """The same for most rows, or None."""
        if utterance.tree or not utterance.intents:
            return None
        # What is written beside the words must be storable too; ASCII always is.
        if not (utterance.text.isascii() and utterance.domain.isascii() and utterance.locale.isascii()):
            return None if _surrogate(utterance.text + utterance.domain + utterance.locale) else self._flat(utterance)
        return self._flat(utterance)

    def _flat(self, utterance: Utterance) -> Transitions | None:
        intents = utterance.intents
        if len(intents) == 1:
            return flat(utterance.words, [(intents[0], utterance.spans)], self.coordinate)
        if self.multi_intent == "label":
            return flat(utterance.words, [("#".join(intents), utterance.spans)], self.coordinate)
        total = len(utterance.words)
        if any(not 0 <= start < end <= total for start, end, _ in utterance.spans):
            return None
        try:
            parts = divide(utterance, self.slots)
        except ClauseError:
            return None
        return flat(utterance.words, list(zip(intents, parts, strict=True)), self.coordinate)

    def refuses(self, kinds: bytes, symbols: list[str], copy: list[int]) -> str:
        """What the ontology has against a tree, or an empty text. Trees that differ in words alone are held once."""
        if self.ontology is None:
            return ""
        shape = (kinds, tuple(s for k, s in zip(kinds, symbols, strict=True) if k == Kind.NT))
        if shape in self._allowed:
            return ""
        state = TreeState(self.ontology)
        try:
            for kind, symbol, place in zip(kinds, symbols, copy, strict=True):
                state.apply(Action(Kind(kind), symbol, place))
        except TransitionError as error:
            return str(error)
        if len(self._allowed) < _MOST_SHAPES:
            self._allowed.add(shape)
        return ""


class Block:
    """Rows on their way to a batch; `add` until `full`, then `finish` and start a new one."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.utterances: list[Utterance] = []
        self.rejections: list[Rejection] = []
        self.tokenisers: set[str] = set()
        self._trees: list[str] = []
        self._kinds: list[bytes] = []
        self._words: list[str] = []
        self._symbols: list[str] = []
        self._copy: list[int] = []

    @property
    def full(self) -> bool:
        """Whether it is time to finish."""
        return len(self.utterances) + len(self.rejections) >= ROWS

    def add(self, row: Utterance | Rejection) -> None:
        """Take what a reader gave."""
        if isinstance(row, Rejection):
            self.rejections.append(row)
            return
        made = self.settings.quick(row)
        if made is None:
            example = self.settings.general(row)
            if isinstance(example, Rejection):
                self.rejections.append(example)
                return
            made = (example.tree, bytes(example.actions), example.symbols, example.copy)
        tree, kinds, symbols, copy = made
        if self.settings.ontology is not None and (against := self.settings.refuses(kinds, symbols, copy)):
            self.rejections.append(row.reject("R209", against, faults(tree, None, self.settings.ontology)))
            return
        self.utterances.append(row)
        self.tokenisers.add(row.tokeniser)
        self._trees.append(tree)
        self._kinds.append(kinds)
        self._words += row.words
        self._symbols += symbols
        self._copy += copy

    def finish(self) -> tuple[pa.RecordBatch, list[Rejection]]:
        """The columns of `grammar.shard.SCHEMA`, in the order of the rows, and the rows that were refused."""
        batch = self.columns()
        good = self.replayed(batch)
        return indexed(batch if good.all() else batch.filter(pa.array(good))), self.rejections

    def columns(self) -> pa.RecordBatch:
        """All rows as they were added, without their index columns."""
        rows = self.utterances
        ends = np.fromiter(map(len, self._kinds), np.int32, len(rows)).cumsum(dtype=np.int32)
        offsets = pa.array(np.concatenate([[0], ends]).astype(np.int32))
        kinds = pa.array(np.frombuffer(b"".join(self._kinds), np.int8))
        lengths = np.fromiter((len(row.words) for row in rows), np.int32, len(rows)).cumsum(dtype=np.int32)
        columns: dict[str, pa.Array] = {
            "id": pa.array([row.id for row in rows], pa.string()),
            "line": pa.array([row.line for row in rows], pa.int64()),
            "licence": pa.array([self.settings.licence or row.licence for row in rows], pa.string()),
            "utterance": pa.array([row.text for row in rows], pa.string()),
            "words": pa.ListArray.from_arrays(
                pa.array(np.concatenate([[0], lengths]).astype(np.int32)), pa.array(self._words, pa.string())
            ),
            "tree": pa.array(self._trees, pa.string()),
            "actions": pa.ListArray.from_arrays(offsets, kinds),
            "symbols": pa.ListArray.from_arrays(offsets, pa.array(self._symbols, pa.string())),
            "copy": pa.ListArray.from_arrays(offsets, pa.array(self._copy, pa.int32())),
            "composed": pa.repeat(pa.scalar(False), len(rows)),
        }
        for name in ("corpus", "domain", "file", "split", "locale"):
            columns[name] = _strings(rows, name)
        return pa.record_batch([columns[name] for name in shard.ROW], schema=shard.ROW_SCHEMA)

    def replayed(self, columns: pa.RecordBatch) -> np.ndarray:
        """Which rows their actions rebuild, with copies that are the words; the others become rejections."""
        built = rebuild(columns["actions"], columns["symbols"])
        same = np.asarray(pc.fill_null(pc.equal(built, columns["tree"]), False))
        copied = copies(columns["copy"], columns["actions"], columns["symbols"], columns["words"])
        for number in np.flatnonzero(~same):
            row, tree = self.utterances[number], self._trees[number]
            self.rejections.append(row.reject("R207", built[number].as_py() or "", faults(tree)))
        for number in np.flatnonzero(same & ~copied):
            row, tree = self.utterances[number], self._trees[number]
            self.rejections.append(row.reject("R208", "", faults(tree, row.words)))
        return same & copied


def _strings(rows: list[Utterance], name: str) -> pa.Array:
    """A text column; most of these hold one value all over."""
    values: list[Any] = [getattr(row, name) for row in rows]
    if values and len(set(values)) == 1:
        return pa.repeat(pa.scalar(values[0], pa.string()), len(values))
    return pa.array(values, pa.string())


def _surrogate(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False


def rejection_batch(rows: list[Rejection]) -> pa.RecordBatch:
    """The columns of `grammar.shard.REJECTION_SCHEMA`."""
    columns = zip(*rows, strict=True) if rows else [[] for _ in shard.REJECTION_SCHEMA]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, shard.REJECTION_SCHEMA, strict=True)]
    return pa.record_batch(arrays, schema=shard.REJECTION_SCHEMA)
