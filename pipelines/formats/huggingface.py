r"""Hugging Face: Parquet files with tokens, numbers of tags and an intent.

    tokens    ["play", "calm", "jazz"]        list<string>
    ner_tags  [0, 1, 3]                       numbers of `ClassLabel` names, or the tags themselves
    intent    2                               the same, or the intent itself
    -> Utterance(words=["play", "calm", "jazz"], intents=["PlayMusic"],
                 spans=[SlotSpan(1, 2, "mood"), SlotSpan(2, 3, "genre")])

The names stand in the schema (`huggingface` metadata), as `datasets` writes it, or in the card, a `README.md` beside
the files or above them. Tags may also be called `tags`, `slots` or `slot_tags`, tokens `words`, the intent `label`.
Columns `text`, `domain`, `locale` are read where they are there. Ranges are row groups; `line` counts rows from 1.

Refused: R102 no words, R104 a column missing or a value of the wrong type, R106 counts of words and tags differ, R107
malformed tag or a number without a name, R108 no intent.
Source: huggingface.co/docs/datasets and huggingface.co/docs/hub/datasets-cards.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from pipelines import storage
from pipelines.formats.columns import LOSES
from pipelines.formats.features import single
from pipelines.formats.files import split_of
from pipelines.formats.format import Format, Writer
from pipelines.formats.head import Guess, Head
from pipelines.formats.lines import Range, Source, open_file
from pipelines.formats.tags import SCHEMES, TagError, decode_tags, encode_tags
from pipelines.record import Example, Rejection, Utterance

_TOKENS = ("tokens", "words")
_TAGS = ("ner_tags", "slot_tags", "slots", "tags")
_INTENTS = ("intent", "intents", "label", "labels")
_ORDER = ("id", "text", "tokens", "ner_tags", "intent", "domain", "locale")
_BATCH = 8192


def plan(source: Source, size: int) -> list[Range]:
    """Ranges of row groups."""
    import pyarrow.parquet as pq

    ranges: list[Range] = []
    with open_file(source.path) as file:
        try:
            meta = pq.ParquetFile(file).metadata
        except (OSError, ValueError):
            return [Range(source, 0, 0, 1, 1)]  # `read` says what is wrong
        start, first, rows, held = 0, 1, 0, 0
        for number in range(meta.num_row_groups):
            group = meta.row_group(number)
            rows, held = rows + group.num_rows, held + group.total_byte_size
            if held >= size or number == meta.num_row_groups - 1:
                ranges.append(Range(source, len(ranges), start, number + 1, first))
                start, first, rows, held = number + 1, first + rows, 0, 0
    return ranges


def stored(range_: Range) -> int:
    """Bytes of the file that a range of row groups stands for, by its share of the rows."""
    held, rows = group_rows(range_)
    return round(storage.size(range_.source.path) * held / rows) if rows else 0


def group_rows(range_: Range) -> tuple[int, int]:
    """Rows of a range of row groups, and of its file; (0, 0) of what is no Parquet file."""
    import pyarrow.parquet as pq

    with open_file(range_.source.path) as file:
        try:
            meta = pq.ParquetFile(file).metadata
        except (OSError, ValueError):
            return 0, 0
        return sum(meta.row_group(number).num_rows for number in range(range_.start, range_.stop)), meta.num_rows


def read(range_: Range) -> Iterator[Utterance | Rejection]:
    """One row for each row of the row groups."""
    import pyarrow.parquet as pq

    source = range_.source
    with open_file(source.path) as handle:
        try:
            file = pq.ParquetFile(handle)
        except (OSError, ValueError) as error:
            yield source.reject(range_.first_line, "R103", "", f"not a Parquet file: {error}")
            return
        columns = file.schema_arrow.names
        tokens, tags, intent = (
            next((name for name in names if name in columns), "") for names in (_TOKENS, _TAGS, _INTENTS)
        )
        if not tokens or not tags:
            yield source.reject(range_.first_line, "R104", ", ".join(columns), "a column `tokens` or `ner_tags`")
            return
        names = _names(source.path, file.schema_arrow.metadata or {})
        kept = [name for name in (tokens, tags, intent, "text", "domain", "locale") if name in columns]
        number = range_.first_line
        groups = list(range(range_.start, range_.stop))
        for batch in file.iter_batches(_BATCH, row_groups=groups, columns=kept):
            for row in batch.to_pylist():
                yield _record(source, number, row, (tokens, tags, intent), names)
                number += 1


def _record(
    source: Source, number: int, row: dict[str, Any], keys: tuple[str, str, str], names: dict[str, list[str]]
) -> Utterance | Rejection:
    raw = json.dumps(row, ensure_ascii=False, default=str)
    words, numbers, intent = (row.get(key) for key in keys)
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        return source.reject(number, "R104", raw, f"`{keys[0]}`")
    if not words:
        return source.reject(number, "R102", raw)
    if not isinstance(numbers, list) or len(numbers) != len(words):
        return source.reject(number, "R106", raw)
    try:
        spans = decode_tags([_named(tag, names.get(keys[1])) for tag in numbers])
    except (TagError, IndexError, TypeError) as error:
        return source.reject(number, "R107", raw, str(error))
    if isinstance(intent, list) and len(intent) == 1:
        (intent,) = intent
    try:
        label = _named(intent, names.get(keys[2])) if intent is not None else ""
    except (IndexError, TypeError) as error:
        return source.reject(number, "R104", raw, f"`{keys[2]}`: {error}")
    if not label:
        return source.reject(number, "R108", raw)
    text, domain, locale = (
        value if isinstance(value := row.get(key), str) else "" for key in ("text", "domain", "locale")
    )
    return Utterance(
        corpus=source.corpus,
        file=source.file,
        line=number,
        split=source.split,
        text=text or " ".join(words),
        words=words,
        intents=[label],
        spans=spans,
        domain=domain,
        locale=locale,
        raw=raw,
    )


def _named(value: Any, names: list[str] | None) -> str:
    if isinstance(value, str):
        return value
    if names is None or type(value) is not int or not 0 <= value < len(names):
        raise TypeError(f"`{value}` has no name; neither the schema nor the card says what it stands for")
    return names[value]


def _names(path: str, metadata: dict[bytes, bytes]) -> dict[str, list[str]]:
    """The names of the columns that hold numbers."""
    try:
        features = json.loads(metadata.get(b"huggingface", b"{}")).get("info", {}).get("features", {})
    except ValueError:
        features = {}
    found = {name: feature.get("names") or _inner(feature).get("names") for name, feature in features.items()}
    if not any(found.values()):
        found = _card(path)
    return {name: names for name, names in found.items() if names}


def _inner(feature: dict[str, Any]) -> dict[str, Any]:
    inner = feature.get("feature")
    return inner if isinstance(inner, dict) else {}


def _card(path: str) -> dict[str, Any]:
    """The names that a card declares, in the folder of a file or one above it."""
    import yaml

    folder = path.rpartition("/")[0]
    for place in (folder, folder.rpartition("/")[0]):
        card = f"{place}/README.md"
        if not storage.exists(card):
            continue
        with open_file(card) as file:
            _, _, front = file.read().decode("utf-8", "replace").partition("---\n")
        try:
            info = (yaml.safe_load(front.partition("\n---")[0]) or {}).get("dataset_info") or {}
        except (yaml.YAMLError, AttributeError):
            continue
        infos = info if isinstance(info, list) else [info]
        listed = [feature for one in infos for feature in one.get("features", []) if "name" in feature]
        return {feature["name"]: _class_names(feature) for feature in listed}
    return {}


def _class_names(feature: dict[str, Any]) -> list[str] | None:
    kind = feature.get("dtype")
    for wrapper in ("sequence", "list"):
        kind = feature.get(wrapper, kind)
    names = kind.get("class_label", {}).get("names") if isinstance(kind, dict) else None
    if isinstance(names, dict):
        names = [str(name) for _, name in sorted(names.items(), key=lambda item: int(item[0]))]
    return names


def record(row: Example, variant: str) -> dict[str, Any]:
    """A row; tags and intents become numbers when all are known."""
    intent, spans = single(row)
    return {
        "id": row.id,
        "text": row.utterance,
        "tokens": row.words,
        "ner_tags": encode_tags(spans, len(row.words), variant),
        "intent": intent,
        "domain": row.domain,
        "locale": row.locale,
    }


def save(records: Iterable[dict[str, Any]], folder: Path, split: str, variant: str) -> Path:
    """`data/<split>-00000-of-00001.parquet`, its tags still as text."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = folder / "data" / f"{_SPLIT.get(split, split)}-00000-of-00001.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    text, texts = pa.string(), pa.list_(pa.string())
    kinds = {
        "id": text,
        "text": text,
        "tokens": texts,
        "ner_tags": texts,
        "intent": text,
        "domain": text,
        "locale": text,
    }
    rows = iter(records)
    with pq.ParquetWriter(path, pa.schema(list(kinds.items())), compression="zstd") as writer:
        while batch := list(islice(rows, _BATCH)):
            writer.write_table(pa.Table.from_pylist(batch, schema=writer.schema))
    return path


