"""The language server, driven by a real client: findings, fixes, hover, completion, formatting, UTF-16."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import pytest_lsp
from hypothesis import given
from hypothesis import strategies as st
from lsprotocol import types as lsp
from pygls.workspace import PositionCodec
from pytest_lsp import ClientServerConfig, LanguageClient

from grammar.complete import choices, label_at
from grammar.lsp import Text, _tidy
from grammar.ontology import loads
from grammar.places import in_line, written
from grammar.rows import LineReader
from grammar.tree import Span

ONTOLOGY = """
[intents.PlayMusic]
takes = ["Title", "Artist"]
required = ["Artist"]
repeated = ["Title"]
description = "play something"
[intents.Stop]
[slots.Title]
[slots.Artist]
"""


@pytest_lsp.fixture(config=ClientServerConfig(server_command=[sys.executable, "-m", "grammar", "lsp"]))
async def client(lsp_client: LanguageClient):
    params = lsp.InitializeParams(capabilities=pytest_lsp.client_capabilities("visual-studio-code"))
    await lsp_client.initialize_session(params)
    yield lsp_client
    await lsp_client.shutdown_session()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "ontology.toml").write_text(ONTOLOGY, "utf-8")
    return tmp_path


class Document:
    """An open file, edited as an editor does."""

    def __init__(self, client: LanguageClient, path: Path) -> None:
        self.client, self.uri, self.version, self.text = client, path.as_uri(), 1, ""

    async def open(self, text: str) -> list[lsp.Diagnostic]:
        self.text = text
        item = lsp.TextDocumentItem(self.uri, "treewright", self.version, text)
        self.client.text_document_did_open(lsp.DidOpenTextDocumentParams(item))
        return await self.diagnostics()

    async def replace(self, line: int, start: int, end: int, text: str) -> list[lsp.Diagnostic]:
        self.version += 1
        span = lsp.Range(lsp.Position(line, start), lsp.Position(line, end))
        change = lsp.TextDocumentContentChangePartial(text=text, range=span)
        at = lsp.VersionedTextDocumentIdentifier(uri=self.uri, version=self.version)
        self.client.text_document_did_change(lsp.DidChangeTextDocumentParams(at, [change]))
        return await self.diagnostics()

    async def diagnostics(self) -> list[lsp.Diagnostic]:
        await self.client.wait_for_notification(lsp.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)
        return list(self.client.diagnostics[self.uri])

    @property
    def at(self) -> lsp.TextDocumentIdentifier:
        return lsp.TextDocumentIdentifier(self.uri)

    async def actions(self, line: int, start: int, only: list[str] | None = None) -> list[lsp.CodeAction]:
        span = lsp.Range(lsp.Position(line, start), lsp.Position(line, start))
        context = lsp.CodeActionContext([], only=only)
        return await self.client.text_document_code_action_async(lsp.CodeActionParams(self.at, span, context)) or []


def spots(found: list[lsp.Diagnostic]) -> list[tuple[str, int, int, int]]:
    """(code, line, first character, one behind the last)."""
    assert all(d.range.start.line == d.range.end.line for d in found)
    return [(str(d.code), d.range.start.line, d.range.start.character, d.range.end.character) for d in found]


def edited(text: str, edits: list[lsp.TextEdit]) -> str:
    """The text after edits in UTF-16 positions, made without our own code."""
    lines = [line.encode("utf-16-le") for line in text.split("\n")]
    for edit in sorted(edits, key=lambda e: (-e.range.start.line, -e.range.start.character)):
        line, end = edit.range.start.line, edit.range.end
        head, tail = lines[line][: 2 * edit.range.start.character], lines[end.line][2 * end.character :]
        lines[line : end.line + 1] = (
            (head.decode("utf-16-le") + edit.new_text + tail.decode("utf-16-le"))
            .encode("utf-16-le")
            .split("\n".encode("utf-16-le"))
        )
    return "\n".join(line.decode("utf-16-le") for line in lines)


@pytest.mark.asyncio
async def test_a_column_that_stands_twice_is_marked_where_it_stands(client: LanguageClient, folder: Path) -> None:
    document = Document(client, folder / "a.tsv")
    found = await document.open("utterance\ttree\ttree\nstop\t(Stop())\t(Stop(\n")
    assert spots(found) == [("E114", 0, 0, 19)]
    assert await document.replace(0, 15, 19, "old") == []


@pytest.mark.asyncio
async def test_diagnostics_follow_every_edit(client: LanguageClient, folder: Path) -> None:
    document = Document(client, folder / "a.tsv")
    # The emoji is two units of UTF-16, the Chinese characters one each, U+2028 ends no line.
    found = await document.open("play 👍 音乐\u2028x\t(PlayMusic(Artist(👍)(音乐))(Titel(x)))\nstop\t(Stop())\n")
    assert ("E201", 0, 40, 45) in spots(found)
    assert {d.severity for d in found if d.code == "E201"} == {lsp.DiagnosticSeverity.Error}

    found = await document.replace(0, 43, 45, "le")
    assert "E201" not in {d.code for d in found}
    found = await document.replace(1, 5, 13, "(Stop(👍)")
    assert [spot for spot in spots(found) if spot[1] == 1][:1] == [("E101", 1, 5, 6)]


@pytest.mark.asyncio
async def test_findings_in_json_stand_where_json_writes_them(client: LanguageClient, folder: Path) -> None:
    document = Document(client, folder / "a.jsonl")
    row = '{"utterance": "say 👍 (x)", "tree": "(PlayMusic(Artist(\\ud83d\\udc4d)(\\\\(x\\\\)))(Titel(say)))"}'
    found = await document.open(row + "\n")
    at = row.index("Titel") + 1  # of characters; the emoji before it counts twice
    assert [spot for spot in spots(found) if spot[0] == "E201"] == [("E201", 0, at, at + 5)]

    (action,) = [a for a in await document.actions(0, at) if a.title.startswith("E201")]
    assert action.title == "E201: write `Title`"
    assert json.loads(edited(row, action.edit.changes[document.uri]))["tree"].endswith("(Title(say)))")


@pytest.mark.asyncio
async def test_rows_are_held_against_each_other(client: LanguageClient, folder: Path) -> None:
    document = Document(client, folder / "a.tsv")
    row = "play x by y\t(PlayMusic(Title(x))(Artist(y)))\n"
    found = await document.open(row + row)
    assert spots(found) == [("E401", 1, 12, 44)]
    found = await document.replace(1, 29, 30, "y")
    assert [spot[:2] for spot in spots(found) if spot[0] == "E402"] == [("E402", 1)]
    found = await document.replace(1, 0, 4, "start")
    assert not [spot for spot in spots(found) if spot[0].startswith("E4")]


@pytest.mark.asyncio
async def test_fixes(client: LanguageClient, folder: Path) -> None:
    document = Document(client, folder / "a.trees")
    found = await document.open("# 👍\n(PlayMusic(Artist(👍) b)(Title(c\\d)))\n(and(Stop))\n")
    assert {"E108", "E109"} <= {d.code for d in found}
    (action,) = [a for a in await document.actions(1, 23) if a.kind == lsp.CodeActionKind.QuickFix]
    assert (action.title, action.is_preferred) == ("E108: write `(b)`", True)
    assert edited(document.text, action.edit.changes[document.uri]).split("\n")[1] == (
        "(PlayMusic(Artist(👍) (b))(Title(c\\d)))"
    )
    (every,) = await document.actions(0, 0, [lsp.CodeActionKind.SourceFixAll])
    assert edited(document.text, every.edit.changes[document.uri]).split("\n")[1] == (
        "(PlayMusic(Artist(👍) (b))(Title(c\\\\d)))"
    )


@pytest.mark.asyncio
async def test_what_is_ignored_beside_a_tree_is_not_shown_and_not_mended(client: LanguageClient, folder: Path) -> None:
    document = Document(client, folder / "a.trees")
    row = "(Stop() b)"
    found = await document.open(f"{row}\n# treewright: ignore[E1]\n{row}\n{row}\n")
    # Equal lines are checked once, and still differ in what is left out.
    assert sorted({d.range.start.line for d in found if str(d.code).startswith("E1")}) == [0, 3]
    every = lsp.CodeActionKind.SourceFixAll
    assert not [a for a in await document.actions(2, 8) if a.kind != every and a.title.startswith("E1")]
    (action,) = await document.actions(2, 8, [every])
    assert {edit.range.start.line for edit in action.edit.changes[document.uri]} == {0, 3}

    found = await document.replace(1, 0, 24, "# treewright: ignore-file[E1]")
    assert {d.range.start.line for d in found if str(d.code).startswith("E1")} == {0}
    found = await document.replace(1, 0, 29, "# treewright: ignore[E9x]")  # a mark that holds for nothing
    assert {d.range.start.line for d in found if str(d.code).startswith("E1")} == {0, 2, 3}
    (idle,) = [d for d in found if d.code is None]
    assert (idle.range.start.line, idle.range.start.character, idle.range.end.character) == (1, 0, 25)
    assert idle.message.startswith("no code begins with `E9x`")


@pytest.mark.asyncio
async def test_the_column_ignore_counts(client: LanguageClient, folder: Path) -> None:
    document = Document(client, folder / "a.tsv")
    row = "x\t(PlayMusic(Artist(x))(Titel(x)))"
    lines = ["utterance\ttree\tignore", f"{row}\t", f"{row}\tE2, E3", f"{row}\tE2 E3 E4", f"{row}\tE9x"]
    found = spots(everything := await document.open("\n".join(lines)))
    assert {line for code, line, *_ in found if code == "E201"} == {1, 4}
    assert [(d.range.start.line, d.message.split(";")[0]) for d in everything if d.code is None] == [
        (4, "no code begins with `E9x`")
    ]
    assert {line for code, line, *_ in found if code == "E401"} == {2, 4}
    assert not [a for a in await document.actions(2, 28) if a.title.startswith("E201")]

    document = Document(client, folder / "a.jsonl")
    found = await document.open('{"tree": "(PlayMusic(Artist(x))(Titel(x)))", "ignore": ["E2"]}\n')
    assert found == []


@pytest.mark.asyncio
async def test_hover_completion_and_formatting(client: LanguageClient, folder: Path) -> None:
    document = Document(client, folder / "a.tsv")
    await document.open("👍 play\t(PlayMusic(Title( 👍 ))(Ar\nstop\t(Stop() )\n")
    hover = await client.text_document_hover_async(lsp.HoverParams(document.at, lsp.Position(0, 12)))
    assert "**PlayMusic** (intent)\n\nplay something" in hover.contents.value
    assert (hover.range.start.character, hover.range.end.character) == (9, 18)
    assert await client.text_document_hover_async(lsp.HoverParams(document.at, lsp.Position(0, 2))) is None

    listed = await client.text_document_completion_async(lsp.CompletionParams(document.at, lsp.Position(0, 34)))
    assert [item.label for item in listed.items] == ["Artist", "Title"]
    edit = listed.items[0].text_edit
    assert (edit.range.start.character, edit.range.end.character, edit.new_text) == (32, 34, "Artist")
    listed = await client.text_document_completion_async(lsp.CompletionParams(document.at, lsp.Position(1, 6)))
    assert [item.label for item in listed.items] == ["PlayMusic", "Stop"]

    options = lsp.FormattingOptions(tab_size=2, insert_spaces=True)
    edits = await client.text_document_formatting_async(lsp.DocumentFormattingParams(document.at, options))
    assert edited(document.text, edits) == "👍 play\t(PlayMusic(Title( 👍 ))(Ar\nstop\t(Stop())\n"


@pytest.mark.asyncio
async def test_the_ontology_is_read_again(client: LanguageClient, folder: Path) -> None:
    document = Document(client, folder / "a.trees")
    assert await document.open("(Stop())\n") == []
    (folder / "ontology.toml").write_text("[intents.Halt]\n", "utf-8")
    client.text_document_did_save(lsp.DidSaveTextDocumentParams(document.at))
    assert [d.code for d in await document.diagnostics()] == ["E201"]
    (folder / "ontology.toml").write_text("[intents.Halt\n", "utf-8")
    client.text_document_did_save(lsp.DidSaveTextDocumentParams(document.at))
    assert await document.diagnostics() == []
    assert "ontology.toml" in client.messages[0].message


@given(st.text("a👍音\r\n\u2028\u0301é", max_size=20), st.sampled_from(["utf-8", "utf-16", "utf-32"]))
def test_positions_there_and_back(source: str, encoding: str) -> None:
    text = Text("a.trees", source, PositionCodec(encoding))
    for at in range(len(source) + 1):
        if source[at - 1 : at + 1] != "\r\n":  # between the two there is no position
            assert text.offset(text.position(at)) == at


@given(st.text(min_size=1).filter(lambda t: "\n" not in t), st.booleans())
def test_places_in_json_are_those_of_the_characters(tree: str, plain: bool) -> None:
    tree = tree.encode("utf-8", "replace").decode()
    raw = json.dumps({"tree": "old", "x": [{"tree": 1}], "id": "{", "t": tree}, ensure_ascii=plain)
    raw = raw.replace('"t"', '"tre\\u0065"')  # the same key again, and the last one counts
    row = LineReader("a.jsonl", "jsonl").row(1, raw)
    for i in range(len(tree)):
        start, end = in_line(row, Span(i, i + 1))
        assert json.loads(f'"{raw[start:end]}"') == tree[i]
        assert written(row, start) == i


@pytest.mark.parametrize(
    ("form", "lines", "wanted"),
    [
        ("trees", ["(a (b))\r"], "(a(b))\r"),
        ("tsv", ["b\t(a (b))\r"], "b\t(a(b))\r"),
        ("tsv", ["tree\tid\r", "(a (b))\t1\r"], "(a(b))\t1\r"),
        ("jsonl", ['{"tree":"(a (b))", "n": 1e400}\r'], '{"tree":"(a(b))", "n": 1e400}\r'),
    ],
)
def test_formatting_keeps_the_rest_of_a_line_and_its_end(form: str, lines: list[str], wanted: str) -> None:
    reader = LineReader("a", form)
    rows = [reader.row(number, line) for number, line in enumerate(lines, 1)]

    assert _tidy(rows[-1], 2) == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("(", ["PlayMusic", "Stop"]),
        ("(Pl", ["PlayMusic", "Stop"]),
        ("(PlayMusic(", ["Artist", "Title"]),
        ("(PlayMusic(Artist(x))(", ["Title"]),
        ("(PlayMusic(Title(x))(Ti", ["Artist", "Title"]),
        ("(PlayMusic(Title(", ["play", "New\\ York", "it"]),
        ("(PlayMusic(Title(play)(", ["New\\ York", "it"]),
        ("(PlayMusic", ["PlayMusic", "Stop"]),
        ("(Nothing(", None),
        ("(PlayMusic ", None),
        ("(PlayMusic(Title(x))", None),
        ("", None),
    ],
)
def test_choices(text: str, wanted: list[str] | None) -> None:
    found = choices(text, len(text), loads(ONTOLOGY), ["play", "New York", "it"])

    assert (found and [choice.text for choice in found.choices]) == wanted


def test_labels_of_broken_trees_are_found() -> None:
    assert label_at("(PlayMusic(Title(x)", 13) == ("Title", Span(11, 16))
    assert label_at("(PlayMusic(Title(x)", 17) is None


def test_without_the_extra_the_message_says_what_to_install() -> None:
    import subprocess

    code = "import sys; sys.modules['pygls'] = None; sys.argv = ['grammar', 'lsp']; import runpy; "
    code += "runpy.run_module('grammar', run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert done.returncode == 2
    assert "pip install 'treewright[lsp]'" in done.stderr
