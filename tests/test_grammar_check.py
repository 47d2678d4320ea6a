"""Findings: the table of rules, the committed file of mistakes, and what must not be said."""

from __future__ import annotations

import doctest
import importlib
import itertools
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import LABEL_CHARS, trees
from typer.testing import CliRunner

from grammar import Finding, Leaf, Span, Tree, check
from grammar.__main__ import app
from grammar.align import _align, check_alignment
from grammar.files import read
from grammar.fixes import mend
from grammar.ontology import loads
from grammar.rules import DEFAULT, EXAMPLE_ONTOLOGY, RULES, UnknownCode, chosen, explain, index

ROOT = Path(__file__).parent.parent
ONTOLOGY = loads(EXAMPLE_ONTOLOGY)


def codes(findings: list[Finding]) -> list[str]:
    return [finding.code for finding in findings]


# --- the table of rules


ONE_TREE = sorted(code for code, rule in RULES.items() if rule.form == "tree")


@pytest.mark.parametrize("code", ONE_TREE)
def test_rule_examples(code: str) -> None:
    rule = RULES[code]
    ontology = ONTOLOGY if code.startswith("E2") else None
    assert codes(check(rule.bad, ontology, rule.utterance or None, codes=RULES)) == [code]
    assert check(rule.good, ontology, rule.utterance or None, codes=RULES) == []


@pytest.mark.parametrize("code", ONE_TREE)
def test_fixes_are_those_that_the_table_names(code: str) -> None:
    rule = RULES[code]
    ontology = ONTOLOGY if code.startswith("E2") else None
    (found,) = check(rule.bad, ontology, rule.utterance or None, codes=RULES)
    assert rule.fix.partition(":")[0] == ("" if found.fix is None else "safe" if found.fix.safe else "unsafe")
    assert found.severity == rule.severity


def test_only_what_is_selected_is_said() -> None:
    rule = RULES["E306"]
    assert check(rule.bad, utterance=rule.utterance) == []
    assert codes(check("(A(b) c)", utterance="d", codes={"E301"})) == ["E301", "E301"]
    assert sorted(chosen(["E30"], ignore=["E301", "E306"])) == ["E302", "E303", "E304", "E305"]
    assert chosen(["ALL"]) == frozenset(RULES) and chosen(extend=["E306"]) == DEFAULT | {"E306"}
    with pytest.raises(UnknownCode, match="no code begins with `E9`"):
        chosen(ignore=["E9"])


@pytest.mark.parametrize("code", sorted(RULES))
def test_rule_texts(code: str) -> None:
    rule = RULES[code]
    assert rule.code == code and code[:2] in ("E1", "E2", "E3", "E4", "E5")
    assert rule.severity in ("error", "warning", "note")
    assert rule.fix.partition(":")[0] in ("", "safe", "unsafe")
    assert len(explain(code)) < 900
    assert rule.title[0].islower() and not rule.title.endswith(".")
    assert rule.why.endswith(".") and rule.why[0] in "`ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    for text in (rule.message, rule.help):
        assert not text.endswith(".") and "?" not in text.replace("* ?", "")


def test_unreadable_row(tmp_path: Path) -> None:
    for text, wanted in ((RULES["E114"].bad, ["E114"]), (RULES["E114"].good, [None])):
        file = tmp_path / "rows.tsv"
        file.write_text(text + "\n", encoding="utf-8")
        assert [row.problem and row.problem.code for row in read(str(file))] == wanted


def test_readme_holds_the_index() -> None:
    assert index() in (ROOT / "grammar" / "README.md").read_text(encoding="utf-8")


def test_readme_session_runs() -> None:
    result = doctest.testfile(str(ROOT / "grammar" / "README.md"), module_relative=False, encoding="utf-8")
    assert result.attempted > 10
    assert result.failed == 0


