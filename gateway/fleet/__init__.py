"""A simulated fleet of homes (VENs), a replayer of recordings, and garbage: what the gateway is tried against."""

from gateway.fleet.behaviours import SOME_MISBEHAVE, Generation, Manner
from gateway.fleet.fleet import Fleet, publishing
from gateway.fleet.options import FleetOptions
from gateway.fleet.publisher import BrokerRefusedError
from gateway.fleet.replay import ReplayResult, replay
from gateway.reconciliation.dr_ledger import Answered, DrLedger, Received, Reported
from gateway.reconciliation.publish_ledger import Accepted, Sample

__all__ = [
    "SOME_MISBEHAVE",
    "Accepted",
    "Answered",
    "BrokerRefusedError",
    "DrLedger",
    "Fleet",
    "FleetOptions",
    "Generation",
    "Manner",
    "Received",
    "ReplayResult",
    "Reported",
    "Sample",
    "publishing",
    "replay",
]
