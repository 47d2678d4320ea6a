"""A parser in a process of its own, so that HTTP and parsing do not share one interpreter."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from parser import Parser, load
from parser.decode import Parse
from parser.memory import keep_freed_memory

_parser: Parser | None = None  # in the child only


class Remote:
    """Parses in a child process; has the part of `Parser` that a `serve.Batcher` needs.

    Args:
        directory, device: of the model, as for `load`.
        threads: of the child; 0 leaves it to torch.

    Raises:
        parser.checkpoint.CheckpointError: the directory is no model.
    """

    def __init__(self, directory: str | Path, device: str, threads: int) -> None:
        self.local = load(directory, "cpu")  # splits text into words, and finds a bad directory at once
        self.pool = ProcessPoolExecutor(
            1, multiprocessing.get_context("spawn"), initializer=_begin, initargs=(str(directory), device, threads)
        )
        self.parse_many([["warm", "up"]] * 20)

    def words(self, utterance: str | Sequence[str], number: int = 1) -> list[str]:
        """See `Parser.words`."""
        return self.local.words(utterance, number)

    def parse_many(self, utterances: Sequence[list[str]], batch_size: int = 128, beam: int = 1) -> list[Parse]:
        """See `Parser.parse_many`."""
        return self.pool.submit(_parse, utterances, batch_size, beam).result()

    def close(self) -> None:
        """End the child."""
        self.pool.shutdown()


def _begin(directory: str, device: str, threads: int) -> None:
    global _parser
    import torch

    for number in (signal.SIGTERM, signal.SIGINT):  # the parent ends us, when all that waits is parsed
        signal.signal(number, signal.SIG_IGN)
    keep_freed_memory()
    if threads:
        torch.set_num_threads(threads)
    _parser = load(directory, device)


def _parse(utterances: Sequence[list[str]], batch_size: int, beam: int) -> list[Parse]:
    assert _parser is not None
    return _parser.parse_many(utterances, batch_size, beam)
