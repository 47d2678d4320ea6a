"""A data set with compound requests made from its own: one pass over its shards, each by itself.

    train-00000-of-00002.parquet --compose--> the same rows and the composed ones, sorted by id

A composed row stands in the shard of the row that it begins with and is called `<its id>+1`, `+2` and so on. What it is
made of comes from the same split: up to `POOL` single requests, those with the smallest hash of seed and id, so that
neither the number of shards nor of workers shows in the rows.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from grammar import shard
from grammar.actions import Action, Kind, State, TransitionError
from grammar.infer import Counts
from grammar.ontology import Ontology, loads
from pipelines import card, dataset, lock, publish, storage
from pipelines.compose import Clause, Recipe, compound, coordinate, draws, text_of, times, values
from pipelines.counting import count
from pipelines.formats.features import tree_of
from pipelines.index import indexed_table
from pipelines.record import Example, Utterance
from pipelines.trees import example_of

POOL = 50_000
"""Single requests of a split that are drawn from: bounds the memory, whatever the size of the data set."""


class Pool(NamedTuple):
    """What the requests of one split are composed from.

    Attributes:
        values: slot -> its values, each as words.
    """

    clauses: list[Clause]
    values: dict[str, list[tuple[str, ...]]]


def compose(
    directory: str | Path,
    output: str | Path,
    recipe: Recipe,
    splits: Sequence[str] = (),
    overwrite: bool = False,
    workers: int = 1,
) -> shard.Manifest:
    """Write a data set that holds the rows of another one and the requests composed from them.

    Args:
        directory: a data set without composed rows.
        output: where the new one appears, whole or not at all.
        splits: those that get composed rows; empty for all.

    Raises:
        ShardError: `directory` is no data set, or has no such split.
        FileExistsError: the output is there and is not to be overwritten, or is no data set.
        ValueError: nothing could be composed, or was before.
    """
    root, target = storage.local(str(directory)), publish.absolute(str(output))
    manifest = dataset.manifest(root)
    for split in splits:
        if split not in manifest.splits:
            raise shard.ShardError(f"{root} has no split `{split}`; its splits are {', '.join(manifest.splits)}")
    if manifest.rows_composed:
        raise ValueError(f"{root} holds composed rows already; compose from the data set that it was made from")
    if target == publish.absolute(root):
        raise FileExistsError(f"{target} is the data set that is read; give another `--output`")
    with lock.hold(target):
        publish.clear_up(target)
        publish.make_room(target, overwrite)
        publish.forget(target, "")
        given = dataset.ontology(root) if manifest.options.get("ontology") else ""
        build = publish.build_of(target, "compose")
        try:
            tasks = []
            for split in sorted(manifest.splits):
                wanted = not splits or split in splits
                pool = gather(root, manifest, split, recipe.seed) if wanted else Pool([], {})
                for name in sorted(entry["file"] for entry in manifest.shards):
                    if name.startswith(f"{split}-"):
                        files = storage.join(root, name), storage.join(build, name)
                        tasks.append(_Task(*files, pool, recipe, manifest.tokeniser, given))
            if workers > 1:
                with ProcessPoolExecutor(workers) as executor:
                    done = list(executor.map(_shard, tasks))
            else:
                done = [_shard(task) for task in tasks]
            if not any(one.composed for one in done):
                raise ValueError("nothing was composed: no split has two single requests, or the rates are too small")
            _finish(root, build, manifest, recipe, done, given)
        except BaseException:
            storage.remove(build)
            raise
        publish.put(build, target)
    return manifest


def gather(root: str, manifest: shard.Manifest, split: str, seed: int) -> Pool:
    """The single requests of a split that its compound ones are made of, in an order that the seed alone decides."""
    best: list[tuple[int, str, Example]] = []
    for batch in dataset.batches(root, manifest, split, list(Example._fields)):
        for row in batch.to_pylist():
            example = Example(**row)
            if not is_single(example):
                continue
            key = int.from_bytes(hashlib.sha256(f"{seed}:{example.id}".encode()).digest()[:8], "big")
            item = (-key, example.id, example)
            if len(best) < POOL:
                heapq.heappush(best, item)
            elif item > best[0]:
                heapq.heapreplace(best, item)
    clauses = [clause_of(row) for _, _, row in sorted(best, reverse=True)]
    found: dict[str, dict[tuple[str, ...], None]] = {}
    for clause in clauses:
        for value in values(clause):
            found.setdefault(value.label, {})[tuple(clause.words[value.start : value.end])] = None
    return Pool(clauses, {label: list(some) for label, some in found.items()})


def is_single(row: Example) -> bool:
    """Whether a row is one request of the corpus itself."""
    return row.symbols[0] != "and" and not row.composed


def clause_of(row: Example) -> Clause:
    """The row as a clause."""
    return Clause(row.words, *tree_of(row))


def composed(row: Example, pool: Pool, recipe: Recipe, tokeniser: str) -> Iterator[Example]:
    """The requests that begin with a row: compound ones, and one with a second value in a slot."""
    chance = draws(row.id, recipe)
    start = clause_of(row)
    made: list[Clause | None] = []
    for _ in range(times(recipe.rate, chance)):
        first = start
        if chance.random() < recipe.values:
            first = coordinate(start, pool.values, recipe, chance) or start
        made.append(compound(first, pool.clauses, recipe, chance))
    if chance.random() < recipe.values:
        made.append(coordinate(start, pool.values, recipe, chance))
    number = 0
    for clause in made:
        if clause is None:
            continue
        number += 1
        utterance = Utterance(
            row.corpus,
            row.file,
            row.line,
            row.split,
            text_of(clause.words, tokeniser),
            clause.words,
            [],
            [],
            domain=row.domain,
            licence=row.licence,
            locale=row.locale,
        )
        example = example_of(utterance, clause.tree, clause.positions)
        yield example._replace(id=f"{row.id}+{number}", composed=True)


class _Task(NamedTuple):
    source: str
    target: str
    pool: Pool
    recipe: Recipe
    tokeniser: str
    ontology: str


class _Done(NamedTuple):
    """What became of one shard: its entry for the manifest, rows composed and refused, and what its trees hold."""

    entry: dict[str, Any]
    composed: int
    refused: int
    counts: Counts


def _shard(task: _Task) -> _Done:
    """Write one shard with what is composed from its rows."""
    table = pa.Table.from_batches(dataset.read(task.source, shard.ROW), shard.ROW_SCHEMA)
    ontology = loads(task.ontology, "the ontology") if task.ontology else None
    made: list[Example] = []
    refused = 0
    for row in table.to_pylist() if task.pool.clauses else ():
        example = Example(**row)
        if is_single(example):
            for new in composed(example, task.pool, task.recipe, task.tokeniser):
                if ontology is None or _allowed(new, ontology):
                    made.append(new)
                else:
                    refused += 1
    if made:
        columns = [
            pa.array(column, field.type)
            for column, field in zip(zip(*made, strict=True), shard.ROW_SCHEMA, strict=True)
        ]
        table = pa.concat_tables([table.cast(shard.ROW_SCHEMA), pa.table(columns, schema=shard.ROW_SCHEMA)])
        table = table.take(pc.sort_indices(table, [("id", "ascending")]))
    whole = indexed_table(table)
    with storage.writing(task.target) as temporary:
        groups = (whole.slice(first, shard.ROW_GROUP) for first in range(0, whole.num_rows, shard.ROW_GROUP))
        entry = shard.write_groups(groups, shard.SCHEMA, temporary) | {"file": task.target.rpartition("/")[2]}
    return _Done(entry, len(made), refused, count(whole))


def _allowed(row: Example, ontology: Ontology) -> bool:
    state = State(ontology)
    try:
        for kind, symbol, place in zip(row.actions, row.symbols, row.copy, strict=True):
            state.apply(Action(Kind(kind), symbol, place))
    except TransitionError:
        return False
    return True


def _finish(root: str, build: str, manifest: shard.Manifest, recipe: Recipe, done: Sequence[_Done], given: str) -> None:
    """The ontology, the dead letters as they were, and last the manifest."""
    counts = Counts()
    for one in done:
        if one.entry["file"].startswith("train-"):
            counts.merge(one.counts)
    ontology = loads(given) if given else counts.ontology()
    manifest.shards = [one.entry for one in done]
    for entry in manifest.shards:
        split = entry["file"].split("-")[0]
        manifest.splits[split] = sum(e["rows"] for e in manifest.shards if e["file"].startswith(f"{split}-"))
    manifest.rows_composed = sum(one.composed for one in done)
    manifest.options["compose"] = asdict(recipe) | {"refused": sum(one.refused for one in done)}
    manifest.versions = publish.versions("pyarrow")
    manifest.ontology_sha256 = ontology.sha256()
    manifest.fingerprint = shard.fingerprint(manifest.shards)
    manifest.check()
    if manifest.rows_rejected:
        name = shard.shard_name(shard.REJECTED, 0, 1)
        letters = storage.read(storage.join(root, shard.REJECTED, name))
        storage.write(storage.join(build, shard.REJECTED, name), letters)
    card.write(build, manifest, ontology)
    storage.write(storage.join(build, shard.ONTOLOGY), ontology.dumps().encode())
    storage.write(storage.join(build, shard.MANIFEST), manifest.dumps().encode())
