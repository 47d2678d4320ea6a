"""A language server: findings while one types, fixes, what a label means, which labels may come, formatting.

It speaks the Language Server Protocol over stdin and stdout. Positions are in the units of the client (UTF-16 unless it
asks for another); lines of the protocol end at LF, CRLF or CR, lines of our files at LF only. Only lines that changed
are checked again; what rows say against each other (E4) is looked at each time.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lsprotocol import types as lsp
from pygls.lsp.server import LanguageServer
from pygls.uris import to_fs_path
from pygls.workspace import PositionCodec, TextDocument

from grammar import __version__
from grammar.checker import check
from grammar.complete import choices, label_at
from grammar.corpus import Corpus
from grammar.describe import about
from grammar.finding import Finding, Place
from grammar.ontology import Ontology, OntologyError, load
from grammar.picture import pretty
from grammar.places import in_line, written
from grammar.rows import FileError, LineReader, Row, unreadable
from grammar.run import Block
from grammar.suppress import Marks, UnknownCode, codes
from grammar.syntax import TreeSyntaxError, parse

_SEVERITY = {
    "error": lsp.DiagnosticSeverity.Error,
    "warning": lsp.DiagnosticSeverity.Warning,
    "note": lsp.DiagnosticSeverity.Information,
}
_FORMS = {".tree": "tree", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".trees": "trees"}
_MOST_ROWS = 20_000
"""Of a table whose rows are held against each other while one types; `check` does it for any."""
_LINE_END = re.compile(r"\r\n|\n|\r")


def _protocol_lines(document: TextDocument) -> tuple[str, ...]:
    ends = [match.end() for match in _LINE_END.finditer(document.source)]
    return tuple(document.source[a:b] for a, b in zip([0, *ends], [*ends, len(document.source)], strict=True) if a < b)


# pygls splits at U+2028 and eight more characters, all legal in words, and would put edits in the wrong place.
TextDocument.lines = property(_protocol_lines)  # type: ignore[assignment, method-assign]


@dataclass(frozen=True, slots=True)
class Mark:
    """A finding in a line: half-open places in characters of the line; `text` is the fix as the line writes it."""

    finding: Finding
    span: tuple[int, int]
    fix: tuple[int, int] | None
    text: str
    related: tuple[int, int] | None


class Text:
    """One version of a document: its rows, and places to and from the protocol's positions."""

    def __init__(self, path: str, source: str, codec: PositionCodec) -> None:
        self.path, self.source, self.codec = path, source, codec
        self.starts = [0, *(match.end() for match in _LINE_END.finditer(source))]

    def position(self, offset: int) -> lsp.Position:
        """The protocol's position of a character."""
        line = bisect_right(self.starts, offset) - 1
        return lsp.Position(line, self.codec.client_num_units(self.source[self.starts[line] : offset]))

    def range(self, start: int, end: int) -> lsp.Range:
        return lsp.Range(self.position(start), self.position(end))

    def offset(self, position: lsp.Position) -> int:
        """The character at a position; beyond the end of its line, the end."""
        if position.line >= len(self.starts):
            return len(self.source)
        at, left = self.starts[position.line], position.character
        while at < len(self.source) and self.source[at] not in "\r\n":
            left -= self.codec.client_num_units(self.source[at])
            if left < 0:
                break
            at += 1
        return at

    def lines(self) -> Iterator[tuple[int, int, str]]:
        """(where it begins, number from 1, text) of every line of the file; of a `.tree` file, of all of it."""
        start = int(self.source.startswith("\ufeff"))
        whole = _form(self.path) == "tree"
        for number, raw in enumerate([self.source[start:]] if whole else self.source[start:].split("\n"), 1):
            yield start, number, raw
            start += len(raw) + 1

    def rows(self) -> Iterator[tuple[int, Row]]:
        """(where it begins, row) of every line."""
        reader = LineReader(self.path, _form(self.path))
        for start, number, raw in self.lines():
            yield start, _row(reader, number, raw)

    def ignores(self) -> Marks:
        """The comments that leave findings out, if these are lines of trees."""
        found = "treewright:" in self.source
        return Marks(raw.encode("utf-8", "surrogatepass") for _, _, raw in self.lines()) if found else Marks()

    def row_at(self, offset: int) -> tuple[int, Row] | None:
        """The row in which a character stands, if it holds a tree."""
        reader = LineReader(self.path, _form(self.path))
        found = None
        for start, number, raw in self.lines():
            if start > offset:
                break
            if not _settled(reader) or offset <= start + len(raw):
                found = (start, _row(reader, number, raw))
        return found if found and found[1].text is not None else None


