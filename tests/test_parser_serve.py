"""The server: the same trees as the library, refusals when full, a clean end."""

from __future__ import annotations

import asyncio
import gc
import json
import multiprocessing
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import jsonschema
import pytest
from parsing import tiny, world, write_shards
from typer.testing import CliRunner

from parser import Parser
from parser.__main__ import app as commands
from parser.confidence import Confidence
from parser.memory import settled
from parser.remote import ParserGone, Remote
from parser.serve import MOST_BYTES, MOST_CHARACTERS, MOST_UTTERANCES, Batcher, Full, application
from parser.traffic import send
from parser.train import train


@pytest.fixture(scope="module")
def ready():
    setup, model, _, _ = world(20)
    return Parser(setup, model)


class Gate:
    """A parser that waits until it is told to go on."""

    def __init__(self, parser: Parser) -> None:
        self.parser, self.open = parser, threading.Event()
        self.words = parser.words
        self.sizes: list[int] = []
        self.begun: list[list[str]] = []
        self.dead = False

    def kill(self) -> None:
        self.dead = True
        self.open.set()

    def parse_many(self, utterances, batch_size=128, beam=1):
        self.begun.append(utterances[0])
        self.open.wait(20)
        if self.dead:
            raise ParserGone("killed")
        self.sizes.append(len(utterances))
        return self.parser.parse_many(utterances, batch_size, beam)


async def serving(parser, work, confidence=None, **settings):
    """Run `work(client, batcher)` against the application, in this process."""
    batcher = Batcher(parser, **settings)
    made = application(parser, batcher, "m", confidence)
    async with made.router.lifespan_context(made):
        transport = httpx.ASGITransport(made)
        async with httpx.AsyncClient(transport=transport, base_url="http://test", timeout=30) as client:
            return await work(client, batcher)


def test_answers_are_the_librarys(ready):
    texts = ["play jazz", "add figs", "play something"]

    async def work(client, batcher):
        many = await client.post("/parse", json={"utterances": texts})
        best = await client.post("/parse", json={"utterances": texts[:1], "nbest": 3})
        return many.json(), best.json(), await client.get("/metrics"), (await client.get("/openapi.json")).json()

    many, best, metrics, page = asyncio.run(serving(ready, work))
    for row, want in zip(many["parses"], ready.parse_many(texts), strict=True):
        assert (row["tree"], row["positions"]) == (str(want.tree), want.positions)
        assert row["score"] == pytest.approx(want.score, abs=1e-3)
        assert row["nbest"] == []
    assert len(best["parses"][0]["nbest"]) == 3
    assert re.search(r'parser_requests_total\{outcome="done"\} 2\.0', metrics.text)
    assert "/parse" in page["paths"]
    assert {"confidence", "abstain"}.isdisjoint(many["parses"][0])


def test_a_calibrated_model_says_how_sure_it_is(ready):
    parses = ready.parse_many(["play jazz", "add figs"])
    low, high = sorted(Confidence(2.0).of(parse) for parse in parses)
    sure = Confidence(2.0, threshold=(low + high) / 2)

    async def work(client, batcher):
        answer = await client.post("/parse", json={"utterances": ["play jazz", "add figs"]})
        return answer.json()["parses"], (await client.get("/openapi.json")).json()["components"]["schemas"]["Parsed"]

    rows, schema = asyncio.run(serving(ready, work, confidence=sure))
    assert [row["confidence"] for row in rows] == pytest.approx([sure.of(parse) for parse in parses], abs=1e-3)
    assert [row["abstain"] for row in rows] == [sure.abstains(parse) for parse in parses]
    assert {row["abstain"] for row in rows} == {True, False}
    for row in rows:
        jsonschema.validate(row, schema | {"$defs": {}, "properties": schema["properties"] | {"nbest": {}}})
    assert all("not calibrated" in schema["properties"][name]["description"] for name in ("confidence", "abstain"))


