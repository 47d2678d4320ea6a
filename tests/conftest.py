"""What all tests share."""

import logging
import os
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# A busy machine is no failure: nothing here is about time. The suite draws the same examples every time, so that it
# fails only for a reason in the code; `make fuzz` draws new ones.
CALM: dict[str, Any] = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("suite", derandomize=True, database=None, **CALM)
settings.register_profile("fuzz", **CALM)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "suite"))


@pytest.fixture(autouse=True)
def logging_as_it_was():
    """A command sets logging up for its own process; tests that call it here put that back for the next one."""
    loggers = [logging.getLogger(), logging.getLogger("pipelines")]
    before = [(logger.level, logger.propagate, list(logger.handlers)) for logger in loggers]
    yield
    for logger, (level, propagate, handlers) in zip(loggers, before, strict=True):
        logger.setLevel(level)
        logger.propagate = propagate
        logger.handlers[:] = handlers
