"""`python -m pipelines stats`."""

from __future__ import annotations

import json

from pipelines.commands import door
from pipelines.commands.door import DataSet, Json


def stats(directory: DataSet, as_json: Json = False) -> None:
    """Count what a data set holds: rows, intents, slots, words, depth and actions of each split."""
    from pipelines.stats import describe, table

    try:
        counts = describe(directory)
    except (ValueError, OSError) as error:
        door.stop(door.why(error))
    if as_json:
        print(json.dumps(counts, indent=2, ensure_ascii=False))
    else:
        for drawn in table(counts):
            door.show(drawn)
