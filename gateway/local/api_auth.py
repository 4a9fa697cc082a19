"""An API that the command which runs it asks itself: it has neither a key nor a token."""

import os
from collections.abc import Callable

from schemas.base.errors import GatewayError
from schemas.settings.access import AccessSettings, is_loopback


def local_api_settings(tell: Callable[[str], None]) -> dict[str, str]:
    """Return the settings with which it is; says so where others ask for tokens, as `.env` may for another API.

    Raises:
        GatewayError: somebody wants it closed, or open to others than this machine.
    """
    host = os.environ.get("API_HOST") or "127.0.0.1"
    access = AccessSettings.load()
    if access.is_open(host):
        return {}
    if access.api_auth == "required":
        raise GatewayError("this command asks its own API without a key; set API_AUTH=auto for it")
    if not is_loopback(host):
        raise GatewayError(
            f"this command asks its own API without a key, and on {host} that needs one; set API_HOST=127.0.0.1 for it"
        )
    tell("API_OIDC_ISSUER is passed over: the API is open to everybody on this machine, as the command itself asks it")
    return {"API_AUTH": "open"}
