"""Every piece of garbage that the simulated fleet sends is turned away for the reason it names."""

from datetime import UTC, datetime, timedelta

import pytest

from gateway.fleet.malformed import MalformedPayload, malformed_payloads
from schemas.base.rejection import Reason, Rejection
from schemas.base.time_window import TimeWindow
from schemas.parsing.result import Parsed
from schemas.records.telemetry import Reading
from tests.unit.samples import parse_metering

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
WINDOW = TimeWindow(90, timedelta(minutes=5))
CASES = malformed_payloads(7, NOW)


def reasons(case: MalformedPayload) -> list[str]:
    """All reasons that the case gives rise to, in the order of the gateway's work."""
    outcome = parse_metering(case.payload, NOW)
    if isinstance(outcome, Parsed):
        late_or_early = WINDOW.check(outcome.record.timestamp, NOW)
        return [rejection.reason for rejection in ([late_or_early] if late_or_early else outcome.rejected_loads)]
    return [outcome.reason]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_garbage_is_turned_away_for_the_reason_it_names(case: MalformedPayload) -> None:
    assert reasons(case) == ([] if case.expected_reason is None else [case.expected_reason])


def test_garbage_names_reasons_that_exist_and_nearly_all_of_them() -> None:
    named = {case.expected_reason for case in CASES} - {None}
    # A broker lets nothing through that is larger, only a database can refuse what parsed, and two are of other kinds.
    others = {Reason.TOO_LARGE, Reason.UNSTORABLE, Reason.MISSING_VALUE, Reason.ID_MISMATCH}
    assert named == set(Reason) - others


def test_a_bad_load_does_not_cost_the_reading() -> None:
    (case,) = (case for case in CASES if case.expected_reason == Reason.BAD_LOAD)
    outcome = parse_metering(case.payload, NOW)
    assert isinstance(outcome, Parsed)
    assert isinstance(outcome.record, Reading)
    assert (outcome.record.used_power_kw, outcome.record.loads) == (1.5, ())


def test_what_looks_bad_and_is_good_is_a_reading() -> None:
    good = {case.name: parse_metering(case.payload, NOW) for case in CASES if case.expected_reason is None}
    assert set(good) == {"duplicate-keys", "large"}
    powers = [
        outcome.record.used_power_kw
        for outcome in good.values()
        if isinstance(outcome, Parsed) and isinstance(outcome.record, Reading)
    ]
    assert powers == [2.5, 1.5]


def test_the_reason_is_the_same_for_every_seed() -> None:
    for seed in range(20):
        assert [reasons(case) for case in malformed_payloads(seed, NOW)] == [reasons(case) for case in CASES]
        assert not isinstance(parse_metering(malformed_payloads(seed, NOW)[-1].payload, NOW), Rejection)
