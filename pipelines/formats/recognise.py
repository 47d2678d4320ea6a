"""Which format a file or a folder is in, and why: `--format auto`.

Every format looks at the beginning of a file and says how sure it is. The surest one wins; where two are equally
sure, nothing is guessed and both reasons are given.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatch
from typing import NamedTuple

from pipelines.formats.files import inputs_of
from pipelines.formats.format import Format
from pipelines.formats.head import SIZE, Guess, Head
from pipelines.formats.lines import open_file
from pipelines.storage import plain

_LOG = logging.getLogger(__name__)


class Verdict(NamedTuple):
    """What a file is. `format` is empty where nothing or more than one thing fits; `reason` says why."""

    path: str
    format: str
    reason: str


def head_of(path: str, siblings: frozenset[str]) -> Head:
    """The beginning of a file, with the names of what stands beside it."""
    with open_file(path) as file:
        data = file.read(SIZE + 1)
    return Head(plain(path.rpartition("/")[2]), data[:SIZE], siblings, len(data) <= SIZE)


def recognise_file(path: str, siblings: frozenset[str], formats: Iterable[Format]) -> Verdict:
    """Which of the formats a file is in."""
    head = head_of(path, siblings)
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
    companions = {name for format_ in formats for name in format_.companions}
    paths = inputs_of(inputs)
    folders: dict[str, set[str]] = {}
    for path in paths:
        folder = path.rpartition("/")[0]
        if folder not in folders:  # an input may be one file, whose companions are no inputs
            folders[folder] = set(os.listdir(folder or ".")) if os.path.isdir(folder or ".") else set()
        folders[folder].add(plain(path.rpartition("/")[2]))
    for path in paths:
        folder, _, name = path.rpartition("/")
        if not any(fnmatch(plain(name), companion) for companion in companions):
            yield recognise_file(path, frozenset(map(plain, folders[folder])), formats)


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
    unknown = [verdict.path for verdict in verdicts if not verdict.format]
    if unknown:
        _LOG.info("not recognised: %d of %d files, such as %s", len(unknown), len(verdicts), unknown[0])
    return name
