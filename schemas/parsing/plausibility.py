"""Checks the power in records: beyond the limit of its VEN (kW, either way) it cannot be true."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from schemas.base.rejection import Reason, RejectedError, Rejection
from schemas.parsing.loads import MAX_REJECTED
from schemas.parsing.result import Parsed
from schemas.parsing.shadow import Shadow
from schemas.records.telemetry import LoadSnapshot, Reading

_SHADOW_FIELDS = ("usedPowerKw", "power_kw", "shedPowerKw", "shed_kw", "baselinePowerKw", "base_power_kw")
_SHADOW_LOAD_FIELDS = ("capacityKw", "currentPowerKw", "currentKw", "current_kw", "shedCapabilityKw")


def check_power(parsed: Parsed, limit_kw: float) -> Parsed | Rejection:
    """Return the record without implausible loads, each with a rejection of its own; or a rejection of the record."""
    check = _CHECKS.get(type(parsed.record))
    if check is None:
        return parsed
    try:
        return check(parsed, limit_kw)
    except RejectedError as error:
        return error.rejection


def _check_reading(parsed: Parsed, limit_kw: float) -> Parsed:
    reading: Reading = parsed.record
    _check("used power", reading.used_power_kw, limit_kw)
    _check("shed power", reading.shed_power_kw, limit_kw)
    _check("baseline power", reading.baseline_power_kw, limit_kw)
    return _check_loads(parsed, limit_kw) if reading.loads else parsed


def _check(name: str, power_kw: float | None, limit_kw: float) -> None:
    if power_kw is not None and not -limit_kw <= power_kw <= limit_kw:
        raise RejectedError(Reason.IMPLAUSIBLE, f"its {name} is {power_kw} kW; at most {limit_kw} kW are plausible")


def _check_loads(parsed: Parsed, limit_kw: float) -> Parsed:
    record: Reading | LoadSnapshot = parsed.record
    # This runs for every load of every sample, so it calls no function for each.
    good = tuple(
        [
            load
            for load in record.loads or ()
            if -limit_kw <= (load.current_power_kw or 0.0) <= limit_kw
            and -limit_kw <= (load.capacity_kw or 0.0) <= limit_kw
            and -limit_kw <= (load.shed_capability_kw or 0.0) <= limit_kw
        ]
    )
    if len(good) == len(record.loads or ()):
        return parsed
    ids = {load.id for load in good}
    rejections = _rejections([load.id for load in record.loads or () if load.id not in ids], limit_kw)
    return Parsed(msgspec.structs.replace(record, loads=good), (*parsed.rejected_loads, *rejections))


def _check_shadow(parsed: Parsed, limit_kw: float) -> Parsed:
    """Check the powers of the reported state; the document has any form, so other values are ignored."""
    shadow: Shadow = parsed.record
    reported = shadow.document["state"]["reported"]
    for name in _SHADOW_FIELDS:
        _check(name, _number(reported.get(name)), limit_kw)
    plausible, bad = dict(reported), []
    for name in ("loads", "circuits"):
        if isinstance(entries := reported.get(name), list):
            plausible[name] = [entry for entry in entries if _is_plausible_entry(entry, limit_kw)]
            bad += [str(entry.get("id")) for entry in entries if not _is_plausible_entry(entry, limit_kw)]
    if not bad:
        return parsed
    document = {**shadow.document, "state": {**shadow.document["state"], "reported": plausible}}
    record = msgspec.structs.replace(shadow, document=document)
    return Parsed(record, (*parsed.rejected_loads, *_rejections(bad, limit_kw)))


def _is_plausible_entry(entry: Any, limit_kw: float) -> bool:
    if not isinstance(entry, Mapping):
        return True
    return all(-limit_kw <= (_number(entry.get(name)) or 0.0) <= limit_kw for name in _SHADOW_LOAD_FIELDS)


def _number(value: Any) -> float | None:
    return value if isinstance(value, int | float) else None


def _rejections(ids: Sequence[str], limit_kw: float) -> list[Rejection]:
    """Return a bounded number of rejections, because each becomes a dead letter."""
    limit = f"at most {limit_kw} kW are plausible"
    found = [
        Rejection(Reason.IMPLAUSIBLE, f"the power of the load {load_id!r} is too high; {limit}")
        for load_id in ids[:MAX_REJECTED]
    ]
    if len(ids) > MAX_REJECTED:
        found.append(Rejection(Reason.IMPLAUSIBLE, f"and {len(ids) - MAX_REJECTED} more loads; {limit}"))
    return found


_CHECKS: Mapping[type, Callable[[Parsed, float], Parsed]] = {
    Reading: _check_reading,
    LoadSnapshot: _check_loads,
    Shadow: _check_shadow,
}
