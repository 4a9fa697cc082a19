"""Malformed metering payloads, each with the reason code of its expected rejection."""

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple

from gateway.fleet.noise import derive

_LARGEST = 128 * 1024  # AWS IoT Core's limit, bytes
_DEEP, _VERY_DEEP = 1_000, 100_000
_YEAR_1970, _YEAR_2100 = 86_400, 4_102_444_800  # Unix seconds


class MalformedPayload(NamedTuple):
    """A payload for the metering topic. `expected_reason` is None for a valid payload that only looks malformed.

    With the reason `bad_load` the reading is stored and only the load is rejected.
    """

    name: str
    topic: str
    payload: bytes
    expected_reason: str | None


def malformed_payloads(seed: int, now: datetime, topic: str = "volttron/metering") -> list[MalformedPayload]:
    """Return all malformed payloads; the same for the same arguments. Each is valid except for its one defect.

    Ids are `ven-malformed-<8 hex>-<case>`, so that a test finds its own payloads. The time is `now`.
    """
    stem = f"ven-malformed-{derive(seed, 0) >> 32:08x}"
    stamp = int(now.timestamp())

    def sample(case: str, /, **changes: Any) -> bytes:
        """Return a valid sample with some fields changed; `...` removes a field."""
        valid = {"venId": f"{stem}-{case}", "timestamp": stamp, "usedPowerKw": 1.5, "shedPowerKw": 0.0}
        return json.dumps({key: value for key, value in (valid | changes).items() if value is not ...}).encode()

    def nested(case: str, inside: bytes) -> bytes:
        return sample(case).removesuffix(b"}") + b', "x": ' + inside

    cases: list[tuple[str, str | None, Callable[[str], bytes]]] = [
        ("not-json", "not_json", lambda _: b"power is 1.5 kW"),
        ("not-utf8", "not_json", lambda case: sample(case, note="?").replace(b"?", b"\xff\xfe")),
        ("empty", "empty", lambda _: b" \n"),
        ("string", "not_object", lambda _: b'"ready"'),
        ("no-id", "missing_id", lambda case: sample(case, venId=...)),
        ("null-id", "missing_id", lambda case: sample(case, venId=None)),
        ("slash-in-id", "bad_id", lambda case: sample(case, venId=f"{stem}/{case}")),
        ("control-in-id", "bad_id", lambda case: sample(case, venId=f"{stem}\n{case}")),
        ("nul-in-id", "bad_id", lambda case: sample(case, venId=f"{stem}\0{case}")),
        ("long-id", "bad_id", lambda case: sample(case, venId=f"{stem}-{case}".ljust(129, "x"))),
        ("no-time", "missing_time", lambda case: sample(case, timestamp=...)),
        ("text-time", "bad_time", lambda case: sample(case, timestamp="half past nine")),
        ("object-time", "bad_time", lambda case: sample(case, timestamp={"seconds": stamp})),
        ("year-1970", "too_old", lambda case: sample(case, timestamp=_YEAR_1970)),
        ("year-2100", "too_new", lambda case: sample(case, timestamp=_YEAR_2100)),
        ("nan-power", "not_json", lambda case: sample(case, usedPowerKw=float("nan"))),
        ("infinite-power", "not_json", lambda case: sample(case, usedPowerKw=float("inf"))),
        ("text-power", "bad_value", lambda case: sample(case, usedPowerKw="plenty")),
        ("implausible-power", "implausible", lambda case: sample(case, usedPowerKw=4_294_967.295)),
        ("huge-integer", "bad_value", lambda case: sample(case, usedPowerKw=10**400)),
        ("nul-in-load", "bad_load", lambda case: sample(case, loads=[{"id": "hvac1", "name": "HV\0AC"}])),
        ("deep", "too_deep", lambda case: nested(case, b"[" * _DEEP + b"]" * _DEEP + b"}")),
        # Not closed, because that would exceed the size limit; a recursive parser overflows before it notices.
        ("very-deep", "too_deep", lambda case: nested(case, b"[" * _VERY_DEEP)),
        ("duplicate-keys", None, lambda case: nested(case, b'1, "usedPowerKw": 2.5}')),
        ("large", None, lambda case: sample(case, x="").replace(b'""', b'"%s"' % _filler(sample(case, x="")))),
    ]
    return [MalformedPayload(name, topic, build(name), reason) for name, reason, build in cases]


def _filler(payload: bytes) -> bytes:
    """Return what fills a payload up to the largest size that AWS IoT Core accepts."""
    return b"x" * (_LARGEST - len(payload))
