"""compose.yaml as data, for tests."""

import pkgutil
import re
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import yaml

import schemas
from schemas.settings.blocks import Block
from tests.support.paths import ROOT

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
_VARIABLE = re.compile(r"(?<!\$)\$\{([A-Z_]+)(:[?-])?[^}]*\}")


def settings_fields() -> dict[str, type[Block]]:
    """Return every setting by its name in the environment, with its block."""
    for module in pkgutil.iter_modules(schemas.__path__, "schemas."):
        import_module(module.name)
    return {name.upper(): block for block in Block.__subclasses__() for name in block.model_fields}


def environment(service: str) -> dict[str, str]:
    """Return the environment of one of our services, with `secret` for each required variable."""
    values = OURS[service].get("environment", {})
    return {name: re.sub(r"\$\{\w+:\?[^}]*\}", "secret", value) for name, value in values.items()}


def as_fields(values: dict[str, str]) -> Any:
    """Return environment variables as arguments of a settings class."""
    return {name.lower(): value for name, value in values.items()}


def texts(node: Any) -> Iterator[str]:
    """Return all strings below a node."""
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict | list):
        for child in node.values() if isinstance(node, dict) else node:
            yield from texts(child)


def variables(node: Any) -> dict[str, str | None]:
    """Return the interpolated variables, each with `:?` if it is required or `:-` if it has a default."""
    return {found[1]: found[2] for text in texts(node) for found in _VARIABLE.finditer(text)}


def mounts(service: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Return what is mounted from this repository, as (source, target)."""
    for volume in service.get("volumes", []):
        source, target, *_ = volume.split(":")
        if source.startswith("./"):
            yield source, target


def ports(service: dict[str, Any]) -> dict[int, str]:
    """Return the published ports of a container, with the address on the host."""
    return {int(entry.rpartition(":")[2]): entry.rpartition(":")[0] for entry in service.get("ports", [])}
