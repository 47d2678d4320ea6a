"""Training as a job: streamed shards, several processes, signals, parts of a batch."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from parsing import rows, setup_of, table_of, tiny, world, write_shards
from typer.testing import CliRunner

from grammar.shard import ShardError
from parser.__main__ import app
from parser.batch import Examples
from parser.ceiling import forward_flops
from parser.config import from_dict
from parser.loader import Loader
from parser.peer import peer_rates
from parser.source import Source
from parser.train import make_setup, train

PLAIN = tiny().to_dict()


def config(**changes):
    """Settings whose steps do not depend on random numbers."""
    return from_dict({"model": PLAIN["model"], "train": PLAIN["train"] | {"unk": 0.0, "batch_size": 16} | changes})


def losses(directory: Path) -> dict[int, float]:
    lines = (directory / "log.jsonl").read_text().splitlines()
    return {e["step"]: e["loss"] for e in map(json.loads, lines) if e["event"] == "step"}


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """150 rows of train in five row groups."""
    return write_shards(tmp_path_factory.mktemp("shards"), 150, files=5)


def command(shards, output, settings) -> list[str]:
    changes = [f"--set={s}.{k}={json.dumps(v)}" for s, part in settings.to_dict().items() for k, v in part.items()]
    return ["-m", "parser", "train", "--shards", str(shards), "--output", str(output), "--device", "cpu", *changes]


def test_two_processes_train_like_one(shards, tmp_path):
    settings = config(epochs=2)
    train(shards, tmp_path / "one", settings)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", f"--master-port={port}"]
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*torchrun, *command(shards, tmp_path / "two", settings)], capture_output=True, text=True, env=env
    )

    assert done.returncode == 0, done.stderr
    one, two = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert list(one) == list(two)
    assert np.allclose(list(one.values()), list(two.values()), rtol=1e-3)


def test_a_batch_in_parts_gives_the_same_losses(shards, tmp_path):
    train(shards, tmp_path / "whole", config())
    train(shards, tmp_path / "parts", config(accumulate=3))

    assert np.allclose(list(losses(tmp_path / "whole").values()), list(losses(tmp_path / "parts").values()), rtol=1e-3)


def test_small_pools_take_every_row_once_and_go_on_anywhere(shards):
    source = Source(shards)
    setup = make_setup(source, config(pool=60))
    loader = Loader(source, setup)

    def seen(epoch, first=0):
        return [step.parts[0].word_BW.tolist() for step in loader.epoch(epoch, first)]

    def utterances(processes):
        words = setup.vocab.words
        batches = [part.word_BW.tolist() for one in processes for step in one.epoch(0) for part in step.parts]
        return sorted(" ".join(words[word] for word in row if word) for rows in batches for row in rows)

    whole = seen(0)
    assert len(loader.pools(0)) == 3
    assert len(whole) == loader.steps(0)
    read = sorted(" ".join(row["words"]).lower() for row in source.rows("train"))
    assert utterances([loader]) == read
    assert utterances([Loader(source, setup, rank, 3) for rank in range(3)]) == read
    assert seen(0, 4) == whole[4:]
    assert seen(0, len(whole)) == [], "a run may have been stopped after the last step of an epoch"
    assert seen(1) != whole


def test_the_next_pool_is_made_ready_while_one_is_used(shards, monkeypatch):
    source = Source(shards)
    loader, begun = Loader(source, make_setup(source, config(pool=60))), threading.Semaphore(0)
    read = loader.source.read
    monkeypatch.setattr(source, "read", lambda block: (begun.release(), read(block))[1])
    steps = loader._make(0, 0)
    next(steps)

    first, second = (len(pool) for pool in loader.pools(0)[:2])
    assert all(begun.acquire(timeout=30) for _ in range(first + second)), "after the first step of the first pool"
    steps.close()


def test_processes_line_up_their_own_rows_only(shards, monkeypatch):
    source = Source(shards)
    setup = make_setup(source, config(pool=60))
    rows_of, line_up = [], Loader._lined_up
    monkeypatch.setattr(Loader, "_lined_up", lambda self, table: (rows_of.append(len(table)), line_up(self, table))[1])
    for rank in range(20):  # more than a step has utterances
        assert len(list(Loader(source, setup, rank, 20).epoch(0))) == Loader(source, setup).steps(0)

    assert len(rows_of) == 60 and sum(rows_of) == 150 and 0 in rows_of


def test_processes_share_every_step(shards):
    source = Source(shards)
    setup = make_setup(source, config(pool=60))
    alone = list(Loader(source, setup).epoch(0))
    shared = [list(Loader(source, setup, rank, 2).epoch(0)) for rank in range(2)]

    for one, *parts in zip(alone, *shared, strict=True):
        assert {one.utterances} == {part.utterances for part in parts}
        assert one.parts[0].actions == sum(batch.actions for part in parts for batch in part.parts)


def test_sigterm_leaves_a_checkpoint_and_resuming_gives_the_same_losses(shards, tmp_path):
    settings = config(epochs=40, evaluate_every=20)
    train(shards, tmp_path / "whole", settings)
    call = [sys.executable, *command(shards, tmp_path / "ended", settings)]
    run = subprocess.Popen(call, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    log = tmp_path / "ended" / "log.jsonl"
    deadline = time.time() + 120
    while time.time() < deadline and not (log.exists() and log.read_text().count('"step"') > 20):
        time.sleep(0.005)
    run.send_signal(signal.SIGTERM)
    _, said = run.communicate()

    assert run.returncode == 143, said
    assert "--resume" in said
    assert (tmp_path / "ended" / "stopped").exists(), "what a scheduler looks for before it starts the run again"
    assert json.loads((tmp_path / "ended" / "last" / "place.json").read_text())["step"] == len(
        losses(tmp_path / "ended")
    )
    train(shards, tmp_path / "ended", settings, resume=True)
    assert not (tmp_path / "ended" / "stopped").exists()
    assert losses(tmp_path / "whole") == losses(tmp_path / "ended")


def test_checkpoints_come_by_the_minute(shards, tmp_path):
    last, kept = tmp_path / "m" / "last" / "place.json", []

    def report(event):
        if event["event"] == "step":
            kept.append(json.loads(last.read_text())["step"] if last.exists() else 0)

    train(shards, tmp_path / "m", config(epochs=1, checkpoint_minutes=1e-9, checkpoint_every=1000), report=report)

    # When a step is told, the checkpoint of the one before has been written.
    assert len(kept) > 5
    assert kept == list(range(len(kept)))


def test_a_loss_that_is_not_finite_stops_the_run_by_name(shards, tmp_path):
    with pytest.raises(FloatingPointError, match=r"train\.lr"):
        train(shards, tmp_path / "m", config(lr=1e30, warmup=1, epochs=20))


def test_a_uri_reads_like_a_path(shards):
    assert list(Source(f"file://{shards}").rows("dev")) == list(Source(shards).rows("dev"))
    with pytest.raises(ShardError, match="python -m pipelines convert"):
        Source(f"file://{shards}/nothing")
    with pytest.raises(ShardError, match="cannot open"):
        Source("nonsense://bucket/x")


def test_a_shard_that_is_gone_is_named(tmp_path):
    directory = write_shards(tmp_path)
    (directory / "train-00000-of-00001.parquet").unlink()

    with pytest.raises(ShardError, match="train-00000-of-00001"):
        make_setup(Source(directory), config())


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"stack": True, "attention": "additive", "chars": "lstm", "joint": False},
        {"encoder_layers": 2},
        {"pooled": True},
        {"static_dim": 5},
    ],
    ids=["base", "published", "two layers", "pooled", "static vectors"],
)
@pytest.mark.filterwarnings("ignore:TF32")
def test_counted_products_are_those_that_torch_counts(changes):
    """Of one utterance nothing is padding, so torch's own counter must come to the same, look-ups apart."""
    from torch.utils.flop_counter import FlopCounterMode

    _, model, examples, _ = world(40, **changes)
    batch = examples.batch([0])
    with FlopCounterMode(display=False) as counter, torch.no_grad(), torch.backends.mkldnn.flags(enabled=False):
        model(batch)
    counted = forward_flops(model, batch)
    if model.config.pooled:
        _, last, same, _ = world(40)
        pool = 2 * 2 * int(batch.length_B.sum()) * model.config.encoder_hidden
        assert counted - forward_flops(last, same.batch([0])) == pool

    # The counter sees the copied vector at every action, where one counts only those that copy.
    spare = (batch.actions - int((batch.copy_BT >= 0).sum())) * 2 * model.copied.weight.numel()
    assert counted <= counter.get_total_flops()
    assert counted + spare == pytest.approx(counter.get_total_flops(), rel=0.12)


