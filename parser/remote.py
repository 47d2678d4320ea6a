"""A parser in a process of its own, so that HTTP and parsing do not share one interpreter.

One pipe leads to it: a batch goes there, its parses come back. When the process dies the pipe is closed, so whoever
waits for parses is told at once.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
import threading
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path

from parser import Parser, load
from parser.decode import Parse
from parser.memory import keep_freed_memory, settled

_PATIENCE = 10.0
"""Seconds that the process has to end by itself."""


class ParserGone(RuntimeError):
    """The process that parses has ended."""


class Remote:
    """Parses in a child process; has the part of `Parser` that a `serve.Batcher` needs.

    Args:
        directory, device: of the model, as for `load`.
        threads: of the child; 0 leaves it to torch.
        domain: of all utterances, for a model over several.

    Raises:
        parser.checkpoint.CheckpointError: the directory is no model.
        ParserGone: the child could not start.
    """

    def __init__(self, directory: str | Path, device: str, threads: int, domain: str | None = None) -> None:
        self.local = load(directory, "cpu", domain)  # splits text into words, and finds a bad directory at once
        if threads:  # NumPy's own products have threads too, and read this when the child loads it
            os.environ.setdefault("OPENBLAS_NUM_THREADS", str(threads))
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._one_at_a_time = threading.Lock()
        self.process = context.Process(
            target=_work, args=(theirs, str(directory), device, threads, domain), daemon=True
        )
        self.process.start()
        theirs.close()  # the child's end is the child's alone, or its death would not close the pipe
        atexit.register(self.close)  # or a parent that ends by an error would wait for the child without end
        try:
            self.parse_many([["warm", "up"]] * 20)
        except BaseException:
            self.close()
            raise

    @property
    def alive(self) -> bool:
        """Whether the child can parse."""
        return self.process.is_alive()

    def words(self, utterance: str | Sequence[str], number: int = 1) -> list[str]:
        """See `Parser.words`."""
        return self.local.words(utterance, number)

    def parse_many(self, utterances: Sequence[list[str]], batch_size: int = 128, beam: int = 1) -> list[Parse]:
        """See `Parser.parse_many`.

        Raises:
            ParserGone: the child has ended.
            RuntimeError: what the child raised, by name.
        """
        with self._one_at_a_time:
            try:
                self._pipe.send((utterances, batch_size, beam))
                parses: list[Parse] | str = self._pipe.recv()
            except (OSError, EOFError) as error:
                self.process.join(1)
                code = self.process.exitcode
                raise ParserGone(
                    f"the process that parses has ended with code {code}; start the server anew"
                ) from error
        if isinstance(parses, str):
            raise RuntimeError(parses)
        return parses

    def kill(self) -> None:
        """End the child at once, also while it parses; whoever waits for that is told."""
        self.process.kill()

    def close(self) -> None:
        """End the child."""
        atexit.unregister(self.close)
        self._pipe.close()
        self.process.join(_PATIENCE)
        if self.process.is_alive():
            self.process.kill()


def _work(pipe: Connection, directory: str, device: str, threads: int, domain: str | None) -> None:
    """The child: parse until the pipe is closed."""
    import torch

    for number in (signal.SIGTERM, signal.SIGINT):  # the parent ends us, when all that waits is parsed
        signal.signal(number, signal.SIG_IGN)
    keep_freed_memory()
    if threads:
        torch.set_num_threads(threads)
    ready = load(directory, device, domain)
    with settled():
        _answer(pipe, ready)


def _answer(pipe: Connection, ready: Parser) -> None:
    """Parse what comes until the pipe is closed."""
    while True:
        try:
            utterances, batch_size, beam = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            answer: list[Parse] | str = ready.parse_many(utterances, batch_size, beam)
        except Exception as error:
            answer = f"{type(error).__name__}: {error}"
        try:
            pipe.send(answer)
        except OSError:
            return
