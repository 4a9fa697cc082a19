"""The way of a command: every step from the decision to the shed, with the time at which it was first known."""

from datetime import datetime
from typing import Any, Literal

from schemas.dr.command_state import CommandState
from schemas.rest.acks import VenEventAck
from schemas.rest.model import RestModel, example

MOST_ACKS = 1000
_TRAIL = {
    "correlationId": "evt-evt-1f0c9a3b-ab12cd34",
    "venId": "ven-001",
    "op": "event",
    "eventId": "evt-1f0c9a3b",
    "phase": "event",
    "commandRevision": 1,
    "attempt": 1,
    "state": "acknowledged",
    "payload": {
        "op": "event",
        "correlationId": "evt-evt-1f0c9a3b-ab12cd34",
        "venId": "ven-001",
        "event_id": "evt-1f0c9a3b",
        "shed_kw": 5.0,
        "duration_sec": 3600,
        "data": {"event_id": "evt-1f0c9a3b", "requestedReductionKw": 5.0, "duration_s": 3600},
    },
    "decidedAt": "2025-10-23T17:00:00.380000Z",
    "loggedAt": "2025-10-23T17:00:00.402000Z",
    "sendingAt": "2025-10-23T17:00:00.409000Z",
    "sentAt": "2025-10-23T17:00:00.413000Z",
    "ackedAt": "2025-10-23T17:00:00.792000Z",
    "ackStatus": "accepted",
    "reportedAt": "2025-10-23T17:00:05Z",
    "shedAt": "2025-10-23T17:00:05Z",
    "expiredAt": None,
    "unansweredAt": None,
    "lostAt": None,
    "expiresAt": "2025-10-23T18:00:00Z",
    "endsAt": "2025-10-23T18:00:00Z",
}
_ACK = {
    "id": "9c1f04d27ab35e68",
    "venId": "ven-001",
    "eventId": "evt-1f0c9a3b",
    "correlationId": "evt-evt-1f0c9a3b-ab12cd34",
    "op": "event",
    "status": "accepted",
    "timestamp": "2025-10-23T17:00:00Z",
    "timedByArrival": False,
    "requestedShedKw": 5.0,
    "actualShedKw": 4.8,
    "circuitsCurtailed": [],
    "receivedAt": "2025-10-23T17:00:00.792000Z",
    "late": False,
}


class CommandSteps(RestModel):
    """A command and its steps. `state` follows from the steps; acks take precedence.

    `phase` is `event` or `restore` if the gateway sends the command for a DR event, and null if an operator sent it.
    `command_revision` is 2 if the event or its restore was reissued. `attempt` counts how often the bridge was asked
    to send this command: above 1 only if nothing shows that it arrived.

    `decided_at`: the command was written. `logged_at`: `ven.commands` contains it. `sending_at`: a bridge claimed it.
    `sent_at`: the MQTT broker has it. `acked_at`: the VEN answered, with `ack_status`. `reported_at`: a sample names
    its event, or after a restore no longer does. `shed_at`: a sample shows a shed. Instead of these: `expired_at`, it
    was too late to send it; `unanswered_at`, no ack came in time; `lost_at`, the VEN no longer reports the event. The
    command is not sent after `expires_at`; its request is over at `ends_at`. Durations in `payload` are as decided;
    when the command is sent, they become the time that is left until `ends_at`.
    """

    model_config = example(_TRAIL)

    correlation_id: str
    ven_id: str
    op: str
    event_id: str | None
    phase: Literal["event", "restore"] | None
    command_revision: int
    attempt: int
    state: CommandState
    payload: dict[str, Any]
    decided_at: datetime
    logged_at: datetime | None
    sending_at: datetime | None
    sent_at: datetime | None
    acked_at: datetime | None
    ack_status: str | None
    reported_at: datetime | None
    shed_at: datetime | None
    expired_at: datetime | None
    unanswered_at: datetime | None
    lost_at: datetime | None
    expires_at: datetime | None
    ends_at: datetime | None


class CommandAck(VenEventAck):
    """An acknowledgement of a command; `late` where it was received after the command counted as unanswered."""

    model_config = example(_ACK)

    received_at: datetime
    late: bool


class CommandHistory(CommandSteps):
    """A command, its steps, and its acks.

    `ack_count` is how often the VEN answered; more than once: the command or the ack was delivered again. `acks` are
    these answers, newest first, 1000 at most.
    """

    model_config = example({**_TRAIL, "ackCount": 1, "acks": [_ACK]})

    ack_count: int
    acks: list[CommandAck]
