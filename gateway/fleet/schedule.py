"""Whose turn it is: every VEN once an interval, the fleet spread evenly over it, so that no herd thunders."""

import heapq
import itertools
from collections.abc import Iterator
from typing import NamedTuple

from gateway.fleet.options import FleetOptions


class Slot(NamedTuple):
    """VEN number `ven` measures `offset_ms` after the fleet's start, and sends a sample or a load snapshot."""

    offset_ms: int
    ven: int
    snapshot: bool


def slots(options: FleetOptions) -> Iterator[Slot]:
    """The turns of a fleet, without end, in order of time; times are integers, so that keys never meet by rounding."""
    samples = _rounds(options.vens, options.interval_ms, snapshot=False)
    if options.snapshot_topic is None:
        return samples
    return heapq.merge(samples, _rounds(options.vens, options.loads_interval_ms, snapshot=True))


def _rounds(vens: int, interval_ms: int, *, snapshot: bool) -> Iterator[Slot]:
    for begun_ms in itertools.count(0, interval_ms):
        for ven in range(vens):
            yield Slot(begun_ms + ven * interval_ms // vens, ven, snapshot)
