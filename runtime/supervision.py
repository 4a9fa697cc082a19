"""Ends the process when a vital background task ends, whatever the reason.

Libraries start tasks that nobody awaits, such as aiokafka's coordinator and Faust's services. If one raises, returns or
is cancelled from within, the process still answers its health checks but does no work. So a task factory checks each
task at its start: `vital` and `declare_vital` register the coroutine functions whose tasks are vital. When a vital task
ends and its owner was not closed, the supervisor logs one sentence and ends the process with an error.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from contextvars import ContextVar, Token
from dataclasses import dataclass
from types import CodeType, TracebackType
from typing import Any, Self, TypeVar

from runtime.process_end import force_exit_after
from schemas.base.errors import GatewayError

logger = logging.getLogger(__name__)

_SETTLE_SECONDS = 0.25
"""How long after the end of its task an owner may take to show that it was closed."""
_END_SECONDS = 20.0
"""How long the shutdown may take: longer than the default SHUTDOWN_TIMEOUT and its grace together."""

Arguments = Mapping[str, Any]
MayEnd = Callable[[Arguments, "asyncio.Task[Any]"], bool]
"""Returns whether a task may end now, given the arguments of its coroutine (with `self`) and the task."""
F = TypeVar("F", bound=Callable[..., Coroutine[Any, Any, Any]])


class BackgroundTaskError(GatewayError):
    """A vital background task ended."""


@dataclass(frozen=True, slots=True)
class _Vital:
    describe: Callable[[Arguments], str]
    may_end: MayEnd


_vital: dict[CodeType, _Vital] = {}
_supervisor: ContextVar["Supervisor | None"] = ContextVar("supervisor", default=None)


def declare_vital(
    function: Callable[..., Coroutine[Any, Any, Any]], what: str | Callable[[Arguments], str], may_end: MayEnd
) -> None:
    """Declare that the tasks of this coroutine function are vital.

    `what` names the task in the log. `may_end` is called when the task has ended, and again a moment later.
    """
    describe = what if callable(what) else lambda _: what
    _vital[function.__code__] = _Vital(describe, may_end)


def vital(what: str) -> Callable[[F], F]:
    """Declare that the tasks of a coroutine function are vital and end only with the process."""

    def declare(function: F) -> F:
        declare_vital(function, what, lambda _arguments, _task: False)
        return function

    return declare


def watch_tasks_of(loop: asyncio.AbstractEventLoop) -> None:
    """Watch the tasks of a loop: each by the supervisor of the context in which it starts."""
    if loop.get_task_factory() is not _start_task:
        loop.set_task_factory(_start_task)  # type: ignore[arg-type]


def _start_task(
    loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any], **options: Any
) -> "asyncio.Task[Any]":
    task = asyncio.Task(coroutine, loop=loop, **options)
    kind = _vital.get(getattr(coroutine, "cr_code", None))  # type: ignore[arg-type]
    supervisor = _supervisor.get() if kind is not None else None
    if kind is not None and supervisor is not None:
        supervisor.watch(task, kind, dict(coroutine.cr_frame.f_locals))  # type: ignore[attr-defined]
    return task


class Supervisor:
    """Watches the vital tasks that start inside its context, also in threads that run in a copy of the context.

    When one ends, `failure` says which and why, and the task that opened the context is cancelled. At the end of the
    context, the cancellation becomes the BackgroundTaskError. With `cancel=False`, the task continues and must check
    `failure`, as the API's lifespan does.
    """

    def __init__(self, *, cancel: bool = True) -> None:
        self.failure: BackgroundTaskError | None = None
        self._cancel = cancel
        self._stopping = False

    def __enter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._token: Token[Supervisor | None] = _supervisor.set(self)
        watch_tasks_of(self._loop)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop_watching()
        _supervisor.reset(self._token)
        if self.failure is None or self._task is None or not self._cancel:
            return
        if self._task.uncancel() == 0 and kind is asyncio.CancelledError:
            raise self.failure from self.failure.__cause__

    def stop_watching(self) -> None:
        """Ignore ends of tasks from now on: the process shuts down."""
        self._stopping = True

    def watch(self, task: "asyncio.Task[Any]", kind: _Vital, arguments: Arguments) -> None:
        """Watch a vital task."""

        def ended_unexpectedly() -> bool:
            return not self._stopping and not kind.may_end(arguments, task)

        def on_end(_: "asyncio.Task[Any]") -> None:
            if ended_unexpectedly():
                task.get_loop().call_later(_SETTLE_SECONDS, fail_if_unexpected)

        def fail_if_unexpected() -> None:
            if ended_unexpectedly():
                self._loop.call_soon_threadsafe(self._fail, _failure(kind.describe(arguments), task))

        task.add_done_callback(on_end)

    def _fail(self, failure: BackgroundTaskError) -> None:
        if self._stopping or self.failure is not None:
            return
        self.failure = failure
        logger.critical("%s", failure, exc_info=failure.__cause__, extra={"action": "background_task_ended"})
        force_exit_after(_END_SECONDS)
        if self._cancel and self._task is not None:
            self._task.cancel()


def _failure(what: str, task: "asyncio.Task[Any]") -> BackgroundTaskError:
    cause = None if task.cancelled() else task.exception()
    if cause is not None:
        why = f"failed with {type(cause).__name__}: {cause}"
    else:
        why = "was cancelled from within" if task.cancelled() else "ended without an error"
    failure = BackgroundTaskError(f"{what} {why}; the process cannot work without it, ends and must be restarted")
    failure.__cause__ = cause
    return failure
