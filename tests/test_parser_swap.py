"""Values that change places between utterances."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from parsing import rows, table_of, tiny, write_shards

from grammar.actions import Action, Kind, build
from parser.config import ConfigError, from_dict
from parser.loader import Loader
from parser.source import Source
from parser.swap import Swap
from parser.train import make_setup

MADE = rows(60)
TABLE = table_of(MADE)


def row(words: str, *steps: tuple[int, str, int]) -> dict:
    kinds, symbols, copy = (list(column) for column in zip(*steps, strict=True))
    made = {"id": words, "domain": "", "words": words.split(), "tree": "", "actions": kinds, "symbols": symbols}
    return made | {"copy": copy}


def tree_of(row):
    actions = zip(row["actions"], row["symbols"], row["copy"], strict=True)
    return str(build(Action(Kind(kind), symbol, copy) for kind, symbol, copy in actions))


@given(st.integers(0, 10), st.integers(0, 99))
def test_a_drawn_row_has_the_same_nodes_and_copies_the_words_that_it_names(tenths, seed):
    drawn = Swap(TABLE).draw(tenths / 10, np.random.default_rng(seed)).to_pylist()

    assert len(drawn) == len(MADE)
    for new, old in zip(drawn, MADE, strict=True):
        assert [s for s, k in zip(new["symbols"], new["actions"], strict=True) if k != Kind.TER] == [
            s for s, k in zip(old["symbols"], old["actions"], strict=True) if k != Kind.TER
        ]
        tree_of(new)  # raises where the actions build no tree
        copied = [(s, c) for s, c in zip(new["symbols"], new["copy"], strict=True) if c >= 0]
        assert [new["words"][c] for _, c in copied] == [s for s, _ in copied]
        outside = [w for i, w in enumerate(new["words"]) if i not in {c for _, c in copied}]
        assert outside == [w for i, w in enumerate(old["words"]) if i not in old["copy"]]


def test_no_share_changes_nothing_and_a_seed_draws_the_same_again():
    swap = Swap(TABLE)
    assert swap.draw(0, np.random.default_rng(1)).equals(TABLE)
    once, again, other = (swap.draw(0.5, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert once.equals(again) and not once.equals(other)


def test_a_value_is_replaced_by_one_of_the_same_slot_and_parent():
    nt, ter, red = Kind.NT, Kind.TER, Kind.RED
    play = [(nt, "Play", -1), (nt, "Media", -1), (ter, "jazz", 1), (red, "", -1), (red, "", -1)]
    two = [(nt, "Play", -1), (nt, "Media", -1), (ter, "hip", 2), (ter, "hop", 3), (red, "", -1)]
    two += [(nt, "Room", -1), (ter, "attic", 6), (red, "", -1), (red, "", -1)]
    find = [(nt, "Find", -1), (nt, "Media", -1), (ter, "films", 1), (red, "", -1), (red, "", -1)]
    table = table_of([row("play jazz", *play), row("play some hip hop in the attic", *two), row("find films", *find)])
    seen: set[tuple[str, str]] = set()
    for seed in range(40):
        for drawn in Swap(table).draw(0.5, np.random.default_rng(seed)).to_pylist():
            seen.add((" ".join(drawn["words"]), tree_of(drawn)))

    assert seen == {
        ("play jazz", "(Play(Media(jazz)))"),
        ("play hip hop", "(Play(Media(hip)(hop)))"),
        ("play some hip hop in the attic", "(Play(Media(hip)(hop))(Room(attic)))"),
        ("play some jazz in the attic", "(Play(Media(jazz))(Room(attic)))"),
        ("find films", "(Find(Media(films)))"),
    }


def test_nodes_need_not_stand_in_the_order_of_their_words():
    def asked(place: str, kind: str) -> dict:
        words = f"{kind} near {place}"
        steps = [(Kind.NT, "query", -1)]
        for label, value in (("place", place), ("kind", kind)):
            first = words.split().index(value.split()[0])
            steps += [(Kind.NT, label, -1), *((Kind.TER, w, first + i) for i, w in enumerate(value.split()))]
            steps += [(Kind.RED, "", -1)]
        return row(words, *steps, (Kind.RED, "", -1))

    table = table_of([asked("Zum Goldenen Hirsch", "bars"), asked("Basel", "shoe shops")])
    for seed in range(40):
        for drawn in Swap(table).draw(0.7, np.random.default_rng(seed)).to_pylist():
            kind, _, place = " ".join(drawn["words"]).partition(" near ")
            leaves = [f"({')('.join(value.split())})" for value in (place, kind)]
            assert tree_of(drawn) == f"(query(place{leaves[0]})(kind{leaves[1]}))"
            copied = [(s, c) for s, c in zip(drawn["symbols"], drawn["copy"], strict=True) if c >= 0]
            assert all(drawn["words"][c] == s for s, c in copied)


def test_what_is_generated_beside_a_value_stays_with_its_like():
    def at(city: str, country: str) -> dict:
        steps = [(Kind.NT, "area", -1), (Kind.NT, "name", -1), (Kind.TER, city, 1), (Kind.RED, "", -1)]
        return row(f"in {city}", *steps, (Kind.TER, country, -1), (Kind.RED, "", -1))

    table = table_of([at("Oslo", "no"), at("Bergen", "no"), at("Turku", "fi")])
    drawn = [Swap(table).draw(1, np.random.default_rng(seed)).to_pylist() for seed in range(20)]
    assert {tree_of(one[2]) for one in drawn} == {"(area(name(Turku))(fi))"}
    assert {tree_of(one[0]) for one in drawn} == {"(area(name(Oslo))(no))", "(area(name(Bergen))(no))"}


def test_a_generated_leaf_goes_with_the_words_that_name_it():
    def count(words: str, leaf: str) -> dict:
        return row(words, (Kind.NT, "nwr", -1), (Kind.TER, leaf, -1), (Kind.RED, "", -1))

    zoos, golf = count("how many zoos", "kv:tourism=zoo"), count("two Golf Courses near here", "kv:leisure=golf_course")
    books = count("which book stores", "kv:shop=books")
    other = count("how many places to eat", "kv:amenity=restaurant")
    plain = count("how many in all", "all")
    table = table_of([zoos, golf, books, other, plain])
    drawn = [Swap(table).draw(0.8, np.random.default_rng(seed)).to_pylist() for seed in range(40)]

    assert {(" ".join(one[0]["words"]), one[0]["symbols"][1]) for one in drawn} == {
        ("how many zoos", "kv:tourism=zoo"),
        ("how many Golf Courses", "kv:leisure=golf_course"),
        ("how many book", "kv:shop=books"),
    }
    assert {" ".join(one[2]["words"]) for one in drawn} >= {"which zoos stores", "which Golf Courses stores"}
    assert all(one[3]["words"] == other["words"] and one[4]["words"] == plain["words"] for one in drawn)
    assert all(set(one[i]["copy"]) == {-1} for one in drawn for i in range(5))


def test_copied_and_generated_values_do_not_mix():
    """Both have the words `name` and `area` in their slot: one as labels, one as kind and label."""
    copied = [(Kind.NT, "area", -1), (Kind.NT, "name", -1), (Kind.TER, "Oslo", 1), (Kind.RED, "", -1)]
    named = [(Kind.NT, "area", -1), (Kind.TER, "name=bergen", -1)]
    table = table_of([row("in Oslo", *copied, (Kind.RED, "", -1)), row("in Bergen", *named, (Kind.RED, "", -1))])
    for seed in range(20):
        assert Swap(table).draw(1, np.random.default_rng(seed)).equals(table)


@pytest.mark.parametrize("apart", [False, True])
def test_a_value_may_be_kept_in_its_domain(apart):
    def play(word: str, domain: str) -> dict:
        steps = [(Kind.NT, "Play", -1), (Kind.NT, "Media", -1), (Kind.TER, word, 1), (Kind.RED, "", -1)]
        return row(f"play {word}", *steps, (Kind.RED, "", -1)) | {"domain": domain}

    table = table_of([play("jazz", "home"), play("folk", "home"), play("films", "cinema")])
    drawn = [Swap(table, apart).draw(1, np.random.default_rng(seed)).to_pylist() for seed in range(40)]
    assert {one[2]["words"][1] for one in drawn} == ({"films"} if apart else {"jazz", "folk", "films"})
    assert {one[0]["words"][1] for one in drawn} == ({"jazz", "folk"} if apart else {"jazz", "folk", "films"})


@pytest.mark.parametrize("pool", [60, 1000])
def test_every_epoch_draws_other_values_and_goes_on_anywhere(tmp_path, pool):
    shards = write_shards(tmp_path, 150, files=5)
    config = from_dict({"model": tiny().to_dict()["model"], "train": {"pool": pool, "batch_size": 16, "swap": 0.5}})
    source = Source(shards)

    def seen(epoch, first=0):
        loader = Loader(source, make_setup(source, config))
        return [step.parts[0].word_BW.tolist() for step in loader.epoch(epoch, first)]

    whole = seen(0)
    assert sum(map(len, whole)) == 150
    assert seen(0, 4) == whole[4:]
    assert {tuple(map(tuple, batch)) for batch in seen(1)} != {tuple(map(tuple, batch)) for batch in whole}


def test_a_share_lies_between_0_and_1():
    with pytest.raises(ConfigError, match=r"`train.swap` must lie between 0 and 1"):
        from_dict({"train": {"swap": 2.0}})
