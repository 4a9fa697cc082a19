"""Ends the process when a background task ends that it cannot work without, whatever the reason.

Libraries start tasks that nobody awaits: aiokafka's coordinator, Faust's services. One that raises, returns or is
cancelled from within leaves a process that answers its health checks and works no more. So every task is looked at when
it starts: the code of its coroutine says whether it is vital (`vital`, `declare_vital`). When a vital task ends and
nobody has closed what it belongs to, the supervisor logs one sentence and ends the process with an error.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from contextvars import ContextVar, Token
from dataclasses import dataclass
from types import CodeType, TracebackType
from typing import Any, Self, TypeVar

from runtime.process_end import end_within
from schemas.base.errors import GatewayError

logger = logging.getLogger(__name__)

_SETTLE_SECONDS = 0.25
"""What an owner that closes may take from the end of its task until it shows."""
_END_SECONDS = 20.0
"""How long the process may take to end in order: longer than SHUTDOWN_TIMEOUT by default and its grace."""

Arguments = Mapping[str, Any]
InOrder = Callable[[Arguments, "asyncio.Task[Any]"], bool]
"""Whether a task may end now; the arguments are those of its coroutine, `self` among them."""
F = TypeVar("F", bound=Callable[..., Coroutine[Any, Any, Any]])


class BackgroundTaskError(GatewayError):
    """A background task ended that the process cannot work without."""


@dataclass(frozen=True, slots=True)
class _Vital:
    what: Callable[[Arguments], str]
    in_order: InOrder


_vital: dict[CodeType, _Vital] = {}
_supervisor: ContextVar["Supervisor | None"] = ContextVar("supervisor", default=None)


def declare_vital(
    function: Callable[..., Coroutine[Any, Any, Any]], what: str | Callable[[Arguments], str], in_order: InOrder
) -> None:
    """Declare that a process cannot work without a task of this coroutine function.

    `what` it does is for the log; `in_order` is asked when the task has ended, and again a moment later.
    """
    describe = what if callable(what) else lambda _: what
    _vital[function.__code__] = _Vital(describe, in_order)


def vital(what: str) -> Callable[[F], F]:
    """Declare a coroutine function of ours whose task ends only with the process."""

    def declare(function: F) -> F:
        declare_vital(function, what, lambda _arguments, _task: False)
        return function

    return declare


def watch_tasks_of(loop: asyncio.AbstractEventLoop) -> None:
    """Have the tasks of a loop watched, by the supervisor of the context in which each starts."""
    if loop.get_task_factory() is not _start_task:
        loop.set_task_factory(_start_task)  # type: ignore[arg-type]


def _start_task(
    loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any], **options: Any
) -> "asyncio.Task[Any]":
    task = asyncio.Task(coroutine, loop=loop, **options)
    known = _vital.get(getattr(coroutine, "cr_code", None))  # type: ignore[arg-type]
    supervisor = _supervisor.get() if known is not None else None
    if known is not None and supervisor is not None:
        supervisor.watch(task, known, dict(coroutine.cr_frame.f_locals))  # type: ignore[attr-defined]
    return task


class Supervisor:
    """Watches the vital tasks that start inside its context, also in threads that run in a copy of the context.

    When one ends, `failure` says which and why, and the task that opened the context is cancelled; at the end of the
    context the cancellation becomes the BackgroundTaskError. Whoever opens it in a task that must go on, as the API's
    lifespan must, gives `cancel=False` and looks at `failure`.
    """

    def __init__(self, *, cancel: bool = True) -> None:
        self.failure: BackgroundTaskError | None = None
        self._cancel = cancel
        self._over = False

    def __enter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._token: Token[Supervisor | None] = _supervisor.set(self)
        watch_tasks_of(self._loop)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.over()
        _supervisor.reset(self._token)
        if self.failure is None or self._task is None or not self._cancel:
            return
        if self._task.uncancel() == 0 and kind is asyncio.CancelledError:
            raise self.failure from self.failure.__cause__

    def over(self) -> None:
        """From here on tasks end because the process does."""
        self._over = True

    def watch(self, task: "asyncio.Task[Any]", known: _Vital, arguments: Arguments) -> None:
        """Watch a vital task."""

        def judge() -> None:
            if not self._over and self.failure is None and not known.in_order(arguments, task):
                failure = _failure(known.what(arguments), task)
                self._loop.call_soon_threadsafe(self._fail, failure)

        def ended(_: "asyncio.Task[Any]") -> None:
            if self._over or known.in_order(arguments, task):
                return
            task.get_loop().call_later(_SETTLE_SECONDS, judge)

        task.add_done_callback(ended)

    def _fail(self, failure: BackgroundTaskError) -> None:
        if self._over or self.failure is not None:
            return
        self.failure = failure
        logger.critical("%s", failure, exc_info=failure.__cause__, extra={"action": "background_task_ended"})
        end_within(_END_SECONDS)
        if self._cancel and self._task is not None:
            self._task.cancel()


def _failure(what: str, task: "asyncio.Task[Any]") -> BackgroundTaskError:
    cause = None if task.cancelled() else task.exception()
    if cause is not None:
        why = f"failed with {type(cause).__name__}: {cause}"
    else:
        why = "was cancelled from within" if task.cancelled() else "ended without an error"
    failure = BackgroundTaskError(f"{what} {why}; the process cannot work without it and ends, to be started again")
    failure.__cause__ = cause
    return failure
