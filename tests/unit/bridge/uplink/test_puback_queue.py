"""PUBACKs follow the order of arrival, on the message's connection, and only after Kafka has the message."""

from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from bridge.uplink.puback_queue import PendingPuback, PubackQueue


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


class AckQueueMachine(RuleBasedStateMachine):
    """Messages arrive on connections that come and go, and Kafka confirms in any order."""

    pending_acks: Bundle[PendingPuback[Line, int]] = Bundle("entries")

    def __init__(self) -> None:
        super().__init__()
        self.queue: PubackQueue[Line, int] = PubackQueue(self.on_acknowledge, self.on_change)
        self.lines: list[Line] = []
        self.order: list[PendingPuback[Line, int]] = []
        self.confirmed: set[int] = set()
        self.count = 0

    def on_acknowledge(self, line: Line, messages: Sequence[int]) -> None:
        assert line is self.lines[-1], "a PUBACK on a former connection"
        assert self.confirmed.issuperset(messages), "a PUBACK before Kafka has the message"
        line.acknowledged += messages

    def on_change(self, count: int) -> None:
        self.count = count

    @initialize()
    def connect_first(self) -> None:
        self.connect()

    @rule()
    def connect(self) -> None:
        self.lines.append(Line(len(self.lines)))
        self.queue.attach(self.lines[-1])

    @rule(target=pending_acks)
    def arrive(self) -> PendingPuback[Line, int]:
        line, message = self.lines[-1], len(self.order)
        pending = self.queue.add(line, message)
        line.arrived.append(message)
        self.order.append(pending)
        return pending

    @rule(target=pending_acks, data=st.data())
    def arrive_late_on_an_old_connection(self, data: st.DataObject) -> PendingPuback[Line, int]:
        line = data.draw(st.sampled_from(self.lines), label="line")
        pending = self.queue.add(line, len(self.order))
        line.arrived.append(len(self.order))
        self.order.append(pending)
        return pending

    @rule(pending=pending_acks)
    def confirm(self, pending: PendingPuback[Line, int]) -> None:
        self.confirmed.add(pending.message)
        self.queue.confirm(pending)

    @rule()
    def confirm_all(self) -> None:
        for pending in reversed(self.order):
            self.confirm(pending)
        assert len(self.queue) == 0

    @invariant()
    def pubacks_are_contiguous_and_in_order_of_arrival(self) -> None:
        for line in self.lines:
            assert line.acknowledged == sorted(line.acknowledged)
            assert len(set(line.acknowledged)) == len(line.acknowledged)
            if line.acknowledged:
                first = line.arrived.index(line.acknowledged[0])
                assert line.arrived[first : first + len(line.acknowledged)] == line.acknowledged

    @invariant()
    def all_due_messages_are_acknowledged(self) -> None:
        held = next((n for n in range(len(self.order)) if n not in self.confirmed), len(self.order))
        if self.lines:
            line = self.lines[-1]
            assert line.acknowledged == [message for message in line.arrived if message < held]

    @invariant()
    def the_length_counts_from_the_oldest_unconfirmed(self) -> None:
        held = next((n for n in range(len(self.order)) if n not in self.confirmed), len(self.order))
        assert len(self.queue) == self.count == len(self.order) - held


TestAckQueue = AckQueueMachine.TestCase
TestAckQueue.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def recording(log: list[Any]) -> tuple[PubackQueue[str, int], Callable[[], list[Any]]]:
    queue: PubackQueue[str, int] = PubackQueue(lambda line, message: log.append((line, message)), log.append)
    return queue, lambda: [pending for pending in log if isinstance(pending, tuple)]


def test_a_confirmed_message_waits_for_earlier_ones() -> None:
    queue, acknowledged = recording([])
    queue.attach("a")
    first, second, third = (queue.add("a", number) for number in range(3))
    queue.confirm(third)
    queue.confirm(second)
    assert acknowledged() == []
    queue.confirm(first)
    assert acknowledged() == [("a", [0, 1, 2])]


def test_oldest_is_the_first_unconfirmed_message() -> None:
    queue, _ = recording([])
    queue.attach("a")
    assert queue.oldest is None
    first, second = (queue.add("a", number) for number in (7, 8))
    queue.confirm(second)
    assert queue.oldest == 7
    queue.confirm(first)
    assert queue.oldest is None


def test_messages_of_a_lost_connection_get_no_puback() -> None:
    log: list[Any] = []
    queue, acknowledged = recording(log)
    queue.attach("old")
    old = queue.add("old", 1)
    queue.attach("new")
    new = queue.add("new", 1)
    queue.confirm(new)
    queue.confirm(old)
    assert acknowledged() == [("new", [1])]
    assert log == [1, 2, 2, ("new", [1]), 0]
