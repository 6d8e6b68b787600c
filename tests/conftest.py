"""What holds for every test."""

from hypothesis import HealthCheck, settings

# a slow machine is no failure: timings stand in benchmarks/
settings.register_profile("quantrial", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("quantrial")
