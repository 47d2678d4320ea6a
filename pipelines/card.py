"""The card of a data set: `README.md` with a head that Hugging Face datasets reads, tables, and two pictures.

The head names the files of each split, so that `datasets.load_dataset(DIR)` takes these and leaves `rejected/` out.
"""

from __future__ import annotations

from collections import Counter
from html import escape
from pathlib import Path
from typing import Any

from grammar import shard
from grammar.ontology import Ontology
from pipelines import storage
from pipelines.leaks import KEYS
from pipelines.record import REASONS
from pipelines.stats import count

CARD = "README.md"
FILES = (CARD, "pictures/words.svg", "pictures/depth.svg")
_SIZES = ("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M", "100M<n<1B", "n>1B")
_BARS = 40
_COLOURS = {"train": "#4878a8", "dev": "#e0a030", "test": "#b04848"}


def write(root: str | Path, manifest: shard.Manifest, ontology: Ontology) -> dict[str, Any]:
    """Write the card and its pictures beside the shards; returns the counts that it tells.

    Raises:
        ShardError: a shard cannot be read.
    """
    counts = count(root, manifest, ontology)
    for name, unit in (("words", "words of an utterance"), ("depth", "open nodes of a tree")):
        found = {split: one["histograms"][name] for split, one in counts["splits"].items()}
        storage.write(storage.join(str(root), "pictures", f"{name}.svg"), histogram(found, unit).encode())
    storage.write(storage.join(str(root), CARD), text(counts, manifest).encode())
    return counts


def text(counts: dict[str, Any], manifest: shard.Manifest) -> str:
    """The card."""
    splits = counts["splits"]
    parts = [_head(counts), f"# {counts['corpus'] or 'data set'}"]
    parts.append(
        f"Requests and their trees: {counts['rows_in']:,} records in, {counts['rows_out']:,} rows out, "
        f"{counts['rows_rejected']:,} rejected"
        + (f", {manifest.rows_composed:,} composed" if manifest.rows_composed else "")
        + f". Made by treewright {manifest.versions.get('treewright', '')}, schema {manifest.schema}, "
        f"words `{manifest.tokeniser}`; the options are in `{shard.MANIFEST}`."
    )
    rows = [
        [name, _n(one["rows"]), _n(one["compound"]), len(one["intents"]), len(one["slots"])]
        + [f"{one[key]['mean']:g} ({one[key]['most']})" for key in ("words", "depth", "actions")]
        + [f"{one['copied']:.1%}"]
        for name, one in splits.items()
    ]
    heads = ["split", "rows", "compound", "intents", "slots", "words", "depth", "actions", "leaves copied"]
    parts += ["## Splits", "Mean and, in brackets, most.", _table(heads, rows)]
    parts += ["![Words of an utterance](pictures/words.svg)", "![Depth of a tree](pictures/depth.svg)"]
    parts += ["## Leaks", _leaks(counts)]
    parts += ["## Labels", *(_labels(splits, kind) for kind in ("intents", "functions", "slots", "unknowns"))]
    parts.append("## Rejected")
    if counts["rejected"]:
        letters = [[code, REASONS.get(code, ""), _n(rows)] for code, rows in counts["rejected"].items()]
        parts += [
            f"Each with file, line and raw text in `{shard.REJECTED}/`.",
            _table(["code", "reason", "rows"], letters),
        ]
        if counts["findings"]:
            codes = [f"{code} {_n(rows)}" for code, rows in counts["findings"].items()]
            parts.append(f"What `grammar` finds in their trees, by rows: {', '.join(codes)}.")
    else:
        parts.append("Nothing.")
    return "\n\n".join(part for part in parts if part) + "\n"


def _head(counts: dict[str, Any]) -> str:
    rows = sum(one["rows"] for one in counts["splits"].values())
    size = _SIZES[min(max(0, len(str(max(1, rows))) - 3), len(_SIZES) - 1)]
    licences = _union(counts, "licences")
    languages = sorted({locale.replace("_", "-").split("-")[0].lower() for locale in _union(counts, "locales")})
    lines = ["---", f"pretty_name: {_quoted(counts['corpus'] or 'data set')}"]
    if licences:
        known = len(licences) == 1 and " " not in licences[0]
        lines.append(f"license: {_quoted(licences[0].lower())}" if known else "license: other")
    if languages:
        lines += ["language:", *(f"- {_quoted(language)}" for language in languages)]
    lines += ["size_categories:", f"- {size}", "task_categories:", "- token-classification"]
    lines += ["configs:", "- config_name: default", "  data_files:"]
    for split in counts["splits"]:
        lines += [f"  - split: {split}", f"    path: {split}-*.parquet"]
    return "\n".join([*lines, "---"])


