"""Fixtures for tests of files in the repository."""

from pathlib import Path

import pytest

from tests.support.compose import settings_fields


@pytest.fixture
def default_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Hide the settings of this machine: its environment and its `.env` file."""
    monkeypatch.chdir(tmp_path)
    for name in settings_fields():
        monkeypatch.delenv(name, raising=False)
