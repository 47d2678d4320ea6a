"""One test for each quirk of a format, on the fields of its row."""

import json

import pytest
from typer.testing import CliRunner

from grammar.__main__ import app as grammar_app
from pipelines.formats import Reading, Source, expand, plan, read
from pipelines.formats.recognise import recognised
from pipelines.formats.tags import TagError, decode_tags
from pipelines.formats.top import convert
from pipelines.record import Rejection, SlotSpan, Utterance


@pytest.fixture
def one(tmp_path):
    """Write a file, read it, return its only row."""

    def one(fmt, name, content, **reading):
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        source = Source(str(tmp_path / name), name, format=fmt, reading=Reading(**reading))
        (row,) = [row for r in plan(source) for row in read(r)]
        return row

    return one


@pytest.mark.parametrize(
    "tags, spans",
    [
        ("O B-a I-a O", [(1, 3, "a")]),  # IOB2
        ("I-a I-a B-a", [(0, 2, "a"), (2, 3, "a")]),  # IOB1: B- only parts two of a kind
        ("B-a B-a", [(0, 1, "a"), (1, 2, "a")]),
        ("B-a I-a E-a S-a", [(0, 3, "a"), (3, 4, "a")]),  # IOBES
        ("B-a L-a U-b", [(0, 2, "a"), (2, 3, "b")]),  # BILUO
        ("O I-a", [(1, 2, "a")]),  # orphan
        ("B-a I-b I-b", [(0, 1, "a"), (1, 3, "b")]),
        ("E-a I-a", [(0, 1, "a"), (1, 2, "a")]),  # E- closes even when nothing was open
        ("S-a I-a", [(0, 1, "a"), (1, 2, "a")]),
        ("B-from.city-name I-from.city-name", [(0, 2, "from.city-name")]),
        ("O", []),
    ],
)
def test_tags_are_read_in_every_scheme(tags, spans):
    assert [SlotSpan(*span) for span in spans] == decode_tags(tags.split())


@pytest.mark.parametrize("tag", ["a", "B-", "-a", "X-a", "B_a", "o", "BI-a"])
def test_a_malformed_tag_is_named(tag):
    with pytest.raises(TagError, match="of word 2"):
        decode_tags(["O", tag])


def test_offsets_of_mtop_tell_equal_words_apart_beside_a_slot_without_words(one):
    tokens = {"tokens": ["in", "my", "car", "to", "my", "dad"], "tokenSpans": []}
    tokens["tokenSpans"] = [
        {"start": a, "length": b - a} for a, b in ((0, 2), (3, 5), (6, 9), (10, 12), (13, 15), (16, 19))
    ]
    tree = "[IN:GO [SL:BY [IN:CAR ] ] [SL:TO [IN:HOME [SL:WHOSE my ] [SL:WHO dad ] ] ] ]"
    row = one("mtop", "x.tsv", f"1\tIN:GO\t13:19:SL:TO\tin my car to my dad\t\ten\t{tree}\t{json.dumps(tokens)}\n")

    assert row.positions == [4, 5]


def test_an_utterance_of_snips_that_begins_with_a_slot_needs_quotes_and_the_reason_says_so(one):
    start = "type: intent\nname: Go\nutterances:\n"

    assert "stands in quotes" in one("snips", "x.yaml", f"{start}- [place:city](Oslo) is far\n").reason
    assert one("snips", "y.yaml", f"{start}- '[place:city](Oslo) is far'\n").words == ["Oslo", "is", "far"]


def test_a_word_of_columns_between_tabs_may_hold_blanks(one):
    row = one("bio", "x.txt", "play\tO\nblue moon\tB-title\nPlay\n")

    assert row.words == ["play", "blue moon"]


def test_a_single_token_sentence_is_no_intent_line(one):
    row = one("bio", "x.txt", "stop O\nHalt\n\n")

    assert (row.words, row.intents) == (["stop"], ["Halt"])


def test_columns_of_numbers_are_words_unless_they_count(one):
    counted = one("bio", "x.txt", "# intent = Set\n1 set O\n2 five B-n\n")
    plain = one("bio", "x.txt", "# intent = Set\n1 CD B-n\n3 CD B-n\n")

    assert (counted.words, plain.words) == (["set", "five"], ["1", "3"])


def snips(*chunks):
    data = [{"text": text, **({"entity": label} if label else {})} for text, label in chunks]
    return json.dumps({"Play": [{"data": data}]})


def test_blanks_at_the_edges_of_a_slot_are_outside_it(one):
    row = one("snips", "x.json", snips(("play ", ""), (" calm  jazz ", "genre"), ("now", "")))

    assert (["play", "calm", "jazz", "now"], [SlotSpan(1, 3, "genre")]) == (row.words, row.spans)


def test_a_slot_that_ends_inside_a_word_cuts_it(one):
    row = one("snips", "x.json", snips(("re", ""), ("play", "act"), ("ed", "")))

    assert (["re", "play", "ed"], [SlotSpan(1, 2, "act")], "replayed") == (row.words, row.spans, row.text)


