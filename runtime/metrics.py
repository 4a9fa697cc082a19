"""All Prometheus metrics of the gateway, in one registry for each process.

Counting costs nothing per message: batches are counted as a whole, and code that handles single messages keeps plain
integers that a `CallbackMetric` reads when Prometheus collects. Labels have few values, known beforehand, and never a
VEN id. docs/reference/metrics.md says what each metric means.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import product

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
"""The text format that every version of Prometheus reads."""

REGISTRY = CollectorRegistry()

Family = CounterMetricFamily | GaugeMetricFamily
Values = Callable[[], Mapping[tuple[str, ...], float]]
"""Returns the current values of a metric by its label values; by () if it has no labels."""


class CallbackMetric(Collector):
    """A metric whose values come from callbacks when Prometheus collects.

    Without a callback the process does not report the metric: a stream role does not report 0 MQTT messages in flight.
    """

    def __init__(self, family: type[Family], name: str, meaning: str, labels: tuple[str, ...] = ()) -> None:
        self._family = family
        self._name = name
        self._meaning = meaning
        self._labels = labels
        self._sources: list[Values] = []
        REGISTRY.register(self)

    @contextmanager
    def reporting(self, values: Values) -> Iterator[None]:
        """Report what `values` returns, inside the context."""
        self._sources.append(values)
        try:
            yield
        finally:
            self._sources.remove(values)

    def describe(self) -> Iterable[Family]:
        """Return the metric without values; the registry uses it to refuse a name that exists."""
        return [self._family(self._name, self._meaning, labels=self._labels)]

    def collect(self) -> Iterable[Family]:
        """Return the metric with its values."""
        if not self._sources:
            return
        family = self._family(self._name, self._meaning, labels=self._labels)
        for values in self._sources:
            for labels, value in values().items():
                family.add_metric(labels, value)
        yield family


def exposition() -> bytes:
    """Return all metrics of this process as text, of the type CONTENT_TYPE."""
    return generate_latest(REGISTRY)


def declare_series(metric: Counter, *values: Iterable[str]) -> None:
    """Start the series of all combinations of label values at 0.

    Prometheus sees no increase in a series that starts with its first count, so an alert would miss it.
    """
    for labels in product(*values):
        metric.labels(*labels)


# The *_created series double what Prometheus stores, and nothing uses them.
disable_created_metrics()  # type: ignore[no-untyped-call]

# CPU, memory and open files under their standard names, such as process_cpu_seconds_total.
ProcessCollector(registry=REGISTRY)

# All processes, if they use TLS.
CERTIFICATE_EXPIRES = Gauge(
    "gateway_certificate_expires_timestamp_seconds",
    "When a certificate of ours expires, as last read, in seconds since 1970; by the setting that names it",
    ["setting"],
    registry=REGISTRY,
)

# Bridge and stream roles.
CHECK = CallbackMetric(
    GaugeMetricFamily, "gateway_check", "1 while this check of /health/ready passes, 0 while it fails", ("name",)
)
ALARM = CallbackMetric(GaugeMetricFamily, "gateway_alarm", "1 while this alarm is on, else 0", ("name",))
DEAD_LETTERS = Counter(
    "gateway_dead_letters",
    "Dead letters published, by source topic; each rejected load is one",
    ["topic", "reason"],
    registry=REGISTRY,
)

# Bridge.
MESSAGES_RECEIVED = CallbackMetric(
    CounterMetricFamily, "gateway_messages_received", "MQTT messages received, including redelivered ones", ("kind",)
)
MESSAGES_UNACKNOWLEDGED = CallbackMetric(
    GaugeMetricFamily, "gateway_messages_unacknowledged", "MQTT messages received that Kafka has not acknowledged yet"
)
OLDEST_UNACKNOWLEDGED = CallbackMetric(
    GaugeMetricFamily,
    "gateway_oldest_unacknowledged_seconds",
    "Age of the oldest MQTT message that Kafka has not acknowledged yet; 0 if there is none",
)
COMMANDS_SENT = Counter(
    "gateway_commands_sent", "Commands that the MQTT broker acknowledged", ["op"], registry=REGISTRY
)
COMMANDS_EXPIRED = Counter(
    "gateway_commands_expired", "Commands that were not sent: too late, withdrawn or too large", registry=REGISTRY
)
COMMANDS_DELIVERY_UNKNOWN = Counter(
    "gateway_commands_delivery_unknown",
    "Commands whose PUBACK did not arrive; an echo shows later whether the MQTT broker has them",
    registry=REGISTRY,
)
COMMANDS_IN_FLIGHT = CallbackMetric(
    GaugeMetricFamily,
    "gateway_commands_in_flight",
    "Commands sent to the MQTT broker that it has not acknowledged yet",
)

# Stream roles.
RECORDS_PROCESSED = Counter(
    "gateway_records_processed", "Records whose batch is finished", ["role", "topic"], registry=REGISTRY
)
BATCH_RECORDS = Histogram(
    "gateway_batch_records",
    "Records per batch",
    ["role"],
    buckets=(1, 3, 10, 30, 100, 300, 1000, 2000, 4000, 8000),
    registry=REGISTRY,
)
BATCH_SECONDS = Histogram(
    "gateway_batch_seconds",
    "Processing time of a batch, in seconds, including waits for Kafka and PostgreSQL",
    ["role"],
    buckets=(0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100),
    registry=REGISTRY,
)
OLDEST_UNFINISHED = CallbackMetric(
    GaugeMetricFamily,
    "gateway_oldest_unfinished_seconds",
    "Age in Kafka of the oldest record in progress; 0 if there is none",
    ("role",),
)
ROWS_STORED = Counter(
    "gateway_rows_stored", "New rows committed; duplicates are not counted", ["table"], registry=REGISTRY
)
COMMAND_STEPS = Counter(
    "gateway_command_steps",
    "Steps of commands, by kind of command: event, restore or operator",
    ["kind", "step"],
    registry=REGISTRY,
)
STEPS = (
    "logged",
    "acknowledged",
    "refused",
    "reported",
    "lost",
    "restored",
    "repeated",
    "unanswered",
    "expired",
)
ACK_SECONDS = Histogram(
    "gateway_ack_seconds",
    "Time from the decision to send a command to its first ack, in seconds",
    ["kind"],
    buckets=(0.1, 0.3, 0.6, 1, 2, 3, 6, 10, 30, 60, 300),
    registry=REGISTRY,
)
ACKS = Counter(
    "gateway_acks",
    "Acks stored, by how their command was found: correlation id, event and VEN, or not at all",
    ["match"],
    registry=REGISTRY,
)
DEAD_LETTER_RATIO = CallbackMetric(
    GaugeMetricFamily,
    "gateway_dead_letter_ratio",
    "Share of the last minute's records that became dead letters, 0 to 1",
)

# API.
HTTP_REQUEST_SECONDS = Histogram(
    "gateway_http_request_seconds",
    "Time from a request to the end of its response, in seconds",
    ["method", "route", "status"],
    buckets=(0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10),
    registry=REGISTRY,
)
LIVE_DIFFERENCE = CallbackMetric(
    GaugeMetricFamily,
    "gateway_live_difference",
    "Live totals minus the same totals computed from PostgreSQL, in kW or VENs",
    ("figure",),
)
LIVE_DIFFERENCE_RATIO = CallbackMetric(
    GaugeMetricFamily,
    "gateway_live_difference_ratio",
    "The difference relative to the larger of the two, -1 to 1",
    ("figure",),
)
CONSUMER_LAG = CallbackMetric(
    GaugeMetricFamily,
    "gateway_consumer_lag_records",
    "Records that a consumer group has not committed yet; `downlink` is the bridge",
    ("role", "topic", "partition"),
)
NEWEST_READING_AGE = CallbackMetric(
    GaugeMetricFamily,
    "gateway_newest_reading_age_seconds",
    "Time since the newest stored reading was received from MQTT",
)
LIVE_TOTALS_AGE = CallbackMetric(GaugeMetricFamily, "gateway_live_totals_age_seconds", "Age of the live totals")
FEED_CLIENTS = CallbackMetric(GaugeMetricFamily, "gateway_feed_clients", "Clients connected to the live feed")
FEED_ITEMS = Counter("gateway_feed_items", "Messages of the live feed, each counted once", ["kind"], registry=REGISTRY)
FEED_CLIENTS_CUT_OFF = Counter(
    "gateway_feed_clients_cut_off",
    "Clients of the live feed that were disconnected because they did not read",
    registry=REGISTRY,
)
