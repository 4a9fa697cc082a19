"""The operations page in a real browser, before a whole system with a fleet that obeys."""

import json
import os
import re
import signal
import time
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

from playwright.async_api import Page, expect

from tests.page.world import VENS, PageSystem

HOSTILE = '"><img src=x onerror=alert(1)>'


async def figure(page: Page, label: str) -> str:
    """Return the figure under a label."""
    text = await page.locator(".stat", has_text=label).locator(".value").text_content()
    return text or ""


async def test_totals_move(shown: PageSystem) -> None:
    async with shown.page() as page:
        await expect(page.locator("#live-words")).to_have_text("Live")
        await expect(page.locator(".stat", has_text="VENs online").locator(".value")).to_contain_text(str(VENS))
        seen = {await figure(page, "Power used")}
        async with page.expect_request("**/api/stats/pipeline"):
            while len(seen) < 3:
                await page.wait_for_function(
                    "seen => !seen.includes(document.querySelectorAll('.stat .value')[1].textContent)", arg=list(seen)
                )
                seen.add(await figure(page, "Power used"))
        await expect(page.get_by_role("img", name=re.compile(r"last hour\. Used: .* kW now"))).to_be_visible()
        await expect(page.locator(".chart canvas")).to_be_visible()
        await expect(page.locator("dl.facts")).to_contain_text("a second to Kafka")


async def test_a_chart_of_one_sample_shows_the_minutes_before_it(shown: PageSystem) -> None:
    async with shown.page("#/letters") as page:
        written = await page.evaluate(
            """async () => {
              const { PowerChart } = await import("/page/js/chart.js");
              const written = [];
              const write = CanvasRenderingContext2D.prototype.fillText;
              CanvasRenderingContext2D.prototype.fillText = function (text, ...where) {
                written.push(text);
                return write.call(this, text, ...where);
              };
              const chart = new PowerChart("one sample");
              document.querySelector("main").replaceChildren(chart.element);
              chart.show([[Date.UTC(2026, 10, 24, 16, 10) / 1000], [3.2], [0]]);
              while (!written.length) await new Promise(requestAnimationFrame);
              return written.filter((text) => text.includes(":"));
            }"""
        )
    assert len(set(written)) > 2, written


async def test_an_event_is_created_fills_up_and_is_stopped(shown: PageSystem) -> None:
    async with shown.page("#/events", expected=("422",)) as page:
        await page.get_by_role("button", name="New event").click()
        dialog = page.get_by_role("dialog", name="New event")
        await dialog.get_by_role("button", name="Create the event").click()
        await expect(dialog.get_by_label("Reduction, in kW")).to_have_attribute("aria-invalid", "true")
        await expect(dialog.get_by_text("valid number")).to_be_visible()
        await dialog.get_by_label("Only these VENs").fill("nobody-1, nobody-2")
        await dialog.get_by_label("Reduction, in kW").fill("3")
        await page.keyboard.press("Enter")
        await expect(dialog.get_by_text("there is no VEN nobody-1, nobody-2")).to_be_visible()
        await dialog.get_by_label("Only these VENs").fill("")
        await dialog.get_by_role("button", name="Create the event").click()
        await expect(page.get_by_role("heading", name=re.compile("^Event evt-"))).to_be_visible()
        await expect(page.locator("[data-step=acknowledged]")).to_have_text(str(VENS))
        await expect(page.locator("[data-step=shedding]")).not_to_have_text("0")
        await expect(page.get_by_role("table", name="VENs of this event").get_by_role("row")).to_have_count(VENS + 1)
        await expect(page.get_by_role("table", name="What each circuit did")).to_be_visible()
        await page.get_by_role("button", name="Stop").click()
        await page.get_by_role("button", name="Stop the event").click()
        await expect(page.locator(".head .badge")).to_have_text("completed")
        await page.get_by_role("button", name="Delete").click()
        await page.get_by_role("button", name="Delete the event").click()
        await expect(page.get_by_role("heading", name="Events", exact=True)).to_be_visible()


