"""Who a worker is to its consumer group, and what it does with an assignment that was made for the worker before it.

A static member (`STREAMS_INSTANCE_ID`) that comes back gets its former assignment, as it was. Faust takes none that
names another URL than its own, by default the host name, which every new container changes. aiokafka takes none with a
topic that the worker no longer reads. And of a topic that the worker reads since an upgrade it would have no partition.
"""

from collections.abc import Set as AbstractSet
from typing import Any
from uuid import uuid4

from aiokafka.coordinator.protocol import ConsumerProtocol
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

    def fitted(self, assignment: bytes, topics: AbstractSet[str]) -> tuple[bytes, bool]:
        """Return an assignment without topics that are not read, and whether it was made for exactly those that are."""
        decoded: Any = ConsumerProtocol.ASSIGNMENT.decode(assignment)
        metadata: Any = ClientMetadata.loads(self._decompress(decoded.user_data))
        former = {topic for topic, _ in decoded.assignment} - topics
        # The topics of the whole group: of one that others read, too, this worker may have no partition.
        if not former and topics <= metadata.topic_groups.keys():
            return assignment, True
        decoded.assignment = [(topic, partitions) for topic, partitions in decoded.assignment if topic not in former]
        for partitions_of in (metadata.assignment.actives, metadata.assignment.standbys):
            for topic in former & partitions_of.keys():
                del partitions_of[topic]
        decoded.user_data = self._compress(metadata.dumps())
        return decoded.encode(), False