def _leaks(counts: dict[str, Any]) -> str:
    rows = []
    for leak in counts["leaks"]:
        shares = [f"{_n(leak[key])} ({leak[key] / leak['rows']:.1%})" if leak["rows"] else "0" for key in KEYS]
        unseen = counts["unseen"].get(leak["split"], {}) if leak["seen_in"] == "train" else {}
        new = f"{_n(unseen['rows'])} of {_n(unseen['value_rows'])}" if unseen else ""
        rows.append([f"{leak['split']} in {leak['seen_in']}", _n(leak["rows"]), *shares, new])
    odds, repeated = counts["conflicts"], counts["repeated"]
    said = [
        "Rows whose utterance (case and blanks apart), template (values masked) or tree shape (labels alone) also "
        "occurs in another split; and, of the rows with any value, those with one that train lacks."
        if rows
        else "",
        _table(["rows of", "rows", "same utterance", "same template", "same shape", "unseen value"], rows)
        if rows
        else "",
        "Repeated within a split: " + ", ".join(f"{name} {_n(n)}" for name, n in repeated.items()) + ".",
        f"Conflicts: {_n(odds['utterances'])} utterances stand with different trees, in {_n(odds['rows'])} rows.",
    ]
    return "\n\n".join(part for part in said if part)


def _labels(splits: dict[str, Any], kind: str) -> str:
    total = Counter[str]()
    for one in splits.values():
        total.update(one[kind])
    if not total:
        return ""
    rows = [
        [f"`{_cell(label)}`", *(_n(one[kind].get(label, 0)) for one in splits.values())]
        for label, _ in total.most_common()
    ]
    title = "Not in train" if kind == "unknowns" else kind.capitalize()
    return f"### {title}\n\n" + _table([kind[:-1] if kind != "unknowns" else "label", *splits], rows)


def histogram(counts: dict[str, dict[int, int]], unit: str) -> str:
    """An SVG picture: for each split the share of rows by size; sizes over `_BARS` are the last bar."""
    most = min(_BARS, max((size for found in counts.values() for size in found), default=1))
    shares: dict[str, list[float]] = {}
    for split, found in counts.items():
        bars = [0.0] * (most + 1)
        for size, rows in found.items():
            bars[min(size, most)] += rows / max(1, sum(found.values()))
        shares[split] = bars
    top = max((share for bars in shares.values() for share in bars), default=0) or 1
    width, height, thin = 640, 160, 640 / (most + 1) / max(1, len(shares))
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width + 20} {height + 60}" font-family="sans-serif" '
        'font-size="11">',
        f"<title>Share of rows by {escape(unit)}</title>",
    ]
    for number, (split, bars) in enumerate(shares.items()):
        colour = _COLOURS.get(split, "#808080")
        lines.append(f'<text x="{10 + 70 * number}" y="12" fill="{colour}">{escape(split)}</text>')
        for size, share in enumerate(bars):
            x, tall = 10 + (size * len(shares) + number) * thin, share / top * height
            title = f"{split}: {share:.1%} of rows have {size}{' or more' if size == _BARS else ''}"
            lines.append(
                f'<rect x="{x:.1f}" y="{20 + height - tall:.1f}" width="{thin:.1f}" height="{tall:.1f}" '
                f'fill="{colour}">'
                f"<title>{escape(title)}</title></rect>"
            )
    step = max(1, most // 10)
    for size in range(0, most + 1, step):
        x = 10 + (size + 0.5) * width / (most + 1)
        lines.append(f'<text x="{x:.1f}" y="{height + 34}" text-anchor="middle">{size}</text>')
    lines.append(f'<text x="10" y="{height + 52}">{escape(unit)}; the highest bar is {top:.1%} of its split</text>')
    return "\n".join([*lines, "</svg>"]) + "\n"


def _union(counts: dict[str, Any], kind: str) -> list[str]:
    return sorted({value for one in counts["splits"].values() for value in one[kind] if value})


def _table(heads: list[str], rows: list[list[Any]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def _cell(value: str) -> str:
    return value.replace("|", "\\|")


def _quoted(value: str) -> str:
    """A YAML string: JSON's form is one."""
    import json

    return json.dumps(value, ensure_ascii=False)


def _n(number: int) -> str:
    return f"{number:,}"
