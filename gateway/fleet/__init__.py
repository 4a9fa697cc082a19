"""The simulated fleet of homes (VENs), the replay of recordings, and malformed payloads for tests."""

from gateway.fleet.behaviours import FIELD_MIX, Behaviour, Generation
from gateway.fleet.dr_ledger import DrLedger, ReceivedCommand, ReportedSample, SentAck
from gateway.fleet.fleet import Fleet, publishing
from gateway.fleet.options import FleetOptions
from gateway.fleet.publish_ledger import PublishLedger, Sample
from gateway.fleet.publisher import BrokerRefusedError
from gateway.fleet.replay import ReplayResult, replay

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
