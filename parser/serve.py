"""A parser behind HTTP: requests that come together are parsed together, and too many are refused at once.

    POST /parse     {"utterances": ["play jazz"]} -> {"parses": [{"tree": ..., "score": ..., ...}]}
                    with `confidence` and `abstain` of each parse where the model is calibrated
    GET  /health    200 while it takes requests, 503 while it stops and when the process that parses has died
    GET  /metrics   for Prometheus          GET /docs   the OpenAPI page

One thread hands batches to the parser, which lives in a process of its own (`remote`). Requests wait in a queue of
bounded length; the thread takes what is there, up to `max_batch` utterances, and waits `max_wait` seconds for more when
there is little. A request that finds no room gets 503 with `Retry-After` and costs nothing more, so the load that is
served stays served when more comes. A large request is parsed in parts, in turn with the others, and waits like them:
it is taken where a small one would be. What is asked for at once is limited by words, and the end by a deadline.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any, Protocol

from fastapi import FastAPI, HTTPException, Response
from fastapi.exceptions import RequestValidationError
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, ConfigDict, Field

from parser.bodies import Bodies
from parser.confidence import Confidence
from parser.counting import Answers, Metrics
from parser.decode import Parse
from parser.remote import ParserGone

MOST_UTTERANCES, MOST_CHARACTERS = 256, 2000
"""Of one request, and of one utterance."""
MOST_BYTES = 8 << 20
"""Of a body: what the largest request takes where every character is escaped, and room."""
MOST_WORK, MOST_WORK_AT_ONCE = 8192, 2048
"""Words times `nbest`, of one request, and of one utterance, which is parsed in one go: seconds at the very worst."""
PART = 32
"""Words times `nbest` for each place of a batch: a batch of long utterances has fewer of them."""


class Request(BaseModel):
    """Utterances to parse."""

    model_config = ConfigDict(extra="forbid")  # a misspelt setting is told, not left out
    utterances: Annotated[
        list[Annotated[str, Field(max_length=MOST_CHARACTERS)]], Field(min_length=1, max_length=MOST_UTTERANCES)
    ] = Field(
        examples=[["play jazz", "add apples and oranges to my list"]],
        description=f"Their words times `nbest` are at most {MOST_WORK:,}, and {MOST_WORK_AT_ONCE:,} of one utterance.",
    )
    nbest: Annotated[int, Field(ge=1, le=16, description="Trees for each utterance; above 1 a beam is searched.")] = 1


class Tree(BaseModel):
    """One tree."""

    tree: str = Field(description="Bracketed, in canonical form.")
    positions: list[int] = Field(description="For each leaf, the word of the utterance it was copied from; -1: none.")
    score: float = Field(description="Log-probability, in nats.")


class Parsed(Tree):
    """The best tree of one utterance."""

    utterance: str
    words: list[str]
    nbest: list[Tree] = Field(
        default=[], description="The best trees, each once, best first, where more than one was asked for."
    )
    confidence: float | None = Field(
        default=None, description="The chance that the tree is right; left out where the model is not calibrated."
    )
    abstain: bool | None = Field(
        default=None,
        description="Whether the confidence is below the model's threshold, so the tree should not be used; left out "
        "where the model is not calibrated.",
    )


class Answer(BaseModel):
    """Parses in the order of the request."""

    parses: list[Parsed]


class Speaks(Protocol):
    """What is asked of a parser: `parser.Parser` and `remote.Remote` have it; `alive` and `kill` are used too."""

    def words(self, utterance: str, number: int = 1) -> list[str]: ...

    def parse_many(self, utterances: list[list[str]], batch_size: int = 128, beam: int = 1) -> list[Parse]: ...


class Full(Exception):
    """The queue has no room, or the server stops; the message says which."""


@dataclass(slots=True)
class _Job:
    utterances: list[list[str]]
    nbest: int
    answer: asyncio.Future[list[Parse]]
    loop: asyncio.AbstractEventLoop
    done: list[Parse] = field(default_factory=list)
    came: float = field(default_factory=time.monotonic)


class Batcher:
    """The queue and the thread that parses.

    Args:
        parser: a loaded model, here or in another process.
        max_batch: utterances parsed together.
        max_wait: seconds that a lone request waits for company.
        max_queue: when so many utterances wait, more requests are refused.
        patience: seconds in which what waits is parsed when the server stops; then the parser is killed.
    """

    def __init__(
        self,
        parser: Speaks,
        max_batch: int = 32,
        max_wait: float = 0.002,
        max_queue: int = 256,
        patience: float = 20.0,
    ) -> None:
        self.parser, self.max_batch, self.max_wait, self.max_queue = parser, max_batch, max_wait, max_queue
        self.patience = patience
        self.metrics = Metrics()
        self.waiting = 0  # utterances in the queue
        self.stopping = False
        self._jobs: deque[_Job] = deque()
        self._parsing: list[_Job] = []
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="parser", daemon=True)

    def start(self) -> None:
        """Begin to parse."""
        self._thread.start()

    def stop(self) -> None:
        """Take nothing more, finish what waits, and return when it is done or the time for it is over."""
        with self._changed:
            self.stopping = True
            self._changed.notify_all()
        self._thread.join(self.patience)
        if not self._thread.is_alive():
            return
        with self._changed:
            late = [*self._parsing, *self._jobs]
            self._waits(-sum(len(job.utterances) - len(job.done) for job in self._jobs))
            self._jobs.clear()
        for job in late:
            _tell(job, Full("stopping; there was no time left for this"))
        if kill := getattr(self.parser, "kill", None):
            kill()
            self._thread.join(self.patience)  # it is told at once

    async def parse(self, utterances: list[list[str]], nbest: int) -> list[Parse]:
        """Parse some utterances with others.

        Raises:
            Full: there is no room, or the server stops.
        """
        loop = asyncio.get_running_loop()
        job = _Job(utterances, nbest, loop.create_future(), loop)
        with self._changed:
            if self.stopping:
                raise Full("stopping; come again")
            if self.waiting >= self.max_queue:
                raise Full("the queue is full; come again")
            self._jobs.append(job)
            self._waits(len(utterances))
            self._changed.notify()
        return await job.answer

    def _waits(self, more: int) -> None:
        """Count utterances that wait; under the lock."""
        self.waiting += more
        self.metrics.waiting.set(self.waiting)

    def _work(self) -> None:
        while parts := self._take():
            began = time.perf_counter()
            together = [words for _, part in parts for words in part]
            try:
                parses = self.parser.parse_many(together, self.max_batch, beam=parts[0][0].nbest)
            except BaseException as error:
                with self._changed:
                    self._parsing = []
                    self._waits(-sum(len(job.utterances) - len(job.done) - len(part) for job, part in parts))
                for job, _ in parts:
                    _tell(job, error)
                continue
            self.metrics.batch.observe(len(together))
            self.metrics.parsing.observe(time.perf_counter() - began)
            at = 0
            for job, part in parts:
                job.done += parses[at : at + len(part)]
                at += len(part)
            with self._changed:
                self._parsing = []  # what is not finished waits behind those that have come meanwhile
                self._jobs.extend(job for job, _ in parts if len(job.done) < len(job.utterances))
            for job, _ in parts:
                if len(job.done) == len(job.utterances):
                    _tell(job, job.done)

    def _take(self) -> list[tuple[_Job, list[list[str]]]]:
        """Jobs of one beam width, and what to parse of each; none at the end.

        They are whole and fill a batch at most, unless the first alone is larger: then it is a part of that.
        """
        with self._changed:
            while not self._jobs:
                if self.stopping:
                    return []
                self._changed.wait()
            ends = self._jobs[0].came + self.max_wait
            while self.waiting < self.max_batch and not self.stopping and (left := ends - time.monotonic()) > 0:
                self._changed.wait(left)
            parts: list[tuple[_Job, list[list[str]]]] = []
            size = work = 0
            while self._jobs:
                job = self._jobs[0]
                left_over = job.utterances[len(job.done) :]
                part: list[list[str]] = []
                for words in left_over:
                    more = len(words) * job.nbest
                    if size and (size == self.max_batch or work + more > PART * self.max_batch):
                        break
                    part.append(words)
                    size, work = size + 1, work + more
                if parts and (len(part) < len(left_over) or job.nbest != parts[0][0].nbest):
                    size -= len(part)
                    break
                parts.append((self._jobs.popleft(), part))
            self._waits(-size)
            self._parsing = [job for job, _ in parts]
            return parts


def _tell(job: _Job, result: list[Parse] | BaseException) -> None:
    def set_it() -> None:
        if job.answer.done():  # whoever asked has gone
            return
        if isinstance(result, BaseException):
            job.answer.set_exception(result)
        else:
            job.answer.set_result(result)

    job.loop.call_soon_threadsafe(set_it)


def application(parser: Speaks, batcher: Batcher, name: str = "", confidence: Confidence | None = None) -> FastAPI:
    """The web application around a batcher; starting and stopping it starts and stops the thread.

    Args:
        parser: splits utterances into words, and says whether it is alive.
        batcher: parses them.
        name: of the model.
        confidence: of the model, if it is calibrated.
    """

    @asynccontextmanager
    async def alive(app: FastAPI) -> AsyncIterator[None]:
        batcher.start()
        yield
        await asyncio.to_thread(batcher.stop)

    app = FastAPI(
        title="treewright parser",
        description="Semantic trees of utterances. Bodies of 503 mean: come again after `Retry-After` seconds.",
        lifespan=alive,
    )
    app.add_middleware(Bodies, most=MOST_BYTES)
    app.add_middleware(Answers, metrics=batcher.metrics, stopping=lambda: batcher.stopping)
    metrics = batcher.metrics
    why = "The queue is full, the server stops, or the process that parses has ended."
    refused: dict[int | str, dict[str, Any]] = {503: {"description": why}}
    limit = f"{MOST_WORK:,} words times nbest, {MOST_WORK_AT_ONCE:,} of one utterance"

    @app.post("/parse", response_model=Answer, responses=refused)
    async def parse(request: Request) -> Response:
        """Parse utterances; the answer is in their order."""
        began = time.perf_counter()
        utterances = []
        for number, text in enumerate(request.utterances, 1):
            try:
                utterances.append(parser.words(text, number))
            except ValueError as error:
                raise HTTPException(422, f"{error}; leave it out") from error
        lengths = [len(words) * request.nbest for words in utterances]
        if sum(lengths) > MOST_WORK or max(lengths) > MOST_WORK_AT_ONCE:
            raise HTTPException(422, f"a request has at most {limit}: send fewer or shorter ones, or a lower nbest")
        try:
            parses = await batcher.parse(utterances, request.nbest)
        except Full as error:
            raise HTTPException(503, str(error), headers={"Retry-After": "1"}) from None
        except ParserGone as error:
            raise HTTPException(503, str(error)) from error
        metrics.utterances.inc(len(parses))
        metrics.seconds.observe(time.perf_counter() - began)
        # Written as it is: to check our own answer against its schema costs as much as to parse it.
        rows = [_parsed(t, p, request.nbest, confidence) for t, p in zip(request.utterances, parses, strict=True)]
        return Response(json.dumps({"parses": rows}, ensure_ascii=False), media_type="application/json")

    @app.exception_handler(RequestValidationError)
    async def invalid(_: object, error: RequestValidationError) -> Response:
        """Why a request was refused, in ASCII and without the request: not all that was sent can be sent back."""
        detail = [{"type": e["type"], "loc": e["loc"], "msg": _reason(e)} for e in error.errors()[:10]]
        return Response(json.dumps({"detail": detail}), 422, media_type="application/json")

    @app.get("/health", responses=refused)
    async def health() -> dict[str, str | int]:
        """Whether it takes requests and can parse."""
        if batcher.stopping:
            raise HTTPException(503, "stopping")
        if not getattr(parser, "alive", True):
            raise HTTPException(503, "the process that parses has ended")
        return {"status": "ok", "model": name, "waiting": batcher.waiting}

    @app.get("/metrics", response_class=Response)
    async def numbers() -> Response:
        """Counters and histograms in the text form of Prometheus."""
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    return app


def _reason(error: dict[str, Any]) -> str:
    """What is wrong, and for broken JSON what the reader of JSON says."""
    more = error.get("ctx", {}).get("error", "") if error["type"] == "json_invalid" else ""
    return f"{error['msg']}: {more}" if more else error["msg"]


def _parsed(text: str, parse: Parse, nbest: int, confidence: Confidence | None) -> dict[str, Any]:
    """The fields of `Parsed`."""
    several = [_tree(p) for p in (parse, *parse.others)][:nbest] if nbest > 1 else []
    row = {**_tree(parse), "utterance": text, "words": parse.words, "nbest": several}
    if confidence is not None:
        row |= {"confidence": round(confidence.of(parse), 4), "abstain": confidence.abstains(parse)}
    return row


def _tree(parse: Parse) -> dict[str, Any]:
    """The fields of `Tree`."""
    return {"tree": str(parse.tree), "positions": parse.positions, "score": parse.score}
