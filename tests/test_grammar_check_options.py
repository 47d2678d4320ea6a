"""What `check` can be told: what to look for, what to leave out, what to mend; and the examples of whole files."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import trees
from typer.testing import CliRunner, Result

from grammar import Tree
from grammar.__main__ import app
from grammar.corpus import Corpus, split_of
from grammar.files import read
from grammar.rows import LineReader
from grammar.rules import RULES
from grammar.run import Block

GOOD = "(PlayMusicIntent(MediaType(music)))"
DATA = Path(__file__).parent / "data" / "check"
WHOLE = sorted(code for code, rule in RULES.items() if rule.form != "tree")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(app, ["check", *arguments], input=stdin)


def write(name: str, text: str) -> None:
    Path(name).write_bytes(text.encode("utf-8", "surrogateescape"))


def found(*arguments: str, stdin: bytes | None = None) -> list[str]:
    """`line code` of each finding."""
    rows = [json.loads(line) for line in run("--json", *arguments, stdin=stdin).stdout.splitlines()]
    return [f"{row['line']} {row['code']}" for row in rows]


# --- rules about whole files


@pytest.mark.parametrize("code", WHOLE)
def test_rule_examples(code: str) -> None:
    rule = RULES[code]
    for text, wanted in ((rule.bad, {code}), (rule.good, set())):
        write(f"a.{rule.form}", text)
        assert {line.split()[1] for line in found(f"a.{rule.form}", "--select", "ALL")} == wanted
        stdin = run("--json", "-", "--as", rule.form, "--select", "ALL", stdin=Path(f"a.{rule.form}").read_bytes())
        assert {json.loads(line)["code"] for line in stdin.stdout.splitlines()} == wanted


@pytest.mark.parametrize("code", [code for code in WHOLE if RULES[code].fix])
def test_fixes_of_whole_files(code: str) -> None:
    rule = RULES[code]
    write(f"a.{rule.form}", rule.bad)
    assert run("--fix", f"a.{rule.form}", "--select", "E5").exit_code == 0
    assert Path(f"a.{rule.form}").read_bytes() == rule.good.encode("utf-8")


@pytest.mark.parametrize("name", ["corpus.jsonl", "encoding.tsv"])
def test_mistakes_of_corpus_and_encoding_are_reported_as_committed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(DATA)
    result = run(name, "--select", "E4,E5", "--output-format", "concise")
    assert result.exit_code == 1
    assert result.stdout == (DATA / name).with_suffix(".expected").read_bytes().decode("utf-8")


@pytest.mark.parametrize(
    ("path", "split"),
    [
        ("train.tsv", "train"),
        ("music_eval.jsonl", "dev"),
        ("a/test/part-3.tsv", "test"),
        ("corpus/valid/x.tsv", "dev"),
        ("training/contest.tsv", "train"),
        ("latest.tsv", ""),
    ],
)
def test_splits_by_name(path: str, split: str) -> None:
    assert split_of(path) == split


def test_splits_by_option_and_by_column() -> None:
    write("a.tsv", f"music\t{GOOD}\n")
    write("b.tsv", f"music\t{GOOD}\n")
    assert found("a.tsv", "b.tsv") == ["1 E401"]
    assert found("a.tsv", "b.tsv", "--split", "train=a.*", "--split", "test=b.tsv") == ["1 E403"]
    write("c.tsv", f"split\tutterance\ttree\ntest\tmusic\t{GOOD}\ntrain\tmusic\t{GOOD}\n")
    assert found("c.tsv") == ["2 E403"]


def test_annotators_may_differ() -> None:
    head = "annotator\tutterance\ttree\n"
    write("a.tsv", head + "anna\tb\t(a(b))\nben\tb\t(c(b))\nanna\tb\t(a (b) )\nben\tb\t(a(b))\n")
    assert found("a.tsv") == ["4 E401", "5 E402"]


def test_trees_alone_can_lack_labels_in_train() -> None:
    write("train.trees", "(A(b))\n")
    write("test.trees", "# c\n(A(b))\n(A(C(b)))\n")
    assert found("train.trees", "test.trees") == ["3 E404"]


def test_columns_by_name() -> None:
    write("a.jsonl", json.dumps({"text": "b", "gold": "(a(c))"}) + "\n")
    assert found("a.jsonl", "--column", "tree=gold", "--column", "utterance=text") == ["1 E301"]
    assert run("a.jsonl", "--column", "trees=gold").exit_code == 2


def test_spreadsheets_are_not_taken_for_trees() -> None:
    write("real.csv", f"play music,{GOOD}\n")
    result = run("real.csv")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "error: real.csv: CSV is not read; save it as TSV" in result.stderr
    assert CliRunner().invoke(app, ["format", "--check", "real.csv"]).exit_code == 2
    assert found("real.csv", "--as", "tsv") == ["1 E114"]  # a person who says so is taken at their word
    write("good.trees", GOOD + "\n")
    result = run(".")
    assert result.exit_code == 0 and "real.csv: not read; save it as TSV" in result.stderr


@pytest.mark.parametrize("column", ["tree", "utterance", "annotator"])
def test_a_column_may_stand_once(column: str) -> None:
    write("a.tsv", f"utterance\tannotator\ttree\t{column}\nmusic\tanna\t{GOOD}\t(a(b)\n")
    result = run("a.tsv")
    assert result.exit_code == 2 and f"a.tsv:1: two columns are called `{column}`" in result.stderr


@pytest.mark.parametrize(
    ("head", "hint"), [("said\tParse", "Parse"), ("id\tTree\tsaid", "Tree"), ("text\tgold", "NAME")]
)
def test_a_first_line_that_does_not_name_the_trees_leads_to_the_option(head: str, hint: str) -> None:
    write("a.tsv", f"{head}\nmusic\t{GOOD}\tx\n")
    result = run("a.tsv", "--select", "E1")
    assert result.stdout.startswith("error[E114]: no column is called `tree`")
    assert f"`--column tree={hint}`" in result.stdout
    write("a.tsv", f"music\t{GOOD}\n")
    assert found("a.tsv") == []


# --- what to look for, what to leave out


def test_select_and_ignore() -> None:
    write("a.tsv", "b b\t(a(b) c)\n")
    assert found("a.tsv") == ["1 E108", "1 E301"]
    assert found("a.tsv", "--select", "E1") == ["1 E108"]
    assert found("a.tsv", "--select", "E1,E3", "--ignore", "E30") == ["1 E108"]
    write("a.tsv", "b b\t(a(b))\n")
    assert found("a.tsv") == []
    assert found("a.tsv", "--extend-select", "E306") == ["1 E306"]
    assert run("a.tsv", "--select", "E306").exit_code == 0  # a note
    assert run("a.tsv", "--select", "E306", "--fail-on", "note").exit_code == 1
    assert run("a.tsv", "--select", "E9").exit_code == 2


def test_exit_codes_by_severity() -> None:
    write("a.trees", "(a(b\u00a0c))\n")
    assert run("a.trees").exit_code == 1
    assert run("a.trees", "--fail-on", "error").exit_code == 0
    write("a.trees", "(a(b)\n")
    assert run("a.trees", "--fail-on", "error").exit_code == 1
    assert run("a.trees", "--fail-on", "never").exit_code == 0


def test_max_findings() -> None:
    write("a.trees", "(a(b) c)\n" * 50)
    assert len(found("a.trees", "--max-findings", "7")) == 7


def test_marks_in_comments() -> None:
    text = (
        "(a(b) c)\n"
        "# treewright: ignore[E108] as the client wants it\n\n"
        "(a(b) c)\n"
        "(a(b) c)\n"
        "# treewright: ignore[E10, E5]\n"
        "(a(b\u00a0) c)\n"
        "# treewright: ignore-file[E1]\n"
        "(a(b) c\u00a0)\n"
    )
    write("a.trees", text)
    assert found("a.trees") == ["1 E108", "5 E108", "9 E509"]
    assert found("-", stdin=text.encode("utf-8")) == ["1 E108", "5 E108", "9 E509"]
    Path("a.trees.gz").write_bytes(gzip.compress(text.encode("utf-8")))
    assert found("a.trees.gz") == ["1 E108", "5 E108", "9 E509"]
    write("b.trees", "# treewright: ignore[E1O8]\n(a(b) c)\n")
    assert "b.trees:1: no code begins with `E1O8`" in run("b.trees").stderr
    assert run("a.trees", "--fix").exit_code == 1
    assert Path("a.trees").read_text("utf-8").split("\n")[3] == "(a(b) c)"  # ignored, so not mended


def test_a_mark_that_leaves_nothing_out_is_told() -> None:
    text = (
        "# treewright: ignore[E108]\n(a(b) c)\n"
        "# treewright: ignore[E108]\n(a(b)(c))\n"
        "# treewright: ignore-file[E506]\n"
        "# treewright: ignore[E2]\n(a(b)(c))\n"
    )
    write("a.trees", text)
    told = "a.trees:3: this mark leaves out nothing; remove it\na.trees:5: this mark leaves out nothing; remove it\n"
    result = run("a.trees")
    assert result.exit_code == 0 and told in result.stderr
    assert "a.trees:6" not in result.stderr  # without an ontology nobody knows
    assert "leaves out" not in run("a.trees", "--select", "E3").stderr
    write("good.trees", "# treewright: ignore-file[E1]\n" + "(a(b))\n" * 20_000)
    assert "good.trees:1: this mark leaves out nothing" in run("good.trees").stderr


def test_what_json_lines_hold_is_found_where_the_file_writes_it() -> None:
    row = '{"utterance": "b\\u0007", "tree": "(a(b\\\\x)(\\u00e9) c)"}'
    write("a.jsonl", row + "\n")
    rows = [json.loads(line) for line in run("--json", "a.jsonl").stdout.splitlines()]
    places = {(one["code"], row[one["column"] - 1 : one["end_column"] - 1]) for one in rows}
    assert {("E506", "\\u0007"), ("E109", "\\\\x"), ("E301", "\\u00e9"), ("E108", "c")} <= places
    results = json.loads(run("--output-format", "sarif", "a.jsonl", "--ignore", "E3").stdout)["runs"][0]["results"]
    edits = [result["fixes"][0]["artifactChanges"][0]["replacements"][0] for result in results]
    mended = row
    for edit in sorted(edits, key=lambda e: -e["deletedRegion"]["startColumn"]):
        start, end = edit["deletedRegion"]["startColumn"] - 1, edit["deletedRegion"]["endColumn"] - 1
        mended = mended[:start] + edit["insertedContent"]["text"] + mended[end:]
    assert json.loads(mended) == {"utterance": "b", "tree": "(a(b\\\\x)(\u00e9) (c))"}


def test_fixes_of_whole_files_are_edits_too() -> None:
    write("a.trees", "\ufeff(a(b))\r\n(c(d))\r\n")
    rows = [json.loads(line) for line in run("--json", "a.trees").stdout.splitlines()]
    assert [(one["code"], one["column"], one["fix"]) for one in rows] == [
        ("E501", 1, {"start": 0, "end": 1, "text": "", "safe": True}),
        ("E502", 7, {"start": 6, "end": 7, "text": "", "safe": True}),
    ]


def test_marks_in_columns() -> None:
    write("a.tsv", "utterance\tignore\ttree\nb\tE301 E1\t(a(c) d)\nb\t\t(a(c))\n")
    assert found("a.tsv") == ["3 E301"]
    rows = [{"tree": "(a(b) c)", "ignore": ["E108"]}, {"tree": "(a(b) c)", "ignore": "E2"}]
    write("a.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    assert found("a.jsonl") == ["2 E108"]
    pq = pytest.importorskip("pyarrow.parquet")
    pa = pytest.importorskip("pyarrow")
    pq.write_table(pa.table({"tree": ["(a(b) c)"] * 2, "ignore": ["E108", None]}), "a.parquet")
    assert found("a.parquet") == ["2 E108"]


def test_a_baseline_forgives_what_was_there_and_follows_lines_that_move() -> None:
    write("a.trees", "(a(b) c)\n(a(b) c)\n(a(d) e)\n")
    assert run("a.trees", "--write-baseline", "old.json").exit_code == 0
    assert found("a.trees", "--baseline", "old.json") == []
    write("a.trees", "# moved\n(x(y))\n(a(d) e)\n(a(b) c)\n(a(b) c)\n(a(b) c)\n(a(b) f)\n")
    assert found("a.trees", "--baseline", "old.json") == ["6 E108", "7 E108"]
    result = run("a.trees", "--baseline", "old.json", "--statistics")
    assert "3 in the baseline" in result.stderr
    assert result.stdout.split() == ["2", "E108", "word", "beside", "brackets"]
    write("old.json", "[]")
    assert run("a.trees", "--baseline", "old.json").exit_code == 2


def test_a_baseline_that_is_written_anew_keeps_what_it_had() -> None:
    write("a.trees", "(a(b) c)\n(a(d) e)\n# treewright: ignore[E108]\n(a(x) y)\n")
    run("a.trees", "--write-baseline", "old.json")
    write("a.trees", "(a(b) c)\n# treewright: ignore[E108]\n(a(x) y)\n(a(new) f)\n")  # one mended, one new
    assert run("a.trees", "--baseline", "old.json", "--write-baseline", "old.json").stdout == ""
    assert found("a.trees", "--baseline", "old.json") == []
    assert len(json.loads(Path("old.json").read_text())["findings"]) == 2
    refused = run("a.trees", "--max-findings", "1", "--write-baseline", "part.json")
    assert refused.exit_code == 2 and not Path("part.json").exists()


@pytest.mark.parametrize("rows", [1, 9_000, 20_000])  # the last is read in blocks
def test_a_damaged_file_does_not_hide_the_others(rows: int) -> None:
    import random

    made = random.Random(1)
    text = "".join(f"say {made.random()}\t(Say(Text(x)))\n" for _ in range(rows)).encode()
    Path("b.tsv.gz").write_bytes(gzip.compress(text)[: -len(text) // 8])
    Path("a.trees.gz").write_bytes(gzip.compress(b"(a(b)\n" + text.replace(b"\t", b" "))[: -len(text) // 8])
    write("c.parquet", "")
    write("z.tsv", "play music\t(a(b)\n" + f"music\t{GOOD}\n" * 2)
    result = run(".", "--output-format", "concise", "--ignore", "E301")
    assert result.exit_code == 2
    assert "z.tsv:1:12: error[E101]" in result.stdout and "z.tsv:3:7: warning[E401]" in result.stdout
    assert rows != 9_000 or "a.trees.gz:1:1: error[E101]" in result.stdout
    assert "error: cannot unpack b.tsv.gz" in result.stderr and "error: cannot unpack a.trees.gz" in result.stderr
    assert "error: cannot read c.parquet" in result.stderr
    assert run(".", "--write-baseline", "old.json").exit_code == 2 and not Path("old.json").exists()
    assert run("c.parquet", "z.tsv", "--fix", "--unsafe-fixes", "--select", "E1").exit_code == 2
    assert Path("z.tsv").read_text().startswith("play music\t(a(b))\n")


def test_rows_are_read_again_only_as_far_as_they_were_seen() -> None:
    corpus = Corpus(lambda path: read(f"{path}.more"))
    for name, said in (("a.tsv", "go"), ("b.tsv", "stop")):
        write(name, f"{said}\t{GOOD}\n{said}\t{GOOD}\n")
        write(f"{name}.more", f"{said}\t{GOOD}\n{said}\t{GOOD}\nnever\t(a\n")
        rows = list(read(name))
        corpus.see(Block(name, rows, 0))
    corpus.read = lambda path: read(f"{path}.more", "tsv")
    assert [checked.row.raw[:4] for checked in corpus.finish()] == ["go\t(", "stop"]


# --- mending files


def test_fix_changes_only_what_it_mends() -> None:
    text = "# c (\n\n(a(b))\r\n ( a (b) c)  \n(a(b)\n(a(Cafe\u0301))"
    write("a.trees", text)
    result = run("a.trees", "--fix", "--ignore", "E502")
    assert result.exit_code == 1
    assert Path("a.trees").read_bytes().decode() == "# c (\n\n(a(b))\r\n ( a (b) (c))  \n(a(b)\n(a(Caf\u00e9))"
    assert "2 findings fixed (1 E108, 1 E508)" in result.stderr
    before = Path("a.trees").stat().st_mtime_ns
    assert "0 findings fixed" in run("a.trees", "--fix", "--ignore", "E502").stderr
    assert Path("a.trees").stat().st_mtime_ns == before
    assert run("a.trees", "--fix", "--unsafe-fixes").exit_code == 0
    assert Path("a.trees").read_bytes().decode() == "# c (\n\n(a(b))\n ( a (b) (c))  \n(a(b))\n(a(Caf\u00e9))"


@pytest.mark.parametrize(
    ("name", "text", "mended"),
    [
        ("a.tsv", "b  c\t(a(b) c)\nx\t(a(x))", "b  c\t(a(b) (c))\nx\t(a(x))"),
        ("a.tsv", "tree\tid\tutterance\n(a(e\u0301))\t1\te\u0301\n", "tree\tid\tutterance\n(a(\u00e9))\t1\t\u00e9\n"),
        ("a.jsonl", '{"n":1,"tree":"(a(b) c)"}\n{"tree":"(a())"}', '{"n":1,"tree":"(a(b) (c))"}\n{"tree":"(a())"}'),
        ("a.tree", "(a\n  (b)\n  c)\n", "(a\n  (b)\n  (c))\n"),
        ("a.trees", "\ufeff(a(b) c)\r\n", "(a(b) (c))\n"),
    ],
)  # fmt: skip
def test_fix_and_diff_of_every_form(name: str, text: str, mended: str) -> None:
    write(name, text)
    shown = run(name, "--diff", "--select", "E1,E5")
    assert shown.exit_code == 1 and Path(name).read_bytes().decode() == text
    piped = run("-", "--as", name[2:], "--fix", "--select", "E1,E5", stdin=text.encode())
    assert (piped.exit_code, piped.stdout) == (0, mended)
    assert run(name, "--fix", "--select", "E1,E5").exit_code == 0
    assert Path(name).read_bytes().decode() == mended
    again = run(name, "--diff", "--select", "E1,E5")
    assert (again.exit_code, again.stdout) == (0, "")
    if shutil.which("patch") and "\ufeff" not in text:
        write(name, text)
        subprocess.run(["patch", "--binary", name], input=shown.stdout.encode(), check=True, capture_output=True)
        assert Path(name).read_bytes().decode() == mended


_REST = st.sampled_from(
    ['"n":  1e400', '"m": 12345678901234567890.12345678901', '"note": "\\udc80 \\ud83d"', '"n": NaN']
)
_VALUES = st.text('ab é音👍\\"/\ud83d\udc4d\udc80\n\u2028', max_size=6)


def _joined(text: str) -> str:
    """Halves that stand side by side are one character in JSON."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


