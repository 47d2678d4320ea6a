"""One optimizer step: the gradients of its parts, added up, clipped, applied.

A step of a small network is more than a thousand short operations, and giving them to a GPU takes several times as
long as doing them. So on a GPU the step is recorded once for each shape of batches (a CUDA graph) and played back by a
single call. The first batch of a shape is trained on as it comes, which warms everything up, the second is recorded.

`Stepper.gradients` and `Stepper.update` are all that a training loop needs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import torch
from torch import Tensor

from parser.config import Config
from parser.loader import Step
from parser.memory import streams, uncollected
from parser.model import Model
from parser.shapes import Shape, records, unpack
from parser.transfer import parts_of

MOST_RECORDS = 256
"""Shapes that are recorded; batches of any more are trained on as they come."""


class Stepper:
    """A model in training with its optimizer.

    Args:
        model: is moved by `update`.
        config: of the run.
        device: where the model is.
    """

    def __init__(self, model: Model, config: Config, device: str) -> None:
        self.model, self.settings, self.device = model, config.train, device
        self.gpu = device.startswith("cuda")
        self.bf16 = self.gpu and self.settings.bf16
        groups = parts_of(model, self.settings)
        self.optimizer = torch.optim.AdamW(groups, weight_decay=self.settings.weight_decay, fused=True)
        self.parameters = list(model.parameters())  # the walk through all modules is not for every step
        self.forward: Callable[..., Tensor] = torch.compile(model, dynamic=True) if self.settings.compile else model
        self._tape = _Tape(self) if records(config, device) else None

    def gradients(self, step: Step) -> Tensor:
        """Forward and backward of every part; returns the loss, summed over the actions, in nats.

        The gradient is that of the loss over the utterances of the whole step.
        """
        if self._tape:
            return self._tape.gradients(step.lines)
        self.optimizer.zero_grad(set_to_none=True)
        total = torch.zeros((), device=self.device)
        for batch in step.parts:
            total += self.backward(batch.to(self.device), step.utterances)
        return total

    def backward(self, batch: Any, utterances: Tensor | int) -> Tensor:
        """Add the gradient of one batch to what is there; returns its loss."""
        with torch.autocast("cuda", torch.bfloat16, enabled=self.bf16, cache_enabled=self._tape is None):
            loss = self.forward(batch, self.settings.unk)
        (loss / utterances).backward()
        return loss.detach()

    def update(self, rate: float) -> Tensor:
        """Clip the gradient and move the model, at this share of the learning rate; returns the gradient's norm."""
        if self._tape:
            return self._tape.update(rate)
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.lr * rate * group["share"]
            group["capturable"] = False
        return self.move()

    def move(self) -> Tensor:
        """`update` with the rates that the optimizer has."""
        norm = clip(self.parameters, self.settings.clip)
        self.optimizer.step()
        return norm


class _Tape:
    """Steps of a stepper, recorded and played back. Gradients, rates and figures stay where they are in memory."""

    def __init__(self, stepper: Stepper) -> None:
        self.stepper = stepper
        self.record = recorder(stepper.parameters[0].device)
        self.loss, self.norm = (torch.zeros((), device=stepper.device) for _ in range(2))
        self.rates = [torch.zeros((), device=stepper.device) for _ in stepper.optimizer.param_groups]
        trained = [p for p in stepper.parameters if p.requires_grad]
        self.grads = [torch.zeros_like(p) for p in trained]
        for p, grad in zip(trained, self.grads, strict=True):
            p.grad = grad
        self.seen: set[Shape] = set()
        self.records: dict[Shape, tuple[Callable[[], None], Tensor]] = {}
        self.play_move: Callable[[], None] = self._first_move

    def gradients(self, lines: Sequence[tuple[Shape, Tensor]]) -> Tensor:
        self.loss.zero_()
        for shape, line in lines:
            if shape in self.seen and shape not in self.records and len(self.records) < MOST_RECORDS:
                place = torch.empty(len(line), dtype=line.dtype, device=self.stepper.device)
                self.records[shape] = self.record(partial(self._backward, place, shape)), place
            self.seen.add(shape)
            if shape in self.records:
                play, place = self.records[shape]
                place.copy_(line, non_blocking=True)
                play()
            else:
                self._backward(line.to(self.stepper.device, non_blocking=True), shape)
        return self.loss

    def update(self, rate: float) -> Tensor:
        for place, group in zip(self.rates, self.stepper.optimizer.param_groups, strict=True):
            place.fill_(self.stepper.settings.lr * rate * group["share"])
        self.play_move()
        return self.norm

    def _first_move(self) -> None:
        """The optimizer makes its moments now, so this one cannot be recorded; what it was loaded with is put right."""
        for place, group in zip(self.rates, self.stepper.optimizer.param_groups, strict=True):
            group["lr"], group["capturable"] = place, False
        self._move()
        self.play_move = self._second_move

    def _second_move(self) -> None:
        for group in self.stepper.optimizer.param_groups:
            group["capturable"] = True
        self.play_move = self.record(self._move)
        self.play_move()

    def _backward(self, line: Tensor, shape: Shape) -> None:
        self.loss += self.stepper.backward(*unpack(line, shape))

    def _move(self) -> None:
        self.norm.copy_(self.stepper.move())
        torch._foreach_zero_(self.grads)


def recorder(device: torch.device) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """What records some work on a GPU, without doing it, and returns what does it, as often as it is called.

    The thread goes over to a stream of its own, and stays there: nothing can be recorded on the one it starts with.
    """
    torch.cuda.set_device(device)
    torch.cuda.synchronize()
    torch.cuda.set_stream(streams(device)[0])
    pool = torch.cuda.graph_pool_handle()

    def record(work: Callable[[], None]) -> Callable[[], None]:
        graph = torch.cuda.CUDAGraph()
        # A record of an earlier run must not be thrown away meanwhile. Other threads go on: one makes batches in
        # page-locked memory.
        with uncollected():
            graph.capture_begin(pool=pool, capture_error_mode="thread_local")
            try:
                work()
            except BaseException:
                with suppress(RuntimeError):  # the error that counts is the first
                    graph.capture_end()
                raise
            graph.capture_end()
        return graph.replay

    return record


def clip(parameters: Sequence[torch.nn.Parameter], most: float) -> Tensor:
    """Scale the gradient down to a norm of at most `most`; returns the norm that it had.

    On a CPU, where the norm is known at once, most steps are spared a pass over all gradients.
    """
    gradients = [p.grad for p in parameters if p.grad is not None]
    norm = torch.nn.utils.get_total_norm(gradients)
    if norm.device.type != "cpu" or not norm <= most:
        torch.nn.utils.clip_grads_with_norm_(parameters, most, norm)
    return norm
