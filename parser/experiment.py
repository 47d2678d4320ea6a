"""Experiments: corpora x variants x seeds from a TOML file; each finished run is one line of `results/NAME.jsonl`.

    title = "Overnight"
    baseline = "published"            # the others are held against it
    group = "domain"                  # report by domain, and the mean of the domains
    seeds = [1, 2, 3]

    [corpora.overnight]               # a data set below --shards, and settings for all variants
    shards = "overnight"
    train = { batch_size = 32 }

    [variants.base]                   # a config, and changes to it
    config = "base"

    [variants.base.on.overnight]      # ... and changes on one corpus
    train = { epochs = 36 }

    [variants.fine-tuned]             # train on other rows first, then on the target
    start = { data = { only = ["blocks"] } }

    [variants.after-all-others]       # ... on all domains but the target
    start = { others = true, train = { epochs = 8 } }

    [variants.after-other-corpora]    # ... on these data sets but the target's, read as one
    start = { shards = ["massive", "top"], train = { epochs = 6 } }

    [variants.ensemble]               # the models of other variants, all seeds, together
    ensemble = ["base"]

A run is known by the hash of its settings, that of the rows of its shards as training reads them, and its seed; what
has a line is skipped, so tables grow and no checkpoint need be kept. `start` may have `auxiliary = 2`: the two domains
nearest to the target (see `candidates`; at most three) are tried, and the one that is best on dev is taken.
`together = true` trains on all domains, with as few rows of each as the target has, and evaluates on the target.
`choose = ["a", "b"]` is no run: for each corpus the one of these variants that is best on dev.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Any

from parser import config as configs
from parser.config import Config, ConfigError, DataConfig, read_toml

FORM = 2
"""Part of every hash: goes up when a default changes or the same settings mean something else."""
SECTIONS = ("data", "model", "train")
MOST_CANDIDATES = 3
_KEYS = {
    "experiment": {"title", "baseline", "group", "seeds", "test", "corpora", "variants", "without", "beam"},
    "corpus": {"shards", "without", *SECTIONS},
    "variant": {"config", "seeds", "on", "start", "together", "ensemble", "choose", "beam", *SECTIONS},
    "change": {*SECTIONS},
    "start": {"auxiliary", "others", "shards", *SECTIONS},
}


@dataclass(frozen=True, slots=True)
class Run:
    """One cell of an experiment.

    Attributes:
        corpus, variant, seed: its place; an ensemble has seed 0.
        shards: the data set.
        stages: settings of each training, one after the other, each starting from the one before.
        members: of an ensemble: the runs whose models it joins.
        start: the data sets of the first stage, where they are others.
        auxiliary: so many domains are tried for the first stage.
        target: the rows to evaluate on, where they are not those of the last stage.
        without, group, test, beam: how it is evaluated.
    """

    corpus: str
    variant: str
    seed: int
    shards: str
    stages: tuple[Config, ...] = ()
    members: tuple[Run, ...] = ()
    start: tuple[str, ...] = ()
    auxiliary: int = 0
    target: DataConfig | None = None
    without: str = ""
    group: str = ""
    test: bool = True
    beam: int = 1

    def key(self, print_of: Callable[[str], str]) -> str:
        """What tells this run from others of its experiment.

        Args:
            print_of: the hash of the rows of a data set, by its name.
        """
        data: dict[str, Any] = {
            "form": FORM,
            "stages": [changed(stage) for stage in self.stages],
            "members": [member.key(print_of) for member in self.members],
            "how": [self.auxiliary, self.without, self.test, self.beam, self.target and _apart(self.target)],
            "rows": print_of(self.shards),
            "seed": self.seed,
        }
        if self.start:
            data["start"] = [print_of(name) for name in self.start]
        return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(slots=True)
class Experiment:
    """An experiment as its file says."""

    name: str
    title: str
    baseline: str
    group: str
    test: bool
    corpora: dict[str, Any]
    variants: dict[str, Any]
    runs: list[Run] = field(default_factory=list)


def names() -> list[str]:
    """The experiments that come with the package."""
    return sorted(f.name[:-5] for f in resources.files("parser.experiments").iterdir() if f.name.endswith(".toml"))


def load(name: str) -> Experiment:
    """Read an experiment by name, or by the path of a TOML file.

    Raises:
        ConfigError: no such experiment, not TOML, or a bad setting.
    """
    data = read_toml("experiment", name, names(), "parser.experiments")
    _known(data, "experiment", name)
    if not data.get("corpora") or not data.get("variants"):
        raise ConfigError(f"{name}: needs at least one table [corpora.X] and one [variants.X]")
    made = Experiment(
        name=Path(name).stem,
        title=data.get("title", Path(name).stem),
        baseline=data.get("baseline", next(iter(data["variants"]))),
        group=data.get("group", ""),
        test=data.get("test", True),
        corpora=data["corpora"],
        variants=data["variants"],
    )
    for variant, spec in made.variants.items():
        if elsewhere := set(spec.get("on", {})) - set(made.corpora):
            raise ConfigError(f"{name}: [variants.{variant}.on.{min(elsewhere)}] is of no corpus of this experiment")
    if made.group not in ("", "domain"):
        raise ConfigError(f"{name}: group must be `domain` or left out, not `{made.group}`")
    if made.baseline not in made.variants:
        raise ConfigError(f"{name}: baseline `{made.baseline}` is not one of the variants {', '.join(made.variants)}")
    seeds = data.get("seeds", [1])
    for corpus, about in made.corpora.items():
        _known(about, "corpus", f"{name}: [corpora.{corpus}]")
        of_variant: dict[str, list[Run]] = {}
        for variant, spec in made.variants.items():
            _known(spec, "variant", f"{name}: [variants.{variant}]")
            shared: dict[str, Any] = {
                "shards": about.get("shards", corpus),
                "without": about.get("without", data.get("without", "")),
                "group": made.group,
                "test": made.test,
                "beam": spec.get("beam", data.get("beam", 1)),
            }
            _known(spec.get("start", {}), "start", f"{name}: [variants.{variant}] start")
            if spec.get("together") and "start" in spec:
                raise ConfigError(f"{name}: [variants.{variant}] has `together` and `start`; give one of them")
            for what, known in (("ensemble", of_variant), ("choose", made.variants)):
                if what in spec and (extra := set(spec) - {what, "beam"}):
                    raise ConfigError(f"{name}: [variants.{variant}] `{min(extra)}` says nothing beside `{what}`")
                if unknown := [one for one in spec.get(what, ()) if one not in known]:
                    raise ConfigError(f"{name}: [variants.{variant}] {what}: no variant `{unknown[0]}` stands above it")
            if "choose" in spec:
                continue
            if "ensemble" in spec:
                members = tuple(run for member in spec["ensemble"] for run in of_variant[member])
                made.runs.append(Run(corpus, variant, 0, members=members, **shared))
                continue
            here = spec.get("on", {}).get(corpus, {})
            _known(here, "change", f"{name}: [variants.{variant}.on.{corpus}]")
            for seed in spec.get("seeds", seeds):
                stages = _stages(about, {**spec, **_merged(spec, here)}, seed)
                auxiliary = spec.get("start", {}).get("auxiliary", 0)
                started = _data_sets(spec.get("start", {}), shared["shards"], f"{name}: [variants.{variant}] start")
                if not 0 <= auxiliary <= MOST_CANDIDATES:
                    raise ConfigError(
                        f"{name}: [variants.{variant}] auxiliary must lie between 0 and {MOST_CANDIDATES}"
                    )
                target = None
                if spec.get("together"):
                    target = stages[-1].data
                    stages = (replace(stages[-1], data=replace(target, only=())),)
                run = Run(
                    corpus, variant, seed, stages=stages, start=started, auxiliary=auxiliary, target=target, **shared
                )
                made.runs.append(run)
                of_variant.setdefault(variant, []).append(run)
    return made


def _known(data: Mapping[str, Any], what: str, where: str) -> None:
    if unknown := set(data) - _KEYS[what]:
        raise ConfigError(f"{where}: unknown key `{min(unknown)}`; known: {', '.join(sorted(_KEYS[what]))}")


def _data_sets(start: Mapping[str, Any], own: str, where: str) -> tuple[str, ...]:
    """The data sets that a first stage reads, where they are others than the target's `own`."""
    if "shards" not in start:
        return ()
    found = start["shards"]
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise ConfigError(f"{where}: `shards` must be a list of data sets below --shards")
    if extra := {"auxiliary", "others"} & set(start):
        raise ConfigError(f"{where}: `{min(extra)}` is of the target's data set, which `shards` replaces; give one")
    names = [str(PurePosixPath(one)) for one in found]
    if len(set(names)) < len(names):
        raise ConfigError(f"{where}: `shards` names a data set twice: {', '.join(names)}")
    others = tuple(one for one in names if one != str(PurePosixPath(own)))
    if not others:
        raise ConfigError(f"{where}: `shards` names no data set but the target's, `{own}`; name others")
    return others


