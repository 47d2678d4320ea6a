"""The other parser that `bench` runs in turns with ours, and what it says of itself."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess

import torch

from grammar.shard import ShardError
from parser.config import ConfigError


def peer_rates(command: str) -> tuple[float, float | None]:
    """Run a peer; (utterances per CPU-second in training, and in parsing where it tells) that it printed last.

    A line of its output must hold `per CPU-s 485 utt`, and may hold `infer 800 utt`, as the yardstick's does, or be
    JSON with `train_utt_per_cpu_s`, and maybe `parse_utt_per_cpu_s`.

    Raises:
        ShardError: it failed or printed no such figure.
    """
    env = os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    done = subprocess.run(words_of(command), capture_output=True, text=True, env=env)
    for line in reversed(done.stdout.splitlines()):
        if found := re.search(r"per CPU-s(?:econd)? ([\d.]+) utt", line):
            parsing = re.search(r"infer ([\d.]+) utt", line)
            return float(found.group(1)), float(parsing.group(1)) if parsing else None
        if line.startswith("{"):
            try:
                told = json.loads(line)
                parse = told.get("parse_utt_per_cpu_s")
                return float(told["train_utt_per_cpu_s"]), None if parse is None else float(parse)
            except (ValueError, KeyError, TypeError):
                continue
    raise ShardError(
        f"--peer printed no line with `per CPU-s N utt` (exit code {done.returncode}): {done.stderr.strip()[-300:]}"
    )


def words_of(command: str) -> list[str]:
    """The words of a command line.

    Raises:
        ConfigError: a quotation mark is missing.
    """
    try:
        return shlex.split(command)
    except ValueError as error:
        raise ConfigError(f"--peer: {error} in `{command}`; close it, or write a backslash before it") from error
