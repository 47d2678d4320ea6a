r"""PIZZA: JSON lines whose keys carry the split, with trees in round brackets, every word a leaf.

    {"dev.SRC": "five medium pizzas with ham",
     "dev.TOP": "(ORDER (PIZZAORDER (NUMBER five ) (SIZE medium ) pizzas with (TOPPING ham ) ) )",
     "dev.EXR": "(ORDER (PIZZAORDER (NUMBER 5 ) (SIZE MEDIUM ) (TOPPING HAM ) ) )"}
    -> Utterance(words=["five", "medium", ...], split="dev", positions=[0, 1, 4],
                 tree="(ORDER(PIZZAORDER(NUMBER(five))(SIZE(medium))(TOPPING(ham))))")

The tree is `TOP`; where a row has none, `EXR`, whose values are resolved, so its leaves may be generated words. Words
beside a node are dropped, and so are those right under a label that ends in `ORDER`. `PCFG_ERR` is passed over.

Refused: R101 bytes, R102 no words, R103 not a JSON object, R104 no `.SRC`, no tree or an unknown split, R111 the
leaves of `TOP` are not the words of the utterance, R114 the brackets do not match.
Source: Arkoudas et al., 2022, arXiv 2212.00265 (github amazon-science/pizza-semantic-parsing-dataset).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from grammar.tree import Leaf, Tree
from pipelines.faults import bracket_faults, faults
from pipelines.formats.features import Unwritable, has_blank, plain, tree_of
from pipelines.formats.files import SPLITS
from pipelines.formats.format import Format, Writer
from pipelines.formats.head import Guess, Head
from pipelines.formats.jsons import items
from pipelines.formats.lines import Range, Source, plan_lines
from pipelines.formats.save import save_lines
from pipelines.record import Example, Rejection, Utterance

plan = plan_lines

_KEY = re.compile(r"(\w+)\.(SRC|TOP|EXR)")
_TREES = ("TOP", "EXR")


def read(range_: Range) -> Iterator[Utterance | Rejection]:
    """One row for each object."""
    for number, raw, row in items(range_):
        yield row if isinstance(row, Rejection) else _record(range_.source, number, raw, row)


def _record(source: Source, number: int, raw: str, row: dict[str, Any]) -> Utterance | Rejection:
    found = {match[2]: (match[1], row[key]) for key in row if (match := _KEY.fullmatch(key))}
    name, text = found.get("SRC", ("", None))
    if not isinstance(text, str):
        return source.reject(number, "R104", raw, "a key that ends in `.SRC`")
    split = SPLITS.get(name.lower(), "")
    if not split:
        return source.reject(number, "R104", raw, f"`{name}` names no split")
    words = text.split()
    if not words:
        return source.reject(number, "R102", raw, split=split)
    kind = next((kind for kind in _TREES if isinstance(found.get(kind, ("", None))[1], str)), "")
    if not kind:
        return source.reject(number, "R104", raw, "a key that ends in `.TOP` or `.EXR`", split)
    try:
        leaves, tree, positions = convert(found[kind][1])
    except ValueError as error:
        return source.reject(number, "R114", raw, str(error), split, bracket_faults(found[kind][1], "(", ")"))
    if kind == "TOP" and leaves != words:
        return source.reject(number, "R111", raw, "", split, faults(str(tree), words))
    return Utterance(
        corpus=source.corpus,
        file=source.file,
        line=number,
        split=split,
        text=text.strip(),
        words=words,
        intents=[],
        spans=[],
        tree=str(tree),
        positions=positions if kind == "TOP" else None,
        raw=raw,
        made=tree,
    )


def convert(text: str) -> tuple[list[str], Tree, list[int]]:
    """All words, the tree without carrier words, and the position of each of its leaves.

    Raises:
        ValueError: the brackets do not match, or a word stands outside them.
    """
    words: list[str] = []
    stack: list[tuple[str, list[tuple[Leaf, int]], list[tuple[Tree, list[int]]]]] = []
    root: tuple[Tree, list[int]] | None = None
    for token in text.split():
        if root is not None:
            raise ValueError(f"`{token}` stands behind the tree")
        if token.startswith("(") and len(token) > 1:
            stack.append((token[1:], [], []))
        elif token == ")":
            if not stack:
                raise ValueError("a `)` that closes nothing")
            label, own, inner = stack.pop()
            if inner:
                node = Tree(label, [tree for tree, _ in inner]), [place for _, places in inner for place in places]
            elif label.endswith("ORDER"):
                node = Tree(label), []
            else:
                node = Tree(label, [leaf for leaf, _ in own]), [place for _, place in own]
            if stack:
                stack[-1][2].append(node)
            else:
                root = node
        elif not stack:
            raise ValueError(f"`{token}` stands outside all brackets")
        else:
            stack[-1][1].append((Leaf(token), len(words)))
            words.append(token)
    if stack or root is None:
        raise ValueError(f"`{stack[-1][0]}` is not closed" if stack else "no tree")
    return words, *root


def record(row: Example, variant: str) -> str:
    """A line with `SRC` and `TOP`.

    Raises:
        Unwritable: the tree reads as another one.
    """
    tree, positions = tree_of(row)
    for word in row.words:
        if has_blank(word):
            raise Unwritable("blanks in words", repr(word))
        if word == ")" or (word.startswith("(") and len(word) > 1):
            raise Unwritable("marks in text", repr(word))
    if any(place < 0 for place in positions):
        raise Unwritable("generated words")
    if positions != sorted(set(positions)):
        raise Unwritable("scattered slots")
    text = _written(plain(tree), positions, row.words)
    words, again, places = convert(text)
    if (str(again), words, places) != (str(plain(tree)), row.words, positions):
        mixed = any(len({isinstance(child, Leaf) for child in node.children}) == 2 for node in tree.walk())
        raise Unwritable("mixed slots" if mixed else "no slots" if tree.depth() == 1 else "scattered slots")
    return json.dumps({f"{row.split}.SRC": " ".join(row.words), f"{row.split}.TOP": text}, ensure_ascii=False)


def _written(tree: Tree, positions: list[int], words: list[str]) -> str:
    from pipelines.formats.top import carried

    return carried(tree, positions, words, "(", ")", lambda word: word)


def recognise(head: Head) -> Guess | None:
    """JSON lines with a key that ends in `.SRC`."""
    if any(key.endswith(".SRC") for key in head.first):
        return Guess(3, "JSON lines with keys such as `dev.SRC`")
    return None


FORMAT = Format(
    name="pizza",
    summary="JSON lines with trees in round brackets, every word a leaf: PIZZA",
    patterns=("*.json", "*.jsonl"),
    plan=plan,
    read=read,
    example='{"dev.SRC": "one ham pizza", "dev.TOP": "(ORDER (PIZZAORDER (NUMBER one ) (TOPPING ham ) pizza ) )"}',
    recognise=recognise,
    writer=Writer(record, save_lines(".jsonl")),
    loses={
        "domain": "not written",
        "locale": "not written",
        "raw text": "the words are written, with one blank between them",
        "other text": "the words are written, with one blank between them",
        "blanks in words": "refused: words stand between blanks",
        "mixed slots": "refused: words beside a slot are not in the tree",
        "coordinated values": "written side by side; `--coordinate` finds those with a joining word between",
        "functions": "refused where words stand beside their parts",
        "no slots": "refused unless the label ends in `ORDER`: words right under a label are its own",
        "generated words": "refused: every leaf is a word of the utterance",
        "scattered slots": "refused",
        "words of intents": "refused where the label ends in `ORDER`, or beside a slot",
        "marks in text": "refused where a word is `)`, or begins with `(`",
    },
)
