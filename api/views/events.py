"""DR events as REST shows them."""

from collections.abc import Mapping
from statistics import fmean
from typing import Any, Literal

from api.figures import Answer, Figures
from schemas.rest.events import Event, EventDetail, EventMetrics, EventVen, EventWithMetrics

VenStatus = Literal["targeted", "accepted", "refused", "shedding", "restored"]


def event_view(row: Any, actual_reduction_kw: float) -> Event:
    """Make an event of its row."""
    return Event(**_fields(row, actual_reduction_kw))


def metrics_view(figures: Figures) -> EventMetrics:
    """Show how an event goes."""
    return EventMetrics(**_metrics(figures))


def event_with_metrics_view(row: Any, figures: Figures) -> EventWithMetrics:
    """Show an event and how it goes."""
    return EventWithMetrics(**_fields(row, figures.actual_kw), **_metrics(figures))


def detail_view(row: Any, figures: Figures, names: Mapping[str, str]) -> EventDetail:
    """Show an event, how it goes, and these VENs of it."""
    vens = [
        EventVen(
            ven_id=ven_id,
            ven_name=name,
            shed_kw=figures.sheds.get(ven_id, 0.0),
            status=ven_status(figures.answers.get(ven_id), figures.sheds.get(ven_id, 0.0)),
        )
        for ven_id, name in names.items()
    ]
    return EventDetail(**_fields(row, figures.actual_kw), **_metrics(figures), vens=vens)


def ven_status(answer: Answer | None, shed_kw: float) -> VenStatus:
    """Tell how far a VEN got: the last of these that is known of it."""
    if answer is not None and answer.restored:
        return "restored"
    if shed_kw > 0:
        return "shedding"
    if answer is not None and answer.accepted:
        return "accepted"
    if answer is not None and answer.refused:
        return "refused"
    return "targeted"


def _fields(row: Any, actual_reduction_kw: float) -> dict[str, Any]:
    return {
        "id": row["event_id"],
        "status": row["status"],
        "start_time": row["start_time"],
        "end_time": row["end_time"],
        "requested_reduction_kw": row["requested_reduction_kw"],
        "actual_reduction_kw": actual_reduction_kw,
        "ven_ids": row["ven_ids"],
        "created_at": row["created_at"],
        "ended_at": row["ended_at"],
        "cancelled_at": row["cancelled_at"],
    }


def _metrics(figures: Figures) -> dict[str, Any]:
    times = figures.response_ms
    return {
        "current_reduction_kw": figures.current_kw,
        "vens_responding": len(figures.responding),
        "avg_response_ms": round(fmean(times)) if times else 0,
        "responses": len(times),
    }
