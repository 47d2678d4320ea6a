"""One run at a time writes to an output.

On this machine the kernel holds the lock for as long as the process lives, so a run that crashed leaves none. Other
filesystems have no such locks: there a small file says who writes and is renewed every minute, and one that was not
renewed for five minutes counts for nothing.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipelines import storage

RENEWED = 60.0
STALE = 300.0
"""Seconds after which a lease is renewed, and after which it has run out."""


class Busy(FileExistsError):
    """Another run writes to the output."""


@contextmanager
def hold(output: str) -> Iterator[None]:
    """Have an output to oneself.

    Raises:
        Busy: another run has it; the message says which.
    """
    held = _leased(f"{output.rstrip('/')}.lock", output) if storage.is_remote(output) else _locked(Path(output))
    with held:
        yield


@contextmanager
def _locked(output: Path) -> Iterator[None]:
    path = output.with_name(f".{output.name}.lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        file = open(path, "a+", encoding="utf-8")  # noqa: SIM115
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            who = file.read().strip()
            file.close()
            raise Busy(_busy(str(output), who)) from error
        # The run before may have removed the file between our opening and our locking it.
        if path.exists() and os.fstat(file.fileno()).st_ino == path.stat().st_ino:
            break
        file.close()
    try:
        file.truncate(0)
        file.write(_me())
        file.flush()
        yield
    finally:
        path.unlink(missing_ok=True)
        file.close()


@contextmanager
def _leased(path: str, output: str) -> Iterator[None]:
    mine = uuid.uuid4().hex
    if storage.exists(path):
        lease = json.loads(storage.read(path))
        if time.time() - lease["renewed"] < STALE:
            raise Busy(_busy(output, lease["who"]))
    done = threading.Event()

    def renew() -> None:
        storage.write(path, json.dumps({"id": mine, "who": _me(), "renewed": time.time()}).encode())

    def keep() -> None:
        while not done.wait(RENEWED):
            renew()

    renew()
    # Two runs that began in the same moment both wrote; the one that wrote last has it.
    if json.loads(storage.read(path))["id"] != mine:
        raise Busy(_busy(output, "a run that began in the same moment"))
    thread = threading.Thread(target=keep, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        storage.remove(path)


def _me() -> str:
    return f"process {os.getpid()} on {socket.gethostname()}"


def _busy(output: str, who: str) -> str:
    return f"{output} is being written by {who or 'another run'}; wait for it, or give another `--output`"
