"""Dead letters: what they tell, and that mended ones come back as if the corpus had been right."""

from __future__ import annotations

import json
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from grammar import shard
from pipelines.__main__ import app
from pipelines.block import Block, rejection_batch
from pipelines.convert import Options, run
from pipelines.formats import FORMATS, expand, plan, read
from pipelines.record import Rejection, Utterance
from pipelines.retry import read_again
from pipelines.spill import Job
from pipelines.splits import Dealing
from pipelines.verify import verify

CLI = CliRunner()
DATA = Path(__file__).with_name("data")
WHOLE = ("R101", "R103", "R105")


@pytest.mark.parametrize(
    ("name", "record", "code", "findings"),
    [
        ("a.trees", "(Play(mood(calm))", "R201", ["E101"]),
        ("a.tsv", "play jazz\t(Play(genre(jazz)", "R201", ["E101"]),
        ("a.top", "play jazz\tplay jazz\t[IN:PLAY play [SL:GENRE jazz ]", "R114", ["E101"]),
        ("a.top", "play blues\tplay blues\t[IN:PLAY play [SL:GENRE jazz ] ]", "R111", ["E301"]),
        ("a.top", "play\tplay", "R112", []),
        ("b.tsv", "play jazz\t(Play(genre(jazz))(tempo(fast)))", "R209", ["E201"]),
    ],
)
def test_dead_letters_carry_the_codes_of_grammar(
    tmp_path: Path, name: str, record: str, code: str, findings: list[str]
) -> None:
    path, ontology = tmp_path / name, "" if name != "b.tsv" else '[intents.Play]\ntakes = ["genre"]\n[slots.genre]\n'
    path.write_text(f"{record}\n", encoding="utf-8")
    [source] = expand([str(path)], "top" if name == "a.top" else "brackets")
    [range_] = plan(source)
    block = Block(Job("", 1, ontology=ontology).settings())
    for row in read(range_):
        block.add(row)
    [letter] = rejection_batch(block.finish()[1]).to_pylist()
    assert (letter["code"], letter["findings"]) == (code, findings)


