"""The metering parser accepts or rejects any bytes; accepted records survive encoding and decoding."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.base.rejection import Reason, Rejection
from schemas.parsing.result import Parsed
from schemas.records.telemetry import (
    FaultReport,
    Reading,
    decode_fault,
    decode_reading,
    encode_measurement,
    encode_record,
)
from tests.unit.near_misses import shuffled
from tests.unit.samples import RECEIVED, STAMP, parse_metering, refused, sample

NUMBERS = ("usedPowerKw", "power_kw", "shedPowerKw", "shed_kw", "requestedReductionKw", "baselinePowerKw", "batterySoc")
MORE_NUMBERS = (
    "base_power_kw",
    "batterySOC",
    "battery_soc",
    "panelVoltage",
    "panelMaxKw",
    "currentAmps",
    "message_num",
)
TEXTS = ("eventId", "event_id", "active_event", "schemaVersion")
ENTRY = ("id", "loadId", "name", "type", "capacityKw", "currentPowerKw", "shedCapabilityKw", "enabled", "priority")
CIRCUIT = ("currentKw", "current_kw", "breakerAmps", "breaker_amps", "critical")
KNOWN = {*NUMBERS, *MORE_NUMBERS, *TEXTS, "panelAmperageRating", "panelUtilizationPercent", "venId", "ven_id"}
KNOWN |= {"timestamp", "ts", "loads"}

FLOATS = st.floats(-1e5, 1e5)
ANY_TEXT = st.text("ab\0é\N{GRINNING FACE}\u2028", max_size=4)
HUGE = st.sampled_from([10**18, 2**63, 2**64, -(2**63) - 1, 10**400, -(10**400), 1e9, 1e10, -1e300, 1.7e308, 5e-324])
SCALARS = st.none() | st.booleans() | st.integers(-100_000, 100_000) | FLOATS | ANY_TEXT
NAMES = st.sampled_from([*ENTRY, *CIRCUIT, *NUMBERS, *TEXTS]) | ANY_TEXT


def json_of(scalars: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4), max_leaves=4
    )


def entries(scalars: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    good = st.fixed_dictionaries(
        {"id": st.sampled_from(["a", "b", "c"])}, optional={"currentKw": FLOATS, "priority": FLOATS}
    )
    return st.lists(
        good | st.dictionaries(st.sampled_from([*ENTRY, *CIRCUIT, "x"]), json_of(scalars)) | json_of(scalars)
    )


def documents(scalars: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Samples that are valid at the top and mostly invalid below, so that all branches are reached."""
    names = st.sampled_from([*NUMBERS, *MORE_NUMBERS, *TEXTS, "error"]) | ANY_TEXT
    return st.builds(
        lambda fields, lists, given_id, stamp: {"venId": given_id, "timestamp": stamp} | fields | lists,
        st.dictionaries(names, st.none() | FLOATS | json_of(scalars), max_size=6),
        st.fixed_dictionaries({}, optional={"loads": entries(scalars), "circuits": entries(scalars)}),
        st.just("ven-1") | ANY_TEXT,
        st.just(STAMP) | st.just("2024-10-23T16:13:20Z") | scalars,
    )


def check(payload: bytes) -> Parsed | Rejection:
    """Parse; check that an accepted record survives encoding."""
    if not payload:
        return Rejection(Reason.EMPTY, "an empty payload is not parsed")
    outcome = parse_metering(payload, RECEIVED)
    if isinstance(outcome, Parsed):
        encoded = encode_record(outcome.record)
        again = (decode_fault if isinstance(outcome.record, FaultReport) else decode_reading)(encoded)
        assert (again.ven_id, again.timestamp) == (outcome.record.ven_id, outcome.record.timestamp)
        assert all(rejection.reason is Reason.BAD_LOAD and rejection.detail for rejection in outcome.rejected_loads)
    else:
        assert outcome.detail
    return outcome


@given(st.binary(max_size=200))
def test_any_bytes_are_rejected(payload: bytes) -> None:
    assert isinstance(check(payload), Rejection)


@given(json_of(SCALARS | HUGE))
def test_any_json_is_parsed_or_rejected(document: Any) -> None:
    check(json.dumps(document).encode(errors="surrogatepass"))


