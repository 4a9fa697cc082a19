"""`gateway deadletters` with the settings of the test database."""

from pathlib import Path

import pytest

from schemas.settings.blocks import DatabaseSettings
from tests.integration.gateway.deadletters.command import (
    DeadLettersCommand,
)


@pytest.fixture
def gateway(database: DatabaseSettings, tmp_path: Path) -> DeadLettersCommand:
    return DeadLettersCommand(database, tmp_path)
