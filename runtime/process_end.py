"""Ends a process whose shutdown hangs: a thread that waits for a closed event loop would keep it alive for ever."""

import os
import threading

_may_end = threading.Event()


def may_end_process() -> None:
    """Allow `end_within` to end this process. Without it, as in a run of tests, `end_within` does nothing."""
    _may_end.set()


def end_within(seconds: float) -> None:
    """Exit with status 1 after `seconds`, whatever the process waits for then."""
    if not _may_end.is_set():
        return
    timer = threading.Timer(seconds, os._exit, (1,))
    timer.daemon = True
    timer.start()
