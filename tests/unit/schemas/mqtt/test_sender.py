"""Which VEN a message belongs to: one rule for the bridge and the parsers."""

import pytest

from schemas.base.rejection import Reason, RejectedError
from schemas.mqtt.routing import Kind
from schemas.mqtt.sender import check_sender, sender_of, ven_id_in_topic


@pytest.mark.parametrize(
    ("kind", "topic", "ven_id"),
    [
        (Kind.ACKS, "ven/ack/ven-1", "ven-1"),
        (Kind.ACKS, "ven/ack/", None),
        *((Kind.SHADOW, f"$aws/things/ven-1/shadow/{last}", "ven-1") for last in ("update", "get", "update/delta")),
        (Kind.SHADOW, "$aws/things", None),
        (Kind.SHADOW, "$aws/things//shadow/update", None),
        (Kind.METERING, "volttron/metering", None),
        (Kind.METERING, "ven/telemetry/ven-1", "ven-1"),
        (Kind.METERING, "oadr/meter/meter-7", None),
        (Kind.SHADOW, "site/ven-1/shadow/update", "ven-1"),
        (Kind.SHADOW, "shadow/ven-1/update", "ven-1"),
        (Kind.SHADOW, "shadow", None),
        (Kind.LOADS, "ven/loads/ven-1", "ven-1"),
        (Kind.STATUS, "volttron/dev", None),
        (Kind.OTHER, "site/weather", None),
        (Kind.ACKS, "ven/ack/" + "v" * 128, "v" * 128),
        (Kind.ACKS, "ven/ack/" + "v" * 129, None),
        (Kind.ACKS, "ven/ack/a\tb", None),
    ],
)
def test_the_ven_of_a_topic_is_read_where_the_topic_names_one(kind: Kind, topic: str, ven_id: str | None) -> None:
    assert ven_id_in_topic(kind, topic) == ven_id


@pytest.mark.parametrize(
    ("kind", "topic", "stated", "sender"),
    [
        (Kind.ACKS, "ven/ack/ven-1", "ven-2", "ven-1"),
        (Kind.SHADOW, "$aws/things/ven-1/shadow/update", "ven-2", "ven-1"),
        (Kind.METERING, "ven/telemetry/ven-1", "ven-2", "ven-2"),
        (Kind.METERING, "ven/telemetry/ven-1", None, "ven-1"),
        (Kind.METERING, "volttron/metering", "ven-2", "ven-2"),
        (Kind.METERING, "volttron/metering", None, None),
    ],
)
def test_the_topic_decides_for_acks_and_shadows_else_the_payload(
    kind: Kind, topic: str, stated: str | None, sender: str | None
) -> None:
    assert sender_of(kind, topic, lambda: stated) == sender


def test_the_payload_decides_where_the_topic_names_no_ven() -> None:
    assert sender_of(Kind.ACKS, "ven/ack/", lambda: "ven-2") == "ven-2"


@pytest.mark.parametrize("topic", ["ven/ack/ven-1", "ven/ack/" + "v" * 128 + "/" * 200])
@pytest.mark.parametrize("ven_id", [None, "ven-1"])
def test_a_payload_of_the_topics_ven_is_accepted(topic: str, ven_id: str | None) -> None:
    check_sender(Kind.ACKS, topic, ven_id)


def test_a_payload_of_another_ven_is_rejected() -> None:
    with pytest.raises(RejectedError) as caught:
        check_sender(Kind.METERING, "ven/telemetry/ven-1", "ven-2")
    assert caught.value.rejection.reason is Reason.ID_MISMATCH
