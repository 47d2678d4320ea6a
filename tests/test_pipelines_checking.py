"""The checker as a Beam run: the findings of `python -m grammar check`, whatever the ranges."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from memory_filesystem import MemoryFileSystem
from typer.testing import CliRunner

from grammar.__main__ import app as grammar_app
from grammar.finding import to_json
from grammar.ontology import load
from grammar.run import Run
from pipelines import checking, lock, runner
from pipelines.__main__ import app
from pipelines.checking import check
from pipelines.formats import Range

TREES = "(Play(title(a)))\n# note\n(Play(titel(b)))\n(Play(title(c))\n\n(Play(title(d)))\n"
PAIRS = "".join(
    f"{utterance}\t{tree}\n"
    for utterance, tree in [
        ("utterance", "tree"),
        ("play a", "(Play(title(a)))"),
        ("play a", "(Play(title(b)))"),
        ("play b", "(Play(title(b)))"),
        ("play c", "(Buy(title(c)))"),
    ]
)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    root = tmp_path / "in"
    root.mkdir()
    (root / "ontology.toml").write_text('[intents.Play]\ntakes = ["title"]\n[slots.title]\n')
    (root / "a.trees").write_text(TREES)
    (root / "b.tsv").write_text(PAIRS)
    (root / "c.tsv").write_text(PAIRS.partition("\n")[2])
    (root / "d.trees.gz").write_bytes(gzip.compress(TREES.encode()))
    return root


@pytest.mark.parametrize("size", [1, 25, 1 << 20])
def test_ranges_find_what_the_whole_finds(corpus: Path, tmp_path: Path, size: int) -> None:
    names = ("a.trees", "b.tsv", "c.tsv", "d.trees.gz")
    run = Run([str(corpus / name) for name in names], ontology=load(corpus / "ontology.toml"))
    wanted = [to_json(finding, checked.row.place_of(finding)) for checked in run for finding in checked.findings]

    counts = check([str(corpus)], str(tmp_path / "out"), range_bytes=size)

    found = []
    for path in sorted((tmp_path / "out" / "findings").iterdir()):
        found += [json.loads(line) for line in path.read_text().splitlines()]
    strip = f"{corpus}/"
    assert sorted(json.dumps(one, sort_keys=True) for one in found) == sorted(
        json.dumps(one, sort_keys=True).replace(strip, "") for one in wanted
    )
    assert len(wanted) > 5 and counts["findings"] == len(wanted) and counts["rows"] == run.rows


@pytest.mark.parametrize("name", ["a.trees", "b.tsv", "c.tsv"])
def test_every_size_of_range_finds_the_same(corpus: Path, tmp_path: Path, name: str) -> None:
    plan = checking.prepare([str(corpus / name)], str(tmp_path / "out"))
    [source] = plan.sources

    def found(size: int) -> tuple[list[str], int, int]:
        job = plan.job._replace(build=str(tmp_path / str(size)))
        reports = [checking.check_range(*one, job) for one in checking.ranges_of(0, source, size)]
        files = sorted((tmp_path / str(size) / "findings").iterdir())
        lines = [line for file in files for line in file.read_text().splitlines()]
        return lines, *(sum(report[key] for report in reports) for key in ("rows_in", "rows_with_findings"))

    whole = found(1 << 20)
    assert whole[0] and whole[1] == 4
    for size in range(1, (corpus / name).stat().st_size + 2):
        assert found(size) == whole, f"ranges of {size} bytes"


def test_beam_counts_what_the_summary_counts(corpus: Path, tmp_path: Path) -> None:
    plan = checking.prepare([str(corpus)], str(tmp_path / "out"), range_bytes=25)
    with runner.pipeline(runner.flags()) as pipeline:
        _ = pipeline | checking.CheckAll(plan.job, plan.sources, plan.range_bytes)
    counts = checking.totals(plan.job)
    assert runner.counters(pipeline.result) == {
        "rows_checked": counts["rows"],
        "rows_with_findings": counts["rows_with_findings"],
        **{f"finding_{code}": number for code, number in counts["codes"].items()},
    }
    ranges = checking.describe(plan)["ranges"]
    assert {name: told[:2] for name, told in runner.distributions(pipeline.result).items()} == {
        "rows_per_range": (ranges, counts["rows"]),
        "bytes_per_range": (ranges, counts["bytes"]),
        "findings_per_range": (ranges, counts["findings"]),
    }
    assert counts["bytes"] == sum(plan.sizes) and counts["findings"] > 5


def test_utterances_are_cut_as_the_corpus_was(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("play hip-hop\t(Play(title(hip-hop)))\nplay it's\t(Play(title(it's)))\n")

    def findings(tokeniser: str) -> int:
        plan = checking.prepare([str(tmp_path / "a.tsv")], str(tmp_path / tokeniser), tokeniser=tokeniser)
        [one] = checking.ranges_of(0, plan.sources[0], plan.range_bytes)
        return sum(checking.check_range(*one, plan.job)["codes"].values())

    assert findings("given") == 0
    run = [Run([str(tmp_path / "a.tsv")], tokeniser=name) for name in ("words-1", "chars-1")]
    wanted = [sum(len(checked.findings) for checked in one) for one in run]
    assert [findings("words-1"), findings("chars-1")] == wanted and any(wanted)
    with pytest.raises(ValueError, match="unknown tokeniser `words`"):
        checking.prepare([str(tmp_path / "a.tsv")], str(tmp_path / "out"), tokeniser="words")


MIXED = {
    "bom.trees": b"\xef\xbb\xbf(Play(title(a)))\n(Play(titel(b)))\n",
    "bytes.trees": b"(Play(title(caf\xe9)))\n(Play(titel(b)))\n\xff(\n",
    "lines.trees": b"(Play(title(a)))\r\n(Play(titel(b)))\r\n(Play(title(c))\r\n(Play(title(d)))\r\n",
    "late.trees": b"(Play(title(a)))\n(Play(titel(b)))\n(Play(title(c)))\r\n(Play(title(d)))\r\n(Play(e))\n",
    "marks.trees": b"# treewright: ignore[E201] wanted so\n# a word more\n\n(Play(titel(a)))\n(Play(titel(b)))\n"
    b"# treewright: ignore[E999]\n# treewright: ignore-file[E1]\n(Play(title(c))\n(Play(titel(d)))\n"
    b"# treewright: ignore[E2]\n(Play(titel(e)))\n(Play(titel(f)))\n(Play(title(g))\n",
    "head.tsv": b"\xef\xbb\xbfid\tutterance\ttree\tignore\r\n1\tplay caf\xc3\xa9\t(Play(titel(caf\xc3\xa9)))\tE201\r\n"
    b"2\tplay c\t(Play(titel(c)))\t\r\n3\tplay \xe9\t(Play(title(d)))\tE3, E5\r\n4\tplay f\t(Play(title(f)))\tE77\r\n"
    b"5\tplay g\t(Play(title(h)))\tE77\r\n6\t(Play(title(f)))\r\n",
    "plain.tsv": b"play a\t(Play(title(a)))\nplay b\t(Play(titel(b)))\nplay \xe9\t(Play(title(c)))\n\n(Play())\n",
    "a.jsonl": b'\xef\xbb\xbf{"utterance": "play \\u00e9", "tree": "(Play(titel(\\u00e9)))", "ignore": ["E201"]}\r\n'
    b'{"utterance": "play \\u00e9", "tree": "(Play(titel(\\u00e9)))"}\r\n'
    b'{"utterance": "a\\tb \xff", "tree": "(Play(title(b)))"}\r\n{"tree": 1}\r\nno json\r\n',
}
"""Files in which lines and columns are easily got wrong, with marks and columns that leave findings out."""


@pytest.mark.parametrize("name", MIXED)
def test_findings_are_those_of_grammar_check(tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture) -> None:
    """The same objects, from the command itself, for ranges of any size; and the same is left out."""
    path = tmp_path / name
    path.write_bytes(MIXED[name])
    (tmp_path / "ontology.toml").write_text('[intents.Play]\ntakes = ["title"]\n[slots.title]\n')
    told = CliRunner().invoke(grammar_app, ["check", "--json", "--ignore", "E4", str(path)])
    assert told.exit_code == 1, told.output
    wanted = [json.loads(line.replace(f"{tmp_path}/", "")) for line in told.stdout.splitlines()]
    left_out = re.search(r"left out: (\d+) ignored", told.stderr)
    notes = sorted(line for line in told.stderr.splitlines() if "E999" in line or "E77" in line)
    plan = checking.prepare([str(path)], str(tmp_path / "out"))
    for size in (1, 2, 30, 90, 1 << 20):
        caplog.clear()
        job = plan.job._replace(build=str(tmp_path / str(size)))
        reports = [checking.check_range(*one, job) for one in checking.ranges_of(0, plan.sources[0], size)]
        files = sorted((tmp_path / str(size) / "findings").iterdir())
        found = [json.loads(line) for file in files for line in file.read_text().splitlines()]
        assert found == wanted, f"ranges of {size} bytes"
        assert sum(report["ignored"] for report in reports) == int(left_out[1] if left_out else 0)
        assert sorted(f"{tmp_path}/{line}" for line in caplog.messages) == notes, f"ranges of {size} bytes"
    assert len(wanted) > 1 and bool(left_out) == (name in ("marks.trees", "head.tsv", "a.jsonl"))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_check_that_died_goes_on_and_appears_at_once(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = check([str(corpus)], str(tmp_path / "whole"), range_bytes=25)
    heads, done = checking._bytes_of, []

    def dies(range_: Range) -> Iterator[bytes]:
        done.append(range_)
        if len(done) > 4:
            raise RuntimeError("the machine is gone")
        return heads(range_)

    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="the machine is gone"):
        patch.setattr(checking, "_bytes_of", dies)
        check([str(corpus)], str(tmp_path / "out"), range_bytes=25)
    assert not (tmp_path / "out").exists()
    again: list[Range] = []
    with monkeypatch.context() as patch:
        patch.setattr(checking, "_bytes_of", lambda range_: (again.append(range_), heads(range_))[1])
        assert check([str(corpus)], str(tmp_path / "out"), range_bytes=25) == whole
    plan = checking.describe(checking.prepare([str(corpus)], str(tmp_path / "new"), range_bytes=25))
    assert len(again) == plan["ranges"] - 4, "a range that was checked was checked again"
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    assert plan["estimate"]["rows"] and plan["bytes"] > 100 and not (tmp_path / "new").exists()
    with lock.hold(str(tmp_path / "out")), pytest.raises(lock.Busy):
        check([str(corpus)], str(tmp_path / "out"), overwrite=True)


def test_rates_and_a_limit(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (corpus / "e.tsv").write_text(
        "utterance\ttree\tannotator\nplay a\t(Play(title(a)))\tann\nplay b\t(Play(title(a)))\tann\n"
        "play a\t(Play(title(a)))\tbob\n"
    )
    with pytest.raises(checking.TooManyFindings, match=r"9 of 19 rows .* nothing was published"):
        check([str(corpus)], str(tmp_path / "out"), range_bytes=40, max_rejected=0.3)
    assert not (tmp_path / "out").exists()
    monkeypatch.setattr(checking, "_bytes_of", lambda _: pytest.fail("a range was checked again"))
    counts = check([str(corpus)], str(tmp_path / "out"), range_bytes=40, max_rejected=0.9)
    assert counts["by"]["annotator"] == {
        "ann": {"rows": 2, "rows_with_findings": 1, "rate": 0.5, "findings": 1},
        "bob": {"rows": 1, "rows_with_findings": 0, "rate": 0.0, "findings": 0},
    }
    assert counts["files"]["e.tsv"] == {"rows": 3, "rows_with_findings": 1, "rate": 0.333333, "findings": 1}
    assert counts["rows"] == sum(file["rows"] for file in counts["files"].values())


def test_a_corpus_elsewhere(corpus: Path, tmp_path: Path) -> None:
    MemoryFileSystem.objects.clear()
    for path in sorted(corpus.iterdir()):
        MemoryFileSystem.put(f"mem://store/in/{path.name}", path.read_bytes())
    here = check([str(corpus)], str(tmp_path / "out"), range_bytes=60)
    for overwrite in (False, True):
        MemoryFileSystem.log.clear()
        there = check(["mem://store/in"], "mem://store/out", range_bytes=60, overwrite=overwrite)
        found = {p.partition("/out/")[2]: d for p, (d, _) in MemoryFileSystem.objects.items() if "/out/" in p}
        assert there == here and found == contents(tmp_path / "out")
        assert [line for line in MemoryFileSystem.log if " mem://store/out/" in line][-1].endswith(checking.COUNTS)
    assert len(MemoryFileSystem.objects) == len(found) + 5, "something is left over"


def test_other_counts_are_not_overwritten(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / checking.COUNTS).write_text("{}")
    with pytest.raises(FileExistsError, match=r"counts\.json is not ours"):
        check([str(corpus)], str(tmp_path / "out"), overwrite=True)


def test_the_command_tells_and_exits_with_1(corpus: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["check", "--input", str(corpus), "--output", str(tmp_path / "out")])
    assert done.exit_code == 1 and "rows checked; findings:" in done.output
    again = CliRunner().invoke(app, ["check", "--input", str(corpus), "--output", str(tmp_path / "out")])
    assert again.exit_code == 2


def test_the_command_leaves_out_what_is_ignored(tmp_path: Path) -> None:
    (tmp_path / "a.trees").write_text(
        "# treewright: ignore[E101]\n(Play(title(a))\n# treewright: ignore[E9]\n(Play())\n"
    )
    done = CliRunner().invoke(app, ["check", "--input", str(tmp_path / "a.trees"), "--output", str(tmp_path / "out")])
    assert done.exit_code == 0 and "findings: 0 (none)" in done.stdout and "left out: 1 ignored" in done.stdout
