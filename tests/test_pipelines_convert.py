"""Conversion: the same bytes whatever the ranges and workers, nothing lost, nothing half published."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from grammar import shard
from grammar.ontology import load
from grammar.tree import Leaf, Tree
from pipelines import publish, runner, spill
from pipelines.convert import Convert, Options, run
from pipelines.coordinate import coordinate
from pipelines.formats import expand, plan
from pipelines.publish import TooManyRejected
from pipelines.spill import Job, merge
from pipelines.splits import Dealing, normalise

ROWS = {
    "train": [
        ("play calm tunes", "O B-mood O", "Play"),
        ("play  tunes by ana lu ", "O O O B-artist I-artist", "Play"),
        ("buy figs and kale", "O B-item O B-item", "Buy"),
        ("buy figs and play loud tunes", "O B-item O O B-mood O", "Buy#Play"),
        ("play bad row", "O O", "Play"),
        ("buy salt", "O B-item", "Buy"),
    ],
    "valid": [("buy oat milk", "O B-item I-item", "Buy")],
    "test": [("play sad tunes", "O B-mood O", "Play"), ("stop", "O", "Stop")],
}


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A small folder of parallel files with one row whose words and tags differ in number."""
    root = tmp_path / "corpus"
    for split, rows in ROWS.items():
        (root / split).mkdir(parents=True)
        for number, name in enumerate(("seq.in", "seq.out", "label")):
            (root / split / name).write_text("".join(f"{row[number]}\n" for row in rows), encoding="utf-8")
    return root


def convert(corpus: Path, output: Path, **more: object) -> shard.Manifest:
    given = {"max_rejected": 0.5, "corpus": "tiny"} | more
    return run(Options([str(corpus)], "seq", str(output), **given))  # type: ignore[arg-type]


def hashes(directory: Path) -> dict[str, str]:
    return {str(p.relative_to(directory)): shard.sha256(p) for p in sorted(directory.rglob("*")) if p.is_file()}