@pytest.mark.parametrize(
    "name",
    [
        "grammar",
        "grammar.tree",
        "grammar.syntax",
        "grammar.checker",
        "grammar.words",
        "grammar.rules",
        "grammar.encoding",
    ],
)
def test_docstrings_run(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted > 0
    assert result.failed == 0


# --- the committed file of mistakes: line, code, and the text in the tree that the caret must stand under

MISTAKES = [
    (1, "E101", "(PlayMusicIntent"),
    (2, "E102", ")", -1),
    (3, "E103", "()"),
    (4, "E104", "((ItemName"),
    (5, "E105", "StopIntent"),
    (6, "E106", "(PlayMusicIntent"),
    (7, "E107", "é"),
    (8, "E108", "Train"),
    (9, "E109", "\\D"),
    (11, "E201", "DimLigthIntent"),
    (12, "E202", "ItemName"),
    (13, "E203", "SetTimerIntent"),
    (14, "E204", "Title", 1),
    (15, "E205", "add("),
    (16, "E206", "music"),
    (17, "E207", "StopIntent"),
    (18, "E208", "Title Blue Train"),
    (19, "E209", "Title"),
    (20, "E301", "Trane"),
    (21, "E302", "Train", 1),
    (22, "E303", "song"),
    (23, "E304", "blue"),
    (24, "E305", "Chlo"),
    (25, "E201", "ItmName"),
    (25, "E301", "pear)"),
    (25, "E108", "Train"),
    (26, "E101", "(and"),
    (26, "E303", "minutes"),
    (26, "E207", "StopIntent"),
    (27, "E301", "音樂"),
    (27, "E202", "Device"),
    (27, "E301", "灯"),
]


def test_mistakes_are_reported_as_committed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    result = CliRunner().invoke(app, ["check", "tests/data/check/mistakes.tsv", "--ignore", "E4"])
    expected = Path("tests/data/check/mistakes.expected").read_bytes().decode("utf-8")
    assert result.exit_code == 1
    assert result.stdout == expected
    assert result.stderr == "29 trees in 1 file: 33 findings in 27 trees\n"


def test_mistakes_stand_at_their_columns() -> None:
    rows = (ROOT / "tests/data/check/mistakes.tsv").read_text(encoding="utf-8").split("\n")
    wanted = []
    for line, code, text, *which in MISTAKES:
        utterance, tree = rows[line - 1].split("\t", 1)
        at = [match.start() for match in re.finditer(re.escape(text), tree)]
        wanted.append((line, len(utterance) + 1 + at[which[0] if which else 0] + 1, code))
    lines = (ROOT / "tests/data/check/mistakes.expected").read_text(encoding="utf-8").split("\n")
    heads = [line[6:10] for line in lines if line.startswith("error[")]
    places = [tuple(map(int, line.rsplit(":", 2)[1:])) for line in lines if line.lstrip().startswith("--> ")]

    # Line 28 has no tab, so it has no tree to point into.
    assert [(*place, code) for place, code in zip(places, heads, strict=True)] == [*wanted, (28, 1, "E114")]


def test_mistakes_are_many() -> None:
    per_line = [len(list(group)) for _, group in itertools.groupby(MISTAKES, key=lambda mistake: mistake[0])]
    assert per_line.count(3) == 3
    kinds = {mistake[1] for mistake in MISTAKES}
    assert len(kinds) >= 12
    assert all(sum(code.startswith(family) for code in kinds) >= 5 for family in ("E1", "E2", "E3"))


# --- syntax: what a person would say


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("(and(A(b))", [("E101", 0, 1)]),
        ("(and(A(b", [("E101", 6, 7)]),
        ("(", [("E101", 0, 1)]),
        (")", [("E102", 0, 1)]),
        ("()", [("E103", 0, 2)]),
        ("(())", [("E103", 1, 3)]),
        ("   ", [("E111", 0, 3)]),
        ("play music", [("E106", 0, 10)]),
        ("play music (A(b)", [("E106", 0, 10), ("E101", 11, 12)]),
        ("(Title Star Wars)", [("E105", 1, 16)]),
        ("(A(b\\", [("E101", 2, 3), ("E110", 4, 5)]),
        ("(A\\x(b))", [("E109", 2, 4)]),
        ("(A(b)\n(c)\nd)", [("E108", 10, 11)]),
        ("(A b c (d) e)", [("E108", 3, 6), ("E108", 11, 12)]),
        ("(A(b)))(c", [("E102", 6, 7), ("E106", 7, 9)]),
    ],
)
def test_syntax(text: str, wanted: list[tuple[str, int, int]]) -> None:
    assert [(f.code, f.span.start, f.span.end) for f in check(text)] == wanted


