"""Fixes: what they do to one tree, that they end, and what they leave alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import LABEL_CHARS, trees

from grammar import Finding, Tree, check
from grammar.fixes import mend
from grammar.ontology import loads
from grammar.rules import EXAMPLE_ONTOLOGY, RULES

ONTOLOGY = loads(EXAMPLE_ONTOLOGY)


def checker(tree: str, utterance: str | list[str] | None) -> list[Finding]:
    return check(tree, ONTOLOGY, utterance)


def title(words: str) -> str:
    return f"(PlayMusicIntent(Title{words}))"


@pytest.mark.parametrize(
    ("tree", "utterance", "safe", "unsafe"),
    [
        ("(and(StopIntent", None, None, "(and(StopIntent))"),
        ("(PlayMusicIntent)", None, "(PlayMusicIntent())", "(PlayMusicIntent())"),
        ("(PlayMusicIntnt)", None, None, "(PlayMusicIntent())"),
        (title("(Star) Wars")[:-1], None, title("(Star) (Wars)")[:-1], title("(Star) (Wars)")),
        ("(PlayMusicIntent(Titel(Jolene)))", "play Jolene", None, title("(Jolene)")),
        (title("(jolene)"), "play Jolene", None, title("(Jolene)")),
        (title("(AC\\DC)"), None, title("(AC\\\\DC)"), title("(AC\\\\DC)")),
        (title("(Cafe\u0301)"), "play Caf\u00e9", title("(Caf\u00e9)"), title("(Caf\u00e9)")),
        (title(" Star Wars"), None, None, title("(Star)(Wars)")),
        (title("(Caf\u00c3\u00a9)"), None, None, title("(Caf\u00e9)")),
        (title("(Jo\x00lene)") + ")", None, None, title("(Jolene)")),
    ],
)
def test_fixes(tree: str, utterance: str | None, safe: str | None, unsafe: str) -> None:
    assert mend(tree, utterance, checker).tree == (safe or tree)
    assert mend(tree, utterance, checker, unsafe=True).tree == unsafe


def test_the_utterance_is_mended_with_its_tree() -> None:
    mended = mend("(PlayMusicIntent(Title(Cafe\u0301)))", "play Cafe\u0301", checker)
    assert (mended.tree, mended.utterance) == ("(PlayMusicIntent(Title(Caf\u00e9)))", "play Caf\u00e9")
    assert mended.left == [] and set(mended.fixed) == {"E508"}


@pytest.mark.parametrize("code", sorted(code for code, rule in RULES.items() if rule.fix and rule.form == "tree"))
def test_every_fix_takes_its_finding_away(code: str) -> None:
    rule = RULES[code]
    mended = mend(rule.bad, rule.utterance or None, lambda t, u: check(t, ONTOLOGY, u, codes={code}), unsafe=True)
    assert mended.left == []
    assert code in mended.fixed


_KNOWN = st.sampled_from([*ONTOLOGY.labels(), "Titel", "x"])
_AWKWARD = st.text("()\\ \n" + LABEL_CHARS[:6] + "é\u0301\u00a0\x00Ã©\udce9", max_size=25)
_BROKEN = _AWKWARD | trees(_KNOWN, _KNOWN).map(str) | st.builds(
    lambda tree, at, junk: str(tree)[:at] + junk + str(tree)[at + 1 :],
    trees(_KNOWN, _KNOWN | st.just("Cafe\u0301")),
    st.integers(0, 60),
    st.sampled_from(["", "(", ")", " ", "\\", "\x00", "\u0301"]),
)  # fmt: skip


@given(_BROKEN, st.none() | _AWKWARD, st.booleans())
def test_mending_twice_changes_nothing_more(tree: str, utterance: str | None, unsafe: bool) -> None:
    once = mend(tree, utterance, checker, unsafe)
    again = mend(once.tree, once.utterance, checker, unsafe)
    assert (again.tree, again.utterance, again.fixed) == (once.tree, once.utterance, [])
    assert not [f for f in once.left if f.fix and (f.fix.safe or unsafe)] or once.fixed == []


@given(trees(_KNOWN, _KNOWN))
def test_a_tree_without_findings_stays_as_it_is(tree: Tree) -> None:
    text = str(tree)
    mended = mend(text, tree.words(), checker, unsafe=True)
    assert (mended.tree == text) == (mended.fixed == [])
    if not [f for f in checker(text, tree.words()) if f.fix]:
        assert mended.tree == text


@given(trees())
def test_safe_fixes_keep_the_tree_that_is_meant(tree: Tree) -> None:
    """What a safe fix does to a tree that can be read is what it does to its words alone."""
    from grammar.syntax import parse

    mended = parse(mend(str(tree), None, lambda t, u: check(t, None, u)).tree)
    assert [(node.label, len(node.children)) for node in mended.walk()] == [
        (node.label, len(node.children)) for node in tree.walk()
    ]
