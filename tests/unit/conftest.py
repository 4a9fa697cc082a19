"""How much hypothesis tries in this suite; no deadline, for machines differ."""

from hypothesis import HealthCheck, settings

settings.register_profile("unit", max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unit")
