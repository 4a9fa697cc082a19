"""Fixtures and options for all tests."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from gateway.stack import ports
from tests.support.aiokafka_connections import closing_cancelled_connections
from tests.support.servers import database, databases, kafka, postgres, rows, stack, topics

__all__ = ["database", "databases", "kafka", "postgres", "rows", "stack", "topics"]

# The same examples in each run, so that what passed passes again; HYPOTHESIS_PROFILE=search looks for new ones.
# No deadline, for machines differ.
settings.register_profile("search", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("same", parent=settings.get_profile("search"), derandomize=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))


def pytest_configure() -> None:
    """Let each process of a parallel run choose ports of its own: from choosing one to listening there is a moment."""
    if worker := os.environ.get("PYTEST_XDIST_WORKER"):
        number, of = int(worker.removeprefix("gw")), int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
        ports._RANGE = ports._RANGE[number::of]


@pytest.fixture(scope="session", autouse=True)
def _cancelled_aiokafka_connections_are_closed() -> Iterator[None]:
    with closing_cancelled_connections():
        yield


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("faults")
    group.addoption(
        "--faults-full", action="store_true", help="tests/faults: each fault many times, with its own ledger"
    )
    group.addoption(
        "--faults-report", type=Path, help="tests/faults: write the table of results to this file (Markdown)"
    )
