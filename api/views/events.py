"""DR events as REST shows them."""

from collections.abc import Mapping, Sequence
from math import ceil
from statistics import fmean
from typing import Any

from api.services.event_metrics import EventPerformance
from api.services.event_progress import Progress, funnel
from schemas.rest.events import Event, EventDetail, EventMetrics, EventVen, EventWithMetrics, ResponseTimes


def event_view(row: Any, actual_reduction_kw: float) -> Event:
    """Make an event of its row."""
    return Event(**_fields(row, actual_reduction_kw))


def metrics_view(figures: EventPerformance) -> EventMetrics:
    """Show how an event goes."""
    return EventMetrics(**_metrics(figures))


def event_with_metrics_view(row: Any, figures: EventPerformance) -> EventWithMetrics:
    """Show an event and how it goes."""
    return EventWithMetrics(**_fields(row, figures.actual_kw), **_metrics(figures))


def detail_view(row: Any, figures: EventPerformance, names: Mapping[str, str]) -> EventDetail:
    """Show an event, how it goes, and its VENs; the name of one that was deleted is its id."""
    times = figures.response_ms
    return EventDetail(
        **_fields(row, figures.actual_kw),
        **_metrics(figures),
        started_at=row["started_at"],
        missed=row["missed"],
        delivered_kwh=figures.delivered_kwh,
        covered_share=figures.covered_share,
        funnel=funnel(figures.vens.values()),
        response_ms=ResponseTimes(p50=percentile(times, 50), p95=percentile(times, 95)),
        vens=[_ven(ven_id, names.get(ven_id, ven_id), ven, figures) for ven_id, ven in figures.vens.items()],
    )


def _ven(ven_id: str, name: str, ven: Progress, figures: EventPerformance) -> EventVen:
    chosen = figures.chosen.get(ven_id)
    over = figures.delivered.get(ven_id)
    return EventVen(
        ven_id=ven_id,
        ven_name=name,
        shed_kw=figures.sheds.get(ven_id, 0.0),
        status=ven.status,
        share_kw=None if chosen is None else chosen["share_kw"],
        capability_kw=None if chosen is None else chosen["capability_kw"],
        reason=None if chosen is None else chosen["reason"],
        late=chosen is not None and chosen["late"],
        delivered_kwh=None if over is None else over.energy_kwh,
        correlation_id=ven.correlation_id,
        acked_after_ms=None if ven.response_ms is None else round(ven.response_ms),
    )


def percentile(ascending: Sequence[float], percent: int) -> int | None:
    """Return the value that so many percent of them do not exceed; None of nothing."""
    if not ascending:
        return None
    return round(ascending[ceil(len(ascending) * percent / 100) - 1])


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


def _metrics(figures: EventPerformance) -> dict[str, Any]:
    times = figures.response_ms
    return {
        "current_reduction_kw": figures.current_kw,
        "vens_responding": figures.responding,
        "avg_response_ms": round(fmean(times)) if times else 0,
        "responses": len(times),
    }
