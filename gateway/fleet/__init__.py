"""A simulated fleet of homes (VENs), a replayer of recordings, and garbage: what the gateway is tried against."""

from gateway.fleet.behaviours import FIELD_MIX, Behaviour, Generation
from gateway.fleet.fleet import Fleet, publishing
from gateway.fleet.options import FleetOptions
from gateway.fleet.publisher import BrokerRefusedError
from gateway.fleet.replay import ReplayResult, replay
from gateway.reconciliation.dr_ledger import DrLedger, ReceivedCommand, ReportedSample, SentAck
from gateway.reconciliation.publish_ledger import PublishLedger, Sample

__all__ = [
    "FIELD_MIX",
    "Behaviour",
    "BrokerRefusedError",
    "DrLedger",
    "Fleet",
    "FleetOptions",
    "Generation",
    "PublishLedger",
    "ReceivedCommand",
    "ReplayResult",
    "ReportedSample",
    "Sample",
    "SentAck",
    "publishing",
    "replay",
]
