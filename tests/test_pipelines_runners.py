"""What the README says of runners: every option that it shows reaches Beam, and a real job server runs the pipeline."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import tarfile
import time
import tomllib
from pathlib import Path

import pytest
from apache_beam.options import pipeline_options as beam
from apache_beam.runners import create_runner
from test_pipelines_running import ROWS, contents, options

from pipelines import convert as converting
from pipelines.convert import run
from pipelines.runner import flags

ROOT = Path(converting.__file__).parent.parent
TEXT = (ROOT / "pipelines" / "README.md").read_text("utf-8")
OURS = {"--format", "--input", "--output", "--workers", "--runner", "--dry-run", "--service_port", "--max-rejected"}


def shown(where: str) -> list[str]:
    """The options that the table of the README gives for one place to run at."""
    [row] = [line for line in TEXT.splitlines() if line.startswith(f"| {where} |")]
    found = [word for code in re.findall(r"`([^`]+)`", row) for word in re.sub(r"^python \S+.*", "", code).split()]
    return [word for word in found if word.startswith("--")]


def reached(where: str, runner: str, *groups: type) -> dict[str, object]:
    """What Beam makes of these options."""
    more = [word for word in shown(where) if word.partition("=")[0] not in OURS]
    made = beam.PipelineOptions(flags(runner, 1, more))
    assert more and create_runner(runner) is not None
    values: dict[str, object] = {}
    for group in groups:
        values |= made.view_as(group).get_all_options(drop_default=True)
    for word in more:
        assert any(word.removeprefix("--").partition("=")[0].rstrip("s") in name for name in values), word
    return values


def test_the_options_of_clusters_reach_beam() -> None:
    every = (beam.FlinkRunnerOptions, beam.PortableOptions, beam.WorkerOptions, beam.SetupOptions)
    flink = reached("Flink", "FlinkRunner", *every)
    assert (flink["flink_master"], flink["environment_type"]) == ("HOST:8081", "EXTERNAL")
    assert flink["flink_version"] in beam.FlinkRunnerOptions.PUBLISHED_FLINK_VERSIONS
    dataflow = reached("Dataflow", "DataflowRunner", *every, beam.GoogleCloudOptions)
    assert (dataflow["project"], dataflow["temp_location"]) == ("P", "gs://BUCKET/tmp")
    assert dataflow["extra_packages"] == ["dist/treewright-0.1.0.tar.gz"]
    server = reached("a job server", "PortableRunner", *every)
    assert server["job_endpoint"] == "localhost:8099"
    pool = reached("workers that you start", "FnApiRunner", *every)
    assert pool["environment_config"] == "localhost:50000"


def test_the_project_packs_itself_for_workers(tmp_path: Path) -> None:
    """The archive that workers install has the name that the README says, and holds all that the code opens."""
    pytest.importorskip("setuptools")
    packages = ("grammar", "pipelines", "parser")
    for name in packages:
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    code = "from setuptools.build_meta import build_sdist; build_sdist('dist')"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True)
    [made] = (tmp_path / "dist").iterdir()
    assert f"dist/{made.name}" in TEXT
    with tarfile.open(made) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    kinds = (".py", ".lark", ".toml", ".typed")
    wanted = {
        str(p.relative_to(tmp_path)) for name in packages for p in (tmp_path / name).rglob("*") if p.suffix in kinds
    }
    assert len(wanted) > 200 and not wanted - held


def test_what_workers_need_is_what_the_project_declares() -> None:
    """Of the README: the lines of `requirements.txt` and the image, against `pyproject.toml` and pinned versions."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    needs = {need for name in ("pipelines", "parser") for need in extras[name] if "[" not in need}
    [lines] = re.findall(r"`requirements.txt` of the lines (.*?)\. Or", TEXT, re.DOTALL)
    assert set(re.findall("`([^`]*[<>][^`]*)`", lines)) == needs - {"apache-beam>=2.77,<3"}
    [image] = re.findall(r"FROM apache/beam_python\S+_sdk:(\S+)", TEXT)
    assert f"apache-beam=={image}\n" in (ROOT / "constraints.txt").read_text("utf-8")


@pytest.fixture
def servers(tmp_path: Path):
    """(address of a job server, address of a pool of workers); the pool stands in another folder."""
    ports = []
    for _ in range(2):
        with socket.socket() as free:
            free.bind(("localhost", 0))
            ports.append(free.getsockname()[1])
    modules = [
        ["apache_beam.runners.portability.local_job_service_main", "-p", str(ports[0])],
        ["apache_beam.runners.worker.worker_pool_main", f"--service_port={ports[1]}"],
    ]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = os.environ | {"PATH": path, "PYTHONPATH": str(ROOT)}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    (tmp_path / "elsewhere").mkdir()
    started = [
        subprocess.Popen([sys.executable, "-m", *module], env=env, cwd=tmp_path / "elsewhere", **quiet)  # type: ignore[call-overload]
        for module in modules
    ]
    try:
        for port in ports:
            for _ in range(1200):
                with socket.socket() as probe:
                    if not probe.connect_ex(("localhost", port)):
                        break
                time.sleep(0.1)
        yield [f"localhost:{port}" for port in ports]
    finally:
        for process in started:
            process.terminate()
            process.wait()


def test_a_job_server_and_a_pool_of_workers_run_it(
    servers: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The portable way that Flink and Spark go: job server, artifacts, workers over the network."""
    (tmp_path / "a.tsv").write_text(ROWS)
    monkeypatch.chdir(tmp_path)
    run(options("a.tsv", "here"))
    server, pool = servers
    where = [f"--job_endpoint={server}", "--environment_type=EXTERNAL", f"--environment_config={pool}"]
    run(options("a.tsv", "there", runner="PortableRunner", beam=where))
    assert contents(tmp_path / "there") == contents(tmp_path / "here")
