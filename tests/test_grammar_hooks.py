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


def pre_commit(repository: Path) -> tuple[int, str]:
    """Exit code and output of all hooks of the file; they run in this environment, so nothing is installed."""
    local = [
        hook | {"language": "system", "entry": hook["entry"].replace("python", sys.executable, 1)} for hook in HOOKS
    ]
    config = {"repos": [{"repo": "local", "hooks": local}]}
    (repository / ".pre-commit-config.yaml").write_text(yaml.safe_dump(config))
    subprocess.run(["git", "add", "-A"], cwd=repository, check=True)
    env = os.environ | {"PYTHONPATH": str(ROOT), "PRE_COMMIT_HOME": str(repository / ".git" / "cache")}
    command = [sys.executable, "-m", "pre_commit", "run", "--all-files"]
    done = subprocess.run(command, cwd=repository, env=env, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def test_hooks_find_and_mend(repository: Path) -> None:
    code, text = pre_commit(repository)

    assert code == 1
    assert "bad.trees:1:1" in text and "bad.trees:2:7" in text
    assert "good.trees:1" not in text and "notes.txt" not in text and "wrong package" not in text
    assert text.count("files were modified by this hook") == 2
    assert (repository / "bad.trees").read_text() == "(PlayMusicIntent(MediaType(music))\n(a(b)(c))\n"
    assert (repository / "wide.trees").read_text() == "(PlayMusicIntent(Title(Star)(Wars)))\n"


def test_hooks_pass_on_good_files(repository: Path) -> None:
    for name in ("bad.trees", "wide.trees"):
        (repository / name).unlink()
    code, text = pre_commit(repository)

    assert (code, text.count("Passed")) == (0, 3)


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
