"""Keys on a terminal, or as JSON for programs."""

import sys
from collections.abc import Sequence
from datetime import datetime

import asyncpg
import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

_COLUMNS = ("key_id", "name", "role", "state", "created_at", "expires_at", "revoked_at")


def print_keys(rows: Sequence[asyncpg.Record]) -> None:
    """Print a table of keys."""
    console = Console(width=None if sys.stdout.isatty() else 1000)
    if not rows:
        console.print("none; gateway keys create NAME --role admin makes one", markup=False, highlight=False)
        return
    table = Table(box=None, pad_edge=False)
    for title in ("id", "name", "role", "state", "created (UTC)", "expires", "revoked"):
        table.add_column(title)
    for row in rows:
        table.add_row(*(Text(_shown(row[column])) for column in _COLUMNS))
    console.print(table)


def as_json_text(rows: Sequence[asyncpg.Record]) -> str:
    """Return the keys as a JSON list."""
    return msgspec.json.encode([{column: row[column] for column in _COLUMNS} for row in rows]).decode()


def _shown(value: str | datetime | None) -> str:
    return value.strftime("%Y-%m-%d %H:%M") if isinstance(value, datetime) else value or "-"
