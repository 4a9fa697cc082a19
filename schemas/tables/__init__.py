"""The tables in PostgreSQL, as SQLAlchemy Core; migrations/ creates them, with their partitions.

Tables with a `time` are partitioned by day on it, their primary keys are the natural keys, and they have neither serial
ids nor foreign keys: a message that comes again meets its own row, and old days leave by dropping a partition.
"""

from schemas.tables import access, dead_letters, events, network, rollups, telemetry, vens
from schemas.tables.metadata import metadata

__all__ = ["access", "dead_letters", "events", "metadata", "network", "rollups", "telemetry", "vens"]