async def test_an_event_that_has_not_begun_has_no_reduction(shown: PageSystem) -> None:
    start = datetime.now(UTC) + timedelta(hours=2)
    async with shown.page("#/events") as page:
        body = {"startTime": start.isoformat(), "endTime": (start + timedelta(hours=1)).isoformat()}
        asked = {**body, "requestedReductionKw": 5, "status": "scheduled"}
        event = await (await page.request.post(f"{shown.system.api}/api/events", data=asked)).json()
        await page.goto(f"{shown.system.api}/#/events/{event['id']}")
        await expect(page.locator(".head .badge")).to_have_text("scheduled")
        reduction = page.locator(".stat", has=page.get_by_text("Reduction", exact=True))
        await expect(reduction).to_contain_text("has not begun")
        await expect(reduction.locator(".value")).to_have_text(re.compile(r"^\W+$"))
        await page.get_by_role("button", name="Cancel").click()
        await page.get_by_role("button", name="Cancel the event").click()
        await expect(page.locator(".head .badge")).to_have_text("cancelled")


async def test_a_ven_is_found_shown_and_pinged(shown: PageSystem) -> None:
    async with shown.page("#/vens") as page:
        await page.get_by_label("Id or name").fill("sim-00003")
        await expect(page.get_by_role("table").get_by_role("row")).to_have_count(2)
        await page.get_by_role("link", name=re.compile("ven-sim-00003")).click()
        await expect(page.locator(".chart canvas")).to_be_visible()
        await expect(page.get_by_role("img", name=re.compile("Used: .* kW now"))).to_be_visible()
        await expect(page.get_by_role("table", name="Loads")).to_contain_text("hvac")
        await page.get_by_role("button", name="Ping").click()
        trail = page.get_by_role("table", name="Commands, newest first")
        await expect(trail.get_by_role("row", name=re.compile("^ping"))).to_contain_text("acknowledged")
        await page.get_by_role("spinbutton", name="kW").fill("0.1")
        await page.get_by_role("button", name="Shed at this load").click()
        await expect(trail.get_by_role("row", name=re.compile("^shedLoad"))).to_be_visible()


async def test_wrong_readings_are_removed_after_a_confirmation(shown: PageSystem) -> None:
    async with shown.page("#/vens/ven-sim-00003") as page:
        now = datetime.now(UTC).replace(tzinfo=None, microsecond=0)
        await page.get_by_label("From (UTC)").fill((now - timedelta(minutes=5)).isoformat())
        await page.get_by_label("To (UTC)").fill((now + timedelta(minutes=5)).isoformat())
        await page.get_by_role("button", name="Remove readings").click()
        await page.get_by_role("dialog").get_by_role("button", name="Remove them").click()
        await expect(page.get_by_text(re.compile(r"^[1-9]\d* readings were removed\.$"))).to_be_visible()


async def test_a_dead_letter_is_told_of_mended_and_replayed(shown: PageSystem) -> None:
    async with shown.page("#/letters") as page:
        await expect(page.get_by_role("heading", name="Dead letters")).to_be_visible()
        await expect(page.locator("#live-words")).to_have_text("Live")
        sample = {"venId": "ven-page", "timestamp": "yesterday", "usedPowerKw": 1.5}
        await shown.publish("volttron/metering", json.dumps(sample))
        await page.get_by_role("button", name="Show 1 new letter").click()
        await page.get_by_role("row", name=re.compile("ven-page")).get_by_role("link").click()
        payload = page.get_by_label("What to send")
        await expect(payload).to_have_value(re.compile("yesterday"))
        await payload.fill(json.dumps({**sample, "timestamp": int(time.time())}))
        await page.get_by_role("button", name="Replay").click()
        await expect(page.get_by_text("It is stored: it counts now.")).to_be_visible()


