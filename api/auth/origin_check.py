"""Pages of elsewhere, in the browser of somebody who may reach an API that asks nobody who they are.

A browser sends the requests of any page to any address. Where a bearer header is needed they do no harm, for no page
has it; where the API is open they would be as good as the operator's own.
"""

from urllib.parse import urlsplit

from starlette.datastructures import Headers

from api.auth.permissions import SAFE_METHODS
from schemas.settings.access import is_loopback


def origin_refusal(method: str, headers: Headers, origins: list[str], address: str | None) -> str | None:
    """Say why a request is none of the operator's; None where it may be.

    `address` is where it comes from, for an API that only this machine reaches; None for one that is open to all.
    """
    host = headers.get("host", "")
    on_loopback = address is not None
    # It reached loopback through a proxy, behind which may be the whole world.
    if address is not None and not is_loopback(address):
        return (
            f"the API is open on loopback only, and a proxy asks for {address or 'somebody'}; "
            "set API_AUTH=required, and use a key"
        )
    # A name of somebody's own may lead to 127.0.0.1 (DNS rebinding), and then its pages could read all answers.
    if on_loopback and host and not is_loopback(_name(host)):
        return f"the API is open on loopback only, and {host!r} is no name of it; set API_AUTH=required, and use a key"
    origin = headers.get("origin")
    if method in SAFE_METHODS or origin is None or origin in origins:
        return None
    if origin.partition("://")[2] == host:
        return None
    return f"a page of {origin!r} may change nothing here; name it in API_CORS_ORIGINS if it is yours"


def _name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""  # no address at all
