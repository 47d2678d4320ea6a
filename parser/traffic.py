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

    def figures(self) -> dict[str, float | None]:
        """One flat object: rates a second, waits in milliseconds (None where nothing was answered), counts."""
        every = np.array(self.waits) * 1000
        done = self.outcomes["200"]
        return {
            "answered": done,
            "refused": self.outcomes["503"],
            "failed": self.outcomes.total() - done - self.outcomes["503"],
            "answered_a_second": done / max(self.seconds, 1e-9),
            **{f"p{share}_ms": float(np.percentile(every, share)) if len(every) else None for share in (50, 95, 99)},
        }


async def send(url: str, utterances: list[str], rate: float, seconds: float, connections: int = 512) -> Load:
    """Send one utterance a request, `rate` requests a second, spread evenly.

    A wait counts from the moment a request was due, so a server that makes us queue is not let off. Requests are
    written by hand on open connections: a client library would need more time than the server. The connection that
    was used last is used first, so that no more are open than are needed; servers close those that idle.

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
    idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def opened() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(parts.hostname, parts.port or 80)

    async def answered(body: bytes) -> str:
        """The status of the answer; a connection that was closed before any of it came is made anew, once."""
        request = head.encode() + str(len(body)).encode() + b"\r\n\r\n" + body
        again = bool(idle)
        reader, writer = idle.pop() if idle else await opened()
        try:
            try:
                writer.write(request)
                answer = await reader.readexactly(1)
            except (OSError, asyncio.IncompleteReadError):
                if not again:
                    raise
                writer.close()
                reader, writer = await opened()
                writer.write(request)
                answer = await reader.readexactly(1)
            answer += await reader.readuntil(b"\r\n\r\n")
            found = re.search(rb"content-length: (\d+)", answer, re.I)
            await reader.readexactly(int(found.group(1)) if found else 0)
        except BaseException:
            writer.close()
            raise
        idle.append((reader, writer))
        return answer[9:12].decode()

    async def connection() -> None:
        while (item := await due.get()) is not None:
            when, body = item
            try:
                status = await answered(body)
            except (OSError, asyncio.IncompleteReadError):
                load.outcomes["failed"] += 1
                continue
            load.outcomes[status] += 1
            if status == "200":
                load.waits.append(time.perf_counter() - when)

    began = time.perf_counter()
    workers = [asyncio.create_task(connection()) for _ in range(connections)]
    for number in range(max(1, int(rate * seconds))):
        when = began + number / rate
        if (early := when - time.perf_counter()) > 0:
            await asyncio.sleep(early)
        due.put_nowait((when, bodies[number % len(bodies)]))
    for _ in workers:
        due.put_nowait(None)
    await asyncio.gather(*workers)
    for _, writer in idle:
        writer.close()
    load.seconds = time.perf_counter() - began
    return load
