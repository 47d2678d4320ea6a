"""Model directories: everything a parser needs, in files that are safe to open.

    runs/music/
      model.safetensors   the best weights      config.json     the resolved settings
      vocab.json          names <-> ids         ontology.toml   what the mask allows
      values.json.gz      slot values seen in training          model.json  versions, data, dev figures
      log.jsonl           one line a step or evaluation
      last/               what `train --resume` continues from: weights, optimizer, place
      confidence.json     what `calibrate` fitted, where it was called

    runs/together/        an ensemble: ensemble.json, 1/, 2/, ... with the files of finished models, confidence.json

Everything is written beside its place and renamed, so a killed run leaves a whole directory.
"""

from __future__ import annotations

import gzip
import json
import os
import pickle
import shutil
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from grammar import ontology as ontologies
from grammar.ontology import Ontology
from grammar.shard import ONTOLOGY, write_text
from parser import config as configs
from parser.config import Config
from parser.legal import Legal
from parser.model import Model
from parser.vocab import Vocab

FORMAT = 1
WEIGHTS = "model.safetensors"
CONFIDENCE = "confidence.json"
ENSEMBLE = "ensemble.json"
FINISHED = (WEIGHTS, "config.json", "vocab.json", ONTOLOGY, "values.json.gz", "model.json")
"""The files of a model that parses."""


class CheckpointError(ValueError):
    """A model directory that cannot be used; the message says why and how to mend it."""


@dataclass(slots=True)
class Setup:
    """All of a model but its weights."""

    config: Config
    vocab: Vocab
    ontology: Ontology
    values: set[tuple[str, str]]

    def build(self, device: torch.device | str = "cpu") -> Model:
        """A model with fresh weights on a device."""
        legal = Legal(self.ontology, self.vocab.labels).to(device)
        return Model(self.vocab, legal, self.config.model).to(device)

    def save(self, directory: Path) -> None:
        """Write the files that do not change during training."""
        directory.mkdir(parents=True, exist_ok=True)
        write_text(directory / "config.json", _json(self.config.to_dict()))
        write_text(directory / "vocab.json", _json(self.vocab.to_json(), indent=None))
        write_text(directory / ONTOLOGY, self.ontology.dumps())
        data = gzip.compress(_json(sorted(self.values), indent=None).encode(), mtime=0)
        temporary = directory / ".values.json.gz.tmp"
        temporary.write_bytes(data)
        os.replace(temporary, directory / "values.json.gz")

    @classmethod
    def load(cls, directory: Path) -> Setup:
        """Read what `save` wrote."""
        _no_ensemble(directory)
        try:
            return cls(
                config=configs.from_dict(json.loads((directory / "config.json").read_text("utf-8"))),
                vocab=Vocab(**json.loads((directory / "vocab.json").read_text("utf-8"))),
                ontology=ontologies.load(directory / ONTOLOGY),
                values={(a, b) for a, b in json.loads(gzip.decompress((directory / "values.json.gz").read_bytes()))},
            )
        except (OSError, EOFError, zlib.error, ValueError, TypeError, KeyError) as error:
            raise CheckpointError(
                f"{directory} is not a model directory: {error}; make one with `python -m parser train`"
            ) from error


def save_best(directory: Path, model: Model, facts: dict[str, Any]) -> None:
    """Write weights, then `model.json`, whose presence says that the directory is whole."""
    (directory / CONFIDENCE).unlink(missing_ok=True)  # it was fitted to other weights
    temporary = directory / f".{WEIGHTS}.tmp"
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, temporary)
    os.replace(temporary, directory / WEIGHTS)
    write_text(directory / "model.json", _json({"format": FORMAT, **facts}))


