"""Data parallel training under `torchrun`: every process takes its share of each step, gradients are added up.

The whole gradient travels in one piece with the loss and a wish to stop, so the processes always agree on
both, and each step is the same as one process would have taken, up to rounding and to what dropout draws.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


class Group:
    """The processes of a run; a single one where `torchrun` is not used."""

    def __init__(self, device: str) -> None:
        self.world = int(os.environ.get("WORLD_SIZE", "1"))
        self.rank = int(os.environ.get("RANK", "0"))
        self.device = device
        if self.world == 1:
            return
        if device.startswith("cuda"):
            self.device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
            torch.cuda.set_device(self.device)
        # The others wait while the first one counts a large data set or tries the model on dev.
        dist.init_process_group("nccl" if device.startswith("cuda") else "gloo", timeout=timedelta(hours=6))

    @property
    def first(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    def share(self, value: Any) -> Any:
        """The first process's value, in every process."""
        if self.world == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0, device=torch.device(self.device))
        return box[0]

    def add_up(self, parameters: Iterable[nn.Parameter], numbers: Tensor) -> Tensor:
        """Sum the gradients over all processes, in place; returns the sums of some numbers too."""
        if self.world == 1:
            return numbers
        mine = list(parameters)
        for p in mine:
            if p.grad is None:  # a process whose share of a small step is empty
                p.grad = torch.zeros_like(p)
        grads = [p.grad for p in mine if p.grad is not None]
        flat = torch.cat([*(g.flatten() for g in grads), numbers.to(grads[0].dtype)])
        dist.all_reduce(flat)
        sizes = [g.numel() for g in grads]
        for grad, part in zip(grads, flat.split([*sizes, len(numbers)]), strict=False):
            grad.copy_(part.view_as(grad))
        return flat[-len(numbers) :]

    def wait(self) -> None:
        """Until every process is here."""
        if self.world > 1:
            dist.barrier()

    def leave(self) -> None:
        """End the group."""
        if self.world > 1 and dist.is_initialized():
            dist.destroy_process_group()
