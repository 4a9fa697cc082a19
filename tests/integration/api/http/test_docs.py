"""`/docs` works where there is no internet."""

import re

import httpx
import pytest

from schemas.settings.blocks import DatabaseSettings
from tests.support.rest import api

NOWHERE = DatabaseSettings(db_host="127.0.0.1", db_port=1, db_user="nobody", db_name="nowhere")
"""The page needs no database."""


@pytest.mark.parametrize("path", ["/docs", "/docs/"])
async def test_the_page_and_all_that_it_loads_come_from_here(path: str) -> None:
    async with api(NOWHERE) as client:
        page = await client.get(path)
        assert page.status_code == httpx.codes.OK
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert "//" not in page.text, "no address but paths"
        loaded = re.findall(r"""(?:href=|src=|url: )["']([^"']+)["']""", page.text)
        kinds = {}
        for reference in loaded:
            assert reference.startswith("/")
            answer = await client.get(reference)
            assert answer.status_code == httpx.codes.OK, reference
            kind = answer.headers["content-type"].partition(";")[0]
            # Python 3.11 has the older name of the two.
            kinds[reference.rpartition("/")[2]] = kind.replace("application/javascript", "text/javascript")
        assert kinds == {
            "swagger-ui.css": "text/css",
            "swagger-ui-bundle.js": "text/javascript",
            "favicon.png": "image/png",
            "openapi.json": "application/json",
        }


async def test_swagger_ui_is_one_that_reads_openapi_3_1() -> None:
    async with api(NOWHERE) as client:
        assert (await client.get("/openapi.json")).json()["openapi"].startswith("3.1")
        bundle = (await client.get("/docs/assets/swagger-ui-bundle.js")).text
        found = re.search(r'PACKAGE_VERSION:"(\d+)\.', bundle)
        assert found is not None
        assert int(found[1]) >= 5
        style = (await client.get("/docs/assets/swagger-ui.css")).text
        assert set(re.findall(r"url\([\"']?(\w+):", style)) == {"data"}, "pictures are in the sheet itself"


async def test_the_assets_are_a_handful_of_series_in_the_metrics() -> None:
    async with api(NOWHERE) as client:
        for number in range(3):
            assert (await client.get(f"/docs/assets/made-up-{number}")).status_code == httpx.codes.NOT_FOUND
        assert (await client.get("/redoc")).status_code == httpx.codes.NOT_FOUND
        assert "made-up" not in (await client.get("/metrics")).text
