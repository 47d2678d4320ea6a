"""The table of rules: what can be wrong with a tree, why it matters, one broken and one mended example.

The messages, the tests, `explain CODE` and the index in README.md all come from this table, so a rule
without an example cannot exist.

    E1  the text is no tree         needs nothing but the text
    E2  labels against an ontology  needs an ontology
    E3  leaves against the request  needs the utterance
"""

from __future__ import annotations

from dataclasses import dataclass

from grammar.finding import Finding, Fix, Related
from grammar.tree import Span

MAX_DEPTH = 1_000
"""Levels of nodes."""
MAX_BYTES = 1 << 20
"""Bytes of UTF-8 a tree."""

EXAMPLE_ONTOLOGY = """\
[intents.AddToListIntent]
takes = ["ItemName", "add"]

[intents.PlayMusicIntent]
takes = ["MediaType", "Title"]

[intents.SetTimerIntent]
takes = ["Duration"]
required = ["Duration"]

[functions.and]
takes = ["AddToListIntent", "PlayMusicIntent", "SetTimerIntent"]
repeated = ["AddToListIntent", "PlayMusicIntent", "SetTimerIntent"]

[functions.add]
takes = ["ItemName"]
repeated = ["ItemName"]

[slots.Duration]
[slots.ItemName]
[slots.MediaType]
[slots.Title]
"""
"""The ontology of the E2 examples."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of the table.

    Attributes:
        message: a template; its names are filled in at each finding.
        help: how to mend it, a template too; `{help}` where it depends on the finding.
        bad: a tree (E114: a row of a table) that breaks this rule and no other.
        good: the same, mended.
        utterance: the utterance of both, for E3.
    """

    code: str
    title: str
    message: str
    help: str
    why: str
    bad: str
    good: str
    utterance: str = ""


