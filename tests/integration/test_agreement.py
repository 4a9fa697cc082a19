"""The live figures are those of the rows: by type of load, and of the whole network."""

import random
from datetime import UTC, datetime, timedelta

import pytest

from api.agreement import LASTING, Agreement
from api.queries.totals import fetch_totals
from runtime.database import Pool, create_pool
from schemas.network import NetworkTotals, Totals
from schemas.readings import Load, LoadSnapshot, Reading
from schemas.settings import DatabaseSettings
from schemas.status import OFFLINE, VenStatus
from streams.rules.totals import PartitionTotals
from streams.store.latest import said
from tests.support.readings import stores
