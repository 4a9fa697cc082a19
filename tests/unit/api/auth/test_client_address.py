"""Whose limit a request counts against."""

import pytest

from api.auth.client_address import rate_limit_key


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("", ""),
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:0:1:2:3:4:5", "2001:db8:0:1::/64"),
        ("2001:db8:0:1::", "2001:db8:0:1::/64"),
        ("::1", "::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
    ],
)
def test_a_home_is_limited_as_one_whatever_address_it_takes(address: str, name: str) -> None:
    assert rate_limit_key(address) == name
