"""The settings of a stream role."""

from dataclasses import dataclass, field

from schemas.settings.blocks import (
    DatabaseSettings,
    DispatchSettings,
    KafkaSettings,
    StreamsSettings,
    TraceSettings,
    validate_all,
)
from streams.roles import StreamRole


@dataclass(frozen=True, slots=True)
class StreamsConfig:
    """All settings of a role; `database` is None for roles that use none."""

    role: StreamRole
    kafka: KafkaSettings
    streams: StreamsSettings
    database: DatabaseSettings | None
    dispatch: DispatchSettings = field(default_factory=DispatchSettings)
    traces: TraceSettings = field(default_factory=TraceSettings)

    @classmethod
    def load(cls, role: StreamRole) -> "StreamsConfig":
        """Read the settings from the environment; raises SettingsError."""
        database = (DatabaseSettings,) if role == "sink" else ()
        validate_all(KafkaSettings, *database, StreamsSettings, DispatchSettings, TraceSettings)
        needed = DatabaseSettings.load() if role == "sink" else None
        streams, dispatch, traces = StreamsSettings.load(), DispatchSettings.load(), TraceSettings.load()
        return cls(role, KafkaSettings.load(), streams, needed, dispatch, traces)
