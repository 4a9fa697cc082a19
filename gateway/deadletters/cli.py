"""The options of `gateway deadletters`, and what is said at the end."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from schemas.base.errors import GatewayError
from schemas.parsing.common import MAX_PAYLOAD_BYTES
from schemas.records.dead_letters import DeadLetterState

if TYPE_CHECKING:
    from api.queries.dead_letters import DeadLetterFilter

T = TypeVar("T")

app = typer.Typer(help="Find what did not count, see why, mend it and send it again.", no_args_is_help=True)

Topic = Annotated[str | None, typer.Option(help="The Kafka topic they were read from, or an MQTT topic.")]
Ven = Annotated[str | None, typer.Option(help="The VEN's id.")]
Why = Annotated[str | None, typer.Option(help="The code that says why they did not count, like bad_time.")]
How = Annotated[DeadLetterState | None, typer.Option(help="What became of them.")]
Since = Annotated[str | None, typer.Option(help="Received then or later: an ISO 8601 time, or 30m, 2h, '1d ago'.")]
Until = Annotated[str | None, typer.Option(help="Received before that.")]


@app.command("list")
def list_letters(
    topic: Topic = None,
    ven: Ven = None,
    reason: Why = None,
    state: How = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many at most, the newest.")] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, as the REST API does.")] = False,
) -> None:
    """List dead letters, newest first."""
    from gateway.deadletters.operations import newest
    from gateway.deadletters.output import print_page
    from gateway.local.database import with_database

    letters = _letters(topic, ven, reason, () if state is None else (state,), since, until)
    page = with_database("deadletters", lambda pool, _stop: newest(pool, letters, limit))
    if as_json:
        print(page.model_dump_json(by_alias=True))
    else:
        print_page(page)


@app.command()
def show(
    dead_letter_id: Annotated[str, typer.Argument(metavar="ID")],
    payload: Annotated[
        bool, typer.Option("--payload", help="Print the payload alone, as it is: the last one that was tried.")
    ] = False,
) -> None:
    """Print all that is known of one dead letter, its payload, and how to mend it."""
    from api.views.dead_letters import dead_letter_detail_view
    from gateway.deadletters.operations import one
    from gateway.deadletters.output import print_letter
    from gateway.local.database import with_database

    row = with_database("deadletters", lambda pool, _stop: one(pool, dead_letter_id))
    if payload:
        sys.stdout.buffer.write(row["payload"] if row["corrected_payload"] is None else row["corrected_payload"])
    else:
        print_letter(dead_letter_detail_view(row), row["payload"], row["corrected_payload"])


@app.command()
def replay(
    ids: Annotated[list[str] | None, typer.Argument(metavar="ID", help="As `list` shows them.")] = None,
    payload: Annotated[
        Path | None, typer.Option(help="Send this file's bytes instead; - is standard input. For one ID.")
    ] = None,
    topic: Topic = None,
    ven: Ven = None,
    reason: Why = None,
    state: How = None,
    since: Since = None,
    until: Until = None,
    everything: Annotated[bool, typer.Option("--all", help="Replay everything that is not stored.")] = False,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait, from one outcome to the next.")] = 30,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Send dead letters to their topics again: those named, or those that match; say what became of each.

    Without --state, those that match are open or rejected ones. What is stored already is not stored again.
    Exits 1 if any was rejected again.
    """
    from api.queries.dead_letters import NOT_STORED
    from gateway.deadletters.operations import matching, named
    from gateway.deadletters.operations import replay as replay_all
    from gateway.deadletters.output import print_outcomes
    from gateway.local.database import with_database

    filtered = any(given is not None for given in (topic, ven, reason, state, since, until))
    _check(ids or [], payload, filtered=filtered, everything=everything)
    corrected_payload = None if payload is None else _read(payload)
    if ids:
        keys = with_database("deadletters", lambda pool, _stop: named(pool, ids))
    else:
        states = NOT_STORED if state is None else (state,)
        letters = _letters(topic, ven, reason, states, since, until)
        keys = with_database("deadletters", lambda pool, _stop: matching(pool, letters))
        if not keys:
            print("nothing matches; nothing was replayed")
            return
        if not yes and sys.stdin.isatty():
            typer.confirm(f"Replay {len(keys)} dead letters?", abort=True)
    # Ctrl-C ends the waiting: what became of the replays so far is said all the same.
    outcomes = with_database(
        "deadletters", lambda pool, stop: replay_all(pool, keys, corrected_payload, wait, stop), grace=None
    )
    print_outcomes(outcomes)
    if any(outcome.state in {DeadLetterState.REQUESTED, DeadLetterState.SENT} for outcome in outcomes):
        sys.stderr.write(
            "Not all are settled yet. The streams go on with them, or will when they run again; "
            "see: gateway deadletters list\n"
        )
    if rejected := sum(outcome.state == DeadLetterState.REJECTED for outcome in outcomes):
        raise GatewayError(f"{rejected} of {len(outcomes)} were rejected again; their detail says why")


def _check(ids: list[str], payload: Path | None, *, filtered: bool, everything: bool) -> None:
    if ids and (filtered or everything):
        raise GatewayError("give either ids or filters, not both")
    if not (ids or filtered or everything):
        raise GatewayError("say which: ids, filters, or --all")
    if payload is not None and len(ids) != 1:
        raise GatewayError("--payload is for one dead letter; give its id")


def _read(file: Path) -> bytes:
    try:
        payload = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise GatewayError(f"cannot read {file}: {error.strerror}") from None
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise GatewayError(f"{file} has {len(payload)} bytes; at most {MAX_PAYLOAD_BYTES} are accepted")
    return payload


def _letters(
    topic: str | None,
    ven: str | None,
    reason: str | None,
    states: tuple[DeadLetterState, ...],
    since: str | None,
    until: str | None,
) -> "DeadLetterFilter":
    from api.queries.dead_letters import DeadLetterFilter
    from gateway.deadletters.time_argument import parse_moment

    now = datetime.now(UTC)
    start, end = (None if text is None else parse_moment(text, now) for text in (since, until))
    if start is not None and end is not None and end < start:
        raise GatewayError("--until is before --since")
    return DeadLetterFilter(topic, ven, reason, states, start, end)
