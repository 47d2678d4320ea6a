r"""Questions and logical forms in two columns, lambda calculus or Prolog: GeoQuery, JOBS, ATIS.

    flights from ci0<TAB>( lambda $0 e ( and ( flight $0 ) ( from $0 ci0 ) ) )
    -> Utterance(words=["flights", "from", "ci0"], positions=[-1, -1, 2],
                 tree="(lambda/$0(e)(and(flight\\($0\\))(from/$0(ci0))))")
    jobs in berlin<TAB>job ( ANS ) , loc ( ANS , berlin )

A leaf that is a word of the question copies it; all others are generated. `--notation plain` or `compact`, see
`pipelines/forms/logic.py`.

Refused: R101 bytes, R102 no words, R112 not two columns, R120 no such form.
Source: Dong and Lapata, ACL 2016 (github donglixp/lang2logic, `data/`); Zelle and Mooney, AAAI 1996.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial

from grammar.words import words
from pipelines.formats import formed
from pipelines.formats.format import Format
from pipelines.formats.head import Guess, Head
from pipelines.formats.lines import Range, decode, numbered, plan_lines, shown
from pipelines.formats.save import save_lines
from pipelines.forms import logic
from pipelines.record import Example, Rejection, Utterance

_GOAL = re.compile(r"\S+ \( (?:\S+ )*?[A-Z]\w* ")


def read(range_: Range, to_tree: formed.ToTree) -> Iterator[Utterance | Rejection]:
    """One row for each line that is not blank."""
    source = range_.source
    for number, line in numbered(range_):
        if not line.strip():
            continue
        raw = decode(line)
        if raw is None:
            yield source.reject(number, "R101", shown(line))
            continue
        columns = raw.split("\t")
        if len(columns) != 2:
            yield source.reject(number, "R112", raw, f"{len(columns)} columns")
            continue
        text = columns[0].strip()
        yield formed.utterance(source, number, raw, text, words(text, "given"), columns[1].strip(), to_tree)


def record(row: Example, variant: str, notation: str, to_form: formed.ToForm) -> str:
    """A line of two columns."""
    return f"{formed.line_of(row)}\t{formed.form_of(row, to_form, notation)}"


def _recognise(head: Head, fits: Callable[[str], bool], reason: str) -> Guess | None:
    columns = [line.split("\t") for line in head.lines[:20]]
    if columns and sum(len(row) == 2 and fits(row[1]) for row in columns) * 2 > len(columns):
        return Guess(3, reason)
    return None


def recognise_lambda(head: Head) -> Guess | None:
    """Two columns, the second with a variable such as `$0`, or brackets between blanks."""
    return _recognise(
        head, lambda form: "$0" in form or form.startswith("( "), "two columns, the second in lambda calculus"
    )


def recognise_prolog(head: Head) -> Guess | None:
    """Two columns, the second with goals over variables such as `A`."""
    return _recognise(head, lambda form: _GOAL.match(form) is not None, "two columns, the second in Prolog")


LAMBDA = Format(
    name="lambda",
    summary="questions and lambda calculus in two columns: GeoQuery, ATIS",
    patterns=("*.tsv", "*.txt"),
    plan=plan_lines,
    read=partial(read, to_tree=logic.lambda_to_tree),
    example="flights from ci0<TAB>( lambda $0 e ( and ( flight $0 ) ( from $0 ci0 ) ) )",
    recognise=recognise_lambda,
    forms=formed.writer(partial(record, to_form=logic.lambda_to_form), save_lines(".tsv")),
    loses=formed.LOSES | {"domain": "not written", "locale": "not written"},
)
PROLOG = Format(
    name="prolog",
    summary="questions and Prolog goals in two columns: GeoQuery, JOBS",
    patterns=("*.tsv", "*.txt"),
    plan=plan_lines,
    read=partial(read, to_tree=logic.prolog_to_tree),
    example="jobs in berlin<TAB>job ( ANS ) , loc ( ANS , berlin )",
    recognise=recognise_prolog,
    forms=formed.writer(partial(record, to_form=logic.prolog_to_form), save_lines(".tsv")),
    loses=formed.LOSES | {"domain": "not written", "locale": "not written"},
)
