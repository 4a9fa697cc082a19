"""A simulated device: a state machine of one home's event and limits. No I/O and no clock; the time is an argument.

It behaves as recorded devices do, including what does harm: a repeated `event` sheds again on top of the first one, and
the last event received is the one that is reported. Power is in kW, times are in Unix seconds.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

from gateway.fleet.acks import AckPayload, AckWriter, CurtailedCircuit
from gateway.fleet.behaviours import Behaviour, Generation
from gateway.fleet.command_decoder import Command
from gateway.fleet.home import Circuit, Meter

_HALF = 0.5  # the part of the request that is shed by homes that lie or shed partially
_REFUSAL = "an override at the thermostat is on"


class EventReport(NamedTuple):
    """The event fields of a home's samples."""

    event_id: str | None = None
    shed_kw: float = 0.0
    requested_kw: float = 0.0


NO_EVENT = EventReport()


@dataclass(frozen=True, slots=True)
class _ActiveEvent:
    report: EventReport
    ends_at: float


class Device:
    """The state of one home: the limits of its circuits, and the event it reports.

    `natural` in the methods below is what the meter would show without any command.
    """

    def __init__(
        self, acks: AckWriter, circuits: tuple[Circuit, ...], behaviour: Behaviour = Behaviour.COMPLIANT
    ) -> None:
        self.circuits = circuits  # as changed by setLoad
        self.behaviour = behaviour
        self._acks = acks
        self._initial_circuits = circuits
        self._limits_kw: dict[str, float] = {}
        self._active: _ActiveEvent | None = None

    def report(self, now: float) -> EventReport:
        """Return the event fields of a sample measured now."""
        self._end_when_over(now)
        return NO_EVENT if self._active is None else self._active.report

    def meter(self, natural: Meter, now: float) -> Meter:
        """Return what the meter shows: no circuit draws more than its limit, or than it would naturally."""
        self._end_when_over(now)
        if not self._limits_kw and self.circuits is self._initial_circuits:
            return natural
        kws = tuple(map(self._limited, self.circuits, natural.circuits_kw))
        return Meter(round(sum(kws), 3) + 0.0, kws, natural.battery_soc)

    def handle(self, command: Command, natural: Meter, now: float) -> AckPayload | None:
        """Execute a command; return the ack, or None where devices stay silent."""
        self._end_when_over(now)
        if command.op == "ping":
            return self._acks.success(command, now)
        return None if self.behaviour is Behaviour.SILENT else self._execute(command, natural, now)

    def reset(self) -> None:
        """End the active event, as a `restore` or a power cut does."""
        self._limits_kw.clear()
        self._active = None

    def _end_when_over(self, now: float) -> None:
        if self._active is not None and now >= self._active.ends_at:
            self.reset()

    def _execute(self, command: Command, natural: Meter, now: float) -> AckPayload | None:
        if command.op == "restore":
            self.reset()
            return self._acks.success(command, now)
        if command.op == "event":
            return self._shed(command, "event", natural, now)
        if self._acks.generation is Generation.MODERN:
            # The modern agent treats shedPanel as an event and ignores all other commands.
            return self._shed(command, "event", natural, now) if command.op == "shedPanel" else None
        if command.op in {"shedPanel", "shedLoad"}:
            return self._shed(command, command.op, natural, now)
        return self._set_load(command, now) if command.op == "setLoad" else None

    def _limited(self, circuit: Circuit, natural_kw: float) -> float:
        if not circuit.enabled:
            return 0.0
        return min(natural_kw, circuit.capacity_kw, self._limits_kw.get(circuit.id, natural_kw))

    def _shed(self, command: Command, op: str, natural: Meter, now: float) -> AckPayload | None:
        requested_kw = command.kw("shed_kw", "requestedReductionKw", "reduceKw")
        modern = self._acks.generation is Generation.MODERN
        event_id = command.text(*(("event_id",) if modern else ("event_id", "eventId"))) or f"evt-{int(now)}"
        if requested_kw is None:
            # The modern agent crashes on a request it cannot read, and sends nothing.
            return None if modern else self._acks.refused(command, op, event_id, "the requested shed is no number", now)
        if self.behaviour is Behaviour.REFUSES:
            return self._acks.refused(command, op, event_id, _REFUSAL, now)
        durations = ("duration_sec", "duration_s") if modern else ("duration_sec", "duration_s", "durationS")
        ends_at = now + command.seconds(*durations)
        only = command.text("loadId") if op == "shedLoad" else None
        share = _HALF if self.behaviour is Behaviour.PARTIAL else 1.0
        circuits = self._curtail(requested_kw * share, only, self.meter(natural, now))
        shed_kw = round(sum(each.curtailed_kw for each in circuits), 3)
        self._activate(EventReport(event_id, shed_kw, requested_kw), ends_at)
        return self._acks.accepted(command, op, event_id, requested_kw, circuits, ends_at, now)

    def _curtail(self, wanted_kw: float, only: str | None, meter: Meter) -> list[CurtailedCircuit]:
        """Limit flexible circuits, one after another, below their present power; earlier sheds are not considered."""
        curtailed = []
        for circuit, power_kw in zip(self.circuits, meter.circuits_kw, strict=True):
            if not circuit.flexible or only not in {None, circuit.id}:
                continue
            # Whole watts, as meters show them, so that the claimed shed is what the meter drops by.
            limit_kw = round(power_kw - min(wanted_kw, power_kw), 3) + 0.0
            if power_kw <= 0 or limit_kw >= power_kw:
                continue
            curtailed.append(CurtailedCircuit(circuit, power_kw, power_kw - limit_kw))
            if self.behaviour is Behaviour.LIES:
                limit_kw = round(power_kw - _HALF * (power_kw - limit_kw), 3)
            self._limits_kw[circuit.id] = limit_kw
            wanted_kw -= curtailed[-1].curtailed_kw
        return curtailed

    def _activate(self, report: EventReport, ends_at: float) -> None:
        """Replace the reported event; a repeat of the same event keeps the first report, though it sheds more."""
        if self._active is not None and self._active.report.event_id == report.event_id:
            report = self._active.report
        self._active = _ActiveEvent(report, ends_at)

    def _set_load(self, command: Command, now: float) -> AckPayload | None:
        load_id, enabled, capacity_kw = command.text("loadId"), command.flag("enabled"), command.kw("capacityKw")
        if all(circuit.id != load_id for circuit in self.circuits):
            return None
        self.circuits = tuple(
            replace(
                circuit,
                enabled=circuit.enabled if enabled is None else enabled,
                capacity_kw=circuit.capacity_kw if capacity_kw is None else capacity_kw,
            )
            if circuit.id == load_id
            else circuit
            for circuit in self.circuits
        )
        return self._acks.success(command, now)
