"""Recent keys: the last ones are kept, up to a limit."""

from collections.abc import Hashable

from hypothesis import given
from hypothesis import strategies as st

from streams.store.recent_keys import RecentKeys

BATCHES = st.lists(st.lists(st.integers(0, 30), max_size=12), max_size=10)


def keys(numbers: list[int]) -> dict[Hashable, int | None]:
    return {("ven", number): number for number in numbers}


@given(BATCHES, st.integers(0, 10))
def test_last_distinct_keys_are_kept_up_to_the_limit(batches: list[list[int]], most: int) -> None:
    recent = RecentKeys(most)
    remembered: list[int] = []
    for batch in batches:
        recent.add(keys(batch))
        remembered += [number for number in dict.fromkeys(batch) if number not in remembered]
        remembered = remembered[max(len(remembered) - most, 0) :]
        assert [number for number in range(31) if ("ven", number) in recent] == sorted(remembered)


def test_key_is_ven_and_time() -> None:
    recent = RecentKeys()
    recent.add({("a", 1): None, ("b", 2): None})
    assert ("a", 1) in recent
    assert ("a", 2) not in recent
    assert ("b", 1) not in recent


def test_batch_above_the_limit_keeps_its_last_keys() -> None:
    recent = RecentKeys(max_keys=3)
    recent.add(keys(list(range(1000))))
    assert [number for number in range(1000) if ("ven", number) in recent] == [997, 998, 999]


def test_digest_of_a_key_is_kept() -> None:
    recent = RecentKeys()
    recent.add({("a", 1): 7})
    assert recent[("a", 1)] == 7


def test_default_limit_is_50_000() -> None:
    recent = RecentKeys()
    recent.add(keys(list(range(50_001))))
    assert ("ven", 0) not in recent
    assert ("ven", 1) in recent