def _form(path: str) -> str | None:
    return _FORMS.get(Path(path).suffix.lower())


def _row(reader: LineReader, number: int, raw: str) -> Row:
    """The row of a line; what ends a check, such as two columns of one name, is a finding where one types."""
    try:
        return reader.row(number, raw)
    except FileError as error:
        return unreadable(Place(reader.path, number, raw), "tsv", str(error), "mend the first line")


def _settled(reader: LineReader) -> bool:
    """Whether the first lines have said all that they say of the others."""
    return reader.form is not None and (reader.form != "tsv" or reader.columns is not None)


class Server(LanguageServer):
    """State of one client: what was said of each line of each document."""

    def __init__(self) -> None:
        super().__init__("treewright", __version__, text_document_sync_kind=lsp.TextDocumentSyncKind.Incremental)
        self.known: dict[str, tuple[object, dict[str, list[Mark]]]] = {}
        self.ontologies: dict[Path, tuple[int, Ontology | None]] = {}

    def text(self, uri: str) -> Text:
        document = self.workspace.get_text_document(uri)
        return Text(to_fs_path(uri) or uri, document.source, self.workspace.position_codec)

    def ontology(self, path: str) -> Ontology | None:
        """The `ontology.toml` beside a file, read again when it changed; the client is told if it is unusable."""
        beside = Path(path).parent / "ontology.toml"
        try:
            stamp = beside.stat().st_mtime_ns
        except OSError:
            self.ontologies.pop(beside, None)
            return None
        if self.ontologies.get(beside, (0, None))[0] != stamp:
            try:
                self.ontologies[beside] = (stamp, load(beside))
            except OntologyError as error:
                self.ontologies[beside] = (stamp, None)
                self.window_show_message(lsp.ShowMessageParams(lsp.MessageType.Error, str(error)))
        return self.ontologies[beside][1]

    def marks(self, uri: str, text: Text) -> Iterator[tuple[int, Mark]]:
        """(where its line begins, mark) of every finding; lines seen before are not checked again."""
        ontology = self.ontology(text.path)
        reader = LineReader(text.path, _form(text.path))
        state: object = None
        now: dict[str, list[Mark]] = {}
        before: dict[str, list[Mark]] = {}
        ignores = text.ignores()
        for start, number, raw in text.lines():
            settled = _settled(reader)
            if settled and state is None:
                state = (ontology, reader.form, reader.columns)
                old = self.known.get(uri)
                before = old[1] if old and old[0] == state else {}
            if settled and raw in now:
                marks = now[raw]
            elif settled and raw in before:
                marks = now[raw] = before[raw]
            else:
                marks = _marks(_row(reader, number, raw), ontology)
                if settled:
                    now[raw] = marks
            # What is ignored depends on other lines, so what is known of a line is all of it.
            ignored = ignores(number) if marks and reader.form == "trees" else ()
            yield from ((start, mark) for mark in marks if mark.finding.code not in ignored)
        self.known[uri] = (state, now)
        yield from _corpus_marks(text)

    def publish(self, uri: str) -> None:
        """Send all findings of a document."""
        text = self.text(uri)
        found = [_diagnostic(uri, text, start, mark) for start, mark in self.marks(uri, text)]
        found += _idle_marks(text)
        version = self.workspace.get_text_document(uri).version
        self.text_document_publish_diagnostics(lsp.PublishDiagnosticsParams(uri, found, version))


