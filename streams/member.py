"""Who a worker is to its consumer group: a URL of its own that stays when its machine is called otherwise.

Faust has every worker's URL in the group's assignment and takes none that names another. Its default is the host name;
but a static member that comes back under another host name, as every new container does, gets the assignment of before.
"""

from typing import Any
from uuid import uuid4

from faust.assignor.client_assignment import ClientMetadata
from faust.assignor.partition_assignor import PartitionAssignor
from yarl import URL


def worker_url(role: str, instance_id: str) -> URL:
    """Return a worker's URL; without an instance id it is another at each start, as its membership is.

    Nothing listens there: workers do not ask one another.
    """
    return URL.build(scheme="http", host=role, path=f"/{instance_id or uuid4().hex}")


class Assignor(PartitionAssignor):
    """Takes also what the group assigned to this worker while it had another URL."""

    def on_assignment(self, assignment: Any) -> None:
        """Take what was assigned."""
        metadata: Any = ClientMetadata.loads(self._decompress(assignment.user_data))
        former, own = metadata.url, str(self._url)
        if former != own:
            metadata.url = own
            for distribution in (metadata.changelog_distribution, metadata.external_topic_distribution):
                if former in distribution:
                    distribution[own] = distribution.pop(former)
            assignment.user_data = self._compress(metadata.dumps())
        super().on_assignment(assignment)
