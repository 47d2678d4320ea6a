"""The door for annotators: `python -m grammar check | format | show | infer | explain`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.text import Text

from grammar import rules
from grammar.checker import check as check_tree
from grammar.files import FORMS, FileError, Row, ontology_beside, read
from grammar.finding import Finding, render, to_json
from grammar.infer import FUNCTIONS, Counts
from grammar.ontology import Ontology, OntologyError, load
from grammar.tree import Tree
from grammar.words import TOKENISERS

app = typer.Typer(
    help="Check, format and draw annotated trees.\n\n"
    "Results go to stdout, all else to stderr. Exit: 0 clean, 1 findings, 2 could not run.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Files = Annotated[list[str], typer.Argument(metavar="FILES...", help="`.trees`, `.tree`, `.tsv`, `.jsonl`, or `-`.")]
Form = Annotated[
    str | None, typer.Option("--as", metavar="FORM", help=f"Read as {', '.join(FORMS)}, whatever the name.")
]


@app.command()
def check(
    files: Files,
    ontology: Annotated[
        Path | None, typer.Option(help="What the labels are held against; else `ontology.toml` beside each file.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a finding, one a line.")] = False,
    tokeniser: Annotated[str, typer.Option(help=f"How utterances are cut: {', '.join(TOKENISERS)}.")] = "words-1",
    form: Form = None,
) -> None:
    """Find what is wrong with trees: syntax (E1), labels (E2), words (E3).

    \b
    python -m grammar check batch.trees
    python -m grammar check batch.tsv --ontology music.toml
    echo '(PlayMusicIntent' | python -m grammar check -
    """
    _one_of("--tokeniser", tokeniser, TOKENISERS)
    given = _ontology(ontology)
    console = Console(highlight=False, soft_wrap=True)
    trees = bad = total = 0
    for path in files:
        known = given or _ontology(path)
        for row in _rows(path, form):
            found = [row.problem] if row.problem else check_tree(row.text or "", known, row.utterance, tokeniser)
            trees, bad, total = trees + 1, bad + bool(found), total + len(found)
            for finding in found:
                if as_json:
                    typer.echo(json.dumps(to_json(finding, row.place), ensure_ascii=False))
                else:
                    _show(console, render(finding, row.place) + "\n")
        if known is None:
            _note(f"{path}: no ontology, so labels were not checked; give one with `--ontology`")
    _note(
        f"{_count(trees, 'tree')} in {_count(len(files), 'file')}: {_count(total, 'finding')} in {_count(bad, 'tree')}"
    )
    raise typer.Exit(1 if total else 0)


@app.command("format")
def format_(
    files: Files,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; name what would change, exit 1.")] = False,
    write: Annotated[bool, typer.Option("--write", help="Change the files in place.")] = False,
    indent: Annotated[
        int | None, typer.Option(min=0, max=16, help="Trees over several lines, for reading; not with `--write`.")
    ] = None,
    form: Form = None,
) -> None:
    """Write trees in their canonical form: no white space, one leaf a word, only needed escapes.

    Comments, utterances and trees that cannot be read stay as they are.

    \b
    python -m grammar format batch.trees > tidy.trees
    python -m grammar format --check batch.trees
    echo '(PlayMusicIntent(Title(Star Wars)))' | python -m grammar format --indent 2 -
    """
    from grammar.picture import pretty

    if write and (check or indent is not None or "-" in files):
        _fail("`--write` goes with neither `--check` nor `--indent` nor `-`")
    status = 0
    for path in files:
        lines: list[str] = []
        changed = False
        for row in _lines(path, form):
            tree = _parse(row)
            if tree is None:
                status = 1 if row.text is not None or row.problem else status
                lines += [] if indent is not None else [row.raw]
            elif indent is not None:
                lines.append(pretty(tree, indent) + "\n")
            else:
                tidy = str(tree)
                # The line end of a `.tree` file is no part of its tree.
                same = tidy == (row.text or "").removesuffix("\n")
                lines.append(row.raw.removesuffix("\n") if same else row.with_tree(tidy))
                if not same:
                    changed = True
                    if check:
                        status = 1
                        typer.echo(f"{row.place.path}:{row.place.line}: not in canonical form")
        if write and changed:
            _write(path, "\n".join(lines) + "\n")
            _note(f"{path}: changed")
        elif not write and not check and lines:
            typer.echo("\n".join(lines).removesuffix("\n"))
    raise typer.Exit(status)


@app.command()
def show(
    tree: Annotated[str, typer.Argument(metavar="TREE", help="A tree in brackets, a file, or `-`.")], form: Form = None
) -> None:
    """Draw trees as text.

    \b
    python -m grammar show '(PlayMusicIntent(MediaType(music)))'
    python -m grammar show batch.tsv
    """
    from grammar.picture import picture

    if tree.lstrip().startswith("("):
        from grammar.finding import Place

        rows = iter([Row(Place("<argument>", 1, tree), "tree", tree, tree)])
    else:
        rows = _rows(tree, form)
    status = 0
    for number, row in enumerate(rows):
        read_tree = _parse(row)
        if read_tree is None:
            status = 1
            continue
        spoken = row.utterance if isinstance(row.utterance, str) else " ".join(row.utterance or ())
        typer.echo("\n" * bool(number) + (f"{spoken}\n" if spoken else "") + picture(read_tree))
    raise typer.Exit(status)


@app.command()
def infer(
    files: Files,
    output: Annotated[Path | None, typer.Option(help="Where to write; else stdout.")] = None,
    function: Annotated[
        list[str] | None, typer.Option(help=f"A label that joins others, besides {', '.join(sorted(FUNCTIONS))}.")
    ] = None,
    form: Form = None,
) -> None:
    """Draft an ontology from trees, with counts; rare links are doubtful, and a person reviews it.

    \b
    python -m grammar infer batch.trees --output ontology.toml
    """
    counts = Counts()
    status = trees = 0
    for path in files:
        for row in _rows(path, form):
            tree = _parse(row)
            if tree is None:
                status = 1
            else:
                trees += 1
                counts.add(tree)
    if not trees:
        _fail("no tree could be read, so there is nothing to infer from")
    text = counts.ontology(FUNCTIONS | set(function or ())).dumps()
    if output:
        _write(str(output), text)
    else:
        typer.echo(text, nl=False)
    _note(f"inferred from {_count(trees, 'tree')}" + (", leaving out those with findings" if status else ""))
    raise typer.Exit(status)


@app.command()
def explain(
    code: Annotated[str | None, typer.Argument(help="Such as E101; without it, all are listed.")] = None,
) -> None:
    """Say what a code means, with a wrong and a right example.

    \b
    python -m grammar explain E208
    """
    if code is None:
        typer.echo("\n".join(f"{rule.code}  {rule.title}" for rule in rules.RULES.values()))
        return
    if code.upper() not in rules.RULES:
        _fail(f"unknown code `{code}`; `python -m grammar explain` lists them")
    typer.echo(rules.explain(code.upper()))


def _lines(path: str, form: str | None) -> Iterator[Row]:
    _one_of("--as", form or FORMS[0], FORMS)
    try:
        yield from read(path, form)
    except (FileError, OSError) as error:
        _fail(str(error))


def _rows(path: str, form: str | None) -> Iterator[Row]:
    """The rows that hold a tree, or should."""
    return (row for row in _lines(path, form) if row.text is not None or row.problem)


def _parse(row: Row) -> Tree | None:
    """The tree of a row; None, and its findings on stderr, where it has none."""
    from grammar.syntax import TreeSyntaxError, parse

    findings: list[Finding] = [row.problem] if row.problem else []
    if row.text is not None:
        try:
            return parse(row.text)
        except TreeSyntaxError as error:
            findings = error.findings
    for finding in findings:
        _show(Console(stderr=True, highlight=False, soft_wrap=True), render(finding, row.place) + "\n", err=True)
    return None


def _ontology(source: Path | str | None) -> Ontology | None:
    """The ontology at a path, or (for a string) the one beside an input."""
    try:
        return load(source) if isinstance(source, Path) else ontology_beside(source) if source else None
    except OntologyError as error:
        _fail(str(error))


def _show(console: Console, text: str, err: bool = False) -> None:
    if not console.is_terminal:
        typer.echo(text, err=err)
        return
    shown = Text(text)
    shown.highlight_regex(r"^error\[\w+\]", "bold red")
    shown.highlight_regex(r"(?m)^ +\| +[-^ ]+$", "red")
    shown.highlight_regex(r"(?m)^ *\d* ?(-->|\||=)", "blue")
    shown.highlight_regex(r"\b(help|note):", "cyan")
    console.print(shown)


def _write(path: str, text: str) -> None:
    temporary = Path(path).with_name(f".{Path(path).name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(text.encode("utf-8"))
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        _fail(f"cannot write {path}: {error.strerror}")


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _one_of(option: str, value: str, known: Iterable[str]) -> None:
    names = list(known)
    if value not in names:
        _fail(f"{option}: unknown value `{value}`; the values are {', '.join(names)}")


def _note(text: str) -> None:
    typer.echo(text, err=True)


def _fail(message: str) -> NoReturn:
    typer.echo(f"error: {message}", err=True)
    raise typer.Exit(2)


if __name__ == "__main__":
    app(prog_name="python -m grammar")
