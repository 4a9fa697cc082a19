"""The identity of a worker in its consumer group, and how it adapts an assignment that was made before its restart.

A static member (`STREAMS_INSTANCE_ID`) that restarts gets its former assignment unchanged. Faust rejects one that names
another URL than its own, and its default URL is the host name, which changes with each container. aiokafka rejects one
with a topic that the worker no longer reads. And a topic that an upgrade added would have no partitions assigned.
"""

from collections.abc import Set as AbstractSet
from typing import Any
from uuid import uuid4

from aiokafka.coordinator.protocol import ConsumerProtocol
from faust.assignor.client_assignment import ClientMetadata
from faust.assignor.partition_assignor import PartitionAssignor
from yarl import URL


def worker_url(role: str, instance_id: str) -> URL:
    """Return the URL of a worker; without an instance id it is new at each start.

    Nothing listens there: workers do not call each other.
    """
    return URL.build(scheme="http", host=role, path=f"/{instance_id or uuid4().hex}")


class Assignor(PartitionAssignor):
    """Accepts assignments that name a former URL of this worker."""

    def on_assignment(self, assignment: Any) -> None:
        """Apply an assignment."""
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
        """Return the assignment without topics that are not read, and whether it covers all topics that are read."""
        decoded: Any = ConsumerProtocol.ASSIGNMENT.decode(assignment)
        metadata: Any = ClientMetadata.loads(self._decompress(decoded.user_data))
        former = {topic for topic, _ in decoded.assignment} - topics
        # `topic_groups` has the topics of the whole group: this worker need not have a partition of each.
        if not former and topics <= metadata.topic_groups.keys():
            return assignment, True
        decoded.assignment = [(topic, partitions) for topic, partitions in decoded.assignment if topic not in former]
        for partitions_of in (metadata.assignment.actives, metadata.assignment.standbys):
            for topic in former & partitions_of.keys():
                del partitions_of[topic]
        decoded.user_data = self._compress(metadata.dumps())
        return decoded.encode(), False
