"""What the commands share: options, messages, exit codes."""

from __future__ import annotations

import io
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TextIO

import typer
from rich.console import Console
from rich.text import Text

from grammar.files import FORMS, FileError, Names, Row, ontology_beside, read
from grammar.finding import Finding, Place, render
from grammar.ontology import Ontology, OntologyError, load
from grammar.tree import Tree

if TYPE_CHECKING:
    from grammar.items import Annotated as Annotation
    from grammar.run import Block, Run

Files = Annotated[list[str], typer.Argument(metavar="FILES...", help="`.trees`, `.tree`, `.tsv`, `.jsonl`, or `-`.")]
Form = Annotated[
    str | None, typer.Option("--as", metavar="FORM", help=f"Read as {', '.join(FORMS)}, whatever the name.")
]
Column = Annotated[
    list[str] | None,
    typer.Option("--column", metavar="ROLE=NAME", help="What a column is called: tree, utterance, annotator, ..."),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the file that is written, where it exists.")]

_NOT_UTF_8 = re.compile("[\udc80-\udcff]")


def names_of(column: Iterable[str] | None) -> Names:
    """What `--column ROLE=NAME` says."""
    names: dict[str, Any] = {}
    roles = {"utterance": "utterances"} | {role.name: role.name for role in fields(Names) if role.name != "utterances"}
    for text in column or ():
        role, _, name = text.partition("=")
        one_of("--column", role, sorted(roles))
        if not name:
            fail(f"--column: `{text}` is not ROLE=NAME")
        names[roles[role]] = (name,) if role == "utterance" else name
    return Names(**names)


def lines(path: str, form: str | None, names: Names) -> Iterator[Row]:
    one_of("--as", form or FORMS[0], FORMS)
    try:
        for row in read(path, form, names):
            refuse_other_encodings(row)
            yield row
    except (FileError, OSError) as error:
        fail(str(error))


def refuse_other_encodings(row: Row) -> None:
    if row.problem and row.problem.code == "E503":
        fail(f"{row.place.path}: {row.problem.message}; {row.problem.help}")
    if wrong := _NOT_UTF_8.search(row.raw):
        byte = ord(wrong[0]) - 0xDC00
        fail(
            f"{row.place.path}:{row.place.line}: not UTF-8 (byte 0x{byte:02x}); "
            "convert the file, such as with `iconv -f latin1 -t utf-8`"
        )


def rows(path: str, form: str | None, names: Names) -> Iterator[Row]:
    """The rows that hold a tree, or should."""
    return (row for row in lines(path, form, names) if row.text is not None or row.problem)


def parse(row: Row) -> Tree | None:
    """The tree of a row; None, and its findings on stderr, where it has none."""
    from grammar.syntax import TreeSyntaxError, parse

    findings: list[Finding] = [row.problem] if row.problem else []
    if row.text is not None:
        try:
            return parse(row.text)
        except TreeSyntaxError as error:
            findings = error.findings
    for finding in findings:
        show(Console(stderr=True, highlight=False, soft_wrap=True), render(finding, row.place) + "\n", err=True)
    return None


def trees_of(source: str, form: str | None, names: Names) -> Iterator[Annotation]:
    """Every tree of a file, or the one tree given as text; what cannot be read is shown on stderr."""
    from grammar.items import Annotated as Annotation

    given = source.lstrip().startswith("(")
    found = [Row(Place("<argument>", 1, source), "tree", source, source)] if given else rows(source, form, names)
    return (Annotation(row, parse(row)) for row in found)


def show_diff(before: Tree, after: Tree, old: str | None, new: str | None) -> None:
    """Two trees line by line, in colour on a terminal; `old` and `new` are their names."""
    from grammar.treediff import diff

    names = [typer.style(f"{sign * 3} {name}", bold=True) for sign, name in (("-", old), ("+", new)) if name]
    colours = {"-": "red", "+": "green"}
    lines = [typer.style(str(line), fg=colours.get(line.sign)) for line in diff(before, after)]
    typer.echo("\n".join(names + lines))


def ontology(source: Path | str | None) -> Ontology | None:
    """The ontology at a path, or (for a string) the one beside an input."""
    try:
        return load(source) if isinstance(source, Path) else ontology_beside(source) if source else None
    except OntologyError as error:
        fail(str(error))


def show(console: Console, text: str, err: bool = False) -> None:
    if not console.is_terminal:
        typer.echo(text, err=err)
        return
    shown = Text(text)
    shown.highlight_regex(r"^error\[\w+\]", "bold red")
    shown.highlight_regex(r"^warning\[\w+\]", "bold yellow")
    shown.highlight_regex(r"^note\[\w+\]", "bold cyan")
    shown.highlight_regex(r"(?m)^ +\| +[-^ ]+$", "red")
    shown.highlight_regex(r"(?m)^ *\d* ?(-->|\||=)", "blue")
    shown.highlight_regex(r"\b(help|note):", "cyan")
    console.print(shown)


@contextmanager
def writing(path: str | Path) -> Iterator[TextIO]:
    """A file for text, which stands there whole or not at all; of a link, what it leads to is written.

    What is no regular file (a pipe, `/dev/null`) is written to, since another file in its place would be a fault.

    Raises:
        OSError: it cannot be written; what was there is still there.
    """
    if os.path.exists(path) and not os.path.isfile(path):
        with open(path, "w", encoding="utf-8", newline="\n") as file:
            yield file
        return
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8", newline="\n") as file:
            yield file
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def write(path: str, text: str) -> None:
    try:
        with writing(path) as file:
            file.write(text)
    except OSError as error:
        fail(f"cannot write {path}: {error.strerror}")


def spare(option: str, output: Path | None, inputs: Iterable[str | Path | None]) -> None:
    """Refuse to write results over what they are made from."""
    if output is None:
        return
    for path in inputs:
        if path is not None and Path(path).exists() and output.exists() and os.path.samefile(path, output):
            fail(f"{option}: {output} is an input; write to another file")


def keep(option: str, output: Path | None, inputs: Iterable[str | Path | None], overwrite: bool) -> None:
    """Refuse to write over an input, or over a file in which a person may have worked since."""
    spare(option, output, inputs)
    if output is not None and output.is_file() and not overwrite:
        fail(f"{option}: {output} exists; write to another file, or replace it with `--overwrite`")


@contextmanager
def stdin_twice(paths: Iterable[str]) -> Iterator[Path | None]:
    """Where stdin is among the inputs, keep it in a temporary file while this lasts, so that it can be read again."""
    if "-" not in paths:
        yield None
        return
    given = sys.stdin
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "stdin"
        with copy.open("wb") as file:
            shutil.copyfileobj(given.buffer, file)
        sys.stdin = io.TextIOWrapper(copy.open("rb"), encoding="utf-8")
        try:
            yield copy
        finally:
            sys.stdin.close()
            sys.stdin = given


def put_on_stdin(copy: Path, other: Path) -> None:
    """Let another file take the place of the copy of stdin, for whoever reads it from now on."""
    sys.stdin.close()
    os.replace(other, copy)
    sys.stdin = io.TextIOWrapper(copy.open("rb"), encoding="utf-8")


def rewind(path: str) -> None:
    """Read stdin from its begin, where `path` is stdin and it is kept."""
    if path == "-":
        sys.stdin.buffer.seek(0)


@contextmanager
def progress(run: Run) -> Iterator[None]:
    """A bar on stderr for bytes read, on a terminal; packed files count as they are packed out."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    total = sum(os.path.getsize(path) for path in run.files if path != "-" and os.path.exists(path))
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("checking", total=total or None)

        def advance(block: Block) -> None:
            bar.update(task, advance=block.bytes, description=f"{run.rows:,} trees")

        run.progress = advance
        yield


def count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def one_of(option: str, value: str, known: Iterable[str]) -> None:
    names = list(known)
    if value not in names:
        fail(f"{option}: unknown value `{value}`; the values are {', '.join(names)}")


def note(text: str) -> None:
    typer.echo(text, err=True)


def tell(message: str) -> None:
    """Say an error that does not end the run."""
    note(f"error: {message}")


def fail(message: str) -> NoReturn:
    tell(message)
    raise typer.Exit(2)
