"""The whole system on one machine: the local stack, and all our processes under supervision."""

import asyncio
import json
import logging
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from gateway.local.worker import Worker
from gateway.stack import LocalStack, MqttBroker, StackError
from gateway.stack.polling import gather_all, wait_until
from gateway.stack.ports import is_free, reserve_ports
from migrations.run import migrate
from runtime.kafka import ensure_topics
from schemas.settings.access import AccessSettings
from schemas.settings.blocks import DatabaseSettings, KafkaSettings
from schemas.settings.mqtt import MqttTopicSettings
from streams.roles import ROLES, StreamRole

logger = logging.getLogger(__name__)

READY_SECONDS = 60
API_PORT = 8000
# Many devices publish samples or load snapshots only on these topics, so they are subscribed without any setting.
# A sample that arrives on two topics counts once.
DEVICE_TOPICS = {"BACKEND_LOADS_TOPIC": "ven/loads/+", "MQTT_TOPICS": "ven/telemetry/+"}


def topic_settings(given: Mapping[str, str]) -> dict[str, str]:
    """Return every MQTT topic setting: as given, else from the environment or `.env`, else the default.

    Raises:
        SettingsError: a setting is not a topic filter.
    """
    chosen = MqttTopicSettings.load(**given)
    # A setting that is empty is off, so the check is whether it was set, not whether it is empty.
    defaults = {name: text for name, text in DEVICE_TOPICS.items() if name.lower() not in chosen.model_fields_set}
    return {name.upper(): text for name, text in chosen.model_dump().items()} | defaults


def default_topics() -> dict[str, str]:
    """Return the default MQTT topic settings, ignoring the environment and `.env`.

    The simulated fleet publishes on these topics. A bridge with other topics would appear to lose data.
    """
    return {name.upper(): field.default for name, field in MqttTopicSettings.model_fields.items()} | DEVICE_TOPICS


