"""PUBACKs go out in the order of arrival, on the connection of the message, and only for what the log holds."""

from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from bridge.uplink.ack_queue import Entry, Outstanding


class Line:
    """A connection; equal to every other, for only identity counts."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.arrived: list[int] = []
        self.acknowledged: list[int] = []

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Line)

    def __hash__(self) -> int:
        return 0


class OutstandingMachine(RuleBasedStateMachine):
    """Messages arrive on connections that come and go, and the log confirms in any order."""

    entries: Bundle[Entry[Line, int]] = Bundle("entries")

    def __init__(self) -> None:
        super().__init__()
        self.outstanding: Outstanding[Line, int] = Outstanding(self.on_acknowledge, self.on_change)
        self.lines: list[Line] = []
        self.order: list[Entry[Line, int]] = []
        self.confirmed: set[int] = set()
        self.count = 0

    def on_acknowledge(self, line: Line, messages: Sequence[int]) -> None:
        assert line is self.lines[-1], "a PUBACK on a connection that is gone"
        assert self.confirmed.issuperset(messages), "a PUBACK before the log has the message"
        line.acknowledged += messages

    def on_change(self, count: int) -> None:
        self.count = count

    @initialize()
    def connect_first(self) -> None:
        self.connect()

    @rule()
    def connect(self) -> None:
        self.lines.append(Line(len(self.lines)))
        self.outstanding.use(self.lines[-1])

    @rule(target=entries)
    def arrive(self) -> Entry[Line, int]:
        line, message = self.lines[-1], len(self.order)
        entry = self.outstanding.add(line, message)
        line.arrived.append(message)
        self.order.append(entry)
        return entry

    @rule(target=entries, data=st.data())
    def arrive_late_on_an_old_connection(self, data: st.DataObject) -> Entry[Line, int]:
        line = data.draw(st.sampled_from(self.lines), label="line")
        entry = self.outstanding.add(line, len(self.order))
        line.arrived.append(len(self.order))
        self.order.append(entry)
        return entry

    @rule(entry=entries)
    def confirm(self, entry: Entry[Line, int]) -> None:
        self.confirmed.add(entry.message)
        self.outstanding.confirm(entry)

    @rule()
    def confirm_all(self) -> None:
        for entry in reversed(self.order):
            self.confirm(entry)
        assert len(self.outstanding) == 0

    @invariant()
    def pubacks_are_a_run_of_the_arrivals_of_their_connection(self) -> None:
        for line in self.lines:
            assert line.acknowledged == sorted(line.acknowledged)
            assert len(set(line.acknowledged)) == len(line.acknowledged)
            if line.acknowledged:
                first = line.arrived.index(line.acknowledged[0])
                assert line.arrived[first : first + len(line.acknowledged)] == line.acknowledged

    @invariant()
    def all_that_is_due_on_the_connection_is_acknowledged(self) -> None:
        held = next((n for n in range(len(self.order)) if n not in self.confirmed), len(self.order))
        if self.lines:
            line = self.lines[-1]
            assert line.acknowledged == [message for message in line.arrived if message < held]

    @invariant()
    def the_count_is_of_what_waits_for_the_oldest_unconfirmed(self) -> None:
        held = next((n for n in range(len(self.order)) if n not in self.confirmed), len(self.order))
        assert len(self.outstanding) == self.count == len(self.order) - held


TestOutstanding = OutstandingMachine.TestCase
TestOutstanding.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def recording(log: list[Any]) -> tuple[Outstanding[str, int], Callable[[], list[Any]]]:
    outstanding: Outstanding[str, int] = Outstanding(lambda line, message: log.append((line, message)), log.append)
    return outstanding, lambda: [entry for entry in log if isinstance(entry, tuple)]


def test_a_confirmed_message_waits_for_those_before_it() -> None:
    outstanding, acknowledged = recording([])
    outstanding.use("a")
    first, second, third = (outstanding.add("a", number) for number in range(3))
    outstanding.confirm(third)
    outstanding.confirm(second)
    assert acknowledged() == []
    outstanding.confirm(first)
    assert acknowledged() == [("a", [0, 1, 2])]


def test_the_oldest_message_is_the_one_that_the_others_wait_for() -> None:
    outstanding, _ = recording([])
    outstanding.use("a")
    assert outstanding.oldest is None
    first, second = (outstanding.add("a", number) for number in (7, 8))
    outstanding.confirm(second)
    assert outstanding.oldest == 7
    outstanding.confirm(first)
    assert outstanding.oldest is None


def test_messages_of_a_lost_connection_get_no_puback_but_are_counted_down() -> None:
    log: list[Any] = []
    outstanding, acknowledged = recording(log)
    outstanding.use("old")
    old = outstanding.add("old", 1)
    outstanding.use("new")
    new = outstanding.add("new", 1)
    outstanding.confirm(new)
    outstanding.confirm(old)
    assert acknowledged() == [("new", [1])]
    assert log == [1, 2, 2, ("new", [1]), 0]
