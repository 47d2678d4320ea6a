"""A hundred seeded mistakes a family, made in good rows: each is found, by the code that it should have."""

from __future__ import annotations

import json
import random
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from grammar import check
from grammar.corpus import Corpus
from grammar.files import read
from grammar.ontology import loads
from grammar.rules import EXAMPLE_ONTOLOGY, RULES
from grammar.run import Run

ONTOLOGY = loads(EXAMPLE_ONTOLOGY)
SEEDS = range(100)
WORDS = ["Jolene", "Café", "été", "naïve", "Zoë", "apples", "pears", "音乐", "Wars", "Señor"]


def good(rng: random.Random) -> tuple[str, str]:
    """(utterance, tree) without a finding: two clauses, every word once."""
    a, b, c, d = rng.sample(WORDS, 4)
    items = f"(AddToListIntent(add(ItemName({a}))(ItemName({b}))))"
    other = rng.choice([f"(PlayMusicIntent(Title({c})({d})))", f"(SetTimerIntent(Duration({c})({d})))"])
    return f"please add {a} and {b} then do {c} {d} now", f"(and{items}{other})"


def once(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new, 1)


def leaf(rng: random.Random, tree: str) -> str:
    return rng.choice([word for word in WORDS if f"({word})" in tree])


Mutation = tuple[str, str, str]  # utterance, tree, code


def syntax(rng: random.Random, said: str, tree: str) -> Mutation:
    at = rng.choice([i for i, char in enumerate(tree) if char == ")"])
    word = leaf(rng, tree)
    return rng.choice(
        [
            (said, tree[:at] + tree[at + 1 :], "E101"),
            (said, tree + ")" * rng.randint(1, 3), "E102"),
            (said, once(tree, f"({word})", f"({word})()"), "E103"),
            (said, once(tree, "(add(", "(("), "E104"),
            (said, tree + " " + word, "E106"),
            (said, once(tree, "ItemName", "ÏtemName"), "E107"),
            (said, once(tree, "(ItemName(", "(ItemName(x) y("), "E108"),
            (said, once(tree, f"({word})", f"({word}\\q)"), "E109"),
            (said, once(tree, f"({word})", f"({word}\\\t)"), "E110"),
            (said, rng.choice(["", " ", "\t"]), "E111"),
        ]
    )


def labels(rng: random.Random, said: str, tree: str) -> Mutation:
    word = leaf(rng, tree)
    return rng.choice(
        [
            (said, once(tree, "(ItemName(", "(ItmName("), "E201"),
            (said, once(tree, "(ItemName(", "(MediaType("), "E202"),
            (said, once(tree, tree[tree.rindex("Intent(") :], "Intent()))").replace("PlayMusic", "SetTimer"), "E203")
            if "SetTimer" in tree
            else (said, once(tree, "(PlayMusicIntent(", "(PlayMusicIntent(Title(x))("), "E204"),
            (said, once(tree, "(add(ItemName", "(add(ItemName(x)))(add(ItemName"), "E205"),
            (said, once(tree, "(AddToListIntent(", "(AddToListIntent(x)("), "E206"),
            (said, once(tree, "(and(", "(and(PlayMusicIntent)("), "E207"),
            (said, once(tree, f"({word})", f"(Title {word} x)"), "E208"),
            (said, f"(Title({word}))", "E209"),
        ]
    )


def alignment(rng: random.Random, said: str, tree: str) -> Mutation:
    word = leaf(rng, tree)
    first, second = (w for w in said.split() if w in WORDS and said.index(w) < said.index("then"))
    swapped = once(once(once(tree, f"({first})", "(#)"), f"({second})", f"({first})"), "(#)", f"({second})")
    accented = next((w for w in ("Café", "été", "Zoë", "naïve", "Señor") if f"({w})" in tree), None)
    cased = next((w for w in ("Jolene", "apples", "pears", "Wars") if f"({w})" in tree), None)
    several = [
        (said, once(tree, f"({word})", f"({word}{rng.choice('xyz')})"), "E301"),
        (said, once(tree, f"({word})", f"({word})({word})"), "E302"),
        (said, swapped, "E303"),
        (f"{word} {said}" if word == first else f"{said} {word}", tree, "E306"),
    ]
    several += [(said, once(tree, f"({cased})", f"({cased.swapcase()})"), "E304")] if cased else []
    if accented:
        several.append((said, once(tree, accented, unicodedata.normalize("NFD", accented)), "E305"))
    return rng.choice([one for one in several if one[2] != "E306" or word in (first, said.split()[-2])])


