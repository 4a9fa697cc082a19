"""Bridges that share a command log, and are killed, stopped and resumed anywhere: none sends what another has."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from bridge.downlink.command_index import CommandIndex
from bridge.downlink.send_policy import decide
from schemas.dr.commands import event_command
from schemas.records.commands import CommandRecord, DeliveryEvidence, DeliveryState

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
BRIDGES = st.integers(0, 2)
COMMANDS = [event_command(f"ven-{number}", "evt-1", 1.0, 600) for number in range(3)]


class Bridge:
    """One run of a bridge: what it has read of the log, and what it has in hand."""

    def __init__(self, run: int) -> None:
        self.run = run
        self.known = CommandIndex()
        self.read = 0
        self.claimed: list[CommandRecord] = []


class Bridges(RuleBasedStateMachine):
    """The log is a list of (run, evidence); each rule is one step that a crash may come before or after."""

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

    def note(self, bridge: Bridge, correlation_id: str, attempt: int, state: DeliveryState) -> None:
        ven_id = next(each.ven_id for each in COMMANDS if each.correlation_id == correlation_id)
        evidence = DeliveryEvidence(correlation_id=correlation_id, ven_id=ven_id, attempt=attempt, state=state, at=NOW)
        self.log.append((bridge.run, evidence))

    @rule(which=BRIDGES)
    def read_one(self, which: int) -> None:
        bridge = self.bridges[which]
        if bridge.read < len(self.log):
            run, evidence = self.log[bridge.read]
            bridge.read += 1
            bridge.known.learn(evidence, ours=run == bridge.run)

    @rule(which=BRIDGES)
    def read_all(self, which: int) -> None:
        while self.bridges[which].read < len(self.log):
            self.read_one(which)

    @rule(which=BRIDGES, some=st.lists(st.sampled_from(COMMANDS), max_size=3))
    def fetch_and_claim(self, which: int, some: list[object]) -> None:
        """Any bridge may fetch any command at any time: the consumer group promises nothing."""
        bridge = self.bridges[which]
        batch = [self.dispatch(each.correlation_id) for each in COMMANDS if each in some]
        for dispatch in decide(batch, bridge.known.get, NOW).to_send:
            # A run claims an attempt once: it has it in hand until the log has told.
            if (dispatch.correlation_id, dispatch.attempt) not in {
                (each.correlation_id, each.attempt) for each in bridge.claimed
            }:
                self.note(bridge, dispatch.correlation_id, dispatch.attempt, "sending")
                bridge.claimed.append(dispatch)

    @rule(which=BRIDGES)
    def publish(self, which: int) -> None:
        bridge = self.bridges[which]
        for dispatch in list(bridge.claimed):
            if bridge.known.may_send(dispatch.correlation_id, dispatch.attempt):
                bridge.claimed.remove(dispatch)
                self.published[dispatch.correlation_id, dispatch.attempt] += 1
                self.in_session.append(dispatch.correlation_id)

    @rule(which=BRIDGES)
    def hear_the_echo(self, which: int) -> None:
        bridge = self.bridges[which]
        for correlation_id in self.in_session:
            known = bridge.known.get(correlation_id)
            if known is not None and known.state != "sent":
                self.note(bridge, correlation_id, known.attempt, "sent")

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
    def no_attempt_went_out_twice(self) -> None:
        assert not [each for each, times in self.published.items() if times > 1]


TestBridges = Bridges.TestCase
TestBridges.settings = settings(
    max_examples=300, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


def evidence(state: DeliveryState, attempt: int = 1, expires_at: datetime | None = None) -> DeliveryEvidence:
    return DeliveryEvidence(
        correlation_id="evt-1", ven_id="ven-1", attempt=attempt, state=state, at=NOW, expires_at=expires_at
    )


def test_sent_stands_for_good() -> None:
    known = CommandIndex()
    for each in (evidence("sending", 2), evidence("sent", 1), evidence("sending", 3), evidence("expired", 2)):
        known.learn(each, ours=True)
    found = known.get("evt-1")
    assert found is not None
    assert (found.state, found.attempt) == ("sent", 2)
    assert not known.may_send("evt-1", 3)


def test_the_first_to_claim_may_send_and_no_other() -> None:
    known = CommandIndex()
    known.learn(evidence("sending"), ours=False)
    known.learn(evidence("sending"), ours=True)
    assert not known.may_send("evt-1", 1)
    known.learn(evidence("sending", 2), ours=True)
    assert known.may_send("evt-1", 2)
    known.learn(evidence("sending", 2), ours=False)
    assert known.may_send("evt-1", 2)
    known.learn(evidence("expired", 2), ours=False)
    assert not known.may_send("evt-1", 2)


def test_what_can_no_longer_be_sent_is_forgotten() -> None:
    known = CommandIndex()
    known.learn(evidence("sent", expires_at=NOW), ours=True)
    known.forget(NOW + timedelta(minutes=1))
    assert len(known) == 1
    known.forget(NOW + timedelta(minutes=11))
    assert len(known) == 0


def test_a_time_that_no_calendar_has_in_utc_is_forgotten_like_others() -> None:
    known = CommandIndex()
    for number, text in enumerate(("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00")):
        said = DeliveryEvidence(correlation_id=f"c-{number}", ven_id="a", attempt=1, state="sent", at=NOW)
        known.learn(msgspec.structs.replace(said, expires_at=datetime.fromisoformat(text)), ours=False)
    known.forget(NOW)
    assert known.get("c-0") is None
    assert known.get("c-1") is not None
