"""Whether the current task was asked to end, told apart from an end that something it waited for has come to."""

import asyncio


def cancellations() -> int:
    """Return how many requests to end the current task has that are not done with."""
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()
