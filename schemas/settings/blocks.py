"""Settings of all processes: frozen blocks, each read once at an entry point from the environment or `.env`."""

import re
from datetime import timedelta
from typing import Any, Literal, Self

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from schemas.base.errors import GatewayError
from schemas.base.time_window import TimeWindow
from schemas.records.topics import TopicNames

Level = Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]


class SettingsError(GatewayError):
    """A setting is missing or wrong; the message names it and says what to do."""


class Block(BaseSettings):
    """What every block of settings does alike."""

    model_config = SettingsConfigDict(
        env_file=".env",
        env_file_encoding="utf-8",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        # So that an error names DB_HOST as the reader knows it.
        alias_generator=str.upper,
        populate_by_name=True,
    )

    @classmethod
    def load(cls, **given: Any) -> Self:
        """Read the block.

        Raises:
            SettingsError: names every setting that is missing or wrong.
        """
        try:
            return cls(**given)
        except ValidationError as error:
            raise SettingsError(_explain(error)) from None


def validate_all(*blocks: type[Block]) -> None:
    """Look at all blocks of a process before any is used, so that whoever sets it up is told of everything at once.

    Raises:
        SettingsError: names every setting of any of them that is missing or wrong.
    """
    found = []
    for block in blocks:
        try:
            block.load()
        except SettingsError as error:
            found.append(str(error))
    if found:
        raise SettingsError("; ".join(found))


def _explain(error: ValidationError) -> str:
    lines = []
    for problem in error.errors():
        name = ".".join(str(part) for part in problem["loc"]).upper()
        if problem["type"] == "missing":
            lines.append(f"{name} is not set; set it in the environment or in .env")
        else:
            message = problem["msg"].removeprefix("Value error, ")
            lines.append(f"{name}: {message}" if name else message)
    return "; ".join(lines)


def incomplete_pair(certificate_name: str, certificate: str, key_name: str, key: str) -> str | None:
    """What is wrong where of a client certificate and its key only one is given."""
    if bool(certificate) == bool(key):
        return None
    missing, given = (key_name, certificate_name) if certificate else (certificate_name, key_name)
    return f"{missing} is not set, though {given} is; a client shows both or neither"


class DatabaseSettings(Block):
    """Where PostgreSQL is. `db_timeout` bounds connecting and each statement, in seconds."""

    db_host: str
    db_port: int = Field(5432, ge=1, le=65535)
    db_user: str
    db_password: SecretStr = SecretStr("")
    db_name: str
    db_timeout: float = Field(30, gt=0, le=3600)
    # As libpq has them; from verify-ca on the server has to show a certificate under the CA.
    db_sslmode: Literal["disable", "prefer", "require", "verify-ca", "verify-full"] = "prefer"
    # Files; without a CA of its own those of the system count.
    db_sslrootcert: str = ""
    db_sslcert: str = ""
    db_sslkey: str = ""

    @model_validator(mode="after")
    def _check_kafka_tls(self) -> Self:
        if self.db_sslrootcert and not self.db_sslmode.startswith("verify"):
            raise ValueError(
                f"DB_SSLROOTCERT has no effect with DB_SSLMODE={self.db_sslmode}; set DB_SSLMODE=verify-full"
            )
        if (self.db_sslcert or self.db_sslkey) and self.db_sslmode in ("disable", "prefer"):
            raise ValueError(f"DB_SSLCERT has no effect with DB_SSLMODE={self.db_sslmode}; set DB_SSLMODE=verify-full")
        if half := incomplete_pair("DB_SSLCERT", self.db_sslcert, "DB_SSLKEY", self.db_sslkey):
            raise ValueError(half)
        return self


