"""What the runs of this package put into their output, by which a directory is known that may be overwritten.

shards/manifest.json      is it a manifest of ours?        no: the directory is somebody else's
shards/important.txt      does any run write such a file?  no: somebody put it there, and it would be lost
"""

from __future__ import annotations

import json
import re
from typing import NamedTuple

from grammar import shard
from pipelines import storage

_SHARD = r"-\d{5}-of-\d{5}\.parquet"
_TEMPORARY = re.compile(r"(.*/)?\.[^/]+\.tmp")
"""What a worker that was killed was writing."""


class Kind(NamedTuple):
    """One kind of output.

    Attributes:
        keys: some that its last file always has.
        files: the names of all its files.
    """

    keys: frozenset[str]
    files: re.Pattern[str]


KINDS = {
    shard.MANIFEST: Kind(
        frozenset({"schema", "corpus", "rows_in", "rows_out", "shards", "splits"}),
        re.compile(rf"manifest\.json|ontology\.toml|README\.md|pictures/\w+\.svg|(rejected/)?[^/]+{_SHARD}"),
    ),
    "annotation.json": Kind(
        frozenset({"schema", "corpus", "rows_in", "rows_out", "shards", "model"}),
        re.compile(rf"annotation\.json|annotated{_SHARD}|rejected/rejected{_SHARD}"),
    ),
    "counts.json": Kind(
        frozenset({"rows", "rows_with_findings", "rate", "codes", "by", "files"}),
        re.compile(r"counts\.json|findings/\d{6}-\d{6}\.jsonl"),
    ),
}
"""The file that is published last, by which a kind is known -> the kind."""


def is_last(path: str) -> bool:
    """Whether a file is what a run of ours publishes last, and not another one of that name."""
    try:
        said = json.loads(storage.read(path))
    except (OSError, ValueError):
        return False
    return isinstance(said, dict) and said.keys() >= KINDS[path.rpartition("/")[2]].keys


def foreign(output: str, last: str) -> list[str]:
    """The files in an output that no run writes there, sorted.

    Args:
        last: the file that is published last.
    """
    root = output.rstrip("/") + "/"
    names = (path.removeprefix(root) for path in storage.below(output))
    return [name for name in names if not KINDS[last].files.fullmatch(name) and not _TEMPORARY.fullmatch(name)]
