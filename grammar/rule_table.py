"""The rows of the table of rules; `rules.py` is what reads it. Data only."""

from __future__ import annotations

from dataclasses import dataclass

MAX_DEPTH = 1_000
"""Levels of nodes."""
MAX_BYTES = 1 << 20
"""Bytes of UTF-8 a tree."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of the table.

    Attributes:
        message: a template; its names are filled in at each finding.
        help: how to mend it, a template too; `{help}` where it depends on the finding.
        bad: a tree that breaks this rule and no other. For `form = "tsv"` or `"jsonl"` it is the text of such a
            file, and bytes that are no UTF-8 stand in it as Python's `surrogateescape` has them.
        good: the same, mended.
        utterance: the utterance of both, for E3.
        severity: `error`, `warning`, or `note`. Notes are looked for only where they are selected.
        fix: `safe: ` or `unsafe: ` and what the fix does; empty where a person has to mend it.
        form: what `bad` and `good` are: one tree, or a file of this form.
    """

    code: str
    title: str
    message: str
    help: str
    why: str
    bad: str
    good: str
    utterance: str = ""
    severity: str = "error"
    fix: str = ""
    form: str = "tree"


def _rows(*rows: tuple[str, str, str]) -> str:
    """JSONL of (split, utterance, tree); an empty split is left out."""
    return "".join(
        "{" + f'"split": "{split}", ' * bool(split) + f'"utterance": "{utterance}", "tree": "{tree}"' + "}\n"
        for split, utterance, tree in rows
    )


_JOLENE = "(PlayMusicIntent(Title(Jolene)))"
_WHOLE = "(PlayMusicIntent(MediaType(Jolene)))"
_TIMER = "(SetTimerIntent(Duration(hour)))"

