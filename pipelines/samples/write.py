"""Write samples: flat for the converter, gold trees to compare with, and (if asked) shards as the parser reads them.

DIR/flat/train/{seq.in,seq.out,label}    words, B-/I-/O tags, intents joined by `#`
DIR/gold/train.tsv                       utterance <TAB> tree
DIR/gold/ontology.toml                   inferred from the trees of train, with descriptions
DIR/shards/                              a data set, made from the gold trees without Beam
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from grammar.actions import oracle
from grammar.infer import Counts
from grammar.ontology import Ontology
from pipelines.samples.generate import Sample
from pipelines.samples.templates import SPLITS, load

CORPUS = "samples"


def write(samples: Iterable[Sample], directory: str | Path, shards: bool = False) -> dict[str, int]:
    """Write all forms below `directory`; what was there of them is replaced.

    Returns:
        Rows of each split.

    Raises:
        FileExistsError: `directory` is a file, or its `shards/` is not a data set and would be replaced.
    """
    root = Path(directory)
    if root.exists() and not root.is_dir():
        raise FileExistsError(f"{root} is a file; `--output` takes a directory")
    if shards:
        from pipelines.publish import make_room

        make_room(root / "shards", overwrite=True)
    dealt: dict[str, list[Sample]] = {split: [] for split in SPLITS}
    counts = Counts()
    for sample in samples:
        dealt[sample.split].append(sample)
        if sample.split == "train":
            counts.add(sample.tree)
    ontology = review(counts.ontology())
    for split, rows in dealt.items():
        flat = root / "flat" / split
        _lines(flat / "seq.in", (" ".join(s.words) for s in rows))
        _lines(flat / "seq.out", (" ".join(s.tags) for s in rows))
        _lines(flat / "label", ("#".join(s.intents) for s in rows))
        _lines(root / "gold" / f"{split}.tsv", (f"{' '.join(s.words)}\t{s.tree}" for s in rows))
    _lines(root / "gold" / "ontology.toml", [ontology.dumps().rstrip("\n")])
    if shards:
        write_shards(dealt, root / "shards", ontology)
    return {split: len(rows) for split, rows in dealt.items()}


def review(draft: Ontology) -> Ontology:
    """The inferred ontology with what a person would add: a line on every label."""
    words = load().descriptions | {"and": "clauses of one request, in order", "add": "values of one slot, in order"}
    nodes = {label: replace(node, description=words.get(label, "")) for label, node in draft.nodes.items()}
    return Ontology(nodes, draft.roots, draft.lexicon)


def write_shards(
    dealt: dict[str, Sequence[Sample]] | dict[str, list[Sample]], target: Path, ontology: Ontology
) -> None:
    """One shard per split, rows sorted by id, the manifest last."""
    import pyarrow as pa

    from grammar import shard
    from pipelines import card
    from pipelines.index import indexed_table
    from pipelines.publish import versions

    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    manifest = shard.Manifest(corpus=CORPUS, options={"format": CORPUS}, tokeniser="given")
    for split, samples in dealt.items():
        rows = sorted((_row(sample, line) for line, sample in enumerate(samples, 1)), key=lambda row: row["id"])
        table = pa.Table.from_pylist(rows, schema=shard.ROW_SCHEMA)
        manifest.shards.append(shard.write_table(indexed_table(table), target / shard.shard_name(split, 0, 1)))
        manifest.splits[split] = len(rows)
    manifest.rows_in = manifest.rows_out = sum(manifest.splits.values())
    manifest.versions = versions("pyarrow")
    manifest.grammar_sha256 = shard.grammar_sha256()
    manifest.ontology_sha256 = ontology.sha256()
    manifest.fingerprint = shard.fingerprint(manifest.shards)
    manifest.check()
    shard.write_text(target / shard.ONTOLOGY, ontology.dumps())
    card.write(target, manifest, ontology)
    shard.write_text(target / shard.MANIFEST, manifest.dumps())


def _row(sample: Sample, line: int) -> dict[str, Any]:
    actions = oracle(sample.tree, sample.positions)
    return {
        "id": f"{CORPUS}/{sample.split}:{line}",
        "corpus": CORPUS,
        "domain": "",
        "file": sample.split,
        "line": line,
        "split": sample.split,
        "licence": "Apache-2.0",
        "locale": "en",
        "utterance": " ".join(sample.words),
        "words": list(sample.words),
        "tree": str(sample.tree),
        "actions": [int(action.kind) for action in actions],
        "symbols": [action.symbol for action in actions],
        "copy": [action.copy for action in actions],
        "composed": False,
    }


def _lines(path: Path, lines: Iterable[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(f"{line}\n" for line in lines).encode("utf-8"))
