"""Rows as words and tags: what the formats of columns and of parallel files share when they write."""

from __future__ import annotations

from pipelines.formats.features import flattened, unnested
from pipelines.formats.tags import encode_tags
from pipelines.record import Example

LOSES = {
    "domain": "not written",
    "locale": "not written",
    "raw text": "the words are written, with one blank between them",
    "other text": "the words are written, with one blank between them",
    "clauses": "intents are joined by `#`; which slot is whose is found again, or the row is refused on reading",
    "joined labels": "read as several intents unless `--multi-intent label` is given",
    "nested slots": "refused: a word has one tag",
    "coordinated values": "written side by side; `--coordinate` finds those with a joining word between",
    "functions": "refused",
    "generated words": "refused: every word is one of the utterance",
    "empty slots": "refused",
    "scattered slots": "refused",
    "words of intents": "refused",
}
"""What tags cannot say."""


def tagged(row: Example, scheme: str) -> tuple[str, list[str]]:
    """Intents joined by `#`, and a tag for each word.

    Raises:
        Unwritable: the tree says more than tags can.
    """
    found = flattened(row)
    spans = unnested(found.spans)
    return "#".join(found.intents), encode_tags(spans, len(row.words), scheme)
