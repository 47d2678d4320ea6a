"""Agreement between annotators: equal to scikit-learn, krippendorff and zss; rows matched; disagreements settled."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import krippendorff
import numpy as np
import pytest
import zss
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score
from strategies import trees
from test_grammar_cli import run, write

from grammar import Leaf, Tree, parse
from grammar.agreement import Item, agree, alpha, clause_intents, kappa, positions, word_paths
from grammar.treediff import diff, distance, unordered

FEW = trees(st.sampled_from(["a", "b", "c"]), st.sampled_from(["x", "y"]), 8)
ANNA = (
    "play jolene\t(Play(Title(jolene)))\nadd apples and pears\t(Add(add(Item(apples))(Item(pears))))\nstop\t(Stop())\n"
)
BEN = ANNA.replace("Title", "Artist")
CLEO = "stop\t(Stop())\nadd apples and pears\t(Add(Item(apples)(and)(pears)))\nplay jolene\t(Play(Artist(jolene)))\n"


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abc")), min_size=1, max_size=30))
def test_kappa_is_that_of_scikit_learn(pairs: list[tuple[str, str]]) -> None:
    left, right = zip(*pairs, strict=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wanted = cohen_kappa_score(left, right)
    ours = kappa(left, right)

    assert ours == pytest.approx(wanted) if not np.isnan(wanted) else ours is None


@given(st.lists(st.lists(st.sampled_from(["a", "b", "c", None]), min_size=3, max_size=3), min_size=1, max_size=12))
def test_alpha_is_that_of_krippendorff(units: list[list[str | None]]) -> None:
    number = {None: np.nan, "a": 0.0, "b": 1.0, "c": 2.0}
    data = np.array([[number[unit[i]] for unit in units] for i in range(3)])
    pairable = {v for u in units if sum(x is not None for x in u) > 1 for v in u if v is not None}
    ours = alpha(units)
    if len(pairable) < 2:
        assert ours is None
        return

    assert ours == pytest.approx(krippendorff.alpha(data, level_of_measurement="nominal", value_domain=[0.0, 1.0, 2.0]))


def children(item: Tree | Leaf) -> list[Tree | Leaf]:
    return list(item.children) if isinstance(item, Tree) else []


def rename(old: Tree | Leaf, new: Tree | Leaf) -> int:
    if isinstance(old, Leaf) or isinstance(new, Leaf):
        return 2 if type(old) is not type(new) else int(old != new)
    return int(old.label != new.label)


@settings(max_examples=60)
@given(FEW, FEW)
def test_distance_is_that_of_zss_and_the_lines_of_a_diff_rebuild_both_trees(old: Tree, new: Tree) -> None:
    wanted = zss.distance(old, new, children, lambda _: 1, lambda _: 1, rename)
    lines = diff(old, new)

    assert distance(old, new) == distance(new, old) == wanted
    gone, come = (sum(len(line.text.split(" ")) for line in lines if line.sign == sign) for sign in "-+")
    # A renaming is a deletion and an insertion here, so the lines are between the distance and twice it.
    assert wanted <= gone + come <= 2 * wanted
    for sign, tree in (("-", old), ("+", new)):
        told = [part for line in lines if line.sign in (" ", sign) for part in line.text.split(" ")]
        assert told == preorder(tree)


def preorder(tree: Tree) -> list[str]:
    found: list[str] = []
    stack: list[Tree | Leaf] = [tree]
    while stack:
        item = stack.pop()
        found.append(item.label if isinstance(item, Tree) else f"({item.word})")
        stack += reversed(children(item))
    return found


def test_a_diff_of_deep_and_of_large_trees_ends() -> None:
    deep = parse("(a" * 900 + "(x)" + ")" * 900)
    assert distance(deep, parse("(a" * 899 + "(x)" + ")" * 899)) == 1
    wide = Tree("a", [Tree("b", [Leaf("x")])] * 600)
    other = Tree("a", [*wide.children[:300], Tree("c", [Leaf("y")]), *wide.children[300:]])
    assert [str(line) for line in diff(wide, other) if line.sign != " "] == ["+   c (y)"]


def test_order_can_be_left_out() -> None:
    one, other = parse("(and(B(x))(A(y))(z))"), parse("(and(z)(A(y))(B(x)))")

    assert one != other
    assert unordered(one, {"and"}) == unordered(other, {"and"})
    assert unordered(one, {"A"}) == one


def test_leaves_are_read_leftmost_in_order() -> None:
    tree = parse("(a(play)(the)(play)(moon)(the))")

    assert positions(tree, ["play", "The", "play"]) == [0, 1, 2, ("moon", 0), ("the", 0)]
    assert positions(parse("(a(b)(a))"), ["a", "b"]) == [1, 0]
    assert positions(tree, None) == [("play", 0), ("the", 0), ("play", 1), ("moon", 0), ("the", 1)]
    assert word_paths(parse("(a(S(x))(y))"), ["y", "x"]) == {1: ("a", "S"), 0: ("a",)}


def test_clauses() -> None:
    assert clause_intents(parse("(and(A(and(x)))(and(B())(C())))")) == ["A", "B", "C"]
    assert clause_intents(parse("(A(B(x)))")) == ["A"]


def test_measures_by_hand() -> None:
    items = [
        Item("1", ["play", "jolene"], [parse("(Play(Title(jolene)))"), parse("(Play(Artist(jolene)))")]),
        Item("2", ["stop"], [parse("(Stop())"), parse("(Stop())")]),
        Item("3", ["go"], [parse("(Go())"), None]),
    ]
    found = agree(items, 2)
    pair = found.pairs[0, 1].to_dict()

    assert (found.items, found.complete, found.agreed) == (3, 2, 1)
    assert pair["exact_match"] == 0.5
    assert pair["bracket_f1"] == 2 * 2 / 6  # Play over jolene and Stop over nothing, of three brackets each
    assert pair["intent_kappa"] == found.intent_alpha == 1.0
    assert pair["slot_kappa"] == kappa(["O", "PT", "O"], ["O", "PA", "O"])
    assert found.slot_alpha == alpha([["O", "O"], ["PT", "PA"], ["O", "O"], ["O", None]])


@given(FEW)
def test_annotators_who_write_the_same_agree(tree: Tree) -> None:
    found = agree([Item("1", None, [tree, tree, tree]), Item("2", None, [Tree("d"), Tree("d"), None])], 3)

    assert found.bracket_f1() == found.intent_alpha == 1.0
    assert found.agreed == 1
    assert found.pairs[0, 2].items == 1


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    return [write(tmp_path / f"{n}.tsv", text) for n, text in (("anna", ANNA), ("ben", BEN), ("cleo", CLEO))]


def test_agree(files: list[Path], tmp_path: Path) -> None:
    result = run("agree", *files, "--adjudicate", tmp_path / "settle.jsonl")

    assert result.exit_code == 1
    assert "all agree             33.3%" in result.stdout
    assert "bracket F1                 anna        ben\nben                       85.7%\ncleo" in result.stdout
    assert "--- anna, ben\n+++ cleo\n  Add\n-   add\n-     Item\n+   Item\n      (apples)\n" in result.stdout
    assert "2 items to settle, 1 agreed" in result.stderr
    found = json.loads(run("agree", *files, "--json").stdout)
    assert [row["item"] for row in found["disagreements"]] == ["play jolene", "add apples and pears"]
    assert found["pairs"][0]["annotators"] == ["anna", "ben"]
    assert run("agree", files[0], files[0], "--by", "line").exit_code == 0


def test_what_people_have_written_is_not_written_over(files: list[Path], tmp_path: Path) -> None:
    before = files[1].read_bytes()
    for more in ([], ["--overwrite"]):
        result = run("agree", *files, "--adjudicate", tmp_path / "." / "ben.tsv", *more)
        assert result.exit_code == 2 and "is an input" in result.stderr
    assert files[1].read_bytes() == before
    settled = write(tmp_path / "settle.tsv", "settled by hand")
    result = run("agree", *files, "--adjudicate", settled)
    assert result.exit_code == 2 and "settle.tsv exists" in result.stderr and result.stdout == ""
    assert settled.read_text("utf-8") == "settled by hand"
    assert run("agree", *files, "--adjudicate", settled, "--overwrite").exit_code == 1
    assert settled.read_text("utf-8").startswith("utterance\t")


@pytest.mark.parametrize(("form", "code"), [("jsonl", "E111"), ("tsv", "E111"), ("trees", "E103")])
def test_check_names_what_is_still_to_settle(files: list[Path], tmp_path: Path, form: str, code: str) -> None:
    settle = tmp_path / f"settle.{form}"
    run("agree", *files, "--adjudicate", settle)
    found = [json.loads(line)["code"] for line in run("check", "--json", settle).stdout.splitlines()]
    assert found == [code, code]
    text = settle.read_text("utf-8")
    for spoken, tree in (("play jolene", "(Play(Artist(jolene)))"), ("add apples and pears", "(Add(Item(apples)))")):
        if form == "jsonl":
            rows = [json.loads(line) for line in text.splitlines()]
            rows = [row | {"tree": tree} if row["utterance"] == spoken else row for row in rows]
            text = "\n".join(json.dumps(row) for row in rows)
        elif form == "tsv":
            text = text.replace(f"{spoken}\t\t", f"{spoken}\t{tree}\t")
        else:
            before, after = text.split(f"# {spoken}\n")
            text = f"{before}# {spoken}\n" + after.replace("\n()\n", f"\n{tree}\n", 1)
    assert run("check", write(settle, text)).exit_code == 0


def test_rows_are_matched(tmp_path: Path) -> None:
    left = write(tmp_path / "l.jsonl", '{"id": 1, "tree": "(a(b))"}\n{"id": 2, "tree": "(c(d))"}\n')
    right = write(tmp_path / "r.jsonl", '{"id": 2, "tree": "(c(d))"}\n{"id": 1, "tree": "(a(b))"}\n')
    lines = write(tmp_path / "x.trees", "(a(b))\n# note\n(c(d))\n")
    assert run("agree", left, right).exit_code == 0
    assert run("agree", left, right, "--by", "line").exit_code == 1
    assert "x.trees:1: no id to match this row by" in run("agree", left, lines, "--by", "id").stderr
    table = write(tmp_path / "t.tsv", "id\ttree\n2\t(c(d))\n1\t(a(b))\n")
    assert run("agree", left, table).exit_code == 0
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    pq.write_table(pa.table({"id": [2, 1], "tree": ["(c(d))", "(a(b))"]}), tmp_path / "p.parquet")
    assert run("agree", left, tmp_path / "p.parquet", "--by", "id").exit_code == 0
    twice = write(tmp_path / "t.jsonl", '{"id": 1, "tree": "(a(b))"}\n{"id": 1, "tree": "(a(b))"}\n')
    assert "t.jsonl:2: the id `1` stands in this file already" in run("agree", left, twice, "--by", "id").stderr
    said = write(tmp_path / "s.tsv", "go\t(A())\ngo\t(B())\n")
    assert run("agree", said, write(tmp_path / "u.tsv", "go\t(A())\ngo\t(B())\n")).exit_code == 0


def test_one_file_with_a_column_of_annotators(tmp_path: Path) -> None:
    rows = [f"{line}\t{who}" for who, text in (("anna", ANNA), ("ben", BEN)) for line in text.splitlines()]
    both = write(tmp_path / "both.tsv", "\n".join(["utterance\ttree\tannotator", *rows]) + "\n")
    found = json.loads(run("agree", both, "--json").stdout)

    assert (found["annotators"], found["items"], found["agreed"]) == (["anna", "ben"], 3, 2)
    alone = write(tmp_path / "alone.tsv", ANNA)
    result = run("agree", alone)
    assert (result.exit_code, "alone.tsv:1: no column `annotator`" in result.stderr) == (2, True)


def test_a_tree_that_cannot_be_read_is_missing(files: list[Path], tmp_path: Path) -> None:
    broken = write(tmp_path / "broken.tsv", ANNA.replace("(Stop())", "(Stop("))
    result = run("agree", files[0], broken)
    assert (result.exit_code, "2 of them annotated by all" in result.stdout) == (1, True)
    assert "error[E101]" in result.stderr


def test_diff(files: list[Path]) -> None:
    result = run("diff", "(Play(Title(Jolene)))", "(Play(Artist(Jolene)))")
    assert (result.exit_code, result.stdout) == (1, "  Play\n-   Title\n+   Artist\n      (Jolene)\n")
    assert run("diff", "(a (b c))", "(a(b)(c))").exit_code == 0
    result = run("diff", files[0], files[1])
    assert result.stdout.startswith(f"play jolene\n--- {files[0]}\n+++ {files[1]}\n  Play\n-   Title\n")
    assert json.loads(run("diff", files[0], files[1], "--json").stdout)["edits"] == ["-Title", "+Artist"]
    assert run("diff", "(a(b)", "(a(b))").exit_code == 2
