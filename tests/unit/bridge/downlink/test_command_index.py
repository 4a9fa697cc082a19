"""Bridges that share a command log and are killed or paused anywhere: no attempt is sent twice."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from bridge.downlink.command_index import CommandIndex
from bridge.downlink.send_policy import plan_sends
from schemas.dr.commands import event_command
from schemas.records.commands import CommandRecord, DeliveryEvidence, DeliveryState

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
BRIDGES = st.integers(0, 2)
COMMANDS = [event_command(f"ven-{number}", "evt-1", 1.0, 600) for number in range(3)]


class Bridge:
    """One run of a bridge: how far it has read the log, and which claims it waits for."""

    def __init__(self, run: int) -> None:
        self.run = run
        self.index = CommandIndex()
        self.read = 0
        self.claimed: list[CommandRecord] = []


class Bridges(RuleBasedStateMachine):
    """The log is a list of (run, evidence); each rule is one step before or after which a crash may happen."""

    def __init__(self) -> None:
        super().__init__()
        self.log: list[tuple[int, DeliveryEvidence]] = []
        self.runs = 0
        self.bridges = [self.started() for _ in range(3)]
        self.attempts = dict.fromkeys((each.correlation_id for each in COMMANDS), 1)
        self.published: Counter[tuple[str, int]] = Counter()
        self.in_session: list[str] = []

    def started(self) -> Bridge:
        self.runs += 1
        return Bridge(self.runs)

    def write(self, bridge: Bridge, correlation_id: str, attempt: int, state: DeliveryState) -> None:
        ven_id = next(each.ven_id for each in COMMANDS if each.correlation_id == correlation_id)
        evidence = DeliveryEvidence(correlation_id=correlation_id, ven_id=ven_id, attempt=attempt, state=state, at=NOW)
        self.log.append((bridge.run, evidence))

    @rule(which=BRIDGES)
    def read_one(self, which: int) -> None:
        bridge = self.bridges[which]
        if bridge.read < len(self.log):
            run, evidence = self.log[bridge.read]
            bridge.read += 1
            bridge.index.apply(evidence, written_here=run == bridge.run)

    @rule(which=BRIDGES)
    def read_all(self, which: int) -> None:
        while self.bridges[which].read < len(self.log):
            self.read_one(which)

    @rule(which=BRIDGES, some=st.lists(st.sampled_from(COMMANDS), max_size=3))
    def fetch_and_claim(self, which: int, some: list[object]) -> None:
        """Any bridge may fetch any command at any time: the consumer group promises nothing."""
        bridge = self.bridges[which]
        batch = [self.dispatch(each.correlation_id) for each in COMMANDS if each in some]
        for dispatch in plan_sends(batch, bridge.index.get, NOW).to_send:
            # A run claims an attempt once: it waits until it has read its claim.
            if (dispatch.correlation_id, dispatch.attempt) not in {
                (each.correlation_id, each.attempt) for each in bridge.claimed
            }:
                self.write(bridge, dispatch.correlation_id, dispatch.attempt, "sending")
                bridge.claimed.append(dispatch)

    @rule(which=BRIDGES)
    def publish(self, which: int) -> None:
        bridge = self.bridges[which]
        for dispatch in list(bridge.claimed):
            if bridge.index.may_send(dispatch.correlation_id, dispatch.attempt):
                bridge.claimed.remove(dispatch)
                self.published[dispatch.correlation_id, dispatch.attempt] += 1
                self.in_session.append(dispatch.correlation_id)

    @rule(which=BRIDGES)
    def receive_the_echo(self, which: int) -> None:
        bridge = self.bridges[which]
        for correlation_id in self.in_session:
            status = bridge.index.get(correlation_id)
            if status is not None and status.state != "sent":
                self.write(bridge, correlation_id, status.attempt, "sent")

    @rule(which=BRIDGES)
    def kill_and_start(self, which: int) -> None:
        self.bridges[which] = self.started()

    @rule(command=st.sampled_from(COMMANDS))
    def ask_for_another_attempt(self, command: object) -> None:
        for each in COMMANDS:
            if each is command:
                self.attempts[each.correlation_id] += 1

    def dispatch(self, correlation_id: str) -> CommandRecord:
        command = next(each for each in COMMANDS if each.correlation_id == correlation_id)
        return CommandRecord(
            correlation_id=correlation_id,
            ven_id=command.ven_id,
            op=command.op,
            payload=command.payload,
            expires_at=NOW + timedelta(hours=1),
            attempt=self.attempts[correlation_id],
        )

    @invariant()
    def no_attempt_is_sent_twice(self) -> None:
        assert not [each for each, times in self.published.items() if times > 1]


TestBridges = Bridges.TestCase
TestBridges.settings = settings(
    max_examples=300, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


def evidence(state: DeliveryState, attempt: int = 1, expires_at: datetime | None = None) -> DeliveryEvidence:
    return DeliveryEvidence(
        correlation_id="evt-1", ven_id="ven-1", attempt=attempt, state=state, at=NOW, expires_at=expires_at
    )


def test_sent_is_final() -> None:
    index = CommandIndex()
    for each in (evidence("sending", 2), evidence("sent", 1), evidence("sending", 3), evidence("expired", 2)):
        index.apply(each, written_here=True)
    found = index.get("evt-1")
    assert found is not None
    assert (found.state, found.attempt) == ("sent", 2)
    assert not index.may_send("evt-1", 3)


def test_only_the_first_claimant_may_send() -> None:
    index = CommandIndex()
    index.apply(evidence("sending"), written_here=False)
    index.apply(evidence("sending"), written_here=True)
    assert not index.may_send("evt-1", 1)
    index.apply(evidence("sending", 2), written_here=True)
    assert index.may_send("evt-1", 2)
    index.apply(evidence("sending", 2), written_here=False)
    assert index.may_send("evt-1", 2)
    index.apply(evidence("expired", 2), written_here=False)
    assert not index.may_send("evt-1", 2)


def test_expired_commands_are_pruned() -> None:
    index = CommandIndex()
    index.apply(evidence("sent", expires_at=NOW), written_here=True)
    index.prune(NOW + timedelta(minutes=1))
    assert len(index) == 1
    index.prune(NOW + timedelta(minutes=11))
    assert len(index) == 0


def test_expiry_outside_the_utc_calendar_is_pruned() -> None:
    index = CommandIndex()
    for number, text in enumerate(("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00")):
        record = DeliveryEvidence(correlation_id=f"c-{number}", ven_id="a", attempt=1, state="sent", at=NOW)
        index.apply(msgspec.structs.replace(record, expires_at=datetime.fromisoformat(text)), written_here=False)
    index.prune(NOW)
    assert index.get("c-0") is None
    assert index.get("c-1") is not None