@pytest.mark.parametrize("body", [{}, {"utterances": []}, {"utterances": [" "]}, {"utterances": ["a"], "nbest": 99}])
def test_bad_requests_are_told_why(ready, body):
    async def work(client, batcher):
        return await client.post("/parse", json=body)

    answer = asyncio.run(serving(ready, work))
    assert answer.status_code == 422
    assert answer.json()["detail"]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (rb'{"utterances": ["play \ud800 jazz"]}', "valid string"),
        (rb'{"utterances": ["play jazz"], "\ud800": 1}', "valid string"),
        (b'{"utterances": ["play jazz"], "n_best": 3}', "Extra inputs are not permitted"),
        (b'{"utterances": ["play jazz"', "JSON decode error: Expecting"),
    ],
)
def test_a_request_that_cannot_be_read_is_told_why_and_not_sent_back(ready, body, reason):
    async def work(client, batcher):
        return await client.post("/parse", content=body, headers={"Content-Type": "application/json"})

    answer = asyncio.run(serving(ready, work))
    assert answer.status_code == 422
    (why,) = answer.json()["detail"]
    assert reason in why["msg"]
    assert why["loc"][0] == "body"
    assert set(why) == {"type", "loc", "msg"}


def test_a_body_that_is_too_large_is_refused_while_it_comes(ready):
    sent = 0

    async def chunks():
        nonlocal sent
        yield b'{"utterances": ["'
        while True:  # the end never comes
            sent += 1 << 20
            yield b"a" * (1 << 20)

    async def work(client, batcher):
        client.headers["Content-Type"] = "application/json"
        told = await client.post("/parse", content=b" " * (MOST_BYTES + 1))
        untold = await client.post("/parse", content=chunks())
        largest = {"utterances": ["\N{MATHEMATICAL SCRIPT CAPITAL A}" * MOST_CHARACTERS] * MOST_UTTERANCES}
        fits = await client.post("/parse", content=json.dumps(largest))
        return told, untold, fits, (await client.get("/metrics")).text

    told, untold, fits, metrics = asyncio.run(serving(ready, work))
    for answer in (told, untold):
        assert answer.status_code == 413
        assert answer.json() == {"detail": "a body has at most 8,388,608 bytes; send fewer utterances at a time"}
    assert sent <= MOST_BYTES + (1 << 20)
    assert fits.status_code == 200
    assert 'parser_requests_total{outcome="invalid"} 2.0' in metrics


def test_requests_that_come_together_are_parsed_together(ready):
    gate = Gate(ready)

    async def work(client, batcher):
        asked = [asyncio.create_task(client.post("/parse", json={"utterances": ["play jazz"]})) for _ in range(9)]
        await asyncio.sleep(0.2)
        gate.open.set()
        return [answer.status_code for answer in await asyncio.gather(*asked)]

    assert asyncio.run(serving(gate, work, max_wait=0.05, max_batch=16)) == [200] * 9
    assert sum(gate.sizes) == 9
    assert len(gate.sizes) <= 2


def test_a_full_queue_refuses_and_what_waits_is_answered(ready):
    gate = Gate(ready)

    async def work(client, batcher):
        asked = []
        for _ in range(12):
            asked.append(asyncio.create_task(client.post("/parse", json={"utterances": ["play jazz"] * 2})))
            await asyncio.sleep(0.02)
        health = await client.get("/health")
        gate.open.set()
        return await asyncio.gather(*asked), health.json()

    answers, health = asyncio.run(serving(gate, work, max_wait=0.0, max_batch=4, max_queue=8))
    codes = [answer.status_code for answer in answers]
    assert set(codes) == {200, 503}
    assert codes.count(200) >= 4
    assert {a.headers["Retry-After"] for a in answers if a.status_code == 503} == {"1"}
    assert health["waiting"] == 8


def test_stopping_answers_what_waits(ready):
    gate = Gate(ready)

    async def work(client, batcher):
        asked = asyncio.create_task(client.post("/parse", json={"utterances": ["play jazz"]}))
        await asyncio.sleep(0.1)
        stopping = asyncio.create_task(asyncio.to_thread(batcher.stop))
        await asyncio.sleep(0.1)
        late = await client.post("/parse", json={"utterances": ["play jazz"]})
        ill = await client.get("/health")
        gate.open.set()
        await stopping
        return (await asked).status_code, late.status_code, ill.status_code

    assert asyncio.run(serving(gate, work)) == (200, 503, 503)


