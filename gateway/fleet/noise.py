"""Stateless random numbers from a seed and an index (SplitMix64's finaliser).

A generator with state would make a sample depend on the samples before it. With these functions a home's values at any
time are the same in any order and in any process.
"""

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15


def derive(seed: int, n: int) -> int:
    """Return a new 64-bit seed, the `n`-th one derived from `seed`."""
    z = (seed + (n + 1) * _GOLDEN) & _MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return z ^ (z >> 31)


def unit(seed: int, n: int) -> float:
    """Return a number in [0, 1), uniform over `n`."""
    return (derive(seed, n) >> 11) * 2.0**-53


def between(seed: int, n: int, low: float, high: float) -> float:
    """Return a number in [low, high), uniform over `n`."""
    return low + (high - low) * unit(seed, n)


def wave(seed: int, t: float, period: float) -> float:
    """Return a smooth curve in [0, 1) over `t`, with a new random height every `period` (in the unit of `t`)."""
    knot, x = divmod(t / period, 1.0)
    here = unit(seed, int(knot))
    there = unit(seed, int(knot) + 1)
    return here + (there - here) * x * x * (3.0 - 2.0 * x)
