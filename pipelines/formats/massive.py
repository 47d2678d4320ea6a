"""MASSIVE: one JSON object a line, slots marked inside the text.

    {"id": "7", "locale": "en-US", "partition": "dev", "scenario": "music", "intent": "play_music",
     "utt": "play calm jazz", "annot_utt": "play [mood : calm] [genre : jazz]"}
    -> Utterance(text="play calm jazz", words=["play", "calm", "jazz"], intents=["play_music"], split="dev",
                 spans=[SlotSpan(1, 2, "mood"), SlotSpan(2, 3, "genre")], domain="music", locale="en-US")

`--min-judgment 0.6` refuses rows that fewer of their judges accept, intent and slots both (`judgments`, which the
translated locales have); rows that nobody judged are kept.

The split is each row's `partition`. Words are cut as `words-1` does, and at the ends of slots; Japanese, Chinese and
Thai by character. Slots of one label that touch stay two.

Refused: R101 bytes, R102 no words, R103 not a JSON object, R104 field missing or of the wrong type, R109 a bracket
that is no slot, R110 rows of the partition `MMNLU-22`, which has no labels, R111 the text without marks is not `utt`
(white space apart), R113 a slot without words, R117 too few judges.
Source: FitzGerald et al., ACL 2023, arXiv 2204.08582 (github alexa/massive).
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from pipelines.formats.files import SPLITS
from pipelines.formats.format import Format, Writer
from pipelines.formats.head import Guess, Head
from pipelines.formats.lines import Range, Source, decode, numbered, plan_lines, shown
from pipelines.formats.save import save_lines
from pipelines.formats.text import LOSES, bracketed, from_text, to_text, unbracketed
from pipelines.record import Example, Rejection, Utterance

plan = plan_lines

_TEXTS = ("utt", "annot_utt", "intent", "partition")
_SCORES = ("intent_score", "slots_score")  # 1 yes, 2 also possible (intent) or no slot to judge (slots), 0 no
_BY_CHARACTER = ("ja", "zh", "th")


def read(range_: Range) -> Iterator[Utterance | Rejection]:
    """One row for each line that is not blank."""
    for number, line in numbered(range_):
        if line.strip():
            yield _record(range_.source, number, line)


def _record(source: Source, number: int, line: bytes) -> Utterance | Rejection:
    raw = decode(line)
    if raw is None:
        return source.reject(number, "R101", shown(line))
    try:
        row = json.loads(raw)
    except (ValueError, RecursionError) as error:
        return source.reject(number, "R103", raw, str(error))
    if not isinstance(row, dict):
        return source.reject(number, "R103", raw, "not an object")
    if str(row.get("partition", "")).startswith("MMNLU"):
        return source.reject(number, "R110", raw, split="test")
    split = SPLITS.get(str(row.get("partition", "")), "")
    for key in _TEXTS:
        if not isinstance(row.get(key), str) or (key == "partition" and not split):
            return source.reject(number, "R104", raw, f"`{key}`", split)
    if not row["intent"]:
        return source.reject(number, "R108", raw, split=split)
    judged = _judged(row.get("judgments"))
    if judged is not None and judged < source.reading.min_judgment:
        return source.reject(number, "R117", raw, f"{judged:.2f}", split)
    found = unbracketed(row["annot_utt"])
    if found is None:
        return source.reject(number, "R109", raw, split=split)
    text, slots = found
    if text.split() != row["utt"].split():
        return source.reject(number, "R111", raw, split=split)
    locale, scenario = (value if isinstance(value := row.get(key), str) else "" for key in ("locale", "scenario"))
    tokeniser = "chars-1" if locale.lower().startswith(_BY_CHARACTER) else "words-1"
    return from_text(
        source,
        number,
        text,
        slots,
        row["intent"],
        raw,
        split=split,
        domain=scenario,
        locale=locale,
        tokeniser=tokeniser,
    )


def _judged(judgments: object) -> float | None:
    """The share of judges who accept intent and slots; None where nobody judged."""
    scores = [one for one in judgments if isinstance(one, dict)] if isinstance(judgments, list) else []
    if not scores:
        return None
    return sum(all(one.get(key, 0) in (1, 2) for key in _SCORES) for one in scores) / len(scores)


def record(row: Example, variant: str) -> str:
    """A line; what MASSIVE knows beside the labels (worker, judgments) is not in a shard."""
    text, intent, slots = to_text(row)
    fields = {"id": row.id, "locale": row.locale, "partition": row.split, "scenario": row.domain, "intent": intent}
    return json.dumps(fields | {"utt": text, "annot_utt": bracketed(text, slots)}, ensure_ascii=False)


def recognise(head: Head) -> Guess | None:
    """JSON lines with `utt` and `annot_utt`, or `utt` and `partition` (rows without labels)."""
    if head.first.keys() >= {"utt", "annot_utt"} or head.first.keys() >= {"utt", "partition"}:
        return Guess(3, "JSON lines with `utt` and `annot_utt`")
    return None


FORMAT = Format(
    name="massive",
    summary="JSON lines with `[slot : value]` inside the text: MASSIVE",
    patterns=("*.jsonl",),
    plan=plan,
    read=read,
    example='{"intent": "play_music", "utt": "play jazz", "annot_utt": "play [genre : jazz]", "partition": "dev"}',
    recognise=recognise,
    tokeniser="words-1",
    writer=Writer(record, save_lines(".jsonl")),
    loses={key: said for key, said in LOSES.items() if key not in ("domain", "locale")}
    | {
        "marks in text": "refused where the text has a square bracket",
        "odd labels": "refused where a slot has a colon in its name",
    },
)
