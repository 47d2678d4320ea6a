"""How fast the parser trains and parses, beside the naive definition in the same run.

Ratios hold on a busy machine, absolute rates do not; all are per CPU-second.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from grammar.actions import oracle
from grammar.shard import read_manifest
from parser.batch import Examples, Order, read_rows
from parser.config import Config
from parser.decode import greedy
from parser.evaluate import gold_of
from parser.naive import naive_loss
from parser.train import make_setup


def bench(shards: str | Path, config: Config, seconds: float = 5.0) -> dict[str, float]:
    """Rates on the train split, one entry a line of the table.

    Args:
        shards: a data set.
        config: the model; weights stay fresh, which changes no rate.
        seconds: CPU time for each line.
    """
    rows = list(islice(read_rows(shards, "train"), 4096))
    setup = make_setup(rows, shards, config, read_manifest(shards).tokeniser)
    torch.manual_seed(1)
    model = setup.build()
    examples = Examples(rows, setup.vocab, setup.ontology, config.model.copy)
    actions = examples.actions()
    figures: dict[str, float] = {"parameters": sum(p.numel() for p in model.parameters())}

    batches = Order(actions, config.train.batch_size, config.train.window, 1).epoch(0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)

    def step(i: int) -> int:
        index = batches[i % len(batches)]
        optimizer.zero_grad(set_to_none=True)
        model(examples.batch(index), config.train.unk).backward()
        optimizer.step()
        return len(index)

    def naive(i: int) -> int:
        gold = gold_of(rows[i % len(rows)])
        model.zero_grad(set_to_none=True)
        naive_loss(model, setup.vocab, setup.ontology, gold.words, oracle(gold.tree, gold.positions)).backward()
        return 1

    model.train()
    figures["train_utt_per_cpu_s"] = _rate(step, seconds)
    figures["train_actions_per_cpu_s"] = figures["train_utt_per_cpu_s"] * float(actions.mean())
    figures["train_naive_utt_per_cpu_s"] = _rate(naive, seconds)
    figures["train_over_naive"] = figures["train_utt_per_cpu_s"] / figures["train_naive_utt_per_cpu_s"]
    model.eval()
    for size in (1, 32, 128):
        figures[f"parse_{size}_utt_per_cpu_s"] = _rate(_parser(model, setup, rows, size), seconds)
    return figures


def _parser(model: Any, setup: Any, rows: list[dict[str, Any]], size: int) -> Callable[[int], int]:
    ordered = sorted((row["words"] for row in rows), key=len)

    def parse(i: int) -> int:
        start = i * 997 * size % max(1, len(ordered) - size)
        return len(greedy(model, setup.vocab, ordered[start : start + size]))

    return parse


def _rate(work: Callable[[int], int], seconds: float) -> float:
    """Utterances a CPU-second; the first call warms up."""
    work(0)
    done, calls, began = 0, 0, time.process_time()
    while (spent := time.process_time() - began) < seconds:
        calls += 1
        done += work(calls)
    return done / spent
