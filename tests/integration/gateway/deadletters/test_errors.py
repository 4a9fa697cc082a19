"""The errors of `gateway deadletters`: one sentence each, and nothing is replayed."""

from pathlib import Path

import pytest

from runtime.database import Connection
from schemas.parsing.common import MAX_PAYLOAD_BYTES
from tests.integration.gateway.deadletters.command import (
    DeadLettersCommand,
    replays,
)
from tests.support.dead_letter_rows import dead_letter, insert


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("show", "nobody"), "no dead letter nobody"),
        (("show", "nobody", "--payload"), "no dead letter nobody"),
        (("replay", "one", "nobody", "nothing"), "no dead letter nobody, nothing"),
        (("replay",), "--all"),
        (("replay", "one", "--all"), "not both"),
        (("replay", "one", "--ven", "x"), "not both"),
        (("replay", "--all", "--payload", "x"), "exactly one id"),
        (("replay", "one", "--payload", "missing.json"), "cannot read missing.json"),
        (("replay", "one", "--payload", "large.json"), str(MAX_PAYLOAD_BYTES)),
        (("list", "--since", "yesterday"), "'yesterday'"),
        (("list", "--since", "1h", "--until", "2h"), "--until is before --since"),
        (("list", "--since", "999999999w"), "999999999w"),
    ],
    ids=" ".join,
)
async def test_impossible_request_is_one_sentence(
    gateway: DeadLettersCommand, rows: Connection, tmp_path: Path, arguments: tuple[str, ...], expected: str
) -> None:
    await insert(rows, [dead_letter("one")])
    (tmp_path / "large.json").write_bytes(b"x" * (MAX_PAYLOAD_BYTES + 1))
    code, out, err = await gateway(*arguments)
    assert (code, out) == (1, "")
    (sentence,) = err.splitlines()
    assert sentence.startswith("gateway: ")
    assert expected in sentence
    assert await replays(rows) == []


@pytest.mark.parametrize(
    ("command", "setting", "value", "expected"),
    [
        (("list",), "DB_PORT", "1", "DB_PORT"),
        (("show", "one"), "DB_PORT", "1", "DB_PORT"),
        (("replay", "one"), "DB_PORT", "1", "DB_PORT"),
        (("replay", "--all"), "DB_PORT", "1", "DB_PORT"),
        (("list",), "DB_NAME", "nowhere", "DB_NAME"),
        (("list",), "DB_NAME", "postgres", "gateway migrate"),
    ],
    ids=str,
)
async def test_unreachable_database_is_one_sentence(
    gateway: DeadLettersCommand, command: tuple[str, ...], setting: str, value: str, expected: str
) -> None:
    code, out, err = await gateway(*command, env={setting: value})
    assert (code, out) == (1, "")
    (sentence,) = err.splitlines()
    assert sentence.startswith("gateway: PostgreSQL at ")
    assert expected in sentence
