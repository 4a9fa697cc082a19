"""Buckets of requests, by a clock of the test's own."""

from hypothesis import given
from hypothesis import strategies as st

from api.auth.rate_limit import RateLimiter


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_is_let_through_and_then_so_many_a_second() -> None:
    clock = Clock()
    rates = RateLimiter(2, 5, clock)
    assert [rates.acquire("a") for _ in range(5)] == [0] * 5
    assert 0.4 < rates.acquire("a") <= 0.5
    assert rates.acquire("b") == 0, "each has a bucket of its own"
    clock.now += 0.5
    assert rates.retry_after_seconds("a") == 0
    assert rates.acquire("a") == 0
    assert rates.acquire("a") > 0
    clock.now += 60
    assert [rates.acquire("a") > 0 for _ in range(6)] == [False] * 5 + [True]


def test_without_a_limit_nobody_waits() -> None:
    rates = RateLimiter(0, 1)
    assert not any(rates.acquire("a") for _ in range(1000))


def test_who_is_gone_is_forgotten() -> None:
    clock = Clock()
    rates = RateLimiter(100, 10, clock)
    for number in range(1000):
        rates.acquire(str(number))
    clock.now += 2
    rates.acquire("now")
    assert set(rates._full_at) == {"now"}


@given(st.lists(st.floats(0, 3), max_size=200))
def test_nobody_gets_more_than_the_burst_and_the_rate(pauses: list[float]) -> None:
    clock = Clock()
    rates = RateLimiter(2, 5, clock)
    begun = clock.now
    passed = 0
    for pause in pauses:
        clock.now += pause
        passed += rates.acquire("a") == 0
        assert passed <= 5 + 2 * (clock.now - begun) + 1e-3
