"""A load for a server: requests at a fixed rate, whether or not answers come, as users send them."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections import Counter
from dataclasses import dataclass, field
from urllib.parse import urlsplit

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


async def send(url: str, utterances: list[str], rate: float, seconds: float, connections: int = 256) -> Load:
    """Send one utterance a request, `rate` requests a second, spread evenly.

    A wait counts from the moment a request was due, so a server that makes us queue is not let off. Requests are
    written by hand on open connections: a client library would need more time than the server.

    Args:
        url: of the server, `http://host:port`.
        utterances: taken in turns.
        rate: requests a second.
        seconds: how long.
        connections: requests under way at most.

    Raises:
        ValueError: it is no such address.
    """
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname:
        raise ValueError(f"`{url}` is no address of the form http://host:port")
    bodies = [json.dumps({"utterances": [text]}).encode() for text in utterances]
    head = f"POST /parse HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\nContent-Length: "
    load, due = Load(), asyncio.Queue[tuple[float, bytes] | None]()

    async def connection() -> None:
        stream: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        while (item := await due.get()) is not None:
            when, body = item
            try:
                stream = stream or await asyncio.open_connection(parts.hostname, parts.port or 80)
                stream[1].write(head.encode() + str(len(body)).encode() + b"\r\n\r\n" + body)
                answer = await stream[0].readuntil(b"\r\n\r\n")
                found = re.search(rb"content-length: (\d+)", answer, re.I)
                await stream[0].readexactly(int(found.group(1)) if found else 0)
            except (OSError, asyncio.IncompleteReadError):
                load.outcomes["failed"] += 1
                stream = None
                continue
            status = answer[9:12].decode()
            load.outcomes[status] += 1
            if status == "200":
                load.waits.append(time.perf_counter() - when)
        if stream is not None:
            stream[1].close()

    began = time.perf_counter()
    workers = [asyncio.create_task(connection()) for _ in range(connections)]
    for number in range(int(rate * seconds)):
        when = began + number / rate
        if (early := when - time.perf_counter()) > 0:
            await asyncio.sleep(early)
        due.put_nowait((when, bodies[number % len(bodies)]))
    for _ in workers:
        due.put_nowait(None)
    await asyncio.gather(*workers)
    load.seconds = time.perf_counter() - began
    return load
