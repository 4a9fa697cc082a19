"""The page of an API that asks who it is: with a key of each role, and when it is revoked."""

from collections.abc import AsyncIterator
from typing import NamedTuple

import pytest_asyncio
from axe_playwright_python.async_playwright import Axe
from fastapi import FastAPI
from playwright.async_api import Page, expect

from gateway.keys.operations import revoke_keys
from schemas.base.access_role import AccessRole
from schemas.settings.access import AccessSettings
from tests.page.world import PageSystem
from tests.support.access import keys_of_all_roles
from tests.support.rest import serving

ACCESS = AccessSettings(api_auth="required", api_key_cache_seconds=0.1, api_feed_recheck_seconds=0.1)


class Guarded(NamedTuple):
    """A second API before the same system."""

    address: str
    keys: dict[AccessRole, str]
    app: FastAPI


@pytest_asyncio.fixture
async def guarded(shown: PageSystem) -> AsyncIterator[Guarded]:
    keys = await keys_of_all_roles(shown.system.database)
    async with serving(shown.system.database, shown.system.kafka, ACCESS) as (client, app):
        yield Guarded(str(client.base_url), keys, app)


async def sign_in(page: Page, key: str) -> None:
    dialog = page.get_by_role("dialog", name="Sign in")
    await dialog.get_by_label("API key or token").fill(key)
    await dialog.get_by_role("button", name="Go on").click()


async def test_a_viewer_looks_an_operator_acts_and_a_revoked_key_ends(shown: PageSystem, guarded: Guarded) -> None:
    async with shown.page(expected=("401", "ERR_INCOMPLETE")) as page:
        await page.goto(f"{guarded.address}/#/events")
        dialog = page.get_by_role("dialog", name="Sign in")
        await expect(dialog.get_by_label("API key or token")).to_be_focused()
        found = await Axe().run(page)
        assert not [each for each in found.response["violations"] if each["impact"] in {"serious", "critical"}]
        await sign_in(page, "gek_wrong")
        await expect(dialog.get_by_text("unknown, expired or revoked")).to_be_visible()
        await sign_in(page, guarded.keys[AccessRole.VIEWER])
        await expect(page.get_by_text("the viewer (viewer)")).to_be_visible()
        await expect(page.locator("#live-words")).to_have_text("Live")
        await expect(page.get_by_role("button", name="New event")).to_have_count(0)
        await page.goto(f"{guarded.address}/#/vens/ven-sim-00001")
        await expect(page.get_by_role("table", name="Loads")).to_be_visible()
        await expect(page.get_by_role("button", name="Ping")).to_have_count(0)
        # The key stays in this tab: not in a cookie, nor where other tabs find it.
        await page.reload()
        await expect(page.get_by_text("the viewer (viewer)")).to_be_visible()
        assert await page.evaluate("document.cookie + JSON.stringify({...localStorage})") == "{}"
        await page.get_by_role("button", name="Sign out").click()
        await sign_in(page, guarded.keys[AccessRole.OPERATOR])
        await expect(page.locator("#live-words")).to_have_text("Live")
        await page.get_by_role("button", name="Ping").click()
        await expect(page.get_by_text("ping was accepted")).to_be_visible()
        (listener,) = [
            each.principal.id for each in guarded.app.state.feed.clients if each.principal.role is AccessRole.OPERATOR
        ]
        await revoke_keys(guarded.app.state.pool, [listener])
        # The feed ends by itself, and with it comes the question.
        await expect(dialog.get_by_text("no longer valid")).to_be_visible()
        await sign_in(page, guarded.keys[AccessRole.ADMIN])
        await expect(page.locator("#live-words")).to_have_text("Live")
        await page.goto(f"{guarded.address}/#/events")
        await expect(page.get_by_role("button", name="New event")).to_be_visible()
