"""Tells a cancellation of the current task from the cancellation of something that it awaits."""

import asyncio


def pending_cancellations() -> int:
    """Return the number of pending cancellation requests of the current task."""
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()
