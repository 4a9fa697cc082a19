"""Fixtures and options for all tests."""

from pathlib import Path

import pytest

from tests.support.servers import database, databases, kafka, postgres, rows, stack, topics

__all__ = ["database", "databases", "kafka", "postgres", "rows", "stack", "topics"]


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("faults")
    group.addoption(
        "--faults-full", action="store_true", help="tests/faults: each fault many times, with its own books"
    )
    group.addoption(
        "--faults-report", type=Path, help="tests/faults: write the table of results to this file (Markdown)"
    )
