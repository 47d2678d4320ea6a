"""`python -m grammar format`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer

from grammar.commands import door
from grammar.commands.door import Column, Files, Form
from grammar.files import FileError, form_of
from grammar.rewrite import changed, diff, encode, replace
from grammar.rows import Names, Row
from grammar.tree import Tree


def format_(
    files: Files,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; name what would change, exit 1.")] = False,
    show: Annotated[bool, typer.Option("--diff", help="Write nothing; show what would change, exit 1.")] = False,
    write: Annotated[bool, typer.Option("--write", help="Change the files in place.")] = False,
    indent: Annotated[
        int | None,
        typer.Option(min=0, max=16, help="Trees over several lines, for reading; only `.tree` files can hold them."),
    ] = None,
    column: Column = None,
    form: Form = None,
) -> None:
    """Write trees in their canonical form: no white space, one leaf a word, only needed escapes.

    Comments, utterances and trees that cannot be read stay as they are.

    \b
    python -m grammar format batch.trees > tidy.trees
    python -m grammar format --check batch.trees
    python -m grammar format --indent 2 --write big.tree
    echo '(PlayMusicIntent(Title(Star Wars)))' | python -m grammar format --indent 2 -
    """
    if write and (check or show or "-" in files):
        door.fail("`--write` goes with neither `--check` nor `--diff` nor `-`")
    lined = [path for path in files if (form or form_of(path)) != "tree"]
    if indent is not None and lined and (write or check or show):
        door.fail(f"{lined[0]}: one tree a line there; `--indent` writes, checks and diffs `.tree` files only")
    status, names = 0, door.names_of(column)
    with door.stdin_twice(files):
        for path in files:
            door.rewind(path)
            if indent is not None and path in lined:
                status = max(status, _pretty(path, form, names, indent))
                continue
            edit = _Edit(indent)
            try:
                pairs = changed(path, edit, form, names)
                if show:
                    _out("".join(diff(_name(path), pairs)))
                elif write:
                    _write(path, pairs)
                else:
                    for number, (old, new) in enumerate(pairs, 1):
                        if not check:
                            _out(new)
                        elif old != new:
                            typer.echo(f"{_name(path)}:{number}: not in canonical form")
            except FileError as error:
                door.fail(str(error))
            status = max(status, edit.unreadable or (edit.changed and (check or show)))
    raise typer.Exit(int(status))


class _Edit:
    """Row -> its canonical line; it remembers whether any changed, and whether any could not be read."""

    def __init__(self, indent: int | None) -> None:
        self.indent, self.changed, self.unreadable = indent, False, False

    def __call__(self, row: Row) -> str:
        door.refuse_other_encodings(row)
        if row.text is None and row.problem is None:
            return row.raw
        tree = door.parse(row)
        if tree is None:
            self.unreadable = True
            return row.raw
        text = row.text or ""
        if row.form == "tree":
            tidy = self._tidy(tree) + "\n"
            same = tidy.rstrip("\n") == text.rstrip("\n")  # the end of the file is no part of its tree
        else:
            tidy = self._tidy(tree) + "\r" * text.endswith("\r")
            same = tidy == text
        self.changed |= not same
        return row.raw if same else row.with_tree(tidy)

    def _tidy(self, tree: Tree) -> str:
        from grammar.picture import pretty

        return str(tree) if self.indent is None else pretty(tree, self.indent)


def _pretty(path: str, form: str | None, names: Names, indent: int) -> int:
    """Print the trees of a file that has one a line, over several lines each; 1 if any could not be read."""
    from grammar.picture import pretty

    status = 0
    first = True
    for row in door.rows(path, form, names):
        tree = door.parse(row)
        if tree is None:
            status = 1
        else:
            typer.echo("\n" * (not first) + pretty(tree, indent))
            first = False
    return status


def _write(path: str, pairs: Iterator[tuple[str, str]]) -> None:
    differs = False

    def new() -> Iterator[str]:
        nonlocal differs
        for old, line in pairs:
            differs |= old != line
            yield line

    # The whole is written to a temporary file before it is known whether anything differs; that is seldom in vain.
    replace(path, new(), lambda: differs)
    if differs:
        door.note(f"{path}: changed")


def _out(text: str) -> None:
    typer.get_binary_stream("stdout").write(encode(text))


def _name(path: str) -> str:
    return "<stdin>" if path == "-" else path
