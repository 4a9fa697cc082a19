"""The feed without a server: ids, filters, what is missed and by whom, and clients that do not read."""

import asyncio
from collections.abc import Callable

import pytest

from api.sse import broadcaster as broadcaster_module
from api.sse import message_ids as ids_module
from api.sse import replay_buffer as replay_buffer_module
from api.sse.broadcaster import Broadcaster
from api.sse.client import CHUNK_BYTES, RETRY_HINT, Client
from api.sse.message_ids import MessageId, MessageIds, now_micros
from api.sse.messages import FeedEntry, FeedFilter, FeedType
from runtime.metrics import FEED_CLIENTS_CUT_OFF

ALL = FeedFilter()


def entry(number: int, ven_id: str | None = None, event_id: str | None = None) -> FeedEntry:
    return FeedEntry(b'{"n":%d}' % number, ven_id, event_id)


def new_hub(window: float = 60, queue: int = 100) -> Broadcaster:
    hub = Broadcaster(window, queue)
    for kind in ("event", "commands", "vens", "deadLetters"):
        hub.replay_buffer.mark_complete(kind, 0)
    return hub


async def told(client: Client) -> list[str]:
    """Return the type and the data of all that waits, and the greeting as nothing."""
    text = (await client.next_chunk()).decode().removeprefix(RETRY_HINT.decode())
    blocks = [dict(line.split(": ", 1) for line in block.splitlines()) for block in text.split("\n\n") if block]
    return [f"{block['event']} {block['data']}" for block in blocks]


async def subscribe(
    hub: Broadcaster, wanted: FeedFilter = ALL, last: str | None = None, abort: Callable[[], object] = list
) -> Client:
    return hub.subscribe(wanted, last, abort)


def last_id(hub: Broadcaster, *, process: str | None = None) -> str:
    newest: MessageId = hub.replay_buffer._messages[-1].id
    return str(MessageId(newest.micros, process or newest.process))


