"""Running: any filesystem, resuming, locks, plans, runners, and what a killed run leaves."""

from __future__ import annotations

import gzip
import io
import json
import os
import socket
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from kill_rounds import rounds
from memory_filesystem import MemoryFileSystem
from typer.testing import CliRunner

from grammar import shard
from pipelines import bench, lock, publish, spill, storage
from pipelines import convert as converting
from pipelines.__main__ import app
from pipelines.bench import look, parts, run_arm
from pipelines.bench_corpus import repeat_corpus, write_corpus
from pipelines.convert import Options, describe, prepare, run
from pipelines.dry import Sample, lines
from pipelines.progress import Progress
from pipelines.runner import flags
from pipelines.spill import Job

ROWS = "".join(f"play song{n}\t(Play(title(song{n})))\n" for n in range(40)) + "no tab\n"


@pytest.fixture
def objects():
    MemoryFileSystem.objects.clear()
    MemoryFileSystem.log.clear()
    return MemoryFileSystem.objects


def options(source: object, output: object, format: str = "brackets", **more: object) -> Options:
    given = {"corpus": "c", "max_rejected": 0.1, "range_bytes": 200, "shards": 2} | more
    return Options([str(source)], format, str(output), **given)  # type: ignore[arg-type]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_other_filesystems_hold_the_same_bytes_and_the_manifest_comes_last(objects, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.tsv").write_text(ROWS)
    MemoryFileSystem.put("mem://store/in/a.tsv", ROWS.encode())
    run(options(tmp_path / "in", f"file://{tmp_path}/out"))

    for source in ("mem://store/in", "mem://store/in/*.tsv", "mem://store/in/a.tsv"):
        MemoryFileSystem.log.clear()
        run(options(source, "mem://store/out", overwrite=True))

        found = {p.removeprefix("mem://store/out/"): d for p, (d, _) in objects.items() if "/out/" in p}
        assert found == contents(tmp_path / "out")
        assert {path for path in objects if "/out/" not in path} == {"mem://store/in/a.tsv"}, "something is left over"
        touched = [line for line in MemoryFileSystem.log if " mem://store/out/" in line]
        assert touched[-1] == "put mem://store/out/manifest.json"
    assert touched[0] == "delete mem://store/out/manifest.json"
    with pytest.raises(FileExistsError, match="--overwrite"):
        run(options("mem://store/in", "mem://store/out"))
    with pytest.raises(ValueError, match="nothing matches"):
        run(options("mem://store/in/*.csv", "mem://store/new"))
    with pytest.raises(ValueError, match="does not exist"):
        run(options("mem://store/none.tsv", "mem://store/new"))


def test_a_run_that_died_while_it_moved_files_ends_well(objects, monkeypatch) -> None:
    MemoryFileSystem.put("mem://store/in/a.tsv", ROWS.encode())
    run(options("mem://store/in", "mem://store/out"))
    whole = {path: data for path, (data, _) in objects.items()}
    moved = []

    def move(source: str, path: str) -> None:
        if len(moved) == 2:
            raise OSError("killed")
        moved.append(path)
        MemoryFileSystem({}).rename([source], [path])

    with monkeypatch.context() as patch, pytest.raises(OSError, match="killed"):
        patch.setattr(storage, "move", move)
        run(options("mem://store/in", "mem://store/out", overwrite=True))
    assert "mem://store/out/manifest.json" not in objects, "a half of two data sets looks like one"
    run(options("mem://store/in", "mem://store/out", overwrite=True))
    assert {path: data for path, (data, _) in objects.items()} == whole


