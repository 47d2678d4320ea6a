"""`python -m pipelines compare`."""

from __future__ import annotations

import json

from pipelines.commands import door
from pipelines.commands.door import DataSet, Json


def compare(left: DataSet, right: DataSet, as_json: Json = False) -> None:
    """Pair the utterances of two data sets, two forms of one corpus, and count what had to be ignored for it.

    Example: `python -m pipelines compare shards/snips shards/snips-json`
    """
    from pipelines.compare import compare as pair
    from pipelines.compare import utterances

    try:
        counts = pair(utterances(left), utterances(right)).to_json()
    except (ValueError, OSError) as error:
        door.stop(door.why(error))
    if as_json:
        print(json.dumps(counts, indent=2, ensure_ascii=False))
        return
    for what, rows in counts.items():
        print(f"{what}: " + ", ".join(f"{name} {number:,}" for name, number in rows.items()))
