"""How homes take commands: most do as told, and some misbehave as devices in the field do."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from gateway.fleet.noise import derive, unit


class Behaviour(StrEnum):
    """What a home does with the commands that it hears."""

    COMPLIANT = "obedient"
    REFUSES = "refuses"  # answers that it does not shed, and does not
    SLOW = "slow"  # obeys and answers some seconds later
    SILENT = "silent"  # a bare device: answers pings and obeys nothing
    REPEATS = "repeats"  # answers two or three times, the last time with another time
    FORGETS = "forgets"  # has a power cut in mid-event, and starts anew without it
    LIES = "lies"  # sheds half of what it says that it sheds
    PARTIAL = "partial"  # sheds half of what it is asked for, and says so


class Generation(StrEnum):
    """The two kinds of agent in the field, which spell and answer differently."""

    MODERN = "modern"  # that of the recordings: `status`, and silence to all but events, restores and pings
    OLDER = "older"  # `ok` and `data`; it also knows shedLoad, shedPanel and setLoad


BehaviourShares = Mapping[Behaviour, float]
"""Which part of a fleet (0-1) has a manner; the rest is obedient."""

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
"""Somewhat worse than a fleet in the field: a quarter of it."""

_MANNERS, _GENERATIONS = 1, 2  # what hangs on the seed; 0 are the homes


def checked(shares: BehaviourShares) -> BehaviourShares:
    """Return the shares.

    Raises:
        ValueError: they are no parts of a whole.
    """
    # Of NaN nothing is true.
    if not (all(share >= 0 for share in shares.values()) and sum(shares.values()) <= 1 + 1e-9):
        raise ValueError("shares of homes that misbehave are parts of 1, and not more than 1 in all")
    return shares


def parse_shares(text: str) -> BehaviourShares:
    """Read a list such as `refuses=0.1,slow=0.05`.

    Raises:
        ValueError: it is none.
    """
    shares: dict[Behaviour, float] = {}
    for part in text.split(","):
        name, _, share = part.partition("=")
        try:
            shares[Behaviour(name.strip())] = float(share)
        except ValueError:
            names = ", ".join(behaviour for behaviour in Behaviour if behaviour is not Behaviour.COMPLIANT)
            raise ValueError(f"{part!r} is no manner with its share, such as slow=0.05; there are {names}") from None
    return checked(shares)


def behaviours(seed: int, vens: int, shares: BehaviourShares) -> list[Behaviour]:
    """Return the manner of each home: as many of each as its share says, to the nearest, and scattered by the seed."""
    scattered = sorted(range(vens), key=lambda index: derive(derive(seed, _MANNERS), index))
    chosen, until, done = [Behaviour.COMPLIANT] * vens, 0.0, 0
    for behaviour in Behaviour:
        until += shares.get(behaviour, 0.0)
        upto = round(until * vens)
        for index in scattered[done:upto]:
            chosen[index] = behaviour
        done = upto
    return chosen


def generations(seed: int, vens: int) -> list[Generation]:
    """Return the generation of each home's agent: half of them are of each."""
    mine = derive(seed, _GENERATIONS)
    return [Generation.MODERN if unit(mine, index) < 0.5 else Generation.OLDER for index in range(vens)]  # noqa: PLR2004
