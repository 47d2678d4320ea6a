"""`python -m parser serve`."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Annotated

import typer

from parser.commands import door
from parser.commands.door import Device, Threads


def serve(
    model: Annotated[Path, typer.Option(help="A model or ensemble.")],
    host: Annotated[str, typer.Option(help="The address to listen on; 0.0.0.0 is all of them.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port; 0 takes a free one.", min=0, max=65535)] = 8000,
    max_batch: Annotated[int, typer.Option(help="Utterances parsed together.")] = 32,
    max_wait_ms: Annotated[float, typer.Option(help="Milliseconds that a lone request waits for company.")] = 2.0,
    max_queue: Annotated[int, typer.Option(help="When so many utterances wait, more are refused with 503.")] = 256,
    domain: Annotated[str, typer.Option(help="The domain of the utterances, for a model over several.")] = "",
    device: Device = "auto",
    threads: Threads = 1,
) -> None:
    """Answer requests over HTTP: POST /parse, GET /health, GET /metrics, GET /docs.

    Example: python -m parser serve --model runs/snips --port 8000

    Then: curl -s localhost:8000/parse --json '{"utterances": ["play jazz"]}'

    SIGTERM and Ctrl-C take no more requests, finish those that wait, and end with code 0. What is not parsed after
    20 seconds gets 503.
    """
    with door.failures():
        from parser.config import ConfigError

        try:
            import uvicorn

            from parser.listening import Server, taken
            from parser.memory import settled
            from parser.remote import Remote
            from parser.serve import Batcher, application
        except ImportError as error:
            raise ConfigError(f"the server needs {error.name}: pip install 'treewright[serve]'") from error
        if max_batch < 1 or max_queue < 1 or max_wait_ms < 0:
            raise ConfigError("--max-batch and --max-queue must be at least 1, --max-wait-ms at least 0")
        sockets = taken(host, port)
        port = sockets[0].getsockname()[1]
        ready = Remote(model, door.device(device, threads), threads, domain or None)
        try:
            batcher = Batcher(ready, max_batch, max_wait_ms / 1000, max_queue)
            settings = uvicorn.Config(
                application(ready, batcher, str(model), ready.local.confidence),
                host=host,
                port=port,
                log_level="warning",
                access_log=False,
                timeout_graceful_shutdown=30,
            )
            # The server finishes its requests, then raises the signal again, which is to end nothing but `run`.
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: None)
            where = f"http://{f'[{host}]' if ':' in host else host}:{port}"
            with settled():
                Server(
                    settings,
                    batcher,
                    lambda: typer.echo(f"serving {model} on {where}, API page at /docs", err=True),
                ).run(sockets)
        finally:
            ready.close()
