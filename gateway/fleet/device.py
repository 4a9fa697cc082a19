"""What a home does when it is told something: a state machine of one home. No I/O and no clock: time is passed in.

It does what devices were recorded to do, harm included: an `event` that comes again sheds again on top of the first,
and whatever is told last is what is reported. Power is kW, times are Unix seconds.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

from gateway.fleet.acks import Agent, Answer, Curtailed
from gateway.fleet.behaviours import Behaviour, Generation
from gateway.fleet.command_decoder import Command
from gateway.fleet.home import Circuit, Meter

_HALF = 0.5  # what is left of the request with those who shed less, or lie
_ERROR = "an override at the thermostat is on"


class EventReport(NamedTuple):
    """What the samples of a home say about the event in which it is."""

    event_id: str | None = None
    shed_kw: float = 0.0
    requested_kw: float = 0.0


NO_EVENT = EventReport()


@dataclass(frozen=True, slots=True)
class _Active:
    report: EventReport
    ends_at: float


class Device:
    """One home's state: what limits its circuits, and which event it reports.

    `natural` is what the home's meter would show if nobody had told it anything.
    """

    def __init__(self, agent: Agent, circuits: tuple[Circuit, ...], behaviour: Behaviour = Behaviour.COMPLIANT) -> None:
        self.circuits = circuits  # as they are set
        self.behaviour = behaviour
        self._agent = agent
        self._wired = circuits
        self._limits_kw: dict[str, float] = {}
        self._active: _Active | None = None

    def report(self, now: float) -> EventReport:
        """What a sample says that is measured now."""
        self._end_by_itself(now)
        return NO_EVENT if self._active is None else self._active.report

    def meter(self, natural: Meter, now: float) -> Meter:
        """What the meter really shows: no circuit above its limit, nor above what it would draw."""
        self._end_by_itself(now)
        if not self._limits_kw and self.circuits is self._wired:
            return natural
        kws = tuple(map(self._limited, self.circuits, natural.circuits_kw))
        return Meter(round(sum(kws), 3) + 0.0, kws, natural.battery_soc)

    def told(self, command: Command, natural: Meter, now: float) -> Answer | None:
        """Obey a command; returns the answer, None where devices stay silent."""
        self._end_by_itself(now)
        if command.op == "ping":
            return self._agent.done(command, now)
        return None if self.behaviour is Behaviour.SILENT else self._obey(command, natural, now)

    def forget(self) -> None:
        """End whatever is active: a `restore`, or a power cut."""
        self._limits_kw.clear()
        self._active = None

    def _end_by_itself(self, now: float) -> None:
        if self._active is not None and now >= self._active.ends_at:
            self.forget()

    def _obey(self, command: Command, natural: Meter, now: float) -> Answer | None:
        if command.op == "restore":
            self.forget()
            return self._agent.done(command, now)
        if command.op == "event":
            return self._shed(command, "event", natural, now)
        if self._agent.generation is Generation.MODERN:
            # Its agent takes the command for an event of its own, and does not know the others.
            return self._shed(command, "event", natural, now) if command.op == "shedPanel" else None
        if command.op in {"shedPanel", "shedLoad"}:
            return self._shed(command, command.op, natural, now)
        return self._set(command, now) if command.op == "setLoad" else None

    def _limited(self, circuit: Circuit, natural_kw: float) -> float:
        if not circuit.enabled:
            return 0.0
        return min(natural_kw, circuit.capacity_kw, self._limits_kw.get(circuit.id, natural_kw))

    def _shed(self, command: Command, op: str, natural: Meter, now: float) -> Answer | None:
        asked_kw = command.kw("shed_kw", "requestedReductionKw", "reduceKw")
        modern = self._agent.generation is Generation.MODERN
        event_id = command.text(*(("event_id",) if modern else ("event_id", "eventId"))) or f"evt-{int(now)}"
        if asked_kw is None:
            # The agent of the recordings fails at what it cannot read, and says nothing.
            return None if modern else self._agent.refused(command, op, event_id, "how much to shed is no number", now)
        if self.behaviour is Behaviour.REFUSES:
            return self._agent.refused(command, op, event_id, _ERROR, now)
        lasts = ("duration_sec", "duration_s") if modern else ("duration_sec", "duration_s", "durationS")
        ends_at = now + command.seconds(*lasts)
        only = command.text("loadId") if op == "shedLoad" else None
        share = _HALF if self.behaviour is Behaviour.PARTIAL else 1.0
        circuits = self._curtail(asked_kw * share, only, self.meter(natural, now))
        self._say(EventReport(event_id, round(sum(each.curtailed_kw for each in circuits), 3), asked_kw), ends_at)
        return self._agent.sheds(command, op, event_id, asked_kw, circuits, ends_at, now)

    def _curtail(self, wanted_kw: float, only: str | None, meter: Meter) -> list[Curtailed]:
        """Limit flexible circuits, one after another, below what they draw now: what was shed already is not seen."""
        curtailed = []
        for circuit, draws_kw in zip(self.circuits, meter.circuits_kw, strict=True):
            if not circuit.flexible or only not in {None, circuit.id}:
                continue
            # Limits are whole watts, as meters show them: what is claimed is what the meter drops by.
            left_kw = round(draws_kw - min(wanted_kw, draws_kw), 3) + 0.0
            if draws_kw <= 0 or left_kw >= draws_kw:
                continue
            curtailed.append(Curtailed(circuit, draws_kw, draws_kw - left_kw))
            if self.behaviour is Behaviour.LIES:
                left_kw = round(draws_kw - _HALF * (draws_kw - left_kw), 3)
            self._limits_kw[circuit.id] = left_kw
            wanted_kw -= curtailed[-1].curtailed_kw
        return curtailed

    def _say(self, report: EventReport, ends_at: float) -> None:
        """Another event replaces what is reported; the same one again sheds more, and reports what it did."""
        if self._active is not None and self._active.report.event_id == report.event_id:
            report = self._active.report
        self._active = _Active(report, ends_at)

    def _set(self, command: Command, now: float) -> Answer | None:
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
        return self._agent.done(command, now)
