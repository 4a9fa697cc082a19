"""A DR event of 200 homes of every manner, from the REST call to circuits shed and back, looked at from all sides."""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from math import ceil
from typing import Any

import aiomqtt
import httpx
import pytest

from gateway.fleet import Behaviour, Fleet, FleetOptions, publishing
from gateway.local.system import System
from gateway.reconciliation.command_observer import CommandObserver, ObservedCommand, observe_commands
from gateway.stack.polling import until
from runtime.database import Connection
from tests.support.command_durations import miscounted
from tests.support.expected_performance import Outcome, commands_of, outcome_of, reduction_at

VENS = 200
LATE = 6
INTERVAL = 2.0
LASTS = 28
ASKED_KW = 90.0
WAIT = 60
EXACT = 1e-3  # of the figures
ROUNDED = 1e-6  # they have six decimals
EACH = 0.04
MANNERS: dict[Behaviour, float] = {behaviour: EACH for behaviour in Behaviour if behaviour is not Behaviour.COMPLIANT}
QUICK: dict[str, Any] = {"slow_seconds": 3.0, "power_cut_seconds": 6.0}

STATUS = {
    Behaviour.COMPLIANT: "restored",
    Behaviour.SLOW: "restored",
    Behaviour.REPEATS: "restored",
    Behaviour.LIES: "restored",  # what it says is all that there is to see
    Behaviour.PARTIAL: "restored",
    Behaviour.REFUSES: "refused",
    Behaviour.SILENT: "unanswered",
    Behaviour.FORGETS: "lost",
}
PARTS = {"p50": 0.5, "p95": 0.95}
UNMOVED = {Behaviour.REFUSES, Behaviour.SILENT}


class Scene:
    """A fleet, latecomers, the wire, and the API: all that may be looked at from outside."""

    def __init__(self, api: httpx.AsyncClient, seen: CommandObserver, fleet: Fleet, late: Fleet) -> None:
        self.api = api
        self.observer = seen
        self.fleet = fleet
        self.late = late
        self.event_id = ""
        self.ends_at = 0.0

    @property
    def behaviours(self) -> dict[str, Behaviour]:
        return {**self.fleet.behaviours, **self.late.behaviours}

    def with_manner(self, *behaviours: Behaviour) -> list[str]:
        return [ven_id for ven_id, behaviour in self.behaviours.items() if behaviour in behaviours]

    async def get(self, path: str, **query: Any) -> Any:
        return (await self.api.get(path, params=query)).raise_for_status().json()

    async def detail(self) -> dict[str, Any]:
        return dict(await self.get(f"/api/events/{self.event_id}"))

    async def online(self, ven_ids: Iterable[str]) -> bool:
        vens = await self.get("/api/vens/summary", limit=1000)
        return {ven["id"] for ven in vens if ven["status"] == "online"} >= set(ven_ids)

    def reduction_now(self) -> float:
        now = datetime.now(UTC).timestamp()
        return sum(reduction_at(fleet.dr, self.event_id, now) for fleet in (self.fleet, self.late))

    def outcome(self, start: float, end: float) -> Outcome:
        mine, theirs = (outcome_of(fleet.dr, self.event_id, start, end) for fleet in (self.fleet, self.late))
        return Outcome(
            mine.mean_kw | theirs.mean_kw, mine.energy_kwh | theirs.energy_kwh, mine.covered | theirs.covered
        )


@pytest.mark.timeout(400)
async def test_an_event_runs_once_and_all_results_are_correct(system: System, stored: Connection) -> None:
    broker: dict[str, Any] = {"host": system.stack.mqtt_host, "port": system.stack.mqtt_port, "interval": INTERVAL}
    fleet = Fleet(FleetOptions(**broker, vens=VENS, prefix="ven-event", behaviours=MANNERS, **QUICK))
    late = Fleet(FleetOptions(**broker, vens=LATE, prefix="ven-late", connections=1, seed=2))
    async with (
        httpx.AsyncClient(base_url=system.api, timeout=20, trust_env=False) as api,
        observe_commands(broker["host"], broker["port"], "test-dr-event") as seen,
    ):
        scene = Scene(api, seen, fleet, late)
        for ven_id in late.behaviours:  # so that the event may name them; nothing has been heard of them
            body = {"name": ven_id, "location": {"lat": 37.0, "lon": -122.0}, "registrationId": ven_id}
            (await api.post("/api/vens", json=body)).raise_for_status()
        async with publishing(fleet):
            assert await until(lambda: scene.online(fleet.behaviours), WAIT, every=0.25)
            await begin(scene)
            assert await seen.wait_for_vens(scene.event_id, "event", fleet.behaviours, 10), "not all were told in time"
            async with publishing(late):
                await while_active(scene)
                await to_the_end(scene)
        over = await reconcile_when_stored(scene)
        await once_each_on_the_wire(scene, over, stored)
        shares_are_as_decided(scene, over)
        ven_by_ven(scene, over)
        await acknowledgements(scene)
        await trails(scene, over)
        await history(scene, over)
        await nothing_is_retained(system)


