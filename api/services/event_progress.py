"""How far each VEN got in a DR event, and how many got how far."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from api.queries.command_history import steps_of
from schemas.dr.command_state import EventVenStatus, Steps, event_ven_status, state_of
from schemas.rest.events import Funnel
from schemas.tables.sql_reduction import REPORTED


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one VEN got in an event; `told` is what is known of its last telling, None where it was not told.

    `accepted` also holds for one that was not told and says so all the same.
    """

    status: EventVenStatus
    targeted: bool
    accepted: bool
    sheds: bool
    told: Steps | None = None
    correlation_id: str | None = None
    response_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of the VENs of an event, by VEN: rows of api.queries.event_vens and api.queries.acks."""

    told: Mapping[str, Any]
    restores: Mapping[str, Any]
    claims: Mapping[str, Any]

    @classmethod
    def of(cls, commands: Iterable[Any], claims: Iterable[Any]) -> "Evidence":
        """Sort the rows of an event; `claims` are of VENs that were told nothing."""
        told: dict[str, Any] = {}
        restores: dict[str, Any] = {}
        for row in commands:
            (restores if row["restores"] else told)[row["ven_id"]] = row
        return cls(told, restores, {row["ven_id"]: row for row in claims})

    @property
    def ven_ids(self) -> set[str]:
        """The VENs that were told or have answered."""
        return {*self.told, *self.restores, *self.claims}

    def progress(self, ven_id: str, chosen: Any | None, *, named: bool, sheds: bool, over: bool) -> Progress:
        """Tell how far a VEN got.

        `chosen` is its row of event_vens, `named` whether the event names it. In an event that is `over`, a VEN that
        had lost it is shown so, though it shed before.
        """
        row, ended, claim = self.told.get(ven_id), self.restores.get(ven_id), self.claims.get(ven_id)
        told = None if row is None else steps_of(row)
        if told is None and claim is not None:
            told = Steps(acked_at=claim["first_at"], ack_status=claim["status"])
        restore = None if ended is None else steps_of(ended)
        lost = over and told is not None and told.lost_at is not None
        status = event_ven_status(told, restore, sheds=sheds and not lost)
        accepted = told is not None and state_of(told) == "acknowledged"
        targeted = named or (chosen is not None and chosen["reason"] != REPORTED)
        if row is None or told is None:
            return Progress(status, targeted, accepted, sheds)
        response_ms = _ms(row["created_at"], told.acked_at)
        return Progress(
            status,
            targeted=True,
            accepted=accepted,
            sheds=sheds,
            told=told,
            correlation_id=row["correlation_id"],
            response_ms=response_ms,
        )


def _ms(asked_at: datetime, answered_at: datetime | None) -> float | None:
    return None if answered_at is None else (answered_at - asked_at).total_seconds() * 1000


def funnel(vens: Iterable[Progress]) -> Funnel:
    """Count how many got how far."""
    counts = dict.fromkeys(Funnel.model_fields, 0)
    for ven in vens:
        counts["targeted"] += ven.targeted
        counts["shedding"] += ven.sheds
        counts["restored"] += ven.status == "restored"
        if ven.told is None:
            continue
        state = state_of(ven.told)
        arrived = state in {"acknowledged", "refused"} or ven.told.reported_at is not None
        sent = arrived or ven.told.sent_at is not None
        counts["sent"] += sent
        counts["logged"] += sent or ven.told.sending_at is not None or ven.told.logged_at is not None
        counts["lost"] += ven.told.lost_at is not None
        if state in {"acknowledged", "refused", "expired", "unanswered"}:
            counts[state] += 1
    return Funnel(**counts)
