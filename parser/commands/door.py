"""What the commands share: options, messages, exit codes."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

Device = Annotated[str, typer.Option(help="`cpu`, `cuda`, or `auto`: a GPU where there is one.")]
Threads = Annotated[int, typer.Option(help="CPU threads; 0 leaves it to torch.")]


class Once(TyperCommand):
    """A command that refuses an option given twice where it takes one value: all but the last would be forgotten."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not ctx.resilient_parsing:
            *_, given = self.make_parser(ctx).parse_args(args=list(args))
            for param, times in Counter(given).items():
                single = not getattr(param, "is_flag", False) and not getattr(param, "multiple", False)
                if times > 1 and single and param.param_type_name == "option":
                    name = max(param.opts, key=len)
                    raise typer.BadParameter(f"it takes one value and is given {times} times", ctx, param_hint=name)
        return super().parse_args(ctx, args)


@contextmanager
def failures() -> Iterator[None]:
    """Our own errors become one line on stderr and exit code 2; bugs keep their traceback."""
    from grammar.ontology import OntologyError
    from grammar.shard import ShardError
    from parser.checkpoint import CheckpointError
    from parser.config import ConfigError

    try:
        yield
    except (ShardError, CheckpointError, ConfigError, OntologyError, FloatingPointError, OSError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from error


def device(name: str, threads: int) -> str:
    import torch

    from parser.config import ConfigError
    from parser.memory import keep_freed_memory

    keep_freed_memory()
    if threads:
        torch.set_num_threads(threads)
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if not re.fullmatch(r"cpu|cuda(:\d+)?", name):
        raise ConfigError(f"--device must be cpu, cuda, cuda:N or auto, not `{name}`")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ConfigError("this machine has no CUDA device; give --device cpu")
    if name.startswith("cuda:"):
        if int(name[5:]) >= torch.cuda.device_count():
            raise ConfigError(f"this machine has no {name}; its last is cuda:{torch.cuda.device_count() - 1}")
        torch.cuda.set_device(name)
    return name


def lines(utterances: list[str], file: Path | None) -> Iterator[str]:
    """The utterances, or the lines of a file or of stdin; files are split at `\\n` only."""
    from parser.config import ConfigError

    if utterances not in ([], ["-"]):
        if file is not None or "-" in utterances:
            raise ConfigError("give utterances, or --file, or `-`, but not several of them")
        yield from utterances
        return
    path = None if file is None or str(file) == "-" else file
    with nullcontext(sys.stdin.buffer) if path is None else path.open("rb") as source:
        for number, line in enumerate(source, 1):
            try:
                yield line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
            except UnicodeDecodeError as error:
                where = f"{path or '<stdin>'}:{number}"
                raise ConfigError(f"{where}: the line is not UTF-8 ({error}); convert the file to UTF-8") from error


def print_parses(ready: Any, texts: list[str], form: str, beam: int = 1, nbest: int = 1) -> tuple[int, int]:
    """One result a line of input: an empty line for an empty one, so that files stay side by side.

    Returns how many parses should not be used, as the model is too uncertain of them, and how many there are.

    With `nbest` above 1 each utterance has so many lines (fewer where no more were found), each with its score
    in front; in JSON they are the list `nbest` of one line.
    """
    from grammar.picture import picture

    every = ready.parse_many([text for text in texts if text.strip()], beam=beam)
    parses = iter(every)
    for text in texts:
        if not text.strip():
            typer.echo(json.dumps({"utterance": text, "words": [], "tree": None}) if form == "json" else "")
            continue
        found = next(parses)
        several = [found, *found.others][:nbest]
        if form == "json":
            row = {"utterance": text, "words": found.words, **_facts(found)}
            if ready.confidence is not None:
                row |= {
                    "confidence": round(ready.confidence.of(found), 4),
                    "abstain": ready.confidence.abstains(found),
                }
            row |= {"nbest": [_facts(parse) for parse in several]} if nbest > 1 else {}
            typer.echo(json.dumps(row, ensure_ascii=False))
            continue
        for parse in several:
            shown = str(parse.tree) if form == "brackets" else picture(parse.tree)
            typer.echo(f"{parse.score:.4f}\t{shown}" if nbest > 1 else shown)
    return 0 if ready.confidence is None else sum(map(ready.confidence.abstains, every)), len(every)


def _facts(parse: Any) -> dict[str, Any]:
    return {"tree": str(parse.tree), "positions": parse.positions, "score": round(parse.score, 6)}


@contextmanager
def progress(name: str) -> Iterator[Any]:
    """A bar on a terminal, a line per evaluation elsewhere."""
    from rich.console import Console
    from rich.progress import Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = [*Progress.get_default_columns()[:-1], TimeRemainingColumn(), TextColumn("{task.fields[note]}")]
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(name, total=None, note="")

        def report(event: dict[str, Any]) -> None:
            if event["event"] == "start":
                bar.update(task, total=event["steps"], completed=event["step"])
                print(f"{event['examples']:,} examples, {event['parameters']:,} parameters", file=sys.stderr)
            elif event["event"] == "step":
                bar.update(task, completed=event["step"], note=f"loss {event['loss']:.3f}")
            else:
                line = f"epoch {event['epoch'] + 1}: dev exact match {event['exact_match']:.1%}, "
                line += f"bracket F1 {event['bracket_f1']:.1%}, {event['cpu_seconds']:.0f} CPU-seconds"
                console.print(line) if console.is_terminal else print(line, file=sys.stderr, flush=True)

        yield report


def note_unknown_labels(figures: dict[str, Any], most: int = 5) -> None:
    """Say on stderr that rows cannot be right, where they have labels that the model does not know."""
    if not (rows := figures["rows_unknown"]):
        return
    names = list(figures["unknown_labels"])
    shown = ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
    labels = "a label" if len(names) == 1 else f"{len(names):,} labels"
    typer.echo(
        f"note: {rows:,} of {figures['n']:,} rows cannot be right, the model does not know {labels} of theirs: {shown}",
        err=True,
    )


def table(figures: dict[str, Any]) -> None:
    for key, name in (
        ("exact_match", "exact match"),
        ("exact_match_positions", "... with copy positions"),
        ("intent_accuracy", "intent accuracy"),
        ("bracket_f1", "bracket F1"),
    ):
        typer.echo(f"{name:24} {figures[key]:7.1%}")
    typer.echo(f"{'utterances':24} {figures['n']:7}\n\nexact match and bracket F1 by slice")
    for name, part in figures["slices"].items():
        typer.echo(f"  {name:22} {part['exact_match']:7.1%} {part['bracket_f1']:7.1%}   of {part['n']}")
