"""The API refuses fields and parameters that it does not know, and says which name it expects."""

from datetime import UTC, datetime
from typing import Any

import pytest
import pytest_asyncio
from fastapi.dependencies.utils import get_flat_params
from fastapi.params import Query
from fastapi.routing import APIRoute, iter_route_contexts

from api.app import make_app
from api.config import ApiConfig
from schemas.rest.request_body import RequestBody
from schemas.settings.access import AccessSettings
from schemas.settings.blocks import ApiSettings, DatabaseSettings, KafkaSettings
from tests.contract.conftest import ContractApi
from tests.contract.test_events import event
from tests.support.readings import HVAC, reading
from tests.support.rest import assert_problem

ROUTES = [
    context.original_route
    for context in iter_route_contexts(
        make_app(
            ApiConfig(
                ApiSettings.model_construct(),
                DatabaseSettings.model_construct(),
                KafkaSettings.model_construct(),
                AccessSettings.model_construct(),
            )
        ).routes
    )
    if isinstance(context.original_route, APIRoute)
]
PLACEHOLDERS = {"ven_id": "home", "load_id": "hvac", "event_id": "evt-1", "dead_letter_id": "1"}
READS = sorted({route.path for route in ROUTES if "GET" in (route.methods or ())})


def _path(template: str) -> str:
    path = template.replace("{correlation_id:path}", "none")
    for name, value in PLACEHOLDERS.items():
        path = path.replace(f"{{{name}}}", value)
    return path


def _body_models() -> list[type[RequestBody]]:
    found: list[type[RequestBody]] = []
    for route in ROUTES:
        if route.body_field is not None:
            annotation: Any = route.body_field.field_info.annotation
            found += [each for each in getattr(annotation, "__args__", (annotation,)) if each is not type(None)]
    return found


@pytest_asyncio.fixture(autouse=True)
async def home(world: ContractApi) -> None:
    now = datetime.now(UTC)
    await world.store.readings.store([reading("home", timestamp=now, received_at=now, loads=(HVAC,))])


def test_every_body_model_forbids_unknown_fields() -> None:
    models = _body_models()
    assert len(models) >= 9
    for model in models:
        assert issubclass(model, RequestBody), model
        assert model.model_config["extra"] == "forbid", model


@pytest.mark.parametrize(
    ("method", "path", "body", "unknown", "expected"),
    [
        ("POST", "/api/events", event(venIDs=["home"]), "venIDs", "did you mean venIds?"),
        ("POST", "/api/events", event(vens=["home"]), "vens", "did you mean venIds?"),
        ("POST", "/api/events", event(targets=["home"]), "targets", "venIds"),
        ("POST", "/api/vens/home/loads/hvac/commands/shed", {"amountKw": 1, "duration": 9}, "duration", "durationS"),
        ("PATCH", "/api/vens/home", {"staus": "disabled"}, "staus", "did you mean status?"),
        ("PATCH", "/api/vens/home", {"location": {"lat": 1, "lon": 2, "long": 3}}, "long", "lon"),
        ("POST", "/api/dead-letters/replay", {"venID": "home"}, "venID", "did you mean venId?"),
        (
            "POST",
            "/api/vens/home/commands",
            {"op": "shedLoad", "data": {"loadId": "hvac", "reduceKw": 1, "duration_S_": 900}},
            "duration_S_",
            "did you mean duration",
        ),
    ],
)
async def test_an_unknown_field_is_named(
    world: ContractApi, method: str, path: str, body: Any, unknown: str, expected: str
) -> None:
    problem = assert_problem(await world.client.request(method, path, json=body), 422)
    message = problem["errors"][0]["message"]
    assert unknown in message
    assert expected in message


async def test_a_device_field_of_a_known_op_goes_along(world: ContractApi) -> None:
    await world.post(
        "/api/vens/home/commands", {"op": "setConfig", "data": {"target_power_kw": 1, "led_colour": "red"}}, 202
    )


@pytest.mark.parametrize("template", READS)
async def test_an_unknown_query_parameter_is_refused(world: ContractApi, template: str) -> None:
    problem = assert_problem(await world.client.get(_path(template), params={"strat": "1", "_": "17"}), 422)
    assert [error["location"] for error in problem["errors"]] == ["query.strat"]


@pytest.mark.parametrize("template", READS)
async def test_a_repeated_parameter_is_refused(world: ContractApi, template: str) -> None:
    route = next(route for route in ROUTES if route.path == template and "GET" in (route.methods or ()))
    for field in get_flat_params(route.dependant):
        if isinstance(field.field_info, Query):
            answer = await world.client.get(_path(template), params={field.alias: ["1", "2"]})
            assert "more than once" in assert_problem(answer, 422)["errors"][0]["message"]


async def test_a_cache_buster_is_ignored(world: ContractApi) -> None:
    assert (await world.client.get("/api/vens?_=1761239100&_=2")).status_code == 200


@pytest.mark.parametrize("template", READS)
async def test_head_answers_as_get(world: ContractApi, template: str) -> None:
    head = await world.client.head(_path(template))
    assert head.content == b""
    async with world.client.stream("GET", _path(template)) as get:
        assert head.status_code == get.status_code
        assert {*head.headers} == {*get.headers}


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/api/events", "GET, HEAD, POST"),
        ("POST", "/api/vens/home", "DELETE, GET, HEAD, PATCH"),
        ("HEAD", "/api/events/evt-1/stop", "POST"),
        ("OPTIONS", "/api/vens/home/telemetry/", "DELETE, GET, HEAD"),
    ],
)
async def test_allow_lists_all_methods_of_the_path(world: ContractApi, method: str, path: str, allowed: str) -> None:
    answer = await world.client.request(method, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, allowed)


@pytest.mark.parametrize("start", ["20261130", "2026", "-1761239100", "1e10", "yesterday", "176123910"])
async def test_a_time_that_may_be_misread_is_refused(world: ContractApi, start: str) -> None:
    for path in ("/api/stats/network/history", "/api/vens/home/telemetry", "/api/events/history", "/api/dead-letters"):
        assert_problem(await world.client.get(path, params={"start": start}), 422)


@pytest.mark.parametrize("start", ["2026-11-30", "2026-11-30T10:00:00Z", "1761239100", "1761239100000", "1761239100.5"])
async def test_iso_dates_and_unix_times_are_accepted(world: ContractApi, start: str) -> None:
    assert (await world.client.get("/api/vens/home/telemetry", params={"start": start})).status_code == 200


@pytest.mark.parametrize(
    "query",
    [
        "/api/events?status=SCHEDULED",
        "/api/dead-letters?state=Open",
        "/api/vens/home/history?granularity=5M",
        "/api/vens?status=Online",
    ],
)
async def test_enumerated_values_ignore_case(world: ContractApi, query: str) -> None:
    assert (await world.client.get(query)).status_code == 200


async def test_known_ven_statuses_are_found_in_any_case(world: ContractApi) -> None:
    await world.new_ven("free", status="Mothballed")
    assert "home" in {ven["id"] for ven in await world.get("/api/vens", status="ONLINE")}
    assert [ven["id"] for ven in await world.get("/api/vens", status="Mothballed")] == ["free"]


@pytest.mark.parametrize("query", ["/api/events?status=over", "/api/dead-letters?state=x", "/api/feed?types=vans"])
async def test_an_unknown_enumerated_value_is_refused(world: ContractApi, query: str) -> None:
    assert_problem(await world.client.get(query), 422)
