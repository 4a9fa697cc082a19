"""Apache ActiveMQ Artemis as the MQTT broker where mosquitto is not installed."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from gateway.stack.child_guard import Guard
from gateway.stack.jars import class_path, pinned
from gateway.stack.java import clean_scratch, java_command, java_environment
from gateway.stack.mqtt import mqtt_answers
from gateway.stack.process import Process
from gateway.stack.server import Server

_MAIN = "org.apache.activemq.artemis.core.server.embedded.Main"

# All folders are relative to its working folder, for it takes a comma in a path as the end of it.
# max-disk-usage: by default publishers are held back, without a word, as soon as the disk is nine tenths full.
# max-delivery-attempts: by default a message leaves the queue when it was delivered ten times without acknowledgement,
# which a client that reconnects during a long outage reaches soon.
_BROKER = """\
<?xml version="1.0"?>
<configuration xmlns="urn:activemq">
  <core xmlns="urn:activemq:core">
    <name>gateway</name>
    <persistence-enabled>true</persistence-enabled>
    <security-enabled>false</security-enabled>
    <jmx-management-enabled>false</jmx-management-enabled>
    <critical-analyzer>false</critical-analyzer>
    <max-disk-usage>-1</max-disk-usage>
    <journal-type>NIO</journal-type>
    <journal-pool-files>10</journal-pool-files>
    <journal-datasync>true</journal-datasync>
    <journal-directory>journal</journal-directory>
    <bindings-directory>bindings</bindings-directory>
    <paging-directory>paging</paging-directory>
    <large-messages-directory>large</large-messages-directory>
    <acceptors>
      <acceptor name="mqtt">tcp://127.0.0.1:{port}?protocols=MQTT</acceptor>
    </acceptors>
    <address-settings>
      <address-setting match="#">
        <address-full-policy>PAGE</address-full-policy>
        <max-size-bytes>33554432</max-size-bytes>
        <page-size-bytes>4194304</page-size-bytes>
        <max-delivery-attempts>-1</max-delivery-attempts>
        <redelivery-delay>0</redelivery-delay>
        <default-address-routing-type>MULTICAST</default-address-routing-type>
        <default-queue-routing-type>MULTICAST</default-queue-routing-type>
      </address-setting>
    </address-settings>
  </core>
</configuration>
"""

# Its audit trail has lines for every session and message.
_LOGGING = {"org.slf4j.simpleLogger.log.org.apache.activemq.audit": "error"}


class Artemis(Server):
    """The MQTT broker, on loopback."""

    title = "MQTT (Artemis)"

    def __init__(self, folder: Path, *, port: int, log: Path, guard: Guard, progress: Callable[[str], None]) -> None:
        super().__init__(port, progress)
        self._folder = folder
        self._log = log
        self._guard = guard

    async def _prepare(self) -> Process:
        classes = await class_path("Artemis", pinned("artemis"), self._progress)
        scratch = self._folder / "tmp"
        clean_scratch(scratch)
        settings = self._folder / "etc"
        settings.mkdir(exist_ok=True)
        text = _BROKER.format(port=self.port)
        (settings / "broker.xml").write_text(text, encoding="utf-8")
        return Process(
            self.title,
            java_command(_MAIN, ["."], heap_mb=512, scratch=scratch, properties=_LOGGING),
            env=java_environment(classes),
            cwd=self._folder,
            log=self._log,
            guard=self._guard,
            ready=partial(mqtt_answers, self.port),
        )
