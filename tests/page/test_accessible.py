"""axe-core finds no serious fault: each view, in dark and light, on a desktop and a phone."""

import json

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import expect

from tests.page.world import SIZES, PageSystem, Scheme

VIEWS = {
    "fleet": "#/",
    "events": "#/events",
    "event": "#/events/{event}",
    "vens": "#/vens",
    "ven": "#/vens/ven-sim-00001",
    "letters": "#/letters",
    "letter": "#/letters/{letter}",
}
SCHEMES: tuple[Scheme, ...] = ("light", "dark")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scheme", SCHEMES)
async def test_axe_finds_no_serious_fault(shown: PageSystem, scheme: Scheme, size: str) -> None:
    await shown.publish("volttron/metering", json.dumps({"venId": "ven-axe", "timestamp": "never"}))
    async with shown.page(size=size, scheme=scheme) as page:
        api = shown.system.api
        body = {"startTime": "2035-01-01T10:00:00Z", "endTime": "2035-01-01T11:00:00Z", "requestedReductionKw": 2}
        ids = {"event": (await (await page.request.post(f"{api}/api/events", data=body)).json())["id"]}
        letters: list[dict[str, str]] = []
        while not letters:
            letters = (await (await page.request.get(f"{api}/api/dead-letters")).json())["deadLetters"]
        ids["letter"] = letters[0]["id"]
        found = {}
        for name, path in VIEWS.items():
            await page.goto(f"{api}/{path.format(**ids)}")
            await expect(page.locator("h1")).to_be_visible()
            await expect(page.get_by_text("Loading …")).to_have_count(0)
            found[name] = await faults(page)
        await page.goto(f"{api}/#/events")
        await page.get_by_role("button", name="New event").click()
        found["new event"] = await faults(page)
    assert {name: each for name, each in found.items() if each} == {}


async def faults(page: object) -> list[str]:
    results = await Axe().run(page)
    return [
        f"{fault['id']}: {fault['help']}: {[node['target'] for node in fault['nodes']][:3]}"
        for fault in results.response["violations"]
        if fault["impact"] in {"serious", "critical"}
    ]
