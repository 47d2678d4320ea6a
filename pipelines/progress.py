"""One line on stderr while a run on this machine works: how much is read, how fast, how long it takes.

read 1.2 of 3.4 GB, 35 %, 45,210 rows/s, 0:01:20 left; 3 of about 52 shards written
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from datetime import timedelta

from pipelines import storage


class Progress:
    """Counts the records that finished ranges and shards leave in the build directory.

    Args:
        build: the build directory; ranges leave `work/reports/*.json` with `read` (bytes) and `rows_in`, and shards
            `work/entries/*.json`.
        total: bytes of all inputs.
        shards: whether shards are told; else a range is all there is to do.
    """

    def __init__(self, build: str, total: int, shards: bool = True) -> None:
        self.build, self.total, self.shards = build, total, shards
        self._seen: set[str] = set()
        self._read = self._rows = self._shards = 0
        self._began = time.monotonic()
        self._before = (0, 0)  # what an earlier run had done, which says nothing about our rate
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Progress:
        if sys.stderr.isatty() and not storage.is_remote(self.build):
            self._look()
            self._before = (self._read, self._rows)
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        if self._thread.is_alive():
            self._thread.join()
            print(file=sys.stderr)

    def line(self, now: float) -> str:
        """What is to be shown, `now` seconds after the start."""
        share = min(1.0, self._read / self.total) if self.total else 1.0
        read, rows = self._read - self._before[0], self._rows - self._before[1]
        text = f"read {_size(self._read)} of {_size(self.total)}, {share:.0%}"
        if rows and now > 0:
            left = timedelta(seconds=round(now * (self.total - self._read) / read)) if read else "?"
            text += f", {rows / now:,.0f} rows/s, {left} left"
        return f"{text}; {self._shards:,} shards written" if self.shards else text

    def _watch(self) -> None:
        while not self._done.wait(0.5):
            self._look()
            print(f"\r{self.line(time.monotonic() - self._began):<100}", end="", file=sys.stderr, flush=True)

    def _look(self) -> None:
        for kind in ("reports", "entries"):
            folder = storage.join(self.build, "work", kind)
            names = os.listdir(folder) if os.path.isdir(folder) else []
            for name in names:
                if name.startswith(".") or (path := os.path.join(folder, name)) in self._seen:
                    continue
                self._seen.add(path)
                if kind == "entries":
                    self._shards += 1
                else:
                    report = json.loads(storage.read(path))
                    self._read += report["read"]
                    self._rows += report["rows_in"]


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:,.1f} GB"
