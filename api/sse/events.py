"""DR events: their status, their funnel and their figures, told when anything of it changed."""

from typing import Any

from api.queries.feed import fetch_open_events, fetch_progress
from api.sse.broadcaster import Broadcaster
from api.sse.message_ids import now_micros
from api.sse.messages import FeedEntry
from runtime.database import Pool
from schemas.rest.events import Funnel, ResponseTimes
from schemas.rest.feed import EventChange

MOST_EVENTS = 1000


class EventPoller:
    """Knows what it told of each event."""

    def __init__(self, broadcaster: Broadcaster, pool: Pool) -> None:
        self._broadcaster = broadcaster
        self._pool = pool
        self._told: dict[str, bytes] | None = None

    async def poll(self) -> None:
        """Tell what is new; at first of all events, for those who were there before this process."""
        began = now_micros()
        rows = await fetch_open_events(self._pool, MOST_EVENTS)
        # Who was told of it before they were over is told how they ended; before they begin there is nothing to count.
        counted = [row["event_id"] for row in rows if row["status"] in {"active", "completed"}]
        progress = await fetch_progress(self._pool, counted) if counted else {}
        bodies = {row["event_id"]: _change(row, progress.get(row["event_id"])) for row in rows}
        first = self._told is None
        before = self._told or {}
        self._told = bodies
        for event_id, body in bodies.items():
            if before.get(event_id) != body:
                self._broadcaster.publish("event", [FeedEntry(body, event_id=event_id)], latest_of=f"event {event_id}")
        for event_id in before.keys() - bodies.keys():
            self._broadcaster.forget(f"event {event_id}")
        if first:
            # An event that was over 10 minutes ago has no news; so long before, everything is told above.
            self._broadcaster.replay_buffer.covers("event", began - 10 * 60 * 1_000_000)


def _change(row: Any, progress: Any | None) -> bytes:
    counts = dict.fromkeys(Funnel.model_fields, 0) if progress is None else dict(progress)
    times = progress if progress is not None and progress["responses"] else None
    active_kw = float(counts.get("kw", 0)) if row["status"] == "active" else 0.0
    actual: float | None = active_kw
    if row["status"] == "completed":
        actual = row["actual_reduction_kw"] if row["is_settled"] else None
    change = EventChange(
        id=row["event_id"],
        status=row["status"],
        start_time=row["start_time"],
        end_time=row["end_time"],
        requested_reduction_kw=row["requested_reduction_kw"],
        actual_reduction_kw=actual,
        current_reduction_kw=active_kw,
        created_at=row["created_at"],
        ended_at=row["ended_at"],
        cancelled_at=row["cancelled_at"],
        vens_responding=counts.get("responding", 0),
        avg_response_ms=round(times["mean_ms"]) if times else 0,
        responses=counts.get("responses", 0),
        response_ms=ResponseTimes(
            p50=round(times["p50"]) if times else None, p95=round(times["p95"]) if times else None
        ),
        funnel=Funnel(**{name: counts[name] for name in Funnel.model_fields}),
    )
    return change.model_dump_json(by_alias=True).encode()
