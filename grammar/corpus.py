"""Corpus findings (E4): rows held against each other, over all files of a run.

Two passes. While the run goes by, each row leaves nothing but the hash of its utterance, its split, and (where there
are splits) labels that were not seen before. At the end only rows whose hashes met are read again, and compared as
they are: a clash of hashes is no finding, and two ways of writing one tree are no two trees. Memory is about nine
bytes a row (seventeen while they are compared), and some hundred for a row that met another.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from array import array
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

from grammar.finding import Finding
from grammar.recover import scan
from grammar.rows import Row
from grammar.rules import DEFAULT, finding
from grammar.tree import Span

if TYPE_CHECKING:
    from grammar.run import Block, Checked

CODES = frozenset({"E401", "E402", "E403", "E404"})
SPLITS = ("", "train", "dev", "test")
"""The first stands for none. `valid`, `validation` and `eval` are dev."""

_SOME = 1 << 20
"""Rows whose hashes are compared at a time."""
_SAME = {"valid": "dev", "validation": "dev", "eval": "dev", "training": "train", "testing": "test", "dev": "dev"}
_PART = re.compile(r"[a-z]+")
_LABEL = re.compile(r"(?<!\\)\([ \t\r\n]*([A-Za-z0-9_.:/\-!@#<>=+*?'$%]+)[ \t\r\n]*(?=\()")


def split_named(text: str) -> str:
    """`train`, `dev` or `test` where `text` is a name of one; else nothing.

    >>> split_named("Validation")
    'dev'
    """
    name = text.strip().lower()
    name = _SAME.get(name, name)
    return name if name in SPLITS else ""


def split_of(path: str, given: Mapping[str, str] = {}) -> str:
    """The split of a file: what `given` says of it (pattern -> split), else the last part of its name that is one.

    >>> split_of("corpus/v2_train/music-test.tsv")
    'test'
    """
    for pattern, name in given.items():
        if fnmatch(path, pattern) or fnmatch(Path(path).name, pattern):
            return name
    parts = _PART.findall("/".join(Path(path).parts[-2:]).lower())
    return next((name for part in reversed(parts) if (name := split_named(part))), "")


_Seen = dict[bytes, dict[bytes, str]]
"""Utterance -> tree -> where it was first seen; hashes of both."""


class Corpus:
    """A watcher of `grammar.run.Run`; see there.

    Args:
        read: reads a file again, every row of it in order.
        codes: which of E401 to E404 to look for.
        splits: pattern of file names -> split; a column `split` wins.
    """

    def __init__(
        self,
        read: Callable[[str], Iterable[Row]],
        codes: Collection[str] = DEFAULT,
        splits: Mapping[str, str] = {},
    ) -> None:
        self.read, self.codes, self.given = read, CODES & set(codes), dict(splits)
        self._hashes, self._splits = array("q"), array("b")
        self._files: dict[str, int] = {}  # path -> number of its first row
        self._trained: set[str] = set()
        self._tested: dict[str, int] = {}  # label -> first row outside train

    def see(self, block: Block) -> Mapping[int, list[Finding]]:
        """Keep what is needed of the rows; all is said at the end."""
        self._files.setdefault(block.path, len(self._hashes))
        of_file = split_of(block.path, self.given)
        splits = [split_named(split) if split else of_file for split in block.splits]
        if "E404" in self.codes and any(splits):
            self._labels(block.trees, splits)
        self._splits.extend(SPLITS.index(split) for split in splits)
        # Python's hash is new in each run and equal in one, which is all that is asked of it here; 0 stands for none.
        self._hashes.extend(hash(key) if (key := _key(utterance)) else 0 for utterance in block.utterances)
        return {}

    def finish(self) -> Iterator[Checked]:
        """The findings, in order of place."""
        from grammar.run import Checked

        wanted = self._met() if self.codes - {"E404"} else set()
        labels: dict[int, list[str]] = {}
        if self._trained:
            for label, number in self._tested.items():
                if label not in self._trained:
                    labels.setdefault(number, []).append(label)
        met: _Seen = {}
        trained = self._in_train(wanted)
        for number, row in self._rows(wanted | labels.keys()):
            found = [self._untrained(label, number, row) for label in labels.get(number, ())]
            if number in wanted:
                found += self._compare(number, row, met, trained)
            if found:
                yield Checked(row, sorted(found, key=lambda f: (f.span.start, f.code)))

    def _labels(self, trees: Iterable[str | None], splits: Iterable[str]) -> None:
        for number, (tree, split) in enumerate(zip(trees, splits, strict=True), len(self._hashes)):
            if tree and split == "train":
                self._trained.update(_LABEL.findall(tree))
            elif tree and split:
                for label in _LABEL.findall(tree):
                    self._tested.setdefault(label, number)

    def _met(self) -> set[int]:
        """Rows whose utterance has the hash of another's."""
        try:
            import numpy as np
        except ImportError:
            counts = Counter(self._hashes)
            return {i for i, value in enumerate(self._hashes) if value and counts[value] > 1}
        hashes = np.frombuffer(self._hashes, dtype=np.int64)
        ordered = np.sort(hashes)
        twice = np.unique(ordered[1:][(ordered[1:] == ordered[:-1]) & (ordered[1:] != 0)])
        del ordered
        found: set[int] = set()
        for start in range(0, len(hashes) if len(twice) else 0, _SOME):
            some = hashes[start : start + _SOME]
            met = twice[np.searchsorted(twice, some).clip(max=len(twice) - 1)] == some
            found.update((np.flatnonzero(met) + start).tolist())
        return found

    def _rows(self, wanted: Collection[int]) -> Iterator[tuple[int, Row]]:
        """The rows of these numbers, read again."""
        if not wanted:
            return
        last = max(wanted)
        ends = [*list(self._files.values())[1:], len(self._hashes)]
        for (path, start), end in zip(self._files.items(), ends, strict=True):
            # No further than the first time: a damaged file ends where it was seen to.
            for number, row in zip(range(start, end), self.read(path), strict=False):
                if number in wanted:
                    yield number, row
                if number >= last:
                    return

    def _in_train(self, wanted: Collection[int]) -> _Seen:
        """The utterances of train among these rows; the test may be read before it."""
        train = SPLITS.index("train")
        seen: _Seen = {}
        if any(self._splits[i] not in (0, train) for i in wanted):
            for _, row in self._rows({i for i in wanted if self._splits[i] == train}):
                if (tree := _tree(row)) is not None:
                    seen.setdefault(_digest(_key(row.utterance)), {}).setdefault(tree, _where(row))
        return seen

    def _compare(self, number: int, row: Row, met: _Seen, trained: _Seen) -> list[Finding]:
        """E401 to E403 of a row: by all of train where it is of another split, else by the rows before it."""
        tree = _tree(row)
        if tree is None:
            return []
        key, split = _digest(_key(row.utterance)), SPLITS[self._splits[number]]
        span = Span(0, len((row.text or "").rstrip(" \t\r\n")))
        found = []
        leaks = split in ("dev", "test") and key in trained
        # Several annotators are asked for one utterance on purpose; `agreement.py` compares them.
        before = trained[key] if leaks else met.setdefault(_digest(f"{_key(row.utterance)}\0{row.annotator}"), {})
        first = before.get(tree) or next(iter(before.values()), "")
        if leaks:
            found.append(finding("E403", span, split=split, first=first))
        elif tree in before:
            found.append(finding("E401", span, first=first))
        if before and tree not in before:
            found.append(finding("E402", span, first=first))
        if not leaks:
            before.setdefault(tree, _where(row))
        return [one for one in found if one.code in self.codes]

    def _untrained(self, label: str, number: int, row: Row) -> Finding:
        match = next(m for m in _LABEL.finditer(row.text or "") if m[1] == label)
        return finding("E404", Span(*match.span(1)), label=label, split=SPLITS[self._splits[number]])


def _key(utterance: str | list[str] | None) -> str:
    """What makes two utterances the same: their words, however white space and accents are written."""
    if utterance is None:
        return ""
    text = " ".join(utterance.split() if isinstance(utterance, str) else utterance)
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def _tree(row: Row) -> bytes | None:
    """A hash of the tree, however it is written; None where it is broken, and not known, as E1 has said."""
    recovered = scan(row.text or "")
    return None if recovered.findings or recovered.tree is None else _digest(str(recovered.tree))


def _where(row: Row) -> str:
    return f"{row.place.path}:{row.place.line}"


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).digest()
