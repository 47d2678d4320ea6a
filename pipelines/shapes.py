"""Trees without their words: what rows that ask for the same kind of thing have in common.

    (PlayMusic(genre(free)(jazz))(artist(ana)))  ->  (PlayMusic(genre**)(artist*))

One word is `*` and several are `**`, so that a thousand requests make a handful of shapes, and whatever is counted of
labels can be counted once for each shape.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import pyarrow as pa
import pyarrow.compute as pc

from grammar.actions import GENERATED, Kind
from grammar.infer import Counts
from grammar.tree import Leaf, Tree

_ONE = "\x01"  # no label and no bracket, while `*` may stand in a label
_LEAF = r"\((?:[^()\\]|\\.)+\)"


def shapes(trees: pa.Array) -> pa.Array:
    """The shape of each tree, from its canonical text; `\\x01` stands for a word."""
    return pc.replace_substring_regex(bare(trees), f"{_ONE}{{3,}}", _ONE * 2)


def bare(trees: pa.Array) -> pa.Array:
    """The trees with `\\x01` for each word."""
    return pc.replace_substring_regex(trees, _LEAF, _ONE)


def count(trees: pa.Array, into: dict[str, int]) -> None:
    """Add up how often each shape occurs."""
    for row in pc.value_counts(shapes(trees)).to_pylist():
        into[row["values"]] = into.get(row["values"], 0) + row["counts"]


def count_generated(batch: pa.RecordBatch | pa.Table, into: dict[str, int]) -> None:
    """Add up the words of leaves that are not copied, from the columns of rows."""
    if isinstance(batch, pa.Table):
        batch = batch.combine_chunks()
    kinds, symbols, copy = (pc.list_flatten(batch[name]) for name in ("actions", "symbols", "copy"))
    words = symbols.filter(pc.and_(pc.equal(kinds, int(Kind.TER)), pc.equal(copy, GENERATED)))
    for row in pc.value_counts(words).to_pylist():
        into[row["values"]] = into.get(row["values"], 0) + row["counts"]


def counts(found: dict[str, int], generated: Mapping[str, int] = MappingProxyType({})) -> Counts:
    """What the trees of these shapes hold, as `Counts.add` would have it of each; with the words that they generate."""
    total = Counts()
    total.generated.update(generated)
    for shape, times in found.items():
        total.add(_tree(shape), times)
    return total


def _tree(shape: str) -> Tree:
    """A tree of a shape. Its text is canonical, so brackets alone say where a node ends."""
    children: list[list[Tree | Leaf]] = [[]]
    labels: list[str] = []
    label = ""
    for place, sign in enumerate(shape):
        if sign == "(":
            if label:
                labels.append(label)
                label = ""
            if shape[place + 1] != ")":
                children.append([])
        elif sign in (")", _ONE) and label:
            labels.append(label)
            label = ""
        if sign == _ONE:
            children[-1].append(Leaf("word"))
        elif sign == ")" and shape[place - 1] != "(":
            tree = Tree(labels.pop(), children.pop())
            children[-1].append(tree)
        elif sign not in "()":
            label += sign
    [[root]] = children
    assert isinstance(root, Tree)
    return root
