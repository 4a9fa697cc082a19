"""The local stack with its real servers: data and sessions outlive kills, children do not outlive their parent."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import aiomqtt
import asyncpg
import psutil
import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from gateway.stack import LocalStack, Process, Server, StackError
from gateway.stack.artemis import Artemis
from gateway.stack.child_guard import Guard
from gateway.stack.child_guard_main import alive
from gateway.stack.jars import class_path, pinned
from gateway.stack.mosquitto import Mosquitto, find_mosquitto
from gateway.stack.polling import wait_until
from gateway.stack.ports import is_free, reserve_ports


@pytest_asyncio.fixture(scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalStack]:
    async with LocalStack(tmp_path_factory.mktemp("stack")) as running:
        yield running


@pytest_asyncio.fixture
async def guard() -> AsyncIterator[Guard]:
    guard = Guard()
    yield guard
    await guard.close()


async def test_records_survive_a_kill_of_kafka(stack: LocalStack) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=stack.kafka_bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic("kept", num_partitions=1, replication_factor=1)])
    await admin.close()
    async with AIOKafkaProducer(bootstrap_servers=stack.kafka_bootstrap, acks="all") as producer:
        for number in range(100):
            await producer.send("kept", b"%d" % number)
        await producer.flush()
    address = stack.kafka.address
    await stack.kafka.kill()
    assert not stack.kafka.running
    await stack.kafka.start()
    assert stack.kafka.address == address
    consumer = AIOKafkaConsumer(
        "kept", bootstrap_servers=stack.kafka_bootstrap, group_id="reader", auto_offset_reset="earliest"
    )
    async with asyncio.timeout(60), consumer:
        values = [(await consumer.getone()).value for _ in range(100)]
    assert values == [b"%d" % number for number in range(100)]


async def connect(stack: LocalStack) -> asyncpg.Connection:
    return await asyncpg.connect(
        host=stack.postgres_host,
        port=stack.postgres_port,
        user=stack.postgres_user,
        password=stack.postgres_password,
        database=stack.postgres_database,
    )


async def test_rows_survive_a_kill_of_postgres(stack: LocalStack) -> None:
    connection = await connect(stack)
    await connection.execute("CREATE TABLE kept (number int)")
    await connection.execute("INSERT INTO kept SELECT generate_series(1, 1000)")
    await connection.close()
    await stack.postgres.kill()
    await stack.postgres.start()
    connection = await connect(stack)
    assert await connection.fetchval("SELECT count(*) FROM kept") == 1000
    assert await connection.fetchval("SHOW fsync") == "on"
    await connection.close()


async def test_postgres_restarts_after_a_kill_of_its_main_process(stack: LocalStack) -> None:
    assert stack.postgres.pid is not None
    os.kill(stack.postgres.pid, signal.SIGKILL)
    assert await wait_until(lambda: not stack.postgres.running, timeout=60)
    await stack.postgres.start()
    await (await connect(stack)).close()


async def test_postgres_asks_for_the_password(stack: LocalStack) -> None:
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(f"postgresql://gateway:wrong@{stack.postgres.address}/gateway")
    assert (stack.data / "postgres" / "password").stat().st_mode & 0o777 == 0o600


async def test_the_environment_has_the_ports_of_the_servers(stack: LocalStack) -> None:
    settings = stack.environment()
    assert settings["KAFKA_BOOTSTRAP_SERVERS"] == stack.kafka.address
    assert settings["DB_PORT"] == str(stack.postgres.port)
    assert settings["MQTT_PORT"] == str(stack.mqtt.port)


async def test_a_folder_serves_one_stack_at_a_time(stack: LocalStack) -> None:
    with pytest.raises(StackError, match="in use by another running gateway"):
        await LocalStack(stack.data).start()
    assert stack.kafka.running


TOPICS = ("ven/metering/1", "volttron/metering", "$aws/things/x/shadow/update")
FILTERS = ("ven/+/#", "volttron/metering", "$aws/things/+/shadow/update")


@pytest.mark.parametrize("kind", [Mosquitto, Artemis])
async def test_an_offline_session_keeps_its_queue_through_a_kill(
    kind: type[Mosquitto | Artemis], tmp_path: Path, guard: Guard
) -> None:
    if kind is Mosquitto and find_mosquitto() is None:
        pytest.skip("mosquitto is not installed")
    port = reserve_ports(tmp_path / "ports.json", ["mqtt"])["mqtt"]
    broker = kind(tmp_path / "mqtt", port=port, log=tmp_path / "mqtt.log", guard=guard, progress=print)
    await broker.start()
    async with session(broker) as client:
        await client.subscribe([(topic, 1) for topic in FILTERS])
    sent = {(topic, b"%d" % number) for topic in TOPICS for number in range(100)}
    large = ("ven/large/1", b"x" * 128 * 1024)
    async with aiomqtt.Client(broker.host, broker.port) as publisher:
        for topic, payload in [*sorted(sent), large]:
            await publisher.publish(topic, payload, qos=1)
    published = time.time()
    if kind is Mosquitto:
        saved = tmp_path / "mqtt" / "mosquitto.db"
        assert await wait_until(lambda: saved.exists() and saved.stat().st_mtime > published, timeout=60)
    await broker.kill()
    await broker.start()
    assert broker.port == port
    received: set[tuple[str, bytes]] = set()
    async with asyncio.timeout(60), session(broker) as client:
        async for message in client.messages:
            received.add((str(message.topic), bytes(message.payload)))
            if len(received) == len(sent) + 1:
                break
    assert received == sent | {large}
    await broker.stop()


def session(broker: Server) -> aiomqtt.Client:
    return aiomqtt.Client(broker.host, broker.port, identifier="keeper", clean_session=False)


PARENT = """
import asyncio, sys
from pathlib import Path
from gateway.stack import LocalStack

