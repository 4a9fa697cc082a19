"""The API keeps what its description says: schemathesis asks it, in ways that a person would not think of.

The requests are the same in every run: what fails, fails again.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
import pytest_asyncio
import requests
import schemathesis
import yaml
from schemathesis.checks import not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from api.app import openapi_yaml
from schemas.records.network import NetworkTotals, Totals
from schemas.records.telemetry import encode_record
from schemas.records.topics import STATS
from schemas.settings.blocks import DatabaseSettings, KafkaSettings
from tests.contract.filled import COMMAND, EVENT, LETTER, LOAD, VEN, fill
from tests.support.kafka_records import writer
from tests.support.rest import api_in_a_thread
from tests.support.servers import Databases, Topics

IDS = {"ven_id": VEN, "load_id": LOAD, "event_id": EVENT, "dead_letter_id": LETTER, "correlation_id": COMMAND}
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
    unsupported_method,
]
DOCUMENT = yaml.safe_load(openapi_yaml())


def described(examples: int, mode: str) -> Any:
    """The description, with so many requests for each operation."""
    # What was answered before would change what is asked next.
    fuzzing = {"error-feedback": {"enabled": False}, "extra-data-sources": {"responses": False}}
    config = SchemathesisConfig.from_dict(
        {
            "seed": 7,
            "generation": {
                "mode": mode,
                "max-examples": examples,
                "deterministic": True,
                "database": "none",
                "no-shrink": True,
            },
            "phases": {"fuzzing": fuzzing},
        }
    )
    return schemathesis.openapi.from_dict(DOCUMENT, config=config)


@pytest_asyncio.fixture(scope="module")
async def filled(databases: Databases, topics: Topics) -> tuple[DatabaseSettings, KafkaSettings]:
    database, kafka = await databases.migrated(), await topics.fresh()
    await fill(database)
    async with writer(kafka) as log:
        totals = NetworkTotals(datetime.now(UTC), Totals(3, 24.6, 14.4, 6.3, 6.3))
        await log.one(kafka.topics(STATS), encode_record(totals), key=b"network")
    return database, kafka


@pytest.fixture(scope="module")
def address(filled: tuple[DatabaseSettings, KafkaSettings]) -> Iterator[str]:
    with api_in_a_thread(*filled) as url:
        # Nothing is to be 503 for want of figures.
        with httpx.Client(base_url=url, trust_env=False, timeout=30) as http:
            while any(http.get(f"/api/stats/{name}").status_code != 200 for name in LIVE):
                pass
        yield url


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    with requests.Session() as opened:
        opened.trust_env = False
        yield opened


LIVE = ("network", "pipeline")
# The Kafka client of the API, in its thread, takes a broker by chance; it is not the strategies that do.
pytestmark = pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies")
# Its answer has no end.
ENDLESS = "/api/feed"
KNOWN = described(15, "positive").include(path_regex=r"\{").exclude(method="DELETE")
ANYTHING = described(10, "all").exclude(path=ENDLESS)


# Before the other one, which deletes what is there.
@KNOWN.parametrize()  # type: ignore[untyped-decorator]
def test_requests_for_existing_ids_match_the_openapi_document(
    case: "schemathesis.Case[Any]", address: str, session: requests.Session
) -> None:
    case.path_parameters = {name: IDS[name] for name in case.path_parameters or ()}
    if case.method == "GET" and isinstance(case.query, dict) and case.query.get("limit", 0) != 1:
        # Hardly any interval made up would have anything in it; one with a limit of 1 is left as it is.
        for bound in ("start", "end", "cursor"):
            case.query.pop(bound, None)
    ask(case, address, session)


@ANYTHING.parametrize()  # type: ignore[untyped-decorator]
def test_any_request_matches_the_openapi_document(
    case: "schemathesis.Case[Any]", address: str, session: requests.Session
) -> None:
    ask(case, address, session)


def ask(case: "schemathesis.Case[Any]", address: str, session: requests.Session) -> None:
    if isinstance(case.query, dict) and "wait" in case.query:
        # There is nobody who would settle a replay.
        case.query["wait"] = 0
    case.call_and_validate(base_url=address, session=session, checks=CHECKS)
