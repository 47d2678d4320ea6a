"""Dead letters in order: what a sort of all of them gives, while few are held."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grammar import shard
from pipelines import letters
from pipelines.block import rejection_batch
from pipelines.record import Rejection

ROWS = st.builds(
    Rejection,
    st.just("c"),
    st.sampled_from(["a.txt", "b.txt", "\u00e9.txt"]),
    st.integers(1, 12),
    st.sampled_from(["R101", "R106"]),
    st.just("why"),
    st.sampled_from(["", "raw", "\U0001f355", "\uffee"]),
    st.just("train"),
    st.just(()),
)


@given(st.lists(st.lists(ROWS, max_size=8), max_size=6), st.integers(1, 4), st.integers(1, 7))
def test_runs_come_in_the_order_of_one_sort(found: list[list[Rejection]], piece: int, group: int) -> None:
    runs = [letters.sort(rejection_batch(rows)) for rows in found]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(letters, "PIECE", piece)
        tables = list(letters.in_order([lambda run=run: run for run in runs], group))
    every = pa.Table.from_batches(runs, shard.REJECTION_SCHEMA)
    order = pc.sort_indices(every, [(key, "ascending") for key in letters.KEYS])
    assert pa.concat_tables([every.slice(0, 0), *tables]).to_pylist() == every.take(order).to_pylist()
    assert all(table.num_rows == group for table in tables[:-1])


def test_runs_of_ranges_are_held_one_piece_at_a_time(monkeypatch) -> None:
    rows = [Rejection("c", "a.txt", line, "R106", "why", "raw", "train") for line in range(40_000)]
    runs = [letters.sort(rejection_batch(rows[first : first + 8_000])) for first in range(0, 40_000, 8_000)]
    held = []
    sort = letters._sorted
    monkeypatch.setattr(letters, "_sorted", lambda table: held.append(table.num_rows) or sort(table))
    lines = [line for table in letters.in_order([lambda run=run: run for run in runs[::-1]]) for line in table["line"]]
    assert [line.as_py() for line in lines] == list(range(40_000))
    assert max(held) <= letters.PIECE
