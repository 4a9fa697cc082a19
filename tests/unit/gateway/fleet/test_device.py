"""What a simulated home does with commands: as the recorded devices did, and never an impossible power."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.fleet.acks import Agent, Answer
from gateway.fleet.behaviours import Behaviour, Generation
from gateway.fleet.command_decoder import Command, decode_command
from gateway.fleet.device import NO_EVENT, Device, EventReport
from gateway.fleet.home import Circuit, Home, Meter
from schemas.dr.commands import (
    event_command,
    other_command,
    restore_command,
    set_load_command,
    shed_load_command,
    shed_panel_command,
)
from schemas.parsing.acks import Ack, parse_ack
from schemas.parsing.result import Source
from tests.support.paths import RECORDINGS
from tests.unit.samples import RECEIVED

NOW = 1_795_550_400.0
POWERS = {"hvac1": 3.0, "heater1": 4.5, "ev1": 0.0, "pv1": -2.0, "lights1": 1.0}
FLEXIBLE = {"hvac1", "heater1", "ev1"}


def circuits(powers: dict[str, float], flexible: set[str]) -> tuple[Circuit, ...]:
    return tuple(
        Circuit(name, name.upper(), name[:-1], 12.0, name in flexible, lambda _m, kw=kw: kw)  # type: ignore[misc]
        for name, kw in powers.items()
    )


def meter(powers: dict[str, float]) -> Meter:
    return Meter(round(sum(powers.values()), 3), tuple(powers.values()), None)


NATURAL = meter(POWERS)


def home(behaviour: Behaviour = Behaviour.COMPLIANT, generation: Generation = Generation.MODERN) -> Device:
    return Device(Agent("ven-1", generation), circuits(POWERS, FLEXIBLE), behaviour)


def command(payload: dict[str, Any]) -> Command:
    heard = decode_command(json.dumps(payload).encode())
    assert heard is not None
    return heard


def event(shed_kw: float, event_id: str = "evt-1", seconds: int = 600) -> Command:
    return command(event_command("ven-1", event_id, shed_kw, seconds).payload)


RESTORE = command(restore_command("ven-1", "evt-9").payload)


def drop_kw(state: Device, now: float = NOW) -> float:
    return round(NATURAL.used_kw - state.meter(NATURAL, now).used_kw, 3)


def told(state: Device, heard: Command, now: float = NOW) -> Answer:
    answer = state.told(heard, NATURAL, now)
    assert answer is not None
    return answer


def test_nobody_told_changes_nothing() -> None:
    state = home()
    assert state.meter(NATURAL, NOW) is NATURAL
    assert state.report(NOW) is NO_EVENT


def test_an_event_sheds_what_was_asked_and_says_so() -> None:
    state = home()
    answer = told(state, event(5.0))
    assert (answer["status"], answer["requested_shed_kw"], answer["actual_shed_kw"]) == ("accepted", 5.0, 5.0)
    assert [(each["id"], each["curtailed_kw"], each["final_kw"]) for each in answer["circuits_curtailed"]] == [
        ("hvac1", 3.0, 0.0),
        ("heater1", 2.0, 2.5),
    ]
    assert drop_kw(state) == 5.0
    assert state.report(NOW) == EventReport("evt-1", 5.0, 5.0)


def test_nobody_sheds_more_than_flexible_circuits_draw() -> None:
    state = home()
    assert told(state, event(100.0))["actual_shed_kw"] == 7.5
    assert drop_kw(state) == 7.5
    assert state.report(NOW) == EventReport("evt-1", 7.5, 100.0)


def test_an_event_that_comes_again_sheds_again_and_reports_what_it_did() -> None:
    state = home()
    first = told(state, event(3.0))
    again = told(state, event(3.0), NOW + 15)
    assert drop_kw(state, NOW + 15) == 6.0
    assert state.report(NOW + 15) == EventReport("evt-1", 3.0, 3.0)
    assert (first["ts"], again["ts"]) == (int(NOW), int(NOW) + 15)
    assert again["circuits_curtailed"][0]["id"] == "heater1"


def test_another_event_replaces_the_first_in_reports_and_both_sheds_stay() -> None:
    state = home()
    told(state, event(2.0, "evt-1"))
    told(state, event(1.0, "evt-2"))
    assert state.report(NOW) == EventReport("evt-2", 1.0, 1.0)
    assert drop_kw(state) == 3.0


def test_a_restore_ends_whatever_is_active_and_is_answered_where_nothing_was() -> None:
    state = home()
    told(state, event(5.0))
    for _ in range(2):
        answer = told(state, RESTORE)
        assert answer.keys() == {"op", "status", "ts", "correlationId"}
        assert answer["status"] == "success"
        assert state.meter(NATURAL, NOW) is NATURAL
        assert state.report(NOW) is NO_EVENT


@pytest.mark.parametrize(("given", "lasts"), [(12, 12), (0, 3600), (None, 3600)])
def test_an_event_ends_by_itself(given: int | None, lasts: int) -> None:
    state = home()
    payload = event_command("ven-1", "evt-1", 2.0, 12).payload
    payload["duration_sec"] = payload["data"]["duration_s"] = given
    told(state, command(payload))
    assert state.report(NOW + lasts - 0.1).event_id == "evt-1"
    assert state.report(NOW + lasts) is NO_EVENT
    assert state.meter(NATURAL, NOW + lasts) is NATURAL


def test_a_limited_circuit_draws_less_where_it_would() -> None:
    state = home()
    told(state, event(1.0))
    less, more = POWERS | {"hvac1": 0.5}, POWERS | {"hvac1": 4.0}
    assert state.meter(meter(less), NOW).circuits_kw[0] == 0.5
    assert state.meter(meter(more), NOW).circuits_kw[0] == 2.0


def test_manners() -> None:
    refuses, silent, lies, partial = map(home, (Behaviour.REFUSES, Behaviour.SILENT, Behaviour.LIES, Behaviour.PARTIAL))
    answer = told(refuses, event(4.0))
    assert (answer["status"], answer["error"] != "", drop_kw(refuses), refuses.report(NOW)) == (
        "rejected",
        True,
        0.0,
        NO_EVENT,
    )
    assert told(refuses, RESTORE)["status"] == "success"
    assert silent.told(event(4.0), NATURAL, NOW) is silent.told(RESTORE, NATURAL, NOW) is None
    assert told(silent, command({"op": "ping"}))["pong"] is True
    assert told(lies, event(4.0))["actual_shed_kw"] == lies.report(NOW).shed_kw == 4.0
    assert drop_kw(lies) == 2.0
    assert told(partial, event(4.0))["actual_shed_kw"] == partial.report(NOW).shed_kw == drop_kw(partial) == 2.0
    assert partial.report(NOW).requested_kw == 4.0


def test_the_agent_of_the_recordings_invents_the_id_of_a_panel_shed_that_it_cannot_read() -> None:
    both = shed_panel_command("ven-1", "evt-10", 1.5, 10).payload
    unread = both | {"data": {"requestedReductionKw": 1.5, "durationS": 10, "eventId": "evt-10"}}
    for payload, event_id, seconds in ((both, "evt-10", 10), (unread, f"evt-{int(NOW)}", 3600)):
        state = home()
        answer = told(state, command(payload))
        assert (answer["op"], answer["event_id"], answer["correlationId"]) == (
            "event",
            event_id,
            payload["correlationId"],
        )
        assert state.report(NOW + seconds - 1).event_id == event_id
        assert state.report(NOW + seconds) is NO_EVENT


def test_the_other_generation_sheds_one_load_and_is_set() -> None:
    state = home(generation=Generation.OLDER)
    answer = told(state, command(shed_load_command("ven-1", "heater1", 2.0, 900, "evt-9").payload))
    assert (answer["op"], answer["ok"], answer["data"]) == (
        "shedLoad",
        True,
        {"eventId": "evt-9", "until": int(NOW) + 900},
    )
    assert answer["circuitsCurtailed"] == [{"loadId": "heater1", "name": "HEATER1", "shedKw": 2.0}]
    assert state.meter(NATURAL, NOW).circuits_kw[1] == 2.5
    off = set_load_command("ven-1", "hvac1", enabled=False, capacity_kw=None, priority=None)
    assert told(state, command(off.payload))["ok"] is True
    assert state.meter(NATURAL, NOW).circuits_kw[0] == 0.0
    assert [circuit.enabled for circuit in state.circuits] == [False, True, True, True, True]


@pytest.mark.parametrize("generation", Generation)
def test_silence_and_what_is_no_command(generation: Generation) -> None:
    for op in ("get", "set", "setConfig", "frobnicate"):
        assert home(generation=generation).told(command(other_command("ven-1", op, None).payload), NATURAL, NOW) is None
    for payload in (b"not json", b"", b"[]", b'{"op": 1}', b"\xff", b"[" * 100_000):
        assert decode_command(payload) is None
    answer = home(generation=generation).told(command({"op": "event", "shed_kw": "abc"}), NATURAL, NOW)
    assert answer is None if generation is Generation.MODERN else answer is not None and answer["ok"] is False


class Recorded:
    """The recorded home, as it last showed itself without an event."""

    def __init__(self) -> None:
        self.natural: Meter | None = None
        self.circuits: tuple[Circuit, ...] = ()

    def commands(self) -> Iterator[tuple[Command, Answer | None]]:
        """Each command, with the recorded answer to it."""
        asked: Command | None = None
        with (RECORDINGS / "ven_enhanced.jsonl").open() as lines:
            for record in map(json.loads, lines):
                if record["topic"].startswith("ven/cmd/"):
                    if asked is not None:
                        yield asked, None
                    asked = decode_command(record["payload"].encode())
                elif record["topic"].startswith("ven/ack/"):
                    assert asked is not None
                    yield asked, json.loads(record["payload"])
                    asked = None
                elif record["topic"].startswith("ven/telemetry/"):
                    self._show(json.loads(record["payload"]))
        if asked is not None:
            yield asked, None

    def _show(self, sample: dict[str, Any]) -> None:
        loads = sample["loads"]
        if sample["eventId"] is None:
            powers = {load["id"]: load["currentPowerKw"] for load in loads}
            self.natural = meter(powers)
        self.circuits = self.circuits or tuple(
            Circuit(
                load["id"],
                load["name"],
                load["type"],
                load["capacityKw"],
                load["id"] not in {"hvac1", "fridge1"},
                lambda _: 0.0,
            )
            for load in loads
        )


def shape(value: Any) -> Any:
    """What kinds of values are where; numbers are one kind."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return shape(value[0]) if value else None
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value)


