"""Ends a process whose shutdown hangs: a thread that waits for a closed event loop would keep it alive for ever."""

import os
import threading

_may_end = threading.Event()


def allow_forced_exit() -> None:
    """Allow `force_exit_after` to end this process; without this call, as in tests, it does nothing."""
    _may_end.set()


def force_exit_after(seconds: float) -> None:
    """Exit with status 1 after `seconds`, whatever the process waits for then."""
    if not _may_end.is_set():
        return
    timer = threading.Timer(seconds, os._exit, (1,))
    timer.daemon = True
    timer.start()
