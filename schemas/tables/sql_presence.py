"""When a VEN is online: one rule, in SQL, for the API that shows it and the dispatcher that goes by it."""


def status_of(offline_after: str) -> str:
    """Return the expression for a VEN's status, of `vens AS v` and `ven_status AS s`.

    `offline_after` is the expression for the seconds without a reading after which a VEN is offline. `disabled` stays
    until patched, a status that was given stays until the VEN is heard; then its readings and last will decide.
    """
    return f"""CASE WHEN v.status = 'disabled' THEN 'disabled'
            WHEN s.received_at IS NULL OR s.received_at < v.status_set_at THEN v.status
            WHEN s.reading_received_at > now() - {offline_after}::float8 * interval '1 second'
                 AND s.reading_received_at > COALESCE(s.left_at, '-infinity') THEN 'online'
            ELSE 'offline' END"""
