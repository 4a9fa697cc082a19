"""docs/reference/dead-letters.md names every reason and every state, and none that does not exist."""

import re

from schemas.base.rejection import Reason
from schemas.parsing.common import MAX_DEPTH, MAX_PAYLOAD_BYTES
from schemas.records.dead_letters import DeadLetterState
from tests.support.paths import ROOT

TEXT = (ROOT / "docs" / "reference" / "dead-letters.md").read_text()


def codes(section: str) -> list[str]:
    part = TEXT.split(f"\n## {section}\n")[1].split("\n## ")[0]
    return re.findall(r"^\| `(\w+)` \| \S", part, re.MULTILINE)


def test_every_reason_is_documented() -> None:
    assert codes("Reasons") == list(Reason)


def test_every_state_is_documented() -> None:
    assert codes("States") == list(DeadLetterState)


def test_the_limits_are_those_of_the_code() -> None:
    assert f"{MAX_DEPTH} levels" in TEXT
    assert f"{MAX_PAYLOAD_BYTES // 1024} KiB" in TEXT
