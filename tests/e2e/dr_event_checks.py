"""What has to hold after a DR event: commands, shares, funnel, acks, command history and rollups."""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from itertools import pairwise
from math import ceil
from statistics import median_low
from typing import Any

import aiomqtt
import pytest

from gateway.fleet import Behaviour
from gateway.local.system import System
from gateway.reconciliation.command_observer import ObservedCommand
from runtime.database import Connection
from tests.e2e.dr_event_scene import (
    NOT_SHEDDING,
    PERCENTILES,
    QUICK,
    REQUESTED_KW,
    Scene,
)
from tests.support.command_durations import miscounted
from tests.support.expected_performance import commands_of


async def assert_each_command_sent_once(scene: Scene, event: Mapping[str, Any], stored: Connection) -> None:
    expected = Counter((ven_id, op) for ven_id in scene.behaviours for op in ("event", "restore"))
    assert scene.observer.counts(scene.event_id) == expected
    assert commands_of(scene.fleet.dr, scene.event_id) + commands_of(scene.late.dr, scene.event_id) == expected
    sent = scene.observer.commands(scene.event_id, "event")
    for seen in sent:
        assert 0 < seen.payload["duration_sec"] == seen.payload["data"]["duration_s"]
    assert await miscounted(stored, sent, scene.ends_at) == []
    assert {seen.payload["correlationId"] for seen in sent} == {ven["correlationId"] for ven in event["vens"]}
    longest = max(seen.payload["duration_sec"] for seen in sent if seen.ven_id in scene.late.behaviours)
    # The first late joiners may join within the same second.
    assert longest <= min(seen.payload["duration_sec"] for seen in sent if seen.ven_id in scene.fleet.behaviours)
    for seen in scene.observer.commands(scene.event_id, "restore"):
        assert seen.at > scene.ends_at - 0.1
        assert seen.payload["data"] == {"event_id": scene.event_id}


def assert_shares_match(scene: Scene, event: Mapping[str, Any]) -> None:
    sent = {seen.ven_id: requested_kw(seen) for seen in scene.observer.commands(scene.event_id, "event")}
    assert sent == {ven["venId"]: ven["shareKw"] for ven in event["vens"]}
    assert all(0 <= ven["shareKw"] <= ven["capabilityKw"] for ven in event["vens"])
    of_the_start = [ven for ven in event["vens"] if not ven["late"]]
    assert {ven["venId"] for ven in of_the_start} == scene.fleet.behaviours.keys()
    assert sum(ven["shareKw"] for ven in of_the_start) == pytest.approx(REQUESTED_KW)
    # In proportion to the shed capability up to twice the median; what these cannot carry, to what is above it.
    largest = 2 * median_low(ven["capabilityKw"] for ven in of_the_start if ven["capabilityKw"] > 0)
    weights = [min(ven["capabilityKw"], largest) for ven in of_the_start]
    above = [ven["capabilityKw"] - weight for ven, weight in zip(of_the_start, weights, strict=True)]
    carried = min(REQUESTED_KW, sum(weights))
    rest = (REQUESTED_KW - carried) / max(sum(above), 1e-9)
    assert [ven["shareKw"] for ven in of_the_start] == pytest.approx(
        [carried * weight / sum(weights) + rest * more for weight, more in zip(weights, above, strict=True)], abs=1e-5
    )


def requested_kw(seen: ObservedCommand) -> float:
    assert seen.payload["shed_kw"] == seen.payload["data"]["requestedReductionKw"]
    return float(seen.payload["shed_kw"])


def assert_funnel_and_response_times(scene: Scene, event: Mapping[str, Any]) -> None:
    number = Counter(scene.behaviours.values())
    unmoved = sum(number[behaviour] for behaviour in NOT_SHEDDING)
    targets = len(scene.behaviours)
    shed = sum(ven["shedKw"] > 0 for ven in event["vens"])
    assert event["funnel"] == {
        "targeted": targets,
        "logged": targets,
        "sent": targets,
        "acknowledged": targets - unmoved,
        "refused": number[Behaviour.REFUSES],
        "expired": 0,
        "unanswered": number[Behaviour.SILENT],
        "lost": number[Behaviour.FORGETS],
        "shedding": shed,
        "restored": targets - unmoved - number[Behaviour.FORGETS],
    }
    assert event["vensResponding"] == targets - unmoved
    assert event["responses"] == targets - number[Behaviour.SILENT]
    # A batch is sent and answered at about the same time; only the slow VENs are surely later.
    took = {ven["venId"]: ven["ackedAfterMs"] for ven in event["vens"]}
    assert {ven_id for ven_id, ms in took.items() if ms is None} == set(scene.with_behaviour(Behaviour.SILENT))
    answered = sorted(ms for ms in took.values() if ms is not None)
    assert answered[0] > 0
    assert event["responseMs"] == {name: answered[ceil(len(answered) * part) - 1] for name, part in PERCENTILES.items()}
    slow = min(took[ven_id] for ven_id in scene.with_behaviour(Behaviour.SLOW))
    assert slow > 0.8 * 1000 * QUICK["slow_seconds"]
    assert event["responseMs"]["p50"] < slow


