"""The publish ledger: which samples a fleet published, and which of them the MQTT broker accepted (PUBACK)."""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import msgspec


class Sample(NamedTuple):
    """One published sample: used power in kW, and how many loads (circuits) it listed."""

    used_kw: float
    loads: int


@dataclass(slots=True, eq=False)
class _Samples:
    """The samples of one VEN, 19 bytes each, so that a ledger of millions fits into memory."""

    times_ms: "array[int]" = field(default_factory=lambda: array("q"))
    used_kw: "array[float]" = field(default_factory=lambda: array("d"))
    loads: "array[int]" = field(default_factory=lambda: array("H"))
    accepted: bytearray = field(default_factory=bytearray)

    def items(self, *, accepted_only: bool) -> Iterator[tuple[int, Sample]]:
        for at, time_ms in enumerate(self.times_ms):
            if self.accepted[at] or not accepted_only:
                yield time_ms, Sample(self.used_kw[at], self.loads[at])


class LedgerEntry(NamedTuple):
    """The position of a published sample in the ledger."""

    samples: _Samples
    at: int


class _Line(msgspec.Struct):
    """One VEN in the file; `accepted` has a 1 or 0 for each sample."""

    ven: str
    times_ms: list[int]
    used_kw: list[float]
    loads: list[int]
    accepted: str


class PublishLedger:
    """The samples of each VEN by their times (Unix milliseconds).

    A sample without a PUBACK may have reached the broker. So the database must contain every sample of
    `accepted_samples`, and none that is not in `published_samples`.
    """

    def __init__(self) -> None:
        self._vens: dict[str, _Samples] = {}
        self._accepted = 0
        self._published = 0

    def __len__(self) -> int:
        """Return how many samples the broker accepted."""
        return self._accepted

    @property
    def published(self) -> int:
        """How many samples were published."""
        return self._published

    def add(self, ven_id: str, time_ms: int, sample: Sample) -> LedgerEntry:
        """Record a sample that is being published; pass the entry to `accept` when its PUBACK arrives."""
        samples = self._vens.get(ven_id)
        if samples is None:
            samples = self._vens[ven_id] = _Samples()
        samples.times_ms.append(time_ms)
        samples.used_kw.append(sample.used_kw)
        samples.loads.append(sample.loads)
        samples.accepted.append(0)
        self._published += 1
        return LedgerEntry(samples, len(samples.times_ms) - 1)

    def accept(self, entry: LedgerEntry) -> None:
        """Record that the broker accepted a sample."""
        if not entry.samples.accepted[entry.at]:
            entry.samples.accepted[entry.at] = 1
            self._accepted += 1

    def accepted_samples(self) -> dict[str, dict[int, Sample]]:
        """Return the accepted samples by VEN id and time (ms)."""
        return self._as_dicts(accepted_only=True)

    def published_samples(self) -> dict[str, dict[int, Sample]]:
        """Return all published samples by VEN id and time (ms)."""
        return self._as_dicts(accepted_only=False)

    def write(self, path: Path) -> None:
        """Write the ledger as JSON lines, one VEN a line, for another process to read."""
        encoder = msgspec.json.Encoder()
        with path.open("wb") as file:
            for ven_id, samples in self._vens.items():
                flags = "".join(map(str, samples.accepted))
                file.write(
                    encoder.encode(
                        _Line(
                            ven_id, samples.times_ms.tolist(), samples.used_kw.tolist(), samples.loads.tolist(), flags
                        )
                    )
                )
                file.write(b"\n")

    @classmethod
    def read(cls, path: Path) -> "PublishLedger":
        """Read a ledger that `write` wrote."""
        ledger = cls()
        decoder = msgspec.json.Decoder(_Line)
        with path.open("rb") as file:
            for raw in file:
                line = decoder.decode(raw)
                rows = zip(line.times_ms, line.used_kw, line.loads, line.accepted, strict=True)
                for time_ms, used_kw, loads, flag in rows:
                    entry = ledger.add(line.ven, time_ms, Sample(used_kw, loads))
                    if flag == "1":
                        ledger.accept(entry)
        return ledger

    def _as_dicts(self, *, accepted_only: bool) -> dict[str, dict[int, Sample]]:
        per_ven = {ven: dict(samples.items(accepted_only=accepted_only)) for ven, samples in self._vens.items()}
        return {ven: samples for ven, samples in per_ven.items() if samples}
