"""Every route has a role, and docs/security.md says which."""

import re

import pytest
from fastapi import FastAPI
from starlette.routing import Mount, Route

from api.app import ApiConfig, make_app
from api.auth.permissions import METRICS, OPEN, READING, ROLES, Roles
from schemas.base.roles import Role, highest
from schemas.settings.access import AccessSettings
from schemas.settings.blocks import ApiSettings, DatabaseSettings, KafkaSettings
from tests.support.paths import ROOT

DOCUMENT = ROOT / "docs" / "security.md"
ROW = re.compile(r"^\| `(GET|POST|PATCH|DELETE) (\S+)` \| (\w+) \|", re.MULTILINE)


def app() -> FastAPI:
    return make_app(
        ApiConfig(
            ApiSettings.model_construct(),
            DatabaseSettings.model_construct(),
            KafkaSettings.model_construct(),
            AccessSettings.model_construct(),
        )
    )


def plain(path: str) -> str:
    """As the description has it, without what a parameter may hold."""
    return path.replace(":path}", "}")


def test_every_route_has_a_role_and_no_other_has() -> None:
    described = {(method.upper(), path) for path, methods in app().openapi()["paths"].items() for method in methods} - {
        ("GET", path) for path in OPEN
    }
    assert described == {(method, plain(path)) for method, path in ROLES} - {("GET", METRICS)}


def test_what_is_not_described_is_open_and_only_read() -> None:
    beside = [route for route in app().routes if isinstance(route, Route | Mount)]
    paths = {route.path if isinstance(route, Route) else f"{route.path}/{{path:path}}" for route in beside}
    assert paths - {METRICS} == {path for path in OPEN if not path.startswith("/health")}
    for route in beside:
        assert not isinstance(route, Route) or set(route.methods or ()) <= READING


def test_the_document_says_the_same() -> None:
    said = {(method, path): role for method, path, role in ROW.findall(DOCUMENT.read_text())}
    assert said == {(method, plain(path)): role.value for (method, path), role in ROLES.items()}


@pytest.mark.parametrize(
    ("method", "path", "needed"),
    [
        ("GET", "/health/ready", None),
        ("POST", "/health/ready", Role.ADMIN),
        ("GET", "/page/js/main.js", None),
        ("HEAD", "/api/vens", Role.VIEWER),
        ("HEAD", "/api/audit", Role.ADMIN),
        ("GET", "/api/commands/evt-a/b/c", Role.VIEWER),
        ("GET", "/api/nobody-thought-of-it", Role.VIEWER),
        ("POST", "/api/nobody-thought-of-it", Role.ADMIN),
        ("DELETE", "/api/vens/a/b", Role.ADMIN),
        ("PUT", "/api/vens", Role.ADMIN),
        ("TRACE", "/", Role.ADMIN),
    ],
)
def test_a_path_that_is_not_known_is_closed(method: str, path: str, needed: Role | None) -> None:
    assert Roles(metrics_open=False).needed(method, path) is needed


def test_metrics_may_be_opened() -> None:
    assert Roles(metrics_open=False).needed("GET", METRICS) is Role.VIEWER
    assert Roles(metrics_open=True).needed("GET", METRICS) is None


def test_each_role_may_what_the_one_before_may() -> None:
    assert Role.ADMIN.includes(Role.VIEWER)
    assert Role.OPERATOR.includes(Role.OPERATOR)
    assert not Role.VIEWER.includes(Role.OPERATOR)
    assert highest([Role.OPERATOR, Role.VIEWER]) is Role.OPERATOR
    assert highest([]) is None
