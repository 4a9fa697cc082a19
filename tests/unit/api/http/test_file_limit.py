"""The API may open as many files as its feed may have clients."""

import resource
from collections.abc import Iterator

import pytest

from api.http.file_limit import RESERVED_FILES, raise_file_limit


@pytest.fixture
def hard() -> Iterator[int]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    yield hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_the_soft_limit_is_raised_to_what_is_needed(hard: int) -> None:
    raise_file_limit(100)
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (100 + RESERVED_FILES, hard)
    raise_file_limit(50)
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (100 + RESERVED_FILES, hard)


def test_a_system_that_does_not_allow_it_is_told_of(hard: int, caplog: pytest.LogCaptureFixture) -> None:
    if hard == resource.RLIM_INFINITY:
        pytest.skip("this system allows any number of open files")
    raise_file_limit(hard)
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
    assert "API_FEED_CLIENTS" in caplog.text
