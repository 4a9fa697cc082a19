"""`gateway deadletters list` and `show`."""

import json
from datetime import UTC, datetime, timedelta

import httpx

from runtime.database import Connection
from schemas.records.dead_letters import DeadLetterState
from schemas.settings.blocks import DatabaseSettings
from tests.integration.gateway.deadletters.command import (
    DeadLettersCommand,
    ids,
)
from tests.support.dead_letter_rows import dead_letter, insert
from tests.support.rest import api


async def test_list_is_newest_first_and_filtered(gateway: DeadLettersCommand, rows: Connection) -> None:
    now = datetime.now(UTC)
    await insert(
        rows,
        [
            dead_letter("old", time=now - timedelta(days=3), reason="too_old"),
            dead_letter("hour", time=now - timedelta(minutes=70), ven_id="ven-2", source_topic="ven.telemetry"),
            dead_letter(
                "fresh", time=now, state=DeadLetterState.REJECTED, state_detail="bad_time: still none", replays=1
            ),
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
    assert (code, out.splitlines()[-1]) == (0, "No dead letters.")


async def test_json_equals_the_rest_api(
    gateway: DeadLettersCommand, rows: Connection, database: DatabaseSettings
) -> None:
    await insert(rows, [dead_letter(f"id-{n}", n) for n in range(3)])
    async with api(database) as client:
        for limit in ("2", "3"):
            code, out, err = await gateway("list", "--json", "--limit", limit)
            assert (code, err) == (0, "")
            expected: httpx.Response = await client.get("/api/dead-letters", params={"limit": limit})
            assert json.loads(out) == expected.json()


async def test_show_prints_payload_and_how_to_correct_it(gateway: DeadLettersCommand, rows: Connection) -> None:
    await insert(rows, [dead_letter("a b", payload=b'{"power": 1.10,"loads":[1]}', headers='{"mqtt-qos": "1"}')])
    code, out, err = await gateway("show", "a b")
    assert (code, err) == (0, "")
    for expected in (
        "volttron/metering",
        "ven-1",
        "bad_time: no time at all",
        "offset 7",
        "header mqtt-qos",
        '"power": 1.10,',
    ):
        assert expected in out
    assert "gateway deadletters replay 'a b' --payload corrected.json" in out


async def test_control_characters_never_reach_the_terminal(gateway: DeadLettersCommand, rows: Connection) -> None:
    hostile = "\x1b[2J\x07[bold]x[/bold]\u202e"
    await insert(
        rows,
        [
            dead_letter("hostile", payload=hostile.encode(), detail=hostile, ven_id=hostile),
            dead_letter("binary", payload=b"\xff\x1b"),
        ],
    )
    for command in (("list",), ("show", "hostile"), ("show", "binary"), ("replay", "hostile", "--wait", "0")):
        code, out, _ = await gateway(*command)
        assert code == 0
        assert not {"\x1b", "\x07", "\u202e"} & set(out)
    _, out, _ = await gateway("show", "hostile")
    assert "[bold]x[/bold]" in out
    _, out, _ = await gateway("show", "binary")
    assert "/xs=" in out
