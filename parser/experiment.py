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
`choose = ["a", "b"]` is no run: for each corpus the one of these variants that is best on dev. With
`abstention = true` the table tells how well what `data.without` left out is abstained on.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
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
_TABLES = dict.fromkeys(SECTIONS, "a table")
_KEYS = {
    "experiment": {
        **dict.fromkeys(("title", "baseline", "group", "without"), "a string"),
        **dict.fromkeys(("corpora", "variants"), "a table"),
        **dict.fromkeys(("test", "abstention"), "true or false"),
        "seeds": "a list of whole numbers",
        "beam": "a whole number",
    },
    "corpus": {"shards": "a string", "without": "a string", **_TABLES},
    "variant": {
        **dict.fromkeys(("ensemble", "choose"), "a list of strings"),
        **dict.fromkeys(("on", "start"), "a table"),
        "config": "a string",
        "together": "true or false",
        "seeds": "a list of whole numbers",
        "beam": "a whole number",
        **_TABLES,
    },
    "change": _TABLES,
    "start": {"auxiliary": "a whole number", "others": "true or false", "shards": "a list of strings", **_TABLES},
}
_TYPES = {"a string": str, "a whole number": int, "true or false": bool, "a table": dict}
_ITEMS = {"a list of strings": str, "a list of whole numbers": int}


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

    @property
    def name(self) -> str:
        """Its place, for messages."""
        return f"{self.corpus} {self.variant} seed {self.seed}"

    @property
    def joined(self) -> bool:
        """Whether dev was trained on, so that it says nothing."""
        return any(stage.data.join_dev for run in self.members or (self,) for stage in run.stages)

    @property
    def domains(self) -> tuple[str, ...]:
        """The domains whose rows it is evaluated on, below what makes a domain; none: all rows."""
        if self.members:
            return self.members[0].domains
        rows = self.target or self.stages[-1].data
        return (rows.by, *sorted(rows.only)) if rows.only else ()

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
        if self.group:
            data["group"] = self.group
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
    abstention: bool
    corpora: dict[str, Any]
    variants: dict[str, Any]
    runs: list[Run] = field(default_factory=list)

    def select(self, corpora: Sequence[str] = (), variants: Sequence[str] = (), seeds: Sequence[int] = ()) -> list[Run]:
        """The runs of these alone; none given: of all. A variant that chooses stands for those that it chooses among.

        Raises:
            ConfigError: a name that the experiment does not have, or no run has all that is asked for.
        """
        _among("corpus", corpora, self.corpora)
        _among("variant", variants, self.variants)
        _among(
            "seed", map(str, seeds), dict.fromkeys(str(one.seed) for run in self.runs for one in run.members or (run,))
        )
        wanted = {name for variant in variants for name in self.variants[variant].get("choose", (variant,))}
        found = [
            run
            for run in self.runs
            if (not corpora or run.corpus in corpora)
            and (not variants or run.variant in wanted)
            and (not seeds or {one.seed for one in run.members or (run,)} <= set(seeds))
        ]
        if not found:
            raise ConfigError(
                f"{self.name} has no run with all that --corpus, --variant and --seed ask for; "
                "give fewer of them (an ensemble asks for the seeds of all its members)"
            )
        return found


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
        abstention=data.get("abstention", False),
        corpora=data["corpora"],
        variants=data["variants"],
    )
    for corpus, about in made.corpora.items():
        _known(about, "corpus", f"{name}: [corpora.{corpus}]")
    for variant, spec in made.variants.items():
        where = f"{name}: [variants.{variant}]"
        _known(spec, "variant", where)
        _known(spec.get("start", {}), "start", f"{where} start")
        if elsewhere := set(spec.get("on", {})) - set(made.corpora):
            raise ConfigError(f"{name}: [variants.{variant}.on.{min(elsewhere)}] is of no corpus of this experiment")
        for corpus, here in spec.get("on", {}).items():
            _known(here, "change", f"{name}: [variants.{variant}.on.{corpus}]")
        if spec.get("together") and "start" in spec:
            raise ConfigError(f"{where} has `together` and `start`; give one of them")
        for what in ("ensemble", "choose"):
            if what in spec and (extra := set(spec) - {what, "beam"}):
                raise ConfigError(f"{where} `{min(extra)}` says nothing beside `{what}`")
    if made.group not in ("", "domain"):
        raise ConfigError(f"{name}: group must be `domain` or left out, not `{made.group}`")
    if made.baseline not in made.variants:
        raise ConfigError(f"{name}: baseline `{made.baseline}` is not one of the variants {', '.join(made.variants)}")
    for corpus in made.corpora:
        above: dict[str, list[Run]] = {}
        for variant in made.variants:
            above[variant] = _runs(made, data, corpus, variant, above)
            made.runs += above[variant]
    return made


def comparable(runs: Sequence[Run]) -> None:
    """Make sure that runs are evaluated on the same rows of their corpus.

    Raises:
        ConfigError: two are not.
    """
    first: dict[str, Run] = {}
    for run in runs:
        other = first.setdefault(run.corpus, run)
        if run.domains != other.domains:
            raise ConfigError(
                f"`{run.variant}` is evaluated on other rows of {run.corpus} than `{other.variant}`, so they cannot be "
                f"compared; give `data.only` in [corpora.{run.corpus}], where it is of all variants"
            )