@given(
    _VALUES, _VALUES, _VALUES, st.lists(_REST, max_size=3), st.lists(_REST, max_size=3), st.booleans(), st.booleans()
)
def test_a_mended_row_of_json_differs_in_its_values_only(
    old: str, new: str, said: str, before: list[str], behind: list[str], plain: bool, twice: bool
) -> None:
    # A key that stands twice counts where it stands last; the first is left as it is.
    parts = [*before, '"tree" : "first"'] if twice else before
    head = "{" + ", ".join([*parts, '"tree":'])
    middle = ",".join(["", *behind, ' "utterance": '])
    halves = any("\ud800" <= char <= "\udfff" for char in old)
    values = [json.dumps(old, ensure_ascii=plain or halves), '"\\u0065"']
    row = LineReader("a.jsonl", "jsonl").row(1, f"{head}{values[0]}{middle}{values[1]} }}\r")
    assert row.text == _joined(old)

    line = row.with_tree(new, said)

    assert line.startswith(head) and middle in line and line.endswith(" }\r")
    again = json.loads(line.encode("utf-8"))  # every half of a pair is an escape
    assert (again.pop("tree"), again.pop("utterance")) == (_joined(new), _joined(said))
    rest = {key: value for key, value in json.loads(row.raw).items() if key not in ("tree", "utterance")}
    assert str(again) == str(rest)
    assert row.with_tree(row.text or "", "e") == row.raw


