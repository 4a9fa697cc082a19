"""Registers the JSON Schema of every canonical topic in a schema registry (Confluent's REST interface)."""

import json
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Any

import httpx

from gateway.asyncapi.records import INTERNAL, VALUES, schema_of
from schemas.base.errors import GatewayError
from schemas.records.topics import TopicNames

_MEDIA = "application/vnd.schemaregistry.v1+json"
_PATIENCE_SECONDS = 30
_ADVICE: dict[int, str] = {
    HTTPStatus.UNAUTHORIZED: "put a login into the address (https://key:secret@host)",
    HTTPStatus.FORBIDDEN: "the login needs the right to write this subject",
    HTTPStatus.CONFLICT: "fields are only ever added, so set the compatibility of the subject to FORWARD",
}


async def register_schemas(url: str, names: TopicNames) -> AsyncIterator[tuple[str, int]]:
    """Register what is not registered yet, and yield each subject (`<topic>-value`) with the id of its schema.

    `url` may hold a login (`https://key:secret@host`). For a schema that exists, the registry returns its id.

    Raises:
        GatewayError: the registry does not answer, or refuses; the message says what to do.
    """
    headers = {"Content-Type": _MEDIA, "Accept": f"{_MEDIA}, application/json"}
    async with httpx.AsyncClient(timeout=_PATIENCE_SECONDS, headers=headers) as client:
        for topic in VALUES:
            if topic not in INTERNAL:
                subject = f"{names(topic)}-value"
                yield subject, await _register(client, url, subject, schema_of(topic))


async def _register(client: httpx.AsyncClient, url: str, subject: str, schema: dict[str, Any]) -> int:
    body = json.dumps({"schemaType": "JSON", "schema": json.dumps(schema)})
    try:
        answer = await client.post(f"{url.rstrip('/')}/subjects/{subject}/versions", content=body)
        if answer.is_success:
            return int(answer.json()["id"])
    except httpx.InvalidURL:
        # What is wrong with it may be a part of the password, so the error is not shown.
        raise GatewayError(
            "SCHEMA_REGISTRY_URL is no address; write / : @ # and ? in its login as %2F %3A %40 %23 and %3F"
        ) from None
    except httpx.HTTPError as error:
        raise GatewayError(
            f"the schema registry does not answer: {error or type(error).__name__}; check SCHEMA_REGISTRY_URL"
        ) from None
    except (KeyError, TypeError, ValueError):
        raise GatewayError("what answers at SCHEMA_REGISTRY_URL is no schema registry; check the address") from None
    advice = _ADVICE.get(answer.status_code, "check SCHEMA_REGISTRY_URL, and that it is a schema registry")
    raise GatewayError(
        f"the schema registry refuses {subject} ({answer.status_code}: {_error_message(answer)}); {advice}"
    )


def _error_message(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["message"])[:300]
    except (KeyError, TypeError, ValueError):
        return answer.reason_phrase