def test_every_answer_is_counted(ready):
    class Broken(Gate):
        def parse_many(self, utterances, batch_size=128, beam=1):
            if beam == 2:
                raise RuntimeError("a bug")
            raise ParserGone("has ended")

    async def work(client, batcher):
        for body in (b"{", b'{"utterances": []}', b'{"utterances": [" "]}', b'{"utterances": ["a"]}'):
            await client.post("/parse", content=body, headers={"Content-Type": "application/json"})
        with pytest.raises(RuntimeError, match="a bug"):  # the server makes a 500 of it
            await client.post("/parse", json={**many(1), "nbest": 2})
        await client.get("/parse")
        await client.get("/nowhere")
        batcher.stopping = True
        await client.post("/parse", json=many(1))
        return (await client.get("/metrics")).text

    page = asyncio.run(serving(Broken(ready), work))
    outcomes = dict(re.findall(r'parser_requests_total\{outcome="(\w+)"\} (\d+)', page))
    assert outcomes == {"invalid": "4", "failed": "2", "refused": "1"}
    answers = dict(re.findall(r'parser_answers_total\{status="(\d+)"\} (\d+)', page))
    assert answers == {"422": "3", "503": "2", "500": "1", "405": "1", "404": "1"}


def many(count: int, text: str = "play jazz") -> dict[str, list[str]]:
    return {"utterances": [text] * count}


def test_a_large_request_is_parsed_in_turn_with_others_and_in_order(ready):
    gate = Gate(ready)
    texts = ["play jazz", "add figs", "play something"] * 7

    async def work(client, batcher):
        large = asyncio.create_task(client.post("/parse", json={"utterances": texts}))
        await asyncio.sleep(0.1)
        small = asyncio.create_task(client.post("/parse", json={"utterances": ["add jazz"]}))
        await asyncio.sleep(0.1)
        waiting = batcher.waiting
        gate.open.set()
        return (await large).json(), (await small).json(), waiting, batcher.waiting

    large, small, before, after = asyncio.run(serving(gate, work, max_wait=0.0, max_batch=8))
    assert [row["utterance"] for row in large["parses"]] == texts
    assert [row["words"] for row in large["parses"]] == [text.split() for text in texts]
    assert small["parses"][0]["utterance"] == "add jazz"
    assert gate.begun[1] == ["add", "jazz"]  # after the first part of the large one, before the rest of it
    assert gate.sizes == [8, 1, 8, 5]
    assert (before, after) == (14, 0)


def test_a_part_of_long_utterances_has_fewer_of_them(ready):
    gate = Gate(ready)
    gate.open.set()

    async def work(client, batcher):
        return await client.post("/parse", json={**many(4, "play jazz " * 50), "nbest": 2})

    answer = asyncio.run(serving(gate, work, max_batch=16))
    assert answer.status_code == 200
    assert gate.sizes == [2, 2]  # 2 x 100 words x 2 trees of 16 x 32


def test_large_requests_are_taken_where_small_ones_are(ready):
    """They had to find the whole queue empty, which under load it never is."""
    gate = Gate(ready)

    async def work(client, batcher):
        asked = []
        for count in (1, 4, 40, 1):
            asked.append(asyncio.create_task(client.post("/parse", json=many(count))))
            await asyncio.sleep(0.05)
        gate.open.set()
        return await asyncio.gather(*asked)

    answers = asyncio.run(serving(gate, work, max_wait=0.0, max_batch=4, max_queue=8))
    assert [answer.status_code for answer in answers] == [200, 200, 200, 503]
    assert answers[-1].json()["detail"] == "the queue is full; come again"
    assert len(answers[2].json()["parses"]) == 40


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (many(256, "play jazz " * 16), 200),
        (many(256, "play jazz " * 17), 422),
        ({**many(1, "a " * 128), "nbest": 16}, 200),
        ({**many(1, "a " * 129), "nbest": 16}, 422),
    ],
)
def test_a_request_is_limited_by_words_times_trees(ready, body, code):
    one = ready.parse("play jazz")

    class Same:
        def words(self, text, number=1):
            return text.split()

        def parse_many(self, utterances, batch_size=128, beam=1):
            return [one] * len(utterances)

    async def work(client, batcher):
        return await client.post("/parse", json=body), (await client.get("/openapi.json")).text

    answer, page = asyncio.run(serving(Same(), work))
    assert answer.status_code == code
    assert code == 200 or "8,192 words times nbest, 2,048 of one utterance" in answer.json()["detail"]
    assert "words times `nbest` are at most 8,192, and 2,048 of one utterance" in page


