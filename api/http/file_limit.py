"""How many connections the process may have: each is an open file, and many systems let a process have 1,024."""

import logging
import resource

logger = logging.getLogger(__name__)

RESERVED_FILES = 1000
"""For requests beside the feed, PostgreSQL, Kafka and the files of the page."""


def raise_file_limit(clients: int) -> None:
    """Allow this process to have so many clients of the feed; where the system does not, say so.

    Without files left no request is answered: not those of the feed, nor any other.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = clients + RESERVED_FILES
    if _enough(soft, wanted):
        return
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted if _enough(hard, wanted) else hard, hard))
    if not _enough(hard, wanted):
        logger.warning(
            "%d clients of the feed (API_FEED_CLIENTS) need %d open files, and the system allows %d; "
            "raise its limit (ulimit -Hn) or lower API_FEED_CLIENTS",
            clients,
            wanted,
            hard,
            extra={"action": "few_open_files"},
        )


def _enough(limit: int, wanted: int) -> bool:
    return limit == resource.RLIM_INFINITY or limit >= wanted
