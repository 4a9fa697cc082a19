"""The `.env` of compose.yaml: random passwords, and the user that containers run as."""

import re
import secrets
from pathlib import Path

from gateway.certs.folder import owner, write_secret

PASSWORDS = ("DB_PASSWORD", "GRAFANA_ADMIN_PASSWORD", "GRAFANA_DB_PASSWORD")
NAMES = (*PASSWORDS, "GATEWAY_UID", "GATEWAY_GID")


def write_environment(path: Path) -> None:
    """Write a new file that only its owner may read; raises FileExistsError if it exists."""
    uid, gid = owner()
    values = {name: secrets.token_urlsafe(24) for name in PASSWORDS} | {"GATEWAY_UID": uid, "GATEWAY_GID": gid}
    lines = "".join(f"{name}={value}\n" for name, value in values.items())
    write_secret(
        path, f"# Settings of compose.yaml, created by `gateway certs make`. Keep them secret.\n{lines}".encode()
    )


def missing_in(path: Path) -> list[str]:
    """Return the names that compose.yaml needs and that are not in the file."""
    present = set(re.findall(r"^\s*(?:export\s+)?([A-Z_]+)\s*=\s*\S", path.read_text(encoding="utf-8"), re.MULTILINE))
    return [name for name in NAMES if name not in present]
