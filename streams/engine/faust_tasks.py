"""Declares Faust's background tasks vital: agents, timers, `app.task` and its internal tasks.

Faust ends the process when a task raises. It ignores a task that returns, or that is cancelled because something it
waited for was cancelled.
"""

import asyncio

from mode import Service
from mode.threads import ServiceThread

from runtime.supervision import Arguments, declare_vital

# Ends at once for a table without windows.
_MAY_END = frozenset({"Collection._clean_data"})


def _name(arguments: Arguments) -> str:
    """Return the name of the task's function or agent."""
    function = getattr(arguments["task"], "__qualname__", None)
    return f"the task {arguments['self'].label if function is None else function.replace('.<locals>', '')}"


def _stopped(arguments: Arguments, _task: "asyncio.Task[None]") -> bool:
    """Return whether the task may end: its service stops, or has crashed, which ends the app."""
    return bool(arguments["self"].should_stop or getattr(arguments["task"], "__qualname__", "") in _MAY_END)


def declare_faust_tasks() -> None:
    """Declare them vital; call it once per process."""
    declare_vital(Service._execute_task, _name, _stopped)  # noqa: SLF001
    declare_vital(
        ServiceThread._serve,  # noqa: SLF001
        lambda arguments: f"the thread {type(arguments['self']).__name__}",
        lambda arguments, _task: bool(arguments["self"].should_stop),
    )
