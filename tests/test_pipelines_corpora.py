"""The published corpora, where they are at hand: every record is accounted for and hardly any is refused."""

import os
from collections import Counter, defaultdict
from itertools import islice
from pathlib import Path

import pytest

from pipelines.clauses import SlotCounts
from pipelines.compare import compare, normalise
from pipelines.convert import Options, run
from pipelines.formats import expand, plan, read
from pipelines.record import Rejection, Utterance
from pipelines.stats import describe
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
    ("rasa", "rasa", "clauses", {"train": 2_240}),
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


def test_the_leak_report_of_atis_shows_what_its_test_shares_with_train(tmp_path):
    if not CORPORA or not (Path(CORPORA) / "atis").is_dir():
        pytest.skip("TREEWRIGHT_CORPORA names no folder with `atis`")
    options = Options([str(Path(CORPORA) / "atis")], "seq", str(tmp_path / "atis"), multi_intent="label")
    run(options)
    [found] = [
        one for one in describe(tmp_path / "atis")["leaks"] if (one["split"], one["seen_in"]) == ("test", "train")
    ]
    assert found == {"split": "test", "seen_in": "train", "rows": 893, "utterance": 13, "template": 213, "shape": 667}
    card = (tmp_path / "atis" / "README.md").read_text("utf-8")
    assert "| test in train | 893 | 13 (1.5%) | 213 (23.9%) | 667 (74.7%) |" in card


def test_the_two_forms_of_snips_differ_as_the_readme_says():
    folders = [Path(CORPORA) / name for name in ("snips", "snips-json")]
    if not CORPORA or not all(folder.is_dir() for folder in folders):
        pytest.skip("TREEWRIGHT_CORPORA names no folder with `snips` and `snips-json`")
    forms = [
        [row for source in expand([str(folder)], fmt) for range_ in plan(source) for row in read(range_)]
        for folder, fmt in zip(folders, ("seq", "snips"), strict=True)
    ]

    assert compare(*forms).to_json() == {
        "texts": {"as it stands": 1_098, "letter case": 8_257, "punctuation": 5_126, "blanks": 3},
        "slots": {"same": 14_484, "borders": 0, "labels": 0},
        "splits": {"dev-test": 694, "dev-train": 6, "test-train": 700, "train-test": 6, "train-train": 13_078},
        "unpaired": {"left": 0, "right": 0},
    }
    texts = [defaultdict(Counter), defaultdict(Counter)]
    for counts, rows in zip(texts, forms, strict=True):
        for row in rows:
            counts[row.split][row.intents[0], normalise(row.text)] += 1
    assert texts[0]["dev"] == texts[1]["test"] and texts[0]["train"] + texts[0]["test"] == texts[1]["train"]
