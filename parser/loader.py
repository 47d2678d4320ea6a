"""Shards -> the batches of a run, streamed, prefetched, in an order that can be taken up anywhere.

Every epoch shuffles the row groups of the shards, reads so many of them as make a pool, shuffles the
pool, sorts it within windows and cuts it into batches. All this depends on the seed, the epoch and the
shards alone, so (epoch, batch number) is a place from which a run goes on, with any number of processes.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from torch import Tensor

from parser.batch import Batch, Examples
from parser.checkpoint import Setup
from parser.order import batch_count, batches_of, drawn_of
from parser.shapes import Shape, Shapes, pack, records
from parser.source import Block, Source
from parser.swap import Swap

Share = tuple[int, list[np.ndarray]]
"""Of one step: its utterances over all processes, and the rows of each part that this process does."""


@dataclass(slots=True)
class Step:
    """What one process does in one optimizer step.

    Attributes:
        utterances: of the whole step, over all processes.
        parts: the batches of this process, one after the other; fewer where the step is small.
        lines: the same, each filled up to its shape and packed, where steps are recorded.
    """

    utterances: int
    parts: list[Batch]
    lines: list[tuple[Shape, Tensor]]

    def padding(self) -> dict[str, float]:
        """Share of the cells that is real: of actions and of words."""
        actions = sum(batch.actions for batch in self.parts)
        words = float(sum(int(batch.length_B.sum()) for batch in self.parts))
        if self.lines:
            sizes = [(shape.rows * shape.actions, shape.rows * shape.words) for shape, _ in self.lines]
        else:
            sizes = [(batch.real_BT.numel(), batch.word_BW.numel()) for batch in self.parts]
        return {
            "real_actions": actions / max(1, sum(size for size, _ in sizes)),
            "real_words": words / max(1, sum(size for _, size in sizes)),
        }


class Loader:
    """The train split as steps.

    Args:
        source: the data set.
        setup: the model without its weights; its config says how batches are made.
        rank, world: this process, and how many there are; each takes its share of every step.
        device: where they go; for a GPU they are put into page-locked memory, and packed where steps are recorded.
    """

    def __init__(self, source: Source, setup: Setup, rank: int = 0, world: int = 1, device: str = "cpu") -> None:
        self.source, self.setup, self.rank, self.world = source, setup, rank, world
        self.settings = setup.config.train
        self.pin = device.startswith("cuda")
        shares = self.settings.accumulate * world
        self._shapes = Shapes(-(-self.settings.batch_size // shares)) if records(setup.config, device) else None
        self.all_blocks = source.blocks("train")
        self.rows = sum(block.rows for block in self.all_blocks)
        # The only pool, where all rows fit into one.
        self._read: pa.Table | None = None
        self._kept: Examples | None = None
        self._swap: Swap | None = None

    def pools(self, epoch: int) -> list[list[Block]]:
        """The row groups of an epoch's pools."""
        random = np.random.default_rng([self.settings.seed, epoch])
        pools: list[list[Block]] = [[]]
        held = 0
        for i in random.permutation(len(self.all_blocks)):
            block = self.all_blocks[i]
            if held and held + block.rows > self.settings.pool:
                pools.append([])
                held = 0
            pools[-1].append(block)
            held += block.rows
        return pools

    def steps(self, epoch: int) -> int:
        """Steps in an epoch."""
        return sum(self._count(pool) for pool in self.pools(epoch))

    def epoch(self, number: int, first: int = 0) -> Generator[Step, None, None]:
        """The steps of an epoch from step `first` on, made in a background thread.

        Raises:
            ShardError: a shard that cannot be read, or a row that the ontology does not allow.
        """
        ready: queue.Queue[Step | BaseException | None] = queue.Queue(self.settings.prefetch)
        stopped = threading.Event()

        def put(item: Step | BaseException | None) -> bool:
            while not stopped.is_set():
                try:
                    ready.put(item, timeout=0.1)
                    return True
                except queue.Full:
                    continue
            return False

        def work() -> None:
            try:
                for step in self._make(number, first):
                    if not put(step):
                        return
                put(None)
            except BaseException as error:  # it is raised again where the steps are used
                put(error)

        thread = threading.Thread(target=work, name="loader", daemon=True)
        thread.start()
        try:
            while (item := ready.get()) is not None:
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            stopped.set()
            thread.join()

    def _count(self, pool: list[Block]) -> int:
        return batch_count(sum(block.rows for block in pool), self.settings.batch_size, self.settings.window)

    def _make(self, epoch: int, first: int) -> Iterator[Step]:
        begun, todo = 0, []
        for number, pool in enumerate(self.pools(epoch)):
            count = self._count(pool)
            if first < begun + count:
                todo.append((pool, (self.settings.seed, epoch, number), max(0, first - begun)))
            begun += count
        # The next pool is made ready while the steps of this one are.
        with ThreadPoolExecutor(1, "pool") as ahead:
            ready = [ahead.submit(self._laid_out, *one) for one in todo[:1]]
            for number in range(len(todo)):
                examples, steps = ready.pop().result()
                ready += [ahead.submit(self._laid_out, *one) for one in todo[number + 1 : number + 2]]
                for utterances, parts in steps:
                    yield self._step(examples, utterances, parts)

    def _laid_out(self, pool: list[Block], seed: tuple[int, int, int], skipped: int) -> tuple[Examples, list[Share]]:
        """The rows of a pool with their index columns, those of this process where there are several, and its steps."""
        settings = self.settings
        table = self._swapped(pool, seed) if settings.swap else self._table(pool)
        actions, words = (np.diff(table[name].combine_chunks().offsets.to_numpy()) for name in ("actions", "words"))
        drawn = drawn_of(self._domains(table), settings.temperature, seed)
        shares = settings.accumulate * self.world
        steps = [
            # Neighbours are of similar length, so every share gets as much to do.
            (len(index), [drawn[index[part::shares]] for part in range(self.rank, shares, self.world)])
            for index in batches_of(actions[drawn], words[drawn], settings.batch_size, settings.window, seed)[skipped:]
        ]
        if self._whole(pool) and not settings.swap:
            self._kept = self._kept or self._lined_up(table)
            return self._kept, steps
        mine = np.unique(np.concatenate([rows for _, parts in steps for rows in parts]))
        place = np.zeros(len(table), np.int64)
        place[mine] = np.arange(len(mine))
        return self._lined_up(table.take(mine)), [(size, [place[rows] for rows in parts]) for size, parts in steps]

    def _domains(self, table: pa.Table) -> np.ndarray:
        """[rows] the number of each row's domain; a model that is not told the domain is sampled by it all the same."""
        vocab, names = self.setup.vocab, table["domain"].combine_chunks().dictionary_encode()
        held = names.dictionary.to_pylist()
        numbers = [vocab.domain(name) for name in held] if vocab.domains else range(len(held))
        return np.array(numbers)[names.indices.to_numpy(zero_copy_only=False)]

    def _swapped(self, pool: list[Block], seed: tuple[int, int, int]) -> pa.Table:
        swap = self._swap or Swap(self._table(pool), apart=bool(self.setup.vocab.domains))
        if self._whole(pool):
            self._swap = swap
        return swap.draw(self.settings.swap, np.random.default_rng([*seed, 2]))

    def _whole(self, pool: list[Block]) -> bool:
        return sum(block.rows for block in pool) == self.rows

    def _table(self, pool: list[Block]) -> pa.Table:
        if self._read is not None:
            return self._read
        # The pool's rows do not depend on the order of its blocks, so a kept pool is any epoch's.
        table = pa.concat_tables(
            self.source.read(block) for block in sorted(pool, key=lambda block: (block.file, block.group))
        )
        if self._whole(pool):
            self._read = table
        return table

    def _lined_up(self, table: pa.Table) -> Examples:
        model = self.setup.config.model
        return Examples(table, self.setup.vocab, self.setup.ontology, model.copy, model.stack)

    def _step(self, examples: Examples, utterances: int, parts: list[np.ndarray]) -> Step:
        made = Step(utterances, [], [])
        for rows in parts:
            if len(rows):
                self._add(made, examples.batch(rows))
        return made

    def _add(self, step: Step, batch: Batch) -> None:
        if self._shapes:
            shape = self._shapes.of(batch)
            line = pack(batch, shape, step.utterances)
            step.lines.append((shape, line.pin_memory() if self.pin else line))
        step.parts.append(batch.pin() if self.pin and not self._shapes else batch)
