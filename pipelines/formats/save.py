"""How records are laid out in files: as lines, as one JSON list, as one object."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TextIO

Save = Callable[[Iterable[Any], Path, str, str], Path]
"""records, folder, split, variant -> the file."""


def save_lines(suffix: str, head: str = "") -> Save:
    """Records that are lines (or blocks of lines), in `<split><suffix>`, `head` first."""

    def save(records: Iterable[Any], folder: Path, split: str, variant: str) -> Path:
        path = folder / f"{split}{suffix}"
        with create(path) as file:
            file.write(head)
            file.writelines(f"{record}\n" for record in records)
        return path

    return save


def save_list(suffix: str = ".json") -> Save:
    """Records that are elements of one JSON list, one a line."""

    def save(records: Iterable[Any], folder: Path, split: str, variant: str) -> Path:
        path = folder / f"{split}{suffix}"
        with create(path) as file:
            write_list(file, records)
        return path

    return save


def write_list(file: TextIO, records: Iterable[Any]) -> None:
    """A JSON list with a line for each element."""
    file.write("[")
    for number, record in enumerate(records):
        file.write(",\n" if number else "\n")
        file.write(json.dumps(record, ensure_ascii=False))
    file.write("\n]\n")


def create(path: Path) -> TextIO:
    """A new text file, UTF-8 with `\\n` line ends, in folders that are made as needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return open(path, "w", encoding="utf-8", newline="\n")
