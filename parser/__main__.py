"""python -m parser train | evaluate | parse | bench

Results go to stdout, progress and log to stderr. Exit codes: 0 done, 2 could not run.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(
    help="Learn semantic trees from shards, and parse new utterances.",
    epilog="Start: python -m pipelines samples --output demo --shards, then python -m parser train --help",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Device = Annotated[str, typer.Option(help="`cpu`, `cuda`, or `auto`: a GPU where there is one.")]
Threads = Annotated[int, typer.Option(help="CPU threads; 0 leaves it to torch.")]


@contextmanager
def _failures() -> Iterator[None]:
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


def _device(name: str, threads: int) -> str:
    import torch

    from parser.config import ConfigError

    if threads:
        torch.set_num_threads(threads)
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if not re.fullmatch(r"cpu|cuda(:\d+)?", name):
        raise ConfigError(f"--device must be cpu, cuda, cuda:N or auto, not `{name}`")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ConfigError("this machine has no CUDA device; give --device cpu")
    return name


@app.command()
def train(
    shards: Annotated[Path, typer.Option(help="A data set with the splits train and dev.")],
    output: Annotated[Path, typer.Option(help="The model directory to write.")],
    config: Annotated[str, typer.Option(help="base, published or tiny, or the path of a TOML file.")] = "base",
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Change a setting: section.key=value. Repeatable.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the run in --output where it was stopped.")
    ] = False,
    device: Device = "auto",
    threads: Threads = 0,
) -> None:
    """Train a parser; the best weights by exact match on dev are kept.

    Example: python -m parser train --shards shards/snips --output runs/snips --set train.epochs=40

    A run that was killed continues with --resume, with the settings it was started with, and gives the
    same losses as one that was not.
    """
    with _failures():
        from parser import config as configs
        from parser.train import train as run

        if resume and (set_ or config != "base"):
            raise configs.ConfigError("--resume keeps the settings of the run; leave --set and --config out")
        settings = configs.load(config, set_ or [])
        with _progress("train") as report:
            best = run(shards, output, settings, device=_device(device, threads), resume=resume, report=report)
    typer.echo(f"best on dev: exact match {best['exact_match']:.1%} after epoch {best['epoch']}; model in {output}")


@app.command()
def evaluate(
    model: Annotated[Path, typer.Option(help="A model directory.")],
    shards: Annotated[Path, typer.Option(help="A data set.")],
    split: Annotated[str, typer.Option(help="train, dev or test.")] = "test",
    without: Annotated[str, typer.Option(help="Leave out rows with a label like this, as in 'IN:UNSUPPORTED*'.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    errors: Annotated[int, typer.Option(help="Also print so many wrong parses, gold above predicted.")] = 0,
    device: Device = "auto",
    threads: Threads = 0,
) -> None:
    """Exact match, intent accuracy, bracket F1, and slices of exact match.

    Rows of the split that conversion rejected count as wrong.

    Example: python -m parser evaluate --model runs/snips --shards shards/snips --split test --json
    """
    with _failures():
        from grammar.shard import read_manifest
        from parser.batch import read_rows
        from parser.checkpoint import load_model
        from parser.evaluate import evaluate as run

        manifest = read_manifest(shards)
        setup, network, _ = load_model(model, _device(device, threads))
        wrong: list[Any] = []
        figures = run(
            network,
            setup.vocab,
            setup.ontology,
            setup.values,
            read_rows(shards, split),
            rejected=manifest.rejected_splits.get(split, 0),
            without=without,
            errors=wrong,
        )
    if as_json:
        typer.echo(json.dumps(figures, ensure_ascii=False))
    else:
        _table(figures)
    for gold, parse in wrong[:errors]:
        typer.echo(
            f"\n{gold.id}  {' '.join(gold.words)}\n  gold       {gold.tree}\n  predicted  {parse.tree}", err=as_json
        )


@app.command()
def parse(
    utterances: Annotated[
        list[str] | None, typer.Argument(help="Utterances; none or `-` reads lines of stdin.")
    ] = None,
    model: Annotated[Path, typer.Option(help="A model directory.")] = Path("runs/model"),
    file: Annotated[Path | None, typer.Option(help="Parse the lines of a file.")] = None,
    form: Annotated[str, typer.Option("--format", help="brackets, picture or json.")] = "brackets",
    device: Device = "auto",
    threads: Threads = 0,
) -> None:
    """Parse utterances into trees.

    Examples:

        python -m parser parse --model runs/music "play jazz"

        python -m parser parse --model runs/music --file requests.txt --format json > trees.jsonl
    """
    with _failures():
        from parser import load
        from parser.config import ConfigError

        if form not in ("brackets", "picture", "json"):
            raise ConfigError(f"--format must be brackets, picture or json, not `{form}`")
        ready = load(model, _device(device, threads))
        size = 1 if sys.stdin.isatty() and not utterances and file is None else 1024
        lines = _lines(utterances or [], file)
        while block := list(islice(lines, size)):
            _print_parses(ready, block, form)


@app.command()
def bench(
    shards: Annotated[Path, typer.Option(help="A data set with the split train.")],
    config: Annotated[str, typer.Option(help="A config, as for train.")] = "base",
    set_: Annotated[list[str] | None, typer.Option("--set", help="Change a setting: section.key=value.")] = None,
    seconds: Annotated[float, typer.Option(help="CPU-seconds for each line.")] = 5.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    threads: Threads = 1,
) -> None:
    """Speed of training and parsing on the CPU, beside the naive definition in the same run.

    Example: python -m parser bench --shards shards/snips --config published
    """
    with _failures():
        from parser import config as configs
        from parser.bench import bench as run

        settings = configs.load(config, set_ or [])
        _device("cpu", threads)
        figures = run(shards, settings, seconds)
    if as_json:
        typer.echo(json.dumps(figures))
    else:
        for name, value in figures.items():
            typer.echo(f"{name:28} {value:12,.1f}")


def _lines(utterances: list[str], file: Path | None) -> Iterator[str]:
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


def _print_parses(ready: Any, texts: list[str], form: str) -> None:
    """One result a line of input: an empty line for an empty one, so that files stay side by side."""
    from grammar.picture import picture

    parses = iter(ready.parse_many([text for text in texts if text.strip()]))
    for text in texts:
        if not text.strip():
            typer.echo(json.dumps({"utterance": text, "words": [], "tree": None}) if form == "json" else "")
            continue
        found = next(parses)
        if form == "json":
            row = {"utterance": text, "words": found.words, "tree": str(found.tree)}
            row |= {"positions": found.positions, "score": round(found.score, 6)}
            typer.echo(json.dumps(row, ensure_ascii=False))
        else:
            typer.echo(str(found.tree) if form == "brackets" else picture(found.tree))


@contextmanager
def _progress(name: str) -> Iterator[Any]:
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


def _table(figures: dict[str, Any]) -> None:
    for key, name in (
        ("exact_match", "exact match"),
        ("exact_match_positions", "... with copy positions"),
        ("intent_accuracy", "intent accuracy"),
        ("bracket_f1", "bracket F1"),
    ):
        typer.echo(f"{name:24} {figures[key]:7.1%}")
    typer.echo(f"{'utterances':24} {figures['n']:7}\n\nexact match by slice")
    for name, part in figures["slices"].items():
        typer.echo(f"  {name:22} {part['exact_match']:7.1%}   of {part['n']}")


if __name__ == "__main__":
    app()