def test_a_newline_in_the_text_is_a_blank(one):
    assert one("snips", "x.json", snips(("\nplay\njazz \n", ""))).text == "play jazz"


def test_the_case_of_a_corpus_is_kept(one):
    assert one("snips", "x.json", snips(("Play JAZZ", ""))).words == ["Play", "JAZZ"]


def massive(**fields):
    row = {"locale": "en-US", "partition": "train", "scenario": "s", "intent": "i"}
    return json.dumps(row | fields, ensure_ascii=False) + "\n"


def test_touching_slots_of_one_label_stay_two(one):
    row = one("massive", "x.jsonl", massive(utt="figs dates", annot_utt="[item : figs] [item : dates]"))

    assert [SlotSpan(0, 1, "item"), SlotSpan(1, 2, "item")] == row.spans


@pytest.mark.parametrize("locale, words", [("th-TH", ["ก", "ข"]), ("zh-TW", ["ก", "ข"]), ("ko-KR", ["กข"])])
def test_scripts_without_blanks_are_cut_by_character(one, locale, words):
    assert words == one("massive", "x.jsonl", massive(utt="กข", annot_utt="กข", locale=locale)).words


def test_massive_fills_domain_and_locale(one):
    row = one("massive", "x.jsonl", massive(utt="go", annot_utt="go", scenario="travel", locale="en-US"))

    assert (row.domain, row.locale, row.split) == ("travel", "en-US", "train")


def test_white_space_between_text_and_marks_may_differ(one):
    row = one("massive", "x.jsonl", massive(utt="play  jazz", annot_utt="play [genre :  jazz ]"))

    assert row.words == ["play", "jazz"]


def test_positions_point_at_the_second_of_two_equal_words():
    words, tree, positions = convert("[IN:PLAY to play [SL:TITLE to [SL:X play ] ] ]")

    assert words == ["to", "play", "to", "play"]
    assert (str(tree), positions) == ("(IN:PLAY(SL:TITLE(SL:X(play))))", [3])


def test_combine_is_spliced_below_a_slot_too():
    _, tree, positions = convert(
        "[IN:A [SL:B [IN:COMBINE [SL:COMBINE [IN:C [SL:D x ] ] ] and [SL:COMBINE [IN:C [SL:D x ] ] ] ] ] ]"
    )

    assert (str(tree), positions) == ("(IN:A(SL:B(and(IN:C(SL:D(x)))(IN:C(SL:D(x))))))", [0, 2])


def test_a_quotation_mark_of_a_tsv_is_a_character(one):
    row = one("top", "x.tsv", 'say "hi\tsay " hi\t[IN:SAY say [SL:WORD " hi ] ]\n')

    assert isinstance(row, Utterance) and row.words == ["say", '"', "hi"]


def test_topv2_has_a_header_a_domain_and_its_raw_text(one):
    row = one("top", "x.tsv", "domain\tutterance\tsemantic_parse\nmusic\tplay it's\t[IN:PLAY play [SL:T it 's ] ]\n")

    assert (row.domain, row.line, row.words, row.positions) == ("music", 2, ["play", "it", "'s"], [1, 2])


def test_a_tsv_of_trees_is_cut_at_its_first_tab(one):
    row = one("brackets", "x.tsv", "play jazz\t(Play\t(Genre(jazz)))\n")

    assert (row.text, row.tree) == ("play jazz", "(Play\t(Genre(jazz)))")


def test_a_rejection_keeps_the_record_as_it_stood(one):
    row = one("brackets", "x.tsv", "Zoë \\(\n")

    assert isinstance(row, Rejection)
    assert (row.raw, row.code, row.line) == ("Zoë \\(", "R112", 1)


def test_a_header_of_a_tsv_is_no_row_and_only_its_first_line(tmp_path):
    (tmp_path / "a.tsv").write_bytes(b"\xef\xbb\xbfutterance\ttree\r\nplay jazz\t(P(g(jazz)))\nutterance\ttree\n")
    [source] = expand([str(tmp_path / "a.tsv")], "brackets")
    for size in (1, 1 << 20):
        rows = [row for range_ in plan(source, size) for row in read(range_)]
        assert [(row.line, row.tree) for row in rows] == [(2, "(P(g(jazz)))"), (3, "tree")]


HEADED = {
    "annotator\tbatch\tutterance\ttree": [["ann", "b1", "play jazz", "(P(g(jazz)))"], ["bo", "", "stop", "(S())"]],
    "tree\tutterance": [["(P(g(jazz)))", "play jazz"], ["(S())", "stop"]],
    "id\tutterance\ttree": [["1", "play jazz", "(P(g(jazz)))"], ["2", "stop", "(S())"]],
    "utterance\ttree\tannotator": [["play jazz", "(P(g(jazz)))", "ann\t2"], ["stop", "(S())", ""]],
    "utterance\twords\ttree": [["Play!", "play jazz", "(P(g(jazz)))"], ["", "stop", "(S())"]],
}


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("head", HEADED)
def test_what_annotators_checked_can_be_converted(tmp_path, head, end):
    path = tmp_path / "a.tsv"
    lines = [head, *map("\t".join, HEADED[head])]
    path.write_bytes(b"\xef\xbb\xbf" + "".join(f"{line}{end}" for line in lines).encode())
    ran = CliRunner().invoke(grammar_app, ["check", "--select", "E1,E3", str(path)])
    assert ran.exit_code == 0, ran.output
    [source] = expand([str(path)], "brackets")
    assert recognised([str(path)]) == "brackets"
    for size in (1, 1 << 20):
        rows = [row for range_ in plan(source, size) for row in read(range_)]
        assert [(row.line, row.text, row.tree) for row in rows] == [
            (2, "play jazz", "(P(g(jazz)))"),
            (3, "stop", "(S())"),
        ]


