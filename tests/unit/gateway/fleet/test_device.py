"""How a simulated device executes commands: as the recorded devices did."""

import pytest

from gateway.fleet.behaviours import Behaviour, Generation
from gateway.fleet.command_decoder import decode_command
from gateway.fleet.device import NO_EVENT, EventReport
from schemas.dr.commands import (
    event_command,
    other_command,
    set_load_command,
    shed_load_command,
    shed_panel_command,
)
from tests.unit.gateway.fleet.devices import (
    NATURAL,
    NOW,
    POWERS,
    RESTORE,
    command,
    drop_kw,
    event,
    handle,
    home,
    meter,
)


def test_without_commands_nothing_changes() -> None:
    state = home()
    assert state.meter(NATURAL, NOW) is NATURAL
    assert state.report(NOW) is NO_EVENT


def test_event_sheds_and_acknowledges_the_request() -> None:
    state = home()
    ack = handle(state, event(5.0))
    assert (ack["status"], ack["requested_shed_kw"], ack["actual_shed_kw"]) == ("accepted", 5.0, 5.0)
    assert [(each["id"], each["curtailed_kw"], each["final_kw"]) for each in ack["circuits_curtailed"]] == [
        ("hvac1", 3.0, 0.0),
        ("heater1", 2.0, 2.5),
    ]
    assert drop_kw(state) == 5.0
    assert state.report(NOW) == EventReport("evt-1", 5.0, 5.0)


def test_shed_is_limited_to_flexible_power() -> None:
    state = home()
    assert handle(state, event(100.0))["actual_shed_kw"] == 7.5
    assert drop_kw(state) == 7.5
    assert state.report(NOW) == EventReport("evt-1", 7.5, 100.0)


def test_repeated_event_sheds_again() -> None:
    state = home()
    first = handle(state, event(3.0))
    again = handle(state, event(3.0), NOW + 15)
    assert drop_kw(state, NOW + 15) == 6.0
    assert state.report(NOW + 15) == EventReport("evt-1", 3.0, 3.0)
    assert (first["ts"], again["ts"]) == (int(NOW), int(NOW) + 15)
    assert again["circuits_curtailed"][0]["id"] == "heater1"


def test_second_event_replaces_the_report_not_the_shed() -> None:
    state = home()
    handle(state, event(2.0, "evt-1"))
    handle(state, event(1.0, "evt-2"))
    assert state.report(NOW) == EventReport("evt-2", 1.0, 1.0)
    assert drop_kw(state) == 3.0


def test_restore_ends_any_event_and_always_succeeds() -> None:
    state = home()
    handle(state, event(5.0))
    for _ in range(2):
        ack = handle(state, RESTORE)
        assert ack.keys() == {"op", "status", "ts", "correlationId"}
        assert ack["status"] == "success"
        assert state.meter(NATURAL, NOW) is NATURAL
        assert state.report(NOW) is NO_EVENT


@pytest.mark.parametrize(("given", "lasts"), [(12, 12), (0, 3600), (None, 3600)])
def test_event_ends_after_its_duration(given: int | None, lasts: int) -> None:
    state = home()
    payload = event_command("ven-1", "evt-1", 2.0, 12).payload
    payload["duration_sec"] = payload["data"]["duration_s"] = given
    handle(state, command(payload))
    assert state.report(NOW + lasts - 0.1).event_id == "evt-1"
    assert state.report(NOW + lasts) is NO_EVENT
    assert state.meter(NATURAL, NOW + lasts) is NATURAL


def test_limit_is_an_upper_bound() -> None:
    state = home()
    handle(state, event(1.0))
    less, more = POWERS | {"hvac1": 0.5}, POWERS | {"hvac1": 4.0}
    assert state.meter(meter(less), NOW).circuits_kw[0] == 0.5
    assert state.meter(meter(more), NOW).circuits_kw[0] == 2.0


def test_each_behaviour_sheds_and_answers_its_way() -> None:
    refuses, silent, lies, partial = map(home, (Behaviour.REFUSES, Behaviour.SILENT, Behaviour.LIES, Behaviour.PARTIAL))
    ack = handle(refuses, event(4.0))
    assert (ack["status"], ack["error"] != "", drop_kw(refuses), refuses.report(NOW)) == (
        "rejected",
        True,
        0.0,
        NO_EVENT,
    )
    assert handle(refuses, RESTORE)["status"] == "success"
    assert silent.handle(event(4.0), NATURAL, NOW) is silent.handle(RESTORE, NATURAL, NOW) is None
    assert handle(silent, command({"op": "ping"}))["pong"] is True
    assert handle(lies, event(4.0))["actual_shed_kw"] == lies.report(NOW).shed_kw == 4.0
    assert drop_kw(lies) == 2.0
    assert handle(partial, event(4.0))["actual_shed_kw"] == partial.report(NOW).shed_kw == drop_kw(partial) == 2.0
    assert partial.report(NOW).requested_kw == 4.0


def test_modern_agent_invents_missing_event_id() -> None:
    both = shed_panel_command("ven-1", "evt-10", 1.5, 10).payload
    unread = both | {"data": {"requestedReductionKw": 1.5, "durationS": 10, "eventId": "evt-10"}}
    for payload, event_id, seconds in ((both, "evt-10", 10), (unread, f"evt-{int(NOW)}", 3600)):
        state = home()
        ack = handle(state, command(payload))
        assert (ack["op"], ack["event_id"], ack["correlationId"]) == (
            "event",
            event_id,
            payload["correlationId"],
        )
        assert state.report(NOW + seconds - 1).event_id == event_id
        assert state.report(NOW + seconds) is NO_EVENT


def test_older_agent_supports_shed_load_and_set_load() -> None:
    state = home(generation=Generation.OLDER)
    ack = handle(state, command(shed_load_command("ven-1", "heater1", 2.0, 900, "evt-9").payload))
    assert (ack["op"], ack["ok"], ack["data"]) == (
        "shedLoad",
        True,
        {"eventId": "evt-9", "until": int(NOW) + 900},
    )
    assert ack["circuitsCurtailed"] == [{"loadId": "heater1", "name": "HEATER1", "shedKw": 2.0}]
    assert state.meter(NATURAL, NOW).circuits_kw[1] == 2.5
    off = set_load_command("ven-1", "hvac1", enabled=False, capacity_kw=None, priority=None)
    assert handle(state, command(off.payload))["ok"] is True
    assert state.meter(NATURAL, NOW).circuits_kw[0] == 0.0
    assert [circuit.enabled for circuit in state.circuits] == [False, True, True, True, True]


@pytest.mark.parametrize("generation", Generation)
def test_unknown_commands_are_ignored(generation: Generation) -> None:
    for op in ("get", "set", "setConfig", "frobnicate"):
        assert (
            home(generation=generation).handle(command(other_command("ven-1", op, None).payload), NATURAL, NOW) is None
        )
    for payload in (b"not json", b"", b"[]", b'{"op": 1}', b"\xff", b"[" * 100_000):
        assert decode_command(payload) is None
    ack = home(generation=generation).handle(command({"op": "event", "shed_kw": "abc"}), NATURAL, NOW)
    assert ack is None if generation is Generation.MODERN else ack is not None and ack["ok"] is False
