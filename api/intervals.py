"""The interval of time that a list is asked for."""

from datetime import datetime
from typing import Annotated, NamedTuple

from fastapi import Depends, HTTPException, status

from schemas.rest.model import Moment


class Bounds(NamedTuple):
    """[start, end); None is no bound."""

    start: datetime | None
    end: datetime | None


def _bounds(start: Moment | None = None, end: Moment | None = None) -> Bounds:
    if start is not None and end is not None and end < start:
        raise HTTPException(status.HTTP_422_UNPROCESSABLE_CONTENT, "end is before start")
    return Bounds(start, end)


Interval = Annotated[Bounds, Depends(_bounds)]
