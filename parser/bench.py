"""How fast the parser trains and parses, beside what the arithmetic allows and beside a peer, in one run.

On a CPU all rates are per CPU-second: ratios hold on a busy machine, absolute rates do not. On a GPU they
are per second of wall time.
"""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from grammar.actions import oracle
from grammar.shard import ShardError
from parser import Parser, load
from parser.ceiling import Clock, ProductRate, calls_a_second, copy_rate, step_flops
from parser.checkpoint import Setup
from parser.config import Config
from parser.evaluate import gold_of
from parser.loader import Loader, Step
from parser.model import Model
from parser.naive import naive_loss
from parser.peer import peer_rates, words_of
from parser.source import Source
from parser.stepping import Stepper
from parser.train import make_setup

WARM_STEPS = 300
"""Steps of training before parsing is timed, since fresh weights write trees much longer than real ones, and before
anything is timed on a GPU."""
PARTS = {
    "recurrence": ("lstm", "rnn", "_ahead", "_both"),
    "decisions": ("_decisions",),
    "products": ("::mm", "::addmm", "::bmm", "::baddbmm", "::linear", "gemm", "cutlass"),
    "look-ups": ("embedding", "index", "gather", "scatter", "segment_reduce", "_sidebyside", "_spelled"),
    "random": ("random_", "bernoulli", "dropout", "::rand", "_zeroed", "_squashed"),
    "optimizer": ("adam", "linalg_vector_norm", "multi_tensor"),
}
"""Names of operations by part of a training step; every other one is "element-wise"."""


@contextmanager
def sample_shards() -> Iterator[str]:
    """The sample corpus as shards in a folder that goes away; written by a process of its own, without Beam or lark.

    Raises:
        ShardError: the package `pipelines` is not there.
    """
    with TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pipelines", "samples", "--output", folder, "--shards"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise ShardError(f"cannot write the sample corpus, give --shards: {done.stderr.strip()[-300:]}")
        yield str(Path(folder) / "shards")


