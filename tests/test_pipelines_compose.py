"""Composed requests say what their parts say, word for word, and come from one split, whoever composes them."""

from __future__ import annotations

import random
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from grammar import shard
from grammar.tree import Leaf, Tree
from grammar.words import words as tokenise
from pipelines.__main__ import app
from pipelines.clauses import GLUE
from pipelines.compose import Clause, Recipe, compound, coordinate, join, put, share, text_of, values
from pipelines.composing import compose
from pipelines.glue import GENERAL, MIX, Glue, load
from pipelines.record import SlotSpan
from pipelines.samples import generate
from pipelines.samples.write import write
from pipelines.stats import describe
from pipelines.trees import clause
from pipelines.verify import verify


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("samples")
    write(generate(120, 3), folder, shards=True)
    return folder / "shards"


def made(text: str, intent: str, *spans: tuple[int, int, str]) -> Clause:
    words = text.split()
    return Clause(words, *clause(intent, [SlotSpan(*span) for span in spans], words))


JAZZ = made("play free jazz for Ana .", "Play", (1, 3, "genre"), (4, 5, "for"))
TABLE = made("Book a table for two", "Book", (4, 5, "for"))


def holds(one: Clause) -> bool:
    """Whether every leaf is the word at its position."""
    return one.tree.words() == [one.words[place] for place in one.positions]


@st.composite
def clauses(draw: st.DrawFn) -> Clause:
    words = draw(st.lists(st.sampled_from(["a", "B", "c", ".", ",", "and", "I"]), min_size=1, max_size=8))
    spans, at = [], 0
    for size in draw(st.lists(st.integers(1, 3), max_size=3)):
        start = at + draw(st.integers(0, 2))
        if start + size > len(words):
            break
        spans.append(SlotSpan(start, start + size, draw(st.sampled_from(["x", "y", "z"]))))
        at = start + size
    return Clause(words, *clause("I", spans, words))


@given(st.lists(clauses(), min_size=2, max_size=4), st.integers(), st.sampled_from([GENERAL, MIX]))
def test_the_parts_of_a_compound_stay_what_they_are(parts: list[Clause], seed: int, glue: Glue) -> None:
    """Leaves are words of the request in its order, and the tree has the trees of the parts."""
    one = join(parts, glue, random.Random(seed))

    assert holds(one)
    assert one.positions == sorted(one.positions)
    assert [str(part.tree) for part in parts] == [str(child) for child in one.tree.children]


@given(clauses(), st.integers(), st.lists(st.sampled_from("defg"), min_size=1, max_size=3))
def test_a_changed_value_changes_nothing_else(one: Clause, seed: int, new: list[str]) -> None:
    for value in values(one):
        other = put(one, value, new)
        both = put(one, value, new, ["and", "also"])

        assert holds(other) and holds(both)
        assert [*one.words[: value.start], *new, *one.words[value.end :]] == other.words
        old = " ".join(one.words[value.start : value.end])
        assert f"{old} and also {' '.join(new)}" in " ".join(both.words)
        assert str(both.tree).replace("add", "").count("(") == str(one.tree).count("(") + 2 + len(new)
        back = put(other, values(other)[values(one).index(value)], one.words[value.start : value.end])
        assert (one.words, str(one.tree), one.positions) == (back.words, str(back.tree), back.positions)


def test_compounds_read_well() -> None:
    """A mark gives way to the join, a capital goes, and a name keeps its own."""
    one = join([JAZZ, TABLE], Glue(joins=(", then",), filled=0), random.Random(0))

    assert text_of(one.words, "words-1") == "play free jazz for Ana, then book a table for two"
    assert one.words == tokenise(text_of(one.words, "words-1"))
    assert str(one.tree) == "(and(Play(genre(free)(jazz))(for(Ana)))(Book(for(two))))"
    assert join([JAZZ, made("Ana said", "Say", (0, 1, "who"))], MIX, random.Random(1)).words[-2] + " said" == "Ana said"


def test_a_later_clause_takes_over_a_value() -> None:
    one = share(JAZZ, TABLE, random.Random(0))

    assert " ".join(one.words) == "Book a table for Ana"
    assert str(one.tree) == "(Book(for(Ana)))"


def test_a_value_is_never_joined_to_itself() -> None:
    known = {"for": [("Two",), ("two",)]}

    assert all(coordinate(TABLE, known, Recipe(), random.Random(seed)) is None for seed in range(20))
    assert coordinate(TABLE, known | {"for": [("nine",)]}, Recipe(slots=("genre",)), random.Random(0)) is None
    one = coordinate(TABLE, {"for": [("nine",)]}, Recipe(glue=Glue(joins=("x",), values=("or",))), random.Random(0))
    assert one is not None and str(one.tree) == "(Book(add(for(two))(for(nine))))"
    assert " ".join(one.words) == "Book a table for two or nine"


def test_generated_and_shared_words_are_left_alone() -> None:
    """A slot of a generated word, or of a word that two slots copy, has no value that can be changed."""
    tree = Tree("I", [Tree("a", [Leaf("x")]), Tree("b", [Leaf("w")]), Tree("c", [Leaf("w")])])

    assert values(Clause(["w"], tree, [-1, 0, 0])) == []


def test_no_partner_no_compound() -> None:
    assert compound(JAZZ, [JAZZ], Recipe(), random.Random(0)) is None