def load_model(directory: str | Path, device: torch.device | str = "cpu") -> tuple[Setup, Model, dict[str, Any]]:
    """(setup, model in evaluation mode, `model.json`) of a model directory.

    Raises:
        CheckpointError: files are missing, or were written by another version.
    """
    directory = Path(directory)
    _no_ensemble(directory)
    try:
        facts = json.loads((directory / "model.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{directory} is not a finished model: {error}; make one with `python -m parser train`"
        ) from error
    form = facts.get("format") if isinstance(facts, dict) else None
    if form != FORMAT:
        raise CheckpointError(f"{directory}: format {form!r}, this version reads {FORMAT}; train again")
    setup = Setup.load(directory)
    model = setup.build(device)
    _load_weights(model, directory / WEIGHTS)
    return setup, model.eval(), facts


def _no_ensemble(directory: Path) -> None:
    if (directory / ENSEMBLE).exists():
        raise CheckpointError(f"{directory} is an ensemble; give one of its models, such as {directory / '1'}")


def members_of(directory: str | Path) -> list[Path]:
    """The models of an ensemble's directory; of a model's, itself.

    Raises:
        CheckpointError: `ensemble.json` is not what `save_ensemble` writes.
    """
    directory = Path(directory)
    if not (directory / ENSEMBLE).exists():
        return [directory]
    try:
        facts = json.loads((directory / ENSEMBLE).read_text("utf-8"))
        if facts["format"] != FORMAT:
            raise ValueError(f"format {facts['format']!r}, this version reads {FORMAT}")
        if facts["models"] < 1:
            raise ValueError("there is no model in it")
        return [directory / str(number + 1) for number in range(facts["models"])]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise CheckpointError(
            f"{directory / ENSEMBLE}: {error}; make it anew with `python -m parser ensemble`"
        ) from error


def save_ensemble(models: Sequence[Path], directory: Path) -> None:
    """Copy finished models into one directory.

    Raises:
        CheckpointError: the directory is there, with something in it.
    """
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise CheckpointError(f"{directory} is there, and not empty; give another --output")
    fresh = directory.parent / f".{directory.name}.tmp"
    shutil.rmtree(fresh, ignore_errors=True)
    for number, model in enumerate(models, 1):
        member = fresh / str(number)
        member.mkdir(parents=True)
        for name in FINISHED:
            shutil.copyfile(model / name, member / name)
    write_text(fresh / ENSEMBLE, _json({"format": FORMAT, "models": len(models)}))
    os.replace(fresh, directory)


def save_last(directory: Path, model: Model, optimizer: torch.optim.Optimizer, place: dict[str, Any]) -> None:
    """Write what resuming needs, all of it or nothing.

    Args:
        directory: the model directory.
        model, optimizer: as they are.
        place: plain JSON: epoch, batches done, step, best figures.
    """
    fresh, last, old = directory / ".last.tmp", directory / "last", directory / ".last.old"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, fresh / WEIGHTS)
    torch.save({"optimizer": optimizer.state_dict()}, fresh / "optimizer.pt")
    write_text(fresh / "place.json", _json(place))
    shutil.rmtree(old, ignore_errors=True)
    if last.exists():
        os.rename(last, old)
    os.rename(fresh, last)
    shutil.rmtree(old, ignore_errors=True)


def load_last(directory: Path, model: Model, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Put model and optimizer back; returns the place.

    Raises:
        CheckpointError: there is nothing to resume from.
    """
    last = next((path for path in (directory / "last", directory / ".last.old") if path.exists()), None)
    if last is None:
        raise CheckpointError(f"{directory} has no checkpoint to resume from; train without --resume")
    _load_weights(model, last / WEIGHTS)
    try:
        state = torch.load(last / "optimizer.pt", map_location="cpu", weights_only=True)
        place: dict[str, Any] = json.loads((last / "place.json").read_text("utf-8"))
    except (OSError, ValueError, RuntimeError, pickle.UnpicklingError) as error:
        raise CheckpointError(f"cannot read {last}: {error}; train again into another --output") from error
    optimizer.load_state_dict(state["optimizer"])
    return place


def _load_weights(model: Model, path: Path) -> None:
    try:
        model.load_state_dict(load_file(path, device=str(next(model.parameters()).device)))
    except (OSError, RuntimeError, SafetensorError) as error:
        raise CheckpointError(f"cannot read {path}: {error}; train again into another --output") from error


def _json(data: Any, indent: int | None = 2) -> str:
    return json.dumps(data, ensure_ascii=False, indent=indent) + "\n"
