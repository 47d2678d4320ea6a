"""The door: commands as a user types them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def pipelines(*args: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pipelines", *args]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def test_help_loads_nothing_heavy() -> None:
    heavy = {"apache_beam", "pyarrow", "torch", "lark"}
    code = f"import sys, pipelines.__main__; print(sorted({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("command", ["convert", "verify", "stats", "compare", "samples", "formats"])
def test_every_command_has_help(command: str) -> None:
    done = pipelines(command, "--help")
    assert done.returncode == 0 and "Usage" in done.stdout


def test_convert_a_glob_then_verify_and_count(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    rows = [
        ("train", "wake me at six", "wake me at [time : six]"),
        ("dev", "wake us at noon", "wake us at [time : noon]"),
        ("test", "wake me [date : on] sunday", "wake me sunday"),
        ("test", "wake ana", "wake [person : ana]"),
    ]
    lines = [
        {"id": str(n), "locale": "en-US", "partition": split, "scenario": "alarm", "intent": "alarm_set"}
        | {"utt": utt, "annot_utt": marked}
        for n, (split, utt, marked) in enumerate(rows)
    ]
    (data / "en.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    (data / "notes.txt").touch()
    output = tmp_path / "shards"
    arguments = ("convert", "--format", "massive", "--input", str(data / "*"), "--output", str(output))

    refused = pipelines(*arguments)
    assert refused.returncode == 2 and "1 of 4 rows (25.00%) were rejected" in refused.stderr
    assert not output.exists()

    done = pipelines(*arguments, "--max-rejected", "0.25")
    assert done.returncode == 0, done.stderr
    assert f"note: `{data / 'notes.txt'}` is left out: it is not named `*.jsonl`\n" in done.stderr
    assert "4 rows in, 3 out (dev 1, test 1, train 1)" in done.stdout and "rejected: 1 (R" in done.stdout

    checked = pipelines("verify", str(output))
    assert checked.returncode == 0 and "3 rows, 0 findings" in checked.stdout
    counted = json.loads(pipelines("stats", str(output), "--json").stdout)
    assert counted["splits"]["train"]["intents"] == {"alarm_set": 1}
    assert "alarm_set 1" in pipelines("stats", str(output)).stdout

    (output / "ontology.toml").write_text("", encoding="utf-8")
    spoilt = pipelines("verify", str(output), "--json")
    assert spoilt.returncode == 1 and json.loads(spoilt.stdout)["findings"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--format", "sequence", "--input", "."], "unknown format `sequence`; the formats are"),
        (["--format", "seq", "--input", "no/such/folder"], "`no/such/folder` does not exist"),
        (["--format", "seq", "--input", ".", "--multi-intent", "both"], "the choices are `clauses` and `label`"),
        (["--format", "seq", "--input", ".", "--split-by", "luck"], "the choices are `corpus`, `utterance`"),
        (["--format", "seq", "--input", ".", "--dev-share", "1.5"], "must leave something for train"),
        (["--format", "seq", "--input", ".", "--ontology", "none.toml"], "none.toml"),
    ],
)
def test_what_cannot_run_exits_with_2(tmp_path: Path, arguments: list[str], says: str) -> None:
    (tmp_path / "train").mkdir()
    for name in ("seq.in", "seq.out", "label"):
        (tmp_path / "train" / name).write_text("x\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pipelines", "convert", "--output", "out", *arguments],
        cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2 and says in done.stderr, done.stderr
    assert "Traceback" not in done.stderr and not (tmp_path / "out").exists()


def test_samples_from_end_to_end(tmp_path: Path) -> None:
    where, shards = str(tmp_path / "samples"), str(tmp_path / "shards")
    written = pipelines("samples", "--output", where, "--rows", "450", "--seed", "4")
    assert written.stdout.endswith("train 450, dev 30, test 30\n")
    converted = pipelines("convert", "--format", "seq", "--coordinate", "--input", f"{where}/flat", "--output", shards)
    assert converted.returncode == 0, converted.stderr
    compared = pipelines("samples", "--output", where, "--compare", shards)
    assert compared.returncode == 0 and compared.stdout == "converted = gold: 510 of 510\n"


def test_formats_lists_every_format() -> None:
    listed = json.loads(pipelines("formats", "--json").stdout)
    assert {"brackets", "seq", "bio", "snips", "massive", "top"} <= set(listed)
    shown = pipelines("formats").stdout
    assert all(name in shown for name in listed) and "[slot : value]" in shown


def test_the_readme_explains_every_code_and_format() -> None:
    from pipelines.formats import FORMATS
    from pipelines.record import REASONS

    text = (ROOT / "pipelines" / "README.md").read_text(encoding="utf-8")
    assert [code for code, reason in REASONS.items() if f"| {code} | {reason} |" not in text] == []
    assert [name for name in FORMATS if f"| `{name}` |" not in text] == []


def test_two_forms_of_one_corpus_are_compared(tmp_path: Path) -> None:
    left = ["play jazz\t(P(g(jazz)))", "wake ana now\t(W(who(ana)))", "stop\t(S())", "add tea\t(A(i(tea)))"]
    right = ["Play jazz!\t(P(g(jazz)))", "wake ana now\t(W(who(ana)(now)))", "halt\t(S())", "add  tea\t(A(j(tea)))"]
    for name, lines in (("left", left), ("right", right)):
        (tmp_path / f"{name}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        run = pipelines(
            "convert",
            "--format",
            "brackets",
            "--input",
            str(tmp_path / f"{name}.tsv"),
            "--output",
            str(tmp_path / name),
        )
        assert run.returncode == 0, run.stderr
    shown = pipelines("compare", str(tmp_path / "left"), str(tmp_path / "right"))
    assert shown.stdout.splitlines() == [
        "texts: as it stands 2, letter case 0, punctuation 1, blanks 0",
        "slots: same 1, borders 1, labels 1",
        "splits: train-train 3",
        "unpaired: left 1, right 1",
    ]
    counts = json.loads(pipelines("compare", str(tmp_path / "left"), str(tmp_path / "right"), "--json").stdout)
    assert counts["texts"]["punctuation"] == 1 and counts["unpaired"] == {"left": 1, "right": 1}
    assert pipelines("compare", str(tmp_path / "left"), str(tmp_path)).returncode == 2
