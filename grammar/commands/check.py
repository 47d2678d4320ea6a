"""`python -m grammar check`."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from grammar.commands import door
from grammar.commands.door import Column, Form
from grammar.corpus import CODES as CORPUS
from grammar.corpus import SPLITS, Corpus, split_named, split_of
from grammar.files import FORMS, FileError, form_of, inputs, read, spreadsheets
from grammar.ontology import OntologyError
from grammar.outputs import FORMATS, Output, make
from grammar.outputs.objects import dumps
from grammar.report import Report
from grammar.rows import Row
from grammar.rules import UnknownCode, chosen
from grammar.run import MOST, Run, Watcher
from grammar.sieve import Sieve
from grammar.statistics import Statistics
from grammar.suppress import Baseline, BaselineError, load_baseline
from grammar.words import TOKENISERS

Paths = Annotated[
    list[str],
    typer.Argument(metavar="FILES...", help="`.trees`, `.tree`, `.tsv`, `.jsonl`, `.parquet`, folders, globs, or `-`."),
]
_LEVELS = ("error", "warning", "note", "never")


def check(
    files: Paths,
    ontology: Annotated[
        Path | None, typer.Option(help="What the labels are held against; else `ontology.toml` beside each file.")
    ] = None,
    select: Annotated[
        list[str] | None, typer.Option(metavar="CODES", help="Only these, by prefix (`E2,E301`, `ALL`); notes too.")
    ] = None,
    extend_select: Annotated[
        list[str] | None, typer.Option(metavar="CODES", help="These besides the default, such as notes.")
    ] = None,
    ignore: Annotated[list[str] | None, typer.Option(metavar="CODES", help="Not these, by prefix.")] = None,
    fix: Annotated[
        bool, typer.Option("--fix", help="Mend what can be mended safely, in place; stdin to stdout.")
    ] = False,
    unsafe_fixes: Annotated[
        bool, typer.Option("--unsafe-fixes", help="With `--fix` or `--diff`: the likeliest mends too; look at them.")
    ] = False,
    diff: Annotated[bool, typer.Option("--diff", help="Write nothing; show what `--fix` would change.")] = False,
    output_format: Annotated[str, typer.Option(help=f"One of {', '.join(FORMATS)}.")] = "full",
    as_json: Annotated[bool, typer.Option("--json", help="The same as `--output-format json-lines`.")] = False,
    output_file: Annotated[Path | None, typer.Option(help="Where to write; else stdout.")] = None,
    statistics: Annotated[
        bool, typer.Option("--statistics", help="Counts by code, annotator and batch in place of findings.")
    ] = False,
    report: Annotated[
        Path | None, typer.Option(metavar="HTML", help="Also write a page: counts, worst files, examples drawn.")
    ] = None,
    max_findings: Annotated[int | None, typer.Option(min=1, help="Stop after so many.")] = None,
    baseline: Annotated[Path | None, typer.Option(help="Findings that were there before; they are left out.")] = None,
    write_baseline: Annotated[Path | None, typer.Option(help="Put all findings of this run into a baseline.")] = None,
    fail_on: Annotated[
        str, typer.Option(help="Exit 1 from this severity on: error, warning, note, never.")
    ] = "warning",
    split: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SPLIT=PATTERN", help="Which files are `train`, `dev`, `test`, where names do not say it."
        ),
    ] = None,
    column: Column = None,
    tokeniser: Annotated[str, typer.Option(help=f"How utterances are cut: {', '.join(TOKENISERS)}.")] = "words-1",
    form: Form = None,
) -> None:
    """Find what is wrong with trees: syntax (E1), labels (E2), words (E3), the corpus (E4), characters (E5).

    \b
    python -m grammar check batch.trees
    python -m grammar check corpus/ --ontology music.toml --output-format concise
    python -m grammar check corpus/ --statistics --report report.html
    python -m grammar check batch.tsv --diff
    python -m grammar check batch.tsv --fix --select E1,E5
    echo '(PlayMusicIntent' | python -m grammar check -
    """
    for option, value, known in (
        ("--tokeniser", tokeniser, TOKENISERS),
        ("--output-format", output_format, FORMATS),
        ("--fail-on", fail_on, _LEVELS),
        ("--as", form or FORMS[0], FORMS),
    ):
        door.one_of(option, value, known)
    if (fix or diff) and (baseline or write_baseline):
        door.fail("`--fix` and `--diff` go with no baseline; mend first, then write one")
    if diff and (output_file or report or statistics):
        door.fail("`--diff` shows a diff on stdout and goes without `--output-file`, `--report` and `--statistics`")
    if write_baseline and max_findings:
        door.fail("`--write-baseline` takes all findings, so it goes without `--max-findings`")
    if unsafe_fixes and not (fix or diff):
        door.fail("`--unsafe-fixes` goes with `--fix` or `--diff`")
    given, splits, names = door.ontology(ontology), _splits(split), door.names_of(column)
    try:
        codes = chosen(_codes(select), _codes(extend_select), _codes(ignore))
        paths = inputs(files)
        old = load_baseline(baseline) if baseline else None
    except (UnknownCode, FileError, BaselineError) as error:
        door.fail(str(error))
    for option, path in (("--output-file", output_file), ("--report", report), ("--write-baseline", write_baseline)):
        door.spare(option, path, (*paths, ontology))
    for table in spreadsheets(files):
        door.note(f"{table}: not read; save it as TSV")
    with door.stdin_twice(paths) as copy, _target(output_file, output_format) as target:
        counts = Statistics()
        before = Baseline() if write_baseline else None
        differs = False

        def again(path: str) -> Iterator[Row]:
            door.rewind(path)
            return read(path, form, names, cut=True)

        def run(watchers: list[Watcher], tell: Callable[[str], object]) -> Run:
            for path in paths:
                door.rewind(path)
            return Run(paths, given, tokeniser, codes, form, names, watchers, go_on=tell)

        def sieve() -> Sieve:
            return Sieve(old, door.note, copy, before)

        try:
            if fix or diff:
                from grammar.commands.fixing import fix as fix_files

                fixed = fix_files(lambda: run([], str), sieve, unsafe_fixes, diff, copy)
                would = "would be " * diff
                door.note(f"{door.count(fixed.total(), 'finding')} {would}fixed" + _listed(fixed))
                differs = diff and bool(fixed)
            output = make("json-lines" if as_json else output_format, target)
            if fix and "-" in paths and output_file is None:  # stdout has the mended trees
                output.write = sys.stderr.write
            page = Report(given) if report else None
            watchers: list[Watcher] = [counts] if statistics or page else []
            watchers += [page] if page else []
            if codes & CORPUS and _could_meet(paths, form, splits):
                watchers.append(Corpus(again, codes, splits))
            shown = None if statistics or diff else output
            checking = run(watchers, door.tell)
            worst = _report(checking, sieve(), counts, shown, bool(write_baseline), max_findings, page)
        except (FileError, OntologyError, OSError) as error:
            door.fail(str(error))
        if report and page:
            door.write(str(report), page.html(counts.to_json()))
        if statistics:
            as_object = as_json or output_format in ("json", "json-lines")
            text = dumps(counts.to_json()) if as_object else counts.to_text()
            target(text + "\n" * bool(text))
        if checking.damaged:
            door.fail(f"{door.count(len(checking.damaged), 'file')} could not be read, as told above")
        if write_baseline and before is not None:
            door.write(str(write_baseline), before.dumps())
            raise typer.Exit(0)
    failed = differs or worst in _LEVELS[: _LEVELS.index(fail_on) + 1]
    raise typer.Exit(1 if failed and fail_on != "never" else 0)


def _report(
    run: Run,
    keep: Sieve,
    counts: Statistics,
    output: Output | None,
    silent: bool,
    most: int | None,
    page: Report | None = None,
) -> str:
    """Send the findings of a run to their output; the worst severity among them."""
    worst = ""
    left_out = 0
    if output:
        output.begin()
    with door.progress(run):
        for checked in run:
            left_out += checked.more
            kept = list(keep(checked))
            counts.add(checked.row, [finding.code for finding, _ in kept])
            if page:
                page.add(checked.row, kept)
            for finding, place in kept:
                if not worst or _LEVELS.index(finding.severity) < _LEVELS.index(worst):
                    worst = finding.severity
                if output and not silent:
                    output.add(finding, place)
            if most is not None and counts.codes.total() >= most:
                break
        else:
            looked_for = {code for code in run.codes if code[:2] != "E2" or not run.without_ontology}
            keep.unused(run.marked, looked_for - CORPUS)
    if output:
        output.end(["<stdin>" if path == "-" else path for path in run.files])
    for path in run.without_ontology:
        door.note(f"{path}: no ontology, so labels were not checked; give one with `--ontology`")
    if left_out:
        door.note(f"{door.count(left_out, 'finding')} left out, of trees that have more than {MOST}")
    if keep.ignored or keep.known:
        door.note(f"left out: {keep.ignored:,} ignored, {keep.known:,} in the baseline")
    read_ = f"{door.count(run.rows, 'tree')} in {door.count(len(run.files), 'file')}"
    door.note(f"{read_}: {door.count(counts.codes.total(), 'finding')} in {door.count(counts.wrong, 'tree')}")
    return worst


@contextlib.contextmanager
def _target(file: Path | None, form: str) -> Iterator[Callable[[str], object]]:
    """What writes the results: to a file in one step, or to stdout, in colour on a terminal."""
    if file is not None:
        try:
            with door.writing(file) as opened:
                yield opened.write
        except OSError as error:
            door.fail(f"cannot write {file}: {error.strerror}")
        return
    console = Console(highlight=False, soft_wrap=True)
    if form == "full" and console.is_terminal:
        yield lambda text: door.show(console, text[:-1])
    else:
        yield sys.stdout.write


def _codes(given: list[str] | None) -> list[str]:
    return [code for some in given or () for code in some.replace(",", " ").split()]


def _splits(given: list[str] | None) -> dict[str, str]:
    splits = {}
    for text in given or ():
        name, _, pattern = text.partition("=")
        if not (pattern and split_named(name)):
            door.fail(f"--split: `{text}` is not SPLIT=PATTERN; SPLIT is one of {', '.join(SPLITS[1:])}")
        splits[pattern] = split_named(name)
    return splits


def _could_meet(paths: Sequence[str], form: str | None, splits: dict[str, str]) -> bool:
    """Whether rows can be held against each other: trees alone can only where files are of several splits."""
    bare = all((form or form_of(path)) in ("trees", "tree") for path in paths)
    return not bare or len({split_of(path, splits) for path in paths} - {""}) > 1


def _listed(fixed: Mapping[str, int]) -> str:
    return f" ({', '.join(f'{number:,} {code}' for code, number in sorted(fixed.items()))})" if fixed else ""
