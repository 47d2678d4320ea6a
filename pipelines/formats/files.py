"""Inputs -> sources: which files are read, what they are called in ids, and their splits."""

from __future__ import annotations

import glob
import logging
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatch
from itertools import takewhile
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from pipelines import storage
from pipelines.formats.lines import Source

_LOG = logging.getLogger(__name__)
_MAGIC = re.compile(r"[*?\[]")

SPLITS = {
    "train": "train",
    "training": "train",
    "trainset": "train",
    "dev": "dev",
    "devset": "dev",
    "valid": "dev",
    "validation": "dev",
    "val": "dev",
    "eval": "dev",
    "test": "test",
    "testset": "test",
}
"""What a word in the name of a file or folder says about the split."""

REFUSED = "refused.jsonl"
"""What `export` could not write, beside what it wrote: read only where an input names it."""


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


class _File(NamedTuple):
    """A file that an input led to.

    Attributes:
        name: its path under the root.
        root: name of the folder that the input starts from.
        named: whether the input names it.
    """

    path: str
    name: str
    root: str
    named: bool = False


def find(
    inputs: Sequence[str],
    patterns: Sequence[str],
    companions: Sequence[str] = (),
    split: Callable[[str], str] = split_of,
    leave_out: Callable[[str], bool] = lambda path: False,
) -> list[Source]:
    """The sources of files, folders, zip archives and glob patterns, in the order given, each file once.

    A folder is searched to any depth for names that match `patterns`, packed or not; a file that is named is read
    whatever its name, and even if `leave_out` is true of it. What a glob pattern matches and nobody reads is logged.
    Where two inputs hold files of equal relative path, these get the name of their input's folder in front.

    Raises:
        ValueError: an input does not exist or holds nothing of this format, or a companion is missing.
    """
    found: dict[str, _File] = {}
    for text in map(storage.local, inputs):
        before = len(found)
        seen = False
        for file in _files(text, patterns, companions):
            seen = True
            if not file.named and leave_out(file.path):
                if glob.has_magic(text):
                    _LOG.warning("`%s` is left out: it is part of a file beside it", file.path)
            else:
                real = file.path if storage.is_remote(file.path) else os.path.realpath(file.path)
                found.setdefault(real, file)
        if len(found) == before and not seen:
            raise ValueError(f"`{text}` holds no file named {_names(patterns)}")
    often = Counter(file.name for file in found.values())
    sources: list[Source] = []
    for given, name, root, _ in found.values():
        # Absolute, since a worker may stand in another folder.
        path = given if storage.is_remote(given) else os.path.abspath(given)
        beside = tuple(storage.beside(path, companion_of(path, companion)) for companion in companions)
        for companion in beside:
            if not storage.exists(companion):
                raise ValueError(f"`{companion}` is missing: `{path}` cannot be read without it")
        # A root counts only when it is named like a split: `test-corpora/` says nothing about its files.
        outer = SPLITS.get(root.lower(), "train")
        sources.append(Source(path, name if often[name] == 1 else f"{root}/{name}", beside, split(name) or outer))
    clashes = [file for file, times in Counter(source.file for source in sources).items() if times > 1]
    if clashes:
        raise ValueError(f"two inputs are both called `{clashes[0]}`; convert a folder above them")
    return sources


def companion_of(path: str, name: str) -> str:
    """The name of the file beside another one; `*` stands for its name without the ending.

    >>> companion_of("a/nlmaps.train.en", "*.mrl")
    'nlmaps.train.mrl'
    """
    return name.replace("*", PurePosixPath(storage.plain(path)).stem)


def inputs_of(inputs: Sequence[str]) -> list[str]:
    """Every file of files, folders and glob patterns, hidden ones left out, whatever its name.

    Raises:
        ValueError: an input does not exist, or nothing matches it.
    """
    found: dict[str, None] = {}
    for text in inputs:
        found |= {file.path: None for file in _files(storage.local(text), ("*",), ())}
    return list(found)


def folder_above(inputs: Sequence[str]) -> str:
    """The deepest folder that all inputs lie in: a folder itself, of a file or a glob pattern the fixed part above.

    Empty where they lie on different filesystems.
    """
    roots = [_root(storage.local(text)) for text in inputs]
    if any(map(storage.is_remote, roots)):
        # `os.path.commonpath` would take the two slashes of `gs://` for one.
        same = takewhile(lambda parts: len(set(parts)) == 1, zip(*(root.split("/") for root in roots), strict=False))
        return "/".join(parts[0] for parts in same)
    return os.path.commonpath([os.path.abspath(os.path.realpath(root)) for root in roots])