def trees(directory: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for split in shard.read_manifest(directory).splits:
        for table in shard.read_split(directory, split):
            found |= zip(table["id"].to_pylist(), table["tree"].to_pylist(), strict=True)
    return found


def test_every_row_is_a_tree_or_a_dead_letter(corpus: Path, tmp_path: Path) -> None:
    manifest = convert(corpus, tmp_path / "out")
    assert (manifest.rows_in, manifest.rows_out, manifest.rows_rejected) == (9, 8, 1)
    assert manifest.splits == {"train": 5, "dev": 1, "test": 2}
    assert manifest.rejected == {"R106": 1} and manifest.rejected_splits == {"train": 1}
    assert trees(tmp_path / "out") == {
        "tiny/train/seq.in:1": "(Play(mood(calm)))",
        "tiny/train/seq.in:2": "(Play(artist(ana)(lu)))",
        "tiny/train/seq.in:3": "(Buy(item(figs))(item(kale)))",
        "tiny/train/seq.in:4": "(and(Buy(item(figs)))(Play(mood(loud))))",
        "tiny/train/seq.in:6": "(Buy(item(salt)))",
        "tiny/valid/seq.in:1": "(Buy(item(oat)(milk)))",
        "tiny/test/seq.in:1": "(Play(mood(sad)))",
        "tiny/test/seq.in:2": "(Stop())",
    }
    [letter] = pq.read_table(tmp_path / "out" / "rejected" / "rejected-00000-of-00001.parquet").to_pylist()
    assert (letter["file"], letter["line"], letter["code"]) == ("train/seq.in", 5, "R106")
    assert letter["raw"].splitlines() == ["play bad row", "O O", "Play"]


def test_values_are_coordinated_on_request(corpus: Path, tmp_path: Path) -> None:
    manifest = convert(corpus, tmp_path / "out", coordinate=True)
    assert trees(tmp_path / "out")["tiny/train/seq.in:3"] == "(Buy(add(item(figs))(item(kale))))"
    assert manifest.options["coordinate"] is True


def test_the_ontology_knows_train_only(corpus: Path, tmp_path: Path) -> None:
    convert(corpus, tmp_path / "out")
    ontology = load(tmp_path / "out" / shard.ONTOLOGY)
    assert ontology.labels("intent") == ["Buy", "Play"]


def test_bytes_do_not_depend_on_ranges_or_workers(corpus: Path, tmp_path: Path) -> None:
    first = None
    for number, (size, workers) in enumerate([(1 << 20, 1), (64, 1), (1, 1), (100, 2)]):
        convert(corpus, tmp_path / str(number), range_bytes=size, workers=workers, shards=3)
        found = hashes(tmp_path / str(number))
        first = first or found
        assert found == first, f"ranges of {size} bytes, {workers} workers"
    assert first is not None and sum(name.startswith("test-") for name in first) == 3


def test_too_many_rejected_publishes_nothing(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(TooManyRejected) as error:
        convert(corpus, tmp_path / "out", max_rejected=0.01)
    assert "1 of 9 rows (11.11%) were rejected, more than `--max-rejected 0.01` allows" in str(error.value)
    assert "R106  train/seq.in:5: words and tags differ in number: 3 words, 2 tags" in str(error.value)
    assert not (tmp_path / "out").exists()


def test_the_dead_letters_of_a_run_that_was_stopped_stay_and_nothing_is_converted_again(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(TooManyRejected) as error:
        convert(corpus, tmp_path / "out", max_rejected=0.01)
    [letters] = re.findall(r"the dead letters are in (.*?); the same command with a larger share", str(error.value))
    assert [letter["line"] for letter in pq.read_table(letters).to_pylist()] == [5]
    monkeypatch.setattr(spill, "batches", lambda *_: pytest.fail("a range was converted again"))
    assert convert(corpus, tmp_path / "out", max_rejected=0.5).rows_out == 8
    assert sorted(path.name for path in tmp_path.iterdir()) == ["corpus", "out"]


def test_a_corpus_of_which_nothing_is_left_says_why(corpus: Path, tmp_path: Path) -> None:
    commas = tmp_path / "h.csv"
    commas.write_text("scenario,intent,answer_annotation\nalarm,set,wake me\n", encoding="utf-8")
    for allowed in (0.01, 1.0):
        with pytest.raises(TooManyRejected) as error:
            run(Options([str(commas)], "hwu64", str(tmp_path / "out"), max_rejected=allowed))
        assert str(error.value).startswith("all 1 rows were rejected; nothing was published\n")
        assert "R104  h.csv:1: a field is missing or has the wrong type: the header lacks" in str(error.value)
        [letters] = re.findall(r"the dead letters are in (.*?); mend", str(error.value))
        assert pq.read_table(letters).num_rows == 1
    commas.write_text("scenario;intent;answer_annotation\n", encoding="utf-8")
    with pytest.raises(ValueError, match="no row was converted: the input is empty"):
        run(Options([str(commas)], "hwu64", str(tmp_path / "out")))
    assert not list(tmp_path.glob(".out.*.build"))


def test_a_data_set_is_replaced_only_on_request(corpus: Path, tmp_path: Path) -> None:
    convert(corpus, tmp_path / "out")
    with pytest.raises(FileExistsError, match="--overwrite"):
        convert(corpus, tmp_path / "out")
    (tmp_path / "out" / "dev-00002-of-00003.parquet").touch()
    convert(corpus, tmp_path / "out", overwrite=True)
    assert not (tmp_path / "out" / "dev-00002-of-00003.parquet").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["corpus", "out"]


def test_a_link_to_a_data_set_stays_a_link(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    convert(corpus, tmp_path / "link")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "real" / shard.MANIFEST).exists()
    monkeypatch.chdir(tmp_path / "real")
    again = run(Options([str(corpus)], "seq", ".", overwrite=True, max_rejected=0.5))
    assert again.corpus == "real"
    assert (tmp_path / "real" / shard.MANIFEST).exists()


def test_an_output_that_is_a_file_is_an_error(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine", encoding="utf-8")
    with pytest.raises(FileExistsError, match="is a file"):
        convert(corpus, tmp_path / "out", overwrite=True)
    assert (tmp_path / "out").read_text(encoding="utf-8") == "mine"


def test_what_killed_runs_left_is_cleared_up(corpus: Path, tmp_path: Path) -> None:
    for name in (".out.0123456789abcdef.build", ".out.2.0123456789abcdef.build", ".out.old"):
        (tmp_path / name / "work").mkdir(parents=True)
    (tmp_path / "out").mkdir()
    convert(corpus, tmp_path / "out")
    assert {path.name for path in tmp_path.iterdir()} == {"corpus", "out", ".out.2.0123456789abcdef.build"}

    (tmp_path / "out").rename(tmp_path / ".out.old")  # killed between the two renames
    with pytest.raises(FileExistsError, match="--overwrite"):
        convert(corpus, tmp_path / "out")
    assert (tmp_path / "out" / shard.MANIFEST).exists()


def test_a_folder_that_is_no_data_set_is_never_overwritten(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(FileExistsError, match="not overwritten"):
        convert(corpus, corpus, overwrite=True)
    assert (corpus / "train" / "seq.in").exists()


@pytest.mark.parametrize("text", ["{}", "[]", "no json", '{"schema": "2", "shards": []}'])
def test_a_folder_with_another_manifest_is_never_overwritten(corpus: Path, tmp_path: Path, text: str) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / shard.MANIFEST).write_text(text, encoding="utf-8")
    with pytest.raises(FileExistsError, match=r"manifest\.json is not ours"):
        convert(corpus, tmp_path / "out", overwrite=True)
    assert (tmp_path / "out" / shard.MANIFEST).read_text(encoding="utf-8") == text


@pytest.mark.parametrize("name", ["important", "rejected/letters.jsonl", ".git/HEAD", "pictures/me.png"])
def test_a_data_set_with_other_files_in_it_is_not_overwritten(corpus: Path, tmp_path: Path, name: str) -> None:
    convert(corpus, tmp_path / "out")
    mine = tmp_path / "out" / name
    mine.parent.mkdir(exist_ok=True)
    mine.write_text("mine", encoding="utf-8")
    with pytest.raises(FileExistsError, match=f"no run writes \\({name}\\)"):
        convert(corpus, tmp_path / "out", overwrite=True)
    assert mine.read_text(encoding="utf-8") == "mine"
    mine.unlink()
    convert(corpus, tmp_path / "out", overwrite=True)


def test_a_flag_that_nobody_knows_is_an_error(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="`--ouput`"):
        convert(corpus, tmp_path / "out", beam=["--ouput", "x"])


def test_a_given_ontology_refuses_other_trees(corpus: Path, tmp_path: Path) -> None:
    path = tmp_path / "given.toml"
    path.write_text('[intents.Play]\ntakes = ["mood"]\n[slots.mood]\n', encoding="utf-8")
    manifest = convert(corpus, tmp_path / "out", ontology=str(path), max_rejected=1.0)
    assert manifest.rejected == {"R106": 1, "R209": 6}
    assert set(trees(tmp_path / "out").values()) == {"(Play(mood(calm)))", "(Play(mood(sad)))"}


@pytest.mark.parametrize("inputs", [["corpus"], ["corpus/*"], ["corpus/train", "corpus/test", "corpus/valid"]])
def test_an_ontology_above_all_inputs_is_taken(corpus: Path, tmp_path: Path, caplog, inputs: list[str]) -> None:
    (corpus / "ontology.toml").write_text('[intents.Play]\ntakes = ["mood"]\n[slots.mood]\n', encoding="utf-8")
    caplog.set_level("INFO", "pipelines")
    manifest = run(Options([str(tmp_path / path) for path in inputs], "seq", str(tmp_path / "out"), max_rejected=1.0))
    assert manifest.rejected == {"R106": 1, "R209": 6} and manifest.options["ontology"] == "ontology.toml"
    assert f"every tree is held against {corpus / 'ontology.toml'}" in caplog.messages


def test_the_licence_of_a_corpus_stands_in_every_row(corpus: Path, tmp_path: Path) -> None:
    manifest = convert(corpus, tmp_path / "out", licence="CC0-1.0")
    [table] = shard.read_split(tmp_path / "out", "train", ["licence"])
    assert table["licence"].to_pylist() == ["CC0-1.0"] * 5 and manifest.options["licence"] == "CC0-1.0"


def test_splits_by_hash_keep_equal_requests_together(tmp_path: Path) -> None:
    path = tmp_path / "all.tsv"
    lines = [f"{'Buy' if n % 2 else 'buy'}  fig{n // 2}\t(Buy(item(fig{n // 2})))\n" for n in range(400)]
    path.write_text("".join(lines), encoding="utf-8")
    options = Options([str(path)], "brackets", str(tmp_path / "out"), dealing=Dealing("utterance", 0.2, 0.2))
    manifest = run(options)
    assert all(40 < manifest.splits[name] < 130 for name in ("dev", "test"))
    split_of: dict[str, str] = {}
    for split in manifest.splits:
        for table in shard.read_split(tmp_path / "out", split, ["utterance"]):
            for text in table["utterance"].to_pylist():
                assert split_of.setdefault(normalise(text), split) == split


def test_dev_can_be_taken_from_train() -> None:
    dealing = Dealing("corpus", 0.5)
    dealt = Counter(dealing.split("train", f"buy {n}") for n in range(200))
    assert set(dealt) == {"train", "dev"} and 70 < dealt["dev"] < 130
    assert {dealing.split("test", f"buy {n}") for n in range(20)} == {"test"}


def test_equal_ids_are_an_error_that_names_both(tmp_path: Path) -> None:
    job = Job(str(tmp_path), 1)
    row: dict[str, object] = {
        f.name: [] if pa.types.is_list(f.type) else 0 if pa.types.is_integer(f.type) else "x" for f in shard.SCHEMA
    }
    rows = [row | {"id": "c/a:1", "composed": False, "utterance": text} for text in ("buy figs", "buy kale")]
    paths = [str(tmp_path / f"{number}.arrow") for number in range(2)]
    for path, one in zip(paths, rows, strict=True):
        with pa.ipc.new_file(path, shard.SCHEMA) as writer:
            writer.write_table(pa.Table.from_pylist([one], schema=shard.SCHEMA))
    with pytest.raises(ValueError, match=r"`c/a:1`.*`buy figs`.*`buy kale`"):
        merge("train-00000", [(path, [0]) for path in paths], job)


def test_beam_counts_what_the_manifest_counts(corpus: Path, tmp_path: Path) -> None:
    job = Job(str(tmp_path / "build"), 1)
    sources = expand([str(corpus)], "seq", "tiny")
    with runner.pipeline(runner.flags()) as pipeline:
        _ = pipeline | Convert(job, sources, "seq", 30)
    counters, spread = runner.counters(pipeline.result), runner.distributions(pipeline.result)
    ranges = [range_ for source in sources for range_ in plan(source, 30)]
    manifest = publish.finish(job, "tiny", "given", {}, 0.5)
    assert counters == {
        "rows_in": manifest.rows_in,
        "rows_out": manifest.rows_out,
        "rows_rejected": manifest.rows_rejected,
        **{f"split_{name}": rows for name, rows in manifest.splits.items()},
        **{f"rejected_{code}": rows for code, rows in manifest.rejected.items()},
        **{f"rejected_split_{name}": rows for name, rows in manifest.rejected_splits.items()},
    }
    assert manifest.rows_in == 9
    rows = [entry["rows"] for entry in manifest.shards] + [manifest.rows_rejected]
    sizes = [path.stat().st_size for path in Path(job.build).rglob("*.parquet")]
    read = sum(path.stat().st_size for path in corpus.rglob("*") if path.is_file())
    assert {name: told[:2] for name, told in spread.items()} == {
        "rows_per_range": (len(ranges), manifest.rows_in),
        "bytes_per_range": (len(ranges), read),
        "rows_per_shard": (len(rows), sum(rows)),
        "bytes_per_shard": (len(sizes), sum(sizes)),
    }
    assert spread["rows_per_shard"][2:] == (min(rows), max(rows))
    assert spread["bytes_per_shard"][2:] == (min(sizes), max(sizes))


def slot(label: str, *words: str) -> Tree:
    return Tree(label, [Leaf(word) for word in words])


FIGS, KALE = slot("i", "figs"), slot("i", "kale")


@pytest.mark.parametrize(
    ("words", "children", "positions", "expected"),
    [
        ("buy figs and oat milk", [FIGS, slot("i", "oat", "milk")], [1, 3, 4], "(B(add(i(figs))(i(oat)(milk))))"),
        ("figs , kale and tea", [FIGS, KALE, slot("i", "tea")], [0, 2, 4], "(B(add(i(figs))(i(kale))(i(tea))))"),
        ("figs Or kale", [FIGS, KALE], [0, 2], "(B(add(i(figs))(i(kale))))"),
        ("figs with kale", [FIGS, KALE], [0, 2], "(B(i(figs))(i(kale)))"),
        ("figs kale", [FIGS, KALE], [0, 1], "(B(i(figs))(i(kale)))"),
        ("figs and kale", [FIGS, slot("j", "kale")], [0, 2], "(B(i(figs))(j(kale)))"),
        ("figs and kale", [FIGS, KALE], [0, -1], "(B(i(figs))(i(kale)))"),
        ("figs and kale", [Tree("add", [FIGS, KALE])], [0, 2], "(B(add(i(figs))(i(kale))))"),
        ("to a and b", [Tree("to", [slot("i", "a"), slot("i", "b")])], [1, 3], "(B(to(add(i(a))(i(b)))))"),
        ("x and y", [], [], "(B())"),
    ],
)  # fmt: skip
def test_coordinate(words: str, children: list[Tree], positions: list[int], expected: str) -> None:
    assert str(coordinate(Tree("B", children), positions, words.split())) == expected


def test_coordinate_does_not_recurse() -> None:
    tree = slot("i", "figs")
    for _ in range(5_000):
        tree = Tree("i", [tree])
    assert coordinate(tree, [0], ["figs"]) == tree


def test_the_manifest_is_plain_json_with_the_options(corpus: Path, tmp_path: Path) -> None:
    convert(corpus, tmp_path / "out", multi_intent="label")
    data = json.loads((tmp_path / "out" / shard.MANIFEST).read_text(encoding="utf-8"))
    assert data["options"]["multi_intent"] == "label" and data["tokeniser"] == "given"
    assert set(data["versions"]) == {"treewright", "python", "apache-beam", "pyarrow"}
    assert trees(tmp_path / "out")["tiny/train/seq.in:4"] == "(Buy#Play(item(figs))(mood(loud)))"


@pytest.mark.parametrize(("locales", "tokeniser"), [(["en-US"], "words-1"), (["ja-JP"], "chars-1")])
def test_the_manifest_names_the_tokeniser_that_cut_the_words(
    tmp_path: Path, locales: list[str], tokeniser: str
) -> None:
    massive(tmp_path / "a.jsonl", locales)
    manifest = run(Options([str(tmp_path / "a.jsonl")], "massive", str(tmp_path / "out")))
    assert manifest.tokeniser == tokeniser


def test_two_tokenisers_in_one_data_set_are_an_error(tmp_path: Path) -> None:
    massive(tmp_path / "a.jsonl", ["en-US", "ja-JP"])
    with pytest.raises(ValueError, match=r"`chars-1` and `words-1`.*convert the locales separately"):
        run(Options([str(tmp_path / "a.jsonl")], "massive", str(tmp_path / "out"), range_bytes=1))
    assert not (tmp_path / "out").exists()


def massive(path: Path, locales: list[str]) -> None:
    row = {"partition": "train", "scenario": "s", "intent": "Wake", "utt": "wake ana", "annot_utt": "wake [who : ana]"}
    path.write_text("".join(json.dumps(row | {"locale": locale}) + "\n" for locale in locales), encoding="utf-8")
