"""The process's limit of open files. Each connection is an open file, and many systems allow only 1,024."""

import logging
import resource

logger = logging.getLogger(__name__)

RESERVED_FILES = 1000
"""For requests other than the live feed, PostgreSQL, Kafka and the files of the page."""


def raise_file_limit(feed_clients: int) -> None:
    """Allow this process enough open files for `feed_clients`; log a warning if the system does not permit it.

    Without free files the process cannot accept any connection, of the live feed or another.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = feed_clients + RESERVED_FILES
    if _allows(soft, needed):
        return
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed if _allows(hard, needed) else hard, hard))
    if not _allows(hard, needed):
        logger.warning(
            "%d clients of the live feed (API_FEED_CLIENTS) need %d open files, but the system allows %d; "
            "raise its limit (ulimit -Hn) or lower API_FEED_CLIENTS",
            feed_clients,
            needed,
            hard,
            extra={"action": "open_files_limited"},
        )


def _allows(limit: int, needed: int) -> bool:
    return limit == resource.RLIM_INFINITY or limit >= needed
