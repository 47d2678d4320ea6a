"""A small invented world for parser tests: an ontology, rows of a shard, and a model."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch

from grammar import shard
from grammar.actions import oracle
from grammar.infer import infer
from grammar.ontology import Ontology
from grammar.tree import Leaf, Tree
from parser.batch import Examples
from parser.checkpoint import Setup
from parser.columns import ROW_COLUMNS
from parser.config import Config, from_dict
from parser.metrics import slot_values
from parser.model import Model
from parser.vocab import Counts, build_vocab
from pipelines.index import indexed

ITEMS = ["apples", "pears", "oat milk", "salt", "rye bread", "figs"]
MEDIA = ["jazz", "music", "blue train", "folk"]


def _slot(label: str, value: str, words: list[str], positions: list[int]) -> Tree:
    leaves = []
    for word in value.split():
        positions.append(len(words))
        words.append(word)
        leaves.append(Leaf(word))
    return Tree(label, leaves)


def _shopping(rng: random.Random, words: list[str], positions: list[int]) -> Tree:
    words += rng.choice([["add"], ["please", "buy"]])
    first = _slot("ItemName", rng.choice(ITEMS), words, positions)
    children = [first]
    if rng.random() < 0.5:
        words.append("and")
        children = [Tree("add", [first, _slot("ItemName", rng.choice(ITEMS), words, positions)])]
    return Tree("AddToListIntent", children)


def _music(rng: random.Random, words: list[str], positions: list[int]) -> Tree:
    words.append("play")
    if rng.random() < 0.2:
        words.append("something")
        return Tree("PlayMusicIntent", [])
    tree = Tree("PlayMusicIntent", [_slot("MediaType", rng.choice(MEDIA), words, positions)])
    if rng.random() < 0.3:
        # A word that the utterance does not hold: it has to be generated.
        positions.append(-1)
        tree = Tree(tree.label, [*tree.children, Tree("Device", [Leaf("HERE")])])
    return tree


def rows(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Rows as `read_rows` yields them: single and compound requests."""
    rng = random.Random(seed)
    out = []
    for i in range(count):
        words: list[str] = []
        positions: list[int] = []
        if rng.random() < 0.4:
            first = _shopping(rng, words, positions)
            words.append("and")
            tree = Tree("and", [first, _music(rng, words, positions)])
        else:
            tree = rng.choice([_shopping, _music])(rng, words, positions)
        actions = oracle(tree, positions)
        out.append(
            {
                "id": f"invented/rows:{i}",
                "domain": "",
                "words": words,
                "tree": str(tree),
                "actions": [int(a.kind) for a in actions],
                "symbols": [a.symbol for a in actions],
                "copy": [a.copy for a in actions],
            }
        )
    return out


def table_of(data: list[dict[str, Any]]) -> pa.Table:
    """Rows as a table of a shard."""
    return pa.Table.from_pylist(data, schema=pa.schema([shard.SCHEMA.field(name) for name in ROW_COLUMNS]))


def setup_of(data: list[dict[str, Any]], config: Config) -> Setup:
    """Everything of a model but its weights, from rows."""
    from parser.evaluate import gold_of

    trees = [gold_of(row).tree for row in data]
    ontology: Ontology = infer(trees)
    counts = Counts()
    counts.add(table_of(data))
    assert counts.values == {value for tree in trees for value in slot_values(tree)}
    return Setup(config, build_vocab(counts, ontology, config.model, "given"), ontology, counts.values)


TINY: dict[str, Any] = {
    "word_dim": 8,
    "char_dim": 4,
    "char_hidden": 6,
    "encoder_hidden": 12,
    "action_dim": 10,
    "decoder_hidden": 14,
    "dropout": 0.0,
}


def tiny(**changes: Any) -> Config:
    """A small model with some switches set."""
    return from_dict({"model": TINY | changes, "train": {"batch_size": 8, "epochs": 2, "warmup": 2, "lr": 0.01}})


def world(count: int = 40, **changes: Any) -> tuple[Setup, Model, Examples, list[dict[str, Any]]]:
    """(setup, model with seeded weights, examples, rows) of the invented world.

    With static vectors the rarer half of the words has nothing else.
    """
    data = rows(count)
    setup = setup_of(data, tiny(**changes))
    if setup.vocab.learned:
        setup.vocab.learned = len(setup.vocab.words) // 2
    torch.manual_seed(3)
    model = setup.build().eval()
    if model.encoder.static is not None:
        torch.nn.init.normal_(model.encoder.static)
    return setup, model, Examples(table_of(data), setup.vocab, setup.ontology, setup.config.model.copy), data


def write_shards(
    directory: Path,
    train: int = 120,
    files: int = 1,
    *,
    seed: int = 0,
    corpus: str = "invented",
    tokeniser: str = "given",
    word: str = "",
) -> Path:
    """A data set with `train` rows in so many files, 20 of dev and 20 of test, 5 of which were rejected.

    Every utterance ends in `word` where there is one.
    """
    directory.mkdir(exist_ok=True)
    entries, splits = [], {}
    for number, (split, count) in enumerate({"train": train, "dev": 20, "test": 20}.items()):
        blank = {"corpus": corpus, "file": "rows", "licence": "", "locale": "en", "composed": False}
        table = [
            blank | row | {"line": i, "split": split, "words": words, "utterance": " ".join(words)}
            for i, row in enumerate(rows(count, seed + number))
            for words in [[*row["words"], word] if word else row["words"]]
        ]
        parts = files if split == "train" else 1
        for part in range(parts):
            path = directory / shard.shard_name(split, part, parts)
            made = indexed(pa.RecordBatch.from_pylist(table[part::parts], schema=shard.ROW_SCHEMA))
            entries.append(shard.write_table(pa.Table.from_batches([made]), path))
        splits[split] = count
    shard.write_text(directory / shard.ONTOLOGY, setup_of(rows(train, seed), tiny()).ontology.dumps())
    total = sum(splits.values())
    manifest = shard.Manifest(
        corpus=corpus,
        rows_in=total + 5,
        rows_out=total,
        rows_rejected=5,
        rejected={"R101": 5},
        rejected_splits={"test": 5},
        shards=entries,
        splits=splits,
        tokeniser=tokeniser,
        fingerprint=shard.fingerprint(entries),
    )
    shard.write_text(directory / shard.MANIFEST, manifest.dumps())
    return directory
