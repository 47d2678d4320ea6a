"""Lines of results -> the Markdown table of an experiment, and its place in a README.

Cells are exact match in per cent, the mean over seeds with the standard deviation where there are several. An
experiment about abstention has a table of that instead.
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
Cells = dict[tuple[str, str], dict[int, float]]
"""By variant and column, the share of each seed."""


def newest(lines: Sequence[Line], keys: Mapping[tuple[str, str, int], str]) -> list[Line]:
    """The lines that belong to the experiment as it stands, by (corpus, variant, seed); the last where several do."""
    found = {place_of(line): line for line in lines if keys.get(place_of(line)) == line["key"]}
    return [found[place] for place in keys if place in found]


def strangers(lines: Sequence[Line], keys: Mapping[tuple[str, str, int], str]) -> int:
    """How many lines no run of the experiment as it stands has made."""
    return sum(keys.get(place_of(line)) != line["key"] for line in lines)


def place_of(line: Line) -> tuple[str, str, int]:
    """(corpus, variant, seed) of a line."""
    return line["corpus"], line["variant"], line["seed"]


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
    if experiment.abstention:
        return _abstentions(experiment, lines)
    lines = [*lines, *chosen(experiment, lines)]
    split = "test" if experiment.test else "dev"
    cells: Cells = {}
    columns: list[str] = []
    for corpus in experiment.corpora:
        mine = [line for line in lines if line["corpus"] == corpus]
        groups = sorted({group for line in mine for group in line[split]["hits"]})
        for group in groups:
            column = (group if len(experiment.corpora) == 1 else f"{corpus} {group}") if group else corpus
            columns.append(column)
            for line in mine:
                share = _share(line, split, group, len(groups))
                cells.setdefault((line["variant"], column), {})[line["seed"]] = share
    variants = [v for v in experiment.variants if any(key[0] == v for key in cells)]
    whole = {v: all((v, column) in cells for column in columns) for v in variants}
    head = ["mean"] if len(columns) > 1 else []
    body: dict[str, list[str]] = {}
    for variant in variants:
        row = [_cell([*cells.get((variant, column), {}).values()]) for column in columns]
        if head:
            mean = _cell(_mean_of_columns(cells, variant, columns)) if whole[variant] else ""
            row = [mean and f"**{mean}**", *row]
        body[variant] = row
    columns = head + columns
    dev, devs = _devs(experiment, lines, variants)
    extra = {v: [devs[v], *_more(experiment, lines, v, split)] for v in variants}
    names = [dev, f"over {experiment.baseline}", "95 %", "p", "seeds", "CPU-minutes a run"]
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


def _mean_of_columns(cells: Cells, variant: str, columns: Sequence[str]) -> list[float]:
    """For each seed that all columns have."""
    values = [cells[variant, column] for column in columns]
    seeds = [seed for seed in values[0] if all(seed in one for one in values)]
    return [statistics.mean(one[seed] for one in values) for seed in seeds]


def _more(experiment: Experiment, lines: Sequence[Line], variant: str, split: str) -> list[str]:
    mine = [line for line in lines if line["variant"] == variant]
    minutes = statistics.mean(line["cpu_seconds"] for line in mine) / 60
    seeds = len({line["seed"] for line in mine})
    gap = ["", "", ""]
    if variant != experiment.baseline and (found := difference(experiment, lines, variant, split)):
        gap = [
            f"{100 * found.mean:+.1f}",
            f"{100 * found.low:+.1f} to {100 * found.high:+.1f}",
            "< 0.001" if found.p < 0.001 else f"{found.p:.3f}",
        ]
    return [*gap, str(seeds), f"{minutes:.1f}"]


def _devs(experiment: Experiment, lines: Sequence[Line], variants: Sequence[str]) -> tuple[str, dict[str, str]]:
    """(the name of the column, each variant's mean on dev), over the corpora that all have, so that they compare.

    Empty where dev was trained on, since it says nothing then.
    """
    joined = {run.variant for run in experiment.runs if run.joined}
    of: dict[str, dict[str, list[float]]] = {variant: {} for variant in variants if variant not in joined}
    for line in lines:
        if line["variant"] in of:
            of[line["variant"]].setdefault(line["corpus"], []).append(_mean_of_groups(line, "dev"))
    has = {corpus for values in of.values() for corpus in values}
    shared = [corpus for corpus in experiment.corpora if of and all(corpus in values for values in of.values())]
    means = dict.fromkeys(variants, "")
    for variant, values in of.items() if shared else ():
        means[variant] = f"{100 * statistics.mean(statistics.mean(values[corpus]) for corpus in shared):.1f}"
    return "dev" if len(shared) in (0, len(has)) else f"dev of {', '.join(shared)}", means


ABSTENTION = {
    "precision": "precision",
    "recall": "recall",
    "auroc": "auroc",
    "answered": "answered, of those inside",
    "exact_match_answered": "exact match of these",
}


def _abstentions(experiment: Experiment, lines: Sequence[Line]) -> str:
    """How well what lies outside is abstained on: a row for each corpus and variant that left something out."""
    split = "test" if experiment.test else "dev"
    of: dict[tuple[str, str], list[Mapping[str, float]]] = {}
    for line in lines:
        figures = line.get("abstention", {}).get(split, {})
        if "recall" in figures:
            of.setdefault((line["corpus"], line["variant"]), []).append(figures)
    several = len({variant for _, variant in of}) > 1
    rows = []
    for (corpus, variant), figures in of.items():
        cells = [_cell([one[key] for one in figures]) for key in ABSTENTION]
        outside = f"{figures[0]['outside']} of {figures[0]['n']}"
        rows.append([f"{corpus} {variant}" if several else corpus, outside, *cells])
    return _markdown(["left out of training", "outside", *ABSTENTION.values()], rows)


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
    left_out = {run.corpus: run.without for run in experiment.runs}
    for line in lines:
        if line["variant"] == variant:
            about = experiment.corpora[line["corpus"]]
            rows = {key: value for key, value in about.get("data", {}).items() if key != "rows"}
            for group, packed in line[split]["hits"].items():
                name = json.dumps(
                    [about.get("shards", line["corpus"]), left_out[line["corpus"]], rows, group], sort_keys=True
                )
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


def put(page: Path, name: str, text: str, force: bool = False) -> None:
    """Replace what stands between the marks of an experiment.

    Raises:
        ConfigError: the page lacks the marks; or its table has more figures than the new one, without `force`.
    """
    begin, end = f"<!-- experiment: {name} -->\n", f"<!-- /experiment: {name} -->"
    page_text = page.read_text("utf-8")
    before, found, rest = page_text.partition(begin)
    old, closed, after = rest.partition(end)
    if not (found and closed):
        raise ConfigError(f"{page}: add the lines `{begin.strip()}` and `{end}` where the table belongs")
    if (less := _figures(text)) < (more := _figures(old)) and not force:
        raise ConfigError(
            f"{page}: its table of `{name}` has {more} figures and the new one {less}, so it is left as it is; "
            "give the settings and --shards that its lines were made with, or --force"
        )
    write_text(page, f"{before}{begin}\n{text}\n{end}{after}")


def _figures(text: str) -> int:
    """How many cells of a table hold a figure, beside the names."""
    rows = [line.strip().strip("|").split("|")[1:] for line in text.strip().splitlines()[2:]]
    return sum(any(letter.isdigit() for letter in cell) for row in rows for cell in row)