def test_a_fix_leaves_bytes_and_escapes_of_json_as_they_are() -> None:
    row = '{"tree": "(A(b(\\u00e9)(e\u0301)", "utterance": "\\u00e9 e\u0301", "n": 1e400, "note": "half \\ud83d"}\n'
    write("a.jsonl", row)
    run("a.jsonl", "--fix", "--select", "E5,E1", "--unsafe-fixes")
    mended = row.replace("e\u0301", "é").replace(")(é)", ")(é)))")
    assert Path("a.jsonl").read_bytes().decode() == mended
    half = '{"tree": "(a(\udced\udca0\udcbc) b)"}'  # bytes of a half, which stay bytes
    kept = LineReader("a.jsonl", "jsonl").row(1, half)
    assert kept.with_tree("(a(\udced\udca0\udcbc)(b))") == half.replace(" b", "(b)")


def test_what_a_fix_of_stdin_leaves_is_found_in_what_it_wrote() -> None:
    text = b"# treewright: ignore[E109]\n(a(AC\\DC) (b))\n(a(b) c)\n(a(b)\n"
    result = run("-", "--fix", stdin=text)
    assert result.exit_code == 1 and result.stdout == text.decode().replace(" c)", " (c))")
    assert "E108" not in result.stderr.replace("(1 E108)", "") and "<stdin>:4:1" in result.stderr


