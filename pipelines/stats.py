"""What a data set holds, counted from its columns alone: no tree is built."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grammar import shard
from grammar.actions import GENERATED, Kind
from grammar.ontology import load

if TYPE_CHECKING:
    from rich.table import Table

_TOP = 10


def describe(directory: str | Path) -> dict[str, Any]:
    """Counts of each split, with the manifest's own.

    Returns:
        {"corpus", "rows_in", "rows_out", "rows_rejected", "rejected", "splits": {name: counts}}; counts are
        `rows`, `compound` (several clauses), `words`, `depth`, `actions` (mean and most each), `intents` and
        `slots` (label -> how often), `copied` (share of leaves that are copied).

    Raises:
        ShardError: not a data set.
    """
    manifest = shard.read_manifest(directory)
    ontology = load(Path(directory) / shard.ONTOLOGY)
    kinds = {label: node.kind for label, node in ontology.nodes.items()}
    splits = {split: _split(directory, split, kinds) for split in manifest.splits}
    return {
        "corpus": manifest.corpus,
        "rows_in": manifest.rows_in,
        "rows_out": manifest.rows_out,
        "rows_rejected": manifest.rows_rejected,
        "rejected": manifest.rejected,
        "splits": splits,
    }


def _split(directory: str | Path, split: str, kinds: dict[str, str]) -> dict[str, Any]:
    words: list[int] = []
    actions: list[int] = []
    depths: list[int] = []
    labels: Counter[str] = Counter()
    leaves = copied = compound = 0
    for table in shard.read_split(directory, split, ["words", "actions", "symbols", "copy"]):
        for row in table.to_pylist():
            words.append(len(row["words"]))
            actions.append(len(row["actions"]))
            depth = deepest = 0
            for kind, symbol, copy in zip(row["actions"], row["symbols"], row["copy"], strict=True):
                if kind == Kind.NT:
                    depth += 1
                    deepest = max(deepest, depth)
                    labels[symbol] += 1
                elif kind == Kind.TER:
                    leaves += 1
                    copied += copy != GENERATED
                else:
                    depth -= 1
            depths.append(deepest)
            compound += row["symbols"][0] == "and"
    ranked = labels.most_common()
    return {
        "rows": len(words),
        "compound": compound,
        "words": _spread(words),
        "depth": _spread(depths),
        "actions": _spread(actions),
        "copied": round(copied / leaves, 4) if leaves else 0.0,
        # A label that train never showed is in no inventory; it is listed apart.
        **{
            f"{kind}s": {label: n for label, n in ranked if kinds.get(label, "unknown") == kind}
            for kind in ("intent", "function", "slot", "unknown")
        },
    }


def _spread(numbers: list[int]) -> dict[str, float]:
    return {"mean": round(sum(numbers) / len(numbers), 2) if numbers else 0.0, "most": max(numbers, default=0)}


def table(counts: dict[str, Any]) -> list[Table]:
    """The counts for a terminal: one line per split, then the commonest labels."""
    from rich.table import Table

    heads = ("split", "rows", "compound", "intents", "slots", "words", "depth", "actions", "copied")
    head = Table(*heads, title=f"{counts['corpus']}: {counts['rows_in']:,} in, {counts['rows_out']:,} out", box=None)
    labels = Table("split", "kind", "commonest labels", box=None)
    for name, split in counts["splits"].items():
        spreads = [f"{split[key]['mean']:g} (most {split[key]['most']})" for key in ("words", "depth", "actions")]
        sizes = [f"{split['rows']:,}", f"{split['compound']:,}", str(len(split["intents"])), str(len(split["slots"]))]
        head.add_row(name, *sizes, *spreads, f"{split['copied']:.1%}")
        for kind in ("intents", "slots", "unknowns"):
            if split[kind]:
                top = list(split[kind].items())[:_TOP]
                labels.add_row(name, kind, ", ".join(f"{label} {n:,}" for label, n in top))
    return [head, labels]