def _root(text: str) -> str:
    if storage.is_remote(text):
        fixed = _MAGIC.split(text, maxsplit=1)[0]
        return text if fixed == text and not storage.exists(text) else fixed.rpartition("/")[0]
    path = Path(text)
    if path.is_dir():
        return text
    if path.is_file() or not glob.has_magic(text):
        return str(path.parent)
    return str(Path(*path.parts[: next(number for number, part in enumerate(path.parts) if glob.has_magic(part))]))


def _files(text: str, patterns: Sequence[str], companions: Sequence[str]) -> Iterator[_File]:
    """What one input leads to."""
    if storage.is_remote(text):
        yield from _remote(text, patterns, companions)
        return
    path, root = Path(text), Path(_root(text))
    if path.is_dir():
        yield from _walk(path, root, patterns)
    elif path.is_file():
        if path.suffix.lower() == ".zip":
            yield from _members(text, patterns)
        elif not companions or _matches(path.name, patterns):
            yield _local(path, root, True)
    elif glob.has_magic(text):
        hits = sorted(Path(hit) for hit in glob.glob(text, recursive=True))
        if not hits:
            raise ValueError(f"nothing matches `{text}`")
        for hit in hits:
            if hit.is_dir():
                yield from _walk(hit, root, patterns)
            elif hit.suffix.lower() == ".zip":
                yield from _members(str(hit), patterns)
            elif _matches(hit.name, patterns):
                yield _local(hit, root)
            elif not _matches(hit.name, companions):
                _LOG.warning("`%s` is left out: it is not named %s", hit, _names(patterns))
    elif storage.exists(text):  # a member of an archive
        archive = text[: text.lower().index(".zip/") + 4]
        yield _File(text, text[len(archive) + 1 :], Path(archive).stem, True)
    else:
        raise ValueError(f"`{text}` does not exist")


def _remote(text: str, patterns: Sequence[str], companions: Sequence[str]) -> Iterator[_File]:
    """The same on a filesystem that Beam knows, where folders may be no more than parts of names."""
    root = _root(text).rstrip("/")
    named = not _MAGIC.search(text) and storage.exists(text)
    hits = [text] if named else storage.match(text) if _MAGIC.search(text) else storage.below(text)
    if not hits:
        raise ValueError(f"nothing matches `{text}`" if _MAGIC.search(text) else f"`{text}` does not exist")
    for hit in hits:
        name = hit.removeprefix(root + "/")
        hidden = any(part.startswith(".") for part in name.split("/"))
        if hit.lower().endswith(".zip"):
            yield from _members(hit, patterns)
        elif named or (not hidden and _matches(hit.rpartition("/")[2], patterns)):
            yield _File(hit, name, root.rpartition("/")[2], named)
        elif _MAGIC.search(text) and not _matches(hit.rpartition("/")[2], companions):
            _LOG.warning("`%s` is left out: it is not named %s", hit, _names(patterns))


def _local(path: Path, root: Path, named: bool = False) -> _File:
    return _File(str(path), path.relative_to(root).as_posix(), root.resolve().name, named)


def _members(archive: str, patterns: Sequence[str]) -> Iterator[_File]:
    """The members of an archive that match, as if it were a folder."""
    for member in storage.members(archive):
        hidden = any(part.startswith((".", "__MACOSX")) for part in member.split("/"))
        if not hidden and _matches(member.rpartition("/")[2], patterns):
            yield _File(f"{archive}/{member}", member, archive.rpartition("/")[2][: -len(".zip")])


def _walk(folder: Path, root: Path, patterns: Sequence[str]) -> list[_File]:
    """Files below a folder that match, hidden ones left out, sorted by their path."""
    files = (path for path in folder.rglob("*") if path.is_file() and _matches(path.name, patterns))
    shown = (path for path in files if not any(part.startswith(".") for part in path.relative_to(folder).parts))
    return [_local(path, root) for path in sorted(shown, key=lambda path: path.as_posix())]


def _matches(name: str, patterns: Sequence[str]) -> bool:
    if name == REFUSED:
        return False
    return any(fnmatch(name, pattern) or fnmatch(storage.plain(name), pattern) for pattern in patterns)


def _names(patterns: Sequence[str]) -> str:
    return " or ".join(f"`{pattern}`" for pattern in patterns)
