"""The address of a client, for the audit and for rate limits."""

from ipaddress import IPv6Address, IPv6Network, ip_address

from fastapi import Request

_SITE_PREFIX_BITS = 64
"""A client can use any IPv6 address with the same prefix."""


def client_address(request: Request) -> str:
    """Return the client's address; empty if a proxy reported something that is not an address."""
    given = request.client.host if request.client else ""
    try:
        ip_address(given)
    except ValueError:
        return ""
    return given


def rate_limit_key(address: str) -> str:
    """Return the key under which an address is rate-limited: for IPv6, its network."""
    if ":" not in address:
        return address
    parsed = IPv6Address(address)
    return str(parsed.ipv4_mapped or IPv6Network((int(parsed), _SITE_PREFIX_BITS), strict=False))
