"""How the bridge reaches the MQTT broker, and what it subscribes to (the names are those of the contract)."""

from collections.abc import Iterator
from typing import Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from schemas.mqtt.filters import check_filter
from schemas.mqtt.routing import ACK_FILTER, Kind, Route, Routes
from schemas.settings.blocks import Block, incomplete_pair


class MqttSettings(Block):
    """The connection. Certificates are files, or PEM text in the *_PEM settings, which win."""

    mqtt_enabled: bool = True
    mqtt_host: str = ""
    mqtt_port: int = Field(0, ge=0, le=65535)
    mqtt_use_tls: bool = True
    mqtt_ca_cert: str = ""
    mqtt_client_cert: str = ""
    mqtt_client_key: str = ""
    ca_cert_pem: SecretStr = SecretStr("")
    client_cert_pem: SecretStr = SecretStr("")
    private_key_pem: SecretStr = SecretStr("")
    mqtt_tls_server_name: str = ""
    mqtt_username: str = ""
    mqtt_password: SecretStr = SecretStr("")
    mqtt_keepalive: int = Field(60, ge=5, le=65535)
    # Fixed, because the broker keeps the session of an absent bridge under this name.
    mqtt_client_id: str = Field("grid-event-gateway-bridge", min_length=1)

    @field_validator("ca_cert_pem", "client_cert_pem", "private_key_pem")
    @classmethod
    def _in_lines(cls, value: SecretStr) -> SecretStr:
        """Take PEM in one line, too: what sets the environment often writes a line's end as two characters."""
        return SecretStr(value.get_secret_value().replace("\\n", "\n"))

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.mqtt_enabled and (wrong := [*self._address(), *(self._tls() if self.mqtt_use_tls else ())]):
            raise ValueError("; ".join(wrong))
        return self

    def _address(self) -> Iterator[str]:
        if not self.mqtt_host:
            yield "MQTT_HOST is not set; name the broker, or set MQTT_ENABLED=false"
        if not self.mqtt_port:
            yield "MQTT_PORT is not set; it is 8883 with TLS and 1883 without at most brokers"

    def _tls(self) -> Iterator[str]:
        if not (self.mqtt_ca_cert or self.ca_cert_pem.get_secret_value()):
            yield "MQTT_CA_CERT is not set; name the CA file (or CA_CERT_PEM), or set MQTT_USE_TLS=false"
        certificate = self.mqtt_client_cert or self.client_cert_pem.get_secret_value()
        key = self.mqtt_client_key or self.private_key_pem.get_secret_value()
        if half := incomplete_pair("MQTT_CLIENT_CERT", certificate, "MQTT_CLIENT_KEY", key):
            yield half
        elif not certificate and not self.mqtt_username:
            yield "MQTT_CLIENT_CERT is not set; with TLS, give a client certificate or MQTT_USERNAME"


class MqttTopicSettings(Block):
    """What to subscribe to. Every one may be a filter with + or #; an empty one is off."""

    model_config = SettingsConfigDict(env_ignore_empty=False)

    mqtt_topic_metering: str = "volttron/metering"
    mqtt_topic_status: str = "volttron/dev"
    mqtt_topic_events: str = "openadr/event"
    mqtt_topic_responses: str = "openadr/response"
    backend_loads_topic: str = ""
    mqtt_topic_shadow: str = "$aws/things/+/shadow/update"
    mqtt_topics: str = ""

    @model_validator(mode="after")
    def _check_filters(self) -> Self:
        for name in type(self).model_fields:
            try:
                for value in self._filters_in(name):
                    check_filter(value)
            except ValueError as error:
                raise ValueError(f"{name.upper()}: {error}") from None
        return self

    @property
    def routes(self) -> Routes:
        """The routes of this installation."""
        routes = [Route(value, kind) for name, kind in _KINDS_OF_SETTINGS for value in self._filters_in(name)]
        # Subscribed to always; a setting may still say that these topics carry something else.
        routes += [Route(value, None) for value in (ACK_FILTER, *self._filters_in("mqtt_topics"))]
        return Routes(routes)

    def _filters_in(self, name: str) -> list[str]:
        """What a setting subscribes to. A comma separates in MQTT_TOPICS only; elsewhere it is part of the topic."""
        value = getattr(self, name)
        values = [part.strip() for part in value.split(",")] if name == "mqtt_topics" else [value]
        return [value for value in values if value]


_KINDS_OF_SETTINGS = (
    ("mqtt_topic_metering", Kind.METERING),
    ("mqtt_topic_status", Kind.STATUS),
    ("mqtt_topic_events", Kind.EVENTS),
    ("mqtt_topic_responses", Kind.RESPONSES),
    ("backend_loads_topic", Kind.LOADS),
    ("mqtt_topic_shadow", Kind.SHADOW),
)
