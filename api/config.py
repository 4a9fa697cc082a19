"""All settings of the API process."""

from dataclasses import dataclass, field

from schemas.settings.access import AccessSettings
from schemas.settings.blocks import ApiSettings, DatabaseSettings, KafkaSettings, TraceSettings, validate_all


@dataclass(frozen=True, slots=True)
class ApiConfig:
    """The settings, read once at the start."""

    api: ApiSettings
    database: DatabaseSettings
    kafka: KafkaSettings
    access: AccessSettings = field(default_factory=AccessSettings)
    traces: TraceSettings = field(default_factory=TraceSettings)

    @classmethod
    def load(cls) -> "ApiConfig":
        """Read the settings from the environment; raises SettingsError."""
        validate_all(ApiSettings, DatabaseSettings, KafkaSettings, AccessSettings, TraceSettings)
        return cls(
            ApiSettings.load(),
            DatabaseSettings.load(),
            KafkaSettings.load(),
            AccessSettings.load(),
            TraceSettings.load(),
        )
