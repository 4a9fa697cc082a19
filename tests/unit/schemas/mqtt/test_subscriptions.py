"""The list of what a client id has subscribed to, through changes of the settings and whatever the log holds."""

import json
from collections.abc import Sequence
from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.mqtt.routing import Kind, Route, Routes
from schemas.mqtt.subscriptions import MAX_FORMER, Subscription, SubscriptionList


def routes(**kinds: Kind | None) -> Routes:
    return Routes([Route(name, kind) for name, kind in kinds.items()])


METERING = routes(a=Kind.METERING, b=None)
STATUS = routes(b=None, c=Kind.STATUS)


def subscribed(settings: Routes, before: SubscriptionList | None = None) -> SubscriptionList:
    return (before or SubscriptionList()).with_settings(settings).subscribed(settings.filters)


def test_removed_filters_stay_until_the_broker_confirms() -> None:
    changed = subscribed(STATUS, subscribed(METERING))
    assert changed.former == [Subscription("a", "metering", 1, subscribed=True)]
    assert [entry.filter for entry in changed.filters if entry.subscribed] == ["b", "c", "a"]
    over = changed.unsubscribed(["a"])
    assert over.former == [Subscription("a", "metering", 1, subscribed=False)]
    assert over.former[0].route == Route("a", Kind.METERING, 1)


def test_the_same_settings_change_nothing() -> None:
    once = subscribed(METERING)
    assert subscribed(METERING, once) == once
    assert subscribed(routes(b=None, a=Kind.METERING), once).former == []
    assert {entry.settings for entry in subscribed(routes(b=None, a=Kind.METERING), once).filters} == {1}


def test_a_filter_added_again_has_its_current_kind() -> None:
    back = subscribed(routes(a=Kind.STATUS), subscribed(STATUS, subscribed(METERING)).unsubscribed(["a"]))
    assert back.filters[0] == Subscription("a", "status", 3, subscribed=True)
    assert {entry.filter for entry in back.former} == {"b", "c"}


def test_a_change_of_kind_is_a_change_of_settings() -> None:
    assert subscribed(routes(a=None), subscribed(routes(a=Kind.STATUS))).filters == (Subscription("a", None, 2, True),)  # noqa: FBT003


@given(st.lists(st.dictionaries(st.sampled_from("abcd"), st.none() | st.sampled_from(Kind), min_size=1), min_size=1))
def test_a_filter_is_dropped_only_after_confirmation(
    changes: Sequence[dict[str, Kind | None]],
) -> None:
    held = SubscriptionList()
    for kinds in changes:
        held = SubscriptionList.decode(subscribed(routes(**kinds), held).encode())
    assert {entry.filter for entry in held.filters} == set().union(*changes)
    assert all(entry.subscribed for entry in held.filters)
    assert {entry.filter: entry.route.kind for entry in held.filters if entry not in held.former} == changes[-1]
    for entry in held.former:
        latest = next(kinds for kinds in reversed(changes) if entry.filter in kinds)
        assert entry.route.kind == latest[entry.filter]


def test_only_the_latest_removed_filters_are_kept() -> None:
    old = [Route(f"old/{number}", None) for number in range(50)]
    newer = [Route(f"new/{number}", None) for number in range(MAX_FORMER)]
    held = subscribed(METERING, subscribed(Routes(newer), subscribed(Routes(old))))
    assert len(held.former) == 50 + MAX_FORMER
    # Of the old ones one is still subscribed.
    over = held.unsubscribed([route.filter for route in old[1:] + newer])
    assert {entry.filter for entry in over.former} == {route.filter for route in newer} | {"old/0"}
    assert over.filters[:2] == held.filters[:2]


@pytest.mark.parametrize(
    "value", [b"", b"no json", b"[]", b"{}", b'{"filters":5}', b"\xff", b'{"filters":' + b"[" * 100_000]
)
def test_an_invalid_list_is_an_error(value: bytes) -> None:
    with pytest.raises((ValueError, RecursionError)):
        SubscriptionList.decode(value)


GOOD = {"filter": "a/+", "kind": "metering", "settings": 1, "subscribed": True}
BAD = [
    5,
    None,
    {},
    GOOD | {"filter": ""},
    GOOD | {"filter": "a#"},
    GOOD | {"filter": "a\tb"},
    GOOD | {"settings": -1},
    GOOD | {"settings": 10**30},
    GOOD | {"subscribed": 1},
    GOOD | {"kind": 5},
]


def test_invalid_entries_are_skipped() -> None:
    value = json.dumps({"filters": [*BAD, GOOD | {"later": "field"}, *BAD]}).encode()
    assert SubscriptionList.decode(value).filters == (msgspec.convert(GOOD, Subscription),)


def test_an_unknown_kind_is_other() -> None:
    value = json.dumps({"filters": [GOOD | {"kind": "weather"}]}).encode()
    assert SubscriptionList.decode(value).filters[0].route.kind is Kind.OTHER


@given(st.binary())
def test_any_value_is_a_list_or_an_error(value: bytes) -> None:
    with suppress(ValueError, RecursionError):
        SubscriptionList.decode(value)
