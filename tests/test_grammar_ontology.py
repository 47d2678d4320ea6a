"""Ontologies: TOML there and back, drafts from trees, and messages that say how to mend a file."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import ontologies, trees
from typer.testing import CliRunner

from grammar import Ontology, Tree, check, parse
from grammar.__main__ import app
from grammar.infer import Counts, infer
from grammar.ontology import Node, OntologyError, load, loads

SHOPPING = "(and(AddToListIntent(add(ItemName(apples))(ItemName(pears))))(PlayMusicIntent()))"


@given(ontologies())
def test_toml_round_trip(ontology: Ontology) -> None:
    again = loads(ontology.dumps())
    assert again == ontology
    assert again.sha256() == ontology.sha256()


@pytest.mark.parametrize("words", [True, False])
@pytest.mark.parametrize("least", [0, 1, 2])
@pytest.mark.parametrize("kind", ["intent", "function", "slot"])
def test_toml_keeps_what_differs_from_the_defaults(kind: str, least: int, words: bool) -> None:
    nodes = {
        "x": Node(kind, frozenset({"y"}), words=words, least=min(least, 1)),
        "y": Node("slot", words=words, least=0),
    }
    ontology = Ontology(nodes, ["x"])
    assert loads(ontology.dumps()) == ontology


@given(st.lists(trees(st.sampled_from(["and", "add", "IN:A", "B", "C"]), st.sampled_from(["x", "y"])), min_size=1))
def test_a_draft_reads_back_and_allows_what_it_was_drawn_from(corpus: list[Tree]) -> None:
    draft = loads(infer(corpus).dumps())
    for tree in corpus:
        assert check(str(tree), draft) == []


@given(st.lists(trees(), min_size=1, max_size=4), st.lists(trees(), max_size=4))
def test_counts_add_up_over_parts(left: list[Tree], right: list[Tree]) -> None:
    whole, part, other = Counts(), Counts(), Counts()
    for tree in left + right:
        whole.add(tree)
    for tree in left:
        part.add(tree)
    for tree in right:
        other.add(tree)
    part.merge(Counts.from_json(other.to_json()))
    assert part.to_json() == whole.to_json()


def test_kinds_of_a_draft() -> None:
    draft = infer([parse(SHOPPING)])
    assert {label: draft.kind(label) for label in draft.labels()} == {
        "AddToListIntent": "intent",
        "ItemName": "slot",
        "PlayMusicIntent": "intent",
        "add": "function",
        "and": "function",
    }
    assert draft.nodes["add"].counts == {"ItemName": 2}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[intents.A", "<text>: "),
        ("[intent.A]", "unknown key `intent`"),
        ("[intents.A]\ntake = []", "the nearest key is `takes`"),
        ("[intents.A]\ntakes = ['ItmName']\n[slots.ItemName]", "the ontology has `ItemName`"),
        ("[intents.A]\nrequired = ['B']\n[slots.B]", "which `takes` lacks"),
        ("[intents.A]\n[slots.A]", "both intent and slot"),
        ("roots = ['B']\n[intents.A]", "`roots` names the unknown label `B`"),
        ("[intents.A]\ntakes = ['A']\nrequired = ['A']", "no finite tree has the label `A`"),
        ("[intents.A]\ntakes = ['B']\nleast = 2\n[slots.B]", "no finite tree has the label `A`"),
        ("[intents.A]\nleast = 'two'", "`least` must be a int"),
        ("[intents.A]\nleast = true", "[intents.A]: `least` must be a int"),
        ("[intents.A]\nleast = -1", "[intents.A]: `least` must be 0 or more"),
        ("[intents.A]\ncounts = {A = 'x'}", "[intents.A]: `counts` must be a table of numbers"),
        ("[intents.A]\ntakes = [1]", "[intents.A]: `takes` must be a list of strings"),
        ("intents = 3", "<text>: `intents` must be a table"),
        ("functions = true", "<text>: `functions` must be a table"),
        ("slots = [1]", "<text>: `slots` must be a table"),
        ("[intents]\nA = 1", "[intents.A] must be a table"),
        ("lexicon = 3", "<text>: [lexicon] must be a table"),
        ("[lexicon]\nwords = 'yes'", "<text>: [lexicon]: `words` must be a list of strings"),
        ("[lexicon]\nfoo = 1", "[lexicon]: unknown key `foo`; the only key is `words`"),
        ('[lexicon]\nwords = ["a\\tb"]', "[lexicon]: no tree can hold the word 'a\\tb'"),
        ("version = 99", "<text>: `version` is 99, and this is read: 1"),
        ("version = '1'", "<text>: `version` is '1'"),
        ("roots = 'x'\n[intents.x]", "<text>: `roots` must be a list of strings"),
        ("[intents.'(']", "no tree can hold the label '('; labels are made of ASCII letters"),
        ("[slots.'A b']", "no tree can hold the label 'A b'"),
        ("[slots.'']", "no tree can hold the label ''"),
    ],
)
def test_messages(text: str, message: str) -> None:
    with pytest.raises(OntologyError) as caught:
        loads(text)
    assert message in str(caught.value)


def test_files_as_editors_save_them(tmp_path: Path) -> None:
    file = tmp_path / "o.toml"
    file.write_bytes(b"\xef\xbb\xbf[intents.A]\n")
    assert load(file).labels() == loads("\ufeff[intents.A]").labels() == ["A"]
    file.write_bytes(b"[intents.A]\ndescription = 'caf\xe9'\n")
    with pytest.raises(OntologyError, match=r"o\.toml:2: not UTF-8"):
        load(file)


def test_an_ontology_that_cannot_be_used_is_told_without_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "t.tsv").write_text("b\t(a(b))\n")
    for text in ("intents = 3", "lexicon = 3", "slots = [1]", "functions = true"):
        (tmp_path / "ontology.toml").write_text(text)
        for more in ([], ["--ontology", str(tmp_path / "ontology.toml")]):
            result = CliRunner().invoke(app, ["check", str(tmp_path / "t.tsv"), *more])
            assert result.exit_code == 2 and result.stderr.startswith(f"error: {tmp_path}")
