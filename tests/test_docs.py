"""The READMEs tell the truth: their commands run and print what stands below them.

A `console` block is a session: `$ ` starts a command, the lines below are its output, in which a
line `...` stands for any lines. `# exit N` after a command says that it ends with code N; a
here-document ends with `END`. All blocks of a file run in one folder, in order. A block after
`<!-- long -->` or `<!-- corpora -->` is not run: its commands must name real options.
"""

from __future__ import annotations

import importlib
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer

ROOT = Path(__file__).parent.parent
PAGES = ["README.md", "grammar/README.md", "pipelines/README.md", "parser/README.md"]
BLOCK = re.compile(r"(?:<!-- (long|corpora) -->\n+)?```console\n(.*?)```", re.S)
DOORS = ("grammar", "pipelines", "parser")


def sessions(page: str) -> list[tuple[str, list[tuple[str, list[str]]]]]:
    """(mark, [(command, output lines)]) of every block of a page."""
    found = []
    for mark, text in BLOCK.findall((ROOT / page).read_text("utf-8")):
        commands: list[tuple[str, list[str]]] = []
        for line in text.splitlines():
            if line.startswith("$ "):
                commands.append((line[2:], []))
            elif commands and re.search(r"<<'END'\n(?!(.*\n)*END$)", commands[-1][0] + "\n"):
                command, output = commands.pop()
                commands.append((f"{command}\n{line}", output))
            elif commands and commands[-1][0].endswith("\\"):
                command, output = commands.pop()
                commands.append((command[:-1] + line.strip(), output))
            elif commands:
                commands[-1][1].append(line.rstrip())
        found.append((mark, commands))
    return found


def matches(shown: list[str], printed: list[str]) -> bool:
    """Whether `printed` is `shown`, with `...` standing for any lines."""
    pattern = "".join("(?:.*\n)*?" if line == "..." else re.escape(line) + "\n" for line in shown)
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in printed)) is not None


@pytest.mark.parametrize("page", PAGES)
def test_sessions_run_as_shown(page, tmp_path):
    paths = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    env = os.environ | {"PATH": paths, "PYTHONPATH": str(ROOT), "COLUMNS": "100", "NO_COLOR": "1"}
    for mark, commands in sessions(page):
        for command, shown in commands if not mark else []:
            want = int(found.group(1)) if (found := re.search(r"# exit (\d)$", command)) else 0
            done = subprocess.run(["bash", "-c", command], cwd=tmp_path, env=env, capture_output=True, text=True)
            assert want == done.returncode, f"{command}\n{done.stdout}\n{done.stderr}"
            while shown and not shown[-1]:
                shown.pop()
            printed = [line.rstrip() for line in done.stdout.rstrip().splitlines()]
            assert not shown or matches(shown, printed), f"{command}\n{done.stdout}"


@pytest.mark.parametrize("page", PAGES)
def test_every_command_names_real_options(page):
    text = (ROOT / page).read_text("utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.startswith(("    ", "$ "))]
    commands = [found for line in lines for found in re.findall(r"python -m (\w+)([^|;&>]*)", line)]
    assert commands
    for door, rest in commands:
        if door in DOORS:
            check_options(door, shlex.split(rest, comments=True))


@pytest.mark.parametrize("page", PAGES)
def test_no_page_has_an_unfilled_place(page):
    assert re.findall(r"(?m)^[A-Z_]{5,}$", (ROOT / page).read_text("utf-8")) == []


def check_options(door: str, words: list[str]) -> None:
    group = typer.main.get_command(importlib.import_module(f"{door}.__main__").app)
    if not words or words[0].startswith("-"):
        return
    assert words[0] in group.commands, f"{door} has no command {words[0]}"
    command = group.commands[words[0]]
    if hasattr(command, "commands") and words[1:]:
        assert words[1] in command.commands, f"{door} {words[0]} has no command {words[1]}"
        command = command.commands[words[1]]
    known = {name for option in command.params for name in (*option.opts, *option.secondary_opts)} | {"--help"}
    passes_on = command.context_settings.get("ignore_unknown_options", False)
    for word in words[1:]:
        if word.startswith("--") and not passes_on:
            assert word.partition("=")[0] in known, f"{door} {words[0]} has no option {word}"


@pytest.mark.parametrize("door", DOORS)
def test_every_command_has_help_and_a_place_in_its_readme(door):
    text = (ROOT / door / "README.md").read_text("utf-8") + (ROOT / "README.md").read_text("utf-8")
    group = typer.main.get_command(importlib.import_module(f"{door}.__main__").app)
    commands = dict(group.commands)
    for name, command in group.commands.items():
        commands |= {f"{name} {inner}": found for inner, found in getattr(command, "commands", {}).items()}
    for name, command in commands.items():
        assert command.help, name
        assert f"{door} {name}" in text, f"no README shows `python -m {door} {name}`"
        for option in command.params:
            assert getattr(option, "help", None) or option.param_type_name == "argument", f"{name} {option.name}"


def test_every_package_is_listed_for_installation():
    import tomllib

    listed = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]["packages"]
    found = {
        p.parent.relative_to(ROOT).as_posix().replace("/", ".") for d in DOORS for p in (ROOT / d).rglob("__init__.py")
    }

    assert found == set(listed)
