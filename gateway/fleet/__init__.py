"""A simulated fleet of homes (VENs), a replayer of recordings, and garbage: what the gateway is tried against."""

from gateway.fleet.accepted import Accepted, Sample
from gateway.fleet.fleet import Fleet
from gateway.fleet.options import FleetOptions
from gateway.fleet.publisher import BrokerRefusedError
from gateway.fleet.replay import ReplayResult, replay

__all__ = ["Accepted", "BrokerRefusedError", "Fleet", "FleetOptions", "ReplayResult", "Sample", "replay"]
