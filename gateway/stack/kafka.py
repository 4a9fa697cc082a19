"""Apache Kafka as one KRaft node: broker and controller in one process."""

import base64
import shutil
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError

from gateway.stack.child_guard import Guard
from gateway.stack.jars import class_path, pinned
from gateway.stack.java import clean_scratch, java_command, java_environment
from gateway.stack.polling import port_open
from gateway.stack.process import Process, run
from gateway.stack.server import Server

_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{advertised_port}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={log_dir}
auto.create.topics.enable=false
num.network.threads=2
num.io.threads=4
group.initial.rebalance.delay.ms=0
offsets.topic.replication.factor=1
offsets.topic.num.partitions=8
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=8
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=8
# After a kill, the node may register again only once its former session is over: by default 9 s later.
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
# A quarter of the default: it is taken from the heap for compaction, and our compacted topics are small.
log.cleaner.dedupe.buffer.size=33554432
"""

_SETTINGS_FILE = "server.properties"

# Kafka prints its whole configuration at every start and for every client of its own: noise that hides the rest.
_LOGGING = {"org.slf4j.simpleLogger.log.org.apache.kafka.common.config": "warn"}


class Kafka(Server):
    """A Kafka broker on loopback."""

    title = "Kafka"

    def __init__(
        self,
        folder: Path,
        *,
        port: int,
        controller_port: int,
        log: Path,
        guard: Guard,
        progress: Callable[[str], None],
        advertised_port: int | None = None,
    ) -> None:
        """Describe the broker; `advertised_port` is the port that clients use, if a proxy is in front of it."""
        super().__init__(port, progress)
        self._advertised_port = advertised_port or port
        self._folder = folder
        self._controller_port = controller_port
        self._log = log
        self._guard = guard

    async def _prepare(self) -> Process:
        classes = await class_path(self.title, pinned("kafka"), self._progress)
        clean_scratch(self._folder / "tmp")
        if not (self._folder / "data").exists():
            await self._format(classes)
        return self._process_of("kafka.Kafka", [self._properties("data")], classes, ready=self._answers)

    async def _format(self, classes: str) -> None:
        """Formatted beside its place and then moved, so that a folder of that name is always a whole one."""
        fresh = self._folder / "formatting"
        if fresh.exists():
            shutil.rmtree(fresh)
        # 22 characters of URL-safe base64; none of them a hyphen, which could be taken for an option.
        identity = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "_")
        arguments = ["format", "--cluster-id", identity, "--config", self._properties(fresh.name)]
        await run(self._process_of("kafka.tools.StorageTool", arguments, classes))
        fresh.rename(self._folder / "data")

    def _properties(self, log_dir: str) -> str:
        """Write the settings; the folder is relative, for such a file takes no comma and no umlaut in a path."""
        text = _PROPERTIES.format(
            port=self.port,
            advertised_port=self._advertised_port,
            controller_port=self._controller_port,
            log_dir=log_dir,
        )
        (self._folder / _SETTINGS_FILE).write_text(text, encoding="utf-8")
        return _SETTINGS_FILE

    def _process_of(
        self, main: str, arguments: list[str], classes: str, ready: Callable[[], Awaitable[bool]] | None = None
    ) -> Process:
        return Process(
            self.title,
            java_command(main, arguments, heap_mb=512, scratch=self._folder / "tmp", properties=_LOGGING),
            env=java_environment(classes),
            cwd=self._folder,
            log=self._log,
            guard=self._guard,
            ready=ready,
        )

    async def _answers(self) -> bool:
        # aiokafka reports a refused connection as an error in the log, hence the look at the port first.
        if not await port_open(self.port):
            return False
        client = AIOKafkaClient(bootstrap_servers=self.address)
        try:
            await client.bootstrap()
            return bool(client.cluster.brokers())
        except KafkaError:
            return False
        finally:
            await client.close()
