"""A whole system with a small fleet that obeys, and a browser that looks at its page."""

import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

import aiomqtt
import httpx
from playwright.async_api import Browser, BrowserContext, Page, async_playwright, expect

from gateway.fleet import Fleet, FleetOptions, publishing
from gateway.local.system import System, default_topics
from gateway.stack.polling import wait_until

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
VENS = 12

Scheme = Literal["light", "dark"]
SIZES = {"desktop": (1440, 900), "phone": (390, 844)}


class PageSystem:
    """The system, its fleet, and how to open the page."""

    def __init__(self, system: System, browser: Browser) -> None:
        self.system = system
        self.browser = browser

    @asynccontextmanager
    async def page(
        self, path: str = "#/", *, size: str = "desktop", scheme: Scheme = "light", expected: tuple[str, ...] = ()
    ) -> AsyncIterator[Page]:
        """Have the page open inside; afterwards the browser must have complained of nothing that is not expected."""
        # An API that was just started has no figures yet, says so with 503, and the browser complains of that.
        assert await wait_until(self._has_figures, 60), "the API has no figures"
        width, height = SIZES[size]
        context: BrowserContext = await self.browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, reduced_motion="reduce"
        )
        context.set_default_timeout(60_000)
        page = await context.new_page()
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "console",
            lambda said: (
                complaints.append(f"{said.text} {said.location['url']}") if said.type in {"error", "warning"} else None
            ),
        )
        page.on("dialog", lambda dialog: complaints.append(f"a dialog: {dialog.message}"))
        try:
            await page.goto(f"{self.system.api}/{path}")
            yield page
        finally:
            await context.close()
        unexpected = [each for each in complaints if not any(words in each for words in expected)]
        assert not unexpected, unexpected

    async def _has_figures(self) -> bool:
        async with httpx.AsyncClient(base_url=self.system.api, trust_env=False) as client:
            try:
                answers = [await client.get(f"/api/stats/{name}") for name in ("network", "pipeline")]
            except httpx.HTTPError:
                return False
            return all(answer.is_success for answer in answers)

    async def publish(self, topic: str, payload: str) -> None:
        """Publish as a device of its own."""
        async with aiomqtt.Client(self.system.stack.mqtt_host, self.system.stack.mqtt_port) as client:
            await client.publish(topic, payload, qos=1)


@asynccontextmanager
async def browser() -> AsyncIterator[Browser]:
    """Have Debian's browser inside; Playwright's own cannot be had everywhere."""
    # A wait ends when what is waited for is there: these are for machines that have other things to do.
    expect.set_options(timeout=60_000)
    async with async_playwright() as playwright:
        opened = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        await opened.close()


@asynccontextmanager
async def world(
    data: Path,
    vens: int = VENS,
    before: Callable[[PageSystem], Awaitable[None]] | None = None,
    *,
    interval: float = 1.0,
) -> AsyncIterator[PageSystem]:
    """Have everything up inside; `before` comes before the fleet, whose homes sample every `interval` seconds."""
    async with System(data, settings=default_topics()) as system, browser() as opened:
        shown = PageSystem(system, opened)
        if before is not None:
            await before(shown)
        options = FleetOptions(
            host=system.stack.mqtt_host,
            port=system.stack.mqtt_port,
            vens=vens,
            interval=interval,
            loads_interval=5 * interval,
        )
        async with publishing(Fleet(options)):
            yield shown
