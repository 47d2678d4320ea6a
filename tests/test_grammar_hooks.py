"""The pre-commit hooks, run by the real pre-commit in a repository that has a `grammar` folder of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
HOOKS = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text("utf-8"))


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    (tmp_path / "grammar").mkdir()
    (tmp_path / "grammar" / "__init__.py").write_text("raise SystemExit('the wrong package')\n")
    (tmp_path / "good.trees").write_text("(PlayMusicIntent(MediaType(music)))\n")
    (tmp_path / "wide.trees").write_text("(PlayMusicIntent (Title(Star Wars)))\n")
    (tmp_path / "bad.trees").write_text("(PlayMusicIntent(MediaType(music))\n(a(b) c)\n")
    (tmp_path / "notes.txt").write_text("(not a tree\n")
    return tmp_path


def pre_commit(repository: Path, hooks: list[dict]) -> dict[str, tuple[int, str]]:
    """Hook -> exit code and output. Hooks are those of the file, but run in this environment: nothing is installed."""
    local = [
        hook | {"language": "system", "entry": hook["entry"].replace("python", sys.executable, 1)} for hook in hooks
    ]
    config = {"repos": [{"repo": "local", "hooks": local}]}
    (repository / ".pre-commit-config.yaml").write_text(yaml.safe_dump(config))
    subprocess.run(["git", "add", "-A"], cwd=repository, check=True)
    env = os.environ | {"PYTHONPATH": str(ROOT), "PRE_COMMIT_HOME": str(repository / ".git" / "cache")}
    results = {}
    for hook in hooks:
        command = [sys.executable, "-m", "pre_commit", "run", "--all-files", hook["id"]]
        done = subprocess.run(command, cwd=repository, env=env, capture_output=True, text=True)
        results[hook["id"]] = (done.returncode, done.stdout + done.stderr)
    return results


def test_hooks_find_and_mend(repository: Path) -> None:
    found = pre_commit(repository, HOOKS)

    code, text = found["treewright-check"]
    assert code == 1
    assert "bad.trees:1:1" in text and "bad.trees:2:7" in text
    assert "good.trees:" not in text and "notes.txt" not in text and "wrong package" not in text
    code, text = found["treewright-fix"]
    assert code == 1 and "files were modified by this hook" in text
    assert (repository / "bad.trees").read_text() == "(PlayMusicIntent(MediaType(music))\n(a(b)(c))\n"
    code, text = found["treewright-format"]
    assert code == 1
    assert (repository / "wide.trees").read_text() == "(PlayMusicIntent(Title(Star)(Wars)))\n"


def test_hooks_pass_on_good_files(repository: Path) -> None:
    for name in ("bad.trees", "wide.trees"):
        (repository / name).unlink()

    assert {hook: code for hook, (code, _) in pre_commit(repository, HOOKS).items()} == {
        hook["id"]: 0 for hook in HOOKS
    }


@pytest.mark.skipif(
    "TREEWRIGHT_TRY_REPO" not in os.environ, reason="installs from the package index: set TREEWRIGHT_TRY_REPO"
)
def test_the_hooks_can_be_installed(repository: Path) -> None:
    (repository / "bad.trees").unlink()
    subprocess.run(["git", "add", "-A"], cwd=repository, check=True)
    env = os.environ | {"PRE_COMMIT_HOME": str(repository / ".git" / "cache")}
    env.pop("PYTHONPATH", None)
    command = [sys.executable, "-m", "pre_commit", "try-repo", str(ROOT), "treewright-check", "--all-files"]
    done = subprocess.run(command, cwd=repository, env=env, capture_output=True, text=True)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "check annotated trees" in done.stdout
