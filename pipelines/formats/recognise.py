"""Which format a file or a folder is in, and why: `--format auto`.

Every format looks at the beginning of a file and says how sure it is. The surest one wins; where two are equally
sure, nothing is guessed and both reasons are given.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from pipelines.formats.files import inputs_of
from pipelines.formats.format import Format
from pipelines.formats.head import SIZE, Guess, Head
from pipelines.formats.lines import open_file

_LOG = logging.getLogger(__name__)


class Verdict(NamedTuple):
    """What a file is. `format` is empty where nothing or more than one thing fits; `reason` says why."""

    path: str
    format: str
    reason: str


def head_of(path: str) -> Head:
    """The beginning of a file, and what stands beside it."""
    with open_file(path) as file:
        data = file.read(SIZE + 1)
    folder = os.path.dirname(path) or "."
    siblings = frozenset(os.listdir(folder)) if os.path.isdir(folder) else frozenset[str]()
    return Head(os.path.basename(path), data[:SIZE], siblings, len(data) <= SIZE)


def recognise_file(path: str, formats: Iterable[Format]) -> Verdict:
    """Which of the formats a file is in."""
    head = head_of(path)
    guesses: list[tuple[Guess, str]] = []
    for format_ in formats:
        guess = format_.recognise(head)
        if guess:
            guesses.append((guess, format_.name))
    if not guesses:
        return Verdict(path, "", "it looks like no format")
    most = max(guess.sure for guess, _ in guesses)
    best = [(guess, name) for guess, name in guesses if guess.sure == most]
    if len(best) > 1:
        both = "; ".join(f"`{name}` ({guess.reason})" for guess, name in best)
        return Verdict(path, "", f"it looks like {both}")
    ((guess, name),) = best
    return Verdict(path, name, guess.reason)


def recognise(inputs: Sequence[str], formats: Iterable[Format]) -> Iterator[Verdict]:
    """A verdict for each file of the inputs, companions of another one left out."""
    formats = list(formats)
    beside = {name for format_ in formats for name in format_.companions}
    for path in inputs_of(inputs):
        if Path(path).name not in beside:
            yield recognise_file(path, formats)


def recognised(inputs: Sequence[str], formats: Iterable[Format] = ()) -> str:
    """The one format of the inputs; what it was recognised by is logged, and so is what was not recognised.

    Raises:
        ValueError: no file has a format that is known, or two have different ones.
    """
    if not formats:
        from pipelines.formats import FORMATS

        formats = FORMATS.values()
    verdicts = list(recognise(inputs, formats))
    first = {verdict.format: verdict for verdict in reversed(verdicts) if verdict.format}
    if not first:
        why = "; ".join(f"`{verdict.path}`: {verdict.reason}" for verdict in verdicts[:3])
        raise ValueError(f"no file is in a format that is known ({why}); name one with `--format`")
    if len(first) > 1:
        each = ", ".join(f"`{name}` ({verdict.path})" for name, verdict in sorted(first.items()))
        raise ValueError(f"the inputs are in several formats: {each}; convert each with its own `--format`")
    ((name, verdict),) = first.items()
    _LOG.info("format `%s`: %s has %s", name, verdict.path, verdict.reason)
    for verdict in verdicts:
        if not verdict.format:
            _LOG.info("`%s` is not recognised: %s", verdict.path, verdict.reason)
    return name
