"""A simulated device with five circuits, and the commands that tests send it."""

import json
from typing import Any

from gateway.fleet.acks import AckPayload, AckWriter
from gateway.fleet.behaviours import Behaviour, Generation
from gateway.fleet.command_decoder import Command, decode_command
from gateway.fleet.device import Device
from gateway.fleet.home import Circuit, Meter
from schemas.dr.commands import (
    event_command,
    restore_command,
)

NOW = 1_795_550_400.0


POWERS = {"hvac1": 3.0, "heater1": 4.5, "ev1": 0.0, "pv1": -2.0, "lights1": 1.0}


FLEXIBLE = {"hvac1", "heater1", "ev1"}


def circuits(powers: dict[str, float], flexible: set[str]) -> tuple[Circuit, ...]:
    return tuple(
        Circuit(name, name.upper(), name[:-1], 12.0, name in flexible, lambda _m, kw=kw: kw)  # type: ignore[misc]
        for name, kw in powers.items()
    )


def meter(powers: dict[str, float]) -> Meter:
    return Meter(round(sum(powers.values()), 3), tuple(powers.values()), None)


NATURAL = meter(POWERS)


def home(behaviour: Behaviour = Behaviour.COMPLIANT, generation: Generation = Generation.MODERN) -> Device:
    return Device(AckWriter("ven-1", generation), circuits(POWERS, FLEXIBLE), behaviour)


def command(payload: dict[str, Any]) -> Command:
    received = decode_command(json.dumps(payload).encode())
    assert received is not None
    return received


def event(shed_kw: float, event_id: str = "evt-1", seconds: int = 600) -> Command:
    return command(event_command("ven-1", event_id, shed_kw, seconds).payload)


RESTORE = command(restore_command("ven-1", "evt-9").payload)


def drop_kw(state: Device, now: float = NOW) -> float:
    return round(NATURAL.used_kw - state.meter(NATURAL, now).used_kw, 3)


def handle(state: Device, received: Command, now: float = NOW) -> AckPayload:
    ack = state.handle(received, NATURAL, now)
    assert ack is not None
    return ack
