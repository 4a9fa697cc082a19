"""`gateway deadletters` as an operator uses it; the database is all it needs."""

import asyncio
import json
import os
import pty
import signal
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from gateway.stack.polling import until
from runtime.database import Connection
from schemas.parsing.common import MAX_PAYLOAD_BYTES
from schemas.records.dead_letters import DeadLetterState
from schemas.settings.blocks import DatabaseSettings
from tests.support.letters import letter, settle, write
from tests.support.rest import api

WAIT = 60
Outcome = tuple[int | None, str, str]


class Gateway:
    """The command, with the settings of one database."""

    def __init__(self, settings: DatabaseSettings, folder: Path) -> None:
        self._env = {
            **os.environ,
            "DB_HOST": settings.db_host,
            "DB_PORT": str(settings.db_port),
            "DB_USER": settings.db_user,
            "DB_PASSWORD": settings.db_password.get_secret_value(),
            "DB_NAME": settings.db_name,
            "COLUMNS": "80",
        }
        self._folder = folder

    async def start(self, *arguments: str, stdin: int = DEVNULL, env: dict[str, str] | None = None) -> Process:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway", "deadletters", *arguments),
            env=self._env | (env or {}),
            cwd=self._folder,
            stdin=stdin,
            stdout=PIPE,
            stderr=PIPE,
        )

    async def __call__(self, *arguments: str, env: dict[str, str] | None = None) -> Outcome:
        return await outcome(await self.start(*arguments, env=env))


async def outcome(process: Process, given: bytes | None = None) -> Outcome:
    out, err = await process.communicate(given)
    assert b"Traceback" not in err
    return process.returncode, out.decode(), err.decode()


@pytest.fixture
def gateway(database: DatabaseSettings, tmp_path: Path) -> Gateway:
    return Gateway(database, tmp_path)


async def replays(rows: Connection) -> list[tuple[str, int]]:
    found = await rows.fetch("SELECT letter_id, attempt FROM replay_requests ORDER BY letter_time, letter_id, attempt")
    return [(row["letter_id"], row["attempt"]) for row in found]


async def all_requested(rows: Connection, count: int) -> bool:
    async def are() -> bool:
        return len(await replays(rows)) == count

    return await until(are, WAIT)


def ids(out: str) -> list[str]:
    return [line.split()[0] for line in out.splitlines()[1:]]


async def test_letters_are_listed_newest_first(gateway: Gateway, rows: Connection) -> None:
    now = datetime.now(UTC)
    await write(
        rows,
        [
            letter("old", time=now - timedelta(days=3), reason="too_old"),
            letter("hour", time=now - timedelta(minutes=70), ven_id="ven-2", source_topic="ven.telemetry"),
            letter("fresh", time=now, state=DeadLetterState.REJECTED, state_detail="bad_time: still none", replays=1),
        ],
    )
    code, out, err = await gateway("list")
    assert (code, err) == (0, "")
    assert ids(out) == ["fresh", "hour", "old"]
    fresh = out.splitlines()[1]
    assert "rejected" in fresh
    assert "bad_time: still none" in fresh
    for options, expected in (
        (("--since", "2h"), ["fresh", "hour"]),
        (("--since", "2h", "--until", "30m ago"), ["hour"]),
        (("--until", (now - timedelta(days=2)).isoformat()), ["old"]),
        (("--since", f"{now - timedelta(days=4):%Y-%m-%d}", "--reason", "too_old"), ["old"]),
        (("--ven", "ven-2"), ["hour"]),
        (("--topic", "ven.telemetry"), ["hour"]),
        (("--state", "rejected"), ["fresh"]),
    ):
        code, out, err = await gateway("list", *options)
        assert (code, ids(out), err) == (0, expected, ""), options
    code, out, _ = await gateway("list", "--limit", "2")
    assert ids(out)[:2] == ["fresh", "hour"]
    assert "there are more" in out
    code, out, _ = await gateway("list", "--ven", "nobody")
    assert (code, out.splitlines()[-1]) == (0, "none")


async def test_the_json_is_that_of_the_rest_api(gateway: Gateway, rows: Connection, database: DatabaseSettings) -> None:
    await write(rows, [letter(f"id-{n}", n) for n in range(3)])
    async with api(database) as client:
        for limit in ("2", "3"):
            code, out, err = await gateway("list", "--json", "--limit", limit)
            assert (code, err) == (0, "")
            expected: httpx.Response = await client.get("/api/dead-letters", params={"limit": limit})
            assert json.loads(out) == expected.json()


