"""Randomness that depends on nothing but its seed and a number, so that a home can be asked about any moment.

A generator with state would make a sample depend on the samples asked for before it; these functions
(SplitMix64's finaliser over seed and index) give the same home the same day in any order and any process.
"""

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15


def derive(seed: int, n: int) -> int:
    """A new 64-bit seed for the `n`-th thing that hangs on `seed`."""
    z = (seed + (n + 1) * _GOLDEN) & _MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return z ^ (z >> 31)


def unit(seed: int, n: int) -> float:
    """A number in [0, 1), evenly spread over `n`."""
    return (derive(seed, n) >> 11) * 2.0**-53


def between(seed: int, n: int, low: float, high: float) -> float:
    """A number in [low, high), evenly spread over `n`."""
    return low + (high - low) * unit(seed, n)


def wave(seed: int, t: float, period: float) -> float:
    """A smooth curve in [0, 1) over `t` with a new random height every `period` (same unit as `t`)."""
    knot, x = divmod(t / period, 1.0)
    here = unit(seed, int(knot))
    there = unit(seed, int(knot) + 1)
    return here + (there - here) * x * x * (3.0 - 2.0 * x)
