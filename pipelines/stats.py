"""What a data set holds, counted from its columns alone: no tree is built, and no row is looked at by itself."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from grammar import shard
from grammar.actions import GENERATED, Kind
from grammar.ontology import Ontology, loads
from pipelines import dataset, leaks

if TYPE_CHECKING:
    from rich.table import Table

_TOP = 10
_COLUMNS = ("words", "actions", "symbols", "copy", "depth", "corpus", "domain", "licence", "locale")
_CODED = ("words.list.element", "symbols.list.element", "corpus", "domain", "licence", "locale")


def describe(directory: str | Path) -> dict[str, Any]:
    """Counts of each split, with the manifest's own.

    Returns:
        {"corpus", "rows_in", "rows_out", "rows_rejected", "rejected", "findings" (code of `grammar` -> dead letters
        with it), "splits": {name: counts}, "leaks", "repeated", "conflicts", "unseen"}; counts are `rows`, `compound`
        (several clauses), `words`, `depth`, `actions` (mean and most each), `histograms` of these, `intents` and
        `slots` (label -> how often), `copied` (share of leaves that are copied), `domains`, `licences`, `locales`; for
        the last four see `leaks.find`.

    Raises:
        ShardError: not a data set, or a part of it cannot be read.
    """
    manifest = dataset.manifest(directory)
    return count(directory, manifest, loads(dataset.ontology(directory)))


def count(root: str | Path, manifest: shard.Manifest, ontology: Ontology) -> dict[str, Any]:
    """The same of a data set whose manifest is not written yet."""
    kinds = {label: node.kind for label, node in ontology.nodes.items()}
    return {
        "corpus": manifest.corpus,
        "rows_in": manifest.rows_in,
        "rows_out": manifest.rows_out,
        "rows_rejected": manifest.rows_rejected,
        "rejected": manifest.rejected,
        "findings": _findings(root, manifest),
        "splits": {split: _split(root, manifest, split, kinds) for split in manifest.splits},
        **leaks.find(root, manifest),
    }


def _findings(root: str | Path, manifest: shard.Manifest) -> dict[str, int]:
    found = Counter[str]()
    for letters in dataset.rejections(root, manifest):
        found.update(pc.list_flatten(letters["findings"]).to_pylist())
    return dict(sorted(found.items()))


def _split(root: str | Path, manifest: shard.Manifest, split: str, kinds: dict[str, str]) -> dict[str, Any]:
    sizes: dict[str, Counter[int]] = {name: Counter() for name in ("words", "depth", "actions")}
    texts: dict[str, Counter[str]] = {name: Counter() for name in ("corpus", "domain", "licence", "locale")}
    labels: Counter[str] = Counter()
    rows = leaves = copied = compound = 0
    for batch in dataset.batches(root, manifest, split, _COLUMNS, _CODED):
        if not batch.num_rows:
            continue
        rows += batch.num_rows
        for name in sizes:
            column = batch[name] if name == "depth" else pc.list_value_length(batch[name])
            sizes[name].update(_times(column))
        for name in texts:
            texts[name].update(_times(batch[name]))
        kind, symbols = np.asarray(batch["actions"].flatten()), batch["symbols"].flatten()
        labels.update(_times(symbols.filter(pa.array(kind == Kind.NT))))
        leaves += int((kind == Kind.TER).sum())
        copied += int((np.asarray(batch["copy"].flatten()) != GENERATED).sum())
        starts = np.asarray(batch["symbols"].offsets)
        compound += _times(symbols.take(pa.array(starts[:-1] - starts[0]))).get("and", 0)
    ranked = labels.most_common()
    return {
        "rows": rows,
        "compound": compound,
        **{name: _spread(found) for name, found in sizes.items()},
        "histograms": {name: dict(sorted(found.items())) for name, found in sizes.items()},
        "copied": round(copied / leaves, 4) if leaves else 0.0,
        # A label that train never showed is in no inventory; it is listed apart.
        **{
            f"{kind}s": {label: n for label, n in ranked if kinds.get(label, "unknown") == kind}
            for kind in ("intent", "function", "slot", "unknown")
        },
        **{f"{name}s": dict(texts[name].most_common()) for name in ("domain", "licence", "locale")},
    }


def _times(column: pa.Array) -> dict[Any, int]:
    return {row["values"]: row["counts"] for row in pc.value_counts(column).to_pylist()}


def _spread(found: Counter[int]) -> dict[str, float]:
    rows = found.total()
    mean = sum(size * times for size, times in found.items()) / rows if rows else 0.0
    return {"mean": round(mean, 2), "most": max(found, default=0)}


def table(counts: dict[str, Any]) -> list[Table]:
    """The counts for a terminal: one line per split, then the commonest labels, then what the splits share."""
    from rich.table import Table

    heads = ("split", "rows", "compound", "intents", "slots", "words", "depth", "actions", "copied", "repeated")
    head = Table(*heads, title=f"{counts['corpus']}: {counts['rows_in']:,} in, {counts['rows_out']:,} out", box=None)
    labels = Table("split", "kind", "commonest labels", box=None)
    for name, split in counts["splits"].items():
        spreads = [f"{split[key]['mean']:g} (most {split[key]['most']})" for key in ("words", "depth", "actions")]
        sizes = [f"{split['rows']:,}", f"{split['compound']:,}", str(len(split["intents"])), str(len(split["slots"]))]
        head.add_row(name, *sizes, *spreads, f"{split['copied']:.1%}", f"{counts['repeated'][name]:,}")
        for kind in ("intents", "slots", "unknowns"):
            if split[kind]:
                top = list(split[kind].items())[:_TOP]
                labels.add_row(name, kind, ", ".join(f"{label} {n:,}" for label, n in top))
    shared = Table("rows of", "also in", "rows", "utterance", "template", "shape", "unseen value", box=None)
    for leak in counts["leaks"]:
        unseen = counts["unseen"].get(leak["split"]) if leak["seen_in"] == "train" else None
        figures = [f"{leak[key]:,}" for key in ("rows", *leaks.KEYS)]
        shared.add_row(leak["split"], leak["seen_in"], *figures, f"{unseen['rows']:,}" if unseen else "")
    odds = counts["conflicts"]
    shared.caption = f"{odds['utterances']:,} utterances have several trees, in {odds['rows']:,} rows"
    shared.caption_justify = "left"
    return [head, labels, shared]
