"""The engine that runs a pipeline, always named, and the flags that go to Beam."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.transforms.environments import ExternalEnvironment

LOCAL = "FnApiRunner"
_EXTERNAL = "--environment_type=EXTERNAL"
_WHERE = "--environment_config="


def flags(runner: str = LOCAL, workers: int = 1, more: Sequence[str] = ()) -> list[str]:
    """Beam's flags. A flag that nobody knows is an error: Beam itself would only log it.

    Args:
        workers: processes of the local runner.
        more: what the user gave beside our own options.

    Raises:
        ValueError: an unknown flag, or a runner that loses data.
    """
    if "dask" in runner.lower():
        raise ValueError(
            "DaskRunner is refused: it loses data and says that all went well (outputs of finished bundles, all sinks "
            "but one, tags of rejected rows); use `--runner FnApiRunner --workers N`, or FlinkRunner on a cluster"
        )
    given = [f"--runner={runner}", *_joined(more)]
    if workers > 1:
        given.append(f"--direct_num_workers={workers}")
        if _EXTERNAL not in given:
            given.append("--direct_running_mode=multi_processing")
    parser = argparse.ArgumentParser(allow_abbrev=False, add_help=False)
    for group in PipelineOptions.__subclasses__():
        try:
            group._add_argparse_args(parser)  # type: ignore[arg-type]
        except argparse.ArgumentError:
            continue  # two groups share a flag; the first one is enough to know it
    unknown = [flag for flag in parser.parse_known_args(given)[1] if flag.startswith("-")]
    if unknown:
        raise ValueError(f"neither we nor Beam know `{unknown[0].partition('=')[0]}`; `--help` lists our options")
    logging.getLogger("apache_beam").setLevel(logging.WARNING)
    return [*given, "--default_sdk_harness_log_level=WARNING"]


def pipeline(given: Sequence[str]) -> beam.Pipeline:
    """A pipeline on the runner that the flags name.

    The local runner takes a pool of workers (`worker_pool_main`) only when it is made with its address.
    """
    options = PipelineOptions(list(given))
    pools = [flag.removeprefix(_WHERE) for flag in given if flag.startswith(_WHERE)]
    if f"--runner={LOCAL}" in given and _EXTERNAL in given and pools:
        return beam.Pipeline(runner=FnApiRunner(default_environment=ExternalEnvironment(pools[-1])), options=options)
    return beam.Pipeline(options=options)


def counters(result: Any) -> dict[str, int]:
    """Our counters of a run that ended; empty where the runner keeps none."""
    return _metrics(result, "counters")


def distributions(result: Any) -> dict[str, tuple[int, int, int, int]]:
    """Our distributions of a run that ended: (how many values, their sum, the least, the most)."""
    return {name: (d.count, d.sum, d.min, d.max) for name, d in _metrics(result, "distributions").items()}


def _metrics(result: Any, kind: str) -> dict[str, Any]:
    try:
        found = result.metrics().query()[kind]
    except NotImplementedError:
        return {}
    return {one.key.metric.name: one.committed for one in found if one.key.metric.namespace == "treewright"}


def _joined(more: Sequence[str]) -> list[str]:
    """`--flag value` as `--flag=value`, so that a flag can be looked for."""
    found: list[str] = []
    for text in more:
        if text.startswith("-") or not found or "=" in found[-1]:
            found.append(text)
        else:
            found[-1] += f"={text}"
    return found