def test_diff_fails_where_something_is_left_for_people() -> None:
    write("a.trees", "(a(b)\n")
    result = run("a.trees", "--diff")
    assert (result.exit_code, result.stdout) == (1, "") and "1 finding in 1 tree" in result.stderr
    assert run("a.trees", "--diff", "--fail-on", "never").exit_code == 0
    write("a.trees", "(a(b\u00a0))\n(a(e\u0301))\n")  # two warnings, of which one is mended
    assert run("a.trees", "--diff", "--fail-on", "error").exit_code == 1
    write("a.trees", "(a(b\u00a0))\n")
    assert run("a.trees", "--diff", "--fail-on", "error").exit_code == 0
    for more in (["--output-file", "x"], ["--report", "x"], ["--statistics"]):
        assert run("a.trees", "--diff", *more).exit_code == 2 and not Path("x").exists()


def test_diff_has_hunks_that_patch_takes() -> None:
    lines = [f"(a(w{i}))" for i in range(60)]
    for at in (0, 5, 30, 38, 59):
        lines[at] = f"(a(w{at}) x)"
    write("a.trees", "\n".join(lines))
    shown = run("a.trees", "--diff").stdout
    assert shown.count("@@ -") == 4
    run("a.trees", "--fix")
    mended = Path("a.trees").read_bytes()
    if shutil.which("patch"):
        write("a.trees", "\n".join(lines))
        subprocess.run(["patch", "a.trees"], input=shown.encode(), check=True, capture_output=True)
        assert Path("a.trees").read_bytes() == mended


