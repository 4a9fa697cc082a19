"""Creates the Faust app of a stream role."""

from typing import Any

import mode
from faust.auth import SASLCredentials, SSLCredentials
from yarl import URL

from runtime.kafka_security import kafka_tls_context
from schemas.settings.blocks import KafkaSettings, StreamsSettings
from streams.engine.batch_app import BatchApp
from streams.engine.consumer_thread import FETCH_PARTITION_BYTES
from streams.engine.group_member import Assignor, worker_url

# How much longer than a session a JoinGroup request may take.
_JOIN_SECONDS = 5


def make_app(role: str, kafka: KafkaSettings, streams: StreamsSettings) -> Any:
    """Create the app of a role; its id is the consumer group."""
    app = BatchApp(
        f"{kafka.kafka_topic_prefix}gateway-{role}",
        broker=[URL(f"kafka://{server.strip()}") for server in kafka.kafka_bootstrap_servers.split(",")],
        broker_credentials=_credentials(kafka),
        store="memory://",
        autodiscover=False,
        web_enabled=False,
        topic_disable_leader=True,
        topic_replication_factor=kafka.kafka_replication,
        consumer_auto_offset_reset="earliest",
        consumer_group_instance_id=streams.streams_instance_id or None,
        canonical_url=worker_url(role, streams.streams_instance_id),
        PartitionAssignor=Assignor,
        broker_commit_interval=1.0,
        broker_session_timeout=streams.streams_session_timeout,
        # A worker that misses a rebalance has lost its session anyway; so joining never exceeds the request timeout.
        # By default a dead connection would be noticed after 90 s.
        broker_rebalance_timeout=streams.streams_session_timeout,
        broker_request_timeout=max(kafka.kafka_timeout, streams.streams_session_timeout + _JOIN_SECONDS),
        # For changelogs. The default is 20 minutes, during which nothing would be committed.
        producer_request_timeout=kafka.kafka_timeout,
        broker_heartbeat_interval=min(3.0, streams.streams_session_timeout / 3),
        broker_max_poll_records=1000,
        consumer_max_fetch_size=FETCH_PARTITION_BYTES,
        # Counts batches, each at most broker_max_poll_records and one fetch of a partition.
        stream_buffer_maxsize=16,
        # Batches that are unfinished at a rebalance are redelivered elsewhere, so there is nothing to wait for.
        stream_wait_empty=False,
        # Agents handle all recoverable errors. Others end the process; its successor starts from the last commit.
        agent_supervisor=mode.CrashingSupervisor,
    )
    app.role = role
    return app


def _credentials(kafka: KafkaSettings) -> SASLCredentials | SSLCredentials | None:
    """Return the Kafka credentials for Faust, as `security_options` does for aiokafka."""
    context = kafka_tls_context(kafka)
    if kafka.kafka_security_protocol.startswith("SASL"):
        return SASLCredentials(
            username=kafka.kafka_sasl_username,
            password=kafka.kafka_sasl_password.get_secret_value(),
            mechanism=kafka.kafka_sasl_mechanism,
            ssl_context=context,
        )
    return None if context is None else SSLCredentials(context)