async def test_a_letter_is_shown_with_its_payload_and_how_to_mend_it(gateway: Gateway, rows: Connection) -> None:
    await write(rows, [letter("a b", payload=b'{"power": 1.10,"loads":[1]}', headers='{"mqtt-qos": "1"}')])
    code, out, err = await gateway("show", "a b")
    assert (code, err) == (0, "")
    for said in (
        "volttron/metering",
        "ven-1",
        "bad_time: no time at all",
        "offset 7",
        "header mqtt-qos",
        '"power": 1.10,',
    ):
        assert said in out
    assert "gateway deadletters replay 'a b' --payload corrected.json" in out


async def test_what_a_device_sent_is_never_a_command_to_the_terminal(gateway: Gateway, rows: Connection) -> None:
    nasty = "\x1b[2J\x07[bold]x[/bold]\u202e"
    await write(
        rows,
        [letter("nasty", payload=nasty.encode(), detail=nasty, ven_id=nasty), letter("binary", payload=b"\xff\x1b")],
    )
    for command in (("list",), ("show", "nasty"), ("show", "binary"), ("replay", "nasty", "--wait", "0")):
        code, out, _ = await gateway(*command)
        assert code == 0
        assert not {"\x1b", "\x07", "\u202e"} & set(out)
    _, out, _ = await gateway("show", "nasty")
    assert "[bold]x[/bold]" in out
    _, out, _ = await gateway("show", "binary")
    assert "/xs=" in out


async def test_a_letter_is_corrected_in_a_file(gateway: Gateway, rows: Connection, tmp_path: Path) -> None:
    await write(rows, [letter("one", payload=b"\xff{}\n"), letter("two")])
    process = await gateway.start("show", "one", "--payload")
    out, _ = await process.communicate()
    assert out == b"\xff{}\n"
    (tmp_path / "corrected.json").write_bytes(b'{"venId": "ven-1"}\xff')
    asked = asyncio.create_task(gateway("replay", "one", "--payload", "corrected.json"))
    assert await all_requested(rows, 1)
    assert (
        await rows.fetchval("SELECT corrected_payload FROM dead_letters WHERE id = 'one'") == b'{"venId": "ven-1"}\xff'
    )
    await settle(rows, ["one"], DeadLetterState.STORED)
    code, out_text, err = await asked
    assert (code, err) == (0, "")
    assert out_text.splitlines()[-1] == "1 replayed: 1 stored"
    # The payload that was sent last is corrected next, and standard input does as well as a file.
    process = await gateway.start("show", "one", "--payload")
    assert (await process.communicate())[0] == b'{"venId": "ven-1"}\xff'
    process = await gateway.start("replay", "one", "--payload", "-", "--wait", "0", stdin=PIPE)
    code, _, err = await outcome(process, b"again")
    assert code == 0
    assert "Not all are settled yet" in err
    assert await rows.fetchval("SELECT corrected_payload FROM dead_letters WHERE id = 'one'") == b"again"
    assert await replays(rows) == [("one", 1), ("one", 2)]


async def test_what_became_of_each_is_said_and_a_rejection_is_an_error(gateway: Gateway, rows: Connection) -> None:
    await write(rows, [letter(f"id-{n}", n) for n in range(4)])
    asked = asyncio.create_task(gateway("replay", "id-0", "id-1", "id-2", "id-1"))
    assert await all_requested(rows, 3)
    await settle(rows, ["id-0"], DeadLetterState.STORED)
    await settle(rows, ["id-1"], DeadLetterState.ALREADY_STORED)
    await settle(rows, ["id-2"], DeadLetterState.REJECTED, "bad_id: still bad")
    code, out, err = await asked
    assert code == 1
    (sentence,) = err.splitlines()
    assert sentence == "gateway: 1 of 3 were rejected again; their detail says why"
    lines = out.splitlines()
    assert [" ".join(line.split()) for line in lines[1:]] == [
        "id-0 1 stored",
        "id-1 1 already stored",
        "id-2 1 rejected bad_id: still bad",
        "3 replayed: 1 stored, 1 already stored, 1 rejected",
    ]


