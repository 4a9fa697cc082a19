"""When each VEN publishes: once an interval, evenly spread over it, so that the fleet does not publish in bursts."""

import heapq
import itertools
from collections.abc import Iterator
from typing import NamedTuple

from gateway.fleet.options import FleetOptions


class Slot(NamedTuple):
    """VEN number `ven` publishes a sample or a load snapshot `offset_ms` after the fleet's start."""

    offset_ms: int
    ven: int
    snapshot: bool


def slots(options: FleetOptions) -> Iterator[Slot]:
    """Return the endless sequence of slots in order of time; integer times keep (VEN, time) unique."""
    samples = _every_interval(options.vens, options.interval_ms, snapshot=False)
    if options.snapshot_topic is None:
        return samples
    return heapq.merge(samples, _every_interval(options.vens, options.loads_interval_ms, snapshot=True))


def _every_interval(vens: int, interval_ms: int, *, snapshot: bool) -> Iterator[Slot]:
    for begun_ms in itertools.count(0, interval_ms):
        for ven in range(vens):
            yield Slot(begun_ms + ven * interval_ms // vens, ven, snapshot)