def test_our_glue_does_not_know_the_strings_of_mixsnips() -> None:
    theirs = {" ".join(words) for words in GLUE}

    between = {f"{join} {filler}".strip() for join in GENERAL.joins for filler in ("", *GENERAL.fillers)}

    assert set() == theirs & {*between, *GENERAL.openers, *GENERAL.fillers, *GENERAL.closers}
    assert theirs == set(MIX.joins)


def test_an_empty_join_sets_clauses_side_by_side() -> None:
    joined = join([JAZZ, TABLE], Glue(joins=("",)), random.Random(0))

    assert [*JAZZ.words[:-1], TABLE.words[0].lower(), *TABLE.words[1:]] == joined.words
    assert str(joined.tree) == f"(and{JAZZ.tree}{TABLE.tree})"


def test_glue_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "glue.toml"
    path.write_text('joins = ["und dann"]\nfilled = 0.5\nopeners = ["bitte"]\n')
    assert Glue(joins=("und dann",), openers=("bitte",), filled=0.5) == load(str(path))
    for text, message in (
        ("joins = [", "not TOML"),
        ('join = ["x"]', "unknown key `join`"),
        ("joins = 3", "must be a list of texts"),
        ('values = ["x"]', "joins"),
        ('joins = [" "]', "no words"),
        ('joins = ["x"]\nfillers = [""]', "no words"),
        ('joins = ["x"]\nfilled = 2', "a share"),
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match=message):
            load(str(path))
    with pytest.raises(ValueError, match="no such file"):
        load("mxi")


def test_a_composed_data_set(samples: Path, tmp_path: Path) -> None:
    """It passes verify, its rows are marked, and those of the corpus are the same as before."""
    manifest = compose(samples, str(tmp_path / "out"), Recipe(rate=1.5, values=0.5, shared=0.5, seed=4))

    rows, findings = verify(tmp_path / "out")
    assert findings == []
    assert rows == manifest.rows_out + manifest.rows_composed
    assert describe(tmp_path / "out")["splits"]["train"]["compound"] > describe(samples)["splits"]["train"]["compound"]
    for split in manifest.splits:
        [table] = shard.read_split(tmp_path / "out", split)
        [before] = shard.read_split(samples, split)
        all_rows = table.to_pylist()
        assert before.to_pylist() == [row for row in all_rows if not row["composed"]]
        said = " ".join(before["utterance"].to_pylist()).lower().split()
        new = [row for row in all_rows if row["composed"]]
        assert all(row["symbols"][0] == "and" or "add" in row["symbols"] for row in new)
        glue = {
            word
            for name in ("joins", "values", "openers", "fillers", "closers")
            for p in getattr(GENERAL, name)
            for word in p.split()
        }
        assert {word.lower() for row in new for word in row["words"]} <= {*said, *glue}


def test_the_same_rows_for_any_workers_and_order(samples: Path, tmp_path: Path) -> None:
    first = compose(samples, str(tmp_path / "one"), Recipe(seed=1))
    again = compose(samples, str(tmp_path / "two"), Recipe(seed=1), workers=2)
    other = compose(samples, str(tmp_path / "three"), Recipe(seed=2))

    assert first.fingerprint == again.fingerprint != other.fingerprint


def test_a_given_ontology_is_kept(samples: Path, tmp_path: Path) -> None:
    """What it does not allow is not composed, and is counted."""
    import json
    import shutil

    data = tmp_path / "data"
    shutil.copytree(samples, data)
    manifest = json.loads((data / shard.MANIFEST).read_text())
    manifest["options"]["ontology"] = "mine.toml"
    (data / shard.MANIFEST).write_text(json.dumps(manifest))

    strict = compose(data, str(tmp_path / "out"), Recipe(rate=0.5, values=1))

    assert strict.ontology_sha256 == manifest["ontology_sha256"]
    assert strict.options["compose"]["refused"] > 0
    assert verify(tmp_path / "out")[1] == []


def test_the_command_says_what_is_wrong(samples: Path, tmp_path: Path) -> None:
    run = CliRunner().invoke
    out = str(tmp_path / "out")

    done = run(app, ["compose", str(samples), "--output", out, "--split", "train", "--clauses", "2"])
    assert done.exit_code == 0 and "composed (dev" in done.output
    table = pq.read_table(tmp_path / "out" / "train-00000-of-00001.parquet")
    assert any(table["composed"].to_pylist())
    assert not any(pq.read_table(tmp_path / "out" / "test-00000-of-00001.parquet")["composed"].to_pylist())
    for arguments, message in (
        ([str(samples), "--output", out], "exists"),
        ([out, "--output", f"{out}2"], "composed rows already"),
        ([str(samples), "--output", f"{out}2", "--split", "tset"], "no split `tset`"),
        ([str(samples), "--output", f"{out}2", "--clauses", "1..2"], "at least 2"),
        ([str(samples), "--output", f"{out}2", "--clauses", "few"], "two numbers"),
        ([str(samples), "--output", f"{out}2", "--rate", "-1"], "less than none"),
        ([str(samples), "--output", f"{out}2", "--rate", "0", "--values", "0"], "nothing was composed"),
        ([str(tmp_path), "--output", f"{out}2"], "not a data set"),
    ):
        failed = run(app, ["compose", *arguments])
        assert failed.exit_code == 2 and message in failed.output, failed.output