async def begin(scene: Scene) -> None:
    now = datetime.now(UTC)
    body = {
        "startTime": now.isoformat(),
        "endTime": (now + timedelta(seconds=LASTS)).isoformat(),
        "requestedReductionKw": ASKED_KW,
        "status": "active",
        "venIds": list(scene.behaviours),
    }
    created = (await scene.api.post("/api/events", json=body)).raise_for_status().json()
    scene.event_id = created["id"]
    scene.ends_at = datetime.fromisoformat(created["endTime"]).timestamp()


async def while_active(scene: Scene) -> None:
    """At a quiet moment, with the power cuts over and the latecomers in, the reduction is that of the fleet."""

    stay = [ven_id for ven_id, behaviour in scene.behaviours.items() if behaviour not in {*UNMOVED, Behaviour.FORGETS}]

    def all_is_quiet() -> bool:
        last = {
            ven_id: sample.event_id
            for fleet in (scene.fleet, scene.late)
            for ven_id in fleet.dr.ven_ids()
            for sample in fleet.dr.samples(ven_id)
        }
        return {ven_id for ven_id, event_id in last.items() if event_id == scene.event_id} == set(stay)

    def forgotten() -> bool:
        return len(scene.fleet.dr.power_cuts) == len(scene.with_manner(Behaviour.FORGETS))

    assert await until(forgotten, WAIT, every=0.2)
    assert await until(all_is_quiet, WAIT, every=0.2)
    expected = scene.reduction_now()
    assert expected > ASKED_KW / 4

    async def agrees() -> bool:
        event = await scene.detail()
        assert event["status"] == "active"
        return bool(
            event["currentReductionKw"] == event["actualReductionKw"] == pytest.approx(expected, rel=EXACT, abs=ROUNDED)
            and (await scene.get(f"/api/events/{scene.event_id}/metrics"))["currentReductionKw"]
            == pytest.approx(expected, rel=EXACT, abs=ROUNDED)
            and event["vensResponding"] == len(scene.behaviours) - len(scene.with_manner(*UNMOVED))
        )

    assert await until(agrees, WAIT, every=0.25), (await scene.detail(), expected)
    assert scene.reduction_now() == pytest.approx(expected), "the moment was not quiet"
    current = await scene.get("/api/events/current")
    assert (current["id"], current["currentReductionKw"]) == (
        scene.event_id,
        pytest.approx(expected, rel=EXACT, abs=ROUNDED),
    )
    accepted_samples = {ven["venId"]: ven["status"] for ven in (await scene.detail())["vens"]}
    expected_status = {
        ven_id: STATUS[behaviour] if behaviour in {*UNMOVED, Behaviour.FORGETS} else "shedding"
        for ven_id, behaviour in scene.behaviours.items()
    }
    assert await until(lambda: same_statuses(scene, expected_status), WAIT, every=0.25), accepted_samples


async def same_statuses(scene: Scene, expected: Mapping[str, str]) -> bool:
    # Who sheds nothing, for nothing runs that it could switch off, has accepted.
    event = await scene.detail()
    found = {ven["venId"]: ven["status"] for ven in event["vens"]}
    idle = {ven["venId"] for ven in event["vens"] if ven["shedKw"] == 0 and ven["status"] == "accepted"}
    return found.keys() == expected.keys() and all(
        found[ven_id] == status or (status == "shedding" and ven_id in idle) for ven_id, status in expected.items()
    )


async def to_the_end(scene: Scene) -> None:
    assert await scene.observer.wait_for_vens(scene.event_id, "restore", scene.behaviours, LASTS + WAIT), (
        "not all were restored"
    )

    async def all_at_rest() -> bool:
        return await same_statuses(scene, {ven_id: STATUS[behaviour] for ven_id, behaviour in scene.behaviours.items()})

    assert await until(all_at_rest, WAIT, every=0.5), Counter(
        (scene.behaviours[ven["venId"]], ven["status"]) for ven in (await scene.detail())["vens"]
    )


