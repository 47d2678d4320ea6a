"""The table of rules: what can be wrong, why it matters, one broken and one mended example.

The messages, the tests, `explain CODE`, the rules of SARIF and the index in README.md all come from this
table, so a rule without an example cannot exist. Its rows are in `rule_table.py`.

    E1  the text is no tree         needs nothing but the text
    E2  labels against an ontology  needs an ontology
    E3  leaves against the request  needs the utterance
    E4  rows against each other     needs the utterances of all rows; the splits where they are known
    E5  characters                  needs nothing but the text
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from grammar.finding import Finding, Fix, Related
from grammar.rule_table import MAX_BYTES, MAX_DEPTH, TABLE, Rule
from grammar.tree import Span

__all__ = ["DEFAULT", "EXAMPLE_ONTOLOGY", "MAX_BYTES", "MAX_DEPTH", "RULES", "Rule", "explain", "finding", "index"]

RULES: dict[str, Rule] = {rule.code: rule for rule in TABLE}
DEFAULT = frozenset(code for code, rule in RULES.items() if rule.severity != "note")
"""The codes that are looked for unless others are selected."""

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


class UnknownCode(ValueError):
    """A code or prefix of a code that no rule has; the message says which there are."""


def expand(prefixes: Iterable[str]) -> frozenset[str]:
    """The codes that begin with one of `prefixes`; `ALL` stands for every code.

    >>> sorted(expand(["E30", "e201"]))[:2]
    ['E201', 'E301']

    Raises:
        UnknownCode: a prefix fits no code.
    """
    found: set[str] = set()
    for prefix in prefixes:
        some = {code for code in RULES if code.startswith("E" if prefix.upper() == "ALL" else prefix.upper())}
        if not (some and prefix):
            raise UnknownCode(f"no code begins with `{prefix}`; the families are E1 to E5")
        found |= some
    return frozenset(found)


def chosen(select: Collection[str] = (), extend: Collection[str] = (), ignore: Collection[str] = ()) -> frozenset[str]:
    """The codes to look for: `select` in place of the default, and `extend`, without `ignore`; all prefixes."""
    return ((expand(select) if select else DEFAULT) | expand(extend)) - expand(ignore)


def finding(
    code: str,
    span: Span,
    fix: Fix | None = None,
    related: Related | None = None,
    field: str = "tree",
    **names: object,
) -> Finding:
    """A finding of the rule `code`, its message and help filled in with `names`."""
    rule = RULES[code]
    message, help_ = rule.message.format(**names), rule.help.format(**names)
    return Finding(code, message, span, help_, fix, related, rule.severity, field)


def explain(code: str) -> str:
    """A rule for people, as text of several lines."""
    rule = RULES[code]
    about = [
        rule.why,
        f"Severity: {rule.severity}" + ("; only looked for where it is selected" * (code not in DEFAULT)),
    ]
    about.append(f"Fix: {rule.fix}" if rule.fix else "Fix: by hand")
    examples = [("wrong", rule.bad), ("right", rule.good)]
    if rule.utterance:
        examples.insert(0, ("utterance", rule.utterance))
    return "\n".join(
        [f"{rule.code}: {rule.title}", "", *about, ""]
        + [
            f"  {name if number == 0 else '':11}{line}"
            for name, text in examples
            for number, line in enumerate(_lines(text))
        ]
    )


def index() -> str:
    """All rules as a Markdown table, the one in README.md."""
    rows = [
        f"| {r.code} | {r.title} | {r.severity} | {r.fix.partition(':')[0]} | {_code(r.bad)} | {_code(r.good)} |"
        for r in TABLE
    ]
    return "\n".join(["| code | title | severity | fix | wrong | right |", "|---|---|---|---|---|---|", *rows])


def _lines(text: str) -> list[str]:
    """An example as it is shown: what cannot be seen is named, what is long is cut, one line a row."""
    shown = "".join(f"<{ord(c):02x}>" if (c < " " and c != "\n") or ord(c) == 0x7F else c for c in text.rstrip("\n"))
    shown = shown.replace("<09>", "<tab>").replace("<0d>", "<cr>")
    shown = _HIDDEN.sub(lambda hidden: _named(hidden[0]), shown)
    return [line if len(line) <= 110 else f"{line[:30]}...{line[-30:]}" for line in shown.split("\n")]


def _named(char: str) -> str:
    code = ord(char)
    return f"<{code - 0xDC00:02x}>" if 0xDC80 <= code <= 0xDCFF else f"<U+{code:04X}>"


def _code(text: str) -> str:
    return "<br>".join(f"`{line}`" for line in _lines(text)) if text else "(nothing)"


_HIDDEN = re.compile("[\\u00a0\\u0300-\\u036f\\u200b-\\u200f\\u2028-\\u202e\\u2066-\\u2069\\ufeff\\ud800-\\udfff]")
