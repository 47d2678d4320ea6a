"""The quick look at columns: equal to the grammar, and never silent where the slow look finds something."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lark import UnexpectedInput
from mutations import mutated, random_row, random_rows
from strategies import trees

pa = pytest.importorskip("pyarrow")

import numpy as np  # noqa: E402

from grammar.atoms import Numbers, Words  # noqa: E402
from grammar.blocks import blocks  # noqa: E402
from grammar.checker import check  # noqa: E402
from grammar.columns import DEPTH, Clean, valid  # noqa: E402
from grammar.corpus import Corpus  # noqa: E402
from grammar.files import Names, read  # noqa: E402
from grammar.ontology import loads  # noqa: E402
from grammar.recover import scan  # noqa: E402
from grammar.regular import NotRegular, pattern  # noqa: E402
from grammar.rules import DEFAULT, EXAMPLE_ONTOLOGY, RULES  # noqa: E402
from grammar.run import Run  # noqa: E402
from grammar.syntax import lark  # noqa: E402

ONTOLOGY = loads(EXAMPLE_ONTOLOGY + '\n[lexicon]\nwords = ["yes"]\n')


def is_tree(text: str) -> bool:
    try:
        lark().parse(text)
    except UnexpectedInput:
        return False
    return True


def column(texts: list[str]) -> pa.Array:
    return pa.array([text.encode("utf-8", "surrogateescape") for text in texts], pa.binary())


# --- the verdict


def test_verdict_is_that_of_lark_on_trees_mutated_trees_and_noise() -> None:
    made = random_rows(random.Random(7), 1_200)
    verdicts = valid(column(made)).to_pylist()

    assert [is_tree(text) for text in made] == verdicts
    assert 0.1 < sum(verdicts) / len(made) < 0.9


def test_the_scan_finds_something_just_where_lark_does() -> None:
    for text in random_rows(random.Random(8), 500):
        found = scan(text).findings
        try:
            lark().parse(text)
        except UnexpectedInput:
            assert found, text
        else:
            assert not found, text


@given(st.lists(trees().map(str) | st.text("()\\ \t\nab\u00e9\x00", max_size=20), max_size=8))
@settings(max_examples=60)
def test_verdict_on_slices_and_neighbours(texts: list[str]) -> None:
    whole = column(["(", *texts, "(a"])
    assert [is_tree(text) for text in texts] == valid(whole.slice(1, len(texts))).to_pylist()


def test_deeper_trees_are_left_to_others() -> None:
    texts = ["(a" * depth + "(b)" + ")" * depth for depth in range(1, DEPTH + 3)]
    assert valid(column(texts)).to_pylist() == [True] * DEPTH + [False] * 2


def test_a_null_is_no_tree() -> None:
    assert valid(pa.array([None, b"(a(b))"], pa.binary())).to_pylist() == [False, True]


def test_another_grammar_gives_another_expression() -> None:
    import re

    from lark import Lark

    pairs = pattern(Lark('start: "<" A+ ">"\nA: /[a-z]/\n%ignore " "', parser="lalr", lexer="basic"), 3)
    assert re.fullmatch(pairs, "<ab c>") and not re.fullmatch(pairs, "<>")
    with pytest.raises(NotRegular, match="looks around"):
        pattern(Lark("start: A\nA: /a(?!b)/", parser="lalr"), 3)


# --- nothing that is wrong is passed over


@pytest.mark.parametrize("code", sorted(code for code, rule in RULES.items() if code in DEFAULT))
def test_a_broken_example_is_never_clean(code: str) -> None:
    rule = RULES[code]
    if rule.form != "tree" or len(rule.bad) > 1 << 21:
        return
    ontology = ONTOLOGY if code.startswith("E2") else None
    assert not Clean(ontology)(column([rule.bad]), [rule.utterance or None])[0]
    if len(rule.good) < 1_000:  # the good example of a depth is deep itself
        assert Clean(ontology)(column([rule.good]), [rule.utterance or None])[0]


@pytest.mark.parametrize("seed", range(2))
def test_a_clean_row_has_no_finding(seed: int) -> None:
    made = random.Random(seed)
    texts = random_rows(made, 400)
    said = [random_row(made, text) for text in texts]
    for ontology in (None, ONTOLOGY):
        clean = Clean(ontology)
        bare, spoken = clean(column(texts)), clean(column(texts), said)
        for i, text in enumerate(texts):
            assert not (bare[i] and check(text, ontology)), text
            assert not (spoken[i] and check(text, ontology, said[i])), (text, said[i])
        assert bare.any() and spoken.any()


@pytest.mark.parametrize("tokeniser", ["given", "words-1", "chars-1"])
def test_every_tokeniser_has_a_quick_look(tokeniser: str) -> None:
    clean = Clean(None, tokeniser)
    tree, said = ("(P(T(a)(b)))", "a b") if tokeniser == "chars-1" else ("(P(T(Star)(Wars)))", "play Star Wars")
    assert clean(column([tree]), [said])[0]
    assert not clean(column([tree]), ["Wars of a Star"] if tokeniser != "chars-1" else ["b a"])[0]


@given(
    st.sets(st.text("ab", min_size=1, max_size=3) | st.text("ab", min_size=7, max_size=60), min_size=0, max_size=12),
    st.lists(st.text("ab", max_size=40), max_size=5),
    st.randoms(use_true_random=False),
)
@settings(max_examples=60)
def test_a_number_is_that_of_just_this_string(known: set[str], others: list[str], made: random.Random) -> None:
    labels = sorted(known)
    numbers = Numbers([label.encode() for label in labels], len(labels))
    pieces = made.sample([*labels, *others], len(labels) + len(others))
    end = np.cumsum([len(piece) + 1 for piece in pieces], dtype=np.int64) - 1
    length = np.array([len(piece) for piece in pieces], np.int64)
    found = numbers(Words(" ".join(pieces).encode()), end, length).tolist()
    for piece, number in zip(pieces, found, strict=True):
        if number < len(labels):
            assert labels[number] == piece
        else:  # it may be missed where another label has the same end
            assert piece not in known or sum(label[-16:] == piece[-16:] for label in labels) > 1


# --- files


FILES = ("trees", "tsv", "jsonl", "parquet", "trees.gz", "tsv.named")


def write(folder: Path, form: str, rows: list[tuple[str, str]], made: random.Random) -> Path:
    """A file of (utterance, tree), with whatever else stands in such files."""
    file = folder / f"{form.split('.')[0]}.{form.replace('.named', '')}"
    if form == "parquet":
        import pyarrow.parquet as pq

        clean = [(a.encode("utf-8", "replace").decode(), b.encode("utf-8", "replace").decode()) for a, b in rows]
        table = {"utterance": [a for a, _ in clean], "tree": [None if b == "" else b for _, b in clean]}
        pq.write_table(pa.table(table), file, row_group_size=100)
        return file
    lines = []
    for utterance, tree in rows:
        tree = tree.replace("\n", " ")
        if form.startswith("trees"):
            lines.append(tree)
        elif form == "tsv":
            lines.append(f"{utterance}\t{tree}")
        elif form == "tsv.named":
            lines.append(f"{tree}\tann\t{utterance}".replace("\n", " "))
        else:
            row = {"utterance": utterance if made.random() < 0.7 else utterance.split(), "tree": tree}
            lines.append(json.dumps(row, ensure_ascii=made.random() < 0.5))
        odd = made.random()
        if odd < 0.03:
            lines.append(
                made.choice(["", "# a comment", "no tab", "{", '{"tree": 1}', '{"tree": "(a(b))", "words": 3}'])
            )
        elif odd < 0.05:
            lines[-1] += "\r"
    head = "tree\tannotator\tutterance\n" if form == "tsv.named" else ""
    data = (head + "\n".join(lines)).encode("utf-8", "surrogateescape")
    data = (b"\xef\xbb\xbf" if made.random() < 0.3 else b"") + data + b"\n" * (made.random() < 0.5)
    file.write_bytes(gzip.compress(data) if form.endswith("gz") else data)
    return file


@pytest.mark.parametrize("form", FILES)
def test_a_run_with_the_quick_look_finds_what_a_run_without_it_does(form: str, tmp_path: Path) -> None:
    made = random.Random(FILES.index(form))
    texts = random_rows(made, 150)
    file = write(
        tmp_path, form, [(random_row(made, text).replace("\t", " ").replace("\n", " "), text) for text in texts], made
    )
    for ontology in (None, ONTOLOGY):
        for codes in (DEFAULT, frozenset(RULES)):
            slow = Run([str(file)], ontology, codes=codes, fast=False)
            fast = Run([str(file)], ontology, codes=codes, fast=True)
            assert [(c.row, c.findings, c.more) for c in slow] == [(c.row, c.findings, c.more) for c in fast]
            assert slow.rows == fast.rows > 0


@pytest.mark.parametrize("form", ["tsv", "jsonl", "parquet", "tsv.named"])
def test_rows_that_are_not_looked_at_are_held_against_each_other_all_the_same(form: str, tmp_path: Path) -> None:
    made = random.Random(FILES.index(form))
    rows = [(random_row(made, text).replace("\t", " ").replace("\n", " "), text) for text in random_rows(made, 60)]
    file = str(write(tmp_path, form, made.choices(rows, k=150), made))
    found = []
    for fast in (False, True):
        corpus = Corpus(lambda path: read(path, cut=True))
        codes = [(c.row, c.findings) for c in Run([file], codes={"E401", "E402"}, watchers=[corpus], fast=fast)]
        found.append(codes)
    assert found[0] == found[1] and found[0]


@pytest.mark.parametrize("form", FILES)
def test_blocks_hold_the_rows_that_reading_gives(form: str, tmp_path: Path) -> None:
    made = random.Random(3)
    rows = [(random_row(made, text).replace("\t", " ").replace("\n", " "), text) for text in random_rows(made, 60)]
    file = str(write(tmp_path, form, rows, made))
    for size in (7, 300, 1 << 20):
        found = [block.row(i) for block in blocks(file, None, Names(), size) for i in range(block.size)]
        assert list(read(file, cut=True)) == found


def test_mutations_are_many() -> None:
    made = random.Random(1)
    assert len({mutated(made, "(PlayMusicIntent(Title(Jolene)))") for _ in range(200)}) > 100
