"""Index columns and hashes: whole columns give what a walk over each row gives."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pyarrow as pa
import strategies
from hypothesis import given
from hypothesis import strategies as st

from grammar import shard
from grammar.actions import GENERATED, Kind, oracle
from grammar.tree import Leaf, Tree
from pipelines.hashes import normalise, shape_texts, template_texts, value_marks, value_texts
from pipelines.index import Steps, indexed_table


def rows_of(trees: list[Tree], copied: list[bool]) -> pa.Table:
    """Rows whose words are the leaves of their trees, in the given case; every second tree copies."""
    rows: list[dict[str, Any]] = []
    for number, (tree, copies) in enumerate(zip(trees, copied, strict=True)):
        words = ["Please", *tree.words()]
        places = list(range(1, len(words))) if copies else [GENERATED] * (len(words) - 1)
        actions = oracle(tree, places)
        rows.append(
            {name: "x" for name in shard.ROW}
            | {"id": f"c/{number}", "line": number, "composed": False, "utterance": " ".join(words), "words": words}
            | {"tree": str(tree), "actions": [int(a.kind) for a in actions]}
            | {"symbols": [a.symbol for a in actions], "copy": [a.copy for a in actions]}
        )
    return pa.Table.from_pylist(rows, schema=shard.ROW_SCHEMA)


def walk(row: dict[str, Any]) -> tuple[list[int], int, str, dict[int, list[str]]]:
    """(parent, depth, template, values by node), one action at a time."""
    parents, opened, deepest, values = [], [], 0, {}
    words: list[str | None] = [word.casefold() for word in row["words"]]
    last = None
    for step, (kind, symbol, place) in enumerate(zip(row["actions"], row["symbols"], row["copy"], strict=True)):
        parents.append(opened[-1] if opened else -1)
        if kind == Kind.NT:
            opened.append(step)
        elif kind == Kind.RED:
            opened.pop()
        else:
            values.setdefault(opened[-1], []).append(symbol.casefold())
            if place != GENERATED:
                words[place] = None if last == opened[-1] else f"{{{row['symbols'][opened[-1]]}}}"
                last = opened[-1]
        deepest = max(deepest, len(opened))
    return parents, deepest, " ".join(word for word in words if word is not None), values


@given(st.lists(st.tuples(strategies.trees(), st.booleans()), max_size=5))
def test_columns_are_what_a_walk_finds(pairs: list[tuple[Tree, bool]]) -> None:
    table = rows_of([tree for tree, _ in pairs], [copies for _, copies in pairs])
    made = indexed_table(table)
    assert made.schema.equals(shard.SCHEMA)
    steps = Steps(*(table[name].combine_chunks() for name in ("actions", "symbols")))
    templates = template_texts(table["words"].combine_chunks(), table["copy"].combine_chunks(), steps)
    texts, which, owner = value_texts(steps)
    marks, owner_of_mark = value_marks(*(table[name].combine_chunks() for name in ("actions", "symbols")))
    assert owner_of_mark.tolist() == owner.tolist()
    assert len(set(zip(marks.tolist(), which.tolist(), strict=True))) == len(set(marks.tolist())) == len(texts)
    for number, row in enumerate(made.to_pylist()):
        parents, depth, template, values = walk(row)
        assert (row["parent"], row["depth"], templates[number].as_py()) == (parents, depth, template)
        found = sorted(texts[which[i]] for i in np.flatnonzero(owner == number))
        assert found == sorted(" ".join(words) for words in values.values())
        digest = hashlib.sha256(normalise(row["utterance"]).encode()).digest()[:8]
        assert row["utterance_hash"] == int.from_bytes(digest, "big", signed=True)


def bare(tree: Tree) -> str:
    inner = "".join(bare(child) for child in tree.children if isinstance(child, Tree))
    return f"({tree.label}{inner})"


@given(strategies.trees())
def test_a_shape_is_the_tree_without_words(tree: Tree) -> None:
    assert shape_texts(pa.array([str(tree)])).to_pylist() == [bare(tree)]


def test_rows_that_differ_in_values_share_template_and_shape() -> None:
    def play(*words: str) -> Tree:
        return Tree("Play", [Tree("genre", [Leaf(word) for word in words])])

    rows = indexed_table(rows_of([play("Free", "jazz"), play("folk"), play("FOLK")], [True] * 3)).to_pylist()
    assert len({row["template_hash"] for row in rows}) == len({row["shape_hash"] for row in rows}) == 1
    assert rows[0]["utterance_hash"] != rows[1]["utterance_hash"] == rows[2]["utterance_hash"]


def test_an_older_data_set_is_refused_with_the_mend(tmp_path) -> None:
    import json

    import pytest

    (tmp_path / shard.MANIFEST).write_text(json.dumps({"schema": "1"}))
    with pytest.raises(shard.ShardError, match="schema '1', but this version reads '2'; convert again"):
        shard.read_manifest(tmp_path)
