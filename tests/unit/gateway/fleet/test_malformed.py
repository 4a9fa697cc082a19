"""Every malformed payload is rejected with the reason that it names."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from gateway.fleet.malformed import MalformedPayload, malformed_payloads
from schemas.base.rejection import Reason, Rejection
from schemas.base.time_window import TimeWindow
from schemas.parsing.plausibility import check_power
from schemas.parsing.result import Parsed
from schemas.records.telemetry import Reading
from tests.unit.samples import parse_metering

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
WINDOW = TimeWindow(90, timedelta(minutes=5))
CASES = malformed_payloads(7, NOW)


def reasons(case: MalformedPayload) -> list[str]:
    """Return all rejection reasons of a case, in the order in which the gateway checks."""
    outcome = parse_metering(case.payload, NOW)
    if isinstance(outcome, Parsed):
        outcome = check_power(outcome, 1000)
    if isinstance(outcome, Parsed):
        late_or_early = WINDOW.check(outcome.record.timestamp, NOW)
        return [rejection.reason for rejection in ([late_or_early] if late_or_early else outcome.rejected_loads)]
    return [outcome.reason]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_payload_is_rejected_with_its_reason(case: MalformedPayload) -> None:
    assert reasons(case) == ([] if case.expected_reason is None else [case.expected_reason])


def test_payloads_cover_all_metering_reasons() -> None:
    named = {case.expected_reason for case in CASES} - {None}
    # The broker limits the size, only the sink finds the next two, and the last two belong to other kinds of messages.
    others = {Reason.TOO_LARGE, Reason.UNSTORABLE, Reason.CONFLICTING_SAMPLE, Reason.MISSING_VALUE, Reason.ID_MISMATCH}
    assert named == set(Reason) - others


def test_bad_load_keeps_the_reading() -> None:
    (case,) = (case for case in CASES if case.expected_reason == Reason.BAD_LOAD)
    outcome = parse_metering(case.payload, NOW)
    assert isinstance(outcome, Parsed)
    assert isinstance(outcome.record, Reading)
    assert (outcome.record.used_power_kw, outcome.record.loads) == (1.5, ())


def test_valid_payloads_become_readings() -> None:
    good = {case.name: parse_metering(case.payload, NOW) for case in CASES if case.expected_reason is None}
    assert set(good) == {"duplicate-keys", "large"}
    powers = [
        outcome.record.used_power_kw
        for outcome in good.values()
        if isinstance(outcome, Parsed) and isinstance(outcome.record, Reading)
    ]
    assert powers == [2.5, 1.5]


def test_reasons_do_not_depend_on_the_seed() -> None:
    for seed in range(20):
        assert [reasons(case) for case in malformed_payloads(seed, NOW)] == [reasons(case) for case in CASES]
        assert not isinstance(parse_metering(malformed_payloads(seed, NOW)[-1].payload, NOW), Rejection)


def test_payloads_are_deterministic_and_as_described() -> None:
    now = datetime(2025, 3, 1, tzinfo=UTC)
    cases = {case.name: case for case in malformed_payloads(1, now)}
    assert list(cases.values()) == malformed_payloads(1, now) != malformed_payloads(2, now)
    assert len(cases) == len(malformed_payloads(1, now)) == 25
    assert all(len(case.payload) <= 128 * 1024 for case in cases.values())
    assert len(cases["large"].payload) == 128 * 1024
    assert len(json.loads(cases["long-id"].payload)["venId"]) == 129
    assert json.loads(cases["nul-in-id"].payload)["venId"].count("\0") == 1
    for name in ("large", "duplicate-keys", "nul-in-load", "no-time"):
        assert json.loads(cases[name].payload)["venId"].startswith("ven-malformed-")
    for name in ("not-json", "not-utf8"):
        with pytest.raises(ValueError, match=r"Expecting|decode"):
            json.loads(cases[name].payload)
