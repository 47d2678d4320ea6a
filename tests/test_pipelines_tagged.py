"""Lines of tags in blocks: the columns are those of the definition, row by row, whatever the lines hold."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grammar import shard
from pipelines import tagged
from pipelines.bench_corpus import write_corpus
from pipelines.block import Settings
from pipelines.formats import FORMATS, expand, parallel, plan, read, seq
from pipelines.formats.parallel import Lines
from pipelines.hashes import normalise, normalised
from pipelines.record import Rejection, Utterance
from pipelines.spill import Job, batches, blocks, rows
from pipelines.splits import Dealing

ONTOLOGY = """[intents.Play]
takes = ["a", "b"]

[slots.a]
words = true

[slots.b]
words = true
"""
WORD = st.sampled_from(
    ["play", "jazz", "caf\u00e9", "a(b", "x\\y", "and", "", " ", "\t", "\r", "\x0b", "\u00a0", "\u65e5\u672c"]
)
TAG = st.sampled_from(
    ["O", "B-a", "I-a", "B-b", "I-b", "E-a", "S-b", "L-b", "U-a", "X", "B-", "I-\u00e9", "B-(x", "\t"]
)
LABEL = st.sampled_from(["Play", "Buy", "Play#Buy", "a b", "", "#", "Play#", " Stop ", "\u00e9", "P\t", "x(y"])
PLAIN_WORD, PLAIN_TAG = (
    st.sampled_from(["play", "Jazz", "caf\u00e9"]),
    st.sampled_from(["O", "B-a", "I-a", "B-b", "I-b"]),
)
BYTES = st.sampled_from([b"\xff\xfe a", b"\xed\xa0\xbc\xed\xbd\x95", b"\xef\xbb\xbf", b""])


@st.composite
def lines(draw: st.DrawFn) -> tuple[bytes, bytes, bytes]:
    """A line of each file; most are well-formed."""
    if draw(st.integers(0, 2)):
        count = draw(st.integers(1, 5))
        words = draw(st.lists(PLAIN_WORD, min_size=count, max_size=count))
        tags = draw(st.lists(PLAIN_TAG, min_size=count, max_size=count))
        return " ".join(words).encode(), " ".join(tags).encode(), draw(st.sampled_from([b"Play", b"Buy"]))
    words, tags = draw(st.lists(WORD, max_size=4)), draw(st.lists(TAG, max_size=4))
    row = [" ".join(words).encode(), " ".join(tags).encode(), draw(LABEL).encode()]
    if draw(st.integers(0, 4)) == 0:
        row[draw(st.integers(0, 2))] = draw(BYTES)
    return row[0], row[1], row[2]


@given(
    st.lists(lines(), max_size=12),
    st.sampled_from([b"\n", b"\n", b"\r\n"]),
    st.tuples(st.booleans(), st.booleans(), st.integers(0, 3)),
    st.sampled_from([1, 20, 1 << 20]),
    st.sampled_from([Dealing(), Dealing(dev_share=0.4), Dealing("utterance", 0.3, 0.3), Dealing("template", 0.3, 0.3)]),
    st.sampled_from([("label", False), ("clauses", False), ("clauses", True)]),
    st.sampled_from(["", ONTOLOGY]),
)
def test_blocks_give_the_rows_that_the_definition_gives(
    found: list[tuple[bytes, bytes, bytes]],
    end: bytes,
    form: tuple[bool, bool, int],
    size: int,
    dealing: Dealing,
    how: tuple[str, bool],
    ontology: str,
) -> None:
    last_end, mark, short = form
    columns = [[row[place] for row in found] for place in range(3)]
    if short < 3 and len(found) > 1:
        columns[short].pop()
    job = Job("", 2, dealing, *how, ontology)
    with tempfile.TemporaryDirectory() as name:
        for file, column in zip(("seq.in", "seq.out", "label"), columns, strict=True):
            data = b"\xef\xbb\xbf" * mark + end.join(column) + end * last_end
            Path(name, file).write_bytes(data)
        [source] = expand([name], "seq", "c" * mark)
        for range_ in plan(source, size):
            fast, slow = batches(range_, job), blocks(rows(range_, job.dealing), job)
            made, refused = _all(fast)
            assert (made, refused) == _all(slow)


def _all(found: object) -> tuple[list[dict], list[Rejection]]:
    made: list[dict] = []
    refused: list[Rejection] = []
    for batch, rejections, tokenisers in found:  # type: ignore[attr-defined]
        batch.validate(full=True)
        assert batch.schema.equals(shard.SCHEMA) and tokenisers <= {""}
        made += batch.to_pylist()
        refused += rejections
    return sorted(made, key=lambda row: row["line"]), sorted(refused)


@pytest.mark.parametrize("limit", [(2, 1 << 20), (8_192, 30)])
def test_blocks_of_any_size_have_all_lines(tmp_path: Path, monkeypatch, limit: tuple[int, int]) -> None:
    write_corpus(tmp_path, 60)
    monkeypatch.setattr(parallel, "MOST", limit[1])
    monkeypatch.setattr("pipelines.formats.lines._BLOCK", 40)
    [source] = expand([str(tmp_path / "corpus" / "train")], "seq", "c")
    [range_] = plan(source)
    found: list[Utterance | Rejection] = []
    count = 0
    for block in parallel.blocks(range_, seq.utterance, limit[0]):
        assert isinstance(block, Lines)
        found += block.rows(np.arange(block.columns[0].count(b"\n")))
        count += 1
    assert found == list(read(range_)) and count > 1


def test_most_rows_of_a_corpus_need_no_look(tmp_path: Path) -> None:
    write_corpus(tmp_path, 2_000)
    [source] = expand([str(tmp_path / "corpus" / "train")], "seq", "c")
    [range_] = plan(source)
    assert FORMATS["seq"].lines is not None
    for block in FORMATS["seq"].lines(range_):
        assert isinstance(block, Lines)
        made, left = tagged.examples(block, Settings())
        assert (made.num_rows, len(left)) == (1_799, 1), "one row is bad"


def test_a_wrong_fast_way_is_caught_by_the_replay(tmp_path: Path, monkeypatch) -> None:
    lines_ = Lines(expand_one(tmp_path), 1, (b"play jazz\nstop\n", b"O B-g\nO\n", b"Play\nStop\n"), seq.utterance)
    right, _ = tagged.examples(lines_, Settings())
    made = tagged._rows

    def wrong(*given: object) -> pa.RecordBatch:
        batch = made(*given)  # type: ignore[arg-type]
        bad = pa.ListArray.from_arrays(batch["copy"].offsets, pa.array([-1, -1, 0, -1, -1, -1, -1], pa.int32()))
        return batch.set_column(batch.schema.get_field_index("copy"), batch.schema.field("copy"), bad)

    monkeypatch.setattr(tagged, "_rows", wrong)
    batch, left = tagged.examples(lines_, Settings())
    assert right["tree"].to_pylist() == ["(Play(g(jazz)))", "(Stop())"]
    assert batch["tree"].to_pylist() == ["(Stop())"] and left.tolist() == [0]


def expand_one(folder: Path) -> parallel.Source:
    for name in ("seq.in", "seq.out", "label"):
        (folder / name).write_text("")
    return expand([str(folder)], "seq", "c")[0]


@given(
    st.lists(st.text(st.sampled_from("aB \u00e9\u00df\t\x1cZ(\u65e5\u00a0\u0130"), max_size=6), max_size=6),
    st.integers(0, 2),
)
def test_columns_are_normalised_as_texts_are(texts: list[str], passed: int) -> None:
    column = pa.array(texts, pa.string()).slice(passed)
    assert normalised(column) == [normalise(text).encode() for text in texts[passed:]]