def _stages(about: Mapping[str, Any], spec: Mapping[str, Any], seed: int) -> tuple[Config, ...]:
    base = configs.load(spec.get("config", "base")).to_dict()
    target = _merged(base, about, spec, {"train": {"seed": seed}})
    if "start" not in spec:
        return (configs.from_dict(target),)
    start = {k: v for k, v in spec["start"].items() if k in SECTIONS}
    # What the target says of its rows does not hold for what comes before it.
    first = _merged(base, {k: v for k, v in about.items() if k != "data"}, {"model": spec.get("model", {})}, start)
    first["train"]["seed"] = seed
    rows, mine = target["data"], start.get("data", {})
    # Other data sets have domains of their own, and are read whole.
    first["data"] = dict(mine) if "shards" in spec["start"] else {"by": rows["by"], **mine}
    if spec["start"].get("others"):
        first["data"]["without"] = [*mine.get("without", ()), *rows["only"]]
    return configs.from_dict(first), configs.from_dict(target)


def _merged(*parts: Mapping[str, Any]) -> dict[str, Any]:
    merged: dict[str, Any] = {section: {} for section in SECTIONS}
    for part in parts:
        for section in SECTIONS:
            merged[section] = merged[section] | part.get(section, {})
    return merged


def changed(config: Config) -> dict[str, Any]:
    """The settings that are not the defaults: new settings leave the hashes of old runs as they are."""
    return {
        f"{section}.{key}": value for section in SECTIONS for key, value in _apart(getattr(config, section)).items()
    }


def _apart(settings: Any) -> dict[str, Any]:
    defaults = asdict(type(settings)())
    return {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in asdict(settings).items()
        if value != defaults[key]
    }