def test_what_cannot_be_rewritten_is_refused() -> None:
    Path("a.trees.gz").write_bytes(gzip.compress(b"(a(b) c)\n"))
    result = run("a.trees.gz", "--fix")
    assert result.exit_code == 2 and "packed files and Parquet are not rewritten" in result.stderr
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    pq.write_table(pa.table({"tree": ["(a(b) c)"]}), "a.parquet")
    result = run("a.parquet", "--fix")
    assert result.exit_code == 2 and "packed files and Parquet are not rewritten" in result.stderr
    assert run("a.trees", "--unsafe-fixes").exit_code == 2
    assert run("a.trees", "--fix", "--baseline", "x").exit_code == 2


@settings(max_examples=15)
@given(st.lists(st.tuples(trees(), st.booleans(), st.sampled_from(["\n", "\r\n", "\n\n"])), min_size=1, max_size=6))
def test_fix_leaves_trees_without_findings_byte_for_byte(rows: list[tuple[Tree, bool, str]]) -> None:
    lines = [str(tree)[:-1] + (" x)" if broken and tree.children else ")") for tree, broken, _ in rows]
    text = "".join(line + end for line, (_, _, end) in zip(lines, rows, strict=True))
    Path("a.trees").write_bytes(text.encode("utf-8", "surrogatepass"))
    bad = {int(line.split()[0]) for line in found("a.trees", "--ignore", "E502")}
    run("a.trees", "--fix", "--unsafe-fixes", "--ignore", "E502")
    once = Path("a.trees").read_bytes()
    for number, (old, new) in enumerate(
        zip(text.encode("utf-8", "surrogatepass").split(b"\n"), once.split(b"\n"), strict=True), 1
    ):
        assert old == new or number in bad
    run("a.trees", "--fix", "--unsafe-fixes", "--ignore", "E502")
    assert Path("a.trees").read_bytes() == once


