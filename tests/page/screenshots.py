"""`make screenshots`: the pictures of docs/images, taken of a running system whose fleet has an hour behind it."""

import asyncio
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
from playwright.async_api import Page, expect

from gateway.fleet import Fleet, FleetOptions
from gateway.stack.polling import wait_until
from schemas.base.errors import GatewayError
from tests.page.world import CHROMIUM, PageSystem, Scheme, world
from tests.support.paths import ROOT

FOLDER = ROOT / "docs" / "images"
VENS = 40
PAST = timedelta(hours=1)
EVERY_SECONDS = 30
# As real homes do: the pictures show what an operator sees.
SAMPLE_SECONDS = 5
PICTURES: tuple[tuple[str, str, str, Scheme], ...] = (
    ("fleet-desktop", "#/", "desktop", "light"),
    ("fleet-phone", "#/", "phone", "dark"),
    ("event-desktop", "#/events/{event}", "desktop", "dark"),
    ("ven-phone", "#/vens/ven-sim-00003", "phone", "light"),
)


async def fill_the_past(shown: PageSystem) -> None:
    """Let the same homes tell of their last hour, as those do that were offline."""
    stack = shown.system.stack
    messages = VENS * round(PAST.total_seconds()) // EVERY_SECONDS
    past = FleetOptions(
        host=stack.mqtt_host,
        port=stack.mqtt_port,
        vens=VENS,
        interval=EVERY_SECONDS,
        loads_enabled=False,
        rate=500,
        start=datetime.now(UTC) - PAST,
    )
    await Fleet(past).run(stop=asyncio.Event(), messages=messages)
    history = f"{shown.system.api}/api/stats/network/history?granularity=30s"

    async def rolled_up() -> bool:
        async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
            return len((await client.get(history)).json()["points"]) >= messages // VENS - 3

    if not await wait_until(rolled_up, 240, every=1):
        raise GatewayError("the last hour was not rolled up in time; try again on a machine with less to do")


async def settle(shown: PageSystem) -> None:
    """Wait until the pipeline tells what a fleet of this size sends, and no more how fast its past came in.

    Raises:
        GatewayError: it does not.
    """
    sent = VENS / SAMPLE_SECONDS

    async def usual() -> bool:
        async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
            rate = (await client.get(f"{shown.system.api}/api/stats/pipeline")).json()["messagesPerSecond"]
            # With the beats of the bridge, and load snapshots.
            return rate is not None and 1.5 * sent < rate < 4 * sent

    if not await wait_until(usual, 60, every=1):
        raise GatewayError("the pipeline did not settle; try again on a machine with less to do")


async def take() -> None:
    """Take them all.

    Raises:
        GatewayError: there is no browser.
    """
    if CHROMIUM is None:
        raise GatewayError("there is no Chromium; install the package `chromium`")
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="gateway-screenshots-") as folder:
        async with world(Path(folder) / "data", VENS, before=fill_the_past, interval=SAMPLE_SECONDS) as shown:
            await settle(shown)
            event_id = ""
            for name, path, size, scheme in PICTURES:
                async with shown.page(size=size, scheme=scheme) as page:
                    event_id = event_id or await _event(page, shown.system.api)
                    await page.goto(f"{shown.system.api}/{path.format(event=event_id)}")
                    await expect(page.get_by_text("Loading …")).to_have_count(0)
                    await expect(page.locator("#live-words")).to_have_text("Live")
                    # So that there is something to see of what is told meanwhile.
                    await page.wait_for_timeout(6000)
                    await page.screenshot(path=FOLDER / f"{name}.png")


async def _event(page: Page, api: str) -> str:
    end = datetime.now(UTC) + timedelta(hours=1)
    body = {"startTime": end.isoformat(), "endTime": end.isoformat(), "requestedReductionKw": 15, "status": "active"}
    answer = await page.request.post(f"{api}/api/events", data=body)
    event_id: str = (await answer.json())["id"]

    async def sheds() -> bool:
        detail = await (await page.request.get(f"{api}/api/events/{event_id}")).json()
        return bool(detail["funnel"]["shedding"])

    await wait_until(sheds, 30)
    return event_id


if __name__ == "__main__":
    asyncio.run(take())