_TABLE = (
    # E1: syntax
    Rule(
        "E101",
        "unclosed bracket",
        "{count} never closed",
        "add `{brackets}` where it ends",
        "Every `(` has its `)`. The innermost open bracket is marked; the missing one may belong anywhere after it.",
        "(PlayMusicIntent(MediaType(music))",
        "(PlayMusicIntent(MediaType(music)))",
    ),
    Rule(
        "E102",
        "extra bracket",
        "`)` closes nothing",
        "remove it, or add the `(` that it closes",
        "The tree is complete before this bracket. Often a `)` further left is the one too many.",
        "(PlayMusicIntent(MediaType(music))))",
        "(PlayMusicIntent(MediaType(music)))",
    ),
    Rule(
        "E103",
        "empty brackets",
        "brackets with nothing in them",
        "write a word or a node in them, or remove them; `()` may only be the whole child list, as in `(Label())`",
        "`()` says that a node has no children, so it stands alone behind a label.",
        "(PlayMusicIntent(MediaType(music))())",
        "(PlayMusicIntent(MediaType(music)))",
    ),
    Rule(
        "E104",
        "node without label",
        "a node without a label",
        "write the label right behind the bracket, or remove this pair of brackets",
        "A bracket that holds other brackets is a node, and every node is named.",
        "(and((Title(Jolene))))",
        "(and(PlayMusicIntent(Title(Jolene))))",
    ),
    Rule(
        "E105",
        "root is a word",
        "the whole tree is the word `{word}`",
        "{help}",
        "A pair of brackets with only words in it is a leaf. The root of a tree is a node.",
        "(PlayMusicIntent)",
        "(PlayMusicIntent())",
    ),
    Rule(
        "E106",
        "text outside the tree",
        "text {where} the tree",
        "{help}",
        "One line holds one tree and nothing else; several clauses are joined under one root.",
        "(PlayMusicIntent()) (SetTimerIntent(Duration(hour)))",
        "(and(PlayMusicIntent())(SetTimerIntent(Duration(hour))))",
    ),
    Rule(
        "E107",
        "character not allowed in a label",
        "`{char}` cannot stand in a label",
        "labels are made of ASCII letters, digits and _ . : / - ! @ # < > = + * ? ' $ %",
        "Labels are names that every tool can carry. Words may hold any character.",
        "(Préférence(music))",
        "(Preference(music))",
    ),
    Rule(
        "E108",
        "word beside brackets",
        "`{words}` stands beside brackets without its own",
        "write `({words})`",
        "Below a node every child has its brackets, words too.",
        "(Title(Star) Wars)",
        "(Title(Star)(Wars))",
    ),
    Rule(
        "E109",
        "unknown escape",
        "unknown escape `{escape}`",
        "a backslash stands before a blank, a bracket or a backslash; write `\\{escape}` for the characters themselves",
        "The escapes are `\\(`, `\\)`, `\\\\` and a backslash before a blank. Others are kept free.",
        "(Title(AC\\DC))",
        "(Title(AC\\\\DC))",
    ),
    Rule(
        "E110",
        "dangling escape",
        "a backslash with nothing to escape",
        "remove it, or write `\\\\` for a backslash",
        "A backslash at the end of a line escapes nothing; a word cannot hold a tab or a line end.",
        "(Title(Jolene\\\t))",
        "(Title(Jolene))",
    ),
    Rule(
        "E111",
        "no tree",
        "there is no tree here",
        "write one, such as `(PlayMusicIntent())`",
        "A row of a table must hold a tree; a blank line of a `.trees` file is skipped.",
        "",
        "(PlayMusicIntent())",
    ),
    Rule(
        "E112",
        "tree too deep",
        f"deeper than {MAX_DEPTH:,} levels",
        "no annotation is that deep; look for a bracket that is missing again and again",
        "The limit keeps one damaged line from stopping the work on a million good ones.",
        "(a" * (MAX_DEPTH + 1) + "(b)" + ")" * (MAX_DEPTH + 1),
        "(a" * MAX_DEPTH + "(b)" + ")" * MAX_DEPTH,
    ),
    Rule(
        "E113",
        "tree too long",
        "{size:,} bytes, which is more than 1 MiB",
        "no annotation is that long; look for a line end that is missing",
        "The limit keeps one damaged line from stopping the work on a million good ones.",
        f"(Title({'a' * MAX_BYTES}))",
        "(Title(a))",
    ),
    Rule(
        "E114",
        "unreadable row",
        "{reason}",
        "{help}",
        "A row of a TSV file is an utterance, a tab and a tree; a row of JSONL is an object with a string `tree`.",
        "play music (PlayMusicIntent())",
        "play music\t(PlayMusicIntent())",
    ),
    # E2: ontology
    Rule(
        "E201",
        "unknown label",
        "unknown label `{label}`",
        "{help}",
        "The parser learns each spelling as a label of its own.",
        "(AddToListIntent(ItmName(apples)))",
        "(AddToListIntent(ItemName(apples)))",
    ),
    Rule(
        "E202",
        "child not allowed here",
        "`{child}` cannot stand below `{parent}`",
        "{help}",
        "The ontology lists the children of each label under `takes`.",
        "(PlayMusicIntent(ItemName(apples)))",
        "(PlayMusicIntent(Title(apples)))",
    ),
    Rule(
        "E203",
        "missing child",
        "`{parent}` lacks its required `{child}`",
        "add `({child}(...))` to it",
        "The ontology lists under `required` what a label cannot do without.",
        "(SetTimerIntent())",
        "(SetTimerIntent(Duration(hour)))",
    ),
    Rule(
        "E204",
        "repeated child",
        "a second `{child}` below `{parent}`",
        "put all its words into the first, or allow it under `repeated` in the ontology",
        "A child may stand once below its parent unless the ontology lists it under `repeated`.",
        "(PlayMusicIntent(Title(Star))(Title(Wars)))",
        "(PlayMusicIntent(Title(Star)(Wars)))",
    ),
    Rule(
        "E205",
        "too few children",
        "`{label}` has {count} and needs {least}",
        "{help}",
        "A function joins two or more; a slot holds at least one word. The ontology says it under `least`.",
        "(AddToListIntent(add(ItemName(apples))))",
        "(AddToListIntent(add(ItemName(apples))(ItemName(pears))))",
    ),
    Rule(
        "E206",
        "word not allowed here",
        "`{label}` cannot hold words",
        "{help}",
        "Words stand below the labels that have `words = true`, which slots have.",
        "(PlayMusicIntent(music))",
        "(PlayMusicIntent(MediaType(music)))",
    ),
    Rule(
        "E207",
        "intent written as a word",
        "the intent `{label}` is written as a word",
        "write `({label}())`",
        "A pair of brackets with only words in it is a leaf; a node without children has `()`.",
        "(and(PlayMusicIntent)(AddToListIntent(ItemName(apples))))",
        "(and(PlayMusicIntent())(AddToListIntent(ItemName(apples))))",
    ),
    Rule(
        "E208",
        "label written as a word",
        "`{text}` is read as {count} words, but `{label}` is a label",
        "write `{mended}`",
        "`(Title Star Wars)` is a leaf of three words here. In other notations it is a label with two words.",
        "(PlayMusicIntent(Title Star Wars))",
        "(PlayMusicIntent(Title(Star)(Wars)))",
    ),
    Rule(
        "E209",
        "root label not allowed",
        "`{label}` cannot be the root",
        "{help}",
        "A whole tree is a request: an intent, or a function that joins intents, or what the ontology has as `roots`.",
        "(Title(Jolene))",
        "(PlayMusicIntent(Title(Jolene)))",
    ),
    # E3: alignment with the utterance
    Rule(
        "E301",
        "leaf not in the utterance",
        "`{word}` is not in the utterance",
        "{help}",
        "Leaves are copied from the utterance, so that words never seen before can be parsed.",
        "(PlayMusicIntent(Title(Jolen)))",
        "(PlayMusicIntent(Title(Jolene)))",
        "play Jolene",
    ),
    Rule(
        "E302",
        "leaf used too often",
        "`{word}` stands more often in the tree than in the utterance ({occurs})",
        "remove one of the leaves; each copies a word of its own",
        "Each leaf copies one word of the utterance, and each word is copied once.",
        "(PlayMusicIntent(Title(Jolene)(Jolene)))",
        "(PlayMusicIntent(Title(Jolene)))",
        "play Jolene",
    ),
    Rule(
        "E303",
        "order differs",
        "`{word}` stands elsewhere in the utterance",
        "write the leaves in the order of the utterance",
        "The order of children is the order of the utterance; the parser copies from left to right.",
        "(PlayMusicIntent(Title(Jolene))(MediaType(song)))",
        "(PlayMusicIntent(MediaType(song))(Title(Jolene)))",
        "play the song Jolene",
    ),
    Rule(
        "E304",
        "case differs",
        "`{word}` differs from the utterance in case",
        "the utterance has `{form}`",
        "Leaves are copied as they stand; a lower-cased tree beside a cased utterance copies nothing.",
        "(PlayMusicIntent(Title(jolene)))",
        "(PlayMusicIntent(Title(Jolene)))",
        "play Jolene",
    ),
    Rule(
        "E305",
        "character form differs",
        "`{word}` differs from the utterance in its Unicode form",
        "write it as the utterance does, as {form}",
        "One letter can be one character or a letter and an accent (NFC and NFD). They look alike and are not equal.",
        "(PlayMusicIntent(Title(Cafe\u0301)))",
        "(PlayMusicIntent(Title(Caf\u00e9)))",
        "play Caf\u00e9",
    ),
)

