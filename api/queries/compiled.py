"""SQLAlchemy Core statements in the form that asyncpg takes: SQL with positional parameters."""

from typing import Any, NamedTuple

from sqlalchemy.dialects.postgresql.asyncpg import dialect
from sqlalchemy.sql import ClauseElement
from sqlalchemy.sql.compiler import SQLCompiler

_DIALECT = dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy has no types for it


class Compiled(NamedTuple):
    """SQL with the parameters $1, $2, … and their values in this order."""

    sql: str
    values: list[Any]


def compile_sql(statement: ClauseElement) -> Compiled:
    """Compile a statement. A parameter without a value has the value None."""
    compiled = statement.compile(dialect=_DIALECT)
    assert isinstance(compiled, SQLCompiler)  # noqa: S101 - for the type checker; only DDL has another one
    return Compiled(str(compiled), [compiled.params[name] for name in compiled.positiontup or ()])
