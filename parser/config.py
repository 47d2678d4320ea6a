"""Settings of a run: documented dataclasses, read from TOML, unknown keys refused with the nearest name.

    config = load("base", ["train.epochs=5", "model.copy=false"])

A name without a suffix is a file of `parser/configs/`; anything else is a path.
"""

from __future__ import annotations

import dataclasses
import difflib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any


class ConfigError(ValueError):
    """A setting that is unknown, of the wrong type or out of range; the message says how to mend it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelConfig:
    """What the network is made of. Widths are numbers of units."""

    word_dim: int = 100
    """Width of a word embedding."""
    static_dim: int = 0
    """Width of static vectors (`train.vectors`) beside the learned embeddings, never changed; 0: they start those."""
    char_dim: int = 24
    """Width of a character embedding."""
    char_hidden: int = 50
    """Width of a word's character vector; 0 leaves characters out."""
    chars: str = "cnn"
    """`cnn` (width 3, max over places) or `lstm` (last state, as published)."""
    encoder_hidden: int = 200
    """Width of the BiLSTM's state, both directions together; even."""
    encoder_layers: int = 1
    """Layers of the BiLSTM."""
    action_dim: int = 100
    """Width of an action vector: labels, lexicon words, copied words, composed nodes."""
    decoder_hidden: int = 200
    """Width of the history LSTM, the stack-LSTM and the last hidden layer."""
    dropout: float = 0.4
    """Share of units dropped: word input, encoder states, and what `decoder_dropout` names."""
    decoder_dropout: float = -1.0
    """Share dropped of action vectors, features and the last hidden layer; below 0: as `dropout`."""
    word_init: float = 0.1
    """Standard deviation of fresh word embeddings."""
    lowercase: bool = True
    """Look words up in lower case; characters and leaves keep their case."""
    digits: bool = False
    """Read an unknown number as one of its form, where train has rare ones: `1291` and `7:30` as `0000` and `0:00`."""
    stack: bool = False
    """The stack-LSTM (Dyer et al. 2015), with composition of closed nodes."""
    history: bool = True
    """The LSTM over the actions taken so far."""
    context: bool = True
    """Embeddings of the open node's label and of its last finished child."""
    front: bool = True
    """The encoder state of the word after the last copied one, and learned biases by distance from it."""
    ascending: bool = True
    """With `front`: where all training trees copy words in their order, copy no word that lies before the front."""
    attention: str = "dot"
    """`dot`, `additive` (as published) or `none`."""
    copy: bool = True
    """Leaves may be copied from the utterance; without it every leaf comes from the lexicon."""
    joint: bool = True
    """One softmax over all symbols and positions; false: action first, then label or word (as published)."""
    marginal: bool = False
    """Add up the probabilities of all ways to write the same word: equal words, and the lexicon."""
    init_from_encoder: bool = True
    """Start history and stack from the encoder's last states; false: from zeros."""
    pooled: bool = False
    """With `init_from_encoder`: start from a weighted mean of all its states, not from the last ones."""
    lexicon_min: int = 0
    """Leaf words seen this often in training may be generated too; 0: only those never copied."""
    words_max: int = 500_000
    """Most frequent words with an embedding of their own, the others are read as unknown; 0: all."""
    domains: str = "none"
    """One network over many domains, the domain given: `shared` (every layer), `ter` (each domain has its own layer
    of lexicon words), `both` (of labels too); in each, only symbols that a domain's training rows hold may come."""
    pretrained: str = ""
    """Folder of a small pretrained transformer (BERT), whose states are read beside the words; needed to train only."""
    domain_dim: int = 16
    """Width of a domain embedding."""

    def __post_init__(self) -> None:
        _among("model.chars", self.chars, ("cnn", "lstm"))
        _among("model.attention", self.attention, ("dot", "additive", "none"))
        _among("model.domains", self.domains, ("none", "shared", "ter", "both"))
        if self.pooled and not self.init_from_encoder:
            raise ConfigError("`model.pooled` says nothing without `model.init_from_encoder`; leave one of them out")
        if self.encoder_hidden % 2:
            raise ConfigError("`model.encoder_hidden` must be even: each direction takes half")
        widths = (
            "word_dim",
            "char_dim",
            "encoder_hidden",
            "encoder_layers",
            "action_dim",
            "decoder_hidden",
            "domain_dim",
        )
        for name in widths:
            if getattr(self, name) < 1:
                raise ConfigError(f"`model.{name}` must be at least 1")
        for name in ("static_dim", "char_hidden", "lexicon_min", "words_max"):
            if getattr(self, name) < 0:
                raise ConfigError(f"`model.{name}` must be at least 0")
        if not (self.stack or self.history):
            raise ConfigError("`model.stack` and `model.history` are both off; the parser needs one of them")
        if not (0 <= self.dropout < 1 and self.decoder_dropout < 1):
            raise ConfigError("`model.dropout` must be at least 0 and below 1, `model.decoder_dropout` below 1")


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainConfig:
    """How it is trained."""

    epochs: int = 30
    """Passes over the training split."""
    batch_size: int = 64
    """Utterances in one optimizer step."""
    accumulate: int = 1
    """Parts in which the batch of one step goes through the model, where memory is short; the sum is the same, up to
    what dropout draws."""
    window: int = 256
    """Batches that are sorted by length together; larger pads less and mixes less."""
    pool: int = 65_536
    """Utterances held in memory and mixed: row groups of the shards, in an order shuffled every epoch."""
    prefetch: int = 4
    """Batches made ready in the background."""
    lr: float = 4e-3
    """Peak learning rate of AdamW."""
    lr_floor: float = 0.02
    """Share of the peak at which the cosine ends."""
    warmup: int = 50
    """Steps of linear warm-up."""
    weight_decay: float = 0.0
    """Of AdamW."""
    clip: float = 5.0
    """Largest norm of the gradient."""
    unk: float = 0.5
    """Chance that a word that is rare in training is read as unknown."""
    rare: int = 1
    """A word seen so often at most is rare; raise it with `swap`, which shows rare words more often than they came."""
    swap: float = 0.0
    """Chance that a slot value is drawn anew from all values of its slot, every epoch; see `swap.py`."""
    seed: int = 1
    """Of the weights, the order and dropout."""
    evaluate_every: int = 1
    """Epochs between evaluations on dev."""
    checkpoint_every: int = 500
    """Steps between checkpoints within an epoch; every epoch ends with one."""
    checkpoint_minutes: float = 10.0
    """Minutes between checkpoints, however slow the steps are."""
    bf16: bool = True
    """Use bfloat16 where the device is a GPU."""
    graphs: bool = True
    """On a GPU, record the step of each shape of batches once and play it back (CUDA graphs)."""
    compile: bool = False
    """Compile the forward pass with `torch.compile`; worth its minutes on a GPU only."""
    temperature: float = 1.0
    """Domains are sampled in proportion to (rows) ** (1 / temperature): 1 as they come, large evenly."""
    vectors: str = ""
    """A file of static word vectors, text or binary; all its words are known, seen or not. They stand beside the
    learned embeddings (`model.static_dim`), or start them (`model.word_dim`)."""
    vectors_most: int = 200_000
    """So many vectors are read, from the beginning of the file."""
    encoder_rate: float = 1.0
    """Share of the learning rate for the encoder; 0 freezes it, and words that are new to it are read as unknown. For
    fine-tuning."""
    pretrained_rate: float = 0.0
    """The same for `model.pretrained`: 0 freezes it, 0.06 fine-tunes it."""
    decoder_rate: float = 1.0
    """Share for history, stack, attention and hidden layer; action embeddings and output layers learn in full."""

    def __post_init__(self) -> None:
        whole = (
            "epochs",
            "batch_size",
            "accumulate",
            "window",
            "pool",
            "prefetch",
            "rare",
            "vectors_most",
            "evaluate_every",
            "checkpoint_every",
        )
        for name in whole:
            if getattr(self, name) < 1:
                raise ConfigError(f"`train.{name}` must be at least 1")
        if self.seed < 0:
            raise ConfigError("`train.seed` must be at least 0")
        for name in ("lr", "clip", "checkpoint_minutes", "temperature"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"`train.{name}` must be above 0")
        for name in ("unk", "swap", "lr_floor", "encoder_rate", "decoder_rate", "pretrained_rate"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"`train.{name}` must lie between 0 and 1")


