"""`gateway deadletters replay`: corrected payloads, outcomes, confirmation and Ctrl-C."""

import asyncio
import os
import pty
import signal
import time
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

from runtime.database import Connection
from schemas.records.dead_letters import DeadLetterState
from tests.integration.gateway.deadletters.command import (
    DeadLettersCommand,
    all_requested,
    finish,
    ids,
    replays,
)
from tests.support.dead_letter_rows import dead_letter, insert, set_state


async def test_replay_sends_a_corrected_file_or_stdin(
    gateway: DeadLettersCommand, rows: Connection, tmp_path: Path
) -> None:
    await insert(rows, [dead_letter("one", payload=b"\xff{}\n"), dead_letter("two")])
    process = await gateway.start("show", "one", "--payload")
    out, _ = await process.communicate()
    assert out == b"\xff{}\n"
    (tmp_path / "corrected.json").write_bytes(b'{"venId": "ven-1"}\xff')
    replaying = asyncio.create_task(gateway("replay", "one", "--payload", "corrected.json"))
    assert await all_requested(rows, 1)
    assert (
        await rows.fetchval("SELECT corrected_payload FROM dead_letters WHERE id = 'one'") == b'{"venId": "ven-1"}\xff'
    )
    await set_state(rows, ["one"], DeadLetterState.STORED)
    code, out_text, err = await replaying
    assert (code, err) == (0, "")
    assert out_text.splitlines()[-1] == "1 replayed: 1 stored"
    # The payload that was sent last is corrected next, and standard input does as well as a file.
    process = await gateway.start("show", "one", "--payload")
    assert (await process.communicate())[0] == b'{"venId": "ven-1"}\xff'
    process = await gateway.start("replay", "one", "--payload", "-", "--wait", "0", stdin=PIPE)
    code, _, err = await finish(process, b"again")
    assert code == 0
    assert "Some replays are still in progress" in err
    assert await rows.fetchval("SELECT corrected_payload FROM dead_letters WHERE id = 'one'") == b"again"
    assert await replays(rows) == ["one", "one"]
    assert await rows.fetchval("SELECT replays FROM dead_letters WHERE id = 'one'") == 2


async def test_outcomes_are_printed_and_rejection_exits_1(gateway: DeadLettersCommand, rows: Connection) -> None:
    await insert(rows, [dead_letter(f"id-{n}", n) for n in range(4)])
    replaying = asyncio.create_task(gateway("replay", "id-0", "id-1", "id-2", "id-1"))
    assert await all_requested(rows, 3)
    await set_state(rows, ["id-0"], DeadLetterState.STORED)
    await set_state(rows, ["id-1"], DeadLetterState.ALREADY_STORED)
    await set_state(rows, ["id-2"], DeadLetterState.REJECTED, "bad_id: still bad")
    code, out, err = await replaying
    assert code == 1
    (sentence,) = err.splitlines()
    assert sentence == "gateway: 1 of 3 were rejected again; see the detail above"
    lines = out.splitlines()
    assert [" ".join(line.split()) for line in lines[1:]] == [
        "id-0 1 stored",
        "id-1 1 already stored",
        "id-2 1 rejected bad_id: still bad",
        "3 replayed: 1 stored, 1 already stored, 1 rejected",
    ]


async def test_replay_of_several_chunks(gateway: DeadLettersCommand, rows: Connection) -> None:
    await insert(rows, [dead_letter(f"many-{n}", n, ven_id="many") for n in range(2100)])
    await insert(rows, [dead_letter("other"), dead_letter("stored", ven_id="many", state=DeadLetterState.STORED)])
    replaying = asyncio.create_task(gateway("replay", "--ven", "many", "--since", "1w"))
    assert await all_requested(rows, 2100)
    await set_state(rows, [f"many-{n}" for n in range(2100)], DeadLetterState.STORED)
    code, out, err = await replaying
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == "2100 replayed: 2100 stored"
    written = [row["result"].split() for row in await rows.fetch("SELECT result FROM audit")]
    assert {each for ids in written for each in ids} == {f"many-{n}" for n in range(2100)}
    code, out, _ = await gateway("replay", "--all", "--wait", "0")
    assert (code, ids(out)[0]) == (0, "other")
    code, out, _ = await gateway("replay", "--reason", "too_deep")
    assert (code, out) == (0, "No dead letter matches; nothing was replayed.\n")


@pytest.mark.parametrize(("answer", "options", "count"), [(b"n\n", (), 0), (b"y\n", (), 2), (None, ("--yes",), 2)])
async def test_bulk_replay_is_confirmed_on_a_terminal(
    gateway: DeadLettersCommand, rows: Connection, answer: bytes | None, options: tuple[str, ...], count: int
) -> None:
    await insert(rows, [dead_letter("one"), dead_letter("two")])
    ours, theirs = pty.openpty()
    try:
        process = await gateway.start("replay", "--all", "--wait", "0", *options, stdin=theirs)
        if answer is not None:
            os.write(ours, answer)
        code, out, _ = await finish(process)
    finally:
        os.close(ours)
        os.close(theirs)
    assert (code, "Replay 2 dead letters?" in out) == (0 if count else 1, answer is not None)
    assert len(await replays(rows)) == count


async def test_ctrl_c_prints_the_outcomes_so_far(gateway: DeadLettersCommand, rows: Connection) -> None:
    await insert(rows, [dead_letter("one"), dead_letter("two")])
    process = await gateway.start("replay", "--all", "--wait", "60")
    assert await all_requested(rows, 2)
    await set_state(rows, ["one"], DeadLetterState.STORED)
    process.send_signal(signal.SIGINT)
    replaying = time.monotonic()
    code, out, err = await finish(process)
    assert time.monotonic() - replaying < 30
    assert code == 0
    assert out.splitlines()[-1].startswith("2 replayed: ")
    assert "Some replays are still in progress" in err
