"""When a VEN sheds for what it was told: one rule, in SQL, for the API and the dispatcher: neither adds a second."""

# Of `commands AS c`. `restore` ends whatever is active, and a device ends an event by itself: after either it may be
# told again. Of a DR event it is not free before the event is closed, though its time is over: the restore is yet to be
# decided, and would end what the VEN is told meanwhile. One that never went out is not being done.
SHEDS_NOW = """
c.op IN ('event', 'shedPanel')
AND (c.expired_at IS NULL OR COALESCE(c.sending_at, c.sent_at, c.acked_at, c.reported_at) IS NOT NULL)
AND (c.ends_at > now()
     OR c.phase = 'event' AND EXISTS (SELECT FROM events AS e WHERE e.event_id = c.event_id AND e.closed_at IS NULL
                                          AND c.ends_at >= e.end_time))
"""
