"""The door: commands as a user types them."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipelines.__main__ import app
from pipelines.commands import door
from pipelines.samples import generate
from pipelines.samples.write import write

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
        (["--format", "seq", "--input", ".", "--ontology", "none.toml"], "cannot read none.toml: No such file"),
        (
            ["--format", "seq", "--input", ".", "--map", "no.toml"],
            "cannot read no.toml: No such file or directory; `--m",
        ),
        (["--format", "seq", "--input", ".", "--map", "train/label"], "train/label: not TOML"),
        (["--format", "seq", "--input", ".", "--split-by", "hash"], "the choices are `corpus`, `utterance`"),
        (["--format", "seq", "--input", ".", "--shards", "0"], "`--shards 0`: it must be positive"),
        (["--format", "seq", "--input", ".", "--range-bytes", "0"], "`--range-bytes 0`: it must be positive"),
        (["--format", "seq", "--input", ".", "--max-rejected", "2"], "`--max-rejected 2`: it is a share"),
        (["--format", "seq", "--input", ".", "--max-rejected", "-1"], "`--max-rejected -1`: it is a share"),
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


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("damage", ["none", "short", "bytes"])
@pytest.mark.parametrize("command", [["convert", "--format", "brackets"], ["check"]])
def test_a_damaged_input_is_named(tmp_path: Path, command: list[str], damage: str, workers: str) -> None:
    if workers == "2" and damage != "bytes":
        pytest.skip("one kind is enough where workers are processes")
    packed = gzip.compress(b"".join(b"play %d\t(Play(title(%d)))\n" % (n, n * n) for n in range(900)))
    spoilt = {"none": b"play\t(Play())\n", "short": packed[:-30], "bytes": packed[:60] + b"\xff" * 9 + packed[69:]}
    path = tmp_path / "a.tsv.gz"
    path.write_bytes(spoilt[damage])
    done = pipelines(*command, "--input", str(path), "--output", str(tmp_path / "out"), "--workers", workers)
    last = done.stderr.splitlines()[-1]
    assert done.returncode == 2 and last.startswith(f"error: {path}: ") and "while running" not in last, done.stderr
    assert workers == "2" or "Traceback" not in done.stderr


def test_a_data_set_without_a_usable_ontology_is_told(tmp_path: Path) -> None:
    write(generate(30, 1), tmp_path, shards=True)
    ontology = tmp_path / "shards" / "ontology.toml"
    for text in ("[intents", None):
        ontology.unlink() if text is None else ontology.write_text(text, encoding="utf-8")
        for command in (["stats"], ["sample", "--per-label", "2", "--output", str(tmp_path / "few")]):
            done = CliRunner().invoke(app, [command[0], str(tmp_path / "shards"), *command[1:]])
            assert done.exit_code == 2 and f"error: {ontology} cannot be used: " in done.stderr, done.output
            assert "convert again" in done.stderr and "[Errno" not in done.stderr


def test_an_output_of_samples_that_is_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "top.tsv").write_text("mine", encoding="utf-8")
    done = CliRunner().invoke(app, ["samples", "--output", str(tmp_path / "top.tsv"), "--rows", "30"])
    assert done.exit_code == 2 and "is a file; `--output` takes a directory" in done.stderr


def test_options_are_held_against_what_their_message_says(tmp_path: Path) -> None:
    given = ["--input", str(tmp_path), "--output", str(tmp_path / "out")]
    for command in (["check", *given], ["annotate", "--model", "m", *given]):
        for option, value in (("range-bytes", "0"), ("max-rejected", "1.5"), ("max-rejected", "nan"), ("workers", "0")):
            done = CliRunner().invoke(app, [*command, f"--{option}", value])
            assert done.exit_code == 2 and f"error: `--{option} {value}`: it " in done.stderr, done.output
    done = CliRunner().invoke(app, ["merge", "a", "b", "--output", "c", "--shards", "0"])
    assert done.exit_code == 2 and "`--shards 0`: it must be positive" in done.stderr


def test_errors_of_workers_are_told_without_what_beam_puts_around_them() -> None:
    text = 'Traceback (most recent call last):\n  File "x.py", line 1, in x\n    y: int\nOSError: a.gz: it is damaged'
    assert door.why(RuntimeError(f"{text}\n\nDuring handling:\n\n{text} [while running 'convert/plan']\n")) == (
        "a.gz: it is damaged"
    )
    assert door.why(ValueError("a.tsv:3: no tree [while running 'check all/plan']")) == "a.tsv:3: no tree"


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
