"""Faust's background tasks, declared vital: agents, timers, `app.task`, and what Faust itself runs beside them.

Faust ends the process for a task that raises. One that returns, or is cancelled because something it waited for was,
it lets go without a word.
"""

import asyncio

from mode import Service
from mode.threads import ServiceThread

from runtime.supervision import Arguments, declare_vital

# Nothing to do for a table without windows.
_MAY_END = frozenset({"Collection._clean_data"})


def _name(arguments: Arguments) -> str:
    """Return the function that runs, or the agent."""
    function = getattr(arguments["task"], "__qualname__", None)
    return f"the task {arguments['self'].label if function is None else function.replace('.<locals>', '')}"


def _stopped(arguments: Arguments, _task: "asyncio.Task[None]") -> bool:
    """What has crashed ends the app by itself."""
    return bool(arguments["self"].should_stop or getattr(arguments["task"], "__qualname__", "") in _MAY_END)


def declare_faust_tasks() -> None:
    """Declare them; once is enough."""
    declare_vital(Service._execute_task, _name, _stopped)  # noqa: SLF001
    declare_vital(
        ServiceThread._serve,  # noqa: SLF001
        lambda arguments: f"the thread {type(arguments['self']).__name__}",
        lambda arguments, _task: bool(arguments["self"].should_stop),
    )
