"""`python -m pipelines formats`."""

from __future__ import annotations

import json

from pipelines.commands import door
from pipelines.commands.door import Json


def formats(as_json: Json = False) -> None:
    """List the formats that `convert` reads."""
    from pipelines.formats import FORMATS

    if as_json:
        print(json.dumps({name: format_.summary for name, format_ in FORMATS.items()}, indent=2))
        return
    from rich.markup import escape
    from rich.table import Table

    listing = Table("format", "holds", "files in a folder", "words", box=None)
    for name, format_ in FORMATS.items():
        listing.add_row(
            name, escape(format_.summary), " ".join((*format_.patterns, *format_.companions)), format_.tokeniser
        )
    door.show(listing)
