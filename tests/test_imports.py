"""The import rules: what each package may load, held by blocking the rest in a fresh process."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import grammar
import parser

ROOT = Path(__file__).parent.parent
BASE = ["numpy", "pyarrow", "apache_beam", "torch", "safetensors"]
CASES = {
    "grammar": ["lark", "typer", "rich", *BASE],
    "grammar.tree": ["lark", *BASE],
    "grammar.actions": ["lark", *BASE],
    "grammar.words": ["lark", *BASE],
    "grammar.ontology": ["lark", *BASE],
    "grammar.checker": BASE,
    "grammar.run": BASE,
    "grammar.columns": ["apache_beam", "torch", "pipelines", "parser"],
    "grammar.picture": BASE,
    "grammar.agreement": ["lark", *BASE],
    "grammar.constrain": ["lark", *BASE],
    "grammar.svg": ["lark", *BASE],
    "grammar.report": ["lark", *BASE],
    "grammar.lsp": BASE,
    "grammar.__main__": [*BASE, "pygls", "lsprotocol"],
    "grammar.shard": ["lark", "apache_beam", "torch", "pipelines", "parser"],
    "pipelines.__main__": ["apache_beam", "torch", "parser", "pyarrow", "numpy"],
    "pipelines.formats": ["apache_beam", "torch", "parser"],
    "pipelines.trees": ["apache_beam", "torch", "parser"],
    "pipelines.samples": ["apache_beam", "lark", "torch", "parser"],
    "pipelines.convert": ["torch", "parser"],
    "parser": ["torch", "pyarrow", "apache_beam", "lark", "pipelines", "numba"],
    "parser.__main__": ["torch", "pyarrow", "apache_beam", "lark", "pipelines", "numba"],
    "parser.train": ["apache_beam", "lark", "pipelines", "numba"],
    "parser.bench": ["apache_beam", "lark", "pipelines", "numba"],
    "parser.checkpoint": ["apache_beam", "lark", "pipelines"],
}


def imports_of(package: str) -> set[tuple[str, str]]:
    """(file, top-level module) of every import statement, wherever in the file it stands."""
    found = set()
    for path in sorted((ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            found |= {(path.relative_to(ROOT).as_posix(), name.partition(".")[0]) for name in names}
    return found


@pytest.mark.parametrize("module", CASES)
def test_module_loads_without(module):
    code = f"import sys; sys.modules.update(dict.fromkeys({CASES[module]!r})); import {module}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("package", "forbidden"),
    [
        ("grammar", {"pipelines", "parser", "torch", "apache_beam"}),
        ("pipelines", {"torch", "parser"}),
        ("parser", {"pipelines", "lark", "apache_beam"}),
    ],
)
def test_no_statement_imports_what_is_forbidden(package, forbidden):
    broken = {(file, name) for file, name in imports_of(package) if name in forbidden}

    assert set() == {(file, name) for file, name in broken if file != "pipelines/annotate.py"}


def test_only_syntax_imports_lark():
    assert {"grammar/syntax.py"} == {file for file, name in imports_of("grammar") if name == "lark"}


@pytest.mark.parametrize("door", ["grammar", "pipelines", "parser"])
def test_help_loads_nothing_heavy(door):
    heavy = ["lark", "numpy", "pyarrow", "apache_beam", "torch"]
    code = f"import sys, runpy; sys.modules.update(dict.fromkeys({heavy!r})); sys.argv = ['{door}', '--help']; "
    code += f"runpy.run_module('{door}', run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)

    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout


def test_no_module_takes_the_name_of_a_function():
    """Importing `parser.load` as a module would put it in the place of the function `parser.load`."""
    for package in (grammar, parser):
        for name in package.__all__:
            assert not (Path(package.__file__).parent / f"{name}.py").exists(), f"{package.__name__}/{name}.py"