class KafkaSettings(Block):
    """Where the log is, and how topics are made when they do not exist.

    `kafka_timeout` bounds each request, in seconds: a connection that says nothing for longer is given up.
    """

    kafka_bootstrap_servers: str
    kafka_timeout: float = Field(30, ge=3, le=3600)
    kafka_topic_prefix: str = ""
    kafka_partitions: int = Field(8, ge=1, le=1000)
    kafka_replication: int = Field(1, ge=1, le=9)
    kafka_retention_hours: int = Field(168, ge=1)
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    kafka_sasl_username: str = ""
    kafka_sasl_password: SecretStr = SecretStr("")
    # Files; without a CA of its own those of the system count.
    kafka_ca_cert: str = ""
    kafka_client_cert: str = ""
    kafka_client_key: str = ""

    @model_validator(mode="after")
    def _check_kafka_security(self) -> Self:
        protocol = self.kafka_security_protocol
        sasl, tls = protocol.startswith("SASL"), protocol.endswith("SSL")
        if sasl and not self.kafka_sasl_username:
            raise ValueError(f"KAFKA_SASL_USERNAME is not set, and KAFKA_SECURITY_PROTOCOL={protocol} needs it")
        if sasl and not self.kafka_sasl_password.get_secret_value():
            raise ValueError(f"KAFKA_SASL_PASSWORD is not set, and KAFKA_SECURITY_PROTOCOL={protocol} needs it")
        if self.kafka_sasl_username and not sasl:
            raise ValueError(
                f"KAFKA_SASL_USERNAME has no effect with KAFKA_SECURITY_PROTOCOL={protocol}; set it to SASL_SSL"
            )
        for name in ("kafka_ca_cert", "kafka_client_cert"):
            if getattr(self, name) and not tls:
                raise ValueError(
                    f"{name.upper()} has no effect with KAFKA_SECURITY_PROTOCOL={protocol}; set it to SSL or SASL_SSL"
                )
        if half := incomplete_pair(
            "KAFKA_CLIENT_CERT", self.kafka_client_cert, "KAFKA_CLIENT_KEY", self.kafka_client_key
        ):
            raise ValueError(half)
        return self

    @field_validator("kafka_topic_prefix")
    @classmethod
    def _is_a_topic_name(cls, value: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9._-]{0,64}", value):
            raise ValueError("may hold up to 64 letters, digits, dots, dashes and underscores")
        return value

    @property
    def topics(self) -> TopicNames:
        """The topic registry under this prefix."""
        return TopicNames(self.kafka_topic_prefix)


class RegistrySettings(Block):
    """The schema registry that `gateway topics` tells the schemas of the log's records; empty for none."""

    # Secret, for it may hold a login.
    schema_registry_url: SecretStr = SecretStr("")


class BridgeSettings(Block):
    """The bridge's own: how much may be under way, and where it answers health checks."""

    # Messages taken from MQTT and not yet acknowledged by the log; above it the socket is not read.
    bridge_window: int = Field(2000, ge=1, le=60_000)
    # Commands handed to the MQTT broker and not yet acknowledged by it.
    bridge_command_window: int = Field(500, ge=1, le=60_000)
    # Commands a second at most, 0 for as fast as the broker takes them: some drop without a word what is above a limit.
    bridge_commands_per_second: float = Field(0, ge=0, le=1_000_000)
    # Whether to subscribe to the commands, so that after a crash their coming back shows which the broker has taken.
    bridge_command_echo: bool = True
    bridge_health_host: str = "127.0.0.1"
    bridge_health_port: int = Field(8081, ge=0, le=65535)
    shutdown_timeout: float = Field(8, gt=0, le=600)