def _runs(
    made: Experiment, data: Mapping[str, Any], corpus: str, variant: str, above: Mapping[str, list[Run]]
) -> list[Run]:
    """The runs of a variant on a corpus; those of the variants before it are `above`."""
    about, spec, where = made.corpora[corpus], made.variants[variant], f"{made.name}: [variants.{variant}]"
    shared: dict[str, Any] = {
        "shards": about.get("shards", corpus),
        "without": about.get("without", data.get("without", "")),
        "group": made.group,
        "test": made.test,
        "beam": spec.get("beam", data.get("beam", 1)),
    }
    for what, unfit in (("ensemble", {"ensemble", "choose"}), ("choose", {"choose"})):
        for one in spec.get(what, ()):
            if one not in above or unfit & set(made.variants[one]):
                raise ConfigError(f"{where} {what}: no variant `{one}` stands above it")
            if what == "choose" and any(run.joined for run in above[one]):
                raise ConfigError(f"{where} choose: `{one}` trains on dev (data.join_dev), which cannot choose it then")
    if "choose" in spec:
        return []
    if "ensemble" in spec:
        return [Run(corpus, variant, 0, members=tuple(run for one in spec["ensemble"] for run in above[one]), **shared)]
    runs = []
    for seed in spec.get("seeds", data.get("seeds", [1])):
        stages = _stages(about, {**spec, **_merged(spec, spec.get("on", {}).get(corpus, {}))}, seed)
        start, target = spec.get("start"), None
        started = () if start is None else _started(start, shared["shards"], stages[-1].data, f"{where} start")
        if spec.get("together"):
            target = stages[-1].data
            stages = (replace(stages[-1], data=replace(target, only=())),)
        auxiliary = spec.get("start", {}).get("auxiliary", 0)
        runs.append(
            Run(corpus, variant, seed, stages=stages, start=started, auxiliary=auxiliary, target=target, **shared)
        )
    return runs


def _known(data: Any, what: str, where: str) -> None:
    """Refuse keys that mean nothing and values of another type."""
    keys = _KEYS[what]
    if not isinstance(data, dict):
        raise ConfigError(f"{where} must be a table, not {data!r}")
    if unknown := set(data) - set(keys):
        raise ConfigError(f"{where}: unknown key `{min(unknown)}`; known: {', '.join(sorted(keys))}")
    for key, value in data.items():
        item = _ITEMS.get(keys[key])
        if item is None:
            fits = type(value) is _TYPES[keys[key]]
        else:
            fits = isinstance(value, list) and bool(value) and all(type(one) is item for one in value)
        if not fits:
            raise ConfigError(f"{where}: `{key}` must be {keys[key]}, not {value!r}")


def _among(what: str, names: Iterable[str], known: Mapping[str, Any]) -> None:
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"; the nearest is `{near[0]}`" if near else ""
            raise ConfigError(f"no {what} `{name}`{hint}; there are {', '.join(known)}")


def _started(start: Mapping[str, Any], own: str, target: DataConfig, where: str) -> tuple[str, ...]:
    """The data sets that a first stage reads, where they are others than the target's `own`.

    Raises:
        ConfigError: what it reads is not told, told twice, or cannot be told from the target.
    """
    told = [key for key in ("auxiliary", "others", "shards") if start.get(key)]
    if not 0 <= start.get("auxiliary", 0) <= MOST_CANDIDATES:
        raise ConfigError(f"{where}: auxiliary must lie between 0 and {MOST_CANDIDATES}")
    if len(told) > 1:
        raise ConfigError(f"{where}: `{told[0]}` and `{told[1]}` both say what is read first; give one of them")
    if not told and not start.get("data"):
        raise ConfigError(
            f"{where} does not say what is read first; give `auxiliary`, `others`, `shards`, or rows in `data`"
        )
    if told and told[0] != "shards" and not target.only:
        raise ConfigError(f"{where}: `{told[0]}` needs to know the target; name its domains in `data.only`")
    if told == ["auxiliary"] and target.join_dev:
        raise ConfigError(f"{where}: dev chooses the auxiliary domain, so `data.join_dev` cannot train on it")
    if told != ["shards"]:
        return ()
    names = [str(PurePosixPath(one)) for one in start["shards"]]
    if len(set(names)) < len(names):
        raise ConfigError(f"{where}: `shards` names a data set twice: {', '.join(names)}")
    others = tuple(one for one in names if one != str(PurePosixPath(own)))
    if not others:
        raise ConfigError(f"{where}: `shards` names no data set but the target's, `{own}`; name others")
    return others


def _stages(about: Mapping[str, Any], spec: Mapping[str, Any], seed: int) -> tuple[Config, ...]:
    base = configs.load(spec.get("config", "base")).to_dict()
    target = configs.from_dict(_merged(base, about, spec, {"train": {"seed": seed}}))
    if "start" not in spec:
        return (target,)
    start = {k: v for k, v in spec["start"].items() if k in SECTIONS}
    configs.from_dict(start)
    # What the target says of its rows does not hold for what comes before it.
    first = _merged(base, {k: v for k, v in about.items() if k != "data"}, {"model": spec.get("model", {})}, start)
    first["train"]["seed"] = seed
    mine = start.get("data", {})
    # Other data sets have domains of their own, and are read whole.
    first["data"] = dict(mine) if "shards" in spec["start"] else {"by": target.data.by, **mine}
    if spec["start"].get("others"):
        first["data"]["without"] = [*mine.get("without", ()), *target.data.only]
    return configs.from_dict(first), target


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
