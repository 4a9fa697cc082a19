"""Where a request comes from: what the audit shows, and whose limit it counts against."""

from ipaddress import IPv6Address, IPv6Network, ip_address

from fastapi import Request

_HOME_BITS = 64
"""Of an IPv6 address: whoever has one has all that begin like it."""


def client_address(request: Request) -> str:
    """Return the client's address; empty where it is none, for a proxy says what it likes."""
    given = request.client.host if request.client else ""
    try:
        ip_address(given)
    except ValueError:
        return ""
    return given


def rate_limit_key(address: str) -> str:
    """Return under which name an address is limited: a home may take another IPv6 address for each request."""
    if ":" not in address:
        return address
    found = IPv6Address(address)
    return str(found.ipv4_mapped or IPv6Network((int(found), _HOME_BITS), strict=False))
