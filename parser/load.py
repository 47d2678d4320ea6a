"""A load for a server: requests at a fixed rate, whether or not answers come, as users send them."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field

import httpx
import numpy as np


@dataclass(slots=True)
class Load:
    """What a run of requests met.

    Attributes:
        seconds: from the first request to the last answer.
        waits: seconds that each answered request took.
        outcomes: answers by status; `failed` where there was none.
    """

    seconds: float = 0.0
    waits: list[float] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)

    def figures(self) -> dict[str, float]:
        """One flat object: rates a second, waits in milliseconds, counts."""
        every = np.array(self.waits or [np.nan]) * 1000
        done = self.outcomes["200"]
        return {
            "answered": done,
            "refused": self.outcomes["503"],
            "failed": self.outcomes.total() - done - self.outcomes["503"],
            "answered_a_second": done / max(self.seconds, 1e-9),
            **{f"p{share}_ms": float(np.percentile(every, share)) for share in (50, 95, 99)},
        }


async def send(url: str, utterances: list[str], rate: float, seconds: float) -> Load:
    """Send one utterance a request, `rate` requests a second, spread evenly.

    Args:
        url: of the server, without a path.
        utterances: taken in turns.
        rate: requests a second.
        seconds: how long.
    """
    load = Load()
    limits = httpx.Limits(max_connections=256, max_keepalive_connections=256)
    async with httpx.AsyncClient(base_url=url, timeout=30, limits=limits) as client:

        async def one(text: str) -> None:
            began = time.perf_counter()
            try:
                answer = await client.post("/parse", json={"utterances": [text]})
            except httpx.HTTPError:
                load.outcomes["failed"] += 1
                return
            load.outcomes[str(answer.status_code)] += 1
            if answer.status_code == 200:
                load.waits.append(time.perf_counter() - began)

        began = time.perf_counter()
        running: set[asyncio.Task[None]] = set()
        for number in range(int(rate * seconds)):
            if (early := began + number / rate - time.perf_counter()) > 0:
                await asyncio.sleep(early)
            task = asyncio.create_task(one(utterances[number % len(utterances)]))
            running.add(task)
            task.add_done_callback(running.discard)
        await asyncio.gather(*running)
        load.seconds = time.perf_counter() - began
    return load