def test_packed_inputs_are_unpacked_on_the_way(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text(ROWS)
    (tmp_path / "b.tsv.gz").write_bytes(gzip.compress(ROWS.encode()))
    first = run(options(tmp_path / "a.tsv", tmp_path / "one"))
    second = run(options(tmp_path / "b.tsv.gz", tmp_path / "two"))
    assert first.rows_in == second.rows_in == 41 and first.splits == second.splits
    (tmp_path / "b.tsv.gz").write_bytes(gzip.compress(ROWS.encode())[:-30])
    with pytest.raises((OSError, RuntimeError), match=r"b\.tsv\.gz|cut short"):
        run(options(tmp_path / "b.tsv.gz", tmp_path / "three"))


def test_what_is_done_is_not_done_again(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "a.tsv").write_text(ROWS)
    whole = run(options(tmp_path / "a.tsv", tmp_path / "whole"))
    converted, merged = [], []
    read, write = spill.batches, shard.write_groups

    def batches(range_, job, *rest):
        if len(converted) == 3:
            raise RuntimeError("the machine is gone")
        converted.append(range_.number)
        yield from read(range_, job, *rest)

    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="the machine is gone"):
        patch.setattr(spill, "batches", batches)
        run(options(tmp_path / "a.tsv", tmp_path / "out"))
    [build] = tmp_path.glob(".out.*.build")
    reports = sorted(path.name for path in (build / "work" / "reports").iterdir())
    assert len(reports) == 3 and not (tmp_path / "out").exists()
    damaged = build / "work" / "spill" / reports[0].replace(".json", ".arrow")
    damaged.write_bytes(damaged.read_bytes()[:-1])

    def groups(found, schema, path):
        if len(merged) == 1:
            raise RuntimeError("gone again")
        merged.append(path)
        return write(found, schema, path)

    converted.clear()
    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="gone again"):
        patch.setattr(spill, "batches", lambda *given: (converted.append(given[0].number), read(*given))[1])
        patch.setattr(shard, "write_groups", groups)
        run(options(tmp_path / "a.tsv", tmp_path / "out"))
    ranges = describe(prepare(options(tmp_path / "a.tsv", tmp_path / "out")))["ranges"]
    assert len(converted) == ranges - 2, "whole ranges were done again, or a damaged one was not"
    again = []
    with monkeypatch.context() as patch:
        patch.setattr(spill, "batches", lambda *given: pytest.fail("a range was read again"))
        patch.setattr(shard, "write_groups", lambda *given: (again.append(given[2]), write(*given))[1])
        manifest = run(options(tmp_path / "a.tsv", tmp_path / "out"))
    assert manifest == whole and contents(tmp_path / "out") == contents(tmp_path / "whole")
    assert len(again) == 2, "of two shards and the dead letters one was there already"


