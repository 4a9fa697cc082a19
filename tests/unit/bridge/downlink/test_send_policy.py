"""What becomes of each command of a batch."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.downlink.command_index import CommandStatus
from bridge.downlink.send_policy import LATE, WITHDRAWN, Decisions, decide, read_command
from schemas.base.rejection import Reason, RejectedError
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


def known(state: DeliveryState, attempt: int = 1) -> CommandStatus:
    return CommandStatus("ven-1", attempt, state, None)


def decided(batch: list[CommandRecord], known_of: dict[str, CommandStatus] | None = None) -> Decisions:
    return decide(batch, (known_of or {}).get, NOW)


def test_what_is_known_is_left_alone() -> None:
    command = event()
    name = command.correlation_id
    for state in ("sending", "sent", "expired"):
        assert decided([command], {name: known(state)}) == ([], [])
        assert decided([command], {name: known(state, attempt=2)}) == ([], [])


def test_another_attempt_goes_out_unless_one_arrived() -> None:
    again = event(attempt=2)
    assert decided([again], {again.correlation_id: known("sending")}).to_send == [again]
    assert decided([again], {again.correlation_id: known("sent")}) == ([], [])
    assert decided([again], {again.correlation_id: known("sending", attempt=2)}) == ([], [])


def test_of_the_same_command_twice_one_goes_out() -> None:
    command = event()
    assert decided([command, command]).to_send == [command]


def test_late_and_large_ones_expire() -> None:
    late, over = event(expires_at=NOW), event(ends_at=NOW)
    large = event()
    large.payload["x"] = "x" * 200_000
    decisions = decided([late, over, large])
    assert not decisions.to_send
    assert [reason for _, reason in decisions.expired[:2]] == [LATE, LATE]
    assert "131072" in decisions.expired[2][1]


def test_an_event_whose_end_follows_goes_nowhere_and_neither_does_its_end() -> None:
    told, ended, other = event(), restore(), event("ven-2")
    decisions = decided([told, other, ended])
    assert decisions.to_send == [other]
    assert decisions.expired == [(told, WITHDRAWN), (ended, WITHDRAWN)]


def test_the_end_of_what_may_be_out_is_sent() -> None:
    told, again, ended = event(), event(attempt=2), restore()
    assert decided([told, ended], {told.correlation_id: known("sending")}).to_send == [ended]
    # The second attempt has no use any more; the first may have arrived.
    assert decided([again, ended], {again.correlation_id: known("sending")}) == ([ended], [(again, WITHDRAWN)])
    assert decided([told, again, ended], {told.correlation_id: known("sent")}).to_send == [ended]
    # Told once more, for it had lost the event: the first telling was out.
    retold = event(command_revision=2)
    assert decided([retold, ended]) == ([ended], [(retold, WITHDRAWN)])
    assert decided([ended]).to_send == [ended]
    assert decided([event(event_id="evt-2"), ended]).to_send[1:] == [ended]
    assert decided([ended, told]).to_send == [ended, told]


@given(st.lists(st.sampled_from([event(), event("ven-2"), restore(), restore("ven-2"), event(event_id="evt-2")])))
def test_every_new_command_is_decided_once_and_order_is_kept(batch: list[CommandRecord]) -> None:
    decisions = decided(batch)
    names = [each.correlation_id for each in batch]
    decided_names = [each.correlation_id for each in decisions.to_send]
    decided_names += [each.correlation_id for each, _ in decisions.expired]
    assert sorted(decided_names) == sorted(set(names))
    order = [names.index(each.correlation_id) for each in decisions.to_send]
    assert order == sorted(order)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"", Reason.EMPTY),
        (b"x", Reason.NOT_JSON),
        (b'{"correlationId":"\xed\xa0\x80"}', Reason.NOT_JSON),
        (b'{"payload":' + b'{"x":' * 100_000, Reason.TOO_DEEP),
        (b"[]", Reason.BAD_VALUE),
        (b"{}", Reason.BAD_VALUE),
    ],
)
def test_garbage_has_a_reason(value: bytes, reason: Reason) -> None:
    with pytest.raises(RejectedError) as raised:
        read_command(value)
    assert raised.value.rejection.reason is reason


@given(st.binary() | st.text().map(str.encode))
def test_garbage_of_any_kind_is_rejected(value: bytes) -> None:
    with pytest.raises(RejectedError):
        read_command(value)
