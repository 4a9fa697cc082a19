"""Kinds of day: people use electricity differently on weekdays, on weekends and on holidays."""

from collections.abc import Iterable
from datetime import date
from enum import StrEnum

import holidays

_SATURDAY, _SUNDAY = 5, 6


class DayKind(StrEnum):
    """What kind of day a local date is; a holiday is one whatever its weekday."""

    WEEKDAY = "weekday"
    SATURDAY = "saturday"
    SUNDAY = "sunday"
    HOLIDAY = "holiday"


class HolidayCalendar:
    """The holidays of a country or subdivision, and single dates."""

    def __init__(self, code: str | None = None, dates: Iterable[date] = ()) -> None:
        """`code` is a country (`US`) or subdivision (`US-CA`, ISO 3166-2) that the package `holidays` knows.

        Raises:
            ValueError: the package does not know the code.
        """
        self._dates = frozenset(dates)
        country, _, subdivision = (code or "").partition("-")
        try:
            self._holidays = holidays.country_holidays(country, subdiv=subdivision or None) if code else None
        except NotImplementedError as error:
            raise ValueError(f"there is no calendar for {code!r}; give a code such as US or US-CA") from error

    def kind(self, day: date) -> DayKind:
        """Return the kind of a local date."""
        if day in self._dates or (self._holidays is not None and day in self._holidays):
            return DayKind.HOLIDAY
        return {_SATURDAY: DayKind.SATURDAY, _SUNDAY: DayKind.SUNDAY}.get(day.weekday(), DayKind.WEEKDAY)
