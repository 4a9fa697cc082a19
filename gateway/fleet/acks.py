"""What a device answers on `ven/ack/{venId}`, in the spelling of its generation. Power in kW, times in Unix seconds."""

from typing import Any, NamedTuple

from gateway.fleet.behaviours import Generation
from gateway.fleet.command_decoder import Command
from gateway.fleet.home import PANEL_VOLTAGE, Circuit

Answer = dict[str, Any]


class Curtailed(NamedTuple):
    """What a circuit drew, and what a device says that it sheds of it."""

    circuit: Circuit
    original_kw: float
    curtailed_kw: float

    @property
    def final_kw(self) -> float:
        return round(self.original_kw - self.curtailed_kw, 3) + 0.0


class Agent(NamedTuple):
    """Who answers: the home's id and the generation of its agent."""

    ven_id: str
    generation: Generation

    def done(self, command: Command, now: float) -> Answer:
        """It was done; no event is named, even where the command named one."""
        pong = {"pong": True} if command.op == "ping" else {}
        if self.generation is Generation.MODERN:
            return {"op": command.op, "status": "success", **pong} | self._end(command, now)
        return {"op": command.op, "ok": True, **pong} | self._end(command, now)

    def refused(self, command: Command, op: str, event_id: str, error: str, now: float) -> Answer:
        """It was not done, and why."""
        if self.generation is Generation.MODERN:
            told = {"op": op, "status": "rejected", "event_id": event_id, "error": error}
            return told | self._end(command, now)
        return {"op": op, "ok": False, "error": error, "data": {"eventId": event_id}} | self._end(command, now)

    def sheds(
        self,
        command: Command,
        op: str,
        event_id: str,
        asked_kw: float,
        circuits: list[Curtailed],
        ends: float,
        now: float,
    ) -> Answer:
        """It sheds for an event, until `ends` (Unix seconds), at these circuits."""
        actual_kw = round(sum(each.curtailed_kw for each in circuits), 3)
        if self.generation is Generation.MODERN:
            return {
                "op": op,
                "status": "accepted",
                "event_id": event_id,
                "requested_shed_kw": asked_kw,
                "actual_shed_kw": actual_kw,
                "circuits_curtailed": [_modern(each) for each in circuits],
            } | self._end(command, now)
        return {
            "op": op,
            "ok": True,
            "requestedShedKw": asked_kw,
            "actualShedKw": actual_kw,
            "circuitsCurtailed": [
                {"loadId": each.circuit.id, "name": each.circuit.name, "shedKw": each.curtailed_kw} for each in circuits
            ],
            "data": {"eventId": event_id, "until": int(ends)},
        } | self._end(command, now)

    def _end(self, command: Command, now: float) -> Answer:
        who = {} if self.generation is Generation.MODERN else {"venId": self.ven_id}
        return {**who, "ts": int(now), "correlationId": command.correlation_id}


def _modern(each: Curtailed) -> Answer:
    return {
        "id": each.circuit.id,
        "name": each.circuit.name,
        "breaker_amps": round(each.circuit.capacity_kw * 1000 / PANEL_VOLTAGE),
        "original_kw": each.original_kw,
        "curtailed_kw": each.curtailed_kw,
        "final_kw": each.final_kw,
        "critical": not each.circuit.flexible,
    }
