"""Good messages of every kind, and near misses that hypothesis derives from them."""

import copy
import json
from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

from schemas.mqtt.routing import Kind
from schemas.settings.mqtt import MqttTopicSettings
from tests.support.paths import RECORDINGS
from tests.unit.samples import STAMP

ROUTES = MqttTopicSettings.load(mqtt_topics="ven/telemetry/+", backend_loads_topic="ven/loads/+").routes

LOAD = {"id": "ev1", "name": "EV", "type": "ev", "capacityKw": 12, "currentPowerKw": 7.5, "shedCapabilityKw": 7.5}
LOAD |= {"enabled": True, "priority": 5}
CIRCUIT = {"id": "c1", "name": "HVAC", "breakerAmps": 30, "currentKw": 2.1, "enabled": True, "critical": False}
CURTAILED = {"id": "ev1", "name": "EV", "breaker_amps": 50, "original_kw": 8.5, "curtailed_kw": 8.5, "final_kw": 0.0}
SAMPLE = {"venId": "ven-1", "timestamp": STAMP, "usedPowerKw": 8.2, "shedPowerKw": 4.8, "eventId": "evt-1"}
OLD_SAMPLE = {"ven_id": "ven-1", "ts": STAMP, "power_kw": 8.2, "shed_kw": 4.8, "active_event": "evt-1"}
ACK = {"op": "event", "status": "accepted", "event_id": "evt-1", "correlationId": "c-1", "requested_shed_kw": 5.0}
REPORTED = {"power_kw": 8.2, "loads": [{"id": "ev1", "current_kw": 1, "critical": True}], "timestamp": STAMP}

Message = tuple[Kind, str, Any]

GOOD: tuple[Message, ...] = (
    (Kind.METERING, "ven/telemetry/ven-1", SAMPLE | {"message_num": 17, "batterySoc": 85, "loads": [LOAD]}),
    (Kind.METERING, "ven/telemetry/ven-1", OLD_SAMPLE | {"panelVoltage": 240, "circuits": [CIRCUIT]}),
    (Kind.METERING, "volttron/metering", {"venId": "ven-1", "timestamp": STAMP, "error": "inverter offline"}),
    (Kind.LOADS, "ven/loads/ven-1", {"venId": "ven-1", "timestamp": STAMP, "loads": [LOAD, CIRCUIT]}),
    (Kind.LOADS, "ven/loads/ven-1", {"ven_id": "ven-1", "ts": STAMP, "circuits": [CIRCUIT]}),
    (Kind.STATUS, "volttron/dev", {"ven": "ready"}),
    (Kind.STATUS, "volttron/dev", {"ven": "offline", "venId": "ven-1", "ts": STAMP}),
    (Kind.ACKS, "ven/ack/ven-1", ACK | {"actual_shed_kw": 4.8, "circuits_curtailed": [CURTAILED], "ts": STAMP}),
    (Kind.ACKS, "ven/ack/ven-1", {"op": "shedLoad", "ok": True, "venId": "ven-1", "data": {"eventId": "evt-1"}}),
    (Kind.ACKS, "ven/ack/ven-1", ACK | {"circuits_curtailed": [{"loadId": "ev1", "name": "EV", "shedKw": 2}]}),
    (Kind.SHADOW, "$aws/things/ven-1/shadow/update", {"state": {"reported": REPORTED}}),
    (Kind.EVENTS, "openadr/event", {"event_id": "evt-7", "start": STAMP, "timestamp": STAMP, "x": [{"y": 1}]}),
    (Kind.RESPONSES, "openadr/response", {"ven_id": "ven-1", "response": "ack"}),
)
"""A message of each form, with its topic."""

FIELDS = sorted(
    {name for _, _, document in GOOD for name in document}
    | {*LOAD, *CIRCUIT, *CURTAILED, "loadId", "shedKw", "current_kw", "breaker_amps", "eventId", "event_id", "error"}
    | {"requestedShedKw", "actualShedKw", "circuitsCurtailed", "venId", "ven_id", "timestamp", "ts", "status", "ok"}
    | {"batterySOC", "battery_soc", "state", "reported", "desired", "schemaVersion"}
)


def recorded(*names: str) -> list[Message]:
    """Return all recorded messages that have a parser, with their kinds; commands are left out."""
    found: list[Message] = []
    for name in names:
        for line in (RECORDINGS / name).read_text().splitlines():
            message = json.loads(line)
            if (kind := ROUTES.kind_of(message["topic"])) is not Kind.OTHER:
                found.append((kind, message["topic"], json.loads(message["payload"])))
    return found


def nested(depth: int) -> Any:
    value: Any = 1
    for level in range(depth):
        value = [value] if level % 2 else {"a": value}
    return value


WORDS = st.text("ab\0é\N{GRINNING FACE}\u2028\u0130", max_size=4)
TAME = st.none() | st.booleans() | st.integers(-100_000, 100_000) | st.floats(-1e5, 1e5) | WORDS
HUGE = st.sampled_from([2**63, -(2**63) - 1, 2**64, 10**400, -(10**400), 1e9, 1.1e9, -1e300, 1.7e308, 5e-324, -0.0])
LONG = st.sampled_from(["x" * 65, "x" * 256, "\N{GRINNING FACE}" * 257, "\u0130" * 1000, "x" * 1025, "\ud800", "a\0b"])
TIMES = st.sampled_from(["2024-10-23T16:13:20", "9999-12-31T23:59:59Z", "0001-01-01", STAMP * 1000, -6e10, 1e11, "now"])
NESTED = st.sampled_from([1, 2, 29, 30, 31, 32, 33, 200]).map(nested)


def json_of(scalars: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    names = st.sampled_from(FIELDS) | WORDS
    return st.recursive(
        scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3), max_leaves=4
    )


TAME_JSON = json_of(TAME)
WILD_JSON = json_of(TAME | HUGE | LONG | TIMES | NESTED)


@st.composite
def near_misses(draw: st.DrawFn, messages: list[Message], values: st.SearchStrategy[Any]) -> Message:
    """Draw one of the messages with up to three changed, missing or added values, at any depth."""
    kind, topic, good = draw(st.sampled_from(messages))
    document = copy.deepcopy(good)
    for _ in range(draw(st.integers(0, 3))):
        inner = _containers(document)
        _spoil(draw, inner[draw(st.integers(0, len(inner) - 1))], values)
    return kind, topic, document


def _containers(value: Any) -> list[Any]:
    inside = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    here = [value] if isinstance(value, dict | list) else []
    return here + [found for item in inside[:9] for found in _containers(item)][:99]


def _spoil(draw: st.DrawFn, container: Any, values: st.SearchStrategy[Any]) -> None:
    keys = list(container) if isinstance(container, dict) else list(range(len(container)))
    change = draw(st.sampled_from(["set", "drop", "add"])) if keys else "add"
    if change == "set":
        container[draw(st.sampled_from(keys))] = draw(values)
    elif change == "drop":
        del container[draw(st.sampled_from(keys))]
    elif isinstance(container, dict):
        container[draw(st.sampled_from(FIELDS) | WORDS)] = draw(values)
    else:
        container.append(draw(st.sampled_from(container) | values if container else values))


def shuffled(data: st.DataObject, value: Any) -> Any:
    """Return the same JSON with another order of keys, at all depths."""
    if isinstance(value, list):
        return [shuffled(data, item) for item in value]
    if isinstance(value, Mapping):
        return {key: shuffled(data, value[key]) for key in data.draw(st.permutations(list(value)))}
    return value