def server() -> Server:
    """A server with all its features; `start_io` runs it."""
    made = Server()

    @made.feature(lsp.TEXT_DOCUMENT_DID_OPEN)
    def opened(ls: Server, params: lsp.DidOpenTextDocumentParams) -> None:
        ls.publish(params.text_document.uri)

    @made.feature(lsp.TEXT_DOCUMENT_DID_CHANGE)
    def changed(ls: Server, params: lsp.DidChangeTextDocumentParams) -> None:
        ls.publish(params.text_document.uri)

    @made.feature(lsp.TEXT_DOCUMENT_DID_SAVE)
    def saved(ls: Server, params: lsp.DidSaveTextDocumentParams) -> None:
        # An ontology may have changed, and with it what is wrong with every open file.
        for uri in list(ls.known):
            ls.publish(uri)

    @made.feature(lsp.WORKSPACE_DID_CHANGE_WATCHED_FILES)
    def watched(ls: Server, params: lsp.DidChangeWatchedFilesParams) -> None:
        for uri in list(ls.known):
            ls.publish(uri)

    @made.feature(lsp.TEXT_DOCUMENT_DID_CLOSE)
    def closed(ls: Server, params: lsp.DidCloseTextDocumentParams) -> None:
        ls.known.pop(params.text_document.uri, None)
        ls.text_document_publish_diagnostics(lsp.PublishDiagnosticsParams(params.text_document.uri, []))

    kinds = [lsp.CodeActionKind.QuickFix, lsp.CodeActionKind.SourceFixAll]

    @made.feature(lsp.TEXT_DOCUMENT_CODE_ACTION, lsp.CodeActionOptions(code_action_kinds=kinds))
    def actions(ls: Server, params: lsp.CodeActionParams) -> list[lsp.CodeAction]:
        return _actions(ls, params)

    @made.feature(lsp.TEXT_DOCUMENT_HOVER)
    def hover(ls: Server, params: lsp.HoverParams) -> lsp.Hover | None:
        text = ls.text(params.text_document.uri)
        ontology = ls.ontology(text.path)
        at = text.offset(params.position)
        found = text.row_at(at)
        if not found or not ontology:
            return None
        start, row = found
        label = label_at(row.text or "", written(row, at - start))
        if not label or label[0] not in ontology:
            return None
        name, span = label
        return lsp.Hover(
            lsp.MarkupContent(lsp.MarkupKind.Markdown, about(ontology, name)),
            text.range(*_shift(start, in_line(row, span))),
        )

    @made.feature(lsp.TEXT_DOCUMENT_COMPLETION, lsp.CompletionOptions(trigger_characters=["("]))
    def complete(ls: Server, params: lsp.CompletionParams) -> lsp.CompletionList | None:
        text = ls.text(params.text_document.uri)
        ontology = ls.ontology(text.path)
        at = text.offset(params.position)
        found = text.row_at(at)
        if not found or not ontology:
            return None
        start, row = found
        chosen = choices(row.text or "", written(row, at - start), ontology, row.utterance)
        if not chosen:
            return None
        where = text.range(*_shift(start, in_line(row, chosen.span)))
        items = [
            lsp.CompletionItem(
                label=choice.text,
                kind=lsp.CompletionItemKind.Text if choice.kind == "word" else lsp.CompletionItemKind.Class,
                detail=choice.kind,
                documentation=lsp.MarkupContent(lsp.MarkupKind.Markdown, about(ontology, choice.text))
                if choice.kind != "word"
                else None,
                sort_text=f"{number:04}",
                text_edit=lsp.TextEdit(where, choice.text),
            )
            for number, choice in enumerate(chosen.choices)
        ]
        return lsp.CompletionList(False, items)

    @made.feature(lsp.TEXT_DOCUMENT_FORMATTING)
    def format_(ls: Server, params: lsp.DocumentFormattingParams) -> list[lsp.TextEdit]:
        text = ls.text(params.text_document.uri)
        edits = []
        for start, row in text.rows():
            tidy = _tidy(row, params.options.tab_size)
            if tidy is not None and tidy != row.raw:
                edits.append(lsp.TextEdit(text.range(start, start + len(row.raw)), tidy))
        return edits

    return made


def _corpus_marks(text: Text) -> Iterator[tuple[int, Mark]]:
    """What the rows of a table say against each other (E4); of trees alone nothing can be said."""
    if _form(text.path) not in ("tsv", "jsonl") or text.source.count("\n") > _MOST_ROWS:
        return
    starts, rows = zip(*text.rows(), strict=True)
    corpus = Corpus(lambda _: rows)
    corpus.see(Block(text.path, rows, 0))
    for checked in corpus.finish():
        start = starts[checked.row.place.line - 1]
        yield from ((start, mark) for mark in _marked(checked.row, checked.findings))


def _idle_marks(text: Text) -> Iterator[lsp.Diagnostic]:
    """Marks and cells of `ignore` that leave nothing out: they hold a code that no rule has, as `check` tells too."""
    problems: list[tuple[int, int, str]] = []
    if _form(text.path) == "trees":
        lines = [(start, len(raw)) for start, _, raw in text.lines()]
        problems = [(*lines[number - 1], why) for number, why in text.ignores().problems]
    elif "ignore" in text.source and text.source.count("\n") <= _MOST_ROWS:
        for start, row in text.rows():
            try:
                codes(row.ignore)
            except UnknownCode as error:
                problems.append((start, len(row.raw), str(error)))
    for start, length, why in problems:
        yield lsp.Diagnostic(
            range=text.range(start, start + length),
            message=f"{why}\nNothing is left out here.",
            severity=lsp.DiagnosticSeverity.Warning,
            source="treewright",
        )


