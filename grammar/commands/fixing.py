"""What `check --fix` and `check --diff` do to files: find the rows that can be mended, then write those anew."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Collection
from pathlib import Path

import typer

from grammar.checker import check
from grammar.commands import door
from grammar.encoding import is_utf_8
from grammar.files import form_of, ontology_beside, opened
from grammar.fixes import mend
from grammar.ontology import Ontology
from grammar.rewrite import changed, diff, encode, replace
from grammar.rows import Row
from grammar.run import Run
from grammar.sieve import Sieve


def fix(
    make_run: Callable[[], Run], sieve: Callable[[], Sieve], unsafe: bool, only_show: bool, copy: Path | None
) -> Counter[str]:
    """Mend what can be mended in the files of a run.

    Args:
        make_run: a new run over the files; used once, to find the rows that have a fix.
        sieve: a new sieve; what is ignored is not mended.
        unsafe: whether to apply unsafe fixes.
        only_show: print a diff instead of writing. Stdin is written to stdout.
        copy: where stdin is kept, if that is one of the files; it is mended too, as a file would be.

    Returns:
        How often each code was mended.
    """
    run, keep = make_run(), sieve()
    rows: dict[str, dict[int, list[str]]] = {path: {} for path in run.files}  # path -> line -> codes
    for checked in run:
        path = "-" if checked.row.place.path == "<stdin>" else checked.row.place.path
        for finding, _ in keep(checked):
            if finding.code in ("E501", "E502") or (finding.fix and (finding.fix.safe or unsafe)):
                rows[path].setdefault(checked.row.place.line, []).append(finding.code)
    fixed: Counter[str] = Counter()
    for path, lines in rows.items():
        binary = (run.form or form_of(path)) == "parquet"  # it is refused below
        if lines and not binary and (line := _other_bytes(path)):
            name = "<stdin>" if path == "-" else path
            door.note(f"{name}:{line}: not UTF-8, so nothing is mended in this file; convert it first")
            lines = {}
        if lines:
            fixed += _file(path, lines, run, keep, unsafe, only_show, copy)
        elif path == "-" and not only_show:
            door.rewind(path)
            _out(sys.stdin.buffer.read())
    return fixed


def _file(
    path: str,
    lines: dict[int, list[str]],
    run: Run,
    keep: Sieve,
    unsafe: bool,
    only_show: bool,
    copy: Path | None,
) -> Counter[str]:
    codes = {code for some in lines.values() for code in some}
    fixed = Counter(code for code in codes if code in ("E501", "E502"))
    ontology = run.ontology or ontology_beside(path)
    door.rewind(path)

    def edit(row: Row) -> str:
        line, text = row.place.line, row.raw
        if line in lines and row.text is not None:
            text = _mended(row, run.codes - keep.ignores(row), ontology, run.tokeniser, unsafe, fixed)
        if "E502" in codes:
            text = text.replace("\r\n", "\n") if row.form == "tree" else text.removesuffix("\r")
        return text

    pairs = changed(path, edit, run.form, run.names, bom="E501" not in codes)
    if only_show:
        for piece in diff("<stdin>" if path == "-" else path, pairs):
            _out(encode(piece))
    elif path == "-":
        assert copy is not None
        mended = copy.with_name("mended")
        with mended.open("wb") as file:
            for _, new in pairs:
                _out(encode(new))
                file.write(encode(new))
        door.put_on_stdin(copy, mended)
    else:
        replace(path, (new for _, new in pairs))
    return fixed


def _other_bytes(path: str) -> int:
    """The first line with bytes that are no UTF-8; 0 where there is none.

    In other encodings a byte that looks like a backslash or a blank may be half a letter.
    """
    door.rewind(path)
    with opened(path) as file:
        for number, line in enumerate(file, 1):
            if not line.isascii() and not is_utf_8(line.decode("utf-8", "surrogateescape")):
                return number
    return 0


def _mended(
    row: Row, codes: Collection[str], ontology: Ontology | None, tokeniser: str, unsafe: bool, fixed: Counter[str]
) -> str:
    # The end of a line is no part of its tree.
    tree = (row.text or "").rstrip("\r\n")
    mended = mend(tree, row.utterance, lambda t, u: check(t, ontology, u, tokeniser, codes), unsafe)
    if not mended.fixed:
        return row.raw
    fixed.update(mended.fixed)
    said = mended.utterance if isinstance(mended.utterance, str) else None
    return row.with_tree(mended.tree + (row.text or "")[len(tree) :], said)


def _out(data: bytes) -> None:
    typer.get_binary_stream("stdout").write(data)