def test_other_inputs_or_options_begin_anew(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text(ROWS)
    first = options(tmp_path / "a.tsv", tmp_path / "out")
    builds = {prepare(first).job.build, prepare(first).job.build}
    assert len(builds) == 1
    builds.add(prepare(options(tmp_path / "a.tsv", tmp_path / "out", coordinate=True)).job.build)
    builds.add(prepare(options(tmp_path / "a.tsv", tmp_path / "out", shards=3)).job.build)
    os.utime(tmp_path / "a.tsv", (1, 1))
    builds.add(prepare(first).job.build)
    (tmp_path / "a.tsv").write_text(ROWS + ROWS)
    builds.add(prepare(first).job.build)
    assert len(builds) == 5


def test_a_second_run_into_the_same_output_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text(ROWS)
    with lock.hold(str(tmp_path / "out")), pytest.raises(lock.Busy, match=f"process {os.getpid()} on"):
        run(options(tmp_path / "a.tsv", tmp_path / "out"))
    run(options(tmp_path / "a.tsv", tmp_path / "out"))
    code = (
        f"import os\nfrom pipelines.lock import hold\nwith hold({str(tmp_path / 'out')!r}):\n    print(1, flush=True)\n"
    )
    code += "    os.kill(os.getpid(), 9)"
    killed = subprocess.run([sys.executable, "-c", code], capture_output=True)
    assert killed.returncode == -9 and (tmp_path / ".out.lock").exists()
    run(options(tmp_path / "a.tsv", tmp_path / "out", overwrite=True))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tsv", "out"]


def test_a_lease_elsewhere_runs_out(objects) -> None:
    with lock.hold("mem://store/out"), pytest.raises(lock.Busy, match="process"), lock.hold("mem://store/out"):
        pass
    assert not objects
    stale = {"id": "x", "who": "process 1 on elsewhere", "renewed": time.time() - lock.STALE - 1}
    MemoryFileSystem.put("mem://store/out.lock", json.dumps(stale).encode())
    with lock.hold("mem://store/out"):
        pass
    assert not objects


def test_a_dry_run_tells_what_would_happen_and_writes_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text(ROWS)
    described = describe(prepare(options(tmp_path / "a.tsv", tmp_path / "out")))
    manifest = run(options(tmp_path / "a.tsv", tmp_path / "out"))
    reports = describe(prepare(options(tmp_path / "a.tsv", tmp_path / "out")))
    assert described == reports | {"estimate": described["estimate"]}
    assert described["bytes"] == len(ROWS) and described["ranges"] > 3 and described["shards_per_split"] == 2
    assert described["estimate"]["rows"] == manifest.rows_in and described["estimate"]["shards_bytes"] > 0
    assert any("41 rows" in line for line in lines(described))


@pytest.mark.parametrize("packing", ["plain", "gzip", "zip", "parquet"])
def test_plans_and_progress_measure_files_as_they_are_stored(tmp_path: Path, packing: str) -> None:
    rows = "".join(f"{n} please play song{n % 9}\t(Play(title(song{n % 9})))\n" for n in range(3_000))
    name, format_ = "a.tsv", "brackets"
    (tmp_path / name).write_text(rows)
    if packing == "gzip":
        name = "a.tsv.gz"
        (tmp_path / name).write_bytes(gzip.compress(rows.encode()))
    elif packing == "zip":
        name = "a.zip"
        with zipfile.ZipFile(tmp_path / name, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a.tsv", rows)
    elif packing == "parquet":
        name, format_ = "a.parquet", "huggingface"
        row = {"tokens": ["play", "jazz"], "ner_tags": ["O", "B-g"], "intent": "Play"}
        table = pa.Table.from_pylist([row] * 3_000)
        pq.write_table(table, tmp_path / name, row_group_size=700)
    plan = prepare(options(tmp_path / name, tmp_path / "out", format=format_, range_bytes=1_000))
    told = describe(plan)
    assert told["estimate"]["rows"] == pytest.approx(3_000, rel=0.25)
    assert (told["ranges"] > 1) == (packing in ("plain", "parquet"))
    for one, range_ in converting.ranges_of(0, plan.sources[0], plan.range_bytes):
        spill.spill(one, range_, plan.job)
    progress = Progress(plan.job.build, sum(plan.sizes))
    progress._look()
    assert progress._read == pytest.approx(sum(plan.sizes), abs=9) and progress._rows == 3_000


def test_a_plan_looks_into_three_files_at_most() -> None:
    for files in range(1, 30):
        looked = Sample([1] * files).files
        assert len(looked) <= 3 and looked[0] == 0 and len(looked) >= min(files, 2)


def test_the_runner_is_named_and_loses_nothing() -> None:
    with pytest.raises(ValueError, match="DaskRunner is refused: it loses data"):
        flags("DaskRunner")
    with pytest.raises(ValueError, match="`--flink_mastr`"):
        flags("FlinkRunner", more=["--flink_mastr", "host:8081"])
    assert flags("FlinkRunner", more=["--flink_master", "host:8081"])[:2] == [
        "--runner=FlinkRunner",
        "--flink_master=host:8081",
    ]
    assert "--direct_running_mode=multi_processing" in flags(workers=2)


def test_an_external_pool_of_workers_takes_the_ranges(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text(ROWS)
    run(options(tmp_path / "a.tsv", tmp_path / "here"))
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    pool = subprocess.Popen(
        [sys.executable, "-m", "apache_beam.runners.worker.worker_pool_main", f"--service_port={port}"],
        env=os.environ | {"PATH": path, "PYTHONPATH": str(Path(converting.__file__).parent.parent)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(600):
            with socket.socket() as probe:
                if not probe.connect_ex(("localhost", port)):
                    break
            time.sleep(0.1)
        beam = ["--environment_type=EXTERNAL", f"--environment_config=localhost:{port}"]
        run(options(tmp_path / "a.tsv", tmp_path / "there", workers=2, beam=beam))
    finally:
        pool.terminate()
        pool.wait()
    assert contents(tmp_path / "there") == contents(tmp_path / "here")


def test_progress_counts_what_is_done(tmp_path: Path) -> None:
    job = Job(str(tmp_path), 1)
    for number in range(2):
        record = {"read": 600_000, "rows_in": 9_000}
        storage.write(job.work("reports", f"{number}.json"), json.dumps(record).encode())
    storage.write(job.work("entries", "a.json"), b"{}")
    progress = Progress(job.build, 2_400_000)
    progress._look()
    assert progress.line(9.0) == "read 1.2 MB of 2.4 MB, 50%, 2,000 rows/s, 0:00:09 left; 1 shards written"
    ranges = Progress(job.build, 2_400_000, shards=False)
    ranges._look()
    assert ranges.line(9.0) == "read 1.2 MB of 2.4 MB, 50%, 2,000 rows/s, 0:00:09 left"


def test_a_terminal_shows_progress_and_a_file_does_not(tmp_path: Path, monkeypatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    job = Job(str(tmp_path), 1)
    storage.write(job.work("reports", "0.json"), json.dumps({"read": 300, "rows_in": 7}).encode())
    for stream, shown in ((Terminal(), True), (io.StringIO(), False)):
        monkeypatch.setattr(sys, "stderr", stream)
        with Progress(job.build, 600):
            patience = time.monotonic() + 60
            while shown and "shards" not in stream.getvalue() and time.monotonic() < patience:
                time.sleep(0.05)
        assert ("read 300 B of 600 B, 50%; 0 shards written" in stream.getvalue()) == shown


def test_too_many_rejected_of_a_finished_build_is_not_published(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "a.tsv").write_text(ROWS)
    with monkeypatch.context() as patch, pytest.raises(OSError, match="killed"):
        patch.setattr(publish, "reveal", lambda *_: (_ for _ in ()).throw(OSError("killed")))
        run(options(tmp_path / "a.tsv", tmp_path / "out"))
    with pytest.raises(publish.TooManyRejected):
        run(options(tmp_path / "a.tsv", tmp_path / "out", max_rejected=0.001))
    assert not (tmp_path / "out").exists()


def test_killed_runs_publish_nothing_wrong() -> None:
    assert rounds(3, seed=3, records=2_000).total() == 3


def test_the_plain_loop_and_beam_write_the_same_shards(tmp_path: Path) -> None:
    write_corpus(tmp_path, 3_000)
    marks = set()
    for arm, size in (("plain", 0), ("beam", 0), ("beam", 10_000)):
        run_arm(arm, str(tmp_path), str(tmp_path / f"{arm}{size}"), 2, size)
        marks.add(json.loads((tmp_path / f"{arm}{size}" / shard.MANIFEST).read_text())["fingerprint"])
    assert len(marks) == 1
    run_arm("usual", str(tmp_path), str(tmp_path / "usual"), 2)
    assert list((tmp_path / "usual").glob("*.parquet"))
    assert abs(sum(parts(tmp_path).values()) - 1) < 0.01
    seen = look(tmp_path)
    assert seen["rows_in_blocks"] > 0.99 and 0.6 < seen["distinct_lines_of_tags"] < 0.95


def test_bench_tells_one_flat_object_and_ends_where_bytes_differ(monkeypatch) -> None:
    def measured(arm: str, folder: Path, records: int, range_bytes: int = 0) -> bench.Cost:
        cpu = {"plain": 1.0, "beam": 1.2, "beam2": 1.5, "usual": 3.6}[arm] * records / 30_000
        return bench.Cost(arm, records, cpu, cpu, 100 + records / 1000, "" if arm == "usual" else marks[arm])

    marks = {"plain": "a", "beam": "a", "beam2": "a"}
    monkeypatch.setattr(bench, "measure", measured)
    told = CliRunner().invoke(app, ["bench", "--records", "3000", "--json"])
    assert told.exit_code == 0
    found = json.loads(told.stdout)
    assert all(isinstance(value, str | int | float | bool) for value in found.values())
    assert (found["beam_over_plain_cpu"], found["usual_over_beam_cpu"], found["records_per_cpu_s"]) == (
        1.2,
        3.0,
        25_000,
    )
    assert (found["plain_us_per_record"], found["peak_mb_300k"], found["peak_mb_3m"]) == (33.33, 101, 109)
    marks["beam2"] = "b"
    told = CliRunner().invoke(app, ["bench", "--records", "3000"])
    assert told.exit_code == 1 and "are not the same bytes" in told.stdout


def test_a_corpus_is_repeated_to_any_size(tmp_path: Path) -> None:
    given, made = tmp_path / "given", tmp_path / "made"
    for folder in (given, made):
        folder.mkdir()
    for name, text in (("seq.in", "play jazz\nstop\n"), ("seq.out", "O B-g\nO\n"), ("label", "Play\nStop\n")):
        (given / name).write_text(text)
    repeat_corpus(made, given, 25)
    assert (made / "corpus" / "train" / "seq.in").read_text() == "play jazz\nstop\n" * 11 + "play jazz\n"
    assert (made / "corpus" / "test" / "label").read_text() == "Play\n"
