"""Dead letters: what they tell, and that mended ones come back as if the corpus had been right."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.block import Block, rejection_batch
from pipelines.formats import expand, plan, read
from pipelines.spill import Job


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