@dataclass(frozen=True, kw_only=True, slots=True)
class DataConfig:
    """Which rows of the shards count. A selection is held in memory, and its ontology comes from its own train rows."""

    by: str = "domain"
    """What a domain is: the shards' `domain`, their `corpus`, or the `intent` at the root of the tree."""
    only: tuple[str, ...] = ()
    """Take rows of these domains only, of every split; none: all."""
    without: tuple[str, ...] = ()
    """Leave rows of these domains out of train, and of train alone."""
    join_dev: bool = False
    """Train on the rows of dev too, for the last run of settings that dev has chosen; the last weights are kept, and
    figures on dev say nothing."""
    rows: int = 0
    """At most so many train rows of each domain, picked by `seed`; 0: all."""
    seed: int = 1
    """Picks the rows."""

    def __post_init__(self) -> None:
        _among("data.by", self.by, ("domain", "corpus", "intent"))
        if self.rows < 0:
            raise ConfigError("`data.rows` must be at least 0")


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """A whole run."""

    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    train: TrainConfig = field(default_factory=TrainConfig)

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts, for JSON."""
        return dataclasses.asdict(self)


def from_dict(data: Mapping[str, Any]) -> Config:
    """Check and build a config.

    Raises:
        ConfigError: unknown section or key, wrong type, value out of range.
    """
    parts: dict[str, type] = {"data": DataConfig, "model": ModelConfig, "train": TrainConfig}
    built: dict[str, Any] = {}
    for section, values in data.items():
        if section not in parts:
            raise ConfigError(_unknown("section", section, parts))
        if not isinstance(values, Mapping):
            raise ConfigError(f"`{section}` must be a table: write [{section}] above its settings")
        fields = {f.name: f for f in dataclasses.fields(parts[section])}
        for key, value in values.items():
            if key not in fields:
                raise ConfigError(_unknown("setting", f"{section}.{key}", [f"{section}.{name}" for name in fields]))
            default = fields[key].default
            if isinstance(default, float) and type(value) is int:
                value = float(value)
            if (
                isinstance(default, tuple)
                and isinstance(value, (list, tuple))
                and all(isinstance(v, str) for v in value)
            ):
                value = tuple(value)
            if type(value) is not type(default):
                raise ConfigError(f"`{section}.{key}` must be a {_type_name(default)}, not {value!r}")
            built.setdefault(section, {})[key] = value
    return Config(**{section: parts[section](**values) for section, values in built.items()})


def names() -> list[str]:
    """The configs that come with the package."""
    return sorted(f.name[:-5] for f in resources.files("parser.configs").iterdir() if f.name.endswith(".toml"))


def read_toml(kind: str, name: str, known: Sequence[str], package: str) -> dict[str, Any]:
    """The TOML of a name that `package` ships (one of `known`), or of a path that ends in `.toml`.

    Raises:
        ConfigError: no such name or file, or not TOML.
    """
    path = Path(name)
    if path.suffix != ".toml":
        if name not in known:
            raise ConfigError(f"no {kind} `{name}`; there are {', '.join(known)}, or give the path of a TOML file")
        text = (resources.files(package) / f"{name}.toml").read_text(encoding="utf-8")
    else:
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"cannot read {path}: {error}") from error
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{name}: {error}") from error


def load(name: str, changes: Sequence[str] = (), model: ModelConfig | None = None) -> Config:
    """Read a config by name or path and apply `section.key=value` changes.

    Args:
        name: the config.
        changes: count before what it says.
        model: of a model to start from; counts where the config is silent.

    Raises:
        ConfigError: no such config, not TOML, or a bad setting.
    """
    data = read_toml("config", name, names(), "parser.configs")
    if model is not None:
        data["model"] = dataclasses.asdict(model) | data.get("model", {})
    for change in changes:
        key, equals, value = change.partition("=")
        section, dot, setting = key.strip().partition(".")
        if not (equals and dot):
            raise ConfigError(f"cannot read `{change}`; write `section.key=value`, as in `train.epochs=5`")
        data.setdefault(section, {})[setting] = _value(value.strip())
    return from_dict(data)


LATER = (
    "train.lr",
    "train.lr_floor",
    "train.epochs",
    "train.clip",
    "train.prefetch",
    "train.evaluate_every",
    "train.checkpoint_every",
    "train.checkpoint_minutes",
)
"""Settings that may change when a run is taken up again: none of them moves its place in the data."""


def changed_later(config: Config, changes: Sequence[str]) -> Config:
    """The settings with which a run goes on.

    Raises:
        ConfigError: a setting that cannot change, an unknown one, or a bad value.
    """
    data: dict[str, Any] = config.to_dict()
    for change in changes:
        key, equals, value = change.partition("=")
        if not equals or key.strip() not in LATER:
            raise ConfigError(
                f"`{change}`: with --resume only these can change: {', '.join(LATER)}; train anew instead"
            )
        section, _, setting = key.strip().partition(".")
        data[section][setting] = _value(value.strip())
    return from_dict(data)


def _type_name(default: Any) -> str:
    return "list of strings" if isinstance(default, tuple) else type(default).__name__


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"x = {text}")["x"]
    except tomllib.TOMLDecodeError:
        return text  # a bare word is a string


def _among(name: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise ConfigError(f"`{name}` must be one of {', '.join(choices)}, not `{value}`")


def _unknown(what: str, name: str, known: Any) -> str:
    near = difflib.get_close_matches(name, list(known), 1)
    return f"unknown {what} `{name}`" + (f"; the nearest is `{near[0]}`" if near else f"; known: {', '.join(known)}")
