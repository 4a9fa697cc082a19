"""Background tasks that a process cannot work without: whichever ends, and however, the process does not go on."""

import asyncio
import os
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from gateway.stack import LocalStack
from gateway.stack.polling import wait_until
from runtime import supervision
from runtime.supervision import BackgroundTaskError, Supervisor
from schemas.settings.blocks import DatabaseSettings, KafkaSettings, StreamsSettings
from schemas.settings.mqtt import MqttSettings
from streams.config import StreamsConfig
from streams.engine.app import make_app
from streams.main import run_role
from streams.roles import ROLES, StreamRole
from tests.support.bridges import Bridges
from tests.support.rest import serving

WAIT = 60
ROOT = Path(__file__).parents[3]

# What may run beside what is vital: it belongs to one connection or request, or whoever started it awaits it.
PASSING = {
    "AIOKafkaConnection._read",
    "Fetcher._proc_fetch_request",
    "Fetcher._update_fetch_positions",
    "Fetcher._proc_offset_request",
    "Sender._send_produce_req",
    "ConsumerThread._pause_between_fetches.<locals>.fetch_after_pause",
    "Event.wait",
    "ThrowableQueue.get",
    "Agent._execute_actor",
    "run_role",
    "run_bridge",
    "CommandLog._follow",
    "CommandLog._prune",
    "CommandLog._write",
    "Uplink._send_all",
    "Client._misc_loop",
    "Connection._poll_socket",
    "Connection.wait_until_lost",
    "LifespanOn.main",
    "Server.serve",
    "fetch_open_network",
    "PoolConnectionHolder.release",
}

Tasks = list["asyncio.Task[Any]"]


class Recorded(Supervisor):
    """Notes what would end the process, and lets it go on to the next."""

    failures: list[str]

    def _fail(self, failure: BackgroundTaskError) -> None:
        self.failures.append(str(failure))


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    Recorded.failures = []
    for module in ("streams.main", "bridge.main", "api.lifespan"):
        monkeypatch.setattr(f"{module}.Supervisor", Recorded)
    return Recorded.failures


