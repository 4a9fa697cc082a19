"""The acks of a device on `ven/ack/{venId}`, in the spelling of its generation. Power in kW, times in Unix seconds."""

from typing import Any, NamedTuple

from gateway.fleet.behaviours import Generation
from gateway.fleet.command_decoder import Command
from gateway.fleet.home import PANEL_VOLTAGE, Circuit

AckPayload = dict[str, Any]


class CurtailedCircuit(NamedTuple):
    """The power of a circuit before an event, and the part of it that the device claims to shed."""

    circuit: Circuit
    original_kw: float
    curtailed_kw: float

    @property
    def final_kw(self) -> float:
        return round(self.original_kw - self.curtailed_kw, 3) + 0.0


class AckWriter(NamedTuple):
    """Writes the acks of one home."""

    ven_id: str
    generation: Generation

    def success(self, command: Command, now: float) -> AckPayload:
        """Acknowledge that a command was executed; devices leave out the event id here."""
        pong = {"pong": True} if command.op == "ping" else {}
        if self.generation is Generation.MODERN:
            return {"op": command.op, "status": "success", **pong} | self._common(command, now)
        return {"op": command.op, "ok": True, **pong} | self._common(command, now)

    def refused(self, command: Command, op: str, event_id: str, error: str, now: float) -> AckPayload:
        """Refuse a command, with the reason."""
        if self.generation is Generation.MODERN:
            refusal = {"op": op, "status": "rejected", "event_id": event_id, "error": error}
            return refusal | self._common(command, now)
        return {"op": op, "ok": False, "error": error, "data": {"eventId": event_id}} | self._common(command, now)

    def accepted(
        self,
        command: Command,
        op: str,
        event_id: str,
        requested_kw: float,
        circuits: list[CurtailedCircuit],
        ends_at: float,
        now: float,
    ) -> AckPayload:
        """Accept an event: these circuits shed until `ends_at` (Unix seconds)."""
        actual_kw = round(sum(each.curtailed_kw for each in circuits), 3)
        if self.generation is Generation.MODERN:
            return {
                "op": op,
                "status": "accepted",
                "event_id": event_id,
                "requested_shed_kw": requested_kw,
                "actual_shed_kw": actual_kw,
                "circuits_curtailed": [_modern(each) for each in circuits],
            } | self._common(command, now)
        return {
            "op": op,
            "ok": True,
            "requestedShedKw": requested_kw,
            "actualShedKw": actual_kw,
            "circuitsCurtailed": [
                {"loadId": each.circuit.id, "name": each.circuit.name, "shedKw": each.curtailed_kw} for each in circuits
            ],
            "data": {"eventId": event_id, "until": int(ends_at)},
        } | self._common(command, now)

    def _common(self, command: Command, now: float) -> AckPayload:
        sender = {} if self.generation is Generation.MODERN else {"venId": self.ven_id}
        return {**sender, "ts": int(now), "correlationId": command.correlation_id}


def _modern(each: CurtailedCircuit) -> AckPayload:
    return {
        "id": each.circuit.id,
        "name": each.circuit.name,
        "breaker_amps": round(each.circuit.capacity_kw * 1000 / PANEL_VOLTAGE),
        "original_kw": each.original_kw,
        "curtailed_kw": each.curtailed_kw,
        "final_kw": each.final_kw,
        "critical": not each.circuit.flexible,
    }
