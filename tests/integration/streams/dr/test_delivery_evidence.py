"""The command log in the role `sink`: what others write there stops nothing."""

import asyncio
from datetime import UTC, datetime
from random import Random

from gateway.stack.polling import wait_until
from runtime.database import Connection
from schemas.records.commands import DeliveryEvidence, DeliveryState
from schemas.records.topics import COMMAND_LOG
from schemas.settings.blocks import DatabaseSettings, KafkaSettings, StreamsSettings
from streams.config import StreamsConfig
from streams.dr.command_outbox_source import UNPUBLISHED, CommandPublication
from streams.dr.command_store import record_evidence
from streams.dr.event_store import end_commands
from streams.main import run_role
from tests.support.dr_harness import dr_harness
from tests.support.kafka_records import read_all, writer
from tests.support.servers import committed, connection

WAIT = 60
STATES: tuple[DeliveryState, ...] = ("sending", "sent")
EVIDENCE = '{"correlationId":"%s","venId":"a","attempt":%d,"state":"sent","at":"%s"}'
UNREADABLE = [
    b"",
    b"no json",
    b"[" * 100_000,
    (EVIDENCE % ("\\u0000", 1, "2026-01-01T00:00:00Z")).encode(),
    (EVIDENCE % ("x", 2**40, "2026-01-01T00:00:00Z")).encode(),
    (EVIDENCE % ("x", 1, "0001-01-01T00:00:00+14:00")).encode(),
    (EVIDENCE % ("x", 1, "9999-12-31T23:59:59-14:00")).encode(),
]


async def test_unreadable_evidence_becomes_dead_letters(kafka: KafkaSettings, database: DatabaseSettings) -> None:
    topic = kafka.topics(COMMAND_LOG)
    async with dr_harness(kafka, database) as dr:
        await dr.reading("a")
        await dr.event()
        await dr.run_once()
        known = (await dr.commands())["a"]["correlation_id"]
        stop = asyncio.Event()
        role = asyncio.create_task(run_role(StreamsConfig("sink", kafka, StreamsSettings(), database), stop))
        good = (EVIDENCE % (known, 1, "2026-01-01T00:00:00Z")).encode()
        async with writer(kafka) as log:
            for number, value in enumerate([*UNREADABLE[:4], good, *UNREADABLE[4:]]):
                await log.one(topic, value, 0, key=b"%d" % number)

        async def all_committed() -> bool:
            return role.done() or (await committed(kafka, "sink", topic)).get(0) == len(UNREADABLE) + 1

        assert await wait_until(all_committed, WAIT)
        stop.set()
        await role
        assert (await dr.commands())["a"]["sent_at"] is not None
        found = await read_all(kafka, kafka.topics.dead_letters(topic))
        assert sorted(record.value for record in found) == sorted(UNREADABLE)


async def test_evidence_publisher_and_dispatcher_never_deadlock(
    kafka: KafkaSettings, database: DatabaseSettings
) -> None:
    """Kafka has a command, and the bridge evidence of it, before the publisher has committed; the event may end."""
    async with (
        dr_harness(kafka, database) as dr,
        connection(database) as sink,
        connection(database) as publisher,
        connection(database) as dispatcher,
    ):
        ids = [f"c-{number:04}" for number in range(2000)]
        await dr.rows.execute(
            "INSERT INTO commands (correlation_id, ven_id, op, event_id, phase, payload) "
            "SELECT id, id, 'event', 'evt-1', 'event', '{}' FROM unnest($1::text[]) AS id",
            ids,
        )
        pending = await dr.rows.fetch(UNPUBLISHED, ids, 60.0)
        now = datetime.now(UTC)

        async def store_evidence(opened: Connection) -> None:
            for turn in range(30):
                evidence = [
                    DeliveryEvidence(correlation_id=name, ven_id=name, attempt=1, state=state, at=now)
                    for state in STATES
                    for name in Random(turn).sample(ids, 1000)
                ]
                async with opened.transaction():
                    await record_evidence(opened, evidence)

        async def confirm(opened: Connection) -> None:
            for turn in range(30):
                async with opened.transaction():
                    await CommandPublication(Random(-turn).sample(pending, 1000), "any").confirm(opened, now)

        async def end(opened: Connection) -> None:
            for _ in range(10):
                async with opened.transaction():
                    await end_commands(opened, "evt-1", now)

        # A deadlock is raised in one of them.
        await asyncio.gather(store_evidence(sink), confirm(publisher), end(dispatcher))
