"""Records of ven.commands: anything that is no command is rejected with a reason."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.downlink.command_decoder import decode_command
from schemas.base.rejection import Reason, RejectedError


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"", Reason.EMPTY),
        (b"x", Reason.NOT_JSON),
        (b'{"correlationId":"\xed\xa0\x80"}', Reason.NOT_JSON),
        (b'{"payload":' + b'{"x":' * 100_000, Reason.TOO_DEEP),
        (b"[]", Reason.BAD_VALUE),
        (b"{}", Reason.BAD_VALUE),
    ],
)
def test_a_malformed_record_is_rejected_with_its_reason(value: bytes, reason: Reason) -> None:
    with pytest.raises(RejectedError) as raised:
        decode_command(value)
    assert raised.value.rejection.reason is reason


@given(st.binary() | st.text().map(str.encode))
def test_any_other_bytes_are_rejected(value: bytes) -> None:
    with pytest.raises(RejectedError):
        decode_command(value)
