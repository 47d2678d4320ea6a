"""Data sets elsewhere: commands give what they give here. Merging is converting together, whatever the shards."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_filesystem import MemoryFileSystem
from test_pipelines_running import contents

from grammar import shard
from pipelines import publish
from pipelines.compare import compare, utterances
from pipelines.compose import Recipe
from pipelines.composing import compose
from pipelines.convert import Options, prepare, ranges_of
from pipelines.diff import diff
from pipelines.export import export
from pipelines.low_resource import draw
from pipelines.merge import merge
from pipelines.samples import generate
from pipelines.samples.write import write
from pipelines.spill import merge as write_shard
from pipelines.spill import spill
from pipelines.stats import describe
from pipelines.verify import verify

TREES = ["(Play(genre(jazz)))", "(Play(genre(soul)))", "(Stop())", "(Buy(item(jazz)))", "(Play(genre(jazz))"]
TEXTS = ["play jazz", "Play  JAZZ", "play soul", "stop", "no jazz or soul here"]


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write(generate(80, 1), folder, shards=True)
    return folder / "shards"


@pytest.fixture
def there(here: Path) -> str:
    """The same data set in an object store."""
    MemoryFileSystem.objects.clear()
    for name, data in contents(here).items():
        MemoryFileSystem.put(f"mem://store/data/{name}", data)
    return "mem://store/data"


def objects(folder: str) -> dict[str, bytes]:
    return {
        path.removeprefix(f"{folder}/"): data
        for path, (data, _) in MemoryFileSystem.objects.items()
        if path.startswith(f"{folder}/")
    }


def test_data_sets_elsewhere_are_read_as_here(here: Path, there: str, tmp_path: Path) -> None:
    assert verify(there) == verify(here) and verify(there)[1] == []
    assert describe(there) == describe(here)
    found = diff(here, there)
    assert found["rows"]["same"] == verify(here)[0] and not found["labels"]
    with pytest.raises(shard.ShardError, match="not a data set"):
        verify("mem://store/nothing")
    draw(str(here), str(tmp_path / "few"), 2)
    draw(there, "mem://store/few", 2)
    assert objects("mem://store/few") == contents(tmp_path / "few")
    assert compare(utterances(there), utterances(here)).to_json()["texts"]["as it stands"] == verify(here)[0]
    report = export(there, "bio", tmp_path / "bio")
    assert report.written and not report.unexplained
    with pytest.raises(ValueError, match="a folder of this machine"):
        export(there, "bio", "mem://store/bio")
    compose(here, tmp_path / "compound", Recipe(seed=1))
    compose(there, "mem://store/compound", Recipe(seed=1))
    assert objects("mem://store/compound") == contents(tmp_path / "compound")
    assert verify("mem://store/compound")[1] == []
    with pytest.raises(FileExistsError, match="--overwrite"):
        compose(there, "mem://store/compound", Recipe(seed=1))
    data, changed = MemoryFileSystem.objects[f"{there}/test-00000-of-00001.parquet"]
    MemoryFileSystem.objects[f"{there}/test-00000-of-00001.parquet"] = (data[:-9], changed)
    assert any("test-00000" in line for line in verify(there)[1])


def converted(inputs: Sequence[Path], output: Path, shards: int) -> shard.Manifest:
    """What `convert` writes, by its plain functions."""
    plan = prepare(Options([str(path) for path in inputs], "brackets", str(output), corpus="c", shards=shards))
    parts: dict[str, list[tuple[str, list[int]]]] = defaultdict(list)
    for number, source in enumerate(plan.sources):
        for name, range_ in ranges_of(number, source, 100):
            for bucket, path, numbers in spill(name, range_, plan.job).parts:
                parts[bucket].append((path, numbers))
    for bucket in parts:
        write_shard(bucket, parts[bucket], plan.job)
    publish.finish(plan.job, plan.corpus, "words-1", plan.recorded, 1.0)
    return publish.publish(plan.job, str(output), 1.0)


rows = st.tuples(st.sampled_from(TEXTS), st.sampled_from(TREES), st.sampled_from(["train", "dev", "test"]))
corpora = st.lists(st.lists(rows, min_size=1, max_size=8), min_size=2, max_size=3)


@settings(max_examples=4, deadline=None)
@given(corpora, st.integers(1, 3))
def test_merging_is_converting_together(tmp_path_factory: pytest.TempPathFactory, sets: list, shards: int) -> None:
    """Rows, dead letters, ontology and card are those of one conversion: leaks and conflicts are counted anew."""
    folder = tmp_path_factory.mktemp("merge")
    sets = [[("stop", "(Stop())", "train"), *found] for found in sets]
    paths = [folder / f"{number}.jsonl" for number in range(len(sets))]
    for path, found in zip(paths, sets, strict=True):
        lines = [json.dumps({"utterance": text, "tree": tree, "split": split}) for text, tree, split in found]
        path.write_text("\n".join(lines) + "\n")
    for path in paths:
        converted([path], folder / path.stem, 1 + len(path.stem) % 2)
    whole = converted(paths, folder / "whole", shards)
    merged = merge([str(folder / path.stem) for path in paths], str(folder / "merged"), corpus="c", shards=shards)

    same = ("rows_in", "rows_out", "rows_rejected", "rejected", "rejected_splits", "splits", "shards", "fingerprint")
    assert {name: getattr(merged, name) for name in same} == {name: getattr(whole, name) for name in same}
    one, other = contents(folder / "whole"), contents(folder / "merged")
    assert one.keys() == other.keys()
    assert all(one[name] == other[name] for name in one if name != shard.MANIFEST)
    told = describe(folder / "merged")
    texts = [" ".join(text.casefold().split()) for found in sets for text, tree, _ in found if tree != TREES[-1]]
    assert sum(told["repeated"].values()) <= len(texts) - len(set(texts))
    assert verify(folder / "merged")[1] == []
