"""Where a message or a command is in its trace: the W3C traceparent, and places that need no memory.

A DR event may begin hours after it was asked for, in another process, and a command may be handed over twice. So the
place of each of its steps follows from the ids of the event and the command: every process knows it without being told.
"""

import re
from hashlib import blake2b
from typing import NamedTuple, Self

TRACEPARENT = "traceparent"
"""The header of a record of the log that belongs to a trace; records that were not sampled have none."""

# https://www.w3.org/TR/trace-context/: later versions may have more at the end, and ff is none.
_TRACEPARENT = re.compile(rb"(?!ff)([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_SAMPLED = 1
_HASHES = 2**64


class Place(NamedTuple):
    """One span, by its two ids, as others name it as their parent."""

    trace_id: int
    span_id: int

    def header(self) -> tuple[str, bytes]:
        """Return it as a header, marked as sampled."""
        return TRACEPARENT, b"00-%032x-%016x-%02x" % (self.trace_id, self.span_id, _SAMPLED)

    @classmethod
    def parse(cls, header: bytes) -> Self | None:
        """Read the header's value; None where it was not sampled, or is none: strangers may write it, too."""
        found = _TRACEPARENT.fullmatch(header)
        if found is None or (found[5] is not None and found[1] == b"00"):
            return None
        place = cls(int(found[2], 16), int(found[3], 16))
        return place if all(place) and int(found[4], 16) & _SAMPLED else None


def asked_place(event_id: str) -> Place:
    """Return where somebody asked for an event, which is where its trace begins."""
    return _place(event_id, "asked")


def phase_place(event_id: str, phase: str) -> Place:
    """Return where it was decided who takes part in an event (phase `event`), or is restored (`restore`)."""
    return _place(event_id, phase)


def command_place(correlation_id: str, event_id: str | None, attempt: int = 1) -> Place:
    """Return where an attempt of a command was handed to the log: in the trace of its event, else in its own."""
    return _place(event_id or correlation_id, f"logged {correlation_id} {attempt}")


def command_asked_place(correlation_id: str, event_id: str | None) -> Place:
    """Return where an operator asked for a command."""
    return _place(event_id or correlation_id, f"asked {correlation_id}")


def is_chosen(name: str, share: float) -> bool:
    """Whether a name is among the share (0 to 1) of all names that is sampled: for every process the same ones."""
    return share > 0 and _hash(name, 8) < share * _HASHES


def _place(trace: str, span: str) -> Place:
    return Place(_hash(trace, 16), _hash(f"{trace} {span}", 8))


def _hash(text: str, size: int) -> int:
    return int.from_bytes(blake2b(text.encode(errors="replace"), digest_size=size).digest())
