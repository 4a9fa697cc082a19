"""JSON Schemas of the commands on `ven/cmd/{venId}`, one an op; what makes them is `schemas/dr/commands.py`."""

from collections.abc import Mapping

from gateway.asyncapi.records import Schema
from schemas.dr import commands

_TEXT: Schema = {"type": "string", "minLength": 1}
_KW: Schema = {"type": "number"}
_SECONDS: Schema = {
    "type": "integer",
    "minimum": 1,
    "description": "Remaining duration when it is sent, in seconds; never 0 or null, which devices read as an hour.",
}

# Of each op: what it is for, fields beside the usual ones, fields of its data. A name with ? may be absent.
_OPS: Mapping[str, tuple[str, Mapping[str, Schema], Mapping[str, Schema]]] = {
    commands.EVENT: (
        "Shed this power for a DR event. A repeat sheds again on top of the first.",
        {"event_id": _TEXT, "shed_kw": _KW, "duration_sec": _SECONDS},
        {"event_id": _TEXT, "requestedReductionKw": _KW, "duration_s": _SECONDS},
    ),
    commands.RESTORE: (
        "End whatever event is active; devices ignore the id.",
        {"event_id?": _TEXT},
        {"event_id?": _TEXT},
    ),
    commands.SHED_LOAD: (
        "Shed this power at one load.",
        {},
        {"loadId": _TEXT, "reduceKw": _KW, "durationS?": _SECONDS, "eventId?": _TEXT},
    ),
    commands.SHED_PANEL: (
        "Shed this power anywhere in the home; it has both spellings that devices read.",
        {},
        {
            "requestedReductionKw": _KW,
            "durationS": _SECONDS,
            "eventId": _TEXT,
            "duration_s": _SECONDS,
            "event_id": _TEXT,
        },
    ),
    commands.SET_LOAD: (
        "Set the given fields of one load.",
        {},
        {"loadId": _TEXT, "enabled?": {"type": "boolean"}, "capacityKw?": _KW, "priority?": {"type": "integer"}},
    ),
    commands.SET_CONFIG: (
        "Set the given fields of the device.",
        {},
        {"report_interval_seconds?": {"type": "integer", "minimum": 1}, "target_power_kw?": _KW},
    ),
    commands.GET: (
        "Report the status, the configuration or the loads.",
        {},
        {"what": {"enum": ["status", "config", "loads"]}},
    ),
    commands.PING: ("Acknowledge.", {}, {}),
}


def command_schemas() -> dict[str, Schema]:
    """Return them by name. Operators may add fields to the data of a command; they are sent unchanged."""
    found = {f"{op[0].upper()}{op[1:]}Command": _command(op, *described) for op, described in _OPS.items()}
    other = _command(None, "Any other op, as an operator sent it.", {}, {})
    other["properties"]["op"] = {**_TEXT, "not": {"enum": list(_OPS)}}
    return {**found, "OtherCommand": other}


def _command(op: str | None, description: str, top: Mapping[str, Schema], data: Mapping[str, Schema]) -> Schema:
    fields = {"op": {"const": op}, "correlationId": _TEXT, "venId": _TEXT, **top}
    inner = _object(data)
    # Without a field that has to be there the data may be left out.
    name = "data" if inner.get("required") else "data?"
    return {"description": description, **_object({**fields, name: inner})}


def _object(fields: Mapping[str, Schema]) -> Schema:
    required = [name for name in fields if not name.endswith("?")]
    return {
        "type": "object",
        "properties": {name.removesuffix("?"): schema for name, schema in fields.items()},
        **({"required": required} if required else {}),
    }
