"""Logical forms become trees and the very same logical forms again, in both notations, whatever they say."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from typer.testing import CliRunner

from grammar import shard
from grammar.syntax import parse
from grammar.tree import Leaf, Tree
from pipelines.__main__ import app
from pipelines.convert import Options, run
from pipelines.export import export
from pipelines.formats import Reading
from pipelines.forms import NOTATIONS, FormError, lisp, logic, nlmaps, overnight
from pipelines.verify import verify

DATA = Path(__file__).with_name("data")
corpora = os.environ.get("TREEWRIGHT_CORPORA", "")
needs_corpora = pytest.mark.skipif(not corpora, reason="set TREEWRIGHT_CORPORA to the folder of the corpora")

WORDS = """
a call SW.filter .size string number date time var lambda s @ plain open not 'x $0 #'y ^z type:b > 'max max 3
SW.listValue SW.getProperty SW.singleton !type SW.reverse SW.ensureNumericProperty SW.ensureNumericEntity
SW.superlative SW.aggregate SW.countComparative a/$0 p[$1] date_2015 kv: é
"""
ATOMS = st.sampled_from(WORDS.split())
LISP = st.recursive(ATOMS, lambda inner: st.lists(inner, max_size=5), max_leaves=25).filter(
    lambda form: isinstance(form, list)
)
LIKELY = [
    "( call SW.filter a ( call SW.ensureNumericProperty ( var n ) ) ( string = ) ( call SW.ensureNumericEntity b ) )",
    "( call SW.filter a ( call SW.ensureNumericProperty ( string n ) ) ( string > ) b )",
    "( call SW.superlative ( call SW.singleton b ) ( string max ) ( string p ) )",
    "( call SW.listValue ( call SW.listValue a ) )",
    "( call SW.listValue 'a )",
    "( call SW.listValue ( number 3 a b_c ) )",
    "( call SW.filter> a b )",
    "( plain ( a ) )",
    "( a b )",
]


def there_and_back(form, to_tree, to_form):
    """In both notations, and through the text of the tree."""
    for notation in NOTATIONS:
        tree = to_tree(form, notation)
        assert form == to_form(tree, notation)
        if all(word and not set(word) & set("\t\r\n") for word in tree.words()):
            assert form == to_form(parse(str(tree)), notation)


@given(LISP)
def test_any_bracket_is_an_overnight_form_both_ways(form):
    there_and_back(lisp.write(form), overnight.to_tree, overnight.to_form)


@pytest.mark.parametrize("form", LIKELY)
def test_forms_close_to_a_rule_come_back(form):
    there_and_back(form, overnight.to_tree, overnight.to_form)


@given(LISP, st.booleans())
def test_any_lambda_form_comes_back(form, bare):
    text = lisp.write(form)
    if bare and form and isinstance(form[0], str):
        text = text[2:-2]
    there_and_back(text, logic.lambda_to_tree, logic.lambda_to_form)


@st.composite
def goals(draw, level=0):
    """Prolog between blanks."""
    kind = draw(st.sampled_from(["atom", "call", "call", "group", "not", "either"] if level < 3 else ["atom"]))
    below = goals(level=level + 1)
    if kind == "atom":
        return draw(
            st.sampled_from(["A", "ANS", "berlin", "_x", "a/B", "3", "@", "' new berlin '", "' A '", "' ( , '", "' '"])
        )
    if kind == "not":
        return f"\\+ {draw(below)}"
    parts = draw(st.lists(below, min_size=1, max_size=3))
    if kind == "either":
        return f"( {' ; '.join(parts)} )"
    name = draw(st.sampled_from(["job", "_loc", "p/A"])) + " " if kind == "call" else ""
    return f"{name}( {' , '.join(parts)} )"


@given(st.lists(goals(), min_size=1, max_size=3))
def test_any_goals_come_back(parts):
    there_and_back(" , ".join(parts), logic.prolog_to_tree, logic.prolog_to_form)


KEYS = st.sampled_from(["name", "a:b", "k=v", "*", "O'Neill's", "", "two  blanks", " x", "kv:name", "find:a", "(b"])
TERMS = st.recursive(
    st.sampled_from(["count", "1", "find:x", "kv:a=b", "topx"]) | st.builds(nlmaps.Quoted, KEYS),
    lambda inner: st.builds(
        nlmaps.Call,
        st.sampled_from(["query", "keyval", "findkey", "or", "topx", "qtype", "latlong", "val", "plain", "kv:name"]),
        st.lists(inner, min_size=1, max_size=3).map(tuple),
    ),
    max_leaves=15,
).filter(lambda term: isinstance(term, nlmaps.Call))


@given(TERMS)
@example(nlmaps.Call("query", (nlmaps.Call("keyval", (nlmaps.Quoted("k"), nlmaps.Quoted("a=b"))),)))
@example(nlmaps.Call("query", (nlmaps.Call("keyval", (nlmaps.Quoted("name"), nlmaps.Quoted("*"))),)))
def test_any_query_comes_back(term):
    there_and_back(nlmaps.write(term), nlmaps.to_tree, nlmaps.to_form)
    assert term == nlmaps.read(nlmaps.write(term)) == nlmaps.read(nlmaps.write(term, blanks=True))


def test_compact_is_what_the_docstrings_show():
    form = (
        "( call SW.listValue ( call SW.filter ( call SW.getProperty ( call SW.singleton en.meeting ) ( string !type ) )"
        " ( call SW.ensureNumericProperty ( string start_time ) ) ( string > )"
        " ( call SW.ensureNumericEntity ( time 10 0 ) ) ) )"
    )
    assert str(overnight.to_tree(form)) == "(filter>N(type:en.meeting)(#'start_time)(time_10_0))"
    query = "query(area(keyval('name','Old Town')),nwr(keyval('amenity','bank')),qtype(findkey('phone')))"
    shown = r"(query(area(kv:name(Old)(Town)))(nwr(kv:amenity=bank))(qtype\(find:phone\)))"
    assert shown == str(nlmaps.to_tree(query))


@pytest.mark.parametrize(
    "to_form, tree",
    [
        (overnight.to_form, Tree("filter>N", [Leaf("a"), Leaf("b")])),
        (overnight.to_form, Tree("filter>")),
        (overnight.to_form, Tree("@s", [Leaf("a")])),
        (overnight.to_form, Tree("superlativemax")),
        (overnight.to_form, Tree("plain")),
        (nlmaps.to_form, Tree("plain", [Leaf("a")])),
        (nlmaps.to_form, Tree("q", [Leaf("kv:a")])),
        (nlmaps.to_form, Tree("q", [Tree("val", [Tree("x")])])),
        (logic.lambda_to_form, Tree("open", [Leaf("a"), Leaf("b")])),
        (logic.prolog_to_form, Tree("not")),
        (logic.prolog_to_form, Tree("quoted", [Tree("a")])),
    ],
)
def test_a_tree_that_stands_for_no_form_is_an_error(to_form, tree):
    """A parser may say such a tree: it counts as wrong, and nothing breaks."""
    with pytest.raises(FormError):
        to_form(tree)


@pytest.mark.parametrize("text", ["( " * 5000 + ") " * 5000, "f(" * 5000 + "1" + ")" * 5000, "\\+ " * 5000])
def test_endless_brackets_are_refused(text):
    for to_tree in (overnight.to_tree, logic.lambda_to_tree, logic.prolog_to_tree, nlmaps.to_tree):
        with pytest.raises(FormError):
            to_tree(text)


@pytest.mark.parametrize("name", ["overnight", "lambda", "prolog", "nlmaps"])
@pytest.mark.parametrize("notation", NOTATIONS)
def test_export_writes_the_logical_forms_back(name, notation, tmp_path):
    """Convert, export in every variant, convert what was exported: the same rows, and nothing unexplained."""
    options = Options([str(DATA / name / "corpus")], name, str(tmp_path / "a"), max_rejected=1)
    manifest = run(Options(**vars(options) | {"reading": Reading(notation=notation)}))

    assert notation == manifest.options["notation"]
    assert verify(tmp_path / "a")[1] == []
    variants = {"overnight": ("tsv", "examples"), "nlmaps": ("en", "de")}.get(name, ("",))
    for variant in variants:
        report = export(tmp_path / "a", name, tmp_path / f"out{variant}", variant)
        assert (report.unexplained, report.changed.total(), report.refused.total()) == ([], 0, 0)
        assert report.rows == report.kept == manifest.rows_out


def test_what_is_not_copied_is_in_the_lexicon(tmp_path):
    run(Options([str(DATA / "nlmaps" / "corpus")], "nlmaps", str(tmp_path / "a"), max_rejected=1))
    from grammar.ontology import load

    lexicon = load(tmp_path / "a" / shard.ONTOLOGY).lexicon
    for table in shard.read_split(tmp_path / "a", "train"):
        for row in table.to_pylist():
            assert lexicon >= {s for k, s, c in zip(row["actions"], row["symbols"], row["copy"], strict=True)
                               if k == 1 and c < 0}  # fmt: skip
    assert "Town" not in lexicon


def test_other_trees_are_no_logical_forms(tmp_path):
    run(Options([str(DATA / "brackets" / "corpus")], "brackets", str(tmp_path / "a"), max_rejected=1))
    arguments = ["export", "--format", "overnight", "--shards", str(tmp_path / "a"), "--output", str(tmp_path / "b")]
    failed = CliRunner().invoke(app, arguments)

    assert failed.exit_code == 2 and "stand for none" in failed.output


@needs_corpora
def test_every_row_of_overnight_comes_back():
    seen = set()
    for path in sorted(Path(corpora, "overnight", "tsv").glob("*.tsv")):
        seen |= {line.split("\t")[2] for line in path.read_text("utf-8").splitlines()}
    assert len(seen) > 2000
    trees = {notation: set() for notation in NOTATIONS}
    for form in seen:
        for notation in NOTATIONS:
            tree = overnight.to_tree(form, notation)
            assert form == overnight.to_form(tree, notation)
            assert notation == "plain" or tree.label != "plain"
            trees[notation].add(str(tree))
    assert all(len(found) == len(seen) for found in trees.values())


@needs_corpora
def test_every_row_of_nlmaps_comes_back():
    lines = [line for path in Path(corpora, "nlmaps-v1").glob("*.mrl") for line in path.read_text("utf-8").splitlines()]
    assert len(lines) == 2380
    for form in lines:
        for notation in NOTATIONS:
            tree = nlmaps.to_tree(form, notation)
            assert form == nlmaps.to_form(tree, notation)
            assert notation == "plain" or tree.label != "plain"