def finish(folder: Path) -> None:
    """Number tags and intents, the same in every file, and write the card that `datasets` reads."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    paths = sorted((folder / "data").glob("*.parquet"))
    tags, intents = {"O"}, set[str]()
    for path in paths:
        for batch in pq.ParquetFile(path).iter_batches(_BATCH, columns=["ner_tags", "intent"]):
            tags |= set(pc.unique(pc.list_flatten(batch["ner_tags"])).to_pylist())
            intents |= set(pc.unique(batch["intent"]).to_pylist())
    names = {"ner_tags": sorted(tags, key=lambda tag: (tag != "O", tag[2:], tag)), "intent": sorted(intents)}
    value = {"dtype": "string", "_type": "Value"}
    labels = {key: {"names": some, "_type": "ClassLabel"} for key, some in names.items()}
    plain = {key: value for key in ("id", "text", "domain", "locale")}
    lists = {
        "tokens": {"feature": value, "_type": "List"},
        "ner_tags": {"feature": labels["ner_tags"], "_type": "List"},
    }
    features = {key: (plain | lists | {"intent": labels["intent"]})[key] for key in _ORDER}
    for path in paths:
        file = pq.ParquetFile(path)
        kinds = {"ner_tags": pa.list_(pa.int64()), "intent": pa.int64()}
        schema = pa.schema(
            [(field.name, kinds.get(field.name, field.type)) for field in file.schema_arrow],
            metadata={"huggingface": json.dumps({"info": {"features": features}})},
        )
        temporary = path.with_suffix(".tmp")
        with pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
            for batch in file.iter_batches(_BATCH):
                column = batch["ner_tags"]
                numbers = pc.index_in(column.flatten(), pa.array(names["ner_tags"])).cast(pa.int64())
                numbered = {
                    "ner_tags": pa.ListArray.from_arrays(column.offsets, numbers),
                    "intent": pc.index_in(batch["intent"], pa.array(names["intent"], pa.string())).cast(pa.int64()),
                }
                arrays = [numbered.get(field.name, batch[field.name]) for field in schema]
                writer.write_batch(pa.record_batch(arrays, schema=schema))
        os.replace(temporary, path)
    files = "\n".join(
        f"  - split: {path.name.split('-')[0]}\n    path: data/{path.name.split('-')[0]}-*" for path in paths
    )
    card = f"---\nconfigs:\n- config_name: default\n  data_files:\n{files}\n---\n\nWritten by Treewright.\n"
    (folder / "README.md").write_text(card, encoding="utf-8")


_SPLIT = {"dev": "validation"}


def recognise(head: Head) -> Guess | None:
    """The first bytes of a Parquet file, and a column of tokens."""
    if head.data[:4] == b"PAR1" and not head.name.startswith("rejected-"):
        return Guess(2, "a Parquet file")
    return None


FORMAT = Format(
    name="huggingface",
    summary="Parquet with tokens, ner_tags (ClassLabel) and intent: Hugging Face datasets",
    patterns=("*.parquet",),
    plan=plan,
    stored=stored,
    read=read,
    example='tokens ["play", "jazz"], ner_tags [0, 1], intent 2',
    recognise=recognise,
    split_of=split_of,
    writer=Writer(record, save, SCHEMES, finish=finish),
    loses={
        key: said
        for key, said in LOSES.items()
        if key not in ("domain", "locale", "raw text", "other text", "joined labels", "clauses")
    }
    | {"clauses": "refused: a row has one intent"},
    alone=None,
)
