"""When the homes publish, and the options that a fleet accepts."""

from collections import Counter
from dataclasses import replace
from itertools import islice
from typing import Any

import pytest

from gateway.fleet import FleetOptions
from gateway.fleet.schedule import slots


@pytest.mark.parametrize("interval", [5.0, 1.1, 0.25])
def test_slots_are_even_and_in_order(interval: float) -> None:
    options = FleetOptions(host="", port=1, vens=50, interval=interval, loads_interval=3 * interval)
    some = list(islice(slots(options), 2000))
    assert [slot.offset_ms for slot in some] == sorted(slot.offset_ms for slot in some)
    samples = [slot for slot in some if not slot.snapshot]
    assert len({(slot.ven, slot.offset_ms) for slot in samples}) == len(samples)
    per_tenth = Counter(slot.offset_ms * 10 // options.interval_ms for slot in samples if slot.offset_ms < 10_000)
    assert max(per_tenth.values()) - min(list(per_tenth.values())[:-1]) <= 1
    assert sum(slot.snapshot for slot in some) == pytest.approx(500, abs=60)


@pytest.mark.parametrize("wrong", [{"vens": 0}, {"connections": 0}, {"interval": 0.0}, {"rate": 0.0}])
def test_impossible_options_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"at least|above 0"):
        replace(FleetOptions(host="", port=1), **wrong)
