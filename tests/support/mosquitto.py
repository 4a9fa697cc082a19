"""A mosquitto of a test's own, and a subscriber that remembers what it received."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from gateway.stack.polling import wait_until
from gateway.stack.ports import reserve_ports

MOSQUITTO = shutil.which(
    "mosquitto", path=os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))
)
needs_mosquitto = pytest.mark.skipif(MOSQUITTO is None, reason="the MQTT broker mosquitto is not installed")


class Mosquitto:
    """A mosquitto of our own that keeps its sessions on disk."""

    def __init__(self, folder: Path) -> None:
        self.port = reserve_ports(folder / "ports.json", ["mqtt"])["mqtt"]
        self._config = folder / "mosquitto.conf"
        self._config.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\nlog_type error\n"
            f"persistence true\npersistence_location {folder}/\nautosave_on_changes true\nautosave_interval 1\n"
            "max_queued_messages 0\nmax_inflight_messages 0\n" + ("user root\n" if os.geteuid() == 0 else "")
        )
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        assert MOSQUITTO is not None
        self._process = subprocess.Popen([MOSQUITTO, "-c", self._config])  # noqa: ASYNC220 - returns at once
        async with asyncio.timeout(30):
            while True:
                assert self._process.poll() is None
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                except OSError:
                    await asyncio.sleep(0.02)  # a port that is not there yet cannot be waited for
                else:
                    writer.close()
                    await writer.wait_closed()
                    return

    def stop(self, how: signal.Signals) -> None:
        """Stop it: SIGTERM lets it save, SIGKILL does not."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait()


class Subscriber:
    """What a subscriber with a persistent session received, across broker restarts."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, bytes]] = []
        self._changed = threading.Condition()

    def take(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        with self._changed:
            self.messages.append((message.topic, bytes(message.payload)))
            self._changed.notify_all()

    def keys(self) -> set[tuple[str, int]]:
        payloads = [json.loads(payload) for topic, payload in list(self.messages) if topic == "volttron/metering"]
        return {(payload["venId"], payload["timestamp"] * 1000) for payload in payloads}

    async def holds(self, wanted: Callable[[set[tuple[str, int]]], bool], *, seconds: float = 60) -> bool:
        """Wait until the keys are as wanted; they are looked at now and then, for that takes longer than a message."""
        return await wait_until(lambda: wanted(self.keys()), seconds, every=0.2)

    async def received(self, count: int, *, seconds: float = 60) -> bool:
        def wait() -> bool:
            with self._changed:
                return self._changed.wait_for(lambda: len(self.messages) >= count, seconds)

        return await asyncio.to_thread(wait)


@contextmanager
def subscribed(port: int) -> Iterator[Subscriber]:
    subscriber, ready = Subscriber(), threading.Event()
    client = Client(CallbackAPIVersion.VERSION2, client_id="subscriber", clean_session=False)
    client.on_connect = lambda client, *_: client.subscribe([("#", 1), ("$aws/#", 1)])
    client.on_subscribe = lambda *_: ready.set()
    client.on_message = subscriber.take
    client.connect("127.0.0.1", port)
    client.loop_start()
    try:
        assert ready.wait(30)
        yield subscriber
    finally:
        client.disconnect()
        client.loop_stop()
