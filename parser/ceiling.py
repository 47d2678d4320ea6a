"""What the arithmetic allows: the products a training step cannot do without, and how fast this machine makes them.

The ceiling of training is the floating-point operations of the unpadded matrix products of forward and
backward, over the rate of a 2048-square product on the same threads in the same run. Look-ups, softmaxes,
element-wise work, the optimizer and every padded row count as nothing: they are what a share below 1 is made of.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from parser.batch import Batch
from parser.model import Model


def forward_flops(model: Model, batch: Batch) -> int:
    """Floating-point operations of the matrix products of one forward pass, padding left out.

    A product of [m, k] and [k, n] counts 2 m k n. The copied word's vector counts at copying actions only,
    characters once for each distinct word of the batch.
    """
    c = model.config
    E, A, H = c.encoder_hidden, c.action_dim, c.decoder_hidden
    rows, actions = len(batch.length_B), batch.actions
    words, letters = int(batch.length_B.sum()), int(batch.letters_U.sum())
    per_row = batch.real_BT.sum(-1)
    pairs = int((per_row * batch.length_B).sum())  # (action, word) pairs that attention and copy score
    half, width = E // 2, c.word_dim + c.static_dim + c.char_hidden

    total = 0
    if c.char_hidden:
        if c.chars == "lstm":
            total += letters * 4 * c.char_hidden * (c.char_dim + c.char_hidden)
        else:
            total += model.encoder.characters.embed.num_embeddings * c.char_dim * 3 * c.char_hidden  # type: ignore[union-attr]
    for layer in range(c.encoder_layers):
        total += 2 * words * 4 * half * ((E if layer else width) + half)
    if c.pooled:
        total += 2 * words * E
    for on in (c.history, c.stack):
        if on:
            total += actions * 4 * H * (A + H) + (rows * E * 2 * H if c.init_from_encoder else 0)
    if c.stack:
        total += int((batch.red_BT & (batch.symbol_BT == 0)).sum()) * 2 * A * A
    if c.copy:
        total += int((batch.copy_BT >= 0).sum()) * E * A + actions * H * E + pairs * E
    features = model.hidden.in_features - (E if c.attention != "none" else 0)
    if c.attention == "dot":
        total += actions * features * E + 2 * pairs * E
    elif c.attention == "additive":
        total += actions * model.query.in_features * H + words * E * H + pairs * (H + E)
    total += actions * model.hidden.in_features * H
    if c.joint or model.domains is not None:
        total += actions * H * (model.S + (0 if c.joint else 3))
    else:
        total += actions * H * 3 + len(batch.opening_K) * H * model.L + len(batch.leaf_K) * H * (model.S - 1 - model.L)
    return 2 * total


def step_flops(model: Model, batch: Batch) -> int:
    """Of forward and backward: every product has two more, for the gradients of either side."""
    return 3 * forward_flops(model, batch)


class ProductRate:
    """The rate of a 2048-square product (8192 on a GPU), measured bit by bit between other work.

    What a machine shared with others gives changes from second to second: a rate from before or after some work says
    little of what the machine gave while it went on.
    """

    def __init__(self, device: str, dtype: torch.dtype = torch.float32) -> None:
        self.size = 2048 if device == "cpu" else 8192
        self.a, self.b = (torch.randn(self.size, self.size, device=device, dtype=dtype) for _ in range(2))
        self.out = self.a @ self.b
        self.clock, self.spent, self.done = Clock(device), 0.0, 0

    def measure(self) -> None:
        """Make one more, after one that is not counted: the first one after other work takes a hundredth longer."""
        torch.mm(self.a, self.b, out=self.out)
        self.clock.start()
        torch.mm(self.a, self.b, out=self.out)
        self.spent += self.clock.spent()
        self.done += 1

    @property
    def flops_a_second(self) -> float:
        """Floating-point operations a second; of CPU time on a CPU."""
        return 2 * self.size**3 * self.done / self.spent


def copy_rate(device: str, size: int, seconds: float = 0.5) -> float:
    """Bytes a second of copying `size` bytes, read and written ones together: what fits into a cache is quicker."""
    source = torch.zeros(-(-size // 4), device=device)
    target = torch.empty_like(source)
    return 2 * source.nbytes * calls_a_second(lambda: target.copy_(source), device, seconds)


def calls_a_second(work: Callable[[], object], device: str, seconds: float) -> float:
    """How often `work` runs in a second of CPU time, or of wall time on a GPU."""
    clock = Clock(device)
    work()
    done = 0
    clock.start()
    while (spent := clock.spent()) < seconds or not done:
        work()
        done += 1
        spent = clock.spent()
    return done / spent


class Clock:
    """CPU time of this process on a CPU, wall time with the queue drained on a GPU."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.began = 0.0

    def start(self) -> None:
        """Start anew."""
        self.began = self._now()

    def spent(self) -> float:
        """Seconds since `start`."""
        return self._now() - self.began

    def _now(self) -> float:
        if self.device.startswith("cuda"):
            torch.cuda.synchronize()
            return time.perf_counter()
        return time.process_time()
