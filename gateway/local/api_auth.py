"""API access for commands that run their own API and query it without a key or token."""

import os
from collections.abc import Callable

from schemas.base.errors import GatewayError
from schemas.settings.access import AccessSettings, is_loopback


def local_api_settings(progress: Callable[[str], None]) -> dict[str, str]:
    """Return the settings that open the API on this machine; report when that overrides an OIDC issuer.

    Raises:
        GatewayError: the settings require authentication, or an address that is reachable from other machines.
    """
    host = os.environ.get("API_HOST") or "127.0.0.1"
    access = AccessSettings.load()
    if access.is_open(host):
        return {}
    if access.api_auth == "required":
        raise GatewayError("this command queries its own API without a key; set API_AUTH=auto for it")
    if not is_loopback(host):
        raise GatewayError(
            f"this command queries its own API without a key, but {host} requires one; set API_HOST=127.0.0.1 for it"
        )
    progress("API_OIDC_ISSUER is ignored: this command queries its own API, which is open to everybody on this machine")
    return {"API_AUTH": "open"}
