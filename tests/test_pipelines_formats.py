"""What all readers share: the ugly corpora of `data/<format>/`, ranges, inputs and splits."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.formats import FORMATS, Reading, expand, plan, read
from pipelines.formats.files import folder_above, split_of
from pipelines.formats.lines import Source, cuts, decode, lines
from pipelines.record import REASONS, Example, Rejection, Utterance
from pipelines.trees import to_example

DATA = Path(__file__).with_name("data")


def rows(sources, size=1 << 20):
    return [row for source in sources for range_ in plan(source, size) for row in read(range_)]


def convert(name, **reading):
    found = rows(expand([str(DATA / name / "corpus")], name, "ours", Reading(**reading)))
    return [row if isinstance(row, Rejection) else to_example(row) for row in found]


@pytest.mark.parametrize("name", FORMATS)
def test_an_ugly_corpus_becomes_the_expected_trees(name):
    expected = (DATA / name / "expected.trees").read_text(encoding="utf-8").splitlines()

    assert expected == [row.tree for row in convert(name) if isinstance(row, Example)]


@pytest.mark.parametrize("name", FORMATS)
def test_an_ugly_corpus_is_refused_where_expected(name):
    expected = (DATA / name / "expected.rejections").read_text(encoding="utf-8").splitlines()

    assert expected == [f"{row.file}:{row.line} {row.code}" for row in convert(name) if isinstance(row, Rejection)]


def test_every_reason_of_a_reader_has_a_record_that_it_refuses():
    asked = [convert("label-studio", annotator="agreed"), convert("massive", min_judgment=0.6)]
    every = [row for rows_ in [*asked, *map(convert, FORMATS)] for row in rows_]
    met = {row.code for row in every if isinstance(row, Rejection)}

    assert {code for code in REASONS if code.startswith("R1")} <= met


@pytest.mark.parametrize("name", FORMATS)
def test_ids_are_unique_and_every_text_can_be_stored(name):
    found = convert(name)

    assert len({(row.file, row.line) for row in found}) == len(found)
    for row in found:
        "".join(row.raw + row.reason if isinstance(row, Rejection) else row.utterance + row.tree).encode("utf-8")


@pytest.mark.parametrize("name", FORMATS)
def test_every_range_size_gives_the_same_records(name):
    for source in expand([str(DATA / name / "corpus")], name):
        whole, before = rows([source]), plan(source, 1 << 20)
        for size in range(1, min(Path(source.path).stat().st_size, 600) + 2):
            if (ranges := plan(source, size)) != before:
                assert whole == [row for range_ in ranges for row in read(range_)], (source.file, size)
                before = ranges


# Line ends in all the places that go wrong: none at the end, doubled, after a carriage return.
pieces = st.lists(st.sampled_from([b"a", b"bc\n", b"\n", b"d\r\n", b"\r", b"e e\n"]), max_size=12).map(b"".join)


@settings(max_examples=150, deadline=None)
@given(data=pieces, size=st.integers(1, 12), blank=st.booleans())
def test_cuts_cover_the_file_and_end_at_lines(tmp_path_factory, data, size, blank):
    path = tmp_path_factory.getbasetemp() / "cuts.txt"
    path.write_bytes(data)
    ends = (lambda line: not line.strip()) if blank else None
    found = list(cuts(str(path), size, ends))

    assert data == b"".join(data[cut.start : cut.stop] for cut in found)
    assert all(cut.stop - cut.start >= size for cut in found[:-1])
    once = list(lines(str(path), 0, len(data)))
    assert once == [line for cut in found for line in lines(str(path), cut.start, cut.stop)]
    assert [cut.lines for cut in found] == [len(list(lines(str(path), cut.start, cut.stop))) for cut in found]
    if blank:
        assert all(not list(lines(str(path), cut.start, cut.stop))[-1].strip() for cut in found[:-1])


@settings(max_examples=100, deadline=None)
@given(data=pieces, size=st.integers(1, 8), cut=st.integers(0, 40))
def test_parallel_files_of_any_length_lose_no_line(tmp_path_factory, data, size, cut):
    folder = tmp_path_factory.getbasetemp() / "parallel"
    folder.mkdir(exist_ok=True)
    for name, content in (("seq.in", data), ("seq.out", data[:cut]), ("label", data[cut:])):
        (folder / name).write_bytes(content)
    source = Source(str(folder / "seq.in"), "seq.in", (str(folder / "seq.out"), str(folder / "label")), format="seq")
    found = rows([source], size)

    assert found == rows([source])
    longest = max(
        content.count(b"\n") + (not content.endswith(b"\n") and content != b"")
        for content in (data, data[:cut], data[cut:])
    )
    assert list(range(1, longest + 1)) == [row.line for row in found]


def test_lines_end_at_newlines_only(tmp_path):
    path = tmp_path / "odd.txt"
    path.write_bytes("a\u2028b\x85c\x0bd\n".encode())

    assert ["a\u2028b\x85c\x0bd".encode()] == list(lines(str(path), 0, path.stat().st_size))


@pytest.mark.parametrize("name", ["brackets", "massive", "doccano"])
def test_json_that_is_too_deep_is_a_dead_letter(name, tmp_path):
    (tmp_path / "a.jsonl").write_text('{"a": ' + "[" * 100_000 + '\n{"a": 1}\n')

    found = rows(expand([str(tmp_path / "a.jsonl")], name, "c"))

    assert [(row.code, row.line) for row in found] == [("R103", 1), ("R104", 2)]


def test_surrogate_pairs_are_mended_and_nothing_else_is_guessed():
    assert decode("Zoë ".encode() + b"\xed\xa0\xbc\xed\xbd\x95") == "Zoë 🍕"
    assert decode(b"\xed\xa0\xbc") is None
    assert decode("Zoë".encode("latin-1")) is None


@pytest.mark.parametrize(
    "file, split",
    [
        ("train.tsv", "train"),
        ("valid/seq.in", "dev"),
        ("a/eval.tsv", "dev"),
        ("validation.jsonl", "dev"),
        ("music_test.tsv", "test"),
        ("test/notes/train.txt", "train"),  # the innermost name wins
        ("KFold_1/testset/csv/go.csv", "test"),
        ("latest.tsv", ""),  # `test` inside a word says nothing
    ],
)
def test_a_split_is_read_off_the_path(file, split):
    assert split == split_of(file)


def test_a_file_whose_path_says_nothing_is_train_unless_its_folder_is_a_split(tmp_path):
    found = {}
    for name in ("dev", "test-corpora"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "all.bio").write_text("stop O\nHalt\n")
        (source,) = expand([str(tmp_path / name)], "bio")
        found[name] = source.split

    assert found == {"dev": "dev", "test-corpora": "train"}


def test_snips_calls_its_test_set_validate_and_leaves_subsets_out():
    sources = expand([str(DATA / "snips" / "corpus")], "snips")

    assert {source.file: source.split for source in sources} == {
        "PlayMusic/train_PlayMusic_full.json": "train",
        "PlayMusic/validate_PlayMusic.json": "test",
        "broken.json": "train",
        "bytes.json": "train",
        "nlu.json": "train",
        "nlu.yaml": "train",
    }


def test_rows_carry_their_own_split():
    massive = [(row.line, row.split) for row in convert("massive") if row.line in (1, 3, 12)]
    brackets = [row.split for row in convert("brackets") if row.file == "d.jsonl" and row.line == 1]

    assert massive == [(1, "dev"), (3, "test"), (12, "test")]
    assert brackets == ["dev"]


def test_inputs_are_files_folders_and_patterns_each_file_once():
    corpus = DATA / "seq" / "corpus"
    once = expand([str(corpus)], "seq")
    again = expand([str(corpus), str(corpus / "*"), str(corpus / "test" / "seq.in")], "seq")

    assert once == again
    assert [source.file for source in expand([str(corpus / "test" / "seq.in")], "seq")] == ["seq.in"]


def test_two_roots_with_equal_names_inside_stay_apart():
    sources = expand([str(DATA / "seq" / "corpus" / split) for split in ("train", "valid")], "seq", corpus="ours")

    assert [(s.file, s.split) for s in sources] == [("train/seq.in", "train"), ("valid/seq.in", "dev")]
    assert {"ours"} == {source.corpus for source in sources}


def test_inputs_that_cannot_be_read_are_named(tmp_path):
    with pytest.raises(ValueError, match="`nowhere` does not exist"):
        expand(["nowhere"], "seq")
    with pytest.raises(ValueError, match=r"holds no file named `seq\.in`"):
        expand([str(tmp_path)], "seq")
    with pytest.raises(ValueError, match="nothing matches"):
        expand([str(tmp_path / "*.tsv")], "top")
    with pytest.raises(ValueError, match="unknown format `conll`"):
        expand([str(tmp_path)], "conll")
    (tmp_path / "seq.in").write_text("play\n")
    with pytest.raises(ValueError, match="is missing"):
        expand([str(tmp_path)], "seq")


def test_an_utterance_knows_its_id():
    found = [row for row in rows(expand([str(DATA / "seq" / "corpus")], "seq", "ours")) if isinstance(row, Utterance)]

    assert found[0].id == "ours/test/seq.in:1"


def test_what_a_pattern_matches_and_nobody_reads_is_logged(tmp_path, caplog):
    for name in ("a.tsv", "b.txt", "seq.in", "seq.out", "label"):
        (tmp_path / name).write_text("x\n")

    assert [source.file for source in expand([str(tmp_path / "[ab]*")], "top")] == ["a.tsv"]
    assert [f"`{tmp_path}/b.txt` is left out: it is not named `*.tsv`"] == caplog.messages
    caplog.clear()
    assert [source.file for source in expand([str(tmp_path / "[!ab]*")], "seq")] == ["seq.in"]
    assert caplog.messages == []  # `seq.out` and `label` are read beside `seq.in`


def test_the_smaller_file_of_snips_is_read_when_it_is_named(tmp_path, caplog):
    for name in ("train_Play.json", "train_Play_full.json"):
        (tmp_path / name).write_text("{}")
    small, full = str(tmp_path / "train_Play.json"), "train_Play_full.json"

    assert [source.file for source in expand([small], "snips")] == ["train_Play.json"]
    assert [full] == [source.file for source in expand([str(tmp_path)], "snips")]
    assert caplog.messages == []
    assert [full] == [source.file for source in expand([str(tmp_path / "*")], "snips")]
    assert [f"`{small}` is left out: it is part of a file beside it"] == caplog.messages


def test_the_folder_above_all_inputs(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "x.tsv").touch()

    assert tmp_path / "a" == Path(folder_above([str(tmp_path / "a")]))
    assert tmp_path / "a" == Path(folder_above([str(tmp_path / "a" / "x.tsv"), str(tmp_path / "a" / "b")]))
    assert tmp_path / "a" == Path(folder_above([str(tmp_path / "a" / "*" / "*.tsv")]))
    assert tmp_path == Path(folder_above([str(tmp_path / "a"), str(tmp_path / "*.tsv")]))
