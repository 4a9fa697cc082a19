"""The three servers together, on loopback, with one data folder."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from gateway.stack.artemis import Artemis
from gateway.stack.child_guard import Guard
from gateway.stack.errors import StackError
from gateway.stack.folder import FolderLock
from gateway.stack.kafka import Kafka
from gateway.stack.mosquitto import Mosquitto, find_mosquitto
from gateway.stack.polling import gather_all
from gateway.stack.ports import reserve_ports
from gateway.stack.postgres import Postgres
from gateway.stack.server import Server

MqttBroker = Literal["auto", "mosquitto", "artemis"]
"""Which MQTT broker to start; `auto` is mosquitto where it is installed, else ActiveMQ Artemis."""

_log = logging.getLogger(__name__)


class LocalStack:
    """Kafka, PostgreSQL and MQTT on loopback with free ports and one data folder.

    The servers, their addresses and the guard exist after `start`.
    """

    kafka: Kafka
    postgres: Postgres
    mqtt: Server
    guard: Guard
    """Ties further processes to the life of this one."""

    def __init__(
        self,
        data: Path,
        *,
        mqtt: MqttBroker = "auto",
        kafka_advertised_port: int | None = None,
        progress: Callable[[str], None] = _log.info,
    ) -> None:
        """Describe the stack; nothing is started yet.

        Args:
            data: the folder of all data and logs; one running stack per folder.
            mqtt: the MQTT broker; "auto" takes mosquitto where it is installed, else Artemis.
            kafka_advertised_port: the port that Kafka clients use, if a proxy is in front of Kafka.
            progress: receives progress messages.
        """
        self.data = data.expanduser().resolve()
        self._mqtt_kind = mqtt
        self._kafka_advertised_port = kafka_advertised_port
        self._progress = progress
        self._lock = FolderLock(self.data)
        self._servers: list[Server] = []
        self._started = False

    @property
    def kafka_bootstrap(self) -> str:
        return self.kafka.address

    @property
    def mqtt_host(self) -> str:
        return self.mqtt.host

    @property
    def mqtt_port(self) -> int:
        return self.mqtt.port

    @property
    def postgres_host(self) -> str:
        return self.postgres.host

    @property
    def postgres_port(self) -> int:
        return self.postgres.port

    @property
    def postgres_user(self) -> str:
        return self.postgres.user

    @property
    def postgres_password(self) -> str:
        return self.postgres.password

    @property
    def postgres_database(self) -> str:
        return self.postgres.database

    @property
    def logs(self) -> Path:
        """The folder of the log files; further processes may log there too."""
        return self.data / "logs"

    def environment(self) -> dict[str, str]:
        """The settings with which the project's processes find these servers."""
        return {
            "DB_HOST": self.postgres_host,
            "DB_PORT": str(self.postgres_port),
            "DB_USER": self.postgres_user,
            "DB_PASSWORD": self.postgres_password,
            "DB_NAME": self.postgres_database,
            "MQTT_ENABLED": "true",
            "MQTT_HOST": self.mqtt_host,
            "MQTT_PORT": str(self.mqtt_port),
            "MQTT_USE_TLS": "false",
            "KAFKA_BOOTSTRAP_SERVERS": self.kafka_bootstrap,
        }

    async def start(self) -> None:
        """Start the three servers in parallel; when one fails, the others are stopped and its StackError is raised."""
        if self._started:
            raise StackError("The local stack is already running: stop it first.")
        self._make_folders()
        self.guard = Guard(keep_open=[await self._lock.acquire()])
        self._started = True
        try:
            self._describe()
            await gather_all(server.start() for server in self._servers)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop the servers, then all other processes that the guard knows."""
        if not self._started:
            return
        self._started = False
        await asyncio.gather(*(server.stop() for server in self._servers))
        await self.guard.close()
        self._lock.release()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def _make_folders(self) -> None:
        try:
            for folder in (self.data, self.logs, self.data / "kafka", self.data / "mqtt"):
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StackError(f"{self.data} cannot be used ({error}): choose another folder.") from error

    def _describe(self) -> None:
        ports = reserve_ports(self.data / "ports.json", ["kafka", "kafka_controller", "postgres", "mqtt"])
        self.kafka = Kafka(
            self.data / "kafka",
            port=ports["kafka"],
            controller_port=ports["kafka_controller"],
            log=self.logs / "kafka.log",
            guard=self.guard,
            progress=self._progress,
            advertised_port=self._kafka_advertised_port,
        )
        self.postgres = Postgres(
            self.data / "postgres",
            port=ports["postgres"],
            log=self.logs / "postgres.log",
            guard=self.guard,
            progress=self._progress,
        )
        kind = self._mqtt_kind
        if kind == "auto":
            kind = "mosquitto" if find_mosquitto() else "artemis"
        broker = Mosquitto if kind == "mosquitto" else Artemis
        self.mqtt = broker(
            self.data / "mqtt" / kind,
            port=ports["mqtt"],
            log=self.logs / "mqtt.log",
            guard=self.guard,
            progress=self._progress,
        )
        self._servers = [self.kafka, self.postgres, self.mqtt]
