"""How simulated homes handle commands: most comply, and some misbehave as devices in the field do."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from gateway.fleet.noise import derive, unit


class Behaviour(StrEnum):
    """What a home does with the commands it receives."""

    COMPLIANT = "compliant"
    REFUSES = "refuses"  # answers that it does not shed, and does not
    SLOW = "slow"  # executes and answers some seconds later
    SILENT = "silent"  # a bare device: answers pings and ignores everything else
    REPEATS = "repeats"  # sends each ack three times, the last one with a new time
    FORGETS = "forgets"  # has a power cut during an event, and restarts without it
    LIES = "lies"  # sheds half of what it claims to shed
    PARTIAL = "partial"  # sheds half of what was requested, and says so


class Generation(StrEnum):
    """The two kinds of device agents in the field; they spell and answer differently."""

    MODERN = "modern"  # that of the recordings: uses `status`; ignores all but events, restores and pings
    OLDER = "older"  # uses `ok` and `data`; also supports shedLoad, shedPanel and setLoad


BehaviourShares = Mapping[Behaviour, float]
"""The share of a fleet (0-1) that has each behaviour; the rest is compliant."""

FIELD_MIX: BehaviourShares = MappingProxyType(
    {
        Behaviour.REFUSES: 0.03,
        Behaviour.SLOW: 0.05,
        Behaviour.SILENT: 0.04,
        Behaviour.REPEATS: 0.05,
        Behaviour.FORGETS: 0.03,
        Behaviour.LIES: 0.02,
        Behaviour.PARTIAL: 0.03,
    }
)
"""A quarter of the fleet misbehaves, which is somewhat worse than in the field."""

# Streams of randomness derived from the fleet's seed; stream 0 is that of the homes.
_BEHAVIOURS, _GENERATIONS = 1, 2


def check_shares(shares: BehaviourShares) -> BehaviourShares:
    """Return the shares.

    Raises:
        ValueError: a share is negative or not a number, or their sum is above 1.
    """
    # Written so that NaN fails: every comparison with it is false.
    if not (all(share >= 0 for share in shares.values()) and sum(shares.values()) <= 1 + 1e-9):
        raise ValueError("each share must be between 0 and 1, and their sum at most 1")
    return shares


def parse_shares(text: str) -> BehaviourShares:
    """Parse a list such as `refuses=0.1,slow=0.05`.

    Raises:
        ValueError: a behaviour is unknown, or a share is not valid.
    """
    shares: dict[Behaviour, float] = {}
    for part in text.split(","):
        name, _, share = part.partition("=")
        try:
            shares[Behaviour(name.strip())] = float(share)
        except ValueError:
            names = ", ".join(behaviour for behaviour in Behaviour if behaviour is not Behaviour.COMPLIANT)
            raise ValueError(f"{part!r} is not BEHAVIOUR=SHARE, such as slow=0.05; behaviours are {names}") from None
    return check_shares(shares)


def behaviours(seed: int, vens: int, shares: BehaviourShares) -> list[Behaviour]:
    """Return the behaviour of each home: the shares rounded to whole homes, scattered by the seed."""
    scattered = sorted(range(vens), key=lambda index: derive(derive(seed, _BEHAVIOURS), index))
    chosen, cumulative, done = [Behaviour.COMPLIANT] * vens, 0.0, 0
    for behaviour in Behaviour:
        cumulative += shares.get(behaviour, 0.0)
        end = round(cumulative * vens)
        for index in scattered[done:end]:
            chosen[index] = behaviour
        done = end
    return chosen


def generations(seed: int, vens: int) -> list[Generation]:
    """Return the generation of each home's agent: about half of each."""
    stream = derive(seed, _GENERATIONS)
    return [Generation.MODERN if unit(stream, index) < 0.5 else Generation.OLDER for index in range(vens)]  # noqa: PLR2004 - half