async def test_more_than_fit_into_one_transaction_are_replayed(gateway: Gateway, rows: Connection) -> None:
    await write(rows, [letter(f"many-{n}", n, ven_id="many") for n in range(2100)])
    await write(rows, [letter("other"), letter("stored", ven_id="many", state=DeadLetterState.STORED)])
    asked = asyncio.create_task(gateway("replay", "--ven", "many", "--since", "1w"))
    assert await all_requested(rows, 2100)
    await settle(rows, [f"many-{n}" for n in range(2100)], DeadLetterState.STORED)
    code, out, err = await asked
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == "2100 replayed: 2100 stored"
    written = [row["result"].split() for row in await rows.fetch("SELECT result FROM audit")]
    assert {each for ids in written for each in ids} == {f"many-{n}" for n in range(2100)}
    code, out, _ = await gateway("replay", "--all", "--wait", "0")
    assert (code, ids(out)[0]) == (0, "other")
    code, out, _ = await gateway("replay", "--reason", "too_deep")
    assert (code, out) == (0, "nothing matches; nothing was replayed\n")


@pytest.mark.parametrize(("answer", "options", "count"), [(b"n\n", (), 0), (b"y\n", (), 2), (None, ("--yes",), 2)])
async def test_on_a_terminal_bulk_is_confirmed(
    gateway: Gateway, rows: Connection, answer: bytes | None, options: tuple[str, ...], count: int
) -> None:
    await write(rows, [letter("one"), letter("two")])
    ours, theirs = pty.openpty()
    try:
        process = await gateway.start("replay", "--all", "--wait", "0", *options, stdin=theirs)
        if answer is not None:
            os.write(ours, answer)
        code, out, _ = await outcome(process)
    finally:
        os.close(ours)
        os.close(theirs)
    assert (code, "Replay 2 dead letters?" in out) == (0 if count else 1, answer is not None)
    assert len(await replays(rows)) == count


async def test_ctrl_c_ends_the_waiting_and_says_how_things_stand(gateway: Gateway, rows: Connection) -> None:
    await write(rows, [letter("one"), letter("two")])
    process = await gateway.start("replay", "--all", "--wait", "60")
    assert await all_requested(rows, 2)
    await settle(rows, ["one"], DeadLetterState.STORED)
    process.send_signal(signal.SIGINT)
    asked = time.monotonic()
    code, out, err = await outcome(process)
    assert time.monotonic() - asked < 30
    assert code == 0
    assert out.splitlines()[-1].startswith("2 replayed: ")
    assert "Not all are settled yet" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("show", "nobody"), "no dead letter nobody"),
        (("show", "nobody", "--payload"), "no dead letter nobody"),
        (("replay", "one", "nobody", "nothing"), "no dead letter nobody, nothing"),
        (("replay",), "--all"),
        (("replay", "one", "--all"), "not both"),
        (("replay", "one", "--ven", "x"), "not both"),
        (("replay", "--all", "--payload", "x"), "one dead letter"),
        (("replay", "one", "--payload", "missing.json"), "cannot read missing.json"),
        (("replay", "one", "--payload", "large.json"), str(MAX_PAYLOAD_BYTES)),
        (("list", "--since", "yesterday"), "'yesterday'"),
        (("list", "--since", "1h", "--until", "2h"), "--until is before --since"),
        (("list", "--since", "999999999w"), "999999999w"),
    ],
    ids=" ".join,
)
async def test_what_cannot_be_done_is_one_sentence(
    gateway: Gateway, rows: Connection, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    await write(rows, [letter("one")])
    (tmp_path / "large.json").write_bytes(b"x" * (MAX_PAYLOAD_BYTES + 1))
    code, out, err = await gateway(*arguments)
    assert (code, out) == (1, "")
    (sentence,) = err.splitlines()
    assert sentence.startswith("gateway: ")
    assert said in sentence
    assert await replays(rows) == []


@pytest.mark.parametrize(
    ("command", "setting", "value", "said"),
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
async def test_a_database_that_is_not_there_is_one_sentence(
    gateway: Gateway, command: tuple[str, ...], setting: str, value: str, said: str
) -> None:
    code, out, err = await gateway(*command, env={setting: value})
    assert (code, out) == (1, "")
    (sentence,) = err.splitlines()
    assert sentence.startswith("gateway: PostgreSQL at ")
    assert said in sentence