async def reconcile_when_stored(scene: Scene) -> dict[str, Any]:
    """Wait until the figures are those of the fleet's own samples, in all and of each VEN."""
    event = await scene.detail()
    start, end = (datetime.fromisoformat(event[name]).timestamp() for name in ("startTime", "endTime"))
    outcome = scene.outcome(start, end)
    assert outcome.reduction_kw > ASKED_KW / 4

    async def agrees() -> bool:
        event.update(await scene.detail())
        return bool(
            event["status"] == "completed"
            and event["currentReductionKw"] == 0
            and event["actualReductionKw"] == pytest.approx(outcome.reduction_kw, rel=EXACT, abs=ROUNDED)
            and event["deliveredKwh"] == pytest.approx(outcome.delivered_kwh, rel=EXACT, abs=ROUNDED)
            and event["coveredShare"] == pytest.approx(outcome.covered_share, rel=EXACT, abs=ROUNDED)
            and {ven["venId"]: ven["deliveredKwh"] for ven in event["vens"]}
            == pytest.approx(outcome.energy_kwh, rel=EXACT, abs=ROUNDED)
            and {ven["venId"]: ven["shedKw"] for ven in event["vens"]}
            == pytest.approx(outcome.mean_kw, rel=EXACT, abs=ROUNDED)
        )

    assert await until(agrees, WAIT, every=0.5), (event, outcome)
    for listed in (await scene.get("/api/events", limit=1000), await scene.get("/api/events/history")):
        (mine,) = [each for each in listed if each["id"] == scene.event_id]
        assert mine["actualReductionKw"] == pytest.approx(outcome.reduction_kw, rel=EXACT, abs=ROUNDED)
    return event


async def once_each_on_the_wire(scene: Scene, event: Mapping[str, Any], stored: Connection) -> None:
    expected = Counter((ven_id, op) for ven_id in scene.behaviours for op in ("event", "restore"))
    assert scene.observer.counts(scene.event_id) == expected
    assert commands_of(scene.fleet.dr, scene.event_id) + commands_of(scene.late.dr, scene.event_id) == expected
    told = scene.observer.commands(scene.event_id, "event")
    for seen in told:
        assert 0 < seen.payload["duration_sec"] == seen.payload["data"]["duration_s"]
    assert await miscounted(stored, told, scene.ends_at) == []
    assert {seen.payload["correlationId"] for seen in told} == {ven["correlationId"] for ven in event["vens"]}
    longest = max(seen.payload["duration_sec"] for seen in told if seen.ven_id in scene.late.behaviours)
    # Those that come at once may come in the same second.
    assert longest <= min(seen.payload["duration_sec"] for seen in told if seen.ven_id in scene.fleet.behaviours)
    for seen in scene.observer.commands(scene.event_id, "restore"):
        assert seen.at > scene.ends_at - 0.1
        assert seen.payload["data"] == {"event_id": scene.event_id}


def shares_are_as_decided(scene: Scene, event: Mapping[str, Any]) -> None:
    sent = {seen.ven_id: kw_of(seen) for seen in scene.observer.commands(scene.event_id, "event")}
    assert sent == {ven["venId"]: ven["shareKw"] for ven in event["vens"]}
    assert all(0 <= ven["shareKw"] <= ven["capabilityKw"] for ven in event["vens"])
    of_the_start = [ven for ven in event["vens"] if not ven["late"]]
    assert {ven["venId"] for ven in of_the_start} == scene.fleet.behaviours.keys()
    assert sum(ven["shareKw"] for ven in of_the_start) == pytest.approx(ASKED_KW)
    # In proportion to what each can shed, but for rounding.
    rate = ASKED_KW / sum(ven["capabilityKw"] for ven in of_the_start)
    assert [ven["shareKw"] for ven in of_the_start] == pytest.approx(
        [rate * ven["capabilityKw"] for ven in of_the_start], abs=1e-5
    )


def kw_of(seen: ObservedCommand) -> float:
    assert seen.payload["shed_kw"] == seen.payload["data"]["requestedReductionKw"]
    return float(seen.payload["shed_kw"])


