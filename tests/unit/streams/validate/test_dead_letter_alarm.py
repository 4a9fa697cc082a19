"""The alarm tells its rise and its fall once each."""

import logging

import pytest

from schemas.settings.blocks import StreamsSettings
from streams.validate.dead_letter_alarm import DeadLetterAlarm

SETTINGS = StreamsSettings(dead_letter_alarm_share=0.1, dead_letter_alarm_minimum=5)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def logged(caplog: pytest.LogCaptureFixture) -> list[tuple[int, str]]:
    return [
        (record.levelno, getattr(record, "action", ""))
        for record in caplog.records
        if record.name == "streams.validate.dead_letter_alarm"
    ]


def test_begin_and_end_are_logged_once_each(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    clock = Clock()
    alarm = DeadLetterAlarm(SETTINGS, clock)
    assert not alarm.check()
    alarm.count(records=40, dead_letters=4)
    assert logged(caplog) == []
    for _ in range(3):
        alarm.count(records=2, dead_letters=2)
        assert alarm.check()
        clock.now += 1
    assert logged(caplog) == [(logging.WARNING, "dead_letter_rate_high")]
    # What was wrong when it began, and what to do.
    assert "14 %" in caplog.text
    assert "gateway deadletters list" in caplog.text
    clock.now += 60
    assert not alarm.check()
    assert not alarm.check()
    assert logged(caplog)[1:] == [(logging.INFO, "dead_letter_rate_normal")]
    alarm.count(records=5, dead_letters=5)
    assert logged(caplog)[2:] == [(logging.WARNING, "dead_letter_rate_high")]


def test_alarm_ends_when_enough_good_records_arrive(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    alarm = DeadLetterAlarm(SETTINGS, Clock())
    alarm.count(records=5, dead_letters=5)
    assert alarm.check()
    assert alarm.share() == 1
    alarm.count(records=95, dead_letters=0)
    assert not alarm.check()
    assert alarm.share() == 0.05
    assert [action for _, action in logged(caplog)] == ["dead_letter_rate_high", "dead_letter_rate_normal"]