@pytest.fixture
def apps(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The Faust apps that are made."""
    made: list[Any] = []
    make = make_app

    def make_and_note(*given: Any) -> Any:
        made.append(make(*given))
        return made[-1]

    monkeypatch.setattr("streams.main.make_app", make_and_note)
    return made


@asynccontextmanager
async def role_of(
    role: StreamRole, kafka: KafkaSettings, database: DatabaseSettings, apps: list[Any]
) -> AsyncIterator[Any]:
    """Have a role inside that is ready; yields its task."""
    settings = StreamsSettings(streams_instance_id="one", streams_session_timeout=6, shutdown_timeout=2)
    stop = asyncio.Event()
    config = StreamsConfig(role, kafka, settings, database if role == "sink" else None)
    running = asyncio.create_task(run_role(config, stop))
    try:
        assert await wait_until(lambda: running.done() or bool(apps and apps[-1].ready), WAIT)
        yield running
    finally:
        stop.set()
        await asyncio.wait({running})


def is_vital(task: "asyncio.Task[Any]") -> bool:
    return task.get_coro().cr_code in supervision._vital  # type: ignore[union-attr]


def names(tasks: Tasks) -> Counter[str]:
    return Counter(str(getattr(task.get_coro(), "__qualname__", "")) for task in tasks)


def started_since(before: set["asyncio.Task[Any]"]) -> Tasks:
    return [task for task in asyncio.all_tasks() if task not in before]


def ends_another(task: "asyncio.Task[Any]") -> bool:
    """Whether its end is that of others, which are reported in its place.

    An agent's crashes the app, and without the others the consumer's thread cannot stop.
    """
    running = task.get_coro().cr_frame.f_locals.get("task")  # type: ignore[union-attr]
    name = getattr(running, "__qualname__", None)
    return names([task])["ServiceThread._serve"] > 0 or (
        names([task])["Service._execute_task"] > 0 and name in {None, "MethodQueueWorker._method_queue_do_work"}
    )


async def kill(tasks: Tasks, failures: list[str], but: str = "nothing") -> None:
    """End all that is vital, and see each reported; what is not vital has to be known as such."""
    assert names([task for task in tasks if not is_vital(task)]).keys() <= PASSING
    watched = [task for task in tasks if is_vital(task) and not ends_another(task) and but not in repr(task)]
    ours = [task for task in watched if is_ours(task)]
    libraries = [task for task in watched if task not in ours]
    # Ours come last: when they end, they close what they have of the libraries.
    cancel(libraries)
    assert await wait_until(lambda: len(failures) >= len(libraries), 10), (names(libraries), failures)
    cancel(ours)
    assert await wait_until(lambda: len(failures) >= len(watched), 10), (names(ours), failures)


def is_ours(task: "asyncio.Task[Any]") -> bool:
    """Whether it runs code of ours, by itself or as a task of the Faust app."""
    coroutine: Any = task.get_coro()
    running = coroutine.cr_frame.f_locals.get("task")
    in_app = "follow_power_limits" in str(getattr(running, "__qualname__", ""))
    return in_app or "site-packages" not in str(coroutine.cr_code.co_filename)


def cancel(tasks: Tasks) -> None:
    for task in tasks:
        task.get_loop().call_soon_threadsafe(task.cancel)


@pytest.mark.parametrize("role", ROLES)
async def test_every_task_of_a_role_is_watched(
    role: StreamRole, kafka: KafkaSettings, database: DatabaseSettings, apps: list[Any], recorded: list[str]
) -> None:
    before = asyncio.all_tasks()
    async with role_of(role, kafka, database, apps):
        assert await wait_until(lambda: not names(started_since(before))["AssignedPartitions._restore"], WAIT)
        thread_loop = apps[0].consumer._thread.thread_loop
        await kill([*started_since(before), *asyncio.all_tasks(thread_loop)], recorded)
    told = "\n".join(recorded)
    for part in ("consumer group", "heartbeat", "fetching", "sending", "metadata", "Consumer._commit_handler"):
        assert part in told


async def test_every_task_of_the_bridge_is_watched(
    stack: LocalStack, kafka: KafkaSettings, tmp_path: Path, recorded: list[str]
) -> None:
    before = asyncio.all_tasks()
    async with bridges(stack, kafka, tmp_path).running(mqtt_topic_metering=f"test/{uuid4()}"):
        # The end of this one is raised in the downlink, which closes its consumer and is reported itself.
        await kill(started_since(before), recorded, but="GroupCoordinator._coordination_routine")
    assert {failure.split(" was ")[0].split(" ended ")[0] for failure in recorded} >= {
        "the MQTT session",
        "the heartbeats of the bridge",
    }


async def test_every_task_of_the_api_is_watched(
    kafka: KafkaSettings, database: DatabaseSettings, recorded: list[str]
) -> None:
    before = asyncio.all_tasks()
    async with serving(database, kafka):
        assert await wait_until(lambda: "_repeat" in names(started_since(before)), WAIT)
        await kill(started_since(before), recorded)


def bridges(stack: LocalStack, kafka: KafkaSettings, folder: Path) -> Bridges:
    mqtt = MqttSettings(
        mqtt_host=stack.mqtt_host, mqtt_port=stack.mqtt_port, mqtt_use_tls=False, mqtt_client_id=f"test-{uuid4()}"
    )
    return Bridges(mqtt, kafka, folder)


@contextmanager
def assigned_nothing(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the assignment be refused, as Faust refuses one of another worker."""

    def refuse(_self: Any, _assignment: Any) -> None:
        raise AssertionError("this is another worker's")

    with monkeypatch.context() as patched:
        patched.setattr("streams.engine.group_member.Assignor.on_assignment", refuse)
        yield


async def test_a_role_ends_when_its_assignment_is_refused(
    kafka: KafkaSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with assigned_nothing(monkeypatch), pytest.raises(Exception, match="this is another worker's"):
        async with asyncio.timeout(WAIT):
            await run_role(StreamsConfig("validate", kafka, StreamsSettings(), None), asyncio.Event())


@pytest.mark.parametrize("how", ["returns", "is cancelled"])
async def test_a_role_ends_when_an_agent_does(kafka: KafkaSettings, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    async def no_batches(_stream: Any, _most: int) -> AsyncIterator[Any]:
        if how == "is cancelled":
            raise asyncio.CancelledError
        nothing: list[Any] = []
        for batches in nothing:
            yield batches

    monkeypatch.setattr("streams.validate.agents.merged_batches", no_batches)
    with pytest.raises(BackgroundTaskError):
        async with asyncio.timeout(WAIT):
            await run_role(StreamsConfig("validate", kafka, StreamsSettings(), None), asyncio.Event())


async def test_a_role_ends_when_its_coordinator_does(
    kafka: KafkaSettings, database: DatabaseSettings, apps: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    async with role_of("validate", kafka, database, apps) as running:
        thread = apps[0].consumer._thread
        thread.thread_loop.call_soon_threadsafe(thread._consumer._coordinator._coordination_task.cancel)
        assert await wait_until(running.done, WAIT)
    with pytest.raises(BackgroundTaskError, match="the coordination with the consumer group was cancelled"):
        await running
    (line,) = [record for record in caplog.records if getattr(record, "action", "") == "background_task_ended"]
    assert line.levelname == "CRITICAL"


async def test_the_bridge_ends_when_a_part_of_it_does(stack: LocalStack, kafka: KafkaSettings, tmp_path: Path) -> None:
    before = asyncio.all_tasks()
    some = bridges(stack, kafka, tmp_path)
    bridge = some.task(asyncio.Event(), mqtt_topic_metering=f"test/{uuid4()}")
    assert await wait_until(some.ready, WAIT)
    (sending,) = [task for task in started_since(before) if names([task])["Uplink._send_all"]]
    sending.cancel()
    with pytest.raises(BackgroundTaskError, match=r"the uplink \(MQTT to Kafka\) was cancelled"):
        async with asyncio.timeout(WAIT):
            await bridge


async def test_the_api_is_not_alive_when_a_part_of_it_ends(kafka: KafkaSettings, database: DatabaseSettings) -> None:
    before = asyncio.all_tasks()
    async with serving(database, kafka) as (client, app):
        assert (await client.get("/health/live")).is_success
        (reading,) = [task for task in started_since(before) if names([task])["LiveTotals._follow_totals"]]
        reading.cancel()
        assert await wait_until(lambda: app.state.supervisor.failure is not None, WAIT)
        (server,) = [task for task in started_since(before) if names([task])["Server.serve"]]
        assert await wait_until(server.done, WAIT)


HANGS = """
import asyncio, sys, time
import runtime.supervision, streams.engine.run, streams.main, gateway.cli
runtime.supervision._END_SECONDS = 1
async def end(app, deadline):
    time.sleep(600)  # as a thread that is waited for keeps the loop
streams.engine.run._stop = end
make = streams.main.make_app
def make_app(*given):
    app = make(*given)
    @app.task
    async def stops():
        return
    return app
streams.main.make_app = make_app
sys.argv = ["gateway", "streams", "validate"]
gateway.cli.main()
"""


async def test_a_process_that_hangs_while_it_ends_is_ended(kafka: KafkaSettings) -> None:
    env = {
        "KAFKA_BOOTSTRAP_SERVERS": kafka.kafka_bootstrap_servers,
        "KAFKA_TOPIC_PREFIX": kafka.kafka_topic_prefix,
        "LOG_FORMAT": "json",
    }
    command = [sys.executable, "-c", HANGS]
    process = await asyncio.create_subprocess_exec(
        *command, env=os.environ | env, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    async with asyncio.timeout(WAIT):
        _, said = await process.communicate()
    assert process.returncode == 1
    assert b'"action": "background_task_ended"' in said
    assert b"the task make_app.stops ended without an error; the process cannot work without it" in said
