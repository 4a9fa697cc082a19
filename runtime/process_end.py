"""The end of a process that hangs while it ends: a thread that waits for a dead loop would keep it for ever."""

import os
import threading

_whole_process = threading.Event()


def may_end_process() -> None:
    """Note that this process does one work only; in one that does more, such as a run of tests, nothing is ended."""
    _whole_process.set()


def end_within(seconds: float) -> None:
    """End the process with status 1 after some seconds, whatever it waits for then."""
    if not _whole_process.is_set():
        return
    timer = threading.Timer(seconds, os._exit, (1,))
    timer.daemon = True
    timer.start()
