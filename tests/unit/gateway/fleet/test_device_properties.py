"""Any sequence of commands: no impossible power, and a restore returns everything."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.fleet.acks import AckWriter
from gateway.fleet.behaviours import Behaviour, Generation
from gateway.fleet.device import Device
from gateway.fleet.home import Home, Meter
from tests.unit.gateway.fleet.devices import (
    NATURAL,
    NOW,
    RESTORE,
    event,
    home,
)

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
def test_power_stays_possible_and_restore_is_complete(
    powers: list[list[float]], sequence: list[Any], behaviour: Behaviour, generation: Generation
) -> None:
    state, now = home(behaviour, generation), NOW
    for natural_kws, step in zip(powers, sequence, strict=False):
        natural = Meter(round(sum(natural_kws), 3), tuple(natural_kws), None)
        before, report_before = state.meter(natural, now), state.report(now)
        if isinstance(step, int):
            now += step
        elif step == "cut":
            state.reset()
        elif step == "restore":
            state.handle(RESTORE, natural, now)
        else:
            event_id, shed_kw, seconds = step
            ack = state.handle(event(shed_kw, event_id, seconds), natural, now)
            after, report = state.meter(natural, now), state.report(now)
            assert after.used_kw <= before.used_kw
            complies = behaviour not in {Behaviour.REFUSES, Behaviour.SILENT}
            assert report.event_id == (event_id if complies else report_before.event_id)
            claimed = (ack or {}).get("actual_shed_kw", (ack or {}).get("actualShedKw", 0.0))
            assert claimed <= shed_kw + 0.001
            if behaviour is not Behaviour.LIES:
                assert before.used_kw - after.used_kw == pytest.approx(claimed, abs=1e-6)
            if event_id != report_before.event_id and complies:
                assert report.shed_kw == claimed
        shown = state.meter(natural, now)
        for kw, most, circuit in zip(shown.circuits_kw, natural_kws, state.circuits, strict=True):
            assert kw == most if most < 0 or not circuit.flexible else 0 <= kw <= most
        assert shown.used_kw == pytest.approx(sum(shown.circuits_kw))
    state.handle(RESTORE, NATURAL, now)
    if behaviour is not Behaviour.SILENT:
        assert state.meter(NATURAL, now) is NATURAL


def test_generated_home_sheds_and_restores() -> None:
    for index in range(40):
        mine = Home(1, index)
        natural = mine.at(NOW)
        state = Device(AckWriter("ven-1", Generation.MODERN), mine.circuits)
        ack = state.handle(event(1.0), natural, NOW)
        assert ack is not None
        assert natural.used_kw - state.meter(natural, NOW).used_kw == pytest.approx(ack["actual_shed_kw"])
        state.handle(RESTORE, natural, NOW)
        assert state.meter(natural, NOW) is natural
