"""Settings come from the environment or .env, are frozen, and name what is missing or wrong."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from schemas.base.time_window import TimeWindow
from schemas.settings.blocks import (
    ApiSettings,
    Block,
    BridgeSettings,
    DatabaseSettings,
    KafkaSettings,
    SettingsError,
    StreamsSettings,
)

BLOCKS: tuple[type[Block], ...] = (DatabaseSettings, KafkaSettings, BridgeSettings, StreamsSettings, ApiSettings)
DATABASE = {"db_host": "db.example", "db_user": "gateway", "db_name": "grid"}


@pytest.fixture(autouse=True)
def _apart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting of the machine, and no .env of the project, takes part."""
    monkeypatch.chdir(tmp_path)
    for block in BLOCKS:
        for name in block.model_fields:
            monkeypatch.delenv(name.upper(), raising=False)


def message(block: type[Block], **given: Any) -> str:
    with pytest.raises(SettingsError) as caught:
        block.load(**given)
    return str(caught.value)


def test_the_database_has_the_defaults_of_the_contract() -> None:
    block = DatabaseSettings.load(**DATABASE)
    assert (block.db_port, block.db_timeout) == (5432, 30)


def test_a_silent_ven_is_offline_after_60_seconds_by_default() -> None:
    assert StreamsSettings.load().offline_after_seconds == ApiSettings.load().offline_after_seconds == 60


def test_servers_listen_on_loopback_by_default() -> None:
    hosts = (
        BridgeSettings.load().bridge_health_host,
        StreamsSettings.load().streams_health_host,
        ApiSettings.load().api_host,
    )
    assert set(hosts) == {"127.0.0.1"}


def test_missing_settings_are_named_as_in_the_environment() -> None:
    text = message(DatabaseSettings)
    assert all(f"{name} is not set" in text for name in ("DB_HOST", "DB_USER", "DB_NAME"))
    assert "DB_PORT" not in text
    assert "KAFKA_BOOTSTRAP_SERVERS is not set" in message(KafkaSettings)


@pytest.mark.parametrize(
    ("block", "name", "value"),
    [
        (DatabaseSettings, "DB_PORT", "0"),
        (DatabaseSettings, "DB_PORT", "postgres"),
        (DatabaseSettings, "DB_TIMEOUT", "-1"),
        (DatabaseSettings, "DB_TIMEOUT", "nan"),
        (KafkaSettings, "KAFKA_PARTITIONS", "0"),
        (KafkaSettings, "KAFKA_TOPIC_PREFIX", "a b"),
        (KafkaSettings, "KAFKA_TOPIC_PREFIX", "p" * 65),
        (KafkaSettings, "KAFKA_RETENTION_HOURS", "1.5"),
        (BridgeSettings, "BRIDGE_WINDOW", "60001"),
        (BridgeSettings, "SHUTDOWN_TIMEOUT", "0"),
        (StreamsSettings, "RETENTION_DAYS", "0"),
        (StreamsSettings, "MAX_FUTURE_SECONDS", "-1"),
        (StreamsSettings, "STREAMS_SESSION_TIMEOUT", "5"),
        (ApiSettings, "API_PORT", "65536"),
        (ApiSettings, "OFFLINE_AFTER_SECONDS", "0"),
    ],
)
def test_a_wrong_value_is_named(monkeypatch: pytest.MonkeyPatch, block: type[Block], name: str, value: str) -> None:
    for given_name, given_value in (DATABASE | {"kafka_bootstrap_servers": "k"}).items():
        monkeypatch.setenv(given_name.upper(), given_value)
    assert block.load()
    monkeypatch.setenv(name, value)
    assert message(block).startswith(f"{name}: ")
    assert ";" not in message(block)


def test_the_environment_overrides_the_env_file(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("DB_HOST=file\nDB_USER='u'\nDB_NAME=n\nDB_PASSWORD=p\nUNRELATED=1\n", encoding="utf-8")
    monkeypatch.setenv("DB_HOST", "environment")
    block = DatabaseSettings.load()
    assert (block.db_host, block.db_user, block.db_name) == ("environment", "u", "n")
    assert block.db_password.get_secret_value() == "p"
    assert DatabaseSettings.load(db_host="argument").db_host == "argument"


def test_an_empty_environment_value_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DB_HOST", "")
    monkeypatch.setenv("DB_PORT", "")
    assert "DB_HOST is not set" in message(DatabaseSettings, db_user="u", db_name="n")
    assert DatabaseSettings.load(**DATABASE).db_port == 5432


@pytest.mark.parametrize("block", BLOCKS)
def test_settings_are_frozen(block: type[Block]) -> None:
    loaded = block.load(**DATABASE, kafka_bootstrap_servers="k")
    for name in block.model_fields:
        with pytest.raises(ValidationError, match="frozen"):
            setattr(loaded, name, getattr(loaded, name))


def test_a_password_is_not_shown() -> None:
    block = DatabaseSettings.load(**DATABASE, db_password="hunter2")
    assert "hunter2" not in f"{block!r} {block}"
    assert "hunter2" not in message(DatabaseSettings, db_password="hunter2")


def test_the_time_window_follows_its_settings() -> None:
    block = StreamsSettings.load(retention_days=30, max_future_seconds=1.5)
    assert block.window == TimeWindow(30, timedelta(seconds=1.5))


def test_topic_names_start_with_the_prefix() -> None:
    block = KafkaSettings.load(kafka_bootstrap_servers="k", kafka_topic_prefix="site-1.")
    assert block.topics("ven.telemetry") == "site-1.ven.telemetry"
    assert all(name.startswith("site-1.") for name, _ in block.topics)