HIDDEN = {"E503": "\udce9", "E506": "\x07", "E507": "\u2067", "E509": "\u00a0", "E510": "\u200b", "E511": "\ufffd"}


def encoding(rng: random.Random, said: str, tree: str) -> Mutation:
    code = rng.choice([*HIDDEN, "E504", "E505", "E508"])
    bad = HIDDEN.get(code) or {
        "E504": rng.choice(["\udced\udca0\udcbc\udced\udcbe\udcb5", "\ud83d"]),
        "E505": rng.choice(["Ã©", "â€™", "Ð¿Ñ€"]),
        "E508": "e\u0301",
    }.get(code, "")
    text = rng.choice([said, tree])
    at = rng.choice([i for i, char in enumerate(text) if char.isascii() and char.isalpha()])
    changed = text[: at + 1] + bad + text[at + 1 :]
    return (changed, tree, code) if text is said else (said, changed, code)


@pytest.mark.parametrize("mutate", [syntax, labels, alignment, encoding])
def test_a_hundred_mistakes_in_a_tree_are_found(mutate: Callable[[random.Random, str, str], Mutation]) -> None:
    seen = set()
    for seed in SEEDS:
        rng = random.Random(seed)
        said, tree = good(rng)
        assert check(tree, ONTOLOGY, said, codes=RULES) == []
        said, tree, code = mutate(rng, said, tree)
        found = {finding.code for finding in check(tree, ONTOLOGY, said, codes=RULES)}
        assert code in found, (seed, code, said, tree, found)
        seen.add(code)
    assert len(seen) >= 6


@pytest.mark.parametrize("fast", [True, False])
def test_a_hundred_mistakes_in_a_corpus_are_found(tmp_path: Path, fast: bool) -> None:
    seen = set()
    for seed in SEEDS:
        rng = random.Random(seed)
        rows = {name: [good(rng) for _ in range(6)] for name in ("train", "dev", "test")}
        rows = {name: list(dict(some).items()) for name, some in rows.items()}
        rows["train"] += [("one", "(SetTimerIntent(Duration(one)))"), ("two", "(PlayMusicIntent(Title(two)))")]
        said, tree = rng.choice(rows["train"][:-2])
        known = {said for some in rows.values() for said, _ in some}
        code = rng.choice(["E401", "E402", "E403", "E404"])
        split = rng.choice(["dev", "test"])
        new = {
            "E401": (said.replace(" ", "  "), tree.replace(")(", ") (", 1)),
            "E402": (said, once(tree, "(and(", "(and(PlayMusicIntent())(")),
            "E403": (said, tree),
            "E404": ("anything", "(and(OddIntent(x))(PlayMusicIntent()))"),
        }[code]
        if len(known) < sum(map(len, rows.values())):
            continue  # the same utterance came by chance
        home = "train" if code in ("E401", "E402") else split
        rows[home].insert(rng.randint(0, 3), new)
        order = rng.sample(sorted(rows), 3)
        for name in order:
            text = "".join(json.dumps({"utterance": said, "tree": tree}) + "\n" for said, tree in rows[name])
            (tmp_path / f"{name}.jsonl").write_text(text, encoding="utf-8")
        paths = [str(tmp_path / f"{name}.jsonl") for name in order]
        codes = {"E401", "E402", "E403", "E404"}
        run = Run(paths, codes=codes, watchers=[Corpus(read, codes)], fast=fast)
        found = [(f.code, Path(c.row.place.path).stem) for c in run for f in c.findings]
        assert found == [(code, home)], (seed, code, found)
        seen.add(code)
    assert len(seen) == 4


@pytest.mark.parametrize("fast", [True, False])
def test_marks_and_line_ends_of_files_are_found(tmp_path: Path, fast: bool) -> None:
    for seed in SEEDS:
        rng = random.Random(seed)
        lines = [good(rng)[1] for _ in range(5)]
        code = rng.choice(["E501", "E502"])
        at = rng.randrange(5)
        text = "\ufeff" * (code == "E501") + "".join(
            line + "\r" * (code == "E502" and i >= at) + "\n" for i, line in enumerate(lines)
        )
        file = tmp_path / "a.trees"
        file.write_bytes(text.encode())
        found = [(f.code, c.row.place.line) for c in Run([str(file)], fast=fast) for f in c.findings]
        assert found == [(code, at + 1 if code == "E502" else 1)]