def test_a_part_that_fails_fails_its_request_and_leaves_the_others(ready):
    gate = Gate(ready)

    async def work(client, batcher):
        large = asyncio.create_task(client.post("/parse", json=many(20)))
        await asyncio.sleep(0.1)
        gate.kill()
        answer = await large
        gate.dead = False
        return answer.status_code, batcher.waiting, (await client.post("/parse", json=many(1))).status_code

    assert asyncio.run(serving(gate, work, max_batch=8)) == (503, 0, 200)


def test_what_is_not_parsed_in_time_at_the_end_is_told_so(ready):
    gate = Gate(ready)

    async def work(client, batcher):
        asked = [asyncio.create_task(client.post("/parse", json=many(count))) for count in (20, 1)]
        await asyncio.sleep(0.1)
        stopping = asyncio.create_task(asyncio.to_thread(batcher.stop))
        await asyncio.sleep(0.1)
        late = await client.post("/parse", json=many(1))
        began = time.monotonic()
        answers = await asyncio.gather(*asked)
        await stopping
        return [*answers, late], time.monotonic() - began, batcher.waiting

    answers, took, waiting = asyncio.run(serving(gate, work, max_batch=8, patience=0.5))
    assert [answer.status_code for answer in answers] == [503] * 3
    assert [answer.json()["detail"] for answer in answers] == ["stopping; there was no time left for this"] * 2 + [
        "stopping; come again"
    ]
    assert gate.dead
    assert took < 5
    assert waiting == 0


def test_a_request_that_the_server_cuts_off_at_the_end_is_answered(ready):
    batcher = Batcher(Gate(ready))
    sent = []

    async def work():
        async def never():
            await asyncio.sleep(60)

        async def send(message):
            sent.append(message)

        headers = [(b"content-type", b"application/json")]
        scope = {"type": "http", "method": "POST", "path": "/parse", "headers": headers, "query_string": b""}
        asked = asyncio.create_task(application(ready, batcher)(scope, never, send))
        await asyncio.sleep(0.1)
        batcher.stopping = True
        asked.cancel()
        await asked

    asyncio.run(work())
    assert sent[0]["status"] == 503
    assert b"stopping" in sent[1]["body"]


def test_what_is_loaded_is_left_out_of_the_search_for_garbage():
    loaded = [[]]

    def searched() -> bool:
        return any(each is loaded[0] for each in gc.get_objects())

    with settled():
        inside, fresh = searched(), [[]]
        assert any(each is fresh[0] for each in gc.get_objects())
    assert (inside, searched()) == (False, True)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    train(write_shards(folder / "s"), folder / "m", tiny())
    return folder / "m"


def test_health_fails_when_the_parser_has_died(trained):
    remote = Remote(trained, "cpu", 1)

    async def work(client, batcher):
        alive = await client.get("/health"), await client.post("/parse", json={"utterances": ["play jazz"]})
        remote.process.kill()
        remote.process.join(30)
        return alive, await client.get("/health"), await client.post("/parse", json={"utterances": ["play jazz"]})

    alive, health, answer = asyncio.run(serving(remote, work))
    remote.close()
    assert [one.status_code for one in alive] == [200, 200]
    assert (health.status_code, answer.status_code) == (503, 503)
    assert "has ended" in health.json()["detail"]
    with pytest.raises(ParserGone, match="start the server anew"):
        remote.parse_many([["play", "jazz"]])


