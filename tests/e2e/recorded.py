"""What a recording of a VEN has to come to in the tables, by an independent, plain reading of its payloads."""

import json
from datetime import UTC, datetime
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from gateway.local.system import System
from gateway.stack.polling import wait_until
from runtime.database import Connection
from schemas.parsing.registry import PARSERS
from schemas.records import topics
from schemas.tables import metadata

# When something was received last may move when it comes again, and so may the version of a minute.
MOVING = {
    "ven_status": ("received_at", "reading_received_at"),
    "notices": ("last_received_at",),
    "ven_shadows": ("received_at",),
    "telemetry_minutes": ("version",),
}

Messages = list[tuple[str, str]]


async def dump(stored: Connection, ven_id: str) -> dict[str, list[str]]:
    """All rows of a VEN in all tables, but for what moves; waits until all of it is rolled up."""
    done = """
        SELECT rolled_up_to > (SELECT max(time) FROM telemetry_readings WHERE ven_id = $1)
            AND NOT EXISTS (SELECT FROM rollup_late WHERE ven_id = $1)
            AND NOT EXISTS (SELECT FROM outbox WHERE kind = 'minute' AND key = $1)
        FROM rollup_progress
    """

    async def rolled_up() -> bool:
        return bool(await stored.fetchval(done, ven_id))

    assert await wait_until(rolled_up, timeout=120, every=0.2)
    found = {}
    for name, table in metadata.tables.items():
        if "ven_id" in table.columns:
            left_out = "".join(f" - '{column}'" for column in MOVING.get(name, ()))
            # Minutes without samples are added as long as the last power holds.
            sampled = "COALESCE((to_jsonb(t) ->> 'samples')::int, 1) > 0"
            rows_of_ven = f"FROM {name} AS t WHERE ven_id = $1 AND {sampled} ORDER BY 1"
            select = f"SELECT (to_jsonb(t){left_out})::text AS row {rows_of_ven}"
            found[name] = [row["row"] for row in await stored.fetch(select, ven_id)]
    return found


async def all_processed(system: System, patience: float) -> bool:
    """Wait until `validate`, and then `sink`, have committed all that the log holds for them now; False when too long.

    There is always more to come: the bridge's beats.
    """
    names = system.kafka.topics
    raw = [names.raw(kind) for kind in PARSERS]
    canonical = [names(topic.name) for topic in topics.CANONICAL if topic.name != topics.COMMANDS]  # of the bridge
    letters = names.all_dead_letters
    admin = AIOKafkaAdminClient(bootstrap_servers=system.kafka.kafka_bootstrap_servers)
    consumer = AIOKafkaConsumer(bootstrap_servers=system.kafka.kafka_bootstrap_servers)
    await admin.start()
    await consumer.start()
    try:
        described = {topic["topic"]: len(topic["partitions"]) for topic in await admin.describe_topics()}
        for role, followed in (("validate", raw), ("sink", [*canonical, *letters])):
            partitions = [TopicPartition(name, number) for name in followed for number in range(described[name])]
            ends = await consumer.end_offsets(partitions)
            group = f"{system.kafka.kafka_topic_prefix}gateway-{role}"

            async def done(group: str = group, ends: dict[TopicPartition, int] = ends) -> bool:
                offsets = {tp: at.offset for tp, at in (await admin.list_consumer_group_offsets(group)).items()}
                return all(end <= max(offsets.get(tp, 0), 0) for tp, end in ends.items())

            if not await wait_until(done, patience, every=0.5):
                return False
    finally:
        await consumer.stop()
        await admin.close()
    return True


async def other_kinds_are_right(stored: Connection, ven_id: str, messages: Messages) -> None:
    await _acks_are_right(stored, ven_id, _documents(messages, f"ven/ack/{ven_id}"))
    await _snapshots_are_right(stored, ven_id, _documents(messages, f"ven/loads/{ven_id}"))
    updates = _documents(messages, f"$aws/things/{ven_id}/shadow/update")
    document = await stored.fetchval("SELECT document FROM ven_shadows WHERE ven_id = $1", ven_id)
    reported = [update for update in updates if update["state"].get("reported")]
    assert (document is None) == (not reported)
    if reported:
        # The last of those that were measured last: their times are whole seconds.
        assert json.loads(document) == max(reversed(reported), key=lambda each: each["state"]["reported"]["timestamp"])


def _documents(messages: Messages, topic: str) -> list[dict[str, Any]]:
    return [json.loads(payload) for to, payload in messages if to == topic and payload]


async def _acks_are_right(stored: Connection, ven_id: str, acks: list[dict[str, Any]]) -> None:
    rows = await stored.fetch("SELECT * FROM ven_acks WHERE ven_id = $1", ven_id)
    found = {(int(row["time"].timestamp()), row["op"], row["correlation_id"]): row for row in rows}
    expected = {(ack["ts"], ack["op"], ack.get("correlationId") or ""): ack for ack in acks}
    assert found.keys() == expected.keys()
    assert len(expected) > 0
    for key, ack in expected.items():
        row = found[key]
        assert row["status"] == ack["status"]
        assert row["event_id"] == ack.get("event_id")
        assert (row["requested_shed_kw"], row["actual_shed_kw"]) == (
            ack.get("requested_shed_kw"),
            ack.get("actual_shed_kw"),
        )
        assert json.loads(row["circuits"]) == ack.get("circuits_curtailed", [])
        assert json.loads(row["extra"] or "{}").get("pong") == ack.get("pong")


async def _snapshots_are_right(stored: Connection, ven_id: str, snapshots: list[dict[str, Any]]) -> None:
    rows = await stored.fetch("SELECT * FROM load_snapshots WHERE ven_id = $1", ven_id)
    found = {(row["time"], row["load_id"]): row for row in rows}
    expected = {
        (datetime.fromtimestamp(snapshot["timestamp"], UTC), load["id"]): load
        for snapshot in snapshots
        for load in snapshot["loads"]
    }
    assert found.keys() == expected.keys()
    for key, load in expected.items():
        row = found[key]
        assert (row["name"], row["type"], row["enabled"], row["priority"]) == (
            load["name"],
            load["type"],
            load["enabled"],
            load["priority"],
        )
        assert row["capacity_kw"] == load["capacityKw"]
        assert row["current_power_kw"] == load["currentPowerKw"]
        assert row["shed_capability_kw"] == load["shedCapabilityKw"]
