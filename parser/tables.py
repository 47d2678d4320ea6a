"""Lines of results -> the Markdown table of an experiment, and its place in a README.

Cells are exact match in per cent, the mean over seeds with the standard deviation where there are several.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from grammar.shard import write_text
from parser.config import ConfigError
from parser.experiment import Experiment
from parser.significance import Difference, paired_bootstrap, unpack

WIDE = 9
"""With more columns than this, variants become columns and corpora rows."""

Line = Mapping[str, Any]


def newest(lines: Sequence[Line], keys: Mapping[tuple[str, str, int], str]) -> list[Line]:
    """The lines that belong to the experiment as it stands, by (corpus, variant, seed); the last where several do."""
    found: dict[tuple[str, str, int], Line] = {}
    for line in lines:
        place = (line["corpus"], line["variant"], line["seed"])
        if keys.get(place) == line["key"]:
            found[place] = line
    return [found[place] for place in keys if place in found]


def chosen(experiment: Experiment, lines: Sequence[Line]) -> list[Line]:
    """Lines of the variants that `choose` the best of others on dev, for each corpus over its seeds."""
    made: list[Line] = []
    for variant, spec in experiment.variants.items():
        for corpus in experiment.corpora if "choose" in spec else ():
            among = [line for line in lines if line["corpus"] == corpus and line["variant"] in spec["choose"]]
            by: dict[str, list[Line]] = {}
            for line in among:
                by.setdefault(line["variant"], []).append(line)
            if len(by) == len(spec["choose"]):
                best = max(by.values(), key=lambda of: statistics.mean(line["dev"]["exact_match"] for line in of))
                made += [{**line, "variant": variant, "chosen": line["variant"]} for line in best]
    return made


def table(experiment: Experiment, lines: Sequence[Line]) -> str:
    """The table of an experiment's lines."""
    lines = [*lines, *chosen(experiment, lines)]
    split = "test" if experiment.test else "dev"
    cells: dict[tuple[str, str], list[float]] = {}
    columns: list[str] = []
    for corpus in experiment.corpora:
        mine = [line for line in lines if line["corpus"] == corpus]
        groups = sorted({group for line in mine for group in line[split]["hits"]})
        for group in groups:
            column = (group if len(experiment.corpora) == 1 else f"{corpus} {group}") if group else corpus
            columns.append(column)
            for line in mine:
                cells.setdefault((line["variant"], column), []).append(_share(line, split, group, len(groups)))
    variants = [v for v in experiment.variants if any(key[0] == v for key in cells)]
    whole = {v: all((v, column) in cells for column in columns) for v in variants}
    head = ["mean"] if len(columns) > 1 else []
    body: dict[str, list[str]] = {}
    for variant in variants:
        row = [_cell(cells.get((variant, column), [])) for column in columns]
        if head:
            row = [f"**{_cell(_mean_of_columns(cells, variant, columns))}**" if whole[variant] else "", *row]
        body[variant] = row
    columns = head + columns
    extra = {v: _more(experiment, lines, v, split) for v in variants}
    names = ["dev", f"over {experiment.baseline}", "95 %", "p", "seeds", "CPU-minutes a run"]
    if len(columns) > WIDE:
        rows = [[column, *(body[v][i] for v in variants)] for i, column in enumerate(columns)]
        rows += [[name, *(extra[v][i] for v in variants)] for i, name in enumerate(names)]
        return _markdown(["", *variants], rows)
    return _markdown(["", *columns, *names], [[v, *body[v], *extra[v]] for v in variants])


def _share(line: Line, split: str, group: str, groups: int) -> float:
    if groups == 1:
        return float(line[split]["exact_match"])  # rejected rows count
    return float(unpack(line[split]["hits"][group]).mean())


def _mean_of_groups(line: Line, split: str) -> float:
    groups = line[split]["hits"]
    return statistics.mean(_share(line, split, group, len(groups)) for group in groups)


def _mean_of_columns(cells: Mapping[tuple[str, str], list[float]], variant: str, columns: Sequence[str]) -> list[float]:
    runs = min(len(cells[variant, column]) for column in columns)
    return [statistics.mean(cells[variant, column][i] for column in columns) for i in range(runs)]


def _more(experiment: Experiment, lines: Sequence[Line], variant: str, split: str) -> list[str]:
    mine = [line for line in lines if line["variant"] == variant]
    # Of rows that were trained on too it says nothing.
    names = {line.get("chosen", variant) for line in mine}
    runs = [one for run in experiment.runs if run.variant in names for one in run.members or (run,)]
    seen = any(stage.data.join_dev for run in runs for stage in run.stages)
    dev = "" if seen else f"{100 * statistics.mean(_mean_of_groups(line, 'dev') for line in mine):.1f}"
    minutes = statistics.mean(line["cpu_seconds"] for line in mine) / 60
    seeds = len({line["seed"] for line in mine})
    gap = ["", "", ""]
    if variant != experiment.baseline and (found := difference(experiment, lines, variant, split)):
        gap = [
            f"{100 * found.mean:+.1f}",
            f"{100 * found.low:+.1f} to {100 * found.high:+.1f}",
            "< 0.001" if found.p < 0.001 else f"{found.p:.3f}",
        ]
    return [dev, *gap, str(seeds), f"{minutes:.1f}"]


def difference(experiment: Experiment, lines: Sequence[Line], variant: str, split: str) -> Difference | None:
    """The paired bootstrap of a variant against the baseline, on the corpora that both were tried on; None for none."""
    ours, theirs = (_hits(experiment, lines, name, split) for name in (experiment.baseline, variant))
    shared = [name for name in ours if name in theirs]
    if not shared:
        return None
    return paired_bootstrap({name: theirs[name] for name in shared}, {name: ours[name] for name in shared})


def _hits(experiment: Experiment, lines: Sequence[Line], variant: str, split: str) -> dict[str, np.ndarray]:
    """Per group; corpora that differ in the number of train rows alone have the same utterances, which count once."""
    found: dict[str, list[np.ndarray]] = {}
    for line in lines:
        if line["variant"] == variant:
            about = experiment.corpora[line["corpus"]]
            rows = {key: value for key, value in about.get("data", {}).items() if key != "rows"}
            for group, packed in line[split]["hits"].items():
                name = json.dumps([about.get("shards", line["corpus"]), rows, group], sort_keys=True)
                found.setdefault(name, []).append(unpack(packed))
    return {name: np.mean(several, axis=0) for name, several in found.items()}


def _cell(values: Sequence[float]) -> str:
    if not values:
        return ""
    mean = f"{100 * statistics.mean(values):.1f}"
    return mean if len(values) == 1 else f"{mean} ± {100 * statistics.stdev(values):.1f}"


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def put(page: Path, name: str, text: str) -> None:
    """Replace what stands between the marks of an experiment.

    Raises:
        ConfigError: the page lacks the marks.
    """
    begin, end = f"<!-- experiment: {name} -->\n", f"<!-- /experiment: {name} -->"
    page_text = page.read_text("utf-8")
    before, found, rest = page_text.partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise ConfigError(f"{page}: add the lines `{begin.strip()}` and `{end}` where the table belongs")
    write_text(page, f"{before}{begin}\n{text}\n{end}{after}")
