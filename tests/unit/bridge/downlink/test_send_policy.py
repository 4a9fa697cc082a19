"""The send policy: which commands of a batch are sent, skipped or expire."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from bridge.downlink.command_index import CommandStatus
from bridge.downlink.send_policy import LATE, WITHDRAWN, SendPlan, plan_sends
from schemas.dr.commands import event_command, restore_command
from schemas.records.commands import CommandRecord, DeliveryState

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def event(ven_id: str = "ven-1", event_id: str = "evt-1", **changed: Any) -> CommandRecord:
    command = event_command(ven_id, event_id, 1.0, 600)
    made = CommandRecord(
        correlation_id=command.correlation_id,
        ven_id=ven_id,
        op=command.op,
        payload=command.payload,
        event_id=event_id,
        expires_at=NOW + timedelta(seconds=600),
        ends_at=NOW + timedelta(seconds=600),
    )
    return msgspec.structs.replace(made, **changed)


def restore(ven_id: str = "ven-1", event_id: str = "evt-1") -> CommandRecord:
    command = restore_command(ven_id, event_id)
    return CommandRecord(
        correlation_id=command.correlation_id,
        ven_id=ven_id,
        op=command.op,
        payload=command.payload,
        event_id=event_id,
        expires_at=NOW + timedelta(seconds=300),
    )


def status(state: DeliveryState, attempt: int = 1) -> CommandStatus:
    return CommandStatus("ven-1", attempt, state, None)


def planned(batch: list[CommandRecord], statuses: dict[str, CommandStatus] | None = None) -> SendPlan:
    return plan_sends(batch, (statuses or {}).get, NOW)


def test_commands_in_the_log_are_skipped() -> None:
    command = event()
    name = command.correlation_id
    for state in ("sending", "sent", "expired"):
        assert planned([command], {name: status(state)}) == ([], [])
        assert planned([command], {name: status(state, attempt=2)}) == ([], [])


def test_another_attempt_is_sent_unless_one_was_sent() -> None:
    again = event(attempt=2)
    assert planned([again], {again.correlation_id: status("sending")}).to_send == [again]
    assert planned([again], {again.correlation_id: status("sent")}) == ([], [])
    assert planned([again], {again.correlation_id: status("sending", attempt=2)}) == ([], [])


def test_duplicate_commands_in_a_batch_are_sent_once() -> None:
    command = event()
    assert planned([command, command]).to_send == [command]


def test_late_and_too_large_commands_expire() -> None:
    late, over = event(expires_at=NOW), event(ends_at=NOW)
    large = event()
    large.payload["x"] = "x" * 200_000
    plan = planned([late, over, large])
    assert not plan.to_send
    assert [reason for _, reason in plan.expired[:2]] == [LATE, LATE]
    assert "131072" in plan.expired[2][1]


def test_event_and_restore_in_one_batch_are_withdrawn() -> None:
    start, end, other = event(), restore(), event("ven-2")
    plan = planned([start, other, end])
    assert plan.to_send == [other]
    assert plan.expired == [(start, WITHDRAWN), (end, WITHDRAWN)]


def test_restore_is_sent_if_the_event_may_have_been_sent() -> None:
    start, again, end = event(), event(attempt=2), restore()
    assert planned([start, end], {start.correlation_id: status("sending")}).to_send == [end]
    # The second attempt is useless; the first may have arrived.
    assert planned([again, end], {again.correlation_id: status("sending")}) == ([end], [(again, WITHDRAWN)])
    assert planned([start, again, end], {start.correlation_id: status("sent")}).to_send == [end]
    # Reissued, because the VEN had lost the event: the first revision was sent.
    reissued = event(command_revision=2)
    assert planned([reissued, end]) == ([end], [(reissued, WITHDRAWN)])
    assert planned([end]).to_send == [end]
    assert planned([event(event_id="evt-2"), end]).to_send[1:] == [end]
    assert planned([end, start]).to_send == [end, start]


@given(st.lists(st.sampled_from([event(), event("ven-2"), restore(), restore("ven-2"), event(event_id="evt-2")])))
def test_every_new_command_is_planned_once_in_order(batch: list[CommandRecord]) -> None:
    plan = planned(batch)
    names = [each.correlation_id for each in batch]
    planned_names = [each.correlation_id for each in plan.to_send]
    planned_names += [each.correlation_id for each, _ in plan.expired]
    assert sorted(planned_names) == sorted(set(names))
    order = [names.index(each.correlation_id) for each in plan.to_send]
    assert order == sorted(order)
