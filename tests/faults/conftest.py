"""The systems that faults come over, one running at a time, and the table of what came of it."""

import os
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from gateway.local.system import System
from tests.faults.fault_run import FaultRunner
from tests.faults.results import Result, as_markdown, as_text
from tests.faults.systems import KINDS

RESULTS = pytest.StashKey[list[Result]]()
SEED = int(os.environ.get("FAULT_SEED", "20261124"))


def pytest_configure(config: pytest.Config) -> None:
    config.stash[RESULTS] = []


@pytest_asyncio.fixture(scope="session")
async def system(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    """A system of the kind that the test's mark names; tests of one kind share it, and are run one after another."""
    async with KINDS[request.param](tmp_path_factory.mktemp(request.param)) as running:
        yield running


@pytest.fixture
def fault_runner(system: System, pytestconfig: pytest.Config) -> FaultRunner:
    return FaultRunner(system, pytestconfig.stash[RESULTS], SEED, pytestconfig.getoption("--faults-full"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    results = config.stash[RESULTS]
    if not results:
        return
    terminalreporter.section(f"faults (FAULT_SEED={SEED})")
    for line in as_text(results):
        terminalreporter.write_line(line)
    if file := config.getoption("--faults-report"):
        file.write_text(as_markdown(results), encoding="utf-8")
