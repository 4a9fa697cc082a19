"""The background tasks of aiokafka's clients, declared vital, each with how its client shows that it was closed.

aiokafka has no public access to them; tests/integration/runtime/test_background_tasks.py fails where an upgrade renames
one.
"""

import asyncio
from typing import Any

from aiokafka.client import AIOKafkaClient
from aiokafka.consumer.fetcher import Fetcher
from aiokafka.consumer.group_coordinator import GroupCoordinator, NoGroupCoordinator
from aiokafka.producer.sender import Sender

from runtime.supervision import Arguments, declare_vital

# ruff: noqa: SLF001

_NO_MEMBER = ""


def _closing(arguments: Arguments, _task: "asyncio.Task[Any]") -> bool:
    return bool(arguments["self"]._closing.done())


def _heartbeats_pause(arguments: Arguments, task: "asyncio.Task[Any]") -> bool:
    """Between two generations of the group there are none; an error of theirs reaches whoever reads the consumer."""
    coordinator = arguments["self"]
    return bool(
        coordinator._closing.done()
        or coordinator.member_id == _NO_MEMBER
        or coordinator._rejoin_needed_fut.done()
        or coordinator._heartbeat_task is not task
        or (not task.cancelled() and task.exception() is not None)
    )


def _assignment_over(arguments: Arguments, task: "asyncio.Task[Any]") -> bool:
    """Each assignment has a task of its own; an error of it reaches whoever reads the consumer."""
    return bool(
        arguments["self"]._closing.done()
        or not arguments["assignment"].active
        or (not task.cancelled() and task.exception() is not None)
    )


def declare_kafka_tasks() -> None:
    """Declare them; once is enough."""
    declare_vital(GroupCoordinator._coordination_routine, "the coordination with the consumer group", _closing)
    declare_vital(GroupCoordinator._heartbeat_routine, "the heartbeat to the consumer group", _heartbeats_pause)
    declare_vital(GroupCoordinator._commit_refresh_routine, "the look-up of committed offsets", _assignment_over)
    declare_vital(
        NoGroupCoordinator._reset_committed_routine,
        "the look-up of positions",
        lambda arguments, task: arguments["self"]._reset_committed_task is not task,
    )
    declare_vital(
        Fetcher._fetch_requests_routine,
        "the fetching of records from the log",
        lambda arguments, _task: bool(arguments["self"]._closed),
    )
    declare_vital(
        Sender._sender_routine,
        "the sending of records to the log",
        lambda arguments, _task: bool(arguments["self"]._message_accumulator._closed),
    )
    declare_vital(
        AIOKafkaClient._md_synchronizer,
        "the refresh of the log's metadata",
        lambda arguments, task: arguments["self"]._sync_task is not task,
    )