def test_a_header_may_name_splits_and_no_utterance(tmp_path):
    path = tmp_path / "a.tsv"
    path.write_text("tree\tsplit\n(P(g(jazz)))\tdev\n(P(g(soul)))\t\n(P(g(x)))\tsome\n(P(g(y))\ttest\n(S())\n")
    [source] = expand([str(path)], "brackets")
    for size in (1, 1 << 20):
        first, second, *refused = [row for range_ in plan(source, size) for row in read(range_)]
        assert (first.split, first.words, second.split, second.words) == ("dev", ["jazz"], "train", ["soul"])
        assert [(row.line, row.code, row.split) for row in refused] == [
            (4, "R104", "train"),
            (5, "R201", "test"),
            (6, "R112", "train"),
        ]
        assert refused[1].raw == "tree\tsplit\n(P(g(y))\ttest"


def test_rows_with_too_few_columns_are_told_which_there_are(tmp_path):
    (tmp_path / "a.tsv").write_bytes(b"id\tutterance\ttree\n1\tplay\n2\tplay \xff\t(P())\n")
    [source] = expand([str(tmp_path / "a.tsv")], "brackets")
    few, odd = [row for range_ in plan(source) for row in read(range_)]
    assert (few.code, few.reason) == ("R112", "the line has the wrong number of columns: 2 of 3: id, utterance, tree")
    assert (odd.code, odd.raw) == ("R101", "id\tutterance\ttree\n2\tplay \\xff\t(P())")


def test_words_alone_are_an_utterance(tmp_path):
    lines = [
        '{"words": ["play", "ana lu"], "tree": "(P())"}',
        '{"words": ["play", 2], "tree": "(P())"}',
        '{"tree": "(P())"}',
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(lines), encoding="utf-8")
    [source] = expand([str(tmp_path / "a.jsonl")], "brackets")
    first, *others = [row for range_ in plan(source) for row in read(range_)]
    assert (first.text, first.words) == ("play ana lu", ["play", "ana lu"])
    assert [row.code for row in others] == ["R104", "R104"]


JUDGED = [{"intent_score": 1, "slots_score": 2}, {"intent_score": 1, "slots_score": 0}]


@pytest.mark.parametrize(
    "judgments, least, kept", [(JUDGED, 0.5, True), (JUDGED, 0.6, False), ([], 1.0, True), (None, 1.0, True)]
)
def test_a_row_needs_as_many_judges_as_are_asked_for(one, judgments, least, kept):
    line = massive(utt="go", annot_utt="go", judgments=judgments)

    assert isinstance(one("massive", "x.jsonl", line, min_judgment=least), Utterance) == kept


def task(*people):
    def result(label):
        return [
            {"type": "labels", "value": {"start": 3, "end": 6, "text": "pie", "labels": [label]}},
            {"type": "choices", "value": {"choices": ["Order"]}},
        ]

    notes = [{"completed_by": who, "was_cancelled": out, "result": result(label)} for who, out, label in people]
    return json.dumps([{"data": {"text": "\U0001f355 pie"}, "annotations": notes, "predictions": notes[-1:]}])


@pytest.mark.parametrize(
    "who, label",
    [("first", "b"), ("2", "b"), ("3", "c"), ("prediction", "d"), ("agreed", "R116"), ("1", "R110"), ("9", "R110")],
)
def test_one_of_several_annotators_is_read(one, who, label):
    row = one(
        "label-studio", "x.json", task((1, True, "a"), (2, False, "b"), (3, False, "c"), (4, True, "d")), annotator=who
    )

    assert label == (row.code if isinstance(row, Rejection) else row.spans[0].label)


def test_annotators_who_agree_are_one(one):
    row = one("label-studio", "x.json", task((1, True, "a"), (2, False, "b"), (3, False, "b")), annotator="agreed")

    assert [SlotSpan(1, 2, "b")] == row.spans


def test_the_unit_of_offsets_can_be_said(one):
    text = "\U0001f355 pie"
    for unit, start in (("code point", 2), ("utf-16", 3), ("byte", 5)):
        line = json.dumps({"text": text, "label": [[start, start + 3, "dish"]], "cats": ["Order"]})
        row = one("doccano", "x.jsonl", line, offsets=unit)
        assert (["\U0001f355", "pie"], [SlotSpan(1, 2, "dish")]) == (row.words, row.spans)
