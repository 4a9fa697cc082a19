"""DR events as REST shows them."""

from collections.abc import Iterable
from typing import Any

from api.services.event_performance import EventPerformance
from schemas.rest.events import Event, EventDetail, EventMetrics, EventVen, EventWithMetrics, Funnel, ResponseTimes


def event_view(row: Any, actual_reduction_kw: float) -> Event:
    """Make an event of its row."""
    return Event(**_fields(row, actual_reduction_kw))


def metrics_view(performance: EventPerformance) -> EventMetrics:
    """Show how an event performs."""
    return EventMetrics(**_metrics(performance))


def event_with_metrics_view(row: Any, performance: EventPerformance) -> EventWithMetrics:
    """Show an event and how it performs."""
    return EventWithMetrics(**_fields(row, performance.actual_kw), **_metrics(performance))


def detail_view(row: Any, performance: EventPerformance, vens: Iterable[Any]) -> EventDetail:
    """Show an event, how it performs, and its VENs; `vens` are rows of `event_ven_progress`."""
    return EventDetail(
        **_fields(row, performance.actual_kw),
        **progress_fields(performance.totals),
        current_reduction_kw=performance.current_kw,
        started_at=row["started_at"],
        missed=row["missed"],
        delivered_kwh=performance.delivered_kwh,
        covered_share=performance.covered_share,
        vens=[_ven(ven) for ven in vens],
    )


def progress_fields(totals: Any) -> dict[str, Any]:
    """Return what REST and the live feed both show of a row of `event_progress`."""
    return {
        **_responses(totals),
        "response_ms": ResponseTimes(p50=_rounded(totals["p50_ms"]), p95=_rounded(totals["p95_ms"])),
        "funnel": Funnel(**{name: totals[name] for name in Funnel.model_fields}),
    }


def _ven(ven: Any) -> EventVen:
    return EventVen(
        ven_id=ven["ven_id"],
        ven_name=ven["ven_name"],
        shed_kw=ven["shed_kw"] or 0.0,
        status=ven["status"],
        share_kw=ven["share_kw"],
        capability_kw=ven["capability_kw"],
        reason=ven["reason"],
        late=ven["late"],
        delivered_kwh=ven["energy_kwh"],
        correlation_id=ven["correlation_id"],
        acked_after_ms=_rounded(ven["response_ms"]),
    )


def _rounded(milliseconds: float | None) -> int | None:
    return None if milliseconds is None else round(milliseconds)


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


def _metrics(performance: EventPerformance) -> dict[str, Any]:
    return {"current_reduction_kw": performance.current_kw, **_responses(performance.totals)}


def _responses(totals: Any) -> dict[str, Any]:
    return {
        "vens_responding": totals["responding"],
        "avg_response_ms": _rounded(totals["mean_ms"]) or 0,
        "responses": totals["responses"],
    }
