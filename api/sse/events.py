"""Publishes DR events with their status, funnel and performance when any of it changed."""

from typing import Any

from api.queries.event_progress import fetch_progress
from api.queries.feed import fetch_open_events
from api.sse.broadcaster import Broadcaster
from api.sse.message_ids import now_micros
from api.sse.messages import FeedEntry
from api.views.events import progress_fields
from runtime.database import Pool
from schemas.rest.events import Funnel, ResponseTimes
from schemas.rest.feed import EventChange

MOST_EVENTS = 1000


class EventPoller:
    """Remembers what it published last of each event."""

    def __init__(self, broadcaster: Broadcaster, pool: Pool, hold_seconds: float) -> None:
        self._broadcaster = broadcaster
        self._pool = pool
        self._hold_seconds = hold_seconds
        self._published: dict[str, bytes] | None = None

    async def poll(self) -> None:
        """Publish the events that changed; at the first poll all, for clients that followed before this process."""
        began = now_micros()
        rows = await fetch_open_events(self._pool, MOST_EVENTS)
        # Before an event begins there is nothing to count; clients that followed it also learn how it ended.
        counted = [row["event_id"] for row in rows if row["status"] in {"active", "completed"}]
        progress = await fetch_progress(self._pool, counted, self._hold_seconds) if counted else {}
        bodies = {row["event_id"]: _change(row, progress.get(row["event_id"])) for row in rows}
        first = self._published is None
        before = self._published or {}
        self._published = bodies
        for event_id, body in bodies.items():
            if before.get(event_id) != body:
                self._broadcaster.publish("event", [FeedEntry(body, event_id=event_id)], latest_of=f"event {event_id}")
        for event_id in before.keys() - bodies.keys():
            self._broadcaster.forget_latest(f"event {event_id}")
        if first:
            # Older events do not change: what a client missed since then is published above.
            self._broadcaster.replay_buffer.mark_complete("event", began - 10 * 60 * 1_000_000)


def _change(row: Any, totals: Any | None) -> bytes:
    active_kw = totals["shed_kw"] if totals is not None and row["status"] == "active" else 0.0
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
        **(_NOTHING if totals is None else progress_fields(totals)),
    )
    return change.model_dump_json(by_alias=True).encode()


_NOTHING = {
    "vens_responding": 0,
    "avg_response_ms": 0,
    "responses": 0,
    "response_ms": ResponseTimes(p50=None, p95=None),
    "funnel": Funnel(**dict.fromkeys(Funnel.model_fields, 0)),
}
