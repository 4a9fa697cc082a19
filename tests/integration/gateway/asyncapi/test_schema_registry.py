"""`gateway topics` tells a schema registry the schema of every canonical topic."""

import asyncio
import json
import os
import sys

import jsonschema_rs
import pytest

from gateway.asyncapi.examples import record_examples
from gateway.asyncapi.records import INTERNAL, VALUES
from gateway.asyncapi.schema_registry import register_schemas
from schemas.base.errors import GatewayError
from schemas.settings.blocks import KafkaSettings
from tests.support.registry import Registry, schema_registry


async def register(registry: Registry, kafka: KafkaSettings, login: str = "") -> dict[str, int]:
    url = registry.url.replace("://", f"://{login}")
    return {subject: number async for subject, number in register_schemas(url, kafka.topics)}


async def test_the_command_registers_matching_schemas(kafka: KafkaSettings) -> None:
    async with schema_registry() as registry:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway", "topics", "--registry", f"{registry.url}/"),
            env=os.environ
            | {
                "KAFKA_BOOTSTRAP_SERVERS": kafka.kafka_bootstrap_servers,
                "KAFKA_TOPIC_PREFIX": kafka.kafka_topic_prefix,
            },
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await process.communicate()
        assert process.returncode == 0
        canonical = VALUES.keys() - INTERNAL
        assert registry.versions.keys() == {f"{kafka.topics(topic)}-value" for topic in canonical}
        assert all(subject in out.decode() for subject in registry.versions)
        for topic in canonical:
            (text,) = registry.versions[f"{kafka.topics(topic)}-value"]
            valid = jsonschema_rs.Draft7Validator(json.loads(text))
            assert all(valid.is_valid(value) for value in record_examples()[topic])
            assert not valid.is_valid({"venId": 5})


async def test_registered_schemas_are_not_registered_again(kafka: KafkaSettings) -> None:
    async with schema_registry() as registry:
        first = await register(registry, kafka)
        assert await register(registry, kafka) == first
        assert all(len(versions) == 1 for versions in registry.versions.values())


async def test_a_login_in_the_url_reaches_only_the_registry(kafka: KafkaSettings) -> None:
    async with schema_registry() as registry:
        await register(registry, kafka, "key:secret@")
        assert registry.logins == {"Basic a2V5OnNlY3JldA=="}
        registry.refuses = (401, "Unauthorized")
        with pytest.raises(GatewayError) as refused:
            await register(registry, kafka, "key:secret@")
        assert "login" in str(refused.value)
        assert "secret" not in str(refused.value).replace("key:secret@host", "")


async def test_an_invalid_url_never_shows_its_login(kafka: KafkaSettings) -> None:
    wrong = Registry()
    wrong.url = "https://key:part/of-it@registry.example.org"
    with pytest.raises(GatewayError, match="SCHEMA_REGISTRY_URL is no address") as refused:
        await register(wrong, kafka)
    assert "part" not in str(refused.value)


async def test_a_rejected_schema_says_what_to_do(kafka: KafkaSettings) -> None:
    async with schema_registry() as registry:
        registry.refuses = (409, "Schema being registered is incompatible with an earlier schema")
        with pytest.raises(GatewayError, match=r"-value \(409: Schema being registered.*FORWARD"):
            await register(registry, kafka)
        registry.refuses = (404, "Not Found")
        with pytest.raises(GatewayError, match="that it is a schema registry"):
            await register(registry, kafka)


async def test_an_unreachable_registry_names_its_setting(kafka: KafkaSettings) -> None:
    gone = Registry()
    gone.url = "http://127.0.0.1:1"
    with pytest.raises(GatewayError, match=r"does not answer.*SCHEMA_REGISTRY_URL"):
        await register(gone, kafka)
