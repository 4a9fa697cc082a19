"""The examples of docs/reference/backend-api.md work as they are written there."""

import re
from datetime import UTC, datetime
from typing import Any

from gateway.stack.polling import wait_until
from schemas.records.network import LoadTypeTotals, NetworkTotals, Totals
from schemas.records.telemetry import encode_record
from schemas.records.topics import STATS
from schemas.settings.blocks import DatabaseSettings, KafkaSettings
from tests.contract.filled import fill
from tests.support.backend_api import DOCUMENT, calls
from tests.support.kafka_records import writer
from tests.support.rest import api
from tests.support.servers import connection

LEFT_OUT = {"eventId"}
"""Of buckets, where no sample named an event."""
CREATED = {"/api/vens", "/api/events"}


async def test_the_document_lists_every_good_ack_status(database: DatabaseSettings) -> None:
    async with connection(database) as rows:
        source = await rows.fetchval("SELECT pg_get_functiondef('is_good_ack'::regproc)")
        words = set(re.findall(r"'(\w+)'::text", source))
        good = {word for word in words if await rows.fetchval("SELECT is_good_ack($1)", word)}
    (section,) = re.findall(r"^`ackStatus` is .*?\. `commandRevision`", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)
    assert good
    assert set(re.findall(r"`(\w+)`", section.partition("are good")[0])) >= good


async def test_every_example_works(database: DatabaseSettings, kafka: KafkaSettings) -> None:
    await fill(database)
    async with writer(kafka) as log:
        types = {"hvac": LoadTypeTotals(21.6, 6.3, 6.3)}
        totals = NetworkTotals(datetime.now(UTC), Totals(3, 24.6, 14.4, 6.3, 6.3), types)
        await log.one(kafka.topics(STATS), encode_record(totals), key=b"network")
    async with api(database, kafka) as client:

        async def ready() -> bool:
            network, pipeline = [await client.get(f"/api/stats/{name}") for name in ("network", "pipeline")]
            if not network.status_code == pipeline.status_code == 200:
                return False
            # The energy is looked up beside the totals, which may be there first.
            return "totalHousePowerToday" in network.json()

        assert await wait_until(ready, 60)
        # What deletes comes last, what stops next to last: the others need what is there.
        order = {"DELETE": 2, "GET": 0, "PATCH": 0, "POST": 1}
        for call in sorted(calls(), key=lambda call: order[call.method]):
            if call.path == "/api/feed":
                continue  # its answer has no end; tests/integration/api/sse/test_feed.py follows it
            asked = call.request
            answer = await client.request(asked.method, asked.path, headers=asked.headers, content=asked.body)
            assert answer.status_code in {200, 201, 202, 204}, (call, answer.text)
            assert (answer.status_code == 201) == (call.method == "POST" and call.path in CREATED)
            if call.answer is not None:
                assert_like(call.answer, answer.json(), call.path)


def assert_like(shown: Any, given: Any, where: str) -> None:
    """The same fields, of the same kinds where neither is null, in what the document shows and in what came."""
    if isinstance(shown, list):
        assert isinstance(given, list)
        assert bool(given) or not shown, where
        for one, other in zip(shown[:1], given, strict=False):
            assert_like(one, other, where)
    elif isinstance(shown, dict) and not where.endswith(("outcomes", "document", "/shadow")):
        assert given.keys() <= shown.keys(), where
        assert shown.keys() - given.keys() <= LEFT_OUT, where
        for name in given:
            assert_like(shown[name], given[name], f"{where} {name}")
    elif shown is not None and given is not None:
        assert isinstance(given, type(shown)), where