def test_the_recorded_commands_are_answered_as_recorded() -> None:
    recorded, state, answered = Recorded(), None, 0
    for heard, expected in recorded.commands():
        assert recorded.natural is not None
        state = state or Device(Agent("ven-real-enhanced", Generation.MODERN), recorded.circuits)
        now = NOW if expected is None else float(expected["ts"])
        answer = state.told(heard, recorded.natural, now)
        assert shape(answer) == shape(expected), heard
        if answer is not None and expected is not None:
            answered += 1
            same = ("op", "status", "event_id", "requested_shed_kw", "ts", "correlationId")
            assert {key: answer.get(key) for key in same} == {key: expected.get(key) for key in same}
            # The recorded device leaves a part of some circuits on; of 100 kW it sheds less than ours.
            if expected.get("requested_shed_kw", 0) < 100:
                assert answer.get("actual_shed_kw") == expected.get("actual_shed_kw")
    assert answered == 15


@pytest.mark.parametrize("generation", Generation)
def test_the_gateway_understands_every_answer(generation: Generation) -> None:
    state = home(generation=generation)
    answers = [
        told(state, event(5.0)),
        told(state, RESTORE),
        told(state, command({"op": "ping"})),
        told(home(Behaviour.REFUSES, generation), event(5.0)),
    ]
    records = []
    for answer in answers:
        record, rejected = parse_ack(json.dumps(answer).encode(), Source("ven/ack/ven-1", RECEIVED))
        assert isinstance(record, Ack)
        assert not rejected
        records.append(record)
    good = "accepted" if generation is Generation.MODERN else "success"
    bad = "rejected" if generation is Generation.MODERN else "failed"
    assert [record.status for record in records] == [good, "success", "success", bad]
    assert [record.event_id for record in records] == ["evt-1", None, None, "evt-1"]
    assert records[0].actual_shed_kw == pytest.approx(sum(circuit.curtailed_kw for circuit in records[0].circuits))
    assert records[3].error


