"""Files written anew, line by line: unchanged lines byte for byte, the rest atomically or as a unified diff."""

from __future__ import annotations

import difflib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from grammar.files import FileError, form_of, opened, read
from grammar.rows import Names, Row

_CONTEXT = 3
"""Unchanged lines around a change in a diff."""


def changed(
    path: str, edit: Callable[[Row], str], form: str | None = None, names: Names | None = None, bom: bool = True
) -> Iterator[tuple[str, str]]:
    """(old, new) of every line of a file, line ends included.

    Args:
        path: a file that can be written as it is read: no Parquet, nothing packed.
        edit: the new line of a row, without line end.
        form: as for `grammar.files.read`.
        names: as for `grammar.files.read`.
        bom: whether to keep a byte-order mark.

    Raises:
        FileError: the file cannot be read, or not be written back, as one that is no UTF-8 at all.
    """
    if path.lower().endswith(".gz") or (form or form_of(path)) == "parquet":
        raise FileError(f"{path}: packed files and Parquet are not rewritten; unpack it, or write it as JSONL")
    before: tuple[str, str] | None = None
    whole = False
    for row in read(path, form, names):
        if row.problem and row.problem.code == "E503":
            raise FileError(f"{path}: {row.problem.message}; {row.problem.help}")
        if before:
            yield before[0] + "\n", before[1] + "\n"
        mark = "\ufeff" * row.marked
        before = mark + row.raw, (mark if bom else "") + edit(row)
        whole = row.form == "tree"
    if before:
        end = "" if whole or not _ends_with_line_feed(path) else "\n"
        yield before[0] + end, before[1] + end


def replace(path: str, lines: Iterable[str], wanted: Callable[[], bool] = lambda: True) -> None:
    """Write a file anew, in one step: a reader sees the old file or the new one.

    Args:
        path: the file; where it is a link, what it leads to.
        lines: all of it.
        wanted: asked when all lines are written; if it says no, the file is left as it was.

    Raises:
        FileError: it cannot be written; the old file is still there.
    """
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.writelines(encode(line) for line in lines)
        if wanted():
            shutil.copymode(target, temporary)
            os.replace(temporary, target)
    except OSError as error:
        raise FileError(f"cannot write {path}: {error.strerror}") from error
    finally:
        temporary.unlink(missing_ok=True)


def encode(text: str) -> bytes:
    """UTF-8, and bytes that were none as they were."""
    return text.encode("utf-8", "surrogateescape")


def diff(path: str, lines: Iterable[tuple[str, str]]) -> Iterator[str]:
    """A unified diff of (old, new) lines, as `patch` and `git apply` take it; nothing where nothing differs.

    Lines stand for lines, so no search for what belongs together is needed; a `.tree` file is one long line here
    and is compared as a whole.
    """
    head = [f"--- {path}\n", f"+++ {path}\n"]
    hunk: list[tuple[str, str]] = []
    start, since = 1, 0  # of the hunk; unchanged lines at its end
    open_ = False
    for number, (old, new) in enumerate(lines, 1):
        if "\n" in old[:-1] or "\n" in new[:-1]:
            yield from map(_ended, difflib.unified_diff(_lines(old), _lines(new), path, path))
            return
        if old != new:
            yield from head
            head = []
            open_ = True
        since = 0 if old != new else since + 1
        hunk.append((old, new))
        if open_ and since > 2 * _CONTEXT:
            yield from _hunk(start, hunk[: -since + _CONTEXT])
            hunk, open_ = hunk[-_CONTEXT:], False
            start = number - _CONTEXT + 1
        elif not open_ and len(hunk) > _CONTEXT:
            del hunk[0]
            start += 1
    if open_:
        yield from _hunk(start, hunk[: len(hunk) - max(0, since - _CONTEXT)])


def _hunk(start: int, lines: list[tuple[str, str]]) -> Iterator[str]:
    yield f"@@ -{start},{len(lines)} +{start},{len(lines)} @@\n"
    removed: list[str] = []
    added: list[str] = []
    for old, new in [*lines, ("", "")]:
        if old != new:
            removed.append(f"-{old}")
            added.append(f"+{new}")
            continue
        yield from map(_ended, [*removed, *added])
        removed, added = [], []
        if old:
            yield _ended(f" {old}")


def _ended(line: str) -> str:
    return line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"


def _lines(text: str) -> list[str]:
    lines = [line + "\n" for line in text.split("\n")]
    return [*lines[:-1], *([lines[-1][:-1]] if lines[-1] != "\n" else [])]


def _ends_with_line_feed(path: str) -> bool:
    with opened(path) as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"
