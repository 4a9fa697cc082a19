"""JSON Schemas of what VENs publish: every spelling of every field, as the parsers in `schemas` take it."""

from collections.abc import Mapping
from typing import Any

from gateway.asyncapi.records import Schema, components
from schemas.mqtt.routing import Kind
from schemas.parsing.acks import MAX_INDEXED, MAX_OP, AckFields, CurtailedFields
from schemas.parsing.common import MAX_ID_LENGTH
from schemas.parsing.loads import LoadFields
from schemas.parsing.metering import MeteringFields

MESSAGES: Mapping[Kind, tuple[str, ...]] = {
    Kind.METERING: ("MeteringSample", "FaultMessage"),
    Kind.LOADS: ("LoadSnapshotMessage",),
    Kind.STATUS: ("StatusMessage",),
    Kind.ACKS: ("AckMessage",),
    Kind.SHADOW: ("ShadowMessage",),
    Kind.EVENTS: ("ForeignEvent",),
    Kind.RESPONSES: ("ForeignResponse",),
    Kind.OTHER: ("OtherMessage",),
}
"""Which messages each kind of MQTT topic carries."""

_ID: Schema = {
    "type": ["string", "null"],
    "minLength": 1,
    "maxLength": MAX_ID_LENGTH,
    # No / + # and no control character, because it is a level of MQTT topics. `summary`, `.` and `..` are refused too.
    "pattern": r"^[^/+#\u0000-\u001f\u007f-\u009f]*$",
    "description": "The id of the VEN.",
}
_TIME: Schema = {
    "type": ["number", "string", "null"],
    "description": "Seconds or milliseconds since 1970 (recognised by size), or ISO 8601 text: UTC without a zone.",
}
_SENDER = {"venId": _ID, "ven_id": _ID}
_MEASURED = {"timestamp": _TIME, "ts": _TIME}
_VERSION: Schema = {"schemaVersion": {"description": "Ignored."}}


def payload_schemas() -> dict[str, Schema]:
    """Return all of them by name; fields that they do not list are kept, and never an error."""
    found = components((MeteringFields, LoadFields, AckFields, CurtailedFields))
    load, curtailed = (found[kind.__name__]["properties"] for kind in (LoadFields, CurtailedFields))
    lists = {"loads": _list_of("LoadEntry"), "circuits": _list_of("LoadEntry")}
    return {
        "MeteringSample": _object(
            "A metering sample. Power in kW, used power is net import from the grid: negative where a home produces "
            "more than it uses. Where a field has several spellings, the modern one wins. A payload may be an array of "
            "samples.",
            {**_SENDER, **_MEASURED, **_VERSION, **found["MeteringFields"]["properties"], **lists},
            _one_of("venId", "ven_id"),
            _one_of("timestamp", "ts"),
        ),
        "LoadEntry": _object(
            "A load, in the spellings of `loads` and `circuits`. Power in kW, `breakerAmps` in A. Without a capacity "
            "it is breaker current times panel voltage. Without a shed capability, a circuit can shed its power, and a "
            "critical one nothing.",
            load,
            _one_of("id", "loadId"),
        ),
        "FaultMessage": _object(
            "A fault that the VEN reports about itself. It carries no used power, so it is no sample.",
            {
                **_SENDER,
                **_MEASURED,
                "error": {"type": "string", "minLength": 1, "description": "The fault, in the device's words."},
            },
            _one_of("venId", "ven_id"),
            _one_of("timestamp", "ts"),
            _one_of("error"),
        ),
        "LoadSnapshotMessage": _object(
            "All loads of a VEN at one time, without its metering. A payload may be an array of snapshots.",
            {**_SENDER, **_MEASURED, **_VERSION, **lists},
            _one_of("venId", "ven_id"),
            _one_of("timestamp", "ts"),
            _one_of("loads", "circuits"),
        ),
        "StatusMessage": _object(
            "The status that a VEN reports, or its last will: `offline` makes it offline at once. The receive time "
            "counts, not the time in the message.",
            {**_SENDER, **_MEASURED, "ven": {"type": ["string", "null"]}, "status": {"type": ["string", "null"]}},
            _one_of("ven", "status"),
        ),
        "AckMessage": _object(
            "The answer to a command, in either generation: `status`, or `ok` with `error`. Power in kW.",
            {
                **_SENDER,
                **_MEASURED,
                **found["AckFields"]["properties"],
                "op": {
                    "type": "string",
                    "minLength": 1,
                    "maxLength": MAX_OP,
                    "description": "The operation that it answers.",
                },
                "correlationId": {
                    "type": ["string", "null"],
                    "maxLength": MAX_INDEXED,
                    "description": "The correlation id of the command.",
                },
                "error": {"description": "The error, in the device's words."},
                "data": {"description": "May hold the event's id (`eventId`, `event_id`)."},
                "circuitsCurtailed": _list_of("CurtailedEntry"),
                "circuits_curtailed": _list_of("CurtailedEntry"),
            },
            _one_of("op"),
            _one_of("status", "ok"),
        ),
        "CurtailedEntry": _object("A circuit that was curtailed, power in kW.", curtailed, _one_of("id", "loadId")),
        "ShadowMessage": _object(
            "A device shadow document (AWS IoT). `reported` is stored unchanged; its fields depend on the device.",
            {"state": {"type": "object", "properties": {"reported": {"type": ["object", "null"]}}}},
            _one_of("state"),
        ),
        "ForeignEvent": _object("An event of another VTN: stored for the record, not executed.", {}),
        "ForeignResponse": _object("A response to such an event, stored for the record.", {}),
        "OtherMessage": {"description": "A message of an extra topic; the gateway does not parse it."},
    }


def _object(description: str, properties: Mapping[str, Any], *conditions: Schema) -> Schema:
    all_of = {"allOf": list(conditions)} if conditions else {}
    return {"type": "object", "description": description, "properties": dict(properties), **all_of}


def _list_of(name: str) -> Schema:
    return {"anyOf": [{"type": "array", "items": {"$ref": f"#/components/schemas/{name}"}}, {"type": "null"}]}


def _one_of(*names: str) -> Schema:
    """At least one of these has to be there, and null is not."""
    there = [{"required": [name], "properties": {name: {"not": {"type": "null"}}}} for name in names]
    return there[0] if len(there) == 1 else {"anyOf": there}
