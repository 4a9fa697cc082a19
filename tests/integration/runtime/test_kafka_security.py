"""Kafka with SASL over TLS: every client of ours comes in, and who does not is told which setting is at fault."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from api.config import ApiConfig
from api.main import serve_api
from bridge.mqtt.subscription_store import SubscriptionStore
from gateway.certs.authority import Authority
from gateway.demo.metrics import SystemMonitor
from gateway.stack.child_guard import Guard
from gateway.stack.kafka import Kafka
from gateway.stack.polling import wait_until
from gateway.stack.ports import reserve_ports
from runtime.kafka import ensure_topics, producer
from runtime.kafka_security import check_kafka_access, diagnose_kafka_access, kafka_tls_context
from schemas.mqtt.routing import Kind
from schemas.mqtt.subscriptions import Subscription, SubscriptionList
from schemas.records.topics import HEADER_TOPIC, TELEMETRY
from schemas.settings.blocks import ApiSettings, DatabaseSettings, KafkaSettings, SettingsError, StreamsSettings
from streams.config import StreamsConfig
from streams.main import run_role
from tests.support.kafka_records import read_all

NO_DATABASE = DatabaseSettings(db_host="127.0.0.1", db_port=1, db_user="nobody", db_name="nothing")
PLAIN = "org.apache.kafka.common.security.plain.PlainLoginModule"


class SecureKafka(Kafka):
    """The local stack's Kafka, with one more listener."""

    secure_port: int

    def _properties(self, log_dir: str) -> str:
        name = super()._properties(log_dir)
        file = self._folder / name
        text = file.read_text()
        for key, more in (
            ("listeners=PLAINTEXT", f",SECURE://127.0.0.1:{self.secure_port}"),
            ("advertised.listeners=", f",SECURE://localhost:{self.secure_port}"),
            ("listener.security.protocol.map=", ",SECURE:SASL_SSL"),
        ):
            (line,) = [line for line in text.splitlines() if line.startswith(key)]
            text = text.replace(line, line + more)
        text += (
            f"listener.name.secure.ssl.keystore.type=PEM\nlistener.name.secure.ssl.keystore.location=../../server.pem\n"
            "listener.name.secure.sasl.enabled.mechanisms=PLAIN\n"
            f'listener.name.secure.plain.sasl.jaas.config={PLAIN} required user_gateway="right";\n'
        )
        file.write_text(text)
        return name


class Secured:
    """How to reach it."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.port = port
        authority = Authority.create("A CA")
        pair = authority.server(["localhost"], days=1)
        (folder / "ca.pem").write_bytes(authority.certificate)
        (folder / "other.pem").write_bytes(Authority.create("Another CA").certificate)
        (folder / "server.pem").write_bytes(pair.key + pair.certificate)

    def settings(self, **given: Any) -> KafkaSettings:
        values: dict[str, Any] = {
            "kafka_bootstrap_servers": f"localhost:{self.port}",
            "kafka_partitions": 1,
            "kafka_security_protocol": "SASL_SSL",
            "kafka_sasl_mechanism": "PLAIN",
            "kafka_sasl_username": "gateway",
            "kafka_sasl_password": "right",
            "kafka_ca_cert": str(self.folder / "ca.pem"),
        }
        return KafkaSettings(**{**values, **given})


@pytest_asyncio.fixture(scope="module")
async def secured(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Secured]:
    folder = tmp_path_factory.mktemp("secure-kafka")
    ports = reserve_ports(folder / "ports.json", ["kafka", "controller", "secure"])
    made, guard = Secured(folder, ports["secure"]), Guard()
    (folder / "server" / "kafka").mkdir(parents=True)
    server = SecureKafka(
        folder / "server" / "kafka",
        port=ports["kafka"],
        controller_port=ports["controller"],
        log=folder / "kafka.log",
        guard=guard,
        progress=logging.getLogger(__name__).info,
    )
    server.secure_port = ports["secure"]
    await server.start()
    yield made
    await server.stop()
    await guard.close()


async def test_topics_producers_streams_and_readers_connect(secured: Secured, database: DatabaseSettings) -> None:
    kafka = secured.settings()
    assert (await ensure_topics(kafka)).created
    stop = asyncio.Event()
    config = StreamsConfig("validate", kafka, StreamsSettings(streams_instance_id="v"), None)
    role = asyncio.create_task(run_role(config, stop))
    sample = json.dumps({"venId": "ven-1", "timestamp": time.time(), "usedPowerKw": 1.5}).encode()
    async with producer(kafka, "test") as log:
        headers = [(HEADER_TOPIC, b"volttron/metering")]
        await log.send_and_wait(kafka.topics.raw(Kind.METERING), sample, key=b"ven-1", headers=headers)

    async def is_validated() -> bool:
        return bool(await read_all(kafka, kafka.topics(TELEMETRY)))

    try:
        assert await wait_until(lambda: role.done() or is_validated(), 60, every=0.2)
        async with SystemMonitor(kafka, database, "http://127.0.0.1:1") as observer:
            assert (await observer.read()).received == 1
    finally:
        stop.set()
        await role


async def test_the_subscription_store_connects(secured: Secured) -> None:
    kafka = secured.settings()
    await ensure_topics(kafka)
    written = SubscriptionList((Subscription("a/+", None, 1, subscribed=True),))
    async with asyncio.timeout(60), producer(kafka, "test") as log:
        await SubscriptionStore(kafka, log, "client").write(written)
        store = SubscriptionStore(kafka, log, "client")
        await store.read()
    assert store.list == written


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"kafka_sasl_password": "wrong"}, "check KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD"),
        ({"kafka_sasl_mechanism": "SCRAM-SHA-512"}, "KAFKA_SASL_MECHANISM"),
        ({"kafka_ca_cert": "other.pem"}, "set KAFKA_CA_CERT to the CA"),
        ({"kafka_bootstrap_servers": "127.0.0.1:{port}"}, "set KAFKA_BOOTSTRAP_SERVERS to a name"),
    ],
)
async def test_a_refusal_names_the_setting(
    secured: Secured, monkeypatch: pytest.MonkeyPatch, wrong: dict[str, str], named: str
) -> None:
    monkeypatch.chdir(secured.folder)
    settings = secured.settings(**{name: value.format(port=secured.port) for name, value in wrong.items()})
    assert named in (await diagnose_kafka_access(settings) or "")
    with pytest.raises(SettingsError, match=named):
        await ensure_topics(settings)
    # The API does not wait for Kafka, but checks its access before it listens.
    with pytest.raises(SettingsError, match=named):
        await asyncio.to_thread(serve_api, ApiConfig(ApiSettings(api_port=0), NO_DATABASE, settings))


async def test_an_unreachable_kafka_is_no_access_error(secured: Secured) -> None:
    await check_kafka_access(secured.settings(kafka_bootstrap_servers="localhost:1"))
    await check_kafka_access(secured.settings())


async def test_a_missing_file_is_named(secured: Secured) -> None:
    with pytest.raises(SettingsError, match="KAFKA_CA_CERT cannot be used"):
        kafka_tls_context(secured.settings(kafka_ca_cert="/nowhere/ca.pem"))