@given(documents(SCALARS | HUGE))
def test_any_sample_is_parsed_or_rejected(document: dict[str, Any]) -> None:
    check(json.dumps(document).encode())


@given(documents(SCALARS), st.integers(0, 300), st.binary(min_size=1, max_size=3))
def test_damaged_sample_is_parsed_or_rejected(document: dict[str, Any], at: int, bytes_: bytes) -> None:
    payload = json.dumps(document, ensure_ascii=False).encode()
    check(payload[:at] + bytes_ + payload[at + len(bytes_) :])
    check(payload[:at])


@given(documents(SCALARS))
def test_accepted_record_survives_encoding(document: dict[str, Any]) -> None:
    outcome = check(json.dumps(document).encode())
    if not isinstance(outcome, Parsed):
        return
    record = outcome.record
    if isinstance(record, FaultReport):
        assert decode_fault(encode_record(record)) == record
        return
    assert decode_reading(encode_record(record)) == record
    assert "\\u0000" not in encode_record(record).decode()
    assert KNOWN.isdisjoint(record.extra or ())
    assert len({load.id for load in record.loads or ()}) == len(record.loads or ())
    listed = document.get("loads") if document.get("loads") is not None else document.get("circuits")
    assert len(record.loads or ()) + len(outcome.rejected_loads) == len(listed or ())


@pytest.mark.parametrize("name", ["x", "usedPowerKw", "eventId", "loads", "circuits", "error", "venId", "power_kw"])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}"), ('[{"a":', "}]")])
def test_any_nesting_is_parsed_or_rejected(name: str, opening: str, closing: str) -> None:
    for depth in (1, 2, 31, 32, 33, 100, *range(800, 1010)):
        nested = f"{opening * depth}1{closing * depth}"
        check(sample(**{name: "?"}).replace(b'"?"', nested.encode()))


@pytest.mark.parametrize("text", ["\\ud800", "\\udc00\\ud800", "\\ud83d", "\\ud800\\u0041"])
def test_half_a_surrogate_pair_is_not_json(text: str) -> None:
    assert refused(sample(note="?").replace(b"?", text.encode())) is Reason.NOT_JSON
    assert refused(sample(note="?").replace(b"note", text.encode())) is Reason.NOT_JSON


def test_whole_surrogate_pair_is_a_character() -> None:
    outcome = check(sample(note="?").replace(b"?", b"\\ud83d\\ude00"))
    assert isinstance(outcome, Parsed)
    assert isinstance(outcome.record, Reading)
    assert outcome.record.extra == {"note": "\N{GRINNING FACE}"}


@pytest.mark.parametrize("name", [*NUMBERS, *MORE_NUMBERS])
def test_integer_beyond_any_double_is_a_bad_value(name: str) -> None:
    assert refused(sample(**{name: 10**400})) is Reason.BAD_VALUE


def test_largest_payload_is_parsed() -> None:
    largest = sample(x="").replace(b'""', b'"%s"' % (b"x" * (128 * 1024 - len(sample(x="")))))
    assert isinstance(check(largest), Parsed)
    assert refused(largest.replace(b'x"}', b'xx"}')) is Reason.TOO_LARGE


@pytest.mark.parametrize("digits", [18, 19, 20, 39, 308, 309, 400, 4299])
@pytest.mark.parametrize("name", ["x", "timestamp", "venId", "error", "usedPowerKw", "message_num", "schemaVersion"])
def test_integer_of_any_length_is_parsed_or_rejected(name: str, digits: int) -> None:
    check(sample(**{name: 10**digits}))
    check(sample(**{name: -(10**digits)}))
    check(sample(loads=[{"id": "a", name: 10**digits}], circuits=[10**digits]))
    check(sample(circuits=[{"id": "a", "currentKw": 10**digits, "breakerAmps": 10**digits}]))


@given(st.data(), documents(SCALARS))
def test_digest_is_independent_of_key_order(data: st.DataObject, document: dict[str, Any]) -> None:
    outcome, other = (check(json.dumps(each).encode()) for each in (document, shuffled(data, document)))
    # Without its NUL, one key may become another.
    if isinstance(outcome, Parsed) and isinstance(outcome.record, Reading) and "\\u0000" not in json.dumps(document):
        assert isinstance(other, Parsed)
        assert encode_measurement(outcome.record, 0) == encode_measurement(other.record, 0)