TABLE = (
    # --- E1: syntax
    Rule(
        "E101",
        "unclosed bracket",
        "{count} never closed",
        "add `{brackets}` where it ends",
        "Every `(` has its `)`. The innermost open bracket is marked; the missing one may belong anywhere after it.",
        "(PlayMusicIntent(MediaType(music))",
        "(PlayMusicIntent(MediaType(music)))",
        fix="unsafe: closes the brackets at the end",
    ),
    Rule(
        "E102",
        "extra bracket",
        "`)` closes nothing",
        "remove it, or add the `(` that it closes",
        "The tree is complete before this bracket. Often a `)` further left is the one too many.",
        "(PlayMusicIntent(MediaType(music))))",
        "(PlayMusicIntent(MediaType(music)))",
        fix="unsafe: removes it, unless the utterance holds one",
    ),
    Rule(
        "E103",
        "empty brackets",
        "brackets with nothing in them",
        "write a word or a node in them, or remove them; `()` may only be the whole child list, as in `(Label())`",
        "`()` says that a node has no children, so it stands alone behind a label.",
        "(PlayMusicIntent(MediaType(music))())",
        "(PlayMusicIntent(MediaType(music)))",
        fix="unsafe: removes them",
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
        fix="unsafe: adds `()` to a single word; safe where the ontology names it an intent",
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
        fix="safe: puts brackets around the words",
    ),
    Rule(
        "E109",
        "unknown escape",
        "unknown escape `{escape}`",
        "a backslash stands before a blank, a bracket or a backslash; write `\\{escape}` for the characters themselves",
        "The escapes are `\\(`, `\\)`, `\\\\` and a backslash before a blank. Others are kept free.",
        "(Title(AC\\DC))",
        "(Title(AC\\\\DC))",
        fix="safe: doubles the backslash",
    ),
    Rule(
        "E110",
        "dangling escape",
        "a backslash with nothing to escape",
        "remove it, or write `\\\\` for a backslash",
        "A backslash at the end of a line escapes nothing; a word cannot hold a tab or a line end.",
        "(Title(Jolene\\\t))",
        "(Title(Jolene))",
        fix="safe: doubles the backslash",
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
        form="tsv",
    ),
    # --- E2: ontology
    Rule(
        "E201",
        "unknown label",
        "unknown label `{label}`",
        "{help}",
        "The parser learns each spelling as a label of its own.",
        "(AddToListIntent(ItmName(apples)))",
        "(AddToListIntent(ItemName(apples)))",
        fix="unsafe: takes the nearest label of the ontology, if only one is near",
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
        fix="safe: adds `()`",
    ),
    Rule(
        "E208",
        "label written as a word",
        "`{text}` is read as {count} words, but `{label}` is a label",
        "write `{mended}`",
        "`(Title Star Wars)` is a leaf of three words here. In other notations it is a label with two words.",
        "(PlayMusicIntent(Title Star Wars))",
        "(PlayMusicIntent(Title(Star)(Wars)))",
        fix="unsafe: makes it a label with words",
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
    # --- E3: alignment with the utterance
    Rule(
        "E301",
        "leaf not in the utterance",
        "`{word}` is not in the utterance",
        "{help}",
        "Leaves are copied from the utterance, so that words never seen before can be parsed.",
        "(PlayMusicIntent(Title(Jolen)))",
        "(PlayMusicIntent(Title(Jolene)))",
        "play Jolene",
        fix="unsafe: takes the nearest word of the utterance, or cuts the leaf as the utterance is cut",
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
        fix="unsafe: takes the form of the utterance",
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
        fix="safe: takes the form of the utterance, where that is NFC",
    ),
    Rule(
        "E306",
        "ambiguous position",
        "`{word}` could be word {places} of the utterance",
        "nothing to mend where the first of them is meant; a parser is taught that one",
        "A word that is said twice gives its leaf two places to be copied from, and brackets cannot say which.",
        "(PlayMusicIntent(Title(la)))",
        "(PlayMusicIntent(Title(la)(la)))",
        "play la la",
        severity="note",
    ),
    # --- E4: the corpus
    Rule(
        "E401",
        "duplicate row",
        "the same utterance with the same tree as at {first}",
        "remove one of the two, or keep both if it is said that often",
        "Work was done twice, and what is said twice counts twice in training and in every score.",
        _rows(("", "play Jolene", _JOLENE), ("", "play Jolene", _JOLENE)),
        _rows(("", "play Jolene", _JOLENE)),
        severity="warning",
        form="jsonl",
    ),
    Rule(
        "E402",
        "one utterance, two trees",
        "the same utterance has another tree at {first}",
        "decide for one of the trees, or drop both rows",
        "No parser can learn both, and a test that holds both cannot be passed.",
        _rows(("", "play Jolene", _JOLENE), ("", "play Jolene", _WHOLE)),
        _rows(("", "play Jolene", _JOLENE), ("", "play the song Jolene", _JOLENE)),
        form="jsonl",
    ),
    Rule(
        "E403",
        "test utterance seen in train",
        "this {split} utterance stands in train too, at {first}",
        "remove it from train, or count it apart",
        "A parser that has seen the answer is not tested by the question.",
        _rows(("train", "play Jolene", _JOLENE), ("test", "play Jolene", _JOLENE)),
        _rows(("train", "play Jolene", _JOLENE), ("test", "play me Jolene", _JOLENE)),
        severity="warning",
        form="jsonl",
    ),
    Rule(
        "E404",
        "label only in test",
        "`{label}` stands in {split} and never in train",
        "move a row that has it to train, or remove these from {split}",
        "A parser cannot learn a label that it is never shown.",
        _rows(("train", "play Jolene", _JOLENE), ("test", "one hour", _TIMER)),
        _rows(("train", "play Jolene", _JOLENE), ("train", "an hour", _TIMER), ("test", "one hour", _TIMER)),
        severity="warning",
        form="jsonl",
    ),
    # --- E5: encoding
    Rule(
        "E501",
        "byte-order mark",
        "the file begins with a byte-order mark (U+FEFF)",
        "save it as UTF-8 without one",
        "UTF-8 needs no mark of byte order; most tools take it for a part of the first word.",
        "\ufeffplay Jolene\t(PlayMusicIntent(Title(Jolene)))\n",
        "play Jolene\t(PlayMusicIntent(Title(Jolene)))\n",
        severity="warning",
        fix="safe: removes it",
        form="tsv",
    ),
    Rule(
        "E502",
        "line ends are CRLF",
        "lines end with a carriage return and a line feed",
        "end lines with a line feed alone",
        "The carriage return becomes a part of the last column for tools that split at line feeds. Said once a file.",
        "play Jolene\t(PlayMusicIntent(Title(Jolene)))\r\n",
        "play Jolene\t(PlayMusicIntent(Title(Jolene)))\n",
        severity="warning",
        fix="safe: removes the carriage returns at line ends",
        form="tsv",
    ),
    Rule(
        "E503",
        "not UTF-8",
        "{what}",
        "the file, or a part of it, is in another encoding; convert it, such as with `iconv -f {encoding} -t utf-8`",
        "All text is UTF-8. What the bytes were meant to be cannot be known from them alone. A file of UTF-16 is "
        "named once and not read; in a file with other bytes nothing is mended.",
        "play Caf\udce9\t(PlayMusicIntent(Title(Caf\udce9)))\n",
        "play Caf\u00e9\t(PlayMusicIntent(Title(Caf\u00e9)))\n",
        form="tsv",
    ),
    Rule(
        "E504",
        "surrogates",
        "{what}",
        "{help}",
        "Half a character of UTF-16, written as UTF-8 (CESU-8) by Java and old databases or cut from a JSON escape.",
        "play \udced\udca0\udcbc\udced\udcbe\udcb5\t(PlayMusicIntent(Title(\udced\udca0\udcbc\udced\udcbe\udcb5)))\n",
        "play \U0001f3b5\t(PlayMusicIntent(Title(\U0001f3b5)))\n",
        fix="safe: joins the two halves",
        form="tsv",
    ),
    Rule(
        "E505",
        "mojibake",
        "`{text}` looks like UTF-8 read as Windows-1252",
        "`{meant}` was meant; mend the step that wrote the file",
        "Text that was decoded with the wrong table; the words match nothing that people say.",
        "(PlayMusicIntent(Title(Caf\u00c3\u00a9)))",
        "(PlayMusicIntent(Title(Caf\u00e9)))",
        severity="warning",
        fix="unsafe: decodes it again",
    ),
    Rule(
        "E506",
        "control character",
        "control character {char}",
        "remove it",
        "It cannot be seen, and terminals, editors and other parsers each do something else with it.",
        "(PlayMusicIntent(Title(Jo\x00lene)))",
        "(PlayMusicIntent(Title(Jolene)))",
        fix="unsafe: removes it",
    ),
    Rule(
        "E507",
        "bidirectional control",
        "{char} changes the direction of the text after it",
        "remove it; a line with it does not read as it is stored",
        "What is shown and what is stored differ. Right-to-left scripts need no such control inside a word.",
        "(PlayMusicIntent(Title(\u202eJolene)))",
        "(PlayMusicIntent(Title(Jolene)))",
        severity="warning",
        fix="unsafe: removes it",
    ),
    Rule(
        "E508",
        "not in NFC",
        "`{text}` is not in Unicode's composed form (NFC)",
        "write it composed, as {form}",
        "One letter can be one character or a letter and an accent. They look alike and are not equal.",
        "(PlayMusicIntent(Title(Cafe\u0301)))",
        "(PlayMusicIntent(Title(Caf\u00e9)))",
        severity="warning",
        fix="safe: composes it",
    ),
    Rule(
        "E509",
        "unusual white space",
        "{char} looks like a blank and is a part of the word",
        "write a blank; `\\ ` for a blank inside one word",
        "Only blank, tab and line end divide words in a tree; others look the same and do not.",
        "(PlayMusicIntent(Title(Star\u00a0Wars)))",
        "(PlayMusicIntent(Title(Star Wars)))",
        severity="warning",
        fix="unsafe: writes a blank",
    ),
    Rule(
        "E510",
        "invisible character",
        "{char} cannot be seen",
        "remove it",
        "Two words that look the same are two words.",
        "(PlayMusicIntent(Title(Jo\u200blene)))",
        "(PlayMusicIntent(Title(Jolene)))",
        severity="warning",
        fix="unsafe: removes it",
    ),
    Rule(
        "E511",
        "lost character",
        "U+FFFD stands where a character was lost",
        "look the word up in the source of the file",
        "Some tool could not decode a character and wrote this one in its place; no tool can tell which it was.",
        "(PlayMusicIntent(Title(Caf\ufffd)))",
        "(PlayMusicIntent(Title(Caf\u00e9)))",
        severity="warning",
    ),
)
