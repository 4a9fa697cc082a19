"""Simulated meters that report otherwise than every few seconds in full: each kind is one found in the field.

A meter returns what it publishes at a second of Unix time, and what must become of it.
"""

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

import msgspec

from gateway.fleet.home import Home

EVERY_SECONDS = 5
_QUARTER_HOUR = 900
_BACKLOG_SAMPLES = 6
_STEP_KW = 0.5
SPIKE_KW = 4_294_967.295
"""The largest 32-bit number of milliwatts: what a meter shows whose counter has overflowed."""


class MeterKind(StrEnum):
    """How a meter reports."""

    QUARTER_HOURLY = "quarter-hourly"
    ON_CHANGE = "on-change"  # when its power has changed by half a kilowatt
    PARTIAL = "partial"  # power, battery and loads in messages of their own
    AHEAD = "ahead"  # its clock is four minutes ahead
    BEHIND = "behind"  # its clock is five hours behind
    SPIKES = "spikes"  # every third sample is implausible
    SPLIT = "split"  # two different samples with one time
    BACKLOG = "backlog"  # half a minute of samples in one array
    CIRCUITS = "circuits"  # loads in the spellings of circuits


SKEWS = {MeterKind.AHEAD: 240, MeterKind.BEHIND: -18_000}
"""How far the clock of a kind is ahead, in seconds."""


class Row(NamedTuple):
    """A reading that must be stored: its time (Unix seconds), used power in kW, and number of loads."""

    time: int
    used_kw: float | None
    loads: int = 0


class MeterMessage(NamedTuple):
    """A payload, the readings that it must become, and the reason of its dead letter, if it must become one."""

    payload: bytes
    rows: Sequence[Row] = ()
    rejected: str | None = None


class Meter:
    """One meter of a home."""

    def __init__(self, ven_id: str, kind: MeterKind, home: Home) -> None:
        self.ven_id = ven_id
        self.kind = kind
        self._home = home
        self._messages = {
            MeterKind.QUARTER_HOURLY: self._quarter_hourly,
            MeterKind.ON_CHANGE: self._on_change,
            MeterKind.PARTIAL: self._partial,
            MeterKind.SPIKES: self._spikes,
            MeterKind.SPLIT: self._split,
            MeterKind.BACKLOG: self._in_arrays,
            MeterKind.CIRCUITS: self._as_circuits,
        }.get(kind, self._full)
        self._last_kw: float | None = None
        self._backlog: list[dict[str, Any]] = []
        self._samples = 0

    def at(self, now: int) -> Iterator[MeterMessage]:
        """Return what the meter publishes at a second of Unix time."""
        return self._messages(now)

    def _full(self, now: int) -> Iterator[MeterMessage]:
        if now % EVERY_SECONDS == 0:
            yield self._sample(now + SKEWS.get(self.kind, 0), usedPowerKw=self._kw(now))

    def _quarter_hourly(self, now: int) -> Iterator[MeterMessage]:
        if now % _QUARTER_HOUR == 0 or not self._samples:
            yield self._sample(now, usedPowerKw=self._kw(now))

    def _on_change(self, now: int) -> Iterator[MeterMessage]:
        kw = round(self._kw(now) / _STEP_KW) * _STEP_KW
        if kw != self._last_kw:
            self._last_kw = kw
            yield self._sample(now, usedPowerKw=kw)

    def _partial(self, now: int) -> Iterator[MeterMessage]:
        match now % (3 * EVERY_SECONDS):
            case 0:
                yield self._sample(now, usedPowerKw=self._kw(now), shedPowerKw=0.0)
            case 5:
                yield self._sample(now, batterySoc=0.8)
            case 10:
                yield self._sample(now, loads=self._loads(now, "currentPowerKw", "capacityKw"))

    def _spikes(self, now: int) -> Iterator[MeterMessage]:
        if now % EVERY_SECONDS:
            return
        if self._samples % 3 == 2:  # noqa: PLR2004 - every third
            payload = self._sample(now, usedPowerKw=SPIKE_KW).payload
            yield MeterMessage(payload, rejected="implausible")
        else:
            yield self._sample(now, usedPowerKw=self._kw(now))

    def _split(self, now: int) -> Iterator[MeterMessage]:
        if now % EVERY_SECONDS == 0:
            yield self._sample(now, usedPowerKw=self._kw(now))
            second = self._sample(now, loads=self._loads(now, "currentPowerKw", "capacityKw"))
            yield MeterMessage(second.payload, rejected="conflicting_sample")

    def _in_arrays(self, now: int) -> Iterator[MeterMessage]:
        if now % EVERY_SECONDS:
            return
        self._backlog.append({"venId": self.ven_id, "timestamp": now, "usedPowerKw": self._kw(now)})
        if len(self._backlog) == _BACKLOG_SAMPLES:
            samples, self._backlog = self._backlog, []
            rows = [Row(sample["timestamp"], sample["usedPowerKw"]) for sample in samples]
            yield MeterMessage(msgspec.json.encode(samples), rows)

    def _as_circuits(self, now: int) -> Iterator[MeterMessage]:
        if now % EVERY_SECONDS == 0:
            loads = self._loads(now, "current_kw", "breaker_amps")
            yield self._sample(now, usedPowerKw=self._kw(now), loads=loads)

    def _kw(self, now: int) -> float:
        return self._home.at(now).used_kw

    def _loads(self, now: int, current: str, capacity: str) -> list[dict[str, Any]]:
        meter = self._home.at(now)
        return [
            {"id": circuit.id, current: kw, capacity: circuit.capacity_kw if capacity == "capacityKw" else 30}
            for circuit, kw in zip(self._home.circuits, meter.circuits_kw, strict=True)
        ]

    def _sample(self, time: int, **fields: Any) -> MeterMessage:
        self._samples += 1
        payload = msgspec.json.encode({"venId": self.ven_id, "timestamp": time, **fields})
        return MeterMessage(payload, [Row(time, fields.get("usedPowerKw"), len(fields.get("loads", ())))])