CORPORA: dict[str, tuple[dict[str, str], list[tuple[str, str]]]] = {
    # format: files, and what is spoiled in them: a piece, and what stands in its place
    "brackets": (
        {
            "train.trees": "(Play(mood(calm)))\n(Play(mood(loud)))\n(Play(genre(jazz)))\n",
            "test.trees": "(Play(mood(sad)))\n",
        },
        [("(Play(genre(jazz)))", "(Play(genre(jazz))"), ("(Play(mood(sad)))", "(Play(mood(sad)")],
    ),
    "brackets by columns": (
        {
            "train.tsv": "id\ttree\tutterance\n1\t(Play(mood(calm)))\tplay calm\n2\t(Play(genre(jazz)))\tplay jazz\n",
            "test.tsv": "utterance\ttree\nplay sad\t(Play(mood(sad)))\nplay folk\t(Play(genre(folk)))\n",
        },
        [("(Play(genre(jazz)))", "(Play(genre(jazz))"), ("(Play(mood(sad)))", "(Play(mood(sad)")],
    ),
    "seq": (
        {
            "train/seq.in": "play calm tunes\nbuy figs\nbuy figs and kale and play calm\nstop\n",
            "train/seq.out": "O B-mood O\nO B-item\nO B-item O B-item O O B-mood\nO\n",
            "train/label": "Play\nBuy\nBuy#Play\nStop\n",
            "test/seq.in": "play sad tunes\n",
            "test/seq.out": "O B-mood O\n",
            "test/label": "Play\n",
        },
        [("O B-mood O\nO B-item\n", "B-mood O\nO B-item\n"), ("Buy#Play", "Buy#")],
    ),
    "bio": (
        {"train.bio": "play\tO\ncalm\tB-mood\njazz\tB-genre\nPlay\n\nstop\tO\nStop\n\nbuy\tO\nfigs\tB-item\nBuy\n"},
        [("figs\tB-item", "figs\tX-item"), ("jazz\tB-genre", "jazz")],
    ),
    "massive": (
        {
            "en.jsonl": "".join(
                json.dumps(
                    {"id": str(i), "locale": "en-US", "partition": split, "scenario": "music", "intent": "play"}
                    | {"utt": f"play {word}", "annot_utt": f"play [genre : {word}]"}
                )
                + "\n"
                for i, (word, split) in enumerate([("jazz", "train"), ("blues", "train"), ("funk", "test")])
            )
        },
        [("play [genre : blues]", "play [genre blues]"), ("play [genre : funk]", "play [genre : punk]")],
    ),
    "snips": (
        {
            "train_Play_full.json": json.dumps(
                {"Play": [{"data": [{"text": "play "}, {"text": w, "entity": "genre"}]} for w in ("jazz", "funk")]}
            ),
            "validate_Play.json": json.dumps({"Play": [{"data": [{"text": "stop"}]}]}),
        },
        [('"text": "funk"', '"text": " "'), ('"data": [{"text": "stop"}]', '"data": [{"words": "stop"}]')],
    ),
    "top": (
        {"train.tsv": "".join(f"play {w}!\tplay {w} !\t[IN:PLAY play [SL:GENRE {w} ] ! ]\n" for w in ("jazz", "funk"))},
        [("[SL:GENRE funk ] ! ]", "[SL:GENRE funk ] !")],
    ),
    "overnight": (
        {
            "boats.examples": "".join(
                f'(example\n  (utterance "boats {w}")\n  (original "boat")\n'
                f"  (targetFormula\n    (call .size (string {w}))\n  )\n)\n"
                for w in ("one", "two", "three", "four")
            ),
            "cars_train.tsv": "a car\tcar\t( call SW.listValue ( call .size ( string car ) ) )\n",
        },
        [("(call .size (string two))", "(call .size (string two)"), ("a car\tcar\t", "a car\t")],
    ),
    "nlmaps": (
        {
            "nlmaps.train.en": "Where is Old Town?\nHow many banks?\n",
            "nlmaps.train.mrl": "query(nwr(keyval('name','Old Town')),qtype(latlong))\n"
            "query(nwr(keyval('amenity','bank')),qtype(count))\n",
        },
        [("keyval('amenity','bank')),qtype(count))", "keyval('amenity','bank'),qtype(count))")],
    ),
}


def write_corpus(folder: Path, files: dict[str, str], spoil: list[tuple[str, str]] = ()) -> Path:  # type: ignore[assignment]
    for name, text in files.items():
        for good, bad in spoil:
            text = text.replace(good, bad)
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def convert(folder: Path, format_: str, output: Path, **more: Any) -> shard.Manifest:
    return run(Options([str(folder)], format_, str(output), corpus="tiny", max_rejected=0.9, **more))


def published(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): p.read_bytes().hex() for p in sorted(folder.rglob("*")) if p.is_file()}


def mended(text: str, spoil: list[tuple[str, str]]) -> str:
    for good, bad in spoil:
        text = text.replace(bad, good)
    return text


