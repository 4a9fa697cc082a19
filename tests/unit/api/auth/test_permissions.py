"""Every route has a role, and docs/reference/permissions.md says which."""

import re

import pytest
from fastapi import FastAPI
from starlette.routing import Mount, Route

from api.app import make_app
from api.auth.permissions import METRICS_PATH, PUBLIC_PATHS, ROUTE_ROLES, SAFE_METHODS, RoutePermissions
from api.config import ApiConfig
from schemas.base.access_role import AccessRole, highest
from schemas.settings.access import AccessSettings
from schemas.settings.blocks import ApiSettings, DatabaseSettings, KafkaSettings
from tests.support.paths import ROOT

DOCUMENT = ROOT / "docs" / "reference" / "permissions.md"
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
        ("GET", path) for path in PUBLIC_PATHS
    }
    assert described == {(method, plain(path)) for method, path in ROUTE_ROLES} - {("GET", METRICS_PATH)}


def test_what_is_not_described_is_open_and_only_read() -> None:
    beside = [route for route in app().routes if isinstance(route, Route | Mount)]
    paths = {route.path if isinstance(route, Route) else f"{route.path}/{{path:path}}" for route in beside}
    assert paths - {METRICS_PATH} == {path for path in PUBLIC_PATHS if not path.startswith("/health")}
    for route in beside:
        assert not isinstance(route, Route) or set(route.methods or ()) <= SAFE_METHODS


def test_the_document_says_the_same() -> None:
    said = {(method, path): role for method, path, role in ROW.findall(DOCUMENT.read_text())}
    assert said == {(method, plain(path)): role.value for (method, path), role in ROUTE_ROLES.items()}


@pytest.mark.parametrize(
    ("method", "path", "required_role"),
    [
        ("GET", "/health/ready", None),
        ("POST", "/health/ready", AccessRole.ADMIN),
        ("GET", "/page/js/main.js", None),
        ("HEAD", "/api/vens", AccessRole.VIEWER),
        ("HEAD", "/api/audit", AccessRole.ADMIN),
        ("GET", "/api/commands/evt-a/b/c", AccessRole.VIEWER),
        ("GET", "/api/nobody-thought-of-it", AccessRole.VIEWER),
        ("POST", "/api/nobody-thought-of-it", AccessRole.ADMIN),
        ("DELETE", "/api/vens/a/b", AccessRole.ADMIN),
        ("PUT", "/api/vens", AccessRole.ADMIN),
        ("TRACE", "/", AccessRole.ADMIN),
    ],
)
def test_a_path_that_is_not_known_is_closed(method: str, path: str, required_role: AccessRole | None) -> None:
    assert RoutePermissions(metrics_open=False).required_role(method, path) is required_role


def test_metrics_may_be_opened() -> None:
    assert RoutePermissions(metrics_open=False).required_role("GET", METRICS_PATH) is AccessRole.VIEWER
    assert RoutePermissions(metrics_open=True).required_role("GET", METRICS_PATH) is None


def test_each_role_may_what_the_one_before_may() -> None:
    assert AccessRole.ADMIN.includes(AccessRole.VIEWER)
    assert AccessRole.OPERATOR.includes(AccessRole.OPERATOR)
    assert not AccessRole.VIEWER.includes(AccessRole.OPERATOR)
    assert highest([AccessRole.OPERATOR, AccessRole.VIEWER]) is AccessRole.OPERATOR
    assert highest([]) is None