async def test_what_devices_call_themselves_is_text_and_nothing_else(shown: PageSystem) -> None:
    await shown.publish("volttron/metering", json.dumps({"venId": HOSTILE, "timestamp": time.time(), "usedPowerKw": 1}))
    async with shown.page("#/vens") as page:
        row = page.get_by_role("row", name=re.compile("onerror"))
        await expect(row).to_be_visible()
        await row.get_by_role("link").click()
        await expect(page.get_by_role("heading", name=f"Auto-registered VEN {HOSTILE}")).to_be_visible()
        await page.goto(f"{shown.system.api}/#/vens/{quote(HOSTILE, safe='')}")
        await expect(page.locator("main img")).to_have_count(0)


async def test_the_page_says_when_it_is_stale_and_goes_on_where_it_was(shown: PageSystem) -> None:
    async with shown.page(expected=("ERR_", "503")) as page:
        await expect(page.locator("#live-words")).to_have_text("Live")
        await expect(page.locator(".stat", has_text="VENs online").locator(".value")).to_contain_text("of")
        pid = shown.system.workers["api"].process.pid
        assert pid is not None
        async with page.expect_request(
            lambda request: request.url.endswith("/api/feed") and bool(request.headers.get("last-event-id"))
        ):
            os.kill(pid, signal.SIGKILL)
            await expect(page.locator("#live-words")).to_have_text(re.compile("^Stale since "))
        # What was known is still there.
        await expect(page.locator(".stat", has_text="Power used").locator(".value")).to_contain_text("kW")
        await expect(page.locator("#live-words")).to_have_text("Live")
        # For whoever comes next the process that was restarted has to know its totals.
        await page.wait_for_function("async () => (await fetch('/health/ready')).ok")


async def test_the_page_is_used_with_the_keyboard_alone(shown: PageSystem) -> None:
    async with shown.page() as page:
        await page.keyboard.press("Tab")
        await expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
        await page.get_by_role("link", name="Events", exact=True).focus()
        await page.keyboard.press("Enter")
        await expect(page.locator("main")).to_be_focused()
        await page.get_by_role("button", name="New event").focus()
        await page.keyboard.press("Enter")
        await expect(page.get_by_label("Reduction, in kW")).to_be_focused()
        await page.keyboard.press("Escape")
        await expect(page.get_by_role("button", name="New event")).to_be_focused()
        theme = page.locator("html")
        await expect(theme).to_have_attribute("data-theme", "light")
        await page.get_by_role("button", name="Switch to dark colours").press("Space")
        await page.reload()
        await expect(theme).to_have_attribute("data-theme", "dark")


async def test_the_focus_stays_on_an_event_that_changes_each_second(shown: PageSystem) -> None:
    now = datetime.now(UTC)
    event = {
        "startTime": now.isoformat(),
        "endTime": (now + timedelta(minutes=10)).isoformat(),
        "requestedReductionKw": 1,
        "status": "active",
    }
    async with shown.page() as page:
        created = await (await page.request.post(f"{shown.system.api}/api/events", data=event)).json()
        link = page.locator(f'.events a[href="#/events/{created["id"]}"]')
        await link.focus()
        await link.evaluate("link => { window.before = link; }")
        await page.wait_for_function("() => !window.before.isConnected")
        await expect(link).to_be_focused()
        await page.request.delete(f"{shown.system.api}/api/events/{created['id']}")


async def test_an_address_that_is_cut_off_is_no_empty_page(shown: PageSystem) -> None:
    async with shown.page("#/vens/%", expected=("404",)) as page:
        await expect(page.get_by_text("There is no VEN %")).to_be_visible()
        await expect(page.locator("#live-words")).to_have_text("Live")


async def test_the_page_comes_with_a_policy_that_lets_nothing_else_in(shown: PageSystem) -> None:
    async with shown.page() as page:
        answer = await page.request.get(f"{shown.system.api}/")
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        for path in ("/page/__init__.py", "/page/vendor/README.md", "/page/../app.py", "/page/nothing.js"):
            assert (await page.request.get(f"{shown.system.api}{path}")).status == 404