RULES: dict[str, Rule] = {rule.code: rule for rule in _TABLE}


def finding(code: str, span: Span, fix: Fix | None = None, related: Related | None = None, **names: object) -> Finding:
    """A finding of the rule `code`, its message and help filled in with `names`."""
    rule = RULES[code]
    return Finding(code, rule.message.format(**names), span, rule.help.format(**names), fix, related)


def explain(code: str) -> str:
    """A rule for people, as text of several lines."""
    rule = RULES[code]
    lines = [f"{rule.code}: {rule.title}", "", rule.why, ""]
    if rule.utterance:
        lines.append(f"  utterance  {rule.utterance}")
    return "\n".join([*lines, f"  wrong      {_short(rule.bad)}", f"  right      {_short(rule.good)}"])


def index() -> str:
    """All rules as a Markdown table, the one in README.md."""
    rows = [f"| {r.code} | {r.title} | {_code(r.bad)} | {_code(r.good)} |" for r in _TABLE]
    return "\n".join(["| code | title | wrong | right |", "|---|---|---|---|", *rows])


def _short(text: str) -> str:
    shown = text.replace("\t", "<tab>")
    return shown if len(shown) <= 80 else f"{shown[:30]}...{shown[-30:]}"


def _code(text: str) -> str:
    return f"`{_short(text)}`" if text else "(nothing)"
