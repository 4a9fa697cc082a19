"""Estimates how far the clocks of VENs are off, from when their messages were measured and received."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import NamedTuple

FRESH_SECONDS = 2.0
"""A message that was measured this close to its receipt comes from a clock that is right."""
AGREE_SECONDS = 5.0
"""Offsets this close to each other show the same skew; the network's delay varies by less."""
MAX_SKEW_SECONDS = 86_400.0
"""A larger difference is no evidence of a skew: the message is old, or the clock is not set."""
REAL_TIME = 0.8
"""Messages that need less than this part of the time in which they were measured are a backlog."""
SAMPLES = 3
"""How many successive messages have to agree that a clock is behind."""
MAX_VENS = 200_000
"""Beyond this number, the VENs that were silent for longest are forgotten."""


class _Offset(NamedTuple):
    seconds: float
    measured_at: datetime
    received_at: datetime


@dataclass(slots=True)
class _Clock:
    skew: float = 0.0
    behind: Sequence[_Offset] = ()
    """The latest messages, if each of them seems later than the known skew explains."""


class ClockSkews:
    """The known clock skew of each VEN, in seconds: what to add to its times to get the gateway's.

    An offset is the receive time minus the time of measurement: the skew plus the delay on the way. Delays are never
    negative, so the smallest offset of a short window is the best estimate (the clock filter of NTP, RFC 5905,
    section 10). Therefore a smaller offset is believed at once. A larger one may be a delay, such as a backlog that is
    uploaded; it is believed after `SAMPLES` messages with about the same offset, which arrived as slowly as they were
    measured. Until then a clock that is behind counts as before.
    """

    def __init__(self) -> None:
        self._clocks: OrderedDict[str, _Clock] = OrderedDict()

    def known(self, ven_id: str, measured_at: datetime, received_at: datetime) -> float:
        """Return the skew of a message that was sent at an unknown time, such as a retained one.

        It is the known skew of the VEN, 0 without any, or less if the message would be measured after its receipt.
        """
        clock = self._clocks.get(ven_id)
        skew = 0.0 if clock is None else clock.skew
        seconds = (received_at - measured_at).total_seconds()
        if seconds >= skew:
            return skew
        return seconds if abs(seconds) > FRESH_SECONDS else 0.0

    def observe(self, ven_id: str, measured_at: datetime, received_at: datetime) -> float:
        """Take a message into account and return the skew of the VEN that sent it."""
        seconds = (received_at - measured_at).total_seconds()
        clock = self._clocks.get(ven_id)
        if clock is None:
            clock = self._clocks[ven_id] = _Clock()
            if len(self._clocks) > MAX_VENS:
                self._clocks.popitem(last=False)
        else:
            self._clocks.move_to_end(ven_id)
        if -FRESH_SECONDS <= seconds <= FRESH_SECONDS:
            clock.skew, clock.behind = 0.0, ()
        elif abs(seconds) > MAX_SKEW_SECONDS:
            clock.behind = ()
        elif seconds < clock.skew:
            clock.skew, clock.behind = seconds, ()
        elif seconds <= clock.skew + AGREE_SECONDS and clock.skew:
            clock.behind = ()
        elif not clock.behind or clock.behind[-1].measured_at != measured_at:  # some devices send each sample twice
            clock.behind = (*clock.behind, _Offset(seconds, measured_at, received_at))[-SAMPLES:]
            if _are_steady(clock.behind):
                clock.skew, clock.behind = min(offset.seconds for offset in clock.behind), ()
        return clock.skew


def _are_steady(offsets: Sequence[_Offset]) -> bool:
    """Whether these offsets show a clock that is behind, and not messages that were held back."""
    seconds = [offset.seconds for offset in offsets]
    first, last = offsets[0], offsets[-1]
    return (
        len(offsets) == SAMPLES
        and max(seconds) - min(seconds) <= AGREE_SECONDS
        and all(earlier.measured_at < later.measured_at for earlier, later in pairwise(offsets))
        # What arrives faster than it was measured is a backlog.
        and last.received_at - first.received_at >= (last.measured_at - first.measured_at) * REAL_TIME
    )