@pytest.mark.parametrize(
    ("said", "rates"),
    [
        ("ep 1 12cpu-s; per CPU-s 485 utt 8000 act; infer 800 utt/cpu-s", (485.0, 800.0)),
        ("per CPU-second 20.5 utt", (20.5, None)),
        ('{"train_utt_per_cpu_s": 7, "parse_utt_per_cpu_s": 9}', (7.0, 9.0)),
    ],
)
def test_a_peer_tells_its_rates(said, rates):
    assert peer_rates(shlex.join([sys.executable, "-c", f"print({said!r}); print('done')"])) == rates


def test_a_peer_that_tells_nothing_is_named():
    with pytest.raises(ShardError, match="per CPU-s N utt"):
        peer_rates(shlex.join([sys.executable, "-c", "print('hello')"]))


def test_words_beyond_the_limit_are_unknown():
    data = rows(60)
    limited = setup_of(data, from_dict({"model": PLAIN["model"] | {"words_max": 5}, "train": PLAIN["train"]}))

    assert len(limited.vocab.words) == 2 + 5
    examples = Examples(table_of(data), limited.vocab, limited.ontology)
    assert (examples.columns.word.values == 1).any()


def test_bench_prints_every_figure(shards):
    peer = f"{shlex.quote(sys.executable)} -c \"print('per CPU-s 5.0 utt, infer 4.0 utt')\""
    call = ["bench", "--shards", str(shards), "--config", "tiny", "--seconds", "0.05", "--json"]
    done = CliRunner().invoke(app, [*call, "--peer", peer])

    assert done.exit_code == 0, done.output
    figures = json.loads(done.stdout.splitlines()[-1])
    asked = ("train_utt_per_cpu_s", "train_actions_per_cpu_s", "train_over_peer", "train_share_of_ceiling")
    asked += ("parse_utt_per_cpu_s", "one_p50_ms", "one_p95_ms", "one_p99_ms", "load_utt_per_cpu_s", "copy_gb_s")
    assert all(isinstance(value, (int, float)) for value in figures.values()), "one flat object"
    assert all(figures[name] > 0 for name in asked)
    assert figures["train_over_peer"] == pytest.approx(figures["train_utt_per_cpu_s"] / 5)
    assert 0 < figures["train_256_share_of_ceiling"] < 1
    assert figures["train_share_of_ceiling"] < 1 and figures["load_first_utt_per_cpu_s"] > 0
    assert sum(value for name, value in figures.items() if name.startswith("share_")) == pytest.approx(1)


def test_bench_looks_at_its_options_first(shards, tmp_path):
    call = ["bench", "--shards", str(shards), "--config", "tiny"]
    for options, message in [
        (["--seconds", "0"], "--seconds"),
        (["--peer", "say 'x"], "No closing quotation"),
        (["--model", str(tmp_path / "none")], "is not a finished model"),
    ]:
        done = CliRunner().invoke(app, [*call, *options])
        assert done.exit_code == 2 and message in done.output and "turn 1" not in done.output
