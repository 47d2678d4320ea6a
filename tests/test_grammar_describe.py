"""Ontologies compared, documented and turned into a JSON Schema."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from strategies import ontologies
from test_grammar_cli import run, write
from test_grammar_constrain import cases, is_allowed

from grammar import Leaf, Ontology, Tree, check
from grammar.changes import changes
from grammar.describe import html, markdown, schema
from grammar.infer import Counts, doubts
from grammar.ontology import Node, loads
from grammar.syntax import parse

MUSIC = """
[intents.PlayMusic]
takes = ["Title", "Artist"]
required = ["Title"]
repeated = ["Artist"]
description = "play a | b"
examples = ["play Jolene"]
[intents.Stop]
[functions.and]
takes = ["PlayMusic", "Stop"]
repeated = ["PlayMusic"]
[slots.Title]
[slots.Artist]
[lexicon]
words = ["yes"]
"""
HOSTILE = "<script>alert('\"&')</script>\u202e\x00"


def plain(tree: Tree) -> dict:
    children = [child.word if isinstance(child, Leaf) else plain(child) for child in tree.children]
    return {"label": tree.label, "children": children}


@settings(max_examples=15)
@given(ontologies(), st.integers(0, 2**32))
def test_the_schema_accepts_what_the_checker_passes(ontology: Ontology, seed: int) -> None:
    Draft202012Validator.check_schema(schema(ontology))
    validator = Draft202012Validator(schema(ontology))
    for tree in cases(ontology, seed, 6):
        assert validator.is_valid(plain(tree)) == is_allowed(tree, ontology), str(tree)


def test_markdown() -> None:
    text = markdown(loads(MUSIC), "Music")

    assert text.startswith("# Music\n\nA tree begins with `PlayMusic`, `Stop` or `and`.\n")
    assert (
        "| `PlayMusic` | play a \\| b<br>*for example* `play Jolene` | "
        "`Title` (exactly one), `Artist` (any number) | the root, `and` |\n" in text
    )
    assert "| `and` |  | `PlayMusic` (any number), `Stop`; at least 2 | the root |\n" in text
    assert "| `Title` |  | words | `PlayMusic` |\n" in text
    assert "Not in the utterance, yet allowed: `yes`." in text


def test_html_is_whole_and_escapes_everything() -> None:
    # `loads` refuses such a label; what is written must not rely on it.
    hostile = Node("slot", words=True, description=HOSTILE)
    ontology = Ontology(loads(MUSIC).nodes | {HOSTILE: hostile})
    text = html(ontology, HOSTILE)
    tags: list[str] = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attrs: tags.append(tag)  # type: ignore[method-assign]
    parser.feed(text)

    assert "script" not in tags
    assert not re.search(r"[\x00\u202e]", text)
    assert not re.search(r"(?:src|href)=\"(?!#)|url\(|@import", text)
    assert '<tr id="PlayMusic">' in text and 'href="#Title"' in text


@given(ontologies())
def test_an_ontology_does_not_differ_from_itself(ontology: Ontology) -> None:
    assert changes(ontology, ontology) == []


@settings(max_examples=40)
@given(ontologies(), ontologies(), st.integers(0, 2**32))
def test_without_a_breaking_change_good_trees_stay_good(before: Ontology, after: Ontology, seed: int) -> None:
    found = changes(before, after)
    if any(change.breaks for change in found):
        return
    for tree in cases(before, seed, 6):
        if is_allowed(tree, before):
            assert is_allowed(tree, after), (str(tree), [str(change) for change in found])


def test_changes_in_words() -> None:
    after = MUSIC.replace('["Title", "Artist"]', '["Title", "Artist", "Genre"]').replace("[intents.Stop]\n", "")
    after = after.replace(', "Stop"]', "]").replace("play a | b", "play it") + "[slots.Genre]\n"

    assert [str(change) for change in changes(loads(MUSIC), loads(after))] == [
        "+ Genre  (slot)",
        "+ PlayMusic: takes Genre",
        '~ PlayMusic: description "play a | b" -> "play it"',
        "- Stop  (intent)",
        "- and: takes Stop",
        "- roots Stop",
    ]


def test_commands(tmp_path: Path) -> None:
    old = write(tmp_path / "old.toml", MUSIC)
    new = write(tmp_path / "new.toml", MUSIC.replace('required = ["Title"]', ""))
    assert run("ontology", "diff", old, old).exit_code == 0
    result = run("ontology", "diff", old, new)
    assert (result.exit_code, result.stdout) == (1, "  - PlayMusic: required Title\n")
    found = json.loads(run("ontology", "diff", new, old, "--json").stdout)
    assert found["changes"] == [
        {"label": "PlayMusic", "what": "required", "before": None, "after": "Title", "breaks": True}
    ]
    assert run("ontology", "diff", old, tmp_path / "none.toml").exit_code == 2
    assert run("ontology", "docs", old).stdout == markdown(loads(MUSIC))
    assert json.loads(run("ontology", "docs", old, "--to", "schema").stdout) == schema(loads(MUSIC))
    output = tmp_path / "labels.html"
    assert run("ontology", "docs", old, "--to", "html", "--output", output).stdout == ""
    assert output.read_text("utf-8") == html(loads(MUSIC))
    assert "root ::= playmusic | stop | and\n" in run("ontology", "grammar", old, "--to", "gbnf").stdout
    assert run("ontology", "grammar", old, "--to", "ebnf").exit_code == 2


def test_a_draft_names_what_is_doubtful(tmp_path: Path) -> None:
    counts = Counts()
    for i in range(300):
        counts.add(parse("(Play(Title(x))(Odd(y)))" if i == 7 else "(Play(Title(x)))"))
    draft = counts.ontology()

    assert doubts(draft) == {
        "Odd": ["seen only once"],
        "Play": ["rare: Odd (1 of 300)", "always there, so perhaps required: Title"],
    }
    assert doubts(draft, rare=0) == {"Odd": ["seen only once"], "Play": ["always there, so perhaps required: Title"]}
    assert loads(draft.dumps(doubts(draft))) == draft
    file = write(tmp_path / "a.trees", "(Play(Title(x)))\n" * 300 + "(Play(Odd(y)))\n")
    assert "\n# rare: Odd (1 of 301)\n" in run("infer", file).stdout
    assert check("(Play(Title(x)))", draft) == []