def _marks(row: Row, ontology: Ontology | None) -> list[Mark]:
    if row.text is None and not row.problem:
        return []
    return _marked(row, [row.problem] if row.problem else check(row.text or "", ontology, row.utterance))


def _marked(row: Row, findings: Sequence[Finding]) -> list[Mark]:
    marks = []
    ignored = _ignored(row)
    for finding in findings:
        if finding.code in ignored:
            continue
        fix, related = finding.fix, finding.related
        span = in_line(row, finding.span, finding)
        marks.append(
            Mark(
                finding,
                (span[0], max(span[1], span[0])),
                in_line(row, fix.span, finding) if fix else None,
                row.place_of(finding).as_written(fix.text) if fix else "",
                in_line(row, related.span, finding) if related else None,
            )
        )
    return marks


def _ignored(row: Row) -> frozenset[str]:
    """The codes in the column `ignore` of a row; none where one is unknown, see `_idle_marks`."""
    try:
        return codes(row.ignore)
    except UnknownCode:
        return frozenset()


def _diagnostic(uri: str, text: Text, start: int, mark: Mark) -> lsp.Diagnostic:
    finding = mark.finding
    related = None
    if mark.related and finding.related:
        place = lsp.Location(uri, text.range(*_shift(start, mark.related)))
        related = [lsp.DiagnosticRelatedInformation(place, finding.related.message)]
    return lsp.Diagnostic(
        range=text.range(*_shift(start, mark.span)),
        message=f"{finding.message}\n{finding.help}",
        severity=_SEVERITY[finding.severity],
        code=finding.code,
        source="treewright",
        related_information=related,
    )


def _actions(ls: Server, params: lsp.CodeActionParams) -> list[lsp.CodeAction]:
    """A quick fix for each finding in the range that has one, and one for all safe ones of the document."""
    uri = params.text_document.uri
    text = ls.text(uri)
    first, last = text.offset(params.range.start), text.offset(params.range.end)
    wanted = params.context.only
    found: list[lsp.CodeAction] = []
    safe: list[tuple[int, int, str]] = []
    for start, mark in ls.marks(uri, text):
        if not mark.fix or not mark.finding.fix:
            continue
        a, b = _shift(start, mark.fix)
        if mark.finding.fix.safe and (not safe or safe[-1][1] <= a):
            safe.append((a, b, mark.text))
        begin, end = _shift(start, mark.span)
        if begin <= last and first <= end and (not wanted or lsp.CodeActionKind.QuickFix in wanted):
            found.append(
                lsp.CodeAction(
                    title=f"{mark.finding.code}: {_title(mark)}",
                    kind=lsp.CodeActionKind.QuickFix,
                    diagnostics=[_diagnostic(uri, text, start, mark)],
                    is_preferred=mark.finding.fix.safe,
                    edit=lsp.WorkspaceEdit({uri: [lsp.TextEdit(text.range(a, b), mark.text)]}),
                )
            )
    if safe and (not wanted or any(lsp.CodeActionKind.SourceFixAll.startswith(kind) for kind in wanted)):
        edits = [lsp.TextEdit(text.range(a, b), new) for a, b, new in safe]
        found.append(
            lsp.CodeAction(
                title="Treewright: make all safe fixes",
                kind=lsp.CodeActionKind.SourceFixAll,
                edit=lsp.WorkspaceEdit({uri: edits}),
            )
        )
    return found


def _title(mark: Mark) -> str:
    assert mark.finding.fix is not None and mark.fix is not None
    new = mark.finding.fix.text
    if not new:
        return "remove it"
    return f"insert `{new}`" if mark.fix[0] == mark.fix[1] else f"write `{new}`"


def _tidy(row: Row, indent: int) -> str | None:
    """The line in canonical form; None where it holds no tree, or one that cannot be read."""
    if row.text is None:
        return None
    try:
        tree = parse(row.text)
    except TreeSyntaxError:
        return None
    if row.form == "tree":
        return pretty(tree, indent) + "\n"
    if row.text.strip(" \t\r") == str(tree) and row.form == "jsonl":
        return None  # how JSON is spaced is not ours to change
    # The end of the line may be in the tree's column, and is no part of the tree.
    return row.with_tree(str(tree) + "\r" * row.text.endswith("\r"))


def _shift(start: int, span: tuple[int, int]) -> tuple[int, int]:
    return start + span[0], start + span[1]