# --- other encodings

ROW = "play caf\u00e9\t(PlayMusicIntent(MediaType(caf\u00e9)))\n"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("rows", [3, 6_000])  # the second is read in blocks
def test_a_file_of_utf_16_is_one_finding_and_stays_as_it_is(encoding: str, rows: int) -> None:
    data = (ROW * rows).encode(encoding)
    Path("a.tsv").write_bytes(data)
    assert found("a.tsv") == ["1 E503"]
    result = run("a.tsv", "--fix", "--unsafe-fixes")
    assert result.exit_code == 1 and "0 findings fixed" in result.stderr
    assert f"iconv -f {encoding.replace('6-', '6')} -t utf-8" in result.stdout
    assert "1 | play caf\u00e9    (PlayMusicIntent" in result.stdout
    assert Path("a.tsv").read_bytes() == data
    piped = run("-", "--fix", "--as", "tsv", stdin=data)
    assert piped.stdout_bytes == data
    for command in (["format", "--check"], ["infer"]):
        refused = CliRunner().invoke(app, [*command, "a.tsv"])
        assert refused.exit_code == 2 and "a.tsv: the file is UTF-" in refused.stderr


def test_nothing_is_mended_in_a_file_with_bytes_of_another_encoding() -> None:
    # In Shift-JIS the second byte of this letter is that of a backslash, which would be doubled.
    data = "(a(b) c)\n(a(\u8868))\n".encode("shift-jis")
    for name in ("a.trees", "-"):
        Path("a.trees").write_bytes(data)
        result = run(name, "--fix", "--unsafe-fixes", "--select", "E1", stdin=data)
        assert ":2: not UTF-8, so nothing is mended in this file" in result.stderr
        assert (result.stdout_bytes if name == "-" else Path("a.trees").read_bytes()) == data
    write("a.trees", "(a(b) c)\n(a(\udced\udca0\udcbc\udced\udcbe\udcb5))\n")  # halves that are put together
    run("a.trees", "--fix")
    assert Path("a.trees").read_text("utf-8") == "(a(b) (c))\n(a(\U0001f3b5))\n"
