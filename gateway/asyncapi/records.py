"""JSON Schemas of the records in Kafka by topic, generated from the types in `schemas`."""

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from schemas.mqtt.subscriptions import Subscription
from schemas.parsing.acks import Ack
from schemas.parsing.shadow import Shadow
from schemas.parsing.status import VenStatus
from schemas.parsing.vtn_messages import VtnMessage
from schemas.records import topics
from schemas.records.commands import CommandRecord, DeliveryEvidence
from schemas.records.minutes import Minute
from schemas.records.network import Disabled, Heartbeat, NetworkTotals, Partial, ScopeTotals, VenLoads
from schemas.records.power_limits import PowerLimit
from schemas.records.telemetry import FaultReport, LoadSnapshot, Reading

Schema = dict[str, Any]

_SUBSCRIPTION_LIST = msgspec.defstruct("SubscriptionList", [("filters", list[Subscription])])
_SUBSCRIPTION_LIST.__doc__ = "The MQTT subscriptions of a bridge, including those of earlier settings."

VALUES: Mapping[str, tuple[type[msgspec.Struct], ...]] = {
    topics.TELEMETRY: (Reading,),
    topics.LOADS: (LoadSnapshot,),
    topics.FAULTS: (FaultReport,),
    topics.STATUS: (VenStatus,),
    topics.ACKS: (Ack,),
    topics.SHADOW: (Shadow,),
    topics.VTN_MESSAGES: (VtnMessage,),
    topics.COMMANDS: (CommandRecord,),
    topics.COMMAND_LOG: (DeliveryEvidence,),
    topics.MINUTES: (Minute,),
    topics.STATS: (NetworkTotals, ScopeTotals),
    topics.PARTIALS: (Partial,),
    topics.STATS_CHANGELOG: (Partial,),
    topics.HEARTBEATS: (Heartbeat,),
    topics.DISABLED: (Disabled,),
    topics.POWER_LIMITS: (PowerLimit,),
    topics.LIVE_LOADS: (VenLoads,),
    topics.SUBSCRIPTIONS: (_SUBSCRIPTION_LIST,),
}
"""Every topic with the gateway's own records. Raw topics and dead letters contain the payloads of others."""

INTERNAL = frozenset(
    {
        topics.PARTIALS,
        topics.STATS_CHANGELOG,
        topics.HEARTBEATS,
        topics.DISABLED,
        topics.POWER_LIMITS,
        topics.LIVE_LOADS,
        topics.SUBSCRIPTIONS,
    }
)
"""Topics between the gateway's own processes; they may change with any version."""


def components(kinds: Iterable[type], at: str = "#/components/schemas/{name}") -> dict[str, Schema]:
    """Return the JSON Schemas of some types and of all that they hold, by name; `at` is where references find them."""
    _, found = msgspec.json.schema_components(list(kinds), ref_template=at)
    return {name: _tidy(schema) for name, schema in sorted(found.items())}


def record_schemas() -> dict[str, Schema]:
    """Return the JSON Schemas of all records of ours."""
    return components(dict.fromkeys(kind for kinds in VALUES.values() for kind in kinds))


def schema_of(topic: str) -> Schema:
    """Return the JSON Schema (draft 7) of a topic's values, complete in itself, for a schema registry."""
    kinds = VALUES[topic]
    parts = components(kinds, "#/definitions/{name}")
    names = [kind.__name__ for kind in kinds]
    root = parts.pop(names[0]) if len(names) == 1 else {"anyOf": [{"$ref": f"#/definitions/{name}"} for name in names]}
    return {"$schema": "http://json-schema.org/draft-07/schema#", **root, **({"definitions": parts} if parts else {})}


def _tidy(schema: Any) -> Any:
    """Docstrings without their indent; that a default is null says nothing."""
    if isinstance(schema, list):
        return [_tidy(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    tidied = {name: _tidy(value) for name, value in schema.items() if (name, value) != ("default", None)}
    if isinstance(tidied.get("description"), str):
        tidied["description"] = inspect.cleandoc(tidied["description"])
    return tidied