def ven_by_ven(scene: Scene, event: Mapping[str, Any]) -> None:
    number = Counter(scene.behaviours.values())
    unmoved = sum(number[behaviour] for behaviour in UNMOVED)
    told = len(scene.behaviours)
    shed = sum(ven["shedKw"] > 0 for ven in event["vens"])
    assert event["funnel"] == {
        "targeted": told,
        "logged": told,
        "sent": told,
        "acknowledged": told - unmoved,
        "refused": number[Behaviour.REFUSES],
        "expired": 0,
        "unanswered": number[Behaviour.SILENT],
        "lost": number[Behaviour.FORGETS],
        "shedding": shed,
        "restored": told - unmoved - number[Behaviour.FORGETS],
    }
    assert event["vensResponding"] == told - unmoved
    assert event["responses"] == told - number[Behaviour.SILENT]
    # All of a batch were sent at one time, and may have answered in one: only the slow are sure to be later.
    took = {ven["venId"]: ven["ackedAfterMs"] for ven in event["vens"]}
    assert {ven_id for ven_id, ms in took.items() if ms is None} == set(scene.with_manner(Behaviour.SILENT))
    answered = sorted(ms for ms in took.values() if ms is not None)
    assert answered[0] > 0
    assert event["responseMs"] == {name: answered[ceil(len(answered) * part) - 1] for name, part in PARTS.items()}
    slow = min(took[ven_id] for ven_id in scene.with_manner(Behaviour.SLOW))
    assert slow > 0.8 * 1000 * QUICK["slow_seconds"]
    assert event["responseMs"]["p50"] < slow


async def acknowledgements(scene: Scene) -> None:
    """Repeats count once, and circuits are as each VEN last said."""
    said: dict[tuple[str, str], float] = {}
    distinct: set[tuple[str, str, int]] = set()
    for fleet in (scene.fleet, scene.late):
        for ven_id, answers in fleet.dr.acks.items():
            for answer in answers:
                payload = answer.payload
                distinct.add((ven_id, payload["correlationId"], payload["ts"]))
                for circuit in [*payload.get("circuits_curtailed", []), *payload.get("circuitsCurtailed", [])]:
                    name = circuit.get("id") or circuit["loadId"]
                    said[ven_id, name] = circuit.get("curtailed_kw", circuit.get("shedKw"))
    mine = {
        seen.payload["correlationId"]
        for op in ("event", "restore")
        for seen in scene.observer.commands(scene.event_id, op)
    }
    acks = await scene.get(f"/api/events/{scene.event_id}/acks", limit=5000)
    assert len(acks) == len({each for each in distinct if each[1] in mine})
    circuits = await scene.get(f"/api/events/{scene.event_id}/circuits")
    assert {(each["venId"], each["id"]): each["curtailed_kw"] for each in circuits} == pytest.approx(said)
    # Where a device does not say what the circuit drew, it is what was metered last: that may be less than is shed.
    left = [max(0.0, each["original_kw"] - each["curtailed_kw"]) for each in circuits]
    assert [each["final_kw"] for each in circuits] == pytest.approx(left, abs=1e-6)
    for ven_id in scene.with_manner(Behaviour.REPEATS):
        repeated = [ack for ack in acks if ack["venId"] == ven_id and ack["op"] == "event"]
        assert len(repeated) == 2
        assert len({ack["correlationId"] for ack in repeated}) == 1


async def trails(scene: Scene, event: Mapping[str, Any]) -> None:
    """Every step is there, with its time, in order: of the command and of the restore."""
    # Of a VEN that had something to switch off.
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
        trail = await scene.get(f"/api/commands/{ack['correlationId']}")
        assert (trail["state"], trail["phase"], trail["attempt"]) == ("acknowledged", ack["op"], 1)
        assert [each["id"] for each in trail["acks"]] == [ack["id"]]
        times = [trail[name] for name in ways[ack["op"]]]
        assert all(times), trail
        # What is received is noted in whole milliseconds.
        moments = [int(datetime.fromisoformat(moment).timestamp() * 1000) for moment in times]
        assert all(one <= other for one, other in pairwise(moments)), trail
        assert trail["expiredAt"] is trail["unansweredAt"] is trail["lostAt"] is None
    assert [each["op"] for each in await scene.get(f"/api/vens/{ven_id}/commands")] == ["restore", "event"]


async def history(scene: Scene, event: Mapping[str, Any]) -> None:
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


async def nothing_is_retained(system: System) -> None:
    """Who connects now hears nothing of what went out before."""
    async with aiomqtt.Client(system.stack.mqtt_host, system.stack.mqtt_port) as client:
        await client.subscribe("ven/cmd/#", qos=1)
        await client.publish("ven/cmd/none/trial", b"", qos=1)
        first = await anext(client.messages)
        assert str(first.topic) == "ven/cmd/none/trial"
