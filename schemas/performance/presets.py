"""The baseline methods that a program may choose."""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from schemas.performance.day_kinds import DayKind

LOOKBACK_DAYS = 45
"""How far back days are looked for."""

METER_BEFORE_TIME = timedelta(hours=1)
"""`meter-before` averages this time before the event."""


class BaselinePreset(StrEnum):
    """The names of the methods in REST and in the database."""

    AVG_10_OF_10 = "avg-10of10"
    HIGH_5_OF_10 = "high-5of10"
    HIGH_4_OF_5 = "high-4of5"
    METER_BEFORE = "meter-before"


@dataclass(frozen=True, slots=True)
class DayCount:
    """Of the last `candidates` usable days of a kind, the `chosen` with the highest energy count, but `minimum`."""

    candidates: int
    chosen: int
    minimum: int


@dataclass(frozen=True, slots=True)
class AdjustmentRule:
    """How the hours from `begins` to `ends` before the event correct the baseline.

    With a `ratio` range the baseline is multiplied, otherwise the mean difference is added.
    """

    begins: timedelta
    ends: timedelta
    ratio: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class BaselineMethod:
    """How a baseline comes from past days.

    `kinds` are the kinds of day that are alike, in groups. A candidate below `low_share` of the candidates' average
    energy is replaced by the next one.
    """

    weekdays: DayCount
    other_days: DayCount
    kinds: tuple[frozenset[DayKind], ...]
    adjustment: AdjustmentRule
    low_share: float = 0.0

    def alike(self, kind: DayKind) -> frozenset[DayKind]:
        """Return the kinds of day that can stand for a day of this kind."""
        return next(group for group in self.kinds if kind in group)

    def count(self, kind: DayKind) -> DayCount:
        """Return how many days are selected for a day of this kind."""
        return self.weekdays if kind is DayKind.WEEKDAY else self.other_days


_WEEKDAY = frozenset({DayKind.WEEKDAY})
_TWO_KINDS = (_WEEKDAY, frozenset({DayKind.SATURDAY, DayKind.SUNDAY, DayKind.HOLIDAY}))
_THREE_KINDS = (_WEEKDAY, frozenset({DayKind.SATURDAY}), frozenset({DayKind.SUNDAY, DayKind.HOLIDAY}))

_HOUR = timedelta(hours=1)

METHODS: dict[BaselinePreset, BaselineMethod] = {
    BaselinePreset.AVG_10_OF_10: BaselineMethod(
        weekdays=DayCount(candidates=10, chosen=10, minimum=5),
        other_days=DayCount(candidates=4, chosen=4, minimum=4),
        kinds=_TWO_KINDS,
        adjustment=AdjustmentRule(4 * _HOUR, 1 * _HOUR, ratio=(0.8, 1.2)),
    ),
    BaselinePreset.HIGH_5_OF_10: BaselineMethod(
        weekdays=DayCount(candidates=10, chosen=5, minimum=5),
        other_days=DayCount(candidates=5, chosen=3, minimum=3),
        kinds=_TWO_KINDS,
        adjustment=AdjustmentRule(4 * _HOUR, 2 * _HOUR, ratio=(0.6, 1.4)),
    ),
    BaselinePreset.HIGH_4_OF_5: BaselineMethod(
        weekdays=DayCount(candidates=5, chosen=4, minimum=4),
        other_days=DayCount(candidates=3, chosen=2, minimum=2),
        kinds=_THREE_KINDS,
        adjustment=AdjustmentRule(4 * _HOUR, 1 * _HOUR, ratio=None),
        low_share=0.25,
    ),
}
"""The methods that use past days: all but `meter-before`."""
