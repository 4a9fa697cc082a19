"""`gateway deadletters`: its options and its output."""

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

app = typer.Typer(help="List, show, correct and replay messages that were rejected.", no_args_is_help=True)

Topic = Annotated[str | None, typer.Option(help="Only from this Kafka or MQTT topic.")]
Ven = Annotated[str | None, typer.Option(help="Only from this VEN.")]
Reason = Annotated[str | None, typer.Option(help="Only with this reason code, such as bad_time.")]
State = Annotated[DeadLetterState | None, typer.Option(help="Only in this state.")]
Since = Annotated[str | None, typer.Option(help="Only received since then: an ISO 8601 time, or 30m, 2h, '1d ago'.")]
Until = Annotated[str | None, typer.Option(help="Only received before then.")]


@app.command("list")
def list_dead_letters(
    topic: Topic = None,
    ven: Ven = None,
    reason: Reason = None,
    state: State = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[
        int, typer.Option(min=1, max=100_000, help="Maximum number of dead letters; the newest are listed.")
    ] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, as the REST API does.")] = False,
) -> None:
    """List dead letters, newest first."""
    from gateway.deadletters.operations import list_newest
    from gateway.deadletters.output import print_page
    from gateway.local.database import with_database

    selected = _filter(topic, ven, reason, () if state is None else (state,), since, until)
    page = with_database("deadletters", lambda pool, _stop: list_newest(pool, selected, limit))
    if as_json:
        print(page.model_dump_json(by_alias=True))
    else:
        print_page(page)


@app.command()
def show(
    dead_letter_id: Annotated[str, typer.Argument(metavar="ID")],
    payload: Annotated[
        bool, typer.Option("--payload", help="Print only the payload of the last attempt, unchanged.")
    ] = False,
) -> None:
    """Print one dead letter with its payload, and how to correct it."""
    from api.views.dead_letters import dead_letter_detail_view
    from gateway.deadletters.operations import find_by_id
    from gateway.deadletters.output import print_dead_letter
    from gateway.local.database import with_database

    row = with_database("deadletters", lambda pool, _stop: find_by_id(pool, dead_letter_id))
    if payload:
        sys.stdout.buffer.write(row["payload"] if row["corrected_payload"] is None else row["corrected_payload"])
    else:
        print_dead_letter(dead_letter_detail_view(row), row["payload"], row["corrected_payload"])


@app.command()
def replay(
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="ID", help="Ids, as `gateway deadletters list` shows them.")
    ] = None,
    payload: Annotated[
        Path | None, typer.Option(help="Send this file as the corrected payload of one ID; - is standard input.")
    ] = None,
    topic: Topic = None,
    ven: Ven = None,
    reason: Reason = None,
    state: State = None,
    since: Since = None,
    until: Until = None,
    everything: Annotated[bool, typer.Option("--all", help="Replay all dead letters that are not stored.")] = False,
    wait: Annotated[float, typer.Option(min=0, help="Stop waiting after so many seconds without a new outcome.")] = 30,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
) -> None:
    """Send dead letters to their topics again, by id or by filter, and print the outcome of each.

    Without --state, a filter selects those that are open or rejected.
    A message that is already stored is not stored again.
    It exits with 1 if a message was rejected again.
    """
    from api.queries.dead_letter_replays import NOT_STORED
    from gateway.deadletters.operations import keys_matching, keys_of
    from gateway.deadletters.operations import replay as replay_all
    from gateway.deadletters.output import print_outcomes
    from gateway.local.database import with_database

    filtered = any(given is not None for given in (topic, ven, reason, state, since, until))
    _check(ids or [], payload, filtered=filtered, everything=everything)
    corrected_payload = None if payload is None else _read(payload)
    if ids:
        keys = with_database("deadletters", lambda pool, _stop: keys_of(pool, ids))
    else:
        states = NOT_STORED if state is None else (state,)
        selected = _filter(topic, ven, reason, states, since, until)
        keys = with_database("deadletters", lambda pool, _stop: keys_matching(pool, selected))
        if not keys:
            print("No dead letter matches; nothing was replayed.")
            return
        if not yes and sys.stdin.isatty():
            typer.confirm(f"Replay {len(keys)} dead letters?", abort=True)
    # Ctrl-C only ends the waiting; the outcomes so far are printed.
    outcomes = with_database(
        "deadletters", lambda pool, stop: replay_all(pool, keys, corrected_payload, wait, stop), grace=None
    )
    print_outcomes(outcomes)
    if any(outcome.state in {DeadLetterState.REQUESTED, DeadLetterState.SENT} for outcome in outcomes):
        sys.stderr.write(
            "Some replays are still in progress; the streams continue with them. "
            "See their state with: gateway deadletters list\n"
        )
    if rejected := sum(outcome.state == DeadLetterState.REJECTED for outcome in outcomes):
        raise GatewayError(f"{rejected} of {len(outcomes)} were rejected again; see the detail above")


def _check(ids: list[str], payload: Path | None, *, filtered: bool, everything: bool) -> None:
    if ids and (filtered or everything):
        raise GatewayError("give either ids or filters, not both")
    if not (ids or filtered or everything):
        raise GatewayError("select dead letters by ids, filters, or --all")
    if payload is not None and len(ids) != 1:
        raise GatewayError("--payload needs exactly one id")


def _read(file: Path) -> bytes:
    try:
        payload = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise GatewayError(f"cannot read {file}: {error.strerror}") from None
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise GatewayError(f"{file} has {len(payload)} bytes; the limit is {MAX_PAYLOAD_BYTES}")
    return payload


def _filter(
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
