"""The commands: forms of input, exit codes, what goes to stdout and what to stderr."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from grammar import Ontology
from grammar.__main__ import app
from grammar.commands.door import show
from grammar.ontology import load

GOOD = "(PlayMusicIntent(MediaType(music)))"


def run(*arguments: object, stdin: str | None = None) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], input=stdin)


def write(path: Path, text: str) -> Path:
    path.write_bytes(text.encode("utf-8"))
    return path


def positions(result: Result) -> list[str]:
    """`line:column code` of each finding."""
    rows = [json.loads(line) for line in result.stdout.split("\n")[:-1]]
    return [f"{row['line']}:{row['column']} {row['code']}" for row in rows]


def test_clean(tmp_path: Path) -> None:
    file = write(tmp_path / "a.trees", f"# a comment (\n\n{GOOD} \n{GOOD}")
    result = run("check", file)
    assert (result.exit_code, result.stdout) == (0, "")
    assert "2 trees in 1 file: 0 findings" in result.stderr
    assert "labels were not checked" in result.stderr


@pytest.mark.parametrize(
    ("name", "text", "wanted"),
    [
        ("a.trees", f"#\n{GOOD}\n(a(b)\n", ["3:1 E101"]),
        ("a.trees", "(a(x\u2028y))\n(a(b)\u2028)\n", ["1:5 E509", "2:6 E108", "2:6 E509"]),
        ("a.tree", "(a\n  (b)\n  (c)", ["1:1 E101"]),
        ("a.tree", "(a\n  (b)\n  c)\n", ["3:3 E108"]),
        ("a.tsv", "utterance\ttree\nb c\t(a\t(b)c)\n", ["2:11 E108"]),
        ("a.tsv", "b\t\n", ["1:3 E111"]),
        ("a.jsonl", '{"tree": "(a(b)c)"}\n{"utterance": "c", "tree": "(a(b))"}\n', ["1:16 E108", "2:32 E301"]),
        ("a.jsonl", '{"utterance": "b", "words": ["b b"], "tree": "(a(b\\\\ b))"}\n', []),
        ("a.jsonl", '{"tree": 1}\n[\n{"utterance": 1, "tree": "(a(b))"}\n', ["1:1 E114", "2:1 E114", "3:1 E114"]),
    ],
)
def test_forms(tmp_path: Path, name: str, text: str, wanted: list[str]) -> None:
    result = run("check", "--json", write(tmp_path / name, text))
    assert positions(result) == wanted
    assert result.exit_code == bool(wanted)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("\n(a(b)\n", ["2:1 E101"]),
        ('{"tree": "(a(b)"}', ["1:11 E101"]),
        ("b\t(a(c))", ["1:6 E301"]),
        ("# b\t(a(c))", []),
    ],
)
def test_stdin_is_known_by_its_first_line(text: str, wanted: list[str]) -> None:
    assert positions(run("check", "--json", "-", stdin=text)) == wanted


def test_form_can_be_given() -> None:
    assert positions(run("check", "--json", "--as", "tsv", "-", stdin="# b\t(a(c))")) == ["1:8 E301"]


def test_ontology_beside_the_input_and_given(tmp_path: Path) -> None:
    file = write(tmp_path / "a.trees", "(PlayMusic())\n")
    beside = write(tmp_path / "ontology.toml", "[intents.PlayMusicIntent]\n")
    other = write(tmp_path / "other.toml", "[intents.PlayMusic]\n")
    assert positions(run("check", "--json", file)) == ["1:2 E201"]
    assert run("check", file, "--ontology", other).exit_code == 0
    beside.write_text("[intents.X", encoding="utf-8")
    assert run("check", file).exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["check", "nothing.trees"], "cannot read nothing.trees"),
        (["check", "-", "--ontology", "nothing.toml"], "cannot read the ontology nothing.toml"),
        (["check", "-", "--as", "xml"], "--as: unknown value `xml`; the values are trees, tree, tsv, jsonl, parquet"),
        (["check", "-", "--tokeniser", "x"], "--tokeniser: unknown value `x`"),
        (["explain", "E999"], "unknown code `E999`"),
        (["format", "--write", "-"], "`--write` goes with neither"),
        (["infer", "-"], "no tree could be read"),
    ],
)
def test_could_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(*arguments, stdin="")
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ") and message in result.stderr
    assert result.stdout == ""


def test_bytes_that_are_not_utf_8(tmp_path: Path) -> None:
    file = tmp_path / "a.trees"
    file.write_bytes(GOOD.encode() + b"\n(a(caf\xe9))\n")
    result = run("check", file)
    assert result.exit_code == 1
    assert "error[E503]: the byte e9 is no UTF-8" in result.stdout
    assert "2 | (a(caf\ufffd))" in result.stdout
    assert run("format", file).exit_code == 2


def test_colours_change_nothing_but_colours() -> None:
    terminal = Console(
        file=io.StringIO(), force_terminal=True, color_system="standard", soft_wrap=True, highlight=False
    )
    text = (Path(__file__).parent / "data/check/mistakes.expected").read_text(encoding="utf-8")
    show(terminal, text.split("\n\n")[0])
    shown = terminal.file.getvalue()  # type: ignore[attr-defined]  # it is a StringIO
    assert "\x1b[1;31merror[E101]" in shown
    assert re.sub(r"\x1b\[[0-9;]*m", "", shown) == text.split("\n\n")[0] + "\n"


def test_format(tmp_path: Path) -> None:
    file = write(tmp_path / "a.trees", "# kept\n\n(a (b c))\n(a(b)\n(a(b))\n")
    result = run("format", file)
    assert result.stdout == "# kept\n\n(a(b)(c))\n(a(b)\n(a(b))\n"
    assert result.exit_code == 1 and "error[E101]" in result.stderr


@pytest.mark.parametrize(
    ("name", "text", "tidy"),
    [
        ("a.trees", "# c\n(a (b c))\n", "# c\n(a(b)(c))\n"),
        ("a.tree", "(a\n  (b))\n", "(a(b))\n"),
        ("a.tsv", "b  c\t(a(b c))\n", "b  c\t(a(b)(c))\n"),
        ("a.jsonl", '{"id": "é", "tree": "(a(b c))", "n": 1}\n', '{"id": "é", "tree": "(a(b)(c))", "n": 1}\n'),
    ],
)
def test_format_checks_and_writes(tmp_path: Path, name: str, text: str, tidy: str) -> None:
    file = write(tmp_path / name, text)
    checked = run("format", "--check", file)
    assert checked.exit_code == 1
    assert checked.stdout.endswith("not in canonical form\n")
    assert file.read_bytes().decode() == text
    assert run("format", "--write", file).exit_code == 0
    assert file.read_bytes().decode() == tidy
    assert run("format", file).stdout == tidy
    checked = run("format", "--check", file)
    assert (checked.exit_code, checked.stdout) == (0, "")
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_format_shows_a_diff_and_leaves_line_ends(tmp_path: Path) -> None:
    file = write(tmp_path / "a.trees", "# c\r\n(a (b c))\r\n(a(b))")
    result = run("format", "--diff", file)
    assert result.exit_code == 1
    assert "-(a (b c))" in result.stdout and "+(a(b)(c))" in result.stdout
    assert file.read_bytes() == b"# c\r\n(a (b c))\r\n(a(b))"
    assert run("format", "--write", file).exit_code == 0
    assert file.read_bytes() == b"# c\r\n(a(b)(c))\r\n(a(b))"


def test_format_writes_over_several_lines_only_where_they_can_stand(tmp_path: Path) -> None:
    file = write(tmp_path / "a.tree", GOOD + "\n")
    assert run("format", "--indent", "2", "--check", file).exit_code == 1
    assert run("format", "--indent", "2", "--write", file).exit_code == 0
    assert file.read_text() == "(PlayMusicIntent\n  (MediaType(music)))\n"
    assert run("format", "--indent", "2", "--check", file).exit_code == 0
    assert run("check", file).exit_code == 0
    refused = run("format", "--indent", "2", "--write", write(tmp_path / "a.trees", GOOD))
    assert refused.exit_code == 2 and "one tree a line" in refused.stderr


def test_format_indented() -> None:
    result = run("format", "--indent", "2", "-", stdin=f"# c\n{GOOD}\n(a(b))\n")
    assert result.stdout == "(PlayMusicIntent\n  (MediaType(music)))\n\n(a(b))\n"


def test_show() -> None:
    assert run("show", GOOD).stdout == "PlayMusicIntent\n└─ MediaType ── music\n"
    assert run("show", "-", stdin="b\t(a(b))\nc\t(a(c))\n").stdout == "b\na ── b\n\nc\na ── c\n"
    broken = run("show", "(a(b)")
    assert broken.exit_code == 1 and "error[E101]" in broken.stderr


def test_infer(tmp_path: Path) -> None:
    file = write(tmp_path / "a.trees", f"{GOOD}\n(both{GOOD}(StopIntent()))\n")
    output = tmp_path / "ontology.toml"
    result = run("infer", file, "--output", output, "--function", "both")
    assert (result.exit_code, result.stdout) == (0, "")
    drafted = load(output)
    assert isinstance(drafted, Ontology)
    assert (drafted.kind("both"), drafted.kind("StopIntent"), drafted.kind("MediaType")) == (
        "function",
        "intent",
        "slot",
    )
    assert run("check", file).exit_code == 0
    assert run("infer", file, "--function", "both").stdout == output.read_text(encoding="utf-8")


def test_a_reviewed_ontology_is_not_written_over(tmp_path: Path) -> None:
    file, reviewed = write(tmp_path / "a.trees", f"{GOOD}\n"), write(tmp_path / "o.toml", "# reviewed\n")
    refused = run("infer", file, "--output", reviewed)
    assert (refused.exit_code, reviewed.read_text("utf-8")) == (2, "# reviewed\n")
    assert run("infer", file, "--output", file, "--overwrite").exit_code == 2
    assert file.read_text("utf-8") == f"{GOOD}\n"
    assert run("infer", file, "--output", reviewed, "--overwrite").exit_code == 0
    assert load(reviewed).kind("PlayMusicIntent") == "intent"


def test_no_result_is_written_over_an_input(tmp_path: Path) -> None:
    file, ontology = write(tmp_path / "a.trees", f"{GOOD}\n"), tmp_path / "o.toml"
    run("infer", file, "--output", ontology)
    before = file.read_bytes(), ontology.read_bytes()
    for command in (
        ["check", file, "--output-file", file],
        ["check", tmp_path, "--report", file],
        ["check", file, "--write-baseline", file],
        ["check", file, "--ontology", ontology, "--output-file", ontology],
        ["show", file, "--html", file],
        ["show", file, "--svg", file],
        ["ontology", "docs", ontology, "--output", ontology],
        ["ontology", "grammar", ontology, "--output", ontology],
    ):
        result = run(*command)
        assert result.exit_code == 2 and "is an input" in result.stderr
    assert (file.read_bytes(), ontology.read_bytes()) == before


def test_every_command_takes_names_of_columns(tmp_path: Path) -> None:
    head = "who\tparse\tsaid\n"
    file = write(tmp_path / "a.tsv", f"{head}ann\t(a(b c))\tb c\nben\t(a(b)(c))\tb c\n")
    other = write(tmp_path / "b.tsv", f"{head}ann\t(a(b))\tb\nben\t(d())\td\n")
    columns = ["--column", "tree=parse", "--column", "utterance=said", "--column", "annotator=who"]
    assert "all agree             100.0%" in run("agree", file, *columns).stdout
    assert '[intents."a"]' in run("infer", file, *columns).stdout
    assert run("show", file, *columns).stdout.startswith("b c\na ── b c\n")
    assert "only in" in run("diff", file, other, "--by", "utterance", *columns).stdout
    assert run("format", file, *columns).stdout == file.read_text("utf-8").replace("(b c)", "(b)(c)")
    assert run("format", file, "--indent", "1", *columns).stdout.startswith("(a")
    for command in (["agree"], ["infer"], ["show"], ["diff", file], ["format"]):
        wrong = run(*command, file, "--column", "trees=parse")
        assert wrong.exit_code == 2 and "--column: unknown value `trees`" in wrong.stderr


def test_explain() -> None:
    assert "(Title Star Wars)" in run("explain", "e208").stdout
    listed = run("explain").stdout.splitlines()
    assert listed[0] == "E101  unclosed bracket"


@pytest.mark.parametrize("command", ["check", "format", "show", "infer", "explain"])
def test_help_teaches(command: str) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    assert f"python -m grammar {command}" in result.stdout


def test_checking_needs_the_base_install_only() -> None:
    code = (
        "import sys; from grammar.__main__ import app; import grammar; grammar.check('(a(b))');"
        "print(sorted({'lark', 'numpy', 'pyarrow', 'torch', 'apache_beam'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