class Bench:
    """A model in training, and the measurements of it.

    Args:
        shards: a data set.
        config: the model.
        device: `cpu` or `cuda`.
        seconds: time for each line.
        say: gets one line a measurement.
        trained: a model directory to parse with; without it, the model that the training lines have trained a little.
    """

    def __init__(
        self,
        shards: str,
        config: Config,
        device: str,
        seconds: float,
        say: Callable[[str], None] = lambda line: None,
        trained: str = "",
    ) -> None:
        self.device, self.seconds, self.say = device, seconds, say
        self.ready = load(trained, device) if trained else None
        self.source = Source(shards)
        self.setup: Setup = make_setup(self.source, config)
        torch.manual_seed(config.train.seed)
        torch.set_flush_denormal(True)
        self.model: Model = self.setup.build(device)
        self.stepper = Stepper(self.model, config, device)
        self.loader = Loader(self.source, self.setup, device=device)
        self.figures: dict[str, float] = {"parameters": sum(p.numel() for p in self.model.parameters())}

    def run(self, peer: str = "") -> dict[str, float]:
        """All figures; see `python -m parser bench --help`."""
        gpu = self.device.startswith("cuda")
        self._train(peer)
        if not gpu:
            self._batch_sizes((32, 128, 256))
            self._naive()
        self._loading()
        self._parts(200 if gpu else 20)
        self._memory()
        self._parsing((1, 32, 128, 512) if not gpu else (512, 2048, 8192))
        self._one()
        return self.figures

    # -- training ------------------------------------------------------------------------------

    def _train(self, peer: str) -> None:
        """Slices of training between runs of the peer."""
        size = self.setup.config.train.batch_size
        steps = self._forever(size)
        # A GPU records the steps of every shape first.
        for _ in range(WARM_STEPS if self.device.startswith("cuda") else 5):
            self._step(next(steps))
        totals = np.zeros(4)  # seconds, utterances, actions, floating-point operations
        products = self._products()
        peers: list[tuple[float, float | None]] = []
        rounds = 2 if peer else 3
        for turn in range(rounds):
            self.say(f"training, turn {turn + 1} of {rounds}")
            totals += self._trained(steps, products, WARM_STEPS // rounds)
            if peer:
                self.say(f"peer, turn {turn + 1} of {rounds}")
                peers.append(peer_rates(peer))
        ending = "utt_s" if self.device.startswith("cuda") else "utt_per_cpu_s"
        spent, done, actions, flops = totals.tolist()
        product = products.flops_a_second
        self.figures |= {
            f"train_{ending}": done / spent,
            f"train_{ending.replace('utt', 'actions')}": actions / spent,
            "train_mflop_per_utt": flops / done / 1e6,
            "product_gflop_s": product / 1e9,
            "train_ceiling_utt_s": product / (flops / done),
            "train_share_of_ceiling": flops / spent / product,
        }
        if peers:
            self.figures["peer_utt_per_cpu_s"] = sum(rate for rate, _ in peers) / len(peers)
            # A GPU's seconds are of wall time, the peer's of its processor.
            if not self.device.startswith("cuda"):
                self.figures["train_over_peer"] = done / spent / self.figures["peer_utt_per_cpu_s"]
            parsed = [rate for _, rate in peers if rate is not None]
            if parsed:
                self.figures["peer_parse_utt_per_cpu_s"] = sum(parsed) / len(parsed)

    def _batch_sizes(self, sizes: tuple[int, ...]) -> None:
        for size in sizes:
            self.say(f"training in batches of {size}")
            steps = self._forever(size)
            self._step(next(steps))
            products = self._products()
            spent, done, _, flops = self._trained(steps, products).tolist()
            self.figures[f"train_{size}_utt_per_cpu_s"] = done / spent
            self.figures[f"train_{size}_share_of_ceiling"] = flops / spent / products.flops_a_second

    def _products(self) -> ProductRate:
        return ProductRate(self.device, torch.bfloat16 if self._bf16() else torch.float32)

    def _trained(self, steps: Iterator[Step], products: ProductRate, least: int = 1) -> np.ndarray:
        """Of training for a while: seconds, utterances, actions, floating-point operations.

        Each second of it a product is made, since the machine's others come and go.
        """
        clock, spent = Clock(self.device), 0.0
        seen: list[Step] = []
        while spent < self.seconds or len(seen) < least:
            products.measure()
            clock.start()
            while (now := clock.spent()) < min(1.0, self.seconds):
                seen.append(next(steps))
                self._step(seen[-1])
            spent += now
        products.measure()
        batches = [batch for step in seen for batch in step.parts]
        flops = sum(step_flops(self.model, batch) for batch in batches)
        actions = sum(batch.actions for batch in batches)
        return np.array([spent, sum(step.utterances for step in seen), actions, flops])

    def _naive(self) -> None:
        """The definition: one utterance, one action at a time."""
        self.say("training as defined, one utterance and action at a time")
        rows = self.source.read(self.loader.all_blocks[0]).slice(0, 64).to_pylist()
        golds = iter([gold_of(row) for row in rows] * 1000)

        def one() -> int:
            gold = next(golds)
            self.model.zero_grad(set_to_none=True)
            actions = oracle(gold.tree, gold.positions)
            naive_loss(self.model, self.setup.vocab, self.setup.ontology, gold.words, actions).backward()
            return 1

        self.figures["train_over_naive"] = self.figures["train_utt_per_cpu_s"] / self._rate(one)

    def _loading(self) -> None:
        """Batches without a model: in the first epoch with reading and index columns, then of rows that are kept."""
        self.say("loading alone")
        ending = "utt_s" if self.device.startswith("cuda") else "utt_per_cpu_s"
        first = Loader(self.source, self.setup, device=self.device).epoch(0)
        clock, loaded = Clock(self.device), 0
        clock.start()
        while clock.spent() < self.seconds and (step := next(first, None)) is not None:
            loaded += step.utterances
        self.figures[f"load_first_{ending}"] = loaded / clock.spent()
        first.close()
        steps = self._forever(self.setup.config.train.batch_size)
        padding: list[dict[str, float]] = [next(steps).padding()]

        def load() -> int:
            step = next(steps)
            padding.append(step.padding())
            return step.utterances

        self.figures[f"load_{ending}"] = self._rate(load)
        self.figures |= {name: sum(line[name] for line in padding) / len(padding) for name in padding[0]}

    def _parts(self, steps: int) -> None:
        """Where the time of a step goes; on a GPU also how much of it the device works."""
        from torch.profiler import ProfilerActivity, profile

        self.say("the parts of a step")
        gpu = self.device.startswith("cuda")
        source = self._forever(self.setup.config.train.batch_size)
        self._take(source, steps if gpu else 4)
        plain = self._take(source, steps) if gpu else 0.0
        with profile(activities=[ProfilerActivity.CUDA if gpu else ProfilerActivity.CPU]) as seen:
            wall = self._take(source, steps)
        share = dict.fromkeys([*PARTS, "element-wise"], 0.0)
        for name, spent in _operations(seen, gpu):
            part = next((part for part, keys in PARTS.items() if any(key in name.lower() for key in keys)), None)
            share[part or "element-wise"] += spent
        total = sum(share.values())
        self.figures |= {f"share_{name}": spent / max(total, 1e-9) for name, spent in share.items()}
        if gpu:
            # The profiler notes every kernel, which makes steps of short kernels longer: once with it, once without.
            self.figures |= {"device_busy": total / wall, "device_busy_unwatched": total / plain}

    def _memory(self) -> None:
        """The optimizer touches every parameter once: it is held to the rate of a copy."""
        self.say("memory")
        moved = 7 * 4 * self.figures["parameters"]  # reads weight, gradient, two moments; writes all but the gradient
        copied = copy_rate(self.device, int(moved) // 2, min(0.5, self.seconds))
        # Weights of its own, or so many steps along one gradient would spoil the model.
        weights = [torch.zeros_like(p, requires_grad=True) for p in self.model.parameters()]
        for weight in weights:
            weight.grad = torch.full_like(weight, 1e-3)
        optimizer = torch.optim.AdamW(weights, fused=True)
        rate = calls_a_second(optimizer.step, self.device, min(0.5, self.seconds))
        self.figures["copy_gb_s"] = copied / 1e9
        self.figures["optimizer_share_of_copy"] = rate * moved / copied

    def _take(self, source: Iterator[Step], steps: int) -> float:
        """Seconds of so many steps."""
        clock = Clock(self.device)
        clock.start()
        for _ in range(steps):
            self._step(next(source))
        return clock.spent()

    def _step(self, step: Step) -> int:
        total = self.stepper.gradients(step)
        self.stepper.update(1.0)
        if self.device == "cpu":
            total.item()
        return step.utterances

    def _forever(self, size: int) -> Iterator[Step]:
        train = dataclasses.replace(self.setup.config.train, batch_size=size)
        setup = dataclasses.replace(self.setup, config=dataclasses.replace(self.setup.config, train=train))
        loader = Loader(self.source, setup, device=self.device)
        epoch = 0
        self.model.train()
        while True:
            yield from loader.epoch(epoch)
            epoch += 1

    def _bf16(self) -> bool:
        return self.device.startswith("cuda") and self.setup.config.train.bf16

    # -- parsing -------------------------------------------------------------------------------

    def _parsing(self, sizes: tuple[int, ...]) -> None:
        parser, texts = self._parser(), self._utterances()
        gpu = self.device.startswith("cuda")
        best = 0.0
        for size in sizes:
            self.say(f"parsing in batches of {size}")
            starts = iter(range(0, 10**9))

            def some(size: int = size, starts: Iterator[int] = starts) -> int:
                first = next(starts) * 997 % max(1, len(texts) - 4 * size)
                return len(parser.parse_many(texts[first : first + 4 * size], size))

            some()
            rate = self._rate(some)
            self.figures[f"parse_{size}_utt_{'s' if gpu else 'per_cpu_s'}"] = rate
            best = max(best, rate)
        self.figures["parse_utt_s" if gpu else "parse_utt_per_cpu_s"] = best
        if "peer_parse_utt_per_cpu_s" in self.figures:
            self.figures["parse_over_peer"] = best / self.figures["peer_parse_utt_per_cpu_s"]

    def _one(self) -> None:
        """How long somebody waits who asks for one utterance."""
        self.say("one utterance at a time")
        parser, texts = self._parser(), self._utterances()
        for text in texts[:20]:
            parser.parse(text)
        waits: list[float] = []
        works: list[float] = []
        ends = time.perf_counter() + max(self.seconds, 2.0)
        while time.perf_counter() < ends or len(waits) < 100:
            text = texts[len(waits) * 31 % len(texts)]
            began, worked = time.perf_counter(), time.process_time()
            parser.parse(text)
            waits.append(1000 * (time.perf_counter() - began))
            works.append(1000 * (time.process_time() - worked))
        if self.device == "cpu":  # what a wait is where nothing else runs
            self.figures["one_p50_cpu_ms"] = float(np.percentile(works, 50))
        for share in (50, 95, 99):
            self.figures[f"one_p{share}_ms"] = float(np.percentile(waits, share))

    def _parser(self) -> Parser:
        return self.ready or Parser(self.setup, self.model.eval())

    def _utterances(self) -> list[list[str]]:
        splits = self.source.manifest.splits
        # A GPU takes batches larger than most test splits.
        split = "train" if self.device.startswith("cuda") or not splits.get("test") else "test"
        return [words for table in self.source.tables(split, ("words",)) for words in table["words"].to_pylist()]

    def _rate(self, work: Callable[[], int]) -> float:
        done = 0

        def once() -> None:
            nonlocal done
            done += work()

        clock = Clock(self.device)
        clock.start()
        while (spent := clock.spent()) < self.seconds:
            once()
        return done / spent


def _operations(seen: Any, gpu: bool) -> Iterator[tuple[str, float]]:
    """(name, seconds) of what a profiler has seen: kernels of a GPU, operations of a CPU."""
    if not gpu:
        yield from ((event.key, event.self_cpu_time_total / 1e6) for event in seen.key_averages())
        return
    # The profiler's own tables would take a minute for some hundred thousand kernels.
    for event in seen.profiler.kineto_results.events():
        # Copies and clearing run beside kernels, so they would count twice.
        if event.device_type() == torch.autograd.DeviceType.CUDA and not event.name().startswith("Mem"):
            yield event.name(), event.duration_ns() / 1e9


def bench(
    shards: str,
    config: Config,
    device: str,
    seconds: float,
    peer: str = "",
    say: Callable[[str], None] = print,
    trained: str = "",
) -> dict[str, Any]:
    """All figures of a data set, or of the sample corpus where `shards` is empty."""
    words_of(peer)
    with nullcontext(shards) if shards else sample_shards() as where:
        return Bench(where, config, device, seconds, say, trained).run(peer)
