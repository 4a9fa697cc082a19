"""Writes the shares and commands of a DR event, in the transaction that decides them."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from runtime.database import Connection
from schemas.dr.commands import Command, event_command, restore_command
from schemas.records.commands import seconds_left
from streams.dr import event_store
from streams.dr.allocation import Totals, share_of


async def plan_event(connection: Connection, event: Any, vens: list[Any], *, late: bool) -> int:
    """Allocate a share to each VEN, beside the participants, and write its command; returns the number of commands."""
    chosen: list[tuple[str, float | None, float | None, str]] = []
    shares: dict[str, float] = {}
    joining = [ven["capability_kw"] for ven in vens if ven["busy_with"] is None]
    totals = Totals.of([*await event_store.participant_capabilities(connection, event["event_id"]), *joining])
    for ven in vens:
        if ven["busy_with"] is not None:
            chosen.append((ven["ven_id"], None, ven["capability_kw"], f"busy with {ven['busy_with']}"))
            continue
        share = share_of(event["requested_reduction_kw"], totals, ven["capability_kw"])
        chosen.append((ven["ven_id"], share.kw, ven["capability_kw"], share.reason))
        shares[ven["ven_id"]] = share.kw
    await event_store.record_participants(connection, event["event_id"], chosen, late=late)
    await plan_event_commands(connection, event["event_id"], shares, event["ended_at"] or event["end_time"])
    return len(shares)


async def plan_event_commands(
    connection: Connection, event_id: str, shares: Mapping[str, float], ends_at: datetime, command_revision: int = 1
) -> None:
    """Write the command of each VEN, with its share in kW."""
    left = seconds_left(ends_at, await event_store.clock(connection))
    await event_store.insert_commands(
        connection,
        event_id,
        _with_unique_ids(lambda ven_id: event_command(ven_id, event_id, shares[ven_id], left), shares),
        phase="event",
        expires_at=ends_at,
        ends_at=ends_at,
        command_revision=command_revision,
    )


async def plan_restores(
    connection: Connection, event_id: str, ven_ids: Iterable[str], expires_at: datetime, command_revision: int = 1
) -> None:
    """Write the restore of each VEN."""
    restores = _with_unique_ids(lambda ven_id: restore_command(ven_id, event_id), ven_ids)
    await event_store.insert_commands(
        connection, event_id, restores, phase="restore", expires_at=expires_at, command_revision=command_revision
    )


def _with_unique_ids(command_of: Callable[[str], Command], ven_ids: Iterable[str]) -> list[Command]:
    """Make a command for each VEN. Of 100,000 random ids two are often equal; such an id is drawn again."""
    made: dict[str, Command] = {}
    for ven_id in ven_ids:
        while (command := command_of(ven_id)).correlation_id in made:
            pass
        made[command.correlation_id] = command
    return list(made.values())
