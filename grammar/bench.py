"""How fast trees are checked and read, beside Lark and nltk, on the same trees in the same run.

All on one thread and by CPU time, the best of some rounds. In a round every arm gets the same time, in turn, so that a
busy moment of the machine meets them all; none is stopped to collect garbage. Ratios hold on a busy machine, absolute
rates do not.
"""

from __future__ import annotations

import contextlib
import gc
import re
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from grammar.checker import check
from grammar.columns import Clean, valid
from grammar.invented import ontology, strings, trees
from grammar.recover import scan
from grammar.syntax import judge, parse, positions

_LEAF = re.compile(r"\(([^()]+)\)")
SIZES = {"short": (100, 60_000), "long": (2_000, 4_000)}
"""Name -> (bytes of a tree, how many)."""
_TURN = 0.25
"""CPU-seconds of each arm in a round, at least."""


def bench(rounds: int = 3) -> dict[str, float]:
    """Rates in trees and MB a CPU-second, and ratios to `nltk.Tree.fromstring`; none of nltk where it is missing."""
    pa.set_cpu_count(1)
    known = ontology()
    quick = Clean(known)
    figures: dict[str, float] = {}
    for name, (size, count) in SIZES.items():
        for bad in (0, 1, 5):
            texts = trees(count, size, bad / 100)
            column = pa.array([text.encode() for text in texts], pa.binary())
            what = f"{name}_{'valid' if not bad else f'invalid{bad}'}"
            few = texts[: count // 20]

            def findings(column: Any = column, texts: Sequence[str] = texts) -> int:
                doubtful = np.flatnonzero(~quick(column)).tolist()
                return sum(len(check(texts[i], known)) for i in doubtful)

            tests: dict[str, tuple[Callable[[], object], Sequence[str]]] = {
                "columnar": (lambda column=column: valid(column), texts),  # type: ignore[misc]
                "columnar_findings": (findings, texts),
            }
            if fromstring := _nltk():
                tests["nltk"] = (_each(fromstring, [_LEAF.sub(r" \1", text) for text in few]), few)
                tests["nltk_brackets"] = (_each(fromstring, few), few)
            if not bad:
                few = few[: len(few) // 4]
                tests["reader"] = _each(parse, few), few
                tests["lark"] = _each(judge, few), few
                tests["lark_positions"] = _each(positions().parse, few), few
            for test, (rate, megabytes) in _rates(tests, rounds).items():
                figures[f"{test}_trees_s_{what}"] = rate
                figures[f"{test}_mb_s_{what}"] = megabytes
            for test in ("columnar", "columnar_findings") if fromstring else ():
                figures[f"{test}_over_nltk_{what}"] = (
                    figures[f"{test}_trees_s_{what}"] / figures[f"nltk_trees_s_{what}"]
                )
    figures["reader_over_lark"] = figures["lark_positions_trees_s_short_valid"] / figures["reader_trees_s_short_valid"]
    figures["lark_trees_s"] = figures["lark_trees_s_short_valid"]
    if "nltk_trees_s_short_valid" in figures:
        # The verdict alone is what nltk gives too; with mistakes, every finding is worked out.
        figures["columnar_over_nltk_short_invalid1"] = figures["columnar_findings_over_nltk_short_invalid1"]
    return figures


def agree(count: int, seed: int = 1) -> list[str]:
    """The strings among `count` of which the columns, Lark and the scan judge differently."""
    texts = list(strings(count, seed))
    verdicts = valid(pa.array([text.encode() for text in texts], pa.binary())).to_pylist()
    return [
        text
        for text, verdict in zip(texts, verdicts, strict=True)
        if not judge(text) == verdict == (not scan(text).findings)
    ]


def _rates(tests: dict[str, tuple[Callable[[], object], Sequence[str]]], rounds: int) -> dict[str, tuple[float, float]]:
    """(trees, MB) a CPU-second of each test, the best time of each counting."""
    best = dict.fromkeys(tests, float("inf"))
    collecting = gc.isenabled()
    gc.disable()
    try:
        for _ in range(rounds):
            for name, (work, _texts) in tests.items():
                gc.collect()
                spent = 0.0
                while spent < _TURN:
                    began = time.process_time()
                    work()
                    took = time.process_time() - began
                    best[name], spent = min(best[name], took), spent + took
    finally:
        if collecting:
            gc.enable()
    sizes = {name: (len(texts), sum(len(text.encode()) for text in texts) / 1e6) for name, (_, texts) in tests.items()}
    return {name: (sizes[name][0] / best[name], sizes[name][1] / best[name]) for name in tests}


def _each(work: Callable[[str], object], texts: Sequence[str]) -> Callable[[], None]:
    def run() -> None:
        for text in texts:
            with contextlib.suppress(ValueError):  # a mistake; that is a verdict too
                work(text)

    return run


def _nltk() -> Callable[[str], object] | None:
    try:
        from nltk import Tree
    except ImportError:
        return None
    return Tree.fromstring