watts = st.integers(-9000, 12_000).map(lambda w: w / 1000)
steps = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["evt-1", "evt-2"]), st.floats(0, 30), st.integers(0, 100)),
        st.just("restore"),
        st.just("cut"),
        st.integers(0, 60),
    ),
    max_size=12,
)


@given(
    st.lists(st.lists(watts, min_size=5, max_size=5), min_size=13, max_size=13),
    steps,
    st.sampled_from(Behaviour),
    st.sampled_from(Generation),
)
def test_no_power_is_impossible_and_a_restore_returns_everything(
    powers: list[list[float]], course: list[Any], behaviour: Behaviour, generation: Generation
) -> None:
    state, now = home(behaviour, generation), NOW
    for would, step in zip(powers, course, strict=False):
        natural = Meter(round(sum(would), 3), tuple(would), None)
        before, said_before = state.meter(natural, now), state.report(now)
        if isinstance(step, int):
            now += step
        elif step == "cut":
            state.forget()
        elif step == "restore":
            state.told(RESTORE, natural, now)
        else:
            event_id, shed_kw, seconds = step
            answer = state.told(event(shed_kw, event_id, seconds), natural, now)
            after, said = state.meter(natural, now), state.report(now)
            assert after.used_kw <= before.used_kw
            obeys = behaviour not in {Behaviour.REFUSES, Behaviour.SILENT}
            assert said.event_id == (event_id if obeys else said_before.event_id)
            claimed = (answer or {}).get("actual_shed_kw", (answer or {}).get("actualShedKw", 0.0))
            assert claimed <= shed_kw + 0.001
            if behaviour is not Behaviour.LIES:
                assert before.used_kw - after.used_kw == pytest.approx(claimed, abs=1e-6)
            if event_id != said_before.event_id and obeys:
                assert said.shed_kw == claimed
        shown = state.meter(natural, now)
        for kw, most, circuit in zip(shown.circuits_kw, would, state.circuits, strict=True):
            assert kw == most if most < 0 or not circuit.flexible else 0 <= kw <= most
        assert shown.used_kw == pytest.approx(sum(shown.circuits_kw))
    state.told(RESTORE, NATURAL, now)
    if behaviour is not Behaviour.SILENT:
        assert state.meter(NATURAL, now) is NATURAL


def test_a_real_home_sheds_and_gets_it_back() -> None:
    for index in range(40):
        mine = Home(1, index)
        natural = mine.at(NOW)
        state = Device(Agent("ven-1", Generation.MODERN), mine.circuits)
        answer = state.told(event(1.0), natural, NOW)
        assert answer is not None
        assert natural.used_kw - state.meter(natural, NOW).used_kw == pytest.approx(answer["actual_shed_kw"])
        state.told(RESTORE, natural, NOW)
        assert state.meter(natural, NOW) is natural
