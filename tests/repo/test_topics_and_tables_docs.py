"""docs/reference/topics-and-tables.md lists every topic and table, and none that does not exist."""

import re

from schemas.records.topics import DEAD_LETTER_SUFFIX, TOPICS
from schemas.tables import metadata
from tests.support.paths import ROOT

TEXT = (ROOT / "docs" / "reference" / "topics-and-tables.md").read_text()


def listed(section: str) -> list[str]:
    """The names in the first column of a section's table; a name that begins with a dot continues the first one."""
    rows = re.findall(r"^\| (`.+?) \|", TEXT.split(f"\n## {section}\n")[1].split("\n## ")[0], re.MULTILINE)
    found: list[str] = []
    for row in rows:
        first, *more = re.findall(r"`([^`]+)`", row)
        stem = first.rpartition(".")[0]
        found += [first, *(stem + name if name.startswith(".") else name for name in more)]
    return found


def test_documented_topics_equal_the_registry() -> None:
    names = {topic.name for topic in TOPICS if not topic.name.endswith(DEAD_LETTER_SUFFIX)}
    assert sorted(listed("Topics")) == sorted({*names, f"<topic>{DEAD_LETTER_SUFFIX}"})


def test_documented_tables_equal_the_schema() -> None:
    assert sorted(listed("Tables")) == sorted(metadata.tables)
