"""Fixtures for all tests."""

from tests.support.servers import database, databases, kafka, postgres, rows, stack, topics

__all__ = ["database", "databases", "kafka", "postgres", "rows", "stack", "topics"]