@pytest.mark.parametrize("format_", CORPORA)
def test_what_is_mended_comes_out_as_if_the_corpus_had_been_right(format_: str, tmp_path: Path) -> None:
    files, spoil = CORPORA[format_]
    format_ = format_.partition(" ")[0]
    right = convert(write_corpus(tmp_path / "right", files), format_, tmp_path / "a")
    wrong = convert(write_corpus(tmp_path / "wrong", files, spoil), format_, tmp_path / "b")
    letters = tmp_path / "letters.jsonl"
    ran = CLI.invoke(app, ["retry", str(tmp_path / "b"), "--write-out", str(letters)])
    assert (ran.exit_code, ran.stdout) == (0, f"{letters}: {len(spoil)} letters\n")
    rows = [json.loads(line) for line in letters.read_text(encoding="utf-8").splitlines()]
    assert wrong.rows_rejected == len(rows) == len(spoil) and right.rows_rejected == 0
    # Of parallel files, a letter's lines stand below each other, so a piece of one file may reach over its end.
    flat = [(good.split("\n")[0], bad.split("\n")[0]) for good, bad in spoil]
    for row in rows:
        row["raw"] = (
            json.dumps(json.loads(mended(row["raw"], flat))) if format_ == "massive" else mended(row["raw"], flat)
        )
    encoding = "utf-8-sig" if format_ in ("seq", "brackets") else "utf-8"  # as some editors write it
    letters.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding=encoding)

    ran = CLI.invoke(app, ["retry", str(tmp_path / "b"), "--mended", str(letters), "--overwrite"])
    assert (ran.exit_code, ran.stderr) == (0, ""), ran.output
    assert verify(tmp_path / "b")[1] == []
    mine, want = published(tmp_path / "b"), published(tmp_path / "a")
    del mine["manifest.json"], want["manifest.json"]
    assert mine == want
    manifest = shard.read_manifest(tmp_path / "b")
    assert manifest.options.pop("retried") == len(spoil)
    assert asdict(manifest) == asdict(right) | {"versions": manifest.versions}


@pytest.mark.parametrize("format_", [name for name, row in FORMATS.items() if row.alone is not None])
def test_raw_says_all_of_a_record(format_: str, tmp_path: Path) -> None:
    tried = 0
    for source in expand([str(DATA / format_ / "corpus")], format_, "ours"):
        for row in chain.from_iterable(map(read, plan(source))):
            letter = row.reject("R201") if isinstance(row, Utterance) else row
            if letter.code in WHOLE and isinstance(row, Rejection):
                continue  # no text, a whole file, or a line that another file lacks
            tried += 1
            assert read_again(letter, letter.raw, FORMATS[format_], source.reading, source.split, tmp_path) == [row]
    assert tried


def spoilt(tmp_path: Path, **more: Any) -> tuple[str, list[dict[str, Any]]]:
    """A data set with three dead letters, and these."""
    tags = ["O B-mood", "O B-mood", "O B-mood", "O B-mood", "O B-genre"]
    files = {
        "seq.in": "play calm\nplay\nplay loud tunes\nstop it now\nplay jazz\n",
        "seq.out": "\n".join(tags) + "\n",
        "label": "Play\nPlay\nPlay\nStop\nRate\n",
    }
    convert(write_corpus(tmp_path / "corpus", files), "seq", tmp_path / "data", **more)
    ran = CLI.invoke(app, ["retry", str(tmp_path / "data"), "--write-out", "-"])
    return str(tmp_path / "data"), [json.loads(line) for line in ran.stdout.splitlines()]


