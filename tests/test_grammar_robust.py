"""Files that hurt: a finding in bounded time, never a traceback. And the same findings without numpy and pyarrow."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from grammar.bench import agree
from grammar.files import FileError, inputs
from grammar.invented import FAMILIES, damaged, ontology, trees
from grammar.recover import scan
from grammar.rows import Names
from grammar.run import MOST, Run

ROOT = Path(__file__).parent.parent
GOOD = b"(PlayMusicIntent(Title(Jolene)))\n"
HURTING = {
    "deep": (b"(a" * 100_000 + b"(b)" + b")" * 100_000, ["E112"]),
    "unclosed": (b"(" * 1_000_000, ["E112"]),
    "extra": (b")" * 1_000_000, ["E102"] * MOST),
    "long": (b"(a(" + b"x" * 100_000_000 + b"))", ["E113"]),
    "nul": (b"(a(b\x00c))", ["E506"]),
    "latin-1": (b"(a(caf\xe9))", ["E503"]),
    "nothing but bytes": (bytes(range(128, 256)) * 10, None),
    "many mistakes": (b"(a" + b"()" * 3_000 + b")", ["E103"] * MOST),
}


def test_a_text_of_nothing_but_mistakes_is_not_read_to_its_end() -> None:
    assert len(scan(")" * 200_000).findings) == len(scan("(a" + "()" * 200_000 + ")").findings) == 10_000


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("name", HURTING)
def test_a_line_that_hurts_is_a_finding_at_its_line(name: str, fast: bool, tmp_path: Path) -> None:
    line, codes = HURTING[name]
    file = tmp_path / "all.trees"
    file.write_bytes(GOOD * 2 + line + b"\n" + GOOD)
    run = Run([str(file)], fast=fast)
    found = list(run)

    assert [checked.row.place.line for checked in found] == [3]
    assert codes is None or codes == [finding.code for finding in found[0].findings]
    assert run.rows == 4
    assert len(found[0].row.raw) < 5 << 20


def test_the_command_ends_without_a_traceback(tmp_path: Path) -> None:
    file = tmp_path / "all.trees"
    file.write_bytes(b"\n".join(line for name, (line, _) in HURTING.items() if name != "long"))
    command = [sys.executable, "-m", "grammar", "check", str(file), "--output-format", "concise"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=60)

    assert done.returncode == 1
    assert b"Traceback" not in done.stderr and b"E112" in done.stdout and b"E503" in done.stdout


def test_the_base_install_checks_row_by_row(tmp_path: Path) -> None:
    file = tmp_path / "all.trees"
    file.write_text("".join(f"{text}\n" for text in trees(3_000, 100, 0.01)), encoding="utf-8")
    assert file.stat().st_size > 1 << 17
    code = "import sys; sys.modules.update(dict.fromkeys(['numpy', 'pyarrow'])); import runpy; "
    code += "sys.argv = ['grammar', 'check', sys.argv[1], '--output-format', 'concise']; "
    code += "runpy.run_module('grammar', run_name='__main__')"
    command = [sys.executable, "-m", "grammar", "check", str(file), "--output-format", "concise"]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    bare = subprocess.run([sys.executable, "-c", code, str(file)], cwd=tmp_path, env=env, capture_output=True)
    full = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True)

    assert (1, full.stdout, full.stderr) == (bare.returncode, bare.stdout, bare.stderr)
    assert full.stdout


def test_folders_are_searched_and_patterns_expanded(tmp_path: Path) -> None:
    for name in ("a.trees", "sub/b.tsv", "sub/c.jsonl.gz", "sub/notes.txt", ".git/d.trees"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = [Path(path).relative_to(tmp_path).as_posix() for path in inputs([str(tmp_path)])]

    assert found == ["a.trees", "sub/b.tsv", "sub/c.jsonl.gz"]
    assert [str(tmp_path / "sub/b.tsv")] == inputs([str(tmp_path / "*" / "*.tsv")])
    with pytest.raises(FileError, match="no file fits"):
        inputs([str(tmp_path / "*.nothing")])


@pytest.mark.parametrize("fast", [True, False])
def test_columns_are_taken_by_name(fast: bool, tmp_path: Path) -> None:
    file = tmp_path / "a.tsv"
    file.write_text("who\tparse\tsaid\nann\t(PlayMusicIntent(Title(Jolen)))\tplay Jolene\n", encoding="utf-8")
    names = Names(tree="parse", utterances=("said",), annotator="who")
    (checked,) = Run([str(file)], names=names, fast=fast)

    assert (checked.row.annotator, [finding.code for finding in checked.findings]) == ("ann", ["E301"])
    with pytest.raises(FileError, match="no column `nothing`; the first line has who, parse, said"):
        list(Run([str(file)], names=Names(tree="nothing"), fast=fast))


def test_invented_trees_are_right_and_damaged_ones_are_not(tmp_path: Path) -> None:
    import random

    made = random.Random(1)
    good = trees(300, 100, 0)
    file = tmp_path / "a.trees"
    file.write_text("\n".join(good), encoding="utf-8")
    assert list(Run([str(file)], ontology())) == []
    for family in FAMILIES:
        file.write_text("\n".join(damaged(made, text, family) for text in good), encoding="utf-8")
        found = list(Run([str(file)], ontology()))
        assert len(good) == len(found)
        assert all(any(finding.code.startswith(family) for finding in checked.findings) for checked in found)


def test_columns_lark_and_scan_agree() -> None:
    assert agree(1_500, seed=5) == []
