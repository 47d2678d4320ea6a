"""Several data sets as one."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from grammar import shard
from pipelines import dataset
from pipelines.rewrite import rewrite


def merge(
    directories: Sequence[str], output: str, corpus: str = "", shards: int = 0, overwrite: bool = False
) -> shard.Manifest:
    """Publish all rows and dead letters of several data sets; every row stays in its split.

    Args:
        corpus: name of the new one; the name of the output if empty. Ids keep the names of the old ones.
        shards: of each split; 0 for as many as the old ones have together.

    Raises:
        ShardError: one is no data set.
        ValueError: their words are cut in different ways, or two rows have one id.
        FileExistsError: the output is there and is not to be overwritten.
    """
    sets = [(directory, dataset.manifest(directory)) for directory in directories]
    if len(sets) < 2:
        raise ValueError("give two data sets or more")
    tokenisers = {manifest.tokeniser: directory for directory, manifest in sets}
    if len(tokenisers) > 1:
        said = " and ".join(f"`{name}` in {directory}" for name, directory in sorted(tokenisers.items()))
        raise ValueError(f"the words are cut by {said}, but a data set has one tokeniser; keep them apart")
    given = {dataset.ontology(directory) for directory, manifest in sets if manifest.options.get("ontology")}
    same = len(given) == 1 and all(manifest.options.get("ontology") for _, manifest in sets)
    rows = chain.from_iterable(
        dataset.batches(directory, manifest, split) for directory, manifest in sets for split in manifest.splits
    )
    letters = chain.from_iterable(dataset.rejections(directory, manifest) for directory, manifest in sets)
    parts = [
        {"corpus": m.corpus, "fingerprint": m.fingerprint, "rows_out": m.rows_out, "options": m.options}
        for _, m in sets
    ]
    try:
        return rewrite(
            rows,
            letters,
            output,
            corpus=corpus or output.rstrip("/").rpartition("/")[2],
            tokeniser=sets[0][1].tokeniser,
            options={"merged": parts, "ontology": shard.ONTOLOGY if same else ""},
            shards=shards or sum(dataset.shards(manifest) for _, manifest in sets),
            ontology=given.pop() if same else "",
            overwrite=overwrite,
        )
    except ValueError as error:
        clash = str(error).partition("; convert a folder")[0]
        if clash == str(error):
            raise
        raise ValueError(f"{clash}; convert one of them again with another `--corpus`") from error
