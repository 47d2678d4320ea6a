"""NLmaps: questions about OpenStreetMap, and beside each file of them the queries, line by line.

    nlmaps.train.en     Where is the bank in Old Town?
    nlmaps.train.mrl    query(area(keyval('name','Old Town')),nwr(keyval('amenity','bank')),qtype(latlong))
    -> Utterance(words=["Where", "is", ..., "?"], locale="en", positions=[5, 6, -1, -1],
                 tree="(query(area(kv:name(Old)(Town)))(nwr(kv:amenity=bank))(qtype\\(latlong\\)))")

The ending of the questions' file is the locale; where `.en` and `.de` lie in one folder both are read, so name one of
them (`--input 'nlmaps/*.en'`) to have one language. Words of names are copied. A spelling of the queries with blanks
around brackets and commas is read as the published one; one that also writes `_` for blanks inside names is not, since
`_` is a character of OpenStreetMap's own values, too (`fast_food`).
`--notation plain` or `compact`: `pipelines/forms/nlmaps.py`.

Refused: R101 bytes, R102 no words, R105 a line that one of the files lacks, R120 no such query.
Source: Haas and Riezler, NAACL 2016; Lawrence and Riezler, COLING 2016.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

from grammar.words import words
from pipelines.formats import formed, seq
from pipelines.formats.format import Format
from pipelines.formats.head import Guess, Head
from pipelines.formats.lines import Range, Source, decode, lines, shown
from pipelines.formats.save import create
from pipelines.forms import FormError
from pipelines.forms.nlmaps import read as read_form
from pipelines.forms.nlmaps import to_form, to_tree
from pipelines.forms.nlmaps import write as write_form
from pipelines.record import Example, Rejection, Utterance
from pipelines.storage import plain

TOKENISER = "signs-1"
LANGUAGES = ("en", "de")
MRL = ".mrl"

plan = seq.plan


def read(range_: Range) -> Iterator[Utterance | Rejection]:
    """One row for each line."""
    source = range_.source
    questions = lines(source.path, range_.start, range_.stop)
    queries = lines(source.companions[0], range_.starts[0], range_.stops[0])
    for number, pair in enumerate(zip_longest(questions, queries), range_.first_line):
        yield _record(source, number, *pair)


def _record(source: Source, number: int, question: bytes | None, query: bytes | None) -> Utterance | Rejection:
    raw = "\n".join(shown(line or b"") for line in (question, query))
    if question is None or query is None:
        missing = Path(source.path if question is None else source.companions[0]).name
        return source.reject(number, "R105", raw, f"`{missing}` has no line {number}")
    text, form = decode(question), decode(query)
    if text is None or form is None:
        return source.reject(number, "R101", raw)
    text, form = text.strip(), form.strip()
    locale = Path(plain(source.path)).suffix[1:]
    return formed.utterance(source, number, raw, text, words(text, TOKENISER), _published(form), to_tree, locale=locale)


def _published(form: str) -> str:
    """A query without blanks around its tokens, if that is how it is spelt; any other as it stands."""
    try:
        term = read_form(form)
    except FormError:
        return form
    return write_form(term) if write_form(term, blanks=True) == form else form


def record(row: Example, variant: str, notation: str) -> tuple[str, str]:
    """A question and its query."""
    return formed.line_of(row), formed.form_of(row, to_form, notation)


def _save(records: Iterable[Any], folder: Path, split: str, variant: str) -> Path:
    path = folder / f"{split}.{variant}"
    with create(path) as questions, create(path.with_suffix(MRL)) as queries:
        for question, query in records:
            questions.write(f"{question}\n")
            queries.write(f"{query}\n")
    return path


def recognise(head: Head) -> Guess | None:
    """A file of questions beside one that ends in `.mrl`."""
    if Path(head.name).suffix[1:] in LANGUAGES and Path(head.name).with_suffix(MRL).name in head.siblings:
        return Guess(3, f"lines beside those of `{Path(head.name).with_suffix(MRL).name}`")
    return None


FORMAT = Format(
    name="nlmaps",
    summary="files of questions with one of queries beside them, line by line: NLmaps",
    patterns=tuple(f"*.{language}" for language in LANGUAGES),
    plan=plan,
    read=read,
    example="Where are banks in Old Town? | query(area(keyval('name','Old Town')),nwr(...),qtype(latlong))",
    recognise=recognise,
    companions=(f"*{MRL}",),
    tokeniser=TOKENISER,
    dev_share=0.2,
    forms=formed.writer(record, _save, LANGUAGES),
    loses=formed.LOSES | {"domain": "not written", "locale": "the file's name says it, and all rows share a file"},
)
