"""The origin check of an API that is open without authentication.

A browser sends requests of any page to any address. With authentication they are harmless, because no other page has
the bearer header. An open API would execute them as if the operator had sent them.
"""

from urllib.parse import urlsplit

from starlette.datastructures import Headers

from api.auth.permissions import SAFE_METHODS
from schemas.settings.access import is_loopback


def origin_rejection(method: str, headers: Headers, origins: list[str], address: str | None) -> str | None:
    """Return why a request is rejected, or None.

    `address` is the client's address if the API listens on loopback only, None if the API is open to all.
    """
    host = headers.get("host", "")
    on_loopback = address is not None
    # A proxy forwarded it to loopback; its clients may be anywhere.
    if address is not None and not is_loopback(address):
        return (
            "the API is open on loopback only, and a proxy forwarded this request "
            f"from {address or 'an unknown address'}; set API_AUTH=required and use a key"
        )
    # DNS rebinding: a name of another site may resolve to 127.0.0.1, and its pages could then read all responses.
    if on_loopback and host and not is_loopback(_host_name(host)):
        return (
            f"the API is open on loopback only, and {host!r} is not a loopback name; "
            "set API_AUTH=required and use a key"
        )
    origin = headers.get("origin")
    if method in SAFE_METHODS or origin is None or origin in origins:
        return None
    if origin.partition("://")[2] == host:
        return None
    return f"pages of {origin!r} may not change anything here; add it to API_CORS_ORIGINS if it is yours"


def _host_name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""  # not a valid host
