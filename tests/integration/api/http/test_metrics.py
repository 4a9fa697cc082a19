"""What the API shows to Prometheus."""

from schemas.settings.blocks import DatabaseSettings
from tests.support.metrics import Shown, parsed
from tests.support.readings import reading, stores
from tests.support.rest import api


def requests(before: Shown, after: Shown) -> dict[tuple[str, ...], float]:
    """Return how many requests came in between, by method, route and status."""
    name = "gateway_http_request_seconds_count"
    earlier = before.get(name, {})
    counts = {labels: number - earlier.get(labels, 0) for labels, number in after[name].items()}
    return {labels: number for labels, number in counts.items() if number}


async def test_requests_are_counted_by_route_and_never_by_path(database: DatabaseSettings) -> None:
    async with stores(database) as store, api(database) as client:
        await store.readings.store([reading("ven-1"), reading("ven-2")])
        before = parsed((await client.get("/metrics")).text)
        for path in ("/api/vens/ven-1", "/api/vens/ven-2", "/api/vens/ven-2/", "/api/vens/nobody", "/no/such/path"):
            await client.get(path)
        await client.request("BREW", "/api/vens/ven-1")
        await client.request("BREW", "/no/such/path")
        await client.get("/api/vens?limit=0")
        answer = await client.get("/metrics")
    counted = requests(before, parsed(answer.text))
    # Which route answers for a method that it does not know is the framework's business.
    refused = [labels for labels in counted if labels[2] == "405"]
    assert [labels[0] for labels in refused] == ["other"]
    assert {labels: number for labels, number in counted.items() if labels not in refused} == {
        ("GET", "/api/vens/{ven_id}", "200"): 3,
        ("GET", "/api/vens/{ven_id}", "404"): 1,
        ("GET", "/api/vens", "422"): 1,
        ("GET", "other", "404"): 1,
        ("other", "other", "404"): 1,
        ("GET", "other", "200"): 1,  # the metrics themselves
    }
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"


async def test_metrics_are_no_part_of_the_documented_api(database: DatabaseSettings) -> None:
    async with api(database) as client:
        assert "/metrics" not in (await client.get("/openapi.json")).json()["paths"]
        assert (await client.get("/metrics/")).is_success
        assert (await client.post("/metrics")).status_code == 405
