"""Cutting files into ranges, at every size: no record is lost, doubled or changed, and each knows its line."""

from __future__ import annotations

import gzip
import json
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.formats import Range, expand, plan, read
from pipelines.formats.lines import Cut, cuts
from pipelines.record import Rejection, Utterance

LINES = (
    "play calm jazz\t(Play(mood(calm))(genre(jazz)))\n\n# note\t(Note())\r\nno tab here\nbuy figs\t(Buy(item(figs)))\n"
)
BLOCKS = "\n\nplay O\njazz B-g\nPlay\n\n\nbuy O\nfigs B-i\nBuy\n \nstop O\nStop"
CHATS = [
    {"data": [{"text": "play "}, {"text": 'a "[{', "entity": "t"}]},
    {"data": [{"text": "stop, now \\"}]},
    {"data": 3},
]

KINDS = {
    "lines": ("brackets", {"a.tsv": LINES}),
    "lines without a last end": ("brackets", {"a.tsv": LINES.rstrip("\n")}),
    "lines after a byte order mark": ("brackets", {"a.tsv": "\ufeff" + LINES}),
    "parallel lines": (
        "seq",
        {
            "seq.in": "play calm jazz\nbuy figs\r\n\nstop\nplay caf\u00e9\n",
            "seq.out": "O B-m B-g\nO B-i\n\nO O\nO B-p\n",
            "label": "Play\nBuy\nNone\nStop\nPlay\n",
        },
    ),
    "parallel lines of different number": (
        "seq",
        {"seq.in": "play jazz\nstop\n", "seq.out": "O B-g\nO\nO O\nO", "label": "Play\nStop"},
    ),
    "parallel lines, the first file empty": ("seq", {"seq.in": "", "seq.out": "O\nO\n", "label": "Stop\n"}),
    "blocks between blank lines": ("bio", {"a.bio": BLOCKS}),
    "blocks with carriage returns": ("bio", {"a.bio": BLOCKS.replace("\n", "\r\n")}),
    "objects on lines": ("massive", {"a.jsonl": '{"utt": 1}\n\n{"a": "\\n"}\nno json\n'}),
    "a JSON array": ("label-studio", {"a.json": json.dumps(CHATS)}),
    "a JSON array over many lines": ("label-studio", {"a.json": json.dumps(CHATS, indent=2)}),
    "one JSON object": ("snips", {"a.json": json.dumps({"Play": CHATS})}),
    "nothing": ("brackets", {"a.tsv": ""}),
    "blank lines": ("bio", {"a.bio": "\n \n\n"}),
}


def write(folder: Path, kind: str) -> tuple[str, str]:
    format_, files = KINDS[kind]
    for name, text in files.items():
        (folder / name).write_bytes(text.encode())
    return format_, str(folder)


def records(format_: str, path: str, size: int) -> tuple[list[Utterance | Rejection], list[Range]]:
    ranges = [range_ for source in expand([path], format_, "c") for range_ in plan(source, size)]
    return [row for range_ in ranges for row in read(range_)], ranges


@pytest.mark.parametrize("kind", KINDS)
def test_every_size_of_range_gives_the_same_records(kind: str, tmp_path: Path) -> None:
    format_, path = write(tmp_path, kind)
    total = sum(len(text.encode()) for text in KINDS[kind][1].values())
    whole, _ = records(format_, path, 1 << 30)
    most = 0
    for size in range(1, total + 3):
        found, ranges = records(format_, path, size)
        assert found == whole, f"ranges of {size} bytes"
        assert [range_.number for range_ in ranges] == list(range(len(ranges)))
        most = max(most, len(ranges))
    lines = [row.line for row in whole]
    assert lines == sorted(set(lines)), "a record was doubled"
    if len(whole) > 2 and kind != "one JSON object":
        assert most > 1, "nothing was ever cut, so nothing was tested"


@pytest.mark.parametrize("packing", ["gzip", "zip"])
@pytest.mark.parametrize("kind", KINDS)
def test_packed_files_hold_the_same_records(kind: str, packing: str, tmp_path: Path) -> None:
    format_, path = write(tmp_path, kind)
    whole, _ = records(format_, path, 1 << 30)
    if packing == "zip":
        packed = tmp_path / f"{tmp_path.name}.zip"
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in KINDS[kind][1]:
                archive.write(tmp_path / name, name)
        path = str(packed)
    else:
        for name in KINDS[kind][1]:
            (tmp_path / f"{name}.gz").write_bytes(gzip.compress((tmp_path / name).read_bytes()))
            (tmp_path / name).unlink()

    found, ranges = records(format_, path, 1)

    unpacked = [_unpacked(row) for row in found]
    assert unpacked == whole
    assert len(ranges) <= 1


def test_a_file_that_is_read_whole_and_packs_well_loses_nothing(tmp_path: Path) -> None:
    text = "".join(f"## intent:Play{n}\n- play [jazz](genre) now\n\n" for n in range(300))
    (tmp_path / "a.md").write_text(text)
    (tmp_path / "b.md.gz").write_bytes(gzip.compress(text.encode()))
    assert (tmp_path / "b.md.gz").stat().st_size < len(text) / 5
    plain, packed = (records("rasa", str(tmp_path / name), 1 << 30)[0] for name in ("a.md", "b.md.gz"))
    assert len(plain) == 300 and [_unpacked(row)._replace(file="a.md") for row in packed] == plain


@given(st.binary(max_size=60).map(lambda data: data.replace(b"\x00", b"\n")), st.integers(1, 70), st.booleans())
def test_cuts_cover_a_file_in_whole_lines(tmp_path_factory, data: bytes, size: int, blocks: bool) -> None:
    path = tmp_path_factory.getbasetemp() / "cuts.bin"
    path.write_bytes(data)

    found = list(cuts(str(path), size, (lambda line: not line.strip()) if blocks else None))

    assert b"".join(data[cut.start : cut.stop] for cut in found) == data
    assert [cut.start for cut in found] == [0, *(cut.stop for cut in found)][: len(found)]
    for number, (start, stop, lines) in enumerate(found):
        piece = data[start:stop]
        assert lines == piece.count(b"\n") + (not piece.endswith(b"\n"))
        if number < len(found) - 1:
            assert len(piece) >= size and piece.endswith(b"\n")
            shortest = piece.rstrip(b"\n").rpartition(b"\n")[0] if not blocks else b""
            assert len(shortest) < size, "it could have been cut sooner"
    assert isinstance(found, list) and all(isinstance(cut, Cut) for cut in found)


def _unpacked(row: Utterance | Rejection) -> Utterance | Rejection:
    row = row._replace(file=row.file.removesuffix(".gz"))
    return row._replace(reason=row.reason.replace(".gz`", "`")) if isinstance(row, Rejection) else row
