"""How sure a parse is: a calibrated confidence, and when to say nothing.

The log-probability s of a tree of n actions becomes the confidence exp(s / (T n ** a)); temperature T and power
a are those with the least log loss on dev. Networks are too sure of what they have learned, so T is below 1 as a
rule. Below a threshold the parser abstains: it is the confidence that a given share of dev stays below.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from grammar.shard import write_text
from grammar.tree import Tree
from parser.checkpoint import CONFIDENCE, CheckpointError, Setup
from parser.config import ConfigError
from parser.decode import Parse
from parser.ensemble import Ensemble
from parser.evaluate import Parsing, Searchers, check_domains, gold_of
from parser.model import Model
from parser.selection import source_of

POWERS = (0.0, 0.5, 1.0)
BINS = 10


@dataclass(frozen=True, slots=True)
class Confidence:
    """What turns scores into confidences.

    Attributes:
        temperature, power: T and a.
        threshold: below it the parser abstains.
    """

    temperature: float = 1.0
    power: float = 0.0
    threshold: float = 0.0

    def of(self, parse: Parse) -> float:
        """The confidence of a parse, between 0 and 1."""
        return float(self._of(np.array([parse.score]), np.array([float(_actions(parse.tree))]))[0])

    def abstains(self, parse: Parse) -> bool:
        """Whether the parse is too uncertain to be used."""
        return self.of(parse) < self.threshold

    def _of(self, scores: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        shares: np.ndarray = np.exp(np.minimum(scores, 0.0) / (self.temperature * lengths**self.power))
        return shares

    def save(self, directory: Path) -> None:
        """Write it into a model directory."""
        write_text(directory / CONFIDENCE, json.dumps(asdict(self), indent=2) + "\n")

    @classmethod
    def load(cls, directory: Path) -> Confidence | None:
        """What `save` wrote; None where the model was not calibrated.

        Raises:
            CheckpointError: the file is not what `save` writes.
        """
        file = directory / CONFIDENCE
        if not file.exists():
            return None
        try:
            return cls(**{name: float(number) for name, number in json.loads(file.read_text("utf-8")).items()})
        except (ValueError, TypeError, AttributeError) as error:
            raise CheckpointError(f"{file}: {error}; calibrate the model again") from error


def fit(parses: Sequence[Parse], hits: Sequence[bool], abstain: float = 0.05) -> Confidence:
    """The confidence with the least log loss, and the threshold that so large a share stays below.

    Args:
        parses: of dev, none of whose utterances the parser should refuse.
        hits: which of them are right.
        abstain: the share of dev to abstain on.

    Raises:
        ValueError: there is nothing to fit.
    """
    if not parses:
        raise ValueError("no parse to calibrate on")
    scores, lengths, right = _arrays(parses, hits)
    best = min(
        (Confidence(float(t), a) for a in POWERS for t in np.geomspace(0.02, 20, 200)),
        key=lambda one: log_loss(one._of(scores, lengths), right),
    )
    threshold = float(np.quantile(best._of(scores, lengths), abstain))
    return Confidence(best.temperature, best.power, threshold)


def calibrated(
    models: Sequence[tuple[Setup, Model]], shards: str | Path, abstain: float = 0.05, splits: Sequence[str] = ("dev",)
) -> tuple[Confidence, dict[str, dict[str, Any]]]:
    """(the confidence fitted on dev, `describe` of some splits); domains left out of train count as outside.

    Args:
        models: one, or several that parse together.
        shards: a data set with the split `dev`.
        abstain: the share of dev to abstain on.
        splits: what to describe.

    Raises:
        ConfigError: dev was trained on.
        CheckpointError: several models do not fit together.
        ShardError: a row is of a domain that the model should be given and does not know.
    """
    if any(setup.config.data.join_dev for setup, _ in models):
        raise ConfigError("the model was trained on dev too (data.join_dev), so dev cannot calibrate it")
    setup, model = models[0]
    source, data = source_of(shards, setup.config.data), setup.config.data
    members = [(model, setup.vocab) for setup, model in models]
    search: Parsing = Ensemble(members) if len(members) > 1 else Searchers(model.eval(), setup.vocab)
    fitted, figures = None, {}
    for split in dict.fromkeys(("dev", *splits)):
        golds = [gold_of(row) for row in source.rows(split)]
        check_domains(setup.vocab, golds)
        parses = search.parse([gold.words for gold in golds], [gold.domain for gold in golds])
        hits = [gold.tree == parse.tree for gold, parse in zip(golds, parses, strict=True)]
        outside = [gold.domain in data.without for gold in golds]
        if fitted is None:
            inside = [i for i, out in enumerate(outside) if not out]
            fitted = fit([parses[i] for i in inside], [hits[i] for i in inside], abstain)
        figures[split] = describe(fitted, parses, hits, outside)
    assert fitted is not None
    return fitted, figures


def log_loss(confidence: np.ndarray, right: np.ndarray) -> float:
    """Mean negative log-likelihood of right and wrong, in nats."""
    sure = np.clip(confidence, 1e-6, 1 - 1e-6)
    return float(-np.where(right, np.log(sure), np.log1p(-sure)).mean())


def calibration_error(confidence: np.ndarray, right: np.ndarray) -> float:
    """The expected calibration error over ten bins of equal width (Guo et al. 2017)."""
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = [
        (bins == b).mean() * abs(confidence[bins == b].mean() - right[bins == b].mean())
        for b in range(BINS)
        if (bins == b).any()
    ]
    return float(sum(gaps))


def describe(
    confidence: Confidence, parses: Sequence[Parse], hits: Sequence[bool], outside: Sequence[bool]
) -> dict[str, Any]:
    """How good a confidence is on some parses.

    Args:
        confidence: what was fitted on dev.
        parses, hits: parses, and which are right.
        outside: utterances that no tree of the ontology is right for.

    Returns:
        `calibration_error` and `calibration_error_raw` (of exp(score)) over the utterances inside; `answered`, the
        share inside that is not abstained on, and `exact_match_answered` of it; where some lie outside, `precision`
        and `recall` of abstaining, and `auroc`: how often an utterance outside is less certain than one inside.
    """
    scores, lengths, right = _arrays(parses, hits)
    out = np.array(outside, dtype=bool)
    sure, raw = confidence._of(scores, lengths), Confidence()._of(scores, lengths)
    quiet = sure < confidence.threshold
    figures: dict[str, Any] = {
        "n": len(parses),
        "outside": int(out.sum()),
        "calibration_error": calibration_error(sure[~out], right[~out]),
        "calibration_error_raw": calibration_error(raw[~out], right[~out]),
        "answered": float((~quiet[~out]).mean()),
        "exact_match_answered": float(right[~quiet & ~out].mean()) if (~quiet & ~out).any() else 0.0,
    }
    if out.any():
        figures["precision"] = float(out[quiet].mean()) if quiet.any() else 0.0
        figures["recall"] = float(quiet[out].mean())
        order = np.sort(sure[~out])
        below = np.searchsorted(order, sure[out], side="left") + np.searchsorted(order, sure[out], side="right")
        figures["auroc"] = float(1 - below.mean() / 2 / len(order))
    return figures


def _arrays(parses: Sequence[Parse], hits: Sequence[bool]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    scores = np.array([parse.score for parse in parses])
    lengths = np.array([_actions(parse.tree) for parse in parses], dtype=float)
    return scores, lengths, np.array(hits, dtype=bool)


def _actions(tree: Tree) -> int:
    """How many actions build a tree."""
    return 2 * sum(1 for _ in tree.walk()) + len(tree.words())
