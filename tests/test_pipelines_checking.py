"""The checker as a Beam run: the findings of `python -m grammar check`, whatever the ranges."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from grammar.finding import to_json
from grammar.ontology import load
from grammar.run import Run
from pipelines.__main__ import app
from pipelines.checking import check

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
    wanted = [to_json(finding, checked.row.place) for checked in run for finding in checked.findings]

    counts = check([str(corpus)], str(tmp_path / "out"), range_bytes=size)

    found = []
    for path in sorted((tmp_path / "out" / "findings").iterdir()):
        found += [json.loads(line) for line in path.read_text().splitlines()]
    strip = f"{corpus}/"
    assert sorted(json.dumps(one, sort_keys=True) for one in found) == sorted(
        json.dumps(one, sort_keys=True).replace(strip, "") for one in wanted
    )
    assert len(wanted) > 5 and counts["findings"] == len(wanted) and counts["rows"] == run.rows


def test_the_command_tells_and_exits_with_1(corpus: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["check", "--input", str(corpus), "--output", str(tmp_path / "out")])
    assert done.exit_code == 1 and "rows checked; findings:" in done.output
    again = CliRunner().invoke(app, ["check", "--input", str(corpus), "--output", str(tmp_path / "out")])
    assert again.exit_code == 2
    (corpus / "a.trees").unlink()
