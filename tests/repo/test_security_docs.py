"""docs/explanation/security.md names tests that there are."""

import re

from tests.support.paths import ROOT

NAMED = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")


def test_every_named_test_exists() -> None:
    named = NAMED.findall((ROOT / "docs" / "explanation" / "security.md").read_text())
    assert len(named) > 20
    for file, test in named:
        text = (ROOT / file).read_text()
        assert not test or f"def {test}(" in text, (file, test)