async def assert_acks_and_circuits(scene: Scene) -> None:
    """Repeated acks count once, and circuits are as each VEN reported last."""
    reported: dict[tuple[str, str], float] = {}
    distinct: set[tuple[str, str, int]] = set()
    for fleet in (scene.fleet, scene.late):
        for ven_id, answers in fleet.dr.acks.items():
            for answer in answers:
                payload = answer.payload
                distinct.add((ven_id, payload["correlationId"], payload["ts"]))
                for circuit in [*payload.get("circuits_curtailed", []), *payload.get("circuitsCurtailed", [])]:
                    name = circuit.get("id") or circuit["loadId"]
                    reported[ven_id, name] = circuit.get("curtailed_kw", circuit.get("shedKw"))
    mine = {
        seen.payload["correlationId"]
        for op in ("event", "restore")
        for seen in scene.observer.commands(scene.event_id, op)
    }
    acks = await scene.get(f"/api/events/{scene.event_id}/acks", limit=5000)
    assert len(acks) == len({each for each in distinct if each[1] in mine})
    circuits = await scene.get(f"/api/events/{scene.event_id}/circuits")
    assert {(each["venId"], each["id"]): each["curtailed_kw"] for each in circuits} == pytest.approx(reported)
    # Without a reported original power the last metered one counts, which may be less than the shed.
    left = [max(0.0, each["original_kw"] - each["curtailed_kw"]) for each in circuits]
    assert [each["final_kw"] for each in circuits] == pytest.approx(left, abs=1e-6)
    for ven_id in scene.with_behaviour(Behaviour.REPEATS):
        repeated = [ack for ack in acks if ack["venId"] == ven_id and ack["op"] == "event"]
        assert len(repeated) == 2
        assert len({ack["correlationId"] for ack in repeated}) == 1


async def assert_command_history(scene: Scene, event: Mapping[str, Any]) -> None:
    """Event and restore show every step with its time, in order."""
    # Choose a VEN that shed something.
    ven = next(
        ven for ven in event["vens"] if scene.behaviours[ven["venId"]] is Behaviour.COMPLIANT and ven["shedKw"] > 0
    )
    ven_id = ven["venId"]
    acks = await scene.get(f"/api/vens/{ven_id}/events")
    assert [(ack["op"], ack["eventId"]) for ack in acks] == [("restore", scene.event_id), ("event", scene.event_id)]
    assert acks[1]["correlationId"] == ven["correlationId"]
    ways = {
        "event": ("decidedAt", "loggedAt", "sendingAt", "sentAt", "ackedAt", "reportedAt", "shedAt"),
        "restore": ("decidedAt", "loggedAt", "sendingAt", "sentAt", "ackedAt", "reportedAt"),
    }
    for ack in acks:
        history = await scene.get(f"/api/commands/{ack['correlationId']}")
        assert (history["state"], history["phase"], history["attempt"]) == ("acknowledged", ack["op"], 1)
        assert [each["id"] for each in history["acks"]] == [ack["id"]]
        times = [history[name] for name in ways[ack["op"]]]
        assert all(times), history
        # Receive times have whole milliseconds.
        moments = [int(datetime.fromisoformat(moment).timestamp() * 1000) for moment in times]
        assert all(one <= other for one, other in pairwise(moments)), history
        assert history["expiredAt"] is history["unansweredAt"] is history["lostAt"] is None
    assert [each["op"] for each in await scene.get(f"/api/vens/{ven_id}/commands")] == ["restore", "event"]


async def assert_history(scene: Scene, event: Mapping[str, Any]) -> None:
    ven = next(ven for ven in event["vens"] if ven["shedKw"] > 0)
    bounds = {"start": event["startTime"], "end": event["endTime"], "granularity": "30s"}
    points = (await scene.get(f"/api/vens/{ven['venId']}/history", **bounds))["points"]
    assert any(point["eventId"] == scene.event_id and point["shedPowerKw"] > 0 for point in points)
    network = (await scene.get("/api/stats/network/history", **bounds))["points"]
    assert any(point["shedPowerKw"] > 0 for point in network)
    rows = (await scene.get(f"/api/vens/{ven['venId']}/telemetry", limit=1000))["telemetry"]
    ledger = scene.fleet.dr if ven["venId"] in scene.fleet.behaviours else scene.late.dr
    published = {sample.time_ms / 1000: (sample.event_id, sample.shed_kw) for sample in ledger.samples(ven["venId"])}
    assert {
        datetime.fromisoformat(row["timestamp"]).timestamp(): (row["eventId"], row["shedPowerKw"]) for row in rows
    } == published


async def assert_no_command_is_retained(system: System) -> None:
    """A new subscriber receives none of the earlier commands."""
    async with aiomqtt.Client(system.stack.mqtt_host, system.stack.mqtt_port) as client:
        await client.subscribe("ven/cmd/#", qos=1)
        await client.publish("ven/cmd/none/trial", b"", qos=1)
        first = await anext(client.messages)
        assert str(first.topic) == "ven/cmd/none/trial"
