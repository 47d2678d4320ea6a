"""From invented samples to a parsed sentence, by the commands that a user types."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def run(folder: Path, *arguments: str) -> str:
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-m", *arguments], cwd=folder, env=env, capture_output=True, text=True)
    assert done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_samples_to_a_parsed_sentence(tmp_path):
    run(tmp_path, "pipelines", "samples", "--output", "samples", "--rows", "1000", "--seed", "5")
    gold = sorted(str(path) for path in (tmp_path / "samples" / "gold").glob("*.tsv"))
    run(tmp_path, "grammar", "check", *gold)
    seq = ["--format", "seq", "--coordinate", "--corpus", "demo", "--input", "samples/flat", "--output", "shards"]
    run(tmp_path, "pipelines", "convert", *seq)
    run(tmp_path, "pipelines", "verify", "shards")
    run(tmp_path, "pipelines", "samples", "--output", "samples", "--compare", "shards")
    quick = ["--config", "demo", "--set", "train.batch_size=16", "--device", "cpu"]
    run(tmp_path, "parser", "train", "--shards", "shards", "--output", "model", *quick)
    scored = run(tmp_path, "parser", "evaluate", "--model", "model", "--shards", "shards", "--json", "--device", "cpu")
    parsed = run(tmp_path, "parser", "parse", "--model", "model", "--format", "json", "--device", "cpu", "play music")

    figures = json.loads(scored)
    # A sixth of the demo's rows: it need not be good, but it must have learnt to copy words never seen.
    assert figures["slices"]["unseen value"]["exact_match"] > 0.2
    assert figures["intent_accuracy"] > 0.5
    row = json.loads(parsed)
    assert row["words"] == ["play", "music"]
    assert row["tree"].startswith("(")
    assert all(word in row["words"] for word, at in zip(_words(row["tree"]), row["positions"], strict=True) if at >= 0)


def _words(tree: str) -> list[str]:
    from grammar import parse

    return parse(tree).words()