async def main():
    async with LocalStack(Path(sys.argv[1])) as stack:
        print(stack.kafka.pid, stack.postgres.pid, stack.mqtt.pid, stack.guard.pid, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


def start_parent(data: Path) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", PARENT, str(data)], stdout=subprocess.PIPE, text=True)


async def test_a_killed_parent_leaves_no_process_and_no_lock(tmp_path: Path) -> None:
    parent = start_parent(tmp_path)
    assert parent.stdout is not None
    pids = (await asyncio.to_thread(parent.stdout.readline)).split()
    parent.stdout.close()
    assert len(pids) == 4
    children = [psutil.Process(int(pid)) for pid in pids]
    children += [below for child in children for below in child.children(recursive=True)]
    ports = (tmp_path / "ports.json").read_text()
    parent.kill()
    parent.wait()
    # At once, while the guard may still be at work: the start waits for it.
    async with LocalStack(tmp_path) as again:
        assert not any(alive(child) for child in children)
        assert (tmp_path / "ports.json").read_text() == ports
        await (await connect(again)).close()


async def test_a_missing_jar_without_network_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_CACHE", str(tmp_path))
    nowhere = f"http://127.0.0.1:{reserve_ports(tmp_path / 'ports.json', ['nowhere'])['nowhere']}"
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, nowhere)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(StackError, match="connect to the internet for the first start"):
        await class_path("Kafka", pinned("kafka"), print)


async def test_a_changed_jar_is_refused_and_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_CACHE", str(tmp_path))
    jar = pinned("kafka")[0]
    place = tmp_path / "jars" / jar.file
    place.parent.mkdir(parents=True)
    place.write_bytes(b"not what was pinned")
    with pytest.raises(StackError, match="run the command again to download it"):
        await class_path("Kafka", [jar], print)
    assert not place.exists()


async def test_a_download_with_another_hash_is_refused(
    stack: LocalStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert stack.kafka.running  # its jars were downloaded, so there is a network or a filled cache
    monkeypatch.setenv("GATEWAY_CACHE", str(tmp_path))
    jar = replace(min(pinned("kafka"), key=lambda each: len(each.coordinate)), sha256="0" * 64)
    with pytest.raises(StackError, match=r"has the SHA-256|connect to the internet"):
        await class_path("Kafka", [jar], print)
    assert not (tmp_path / "jars" / jar.file).exists()


async def test_a_process_that_dies_while_starting_shows_its_log(tmp_path: Path, guard: Guard) -> None:
    process = python("import sys; sys.exit('the reason')", tmp_path, guard)
    with pytest.raises(StackError, match=r"(?s)ended with code 1 while starting.*the reason"):
        await process.start()


async def test_a_process_that_does_not_listen_is_killed(tmp_path: Path, guard: Guard) -> None:
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    process = python(deaf, tmp_path, guard)
    await process.start()
    assert await process.stop(timeout=0.2) == -signal.SIGKILL
    await process.restart()
    assert process.running
    await process.kill()
    assert not process.running


def python(code: str, folder: Path, guard: Guard) -> Process:
    log = folder / "process.log"

    async def ready() -> bool:
        return "up" in log.read_text()

    return Process("The process", [sys.executable, "-c", code], log=log, guard=guard, ready=ready)


async def test_a_taken_port_is_replaced_and_a_free_one_kept(tmp_path: Path) -> None:
    file = tmp_path / "ports.json"
    first = reserve_ports(file, ["a", "b"])
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", first["a"])
    async with server:
        second = reserve_ports(file, ["a", "b"])
    assert second["a"] != first["a"]
    assert second["b"] == first["b"]
    assert is_free(first["a"])
