"""`python -m pipelines formats`."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines.commands import door
from pipelines.commands.door import Json

if TYPE_CHECKING:
    from pipelines.formats import Format, Writer


def formats(
    name: Annotated[str, typer.Argument(help="Show one format: an example, and all that it loses.")] = "",
    recognise: Annotated[
        list[str] | None,
        typer.Option(metavar="PATH", help="Say which format a file, or each file of a folder, is in, and why."),
    ] = None,
    as_json: Json = False,
) -> None:
    """List the formats: what `convert` reads, what `export` writes, what is lost in writing.

    Example: `python -m pipelines formats rasa`, or `python -m pipelines formats --recognise corpora/unknown`
    """
    from pipelines.formats import FORMATS

    if recognise:
        _recognise(recognise, as_json)
    elif name and name not in FORMATS:
        door.stop(f"unknown format `{name}`; the formats are {', '.join(FORMATS)}")
    elif as_json:
        shown = {name: FORMATS[name]} if name else FORMATS
        print(json.dumps({key: _described(format_) for key, format_ in shown.items()}, indent=2, ensure_ascii=False))
    elif name:
        _show(FORMATS[name])
    else:
        _list()


def _list() -> None:
    from rich.markup import escape
    from rich.table import Table

    from pipelines.formats import FORMATS

    listing = Table("format", "holds, an example", "read from", "written", "offsets", "loses", box=None)
    for name, format_ in FORMATS.items():
        writer = _writer(format_)
        written = " ".join(writer.variants).strip() or "yes" if writer else "no"
        files = " ".join((*format_.patterns, *format_.companions))
        loses = ", ".join(format_.loses) or ("nothing" if writer else "")
        held = f"{escape(format_.summary)}\n[dim]{escape(format_.example)}[/dim]"
        listing.add_row(name, held, files, written, format_.offsets, loses)
    door.show(listing)


def _show(format_: Format) -> None:
    print(f"{format_.name}: {format_.summary}")
    for key, value in _described(format_).items():
        if key == "loses":
            print("loses: nothing" if _writer(format_) and not value else "loses:" if value else "not written")
            for feature, said in value.items():
                print(f"  {feature}: {said}")
        elif key != "summary" and value:
            print(f"{key}: {', '.join(value) if isinstance(value, list) else value}")
    print(f"more: {(sys.modules[format_.read.__module__].__doc__ or '').strip()}")


def _writer(format_: Format) -> Writer | None:
    return format_.forms("compact") if format_.forms else format_.writer


def _described(format_: Format) -> dict[str, Any]:
    writer = _writer(format_)
    return {
        "summary": format_.summary,
        "files": [*format_.patterns, *format_.companions],
        "words": format_.tokeniser,
        "offsets": format_.offsets,
        "written": writer is not None,
        "variants": [variant for variant in writer.variants if variant] if writer else [],
        "loses": dict(format_.loses),
        "example": format_.example,
    }


def _recognise(paths: list[str], as_json: bool) -> None:
    from pipelines.formats import FORMATS
    from pipelines.formats.recognise import recognise

    try:
        verdicts = list(recognise(paths, FORMATS.values()))
    except (ValueError, OSError) as error:
        door.stop(door.why(error))
    if as_json:
        print(json.dumps([verdict._asdict() for verdict in verdicts], indent=2, ensure_ascii=False))
    else:
        for verdict in verdicts:
            print(f"{verdict.path}: {verdict.format or 'unknown'}: {verdict.reason}")
    if not any(verdict.format for verdict in verdicts):
        raise typer.Exit(1)