def test_what_is_not_mended_stays_a_dead_letter(tmp_path: Path) -> None:
    path = tmp_path / "map.toml"
    path.write_text('[intents]\nRate = false\nPlay = "PlayMusic"\nOdd = "Odd2"\n', encoding="utf-8")
    data, rows = spoilt(tmp_path, map=str(path), dealing=Dealing(dev_share=0.3))
    assert [row["id"] for row in rows] == [f"tiny/seq.in:{line}" for line in (2, 3, 4)]  # not the dropped intent
    assert rows[0] | {"split": "", "raw": ""} == {
        "id": "tiny/seq.in:2", "file": "seq.in", "line": 2, "split": "", "code": "R106", "findings": [], "raw": "",
        "reason": "words and tags differ in number: 1 words, 2 tags",
    }  # fmt: skip
    rows[1]["raw"] = "play loud tunes\nO B-mood X\nPlay"
    rows[2]["drop"] = True
    text = "\n".join(map(json.dumps, rows))
    new = str(tmp_path / "new")
    ran = CLI.invoke(app, ["retry", data, "--mended", "-", "--output", new], input=text)
    assert ran.exit_code == 1
    assert ran.stdout == (
        f"{new}: 0 letters became rows, 1 were refused again (R107 1), 1 given up\n5 rows in, 1 out, 4 rejected\n"
    )
    manifest = shard.read_manifest(new)
    assert manifest.rejected == {"R106": 1, "R107": 1, "R210": 1, "R211": 1} and verify(new)[1] == []
    assert manifest.options["retried"] == 0 and manifest.options["map_unmatched"] == ["Odd"]

    again = [json.loads(line) for line in CLI.invoke(app, ["retry", new, "--write-out", "-"]).stdout.splitlines()]
    assert [(row["line"], row["code"]) for row in again] == [(2, "R106"), (3, "R107")]
    again[1]["raw"] = "play loud tunes\nO B-mood O\nPlay"
    again[0]["raw"] = "play odd\nO B-mood\nOdd"
    text = "\n".join(map(json.dumps, again))
    ran = CLI.invoke(app, ["retry", new, "--mended", "-", "--overwrite", "--json"], input=text)
    said = json.loads(ran.stdout)
    assert (said["mended"], said["rejected"], said["manifest"]["rejected"]) == (2, {}, {"R210": 1, "R211": 1})
    options = shard.read_manifest(new).options
    assert options["retried"] == 2 and "map_unmatched" not in options and verify(new)[1] == []
    right = {"seq.in": "play calm\nplay odd\nplay loud tunes\n", "seq.out": "O B-mood\nO B-mood\nO B-mood O\n"}
    write_corpus(tmp_path / "right", right | {"label": "Play\nOdd\nPlay\n"})
    direct = convert(tmp_path / "right", "seq", tmp_path / "b", map=str(path), dealing=Dealing(dev_share=0.3))
    assert direct.fingerprint == said["manifest"]["fingerprint"]


def test_a_bad_line_is_named_and_nothing_is_changed(tmp_path: Path) -> None:
    data, [one, two, _] = spoilt(tmp_path)
    before = published(Path(data))
    for text, message in [
        ("{", "<stdin>:1: not JSON"),
        ("\n[]", "<stdin>:2: a letter is an object with the texts `id` and `raw`"),
        (json.dumps(one | {"id": "x"}), "has no dead letter `x`"),
        (f"{json.dumps(one)}\n{json.dumps(one)}", "<stdin>:2: `tiny/seq.in:2` stands on line 1 as well"),
        (json.dumps(two | {"raw": "a\nO\nb\nc"}), "<stdin>:1: `raw` of `tiny/seq.in:3` holds 2 records"),
        (json.dumps(two | {"drop": "yes"}), "<stdin>:1: `drop` is true or false"),
    ]:
        ran = CLI.invoke(app, ["retry", data, "--mended", "-", "--overwrite"], input=text)
        assert ran.exit_code == 2 and message in ran.stderr, ran.output
    assert published(Path(data)) == before
    for more in (["--mended", "-"], [], ["--mended", "-", "--write-out", "-"], ["--mended", str(tmp_path / "none")]):
        assert CLI.invoke(app, ["retry", data, *more]).exit_code == 2
    (tmp_path / "letters").write_text("mended", encoding="utf-8")
    ran = CLI.invoke(app, ["retry", data, "--write-out", str(tmp_path / "letters")])
    assert ran.exit_code == 2 and "may have been edited" in ran.stderr
    manifest = json.loads((Path(data) / "manifest.json").read_text(encoding="utf-8"))
    for options, message in (
        ({"merged": []}, "merged from another data set"),
        ({"format": "rasa"}, "a dead letter of `rasa` does not hold all of its record"),
        ({"format": ""}, "was not converted from a corpus"),
    ):
        changed = manifest | {"options": manifest["options"] | options}
        (Path(data) / "manifest.json").write_text(json.dumps(changed), encoding="utf-8")
        ran = CLI.invoke(app, ["retry", data, "--write-out", "-"])
        assert ran.exit_code == 2 and message in ran.stderr