def test_ids_only_grow_also_when_the_clock_is_set_back(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = MessageIds()
    times = iter([50, 40, 40, 60])
    monkeypatch.setattr(ids_module, "now_micros", lambda: next(times))
    given = [ids.next() for _ in range(4)]
    assert [each.micros for each in given] == [50, 51, 52, 60]
    assert [str(each) for each in given] == sorted(str(each) for each in given)
    assert MessageId.parse(str(given[0])) == given[0]


@pytest.mark.parametrize("text", ["", "7", "1761239100512001", "1761239100512001-xyz", "x" * 60])
def test_an_invalid_event_id_is_none(text: str) -> None:
    assert MessageId.parse(text) is None


async def test_everybody_gets_what_it_wants_and_lists_are_cut_to_it() -> None:
    hub = new_hub()
    everything, ven, event = [
        await subscribe(hub, wanted)
        for wanted in (ALL, FeedFilter(ven_id="ven-1"), FeedFilter(frozenset({"commands", "event"}), event_id="evt-1"))
    ]
    hub.publish("totals", [entry(1)])
    hub.publish("commands", [entry(2, "ven-1", "evt-2"), entry(3, "ven-2", "evt-1"), entry(4, "ven-1", "evt-1")])
    hub.publish("event", [entry(5, None, "evt-1")])
    assert await told(everything) == [
        'totals {"n":1}',
        'commands {"commands":[{"n":2},{"n":3},{"n":4}]}',
        'event {"n":5}',
    ]
    assert await told(ven) == ['commands {"commands":[{"n":2},{"n":4}]}']
    assert await told(event) == ['commands {"commands":[{"n":3},{"n":4}]}', 'event {"n":5}']


async def test_a_reconnect_replays_missed_items_and_newest_totals() -> None:
    hub = new_hub()
    hub.publish("vens", [entry(1)])
    seen = last_id(hub)
    for number in (2, 3):
        hub.publish("totals", [entry(number)], latest_of="totals")
        hub.publish("vens", [entry(number)])
    assert await told(await subscribe(hub, last=seen)) == [
        'vens {"vens":[{"n":2}]}',
        'totals {"n":3}',
        'vens {"vens":[{"n":3}]}',
    ]
    assert await told(await subscribe(hub, last=last_id(hub))) == []
    assert await told(await subscribe(hub)) == ['totals {"n":3}']
    hub.forget_latest("totals")
    assert await told(await subscribe(hub)) == []


async def test_a_client_of_another_process_may_get_duplicates() -> None:
    hub = new_hub()
    hub.publish("vens", [entry(1)])
    assert await told(await subscribe(hub, last=last_id(hub, process="0" * 8))) == ['vens {"vens":[{"n":1}]}']


async def test_a_late_reconnect_gets_a_reset_for_each_type(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = now_micros()
    monkeypatch.setattr(ids_module, "now_micros", lambda: clock)
    hub = new_hub(window=60)
    hub.publish("vens", [entry(1)])
    seen = last_id(hub)
    hub.publish("vens", [entry(2)])
    clock += 61_000_000
    hub.publish("event", [entry(3)])
    client = await subscribe(hub, last=seen)
    assert await told(client) == ['reset {"types":["vens"]}', 'event {"n":3}']
    assert await told(await subscribe(hub, FeedFilter(frozenset({"event"})), last=seen)) == ['event {"n":3}']


@pytest.mark.parametrize("last", ["nonsense", "9999999999999999-00000000"])
async def test_an_id_that_nobody_gave_is_a_reset_of_all_that_is_wanted(last: str) -> None:
    types: frozenset[FeedType] = frozenset({"vens", "event"})
    assert await told(await subscribe(new_hub(), FeedFilter(types), last)) == ['reset {"types":["event","vens"]}']


async def test_a_replay_buffer_has_its_limit_in_bytes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay_buffer_module, "MAX_BYTES", 500)
    hub = new_hub()
    for number in range(100):
        hub.publish("vens", [entry(number)])
    assert sum(len(message.whole) for message in hub.replay_buffer._messages) <= 500
    assert hub.replay_buffer._messages[0].id.micros > hub.replay_buffer._complete_since["vens"] > 0


async def test_a_client_that_does_not_read_is_cut_off_and_the_others_get_everything() -> None:
    hub = new_hub(queue=10)
    aborted: list[str] = []
    slow = await subscribe(hub, abort=lambda: aborted.append("slow"))
    quick = await subscribe(hub, abort=lambda: aborted.append("quick"))
    before = FEED_CLIENTS_CUT_OFF._value.get()
    found = []
    for number in range(30):
        hub.publish("vens", [entry(number)])
        found += await told(quick)
    assert len(found) == 30
    assert aborted == ["slow"]
    assert slow.closed
    assert await slow.next_chunk() == b""
    assert hub.clients == {quick}
    assert FEED_CLIENTS_CUT_OFF._value.get() == before + 1


async def test_a_beat_reaches_everybody_and_the_end_too() -> None:
    hub = new_hub()
    client = await subscribe(hub, FeedFilter(frozenset()))
    await client.next_chunk()
    hub.send_heartbeat()
    assert await client.next_chunk() == b": heartbeat\n\n"
    hub.close()
    assert await client.next_chunk() == b""


async def test_a_long_replay_is_sent_in_portions() -> None:
    hub = new_hub(queue=10)
    hub.publish("vens", [entry(0)])
    seen = last_id(hub)
    for number in range(1, 31):
        hub.publish("vens", [FeedEntry(b'{"n":%d,"x":"%b"}' % (number, b"x" * 10_000))])
    client = await subscribe(hub, last=seen)
    hub.publish("vens", [entry(31)])
    portions: list[bytes] = []
    while not portions or b'{"n":31}' not in portions[-1]:
        portions.append(await client.next_chunk())
    assert max(map(len, portions)) < 2 * CHUNK_BYTES
    text = b"".join(portions)
    places = [text.index(b'{"n":%d' % number) for number in range(1, 32)]
    assert places == sorted(places)
    assert not client.closed


async def test_a_filter_that_finds_nothing_takes_no_memory() -> None:
    hub = new_hub()
    clients = [await subscribe(hub, FeedFilter(ven_id=f"ven-{number}")) for number in range(1000)]
    both = await subscribe(hub, FeedFilter(ven_id="ven-7", event_id="evt-1"))
    other = await subscribe(hub, FeedFilter(ven_id="ven-7", event_id="evt-2"))
    hub.publish("totals", [entry(1)])
    hub.publish("commands", [entry(2, "ven-7", "evt-1"), entry(3, "elsewhere", "evt-1")])
    assert sum(len(message._parts) for message in hub.replay_buffer._messages) == 2
    for client in (clients[7], both):
        assert await told(client) == ['commands {"commands":[{"n":2}]}']
    assert await told(other) == await told(clients[8]) == []


async def test_an_id_of_another_process_whose_clock_is_ahead_is_a_reset() -> None:
    hub = new_hub()
    ahead = now_micros() + 30_000_000
    assert await told(await subscribe(hub, FeedFilter(frozenset({"vens"})), f"{ahead:016}-00000000")) == [
        'reset {"types":["vens"]}'
    ]
    mine = MessageId(ahead, hub._ids.process)
    assert await told(await subscribe(hub, FeedFilter(frozenset({"vens"})), str(mine))) == []


async def test_an_expired_session_is_closed_then_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broadcaster_module, "DISCONNECT_SECONDS", 0.01)
    hub = new_hub()
    cut_off = asyncio.Event()
    goes, stays = await subscribe(hub), await subscribe(hub, abort=cut_off.set)
    hub.end_session(goes)
    hub.unsubscribe(goes)
    assert await goes.next_chunk() == b""
    hub.end_session(stays)
    await cut_off.wait()
    assert not hub.clients
