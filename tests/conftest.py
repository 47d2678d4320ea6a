"""What all tests share."""

import logging

import pytest


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
