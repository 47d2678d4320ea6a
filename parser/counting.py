"""What the server counts, for Prometheus: every answer by its status, and what the parser does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Metrics:
    """What Prometheus reads."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        given: Any = {"registry": self.registry}
        self.requests = Counter("parser_requests", "Requests to parse by outcome.", ["outcome"], **given)
        self.answers = Counter("parser_answers", "Answers of all pages by status.", ["status"], **given)
        self.utterances = Counter("parser_utterances", "Utterances parsed.", **given)
        self.waiting = Gauge("parser_waiting_utterances", "Utterances in the queue.", **given)
        waits = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
        self.seconds = Histogram("parser_request_seconds", "From request to answer.", buckets=waits, **given)
        self.parsing = Histogram("parser_batch_seconds", "Parsing one batch.", buckets=waits, **given)
        self.batch = Histogram(
            "parser_batch_utterances", "Utterances a batch.", buckets=(1, 2, 4, 8, 16, 32, 64, 128), **given
        )


class Answers:
    """Around the application: counts every answer; a request that is cut off when the server stops has one too."""

    def __init__(self, app: ASGIApp, metrics: Metrics, stopping: Callable[[], bool]) -> None:
        self.app, self.metrics, self.stopping = app, metrics, stopping

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        begun = False
        metrics = self.metrics

        def count(status: int, again: bool) -> None:
            metrics.answers.labels(str(status)).inc()
            if scope["path"] == "/parse":
                outcome = "done" if status < 400 else "invalid" if status < 500 else "refused" if again else "failed"
                metrics.requests.labels(outcome).inc()

        async def sends(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                count(message["status"], any(name == b"retry-after" for name, _ in message["headers"]))
            await send(message)

        try:
            await self.app(scope, receive, sends)
        except asyncio.CancelledError:
            if begun or not self.stopping():
                raise
            cut = JSONResponse({"detail": "stopping; there was no time left for this"}, 503, {"Retry-After": "1"})
            await cut(scope, receive, sends)
        except Exception:
            if not begun:
                count(500, False)  # which is sent from further outside
            raise