class StreamsSettings(Block):
    """What the stream roles share."""

    streams_health_host: str = "127.0.0.1"
    # 0 takes a free port: several roles run on one machine.
    streams_health_port: int = Field(0, ge=0, le=65535)
    # A name of this worker that stays: a restart then takes its partitions back at once, without waiting for the
    # session of the one before to time out. Two workers of a role must not share one.
    streams_instance_id: str = ""
    streams_session_timeout: float = Field(30, ge=6, le=40)
    # Records that one database transaction covers, about.
    streams_batch_records: int = Field(2000, ge=1, le=100_000)
    retention_days: int = Field(90, ge=1, le=3650)
    audit_retention_days: int = Field(730, ge=1, le=36_500)
    partitions_ahead_days: int = Field(7, ge=1, le=90)
    max_future_seconds: float = Field(300, ge=0, le=31_536_000)
    offline_after_seconds: float = Field(60, gt=0, le=86_400)
    # How long a power counts for energy when no newer one follows, unless the VEN's report interval tells more.
    energy_hold_seconds: float = Field(1200, gt=0, le=86_400)
    # Power beyond this, either way, is a dead letter, unless the registry has another limit for the VEN; kW.
    max_ven_power_kw: float = Field(1000, gt=0, le=1e9)
    # Dead letters are a flood above this share of a minute's records, once there are so many.
    dead_letter_alarm_share: float = Field(0.05, ge=0, le=1)
    dead_letter_alarm_minimum: int = Field(20, ge=1)
    shutdown_timeout: float = Field(8, gt=0, le=600)

    @property
    def window(self) -> TimeWindow:
        """The times of measurement that are accepted."""
        return TimeWindow(self.retention_days, timedelta(seconds=self.max_future_seconds))


class DispatchSettings(Block):
    """How commands are looked after, beside the sink; in seconds."""

    # A command that asks for nothing that lasts is not sent later than this; one that does, not after its end.
    command_expires_seconds: float = Field(300, ge=1, le=604_800)
    # Silence of the VEN after which a command that was sent counts as unanswered; a later answer still counts.
    command_answer_seconds: float = Field(60, ge=1, le=86_400)
    # Where a crash left open whether a command was sent: a sample received this much later, which does not show the
    # event, tells that it was not.
    command_evidence_seconds: float = Field(30, ge=1, le=86_400)
    # What any one VEN is believed to shed at most, in kW.
    max_ven_shed_kw: float = Field(50, gt=0, le=1_000_000)
    # Whether a VEN that has lost an event, in a power cut for example, is told of it once more.
    event_reissue_lost: bool = False
    # Whether a VEN that still names an event so long after the broker had its restore is restored once more.
    event_restore_again: bool = False


class ApiSettings(Block):
    """Where the API listens; loopback unless told otherwise."""

    api_host: str = "127.0.0.1"
    api_port: int = Field(8000, ge=0, le=65535)
    api_pool_size: int = Field(10, ge=2, le=100)
    # What a request waits for a free connection, and for each statement: shorter than DB_TIMEOUT, for people wait too.
    api_db_timeout: float = Field(10, gt=0, le=3600)
    api_max_body_bytes: int = Field(1_048_576, ge=1024, le=1_073_741_824)
    offline_after_seconds: float = Field(60, gt=0, le=86_400)
    energy_hold_seconds: float = Field(1200, gt=0, le=86_400)
    # Of the feed: clients at once, items that wait for one of them, seconds that can be caught up.
    api_feed_clients: int = Field(2000, ge=0, le=1_000_000)
    api_feed_queue: int = Field(500, ge=10, le=1_000_000)
    api_feed_window_seconds: float = Field(300, ge=10, le=86_400)
    api_feed_heartbeat_seconds: float = Field(15, gt=0, le=3600)


class TraceSettings(Block):
    """Which messages and commands are traced, as a share of all from 0 to 1, and where the spans go."""

    trace_messages: float = Field(0.0, ge=0, le=1)
    trace_commands: float = Field(0.0, ge=0, le=1)
    # OpenTelemetry's own name. Its other settings, for headers, certificates and so on, are read by its exporter.
    otel_exporter_otlp_endpoint: str = Field("http://127.0.0.1:4318", pattern="^https?://.")


class LogSettings(Block):
    """What is logged, and how; `auto` is text on a terminal, and JSON for whatever else reads it."""

    log_level: Level = "INFO"
    log_format: Literal["auto", "json", "text"] = "auto"

    @field_validator("log_level", "log_format", mode="before")
    @classmethod
    def _in_any_case(cls, value: object, info: ValidationInfo) -> object:
        if not isinstance(value, str):
            return value
        return value.upper() if info.field_name == "log_level" else value.lower()
