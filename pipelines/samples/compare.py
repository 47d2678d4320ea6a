"""Hold a converted data set against the gold trees of the samples it was made from."""

from __future__ import annotations

from pathlib import Path

from grammar.shard import ShardError, read_manifest, read_split


def against_gold(gold: Path, directory: str | Path) -> tuple[int, int, list[str]]:
    """(equal rows, gold rows, a line for each row that differs or is missing).

    Rows meet by their place: line N of a split's gold file is line N of its flat files.

    Raises:
        ShardError: not a data set, or a split that has no gold trees.
        OSError: the gold trees cannot be read.
    """
    same = total = 0
    differing: list[str] = []
    for split in sorted(read_manifest(directory).splits):
        path = gold / f"{split}.tsv"
        if not path.exists():
            raise ShardError(f"{path} is missing; write it with `python -m pipelines samples`")
        converted = {
            line: (utterance, tree)
            for table in read_split(directory, split, ["line", "utterance", "tree"])
            for line, utterance, tree in zip(*(table[name].to_pylist() for name in table.column_names), strict=True)
        }
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            wanted = tuple(line.split("\t"))
            found = converted.get(number, ("", "no row"))
            total += 1
            if found == wanted:
                same += 1
            else:
                differing.append(f"{split}:{number}: {wanted[0]}\n  gold      {wanted[1]}\n  converted {found[1]}")
    return same, total, differing
