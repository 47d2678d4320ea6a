"""An experiment ends when it is asked to, leaves checkpoints, and goes on from them."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from parsing import write_shards

PLAN = """
seeds = [1, 2, 3]
[corpora.invented]
train = { epochs = 100000, evaluate_every = 3 }
[variants.plain]
config = "tiny"
"""
PATIENCE = 300
"""Seconds, on a busy machine."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    where = tmp_path_factory.mktemp("stop")
    write_shards(where / "invented", train=40)
    (where / "plan.toml").write_text(PLAN)
    return where


def until(what):
    end = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < end, "nothing came"
        time.sleep(0.1)


def free(lock):
    """Whether no worker trains the model any more."""
    with open(lock) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def begun(folder):
    """The steps at which the training of each model began or went on."""
    events = [json.loads(text) for path in folder.glob("runs/*/log.jsonl") for text in path.read_text().splitlines()]
    return [event["step"] for event in events if event["event"] == "start"]


@pytest.mark.parametrize("stop", ["killed hard", "Ctrl-C", "SIGTERM"])
def test_an_experiment_ends_with_all_its_processes_and_goes_on_from_the_checkpoint(folder, tmp_path, stop):
    paths = ["--shards", str(folder), "--runs", str(folder / "runs"), "--results", str(folder / "results")]
    command = [sys.executable, "-m", "parser", "experiment", str(folder / "plan.toml"), *paths]
    told, before = tmp_path / "told", begun(folder)
    with open(told, "w") as stderr:
        process = subprocess.Popen(
            [*command, "--device", "cpu", "--jobs", "1"],
            cwd=Path(__file__).parent.parent,
            stderr=stderr,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
    try:
        until(lambda: "dev exact match" in told.read_text())
        if stop == "Ctrl-C":
            os.killpg(process.pid, signal.SIGINT)
        else:
            process.send_signal(signal.SIGTERM if stop == "SIGTERM" else signal.SIGKILL)
        code = process.wait(PATIENCE)
        [lock] = folder.glob("runs/*.lock")  # no queued run was begun
        until(lambda: free(lock))
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert code == (-signal.SIGKILL if stop == "killed hard" else 128 + signal.SIGTERM)
    lines = told.read_text().splitlines()
    assert lines[0] == "invented plain seed 1: starts"
    assert lines[1].startswith("invented plain seed 1: epoch ") and " of 100000: dev exact match " in lines[1]
    if stop != "killed hard":
        assert lines[-1] == "stopped; give the same command again to go on from the checkpoints"
        assert "Traceback" not in told.read_text()
    assert not any("seed 2" in line for line in lines), "what is queued is left"
    place = json.loads((lock.with_suffix("") / "last" / "place.json").read_text())
    steps = begun(folder)
    assert len(steps) == len(before) + 1 and steps[-1] < place["step"]
    assert (steps[-1] > 0) == bool(before), "what was stopped goes on"
