"""`--format auto` and `formats --recognise`: right on every test file, also on those that look alike."""

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipelines.__main__ import app
from pipelines.formats import FORMATS
from pipelines.formats.head import Head
from pipelines.formats.recognise import recognise, recognised

DATA = Path(__file__).with_name("data")
CORPORA = os.environ.get("TREEWRIGHT_CORPORA", "")
BROKEN = {"snips/broken.json", "snips/bytes.json", "rasa/other.json", "rasa/broken.yml", "hwu64/other.csv"} | {
    "huggingface/README.md",
    "clu/other.json",
    "clu/bytes.json",
    "luis/empty_test.json",
    "dialogflow/genre_entries_en.json",
    "dialogflow/Bad_usersays_en.json",
    "dialogflow/Cut_usersays_en.json",
    "dialogflow/Odd.json",
    "dialogflow/Play.it.json",
    "alexa/bytes.json",
    "alexa/cut.json",
    "brat/doc.txt",
    "brat/alone.ann",
    "brat/bytes.txt",
    "huggingface/other.parquet",
}
"""Test files that are no corpus of their format, or have nothing that shows it."""


@pytest.mark.parametrize("name", FORMATS)
def test_every_test_file_is_recognised(name):
    verdicts = list(recognise([str(DATA / name / "corpus")], FORMATS.values()))
    wrong = [v for v in verdicts if v.format not in (name, "") or (not v.format and own(name, v) not in BROKEN)]

    assert wrong == []
    assert any(v.format == name for v in verdicts)


def own(name, verdict):
    return f"{name}/{Path(verdict.path).name}"


def head(name, text, *siblings):
    return Head(name, text.encode(), frozenset(siblings))


ALIKE = {
    "top": head("a.tsv", "play jazz\tplay jazz\t[IN:PLAY play [SL:G jazz ] ]\n"),
    "topv2": head("a.tsv", "domain\tutterance\tsemantic_parse\nmusic\tplay jazz\t[IN:PLAY play [SL:G jazz ] ]\n"),
    "mtop": head("a.tsv", 'IN:A\t\tplay\tm\ten\t[IN:A ]\t{"tokens":["play"],"tokenSpans":[{"start":0,"length":4}]}\n'),
    "brackets": head("a.tsv", "play jazz\t(Play(genre(jazz)))\n"),
    "pizza": head("a.json", '{"dev.SRC": "a pie", "dev.TOP": "(ORDER (PIZZAORDER (NUMBER a ) pie ) )"}\n'),
    "rasa": head("a.yml", 'version: "3.1"\nnlu:\n- intent: go\n  examples: |\n    - to [Oslo](city)\n'),
    "snips": head("a.yml", "type: intent\nname: go\nutterances:\n- to [city:place](Oslo)\n"),
    "luis": head(
        "a.json", '{"luis_schema_version": "7.0.0", "utterances": [{"text": "a", "intent": "b", "entities": []}]}'
    ),
    "clu": head("a.json", '{"projectFileVersion": "1", "assets": {"utterances": [{"text": "a", "intent": "b"}]}}'),
    "doccano": head("a.jsonl", '{"id": 1, "text": "a b", "label": [[0, 1, "x"]], "cats": ["Go"]}\n'),
    "label-studio": head("a.json", '[{"id": 1, "data": {"text": "a"}, "annotations": [{"result": []}]}]'),
    "massive": head("a.jsonl", '{"utt": "a", "annot_utt": "a", "intent": "b", "partition": "train"}\n'),
    "bio": head("a.txt", "play O\njazz B-genre\nPlay\n\n"),
    "seq": head("seq.in", "play jazz\n", "seq.in", "seq.out", "label"),
    "dialogflow": head(
        "go.json", '{"userSays": [{"data": [{"text": "go"}], "isTemplate": false}], "name": "go", "templates": []}'
    ),
    "hwu64": head("a.csv", "answerid;scenario;intent;answer_annotation\n1;a;b;go\n"),
}


@pytest.mark.parametrize("name", ALIKE)
def test_formats_that_look_alike_are_told_apart(name):
    sure = {other: guess.sure for other, row in FORMATS.items() if (guess := row.recognise(ALIKE[name]))}

    assert [name] == [other for other in sure if sure[other] == max(sure.values())]


def test_the_beginning_of_a_long_file_is_enough():
    rows = ",\n".join(json.dumps({"text": f"a {n}", "intent": "b", "entities": []}) for n in range(3_000))
    text = '{"luis_schema_version": "7.0.0", "utterances": [' + rows + "]}"

    assert FORMATS["luis"].recognise(Head("a.json", text.encode()[:65_536], whole=False)).sure == 3


def test_several_formats_and_none_are_said(tmp_path):
    (tmp_path / "a.bio").write_text("play O\nPlay\n")
    (tmp_path / "b.yml").write_text("nlu:\n- intent: x\n  examples: |\n    - a\n")
    with pytest.raises(ValueError, match=r"several formats: `bio` \(.*a\.bio\), `rasa`"):
        recognised([str(tmp_path)])
    (tmp_path / "c.txt").write_text("some notes\n")
    with pytest.raises(ValueError, match="no file is in a format that is known"):
        recognised([str(tmp_path / "c.txt")])
    found = CliRunner().invoke(app, ["formats", "--recognise", str(tmp_path), "--json"])
    assert [row["format"] for row in json.loads(found.stdout)] == ["bio", "rasa", ""]


FOLDERS = [
    ("snips", "seq"),
    ("snips-json", "snips"),
    ("atis", "seq"),
    ("mixsnips", "seq"),
    ("massive", "massive"),
    ("top", "top"),
    ("rasa", "rasa"),
]


@pytest.mark.parametrize("folder, name", FOLDERS)
def test_a_published_corpus_is_recognised(folder, name):
    if not CORPORA or not (Path(CORPORA) / folder).is_dir():
        pytest.skip(f"TREEWRIGHT_CORPORA names no folder with `{folder}`")

    assert name == recognised([str(Path(CORPORA) / folder)])
