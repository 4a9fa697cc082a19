"""What came of each fault, as a table for the terminal and for docs/reference/fault-tests.md."""

from collections.abc import Sequence
from dataclasses import dataclass

HEADINGS = ("fault", "times", "accepted", "stored", "lost", "twice", "wrong", "longest pause")


@dataclass(frozen=True, slots=True)
class Result:
    """The books of one fault, in messages; `pause` is in seconds, `note` says what else was measured.

    `accepted` by the MQTT broker, `stored` in PostgreSQL or, what does not count as a reading, in a dead-letter topic;
    `stored` may be more, for a message whose PUBACK was lost on its way. `wrong` were stored with other values than
    were published, or never published.
    """

    fault: str
    times: int
    accepted: int
    stored: int
    lost: int
    duplicated: int
    wrong: int
    pause: float
    note: str = ""

    @property
    def passed(self) -> bool:
        return not (self.lost or self.duplicated or self.wrong)

    def cells(self) -> tuple[str, ...]:
        counts = (self.times, self.accepted, self.stored, self.lost, self.duplicated, self.wrong)
        return (self.fault, *(f"{count:,}" for count in counts), f"{self.pause:.1f} s")


def as_text(results: Sequence[Result]) -> list[str]:
    """Return the lines of a table for the terminal, notes below it."""
    table = [HEADINGS, *(result.cells() for result in results)]
    widths = [max(len(row[column]) for row in table) for column in range(len(HEADINGS))]
    lines = ["  ".join(_padded(row, widths)) for row in table]
    return [*lines, *(f"{result.fault}: {result.note}" for result in results if result.note)]


def as_markdown(results: Sequence[Result]) -> str:
    """Return the table as Markdown, notes below it."""
    rule = ("---", *("--:" for _ in HEADINGS[1:]))
    table = [HEADINGS, rule, *(result.cells() for result in results)]
    lines = [f"| {' | '.join(row)} |" for row in table]
    notes = [f"- {result.fault}: {result.note}" for result in results if result.note]
    return "\n".join([*lines, "", *notes, ""])


def _padded(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    first, *others = zip(row, widths, strict=True)
    return [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]
