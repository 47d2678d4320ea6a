"""Inputs -> sources: which files are read, what they are called in ids, and their splits."""

from __future__ import annotations

import glob
import logging
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

from pipelines.formats.lines import Source

_LOG = logging.getLogger(__name__)

SPLITS = {
    "train": "train",
    "training": "train",
    "dev": "dev",
    "valid": "dev",
    "validation": "dev",
    "val": "dev",
    "eval": "dev",
    "test": "test",
}
"""What a word in the name of a file or folder says about the split."""


def split_of(file: str) -> str:
    """The split that a path names, innermost part first, or an empty string.

    >>> split_of("weather/eval.tsv")
    'dev'
    """
    for part in reversed(PurePosixPath(file).parts):
        for word in re.split(r"[^a-z]+", part.lower()):
            if word in SPLITS:
                return SPLITS[word]
    return ""


def find(
    inputs: Sequence[str],
    patterns: Sequence[str],
    companions: Sequence[str] = (),
    split: Callable[[str], str] = split_of,
    leave_out: Callable[[Path], bool] = lambda path: False,
) -> list[Source]:
    """The sources of files, folders and glob patterns, in the order given, each file once.

    A folder is searched to any depth for names that match `patterns`; a file that is named is read whatever its name,
    and even if `leave_out` is true of it. What a glob pattern matches and nobody reads is logged.
    Where two inputs hold files of equal relative path, these get the name of their input's folder in front.

    Raises:
        ValueError: an input does not exist or holds nothing of this format, or a companion is missing.
    """
    found: dict[str, tuple[Path, Path]] = {}
    for text in inputs:
        before = len(found)
        seen = False
        for path, root, named in _files(text, patterns, companions):
            seen = True
            if not named and leave_out(path):
                if glob.has_magic(text):
                    _LOG.warning("`%s` is left out: it is part of a file beside it", path)
            else:
                found.setdefault(os.path.realpath(path), (path, root))
        if len(found) == before and not seen:
            raise ValueError(f"`{text}` holds no file named {_names(patterns)}")
    names = {real: path.relative_to(root).as_posix() for real, (path, root) in found.items()}
    often = Counter(names.values())
    sources: list[Source] = []
    for real, (path, root) in found.items():
        file = names[real] if often[names[real]] == 1 else f"{root.resolve().name}/{names[real]}"
        beside = tuple(str(path.with_name(name)) for name in companions)
        for companion in beside:
            if not os.path.isfile(companion):
                raise ValueError(f"`{companion}` is missing: `{path}` cannot be read without it")
        # A root counts only when it is named like a split: `test-corpora/` says nothing about its files.
        outer = SPLITS.get(root.resolve().name.lower(), "train")
        sources.append(Source(str(path), file, beside, split(names[real]) or outer))
    clashes = [file for file, times in Counter(source.file for source in sources).items() if times > 1]
    if clashes:
        raise ValueError(f"two inputs are both called `{clashes[0]}`; convert a folder above them")
    return sources


def inputs_of(inputs: Sequence[str]) -> list[str]:
    """Every file of files, folders and glob patterns, hidden ones left out, whatever its name.

    Raises:
        ValueError: an input does not exist, or nothing matches it.
    """
    found: dict[str, None] = {}
    for text in inputs:
        found |= {str(path): None for path, _, _ in _files(text, ("*",), ())}
    return list(found)


def folder_above(inputs: Sequence[str]) -> Path:
    """The deepest folder that all inputs lie in: a folder itself, of a file or a glob pattern the fixed part above."""
    return Path(os.path.commonpath([_root(text).resolve() for text in inputs]))


def _root(text: str) -> Path:
    path = Path(text)
    if path.is_dir():
        return path
    if path.is_file() or not glob.has_magic(text):
        return path.parent
    return Path(*path.parts[: next(number for number, part in enumerate(path.parts) if glob.has_magic(part))])


def _files(text: str, patterns: Sequence[str], companions: Sequence[str]) -> Iterator[tuple[Path, Path, bool]]:
    """(file, root that its name is relative to, whether the input names it) for one input."""
    path, root = Path(text), _root(text)
    if path.is_dir():
        yield from ((file, root, False) for file in _walk(path, patterns))
    elif path.is_file():
        if not companions or _matches(path, patterns):
            yield path, root, True
    elif glob.has_magic(text):
        hits = sorted(Path(hit) for hit in glob.glob(text, recursive=True))
        if not hits:
            raise ValueError(f"nothing matches `{text}`")
        for hit in hits:
            if hit.is_dir():
                yield from ((file, root, False) for file in _walk(hit, patterns))
            elif _matches(hit, patterns):
                yield hit, root, False
            elif not _matches(hit, companions):
                _LOG.warning("`%s` is left out: it is not named %s", hit, _names(patterns))
    else:
        raise ValueError(f"`{text}` does not exist")


def _walk(folder: Path, patterns: Sequence[str]) -> list[Path]:
    """Files below a folder that match, hidden ones left out, sorted by their path."""
    files = (path for path in folder.rglob("*") if path.is_file() and _matches(path, patterns))
    return sorted(
        (path for path in files if not any(part.startswith(".") for part in path.relative_to(folder).parts)),
        key=lambda path: path.as_posix(),
    )


def _matches(path: Path, patterns: Sequence[str]) -> bool:
    return any(fnmatch(path.name, pattern) for pattern in patterns)


def _names(patterns: Sequence[str]) -> str:
    return " or ".join(f"`{pattern}`" for pattern in patterns)