def test_help_for_a_root_of_words() -> None:
    (finding,) = check("(Title New\\ York  Star)")
    assert finding.help.endswith("as in `(Title(New\\ York  Star))`")


# --- ontology: one mistake, one finding


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("(SetTimerIntent(Durration(hour)))", ["E201"]),  # misspelt, so not missing too
        ("(SetTimerIntent(Duration hour))", ["E208"]),
        ("(and(SetTimerIntent)(PlayMusicIntent()))", ["E203", "E207"]),
        ("(AddToListIntent(add(ItemName apples)(ItemName pears)))", ["E208", "E208"]),
        ("(PlayMusicIntent(play)(some)(music))", ["E206"]),
        ("(Foo(Bar(baz)))", ["E201", "E201"]),
        ("(ItemName())", ["E205", "E209"]),
        ("(PlayMusicIntent(MediaType(Title)))", []),  # a slot's name alone may be a word
        ("(PlayMusicIntent(Préf(x)))", ["E107"]),
    ],
)
def test_labels(text: str, wanted: list[str]) -> None:
    assert sorted(codes(check(text, ONTOLOGY))) == wanted


def test_a_spoken_word_is_a_word_even_if_it_is_spelt_like_a_label() -> None:
    text = "(PlayMusicIntent(Title(Title track)))"
    assert codes(check(text, ONTOLOGY)) == ["E202", "E208"]
    assert check(text, ONTOLOGY, "play Title track") == []


# --- alignment


@pytest.mark.parametrize(
    ("leaves", "utterance", "wanted"),
    [
        ("Star Wars", "play Star Wars", []),
        ("Wars Star", "play Star Wars", ["E303"]),
        ("tonight Star Wars", "play Star Wars tonight", ["E303"]),
        ("la la la", "play la la", ["E302"]),
        ("the The", "the the", ["E304"]),
        ("STAR wars", "play Star Wars", ["E304", "E304"]),
        ("Stra", "play Star", ["E301"]),
        ("not", "play Star", []),
    ],
)
def test_alignment(leaves: str, utterance: str, wanted: list[str]) -> None:
    ontology = loads('[intents.P]\nwords = true\n[lexicon]\nwords = ["not"]')
    assert codes(check(f"(P({leaves}))", ontology, utterance)) == wanted


def test_utterance_may_be_words() -> None:
    assert check("(P(New\\ York))", utterance=["to", "New York"]) == []
    assert codes(check("(P(U.S.))", utterance="the U.S.")) == ["E301"]
    assert check("(P(U.S.))", utterance="the U.S.", tokeniser="given") == []


@pytest.mark.parametrize(
    ("leaves", "utterance", "wanted"),
    [
        ("la la", "play la la la", ["1 or 2", "2 or 3"]),
        ("a b", "a b a b", ["0 or 2", "1 or 3"]),
        ("a b c", "a b a c", []),
        ("a c", "a b a c", ["0 or 2"]),
        ("c a", "a b a c", []),  # out of order, which says more
    ],
)
def test_ambiguous_positions(leaves: str, utterance: str, wanted: list[str]) -> None:
    found = check(f"(P({leaves}))", utterance=utterance, codes={"E306"})
    named = [" or ".join(str(int(n) - 1) for n in re.findall(r"\d+", f.message)) for f in found]
    assert named == wanted