def test_a_port_that_is_taken_is_told_before_anything_starts(trained):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        done = CliRunner().invoke(commands, ["serve", "--model", str(trained), "--port", port, "--device", "cpu"])
    assert done.exit_code == 2
    assert f"error: cannot listen on port {port} of 127.0.0.1 (Address already in use)" in done.stderr
    assert "another --port" in done.stderr
    assert "serving" not in done.stderr
    assert not multiprocessing.active_children()


def test_a_port_is_a_port(trained):
    assert CliRunner().invoke(commands, ["serve", "--model", str(trained), "--port", "99999"]).exit_code == 2


def test_a_parser_that_nobody_closed_ends_with_its_parent(trained):
    """The child takes no signal, so without its pipe closed the parent waited for it without end."""
    code = f"from parser.remote import Remote; kept = Remote({str(trained)!r}, 'cpu', 1); raise SystemExit(3)"
    program = f"if __name__ == '__main__':\n    {code}\n"
    path = trained.parent / "unclosed.py"
    path.write_text(program)
    here = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    call = subprocess.Popen([sys.executable, str(path)], env=here)
    try:
        assert call.wait(120) == 3
    finally:
        call.kill()


def test_a_load_uses_few_connections_and_makes_those_anew_that_the_server_closed():
    """A server that closes a connection after two answers, and after the third of all in the middle of an answer."""
    connections, asked = 0, 0

    async def answer(reader, writer):
        nonlocal connections, asked
        connections += 1
        for _ in range(2):
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(re.search(rb"Content-Length: (\d+)", head).group(1)))
            asked += 1
            whole = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
            writer.write(whole if asked != 3 else whole[:20])
            if asked == 3:
                break
        writer.close()

    async def work():
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            return await send(f"http://127.0.0.1:{port}", ["play jazz"], rate=10, seconds=1)

    load = asyncio.run(work())
    assert load.outcomes == {"200": 9, "failed": 1}  # what was answered in part is not asked again
    assert asked == 10
    assert connections == 6


def test_a_short_load_is_one_request_and_no_answer_is_no_number():
    async def refuse(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n")

    async def work():
        async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            return await send(f"http://127.0.0.1:{port}", ["play jazz"], rate=0.05, seconds=1)

    figures = asyncio.run(work()).figures()
    assert figures["refused"] == 1 and figures["answered"] == 0 and figures["p99_ms"] is None


def test_the_parser_is_killed_when_it_parses_beyond_the_deadline(trained):
    remote = Remote(trained, "cpu", 1)

    async def work(client, batcher):
        asked = asyncio.create_task(batcher.parse([["a"] * 1000] * 200, 16))  # minutes of work
        await asyncio.sleep(0.5)
        await asyncio.to_thread(batcher.stop)
        with pytest.raises(Full, match="no time left"):
            await asked
        remote.process.join(30)
        return remote.alive

    assert asyncio.run(serving(remote, work, patience=0.5)) is False
    remote.close()


def test_the_command_serves_under_load_and_ends_on_sigterm(trained, tmp_path):
    call = [sys.executable, "-m", "parser", "serve", "--model", str(trained), "--port", "0", "--device", "cpu"]
    server = subprocess.Popen(call, stderr=subprocess.PIPE, text=True)
    assert server.stderr is not None
    try:
        said = re.match(r"serving .* on (http://127\.0\.0\.1:\d+), API page at /docs\n", server.stderr.readline())
        assert said
        url = said.group(1)
        assert httpx.get(f"{url}/health").status_code == 200  # it says so when it takes requests, no sooner
        requests = tmp_path / "requests.txt"
        requests.write_text("play jazz\nadd figs\n")
        arguments = ["load-test", "--url", url, "--file", str(requests), "--rate", "50", "--seconds", "1", "--json"]
        done = CliRunner().invoke(commands, arguments)
        figures = json.loads(done.stdout)
        load = asyncio.run(send(url, ["play jazz"], rate=30, seconds=0.5))
    finally:
        server.send_signal(signal.SIGTERM)
        _, said = server.communicate(timeout=60)

    assert done.exit_code == 0
    assert figures["answered"] == 50
    assert load.outcomes == {"200": 15}
    assert server.returncode == 0, said
    assert "Traceback" not in said
