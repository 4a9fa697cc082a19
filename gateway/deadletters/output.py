"""Prints dead letters on a terminal; control characters in device data are replaced."""

import shlex
import sys
import unicodedata
from base64 import b64encode
from collections import Counter
from collections.abc import Sequence

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from api.services.replay_status import ReplayProgress
from api.views.dead_letters import as_text
from schemas.rest.dead_letters import DeadLetterDetail, DeadLetterPage

# When the output is piped, lines are neither cut nor wrapped.
_UNLIMITED_WIDTH = 100_000
_MIN_DETAIL_WIDTH = 24
_GAP = 2


def print_page(page: DeadLetterPage) -> None:
    """Print a table of dead letters, newest first."""
    _print_table(
        ("id", "received (UTC)", "VEN", "topic", "reason", "state", "replays", "detail"),
        [
            (
                letter.id,
                letter.received_at.strftime("%Y-%m-%d %H:%M:%S"),
                letter.ven_id or "-",
                letter.mqtt_topic or letter.topic,
                letter.reason,
                letter.state,
                str(letter.replays),
                letter.state_detail or letter.detail,
            )
            for letter in page.dead_letters
        ],
    )
    count = len(page.dead_letters)
    if page.next is not None:
        _console().print(
            f"These are the newest {count}; there are more. Filter them, or raise --limit.", highlight=False
        )
    elif not count:
        _console().print("No dead letters.")


def print_dead_letter(letter: DeadLetterDetail, payload: bytes, corrected_payload: bytes | None) -> None:
    """Print one dead letter, and how to correct it."""
    table = Table.grid(padding=(0, 2))
    for name, value in _fields(letter):
        table.add_row(Text(name, "bold"), printable(value))
    console = _console()
    console.print(table)
    _print_payload(console, "payload", payload)
    if corrected_payload is not None:
        _print_payload(console, "corrected payload of the last replay", corrected_payload)
    name = shlex.quote(letter.id)
    console.print(Text("\nTo correct it:", "bold"))
    for step in (
        f"gateway deadletters show {name} --payload > corrected.json",
        "edit corrected.json",
        f"gateway deadletters replay {name} --payload corrected.json",
    ):
        console.print(Text(f"  {step}"), soft_wrap=True)


def print_outcomes(outcomes: Sequence[ReplayProgress]) -> None:
    """Print the outcome of each replay, and their totals."""
    states = [outcome.state.replace("_", " ") for outcome in outcomes]
    _print_table(
        ("id", "attempt", "state", "detail"),
        [
            (outcome.id, str(outcome.attempt), state, outcome.detail or "")
            for outcome, state in zip(outcomes, states, strict=True)
        ],
    )
    totals = ", ".join(f"{count} {state}" for state, count in Counter(states).items())
    _console().print(f"{len(outcomes)} replayed: {totals}", highlight=False)


def printable(text: str) -> Text:
    """Return a device's text without control characters."""
    return Text("".join("\N{REPLACEMENT CHARACTER}" if _is_control(character) else character for character in text))


def _is_control(character: str) -> bool:
    return unicodedata.category(character).startswith("C") and character not in "\n\t"


def _fields(letter: DeadLetterDetail) -> list[tuple[str, str]]:
    fields = [
        ("id", letter.id),
        ("received", letter.received_at.isoformat()),
        ("MQTT topic", letter.mqtt_topic or "-"),
        ("VEN", letter.ven_id or "-"),
        ("reason", f"{letter.reason}: {letter.detail}"),
        ("size", f"{letter.size} bytes"),
        ("state", letter.state + (f" since {letter.state_at.isoformat()}" if letter.state_at else "")),
    ]
    if letter.state_detail:
        fields.append(("state detail", letter.state_detail))
    source = letter.source
    place = "" if source.offset is None else f", partition {source.partition}, offset {source.offset}"
    fields += [("replays", str(letter.replays)), ("source", source.topic + place)]
    return fields + [(f"header {name}", str(value)) for name, value in letter.headers.items()]


def _print_payload(console: Console, name: str, payload: bytes) -> None:
    text = as_text(payload)
    form = "" if text is not None else " (not UTF-8, shown as base64)"
    console.print(Text(f"\n{name}{form}", "bold"))
    console.print(printable(b64encode(payload).decode() if text is None else _pretty(text)), soft_wrap=True)


def _pretty(text: str) -> str:
    """Indent JSON; numbers and texts keep their spelling."""
    try:
        return msgspec.json.format(text, indent=2)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return text


def _print_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table. Only the last column is cut to the width of the terminal, so that ids can be copied."""
    cells = [[printable(text.replace("\n", " ")) for text in row] for row in rows]
    columns = list(zip(map(Text, headings), *cells, strict=True))
    needed = sum(max(cell.cell_len for cell in column) + _GAP for column in columns[:-1])
    wait_for_capacity = max(_console().width - needed, _MIN_DETAIL_WIDTH)
    table = Table(box=None, padding=(0, _GAP, 0, 0), pad_edge=False)
    for heading in headings:
        table.add_column(heading, no_wrap=True)
    for row in cells:
        row[-1].truncate(wait_for_capacity, overflow="ellipsis")
        table.add_row(*row)
    Console(width=needed + wait_for_capacity).print(table)


def _console() -> Console:
    return Console() if sys.stdout.isatty() else Console(width=_UNLIMITED_WIDTH)
