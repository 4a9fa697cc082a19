"""Declares the background tasks of aiokafka's clients vital, each with the condition under which it may end.

aiokafka gives no public access to them. tests/integration/runtime/test_background_tasks.py fails if an upgrade renames
one.
"""

import asyncio
from typing import Any

from aiokafka.client import AIOKafkaClient
from aiokafka.consumer.fetcher import Fetcher
from aiokafka.consumer.group_coordinator import GroupCoordinator, NoGroupCoordinator
from aiokafka.producer.sender import Sender

from runtime.supervision import Arguments, declare_vital

# ruff: noqa: SLF001 - aiokafka shows the state of its tasks only in private attributes

_NO_MEMBER = ""


def _closing(arguments: Arguments, _task: "asyncio.Task[Any]") -> bool:
    return bool(arguments["self"]._closing.done())


def _heartbeats_pause(arguments: Arguments, task: "asyncio.Task[Any]") -> bool:
    """Return whether heartbeats may end: none run between two generations, and the consumer raises their errors."""
    coordinator = arguments["self"]
    return bool(
        coordinator._closing.done()
        or coordinator.member_id == _NO_MEMBER
        or coordinator._rejoin_needed_fut.done()
        or coordinator._heartbeat_task is not task
        or (not task.cancelled() and task.exception() is not None)
    )


def _assignment_ended(arguments: Arguments, task: "asyncio.Task[Any]") -> bool:
    """Return whether the task may end: each assignment has its own, and the consumer raises its errors."""
    return bool(
        arguments["self"]._closing.done()
        or not arguments["assignment"].active
        or (not task.cancelled() and task.exception() is not None)
    )


def declare_kafka_tasks() -> None:
    """Declare them vital; call it once per process."""
    declare_vital(GroupCoordinator._coordination_routine, "the coordination with the consumer group", _closing)
    declare_vital(GroupCoordinator._heartbeat_routine, "the heartbeat to the consumer group", _heartbeats_pause)
    declare_vital(GroupCoordinator._commit_refresh_routine, "the refresh of committed offsets", _assignment_ended)
    declare_vital(
        NoGroupCoordinator._reset_committed_routine,
        "the reset of read positions",
        lambda arguments, task: arguments["self"]._reset_committed_task is not task,
    )
    declare_vital(
        Fetcher._fetch_requests_routine,
        "the fetching of records from Kafka",
        lambda arguments, _task: bool(arguments["self"]._closed),
    )
    declare_vital(
        Sender._sender_routine,
        "the sending of records to Kafka",
        lambda arguments, _task: bool(arguments["self"]._message_accumulator._closed),
    )
    declare_vital(
        AIOKafkaClient._md_synchronizer,
        "the refresh of Kafka's metadata",
        lambda arguments, task: arguments["self"]._sync_task is not task,
    )
