"""The published corpora, where they are at hand: every record is accounted for and hardly any is refused."""

import os
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest

from pipelines.clauses import SlotCounts
from pipelines.formats import expand, plan, read
from pipelines.record import Rejection, Utterance
from pipelines.trees import to_example

CORPORA = os.environ.get("TREEWRIGHT_CORPORA", "")
SAMPLE = 400
"""Records of each range that are made into examples; all are read."""

ROWS = [
    # folder, format, several intents, records
    ("snips", "seq", "clauses", {"train": 13_084, "dev": 700, "test": 700}),
    ("snips-json", "snips", "clauses", {"train": 13_784, "test": 700}),
    ("atis", "seq", "label", {"train": 4_478, "dev": 500, "test": 893}),
    ("mixsnips", "seq", "clauses", {"train": 39_776, "dev": 2_198, "test": 2_199}),
    ("massive/data", "massive", "clauses", {"train": 11_514, "dev": 2_033, "test": 2_974}),
    ("top", "top", "clauses", {"train": None, "dev": 4_462, "test": 9_042}),  # train differs by copy
]


@pytest.mark.parametrize("folder, fmt, multi_intent, records", ROWS, ids=[row[0] for row in ROWS])
def test_a_published_corpus_is_read_whole(folder, fmt, multi_intent, records):
    if not CORPORA or not (Path(CORPORA) / folder).is_dir():
        pytest.skip(f"TREEWRIGHT_CORPORA names no folder with `{folder}`")
    ranges = [range_ for source in expand([str(Path(CORPORA) / folder)], fmt, folder) for range_ in plan(source)]
    counts, seen, refused, tried = SlotCounts(), Counter[str](), Counter[str](), 0
    for range_ in ranges:
        for row in read(range_):
            seen[row.split] += 1
            if isinstance(row, Utterance):
                counts.add(row)
            else:
                refused[row.code] += 1

    assert {split: number or seen[split] for split, number in records.items()} == seen
    assert not refused
    for range_ in ranges:
        for row in islice(read(range_), SAMPLE):
            tried += 1
            made = to_example(row, counts, multi_intent)
            if isinstance(made, Rejection):
                refused[made.code] += 1
    assert refused.total() < tried / 100, refused