class System:
    """Everything between VENs and dashboards, on loopback."""

    def __init__(
        self,
        data: Path,
        *,
        mqtt: MqttBroker = "auto",
        settings: Mapping[str, str] | None = None,
        kafka_advertised_port: int | None = None,
        progress: Callable[[str], None] = logger.info,
    ) -> None:
        """Prepare the system; `settings` override the environment.

        Raises:
            SettingsError: an MQTT topic setting is not a topic filter.
        """
        self.stack = LocalStack(data, mqtt=mqtt, kafka_advertised_port=kafka_advertised_port, progress=progress)
        self.workers: dict[str, Worker] = {}
        self._given = dict(settings or {})
        self.topics = topic_settings(self._given)
        self._progress = progress
        self._env: dict[str, str] = {}

    @property
    def api(self) -> str:
        """The base URL of the API."""
        return f"http://{self._env['API_HOST']}:{self._env['API_PORT']}"

    @property
    def requires_login(self) -> bool:
        """Whether the API requires a key or a token."""
        return not AccessSettings.load(**self._block(AccessSettings)).is_open(self._env["API_HOST"])

    @property
    def database(self) -> DatabaseSettings:
        """The settings of the database."""
        return DatabaseSettings.load(**self._block(DatabaseSettings))

    @property
    def kafka(self) -> KafkaSettings:
        """The settings of Kafka."""
        return KafkaSettings.load(**self._block(KafkaSettings))

    def _block(self, block: Any) -> dict[str, Any]:
        return {name: self._env[name.upper()] for name in block.model_fields if name.upper() in self._env}

    async def start(self) -> None:
        """Start the servers, update tables and topics, start our processes, and wait until all are ready.

        Raises:
            StackError: something did not start (everything else is stopped again), or the port of the API is taken.
        """
        # Otherwise requests to this API would reach another system.
        port = self._given.get("API_PORT") or os.environ.get("API_PORT", "")
        if port.isdecimal() and not is_free(int(port)):
            raise StackError(
                f"port {port} is taken; stop the program that listens there, or set API_PORT to another port"
            )
        await self.stack.start()
        try:
            self._env = self._environment()
            await migrate(self.database)
            await ensure_topics(self.kafka)
            self._progress("Tables and topics are up to date; starting the processes …")
            self._add_workers()
            await gather_all(worker.start() for worker in self.workers.values())
            await self.all_ready()
            self._write_endpoints()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop our processes, which finish their work first, then the servers."""
        await asyncio.gather(*(worker.stop() for worker in self.workers.values()))
        await self.stack.stop()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @asynccontextmanager
    async def until(self, stop: asyncio.Event) -> AsyncIterator[bool]:
        """Run the system inside the block; yields False if `stop` was set before it was ready."""
        starting, stopping = asyncio.create_task(self.start()), asyncio.create_task(stop.wait())
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not starting.done():
            starting.cancel()
            await asyncio.wait({starting})
            yield False
            return
        starting.result()
        try:
            yield True
        finally:
            await self.stop()

    def add_worker(self, role: StreamRole, number: int, *, named: bool = True) -> Worker:
        """Add a worker of a stream role; the caller starts it, and `stop` stops it.

        A `named` worker keeps its partitions during a restart; others return them when they leave.
        """
        name = f"streams-{role}-{number}"
        port = reserve_ports(self.stack.data / "health-ports.json", [name])[name]
        own = {"STREAMS_HEALTH_PORT": str(port), "STREAMS_INSTANCE_ID": name if named else ""}
        self._add(name, ("streams", role), own, port)
        return self.workers[name]

    def endpoints(self) -> dict[str, str | int]:
        """Return the addresses of all servers and of the API."""
        stack = self.stack
        password = stack.postgres_password
        database = f"{stack.postgres_host}:{stack.postgres_port}/{stack.postgres_database}"
        return {
            "api": self.api,
            "mqtt_host": stack.mqtt_host,
            "mqtt_port": stack.mqtt_port,
            "kafka": stack.kafka_bootstrap,
            "postgres": f"postgresql://{stack.postgres_user}:{password}@{database}",
        }

    def _environment(self) -> dict[str, str]:
        defaults = {
            "API_HOST": "127.0.0.1",
            "API_PORT": str(API_PORT),
            # People read the logs of a local system.
            "LOG_FORMAT": "text",
        }
        chosen = {name: os.environ[name] for name in defaults if name in os.environ}
        if "API_PORT" not in {*chosen, *self._given} and not is_free(API_PORT):
            # This port is remembered with the data.
            defaults["API_PORT"] = str(reserve_ports(self.stack.data / "health-ports.json", ["api"])["api"])
            self._progress(f"Port {API_PORT} is taken; the API uses port {defaults['API_PORT']} instead.")
        return {**defaults, **chosen, **self.stack.environment(), **self.topics, **self._given}

    def _add_workers(self) -> None:
        roles = [f"streams-{role}" for role in ROLES]
        ports = reserve_ports(self.stack.data / "health-ports.json", ["bridge", *roles])
        self._add("bridge", ("bridge",), {"BRIDGE_HEALTH_PORT": str(ports["bridge"])}, ports["bridge"])
        for role, name in zip(ROLES, roles, strict=True):
            own = {"STREAMS_HEALTH_PORT": str(ports[name]), "STREAMS_INSTANCE_ID": f"{name}-1"}
            self._add(name, ("streams", role), own, ports[name])
        self._add("api", ("api",), {}, None)

    def _add(self, name: str, command: tuple[str, ...], own: Mapping[str, str], port: int | None) -> None:
        self.workers[name] = Worker(
            name,
            command,
            env={**self._env, **own},
            log=self.stack.logs / f"{name}.log",
            guard=self.stack.guard,
            health=self.api if port is None else f"http://127.0.0.1:{port}",
        )

    async def all_ready(self) -> None:
        """Wait until all our processes are ready.

        Raises:
            StackError: one is not ready after a minute.
        """
        for worker in self.workers.values():
            if not await wait_until(worker.ready, READY_SECONDS):
                raise StackError(f"{worker.name} was not ready within {READY_SECONDS} s: {worker.process.see_log()}")
            self._progress(f"{worker.name} is ready")

    def _write_endpoints(self) -> None:
        """Write the addresses as endpoints.json, and as settings in gateway.env; both contain a password."""
        settings = {**self.stack.environment(), **{name: self.topics[name] for name in DEVICE_TOPICS}}
        lines = "".join(f"{name}={value}\n" for name, value in settings.items())
        health = json.dumps({name: worker.health for name, worker in self.workers.items()}, indent=2)
        # endpoints.json is written last, so that a script can wait for it.
        files = {"health.json": health, "gateway.env": lines, "endpoints.json": json.dumps(self.endpoints(), indent=2)}
        for name, text in files.items():
            descriptor = os.open(self.stack.data / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(text)