@given(st.lists(st.sampled_from("abc"), max_size=4), st.lists(st.sampled_from("abc"), max_size=6))
def test_ambiguous_leaves_are_those_of_which_two_alignments_differ(wanted: list[str], keys: list[str]) -> None:
    wanted = [word for word in wanted if word in keys]  # the others are E301
    every = [
        places
        for places in itertools.combinations(range(len(keys)), len(wanted))
        if [keys[place] for place in places] == wanted
    ]
    some = [Leaf(word, Span(i, i)) for i, word in enumerate(wanted)]
    found = {f.span.start for f in check_alignment(some, keys, ambiguous=True) if f.code == "E306"}
    assert found == {i for i in range(len(wanted)) if len({places[i] for places in every}) > 1}


@given(st.lists(st.sampled_from("abc"), max_size=6), st.lists(st.sampled_from("abc"), max_size=6))
def test_alignment_is_a_longest_one(wanted: list[str], keys: list[str]) -> None:
    def subsequence(some: tuple[str, ...]) -> bool:
        rest = iter(keys)
        return all(key in rest for key in some)

    longest = max(
        n for n in range(len(wanted) + 1) if any(subsequence(some) for some in itertools.combinations(wanted, n))
    )
    kept = tuple(key for key, aligned in zip(wanted, _align(wanted, keys), strict=True) if aligned)
    assert len(kept) == longest
    assert subsequence(kept)


# --- properties

_AWKWARD = st.text("()\\ \n" + LABEL_CHARS[:6] + "é\u0301", max_size=25)
_KNOWN = st.sampled_from([*ONTOLOGY.labels(), "Titel", "x"])


@given(_AWKWARD | st.text() | trees(_KNOWN, _KNOWN).map(str), _AWKWARD | st.text())
def test_never_a_crash_and_every_span_inside(text: str, utterance: str) -> None:
    for finding in check(text, ONTOLOGY, utterance, codes=RULES):
        assert 0 <= finding.span.start <= finding.span.end <= len(text if finding.field == "tree" else utterance)
        assert finding.code in RULES
        assert finding.help


@given(trees(_KNOWN, _KNOWN))
def test_safe_fixes_mend(tree: Tree) -> None:
    text, fixes = str(tree), [f.fix for f in check(str(tree), ONTOLOGY) if f.fix and f.fix.safe]
    for fix in sorted(fixes, key=lambda fix: -fix.span.start):
        text = text[: fix.span.start] + fix.text + text[fix.span.end :]
    assert "E207" not in codes(check(text, ONTOLOGY))


@given(trees())
def test_a_tree_is_clean_against_its_own_words(tree: Tree) -> None:
    assert [f for f in check(str(tree), utterance=tree.words()) if f.code < "E5"] == []


# --- brackets and signs that were said


@pytest.mark.parametrize(
    ("tree", "utterance", "wanted", "shown"),
    [
        (r"(PlayMusicIntent(MediaType(:\))))", "tell me :)", r"(PlayMusicIntent(MediaType(: \))))", r"(:)(\))"),
        (r"(Say(Text(\(hello\))))", "say (hello)", r"(Say(Text(\( hello \))))", r"(\()(hello)(\))"),
        ("(Play(Title(So What.)))", "play So What .", "(Play(Title(So What .)))", "(What)(.)"),
        ("(Play(Title(jazz.)))", "play Jazz . now", "(Play(Title(Jazz .)))", "(Jazz)(.)"),
    ],
)
def test_a_leaf_of_several_words_is_cut_as_the_utterance_is(tree: str, utterance: str, wanted: str, shown: str) -> None:
    (found,) = check(tree, utterance=utterance)
    assert found.code == "E301" and shown in found.help
    mended = mend(tree, utterance, lambda text, said: check(text, utterance=said), unsafe=True)
    assert (mended.tree, mended.left) == (wanted, [])


def test_a_bracket_that_was_said_is_not_removed() -> None:
    for said in ("tell me :)", ["tell", "me", ":", ")"]):
        (found,) = check("(Say(Text(:))))", utterance=said)
        assert found.code == "E102" and r"`\)`" in found.help and found.fix is None
    (found,) = check("(Say(Text(a))))", utterance="say a")
    assert found.fix and "\\" not in found.help
