"""What holds for every test."""

from hypothesis import settings

# a slow machine is no failure: timings stand in benchmarks/
settings.register_profile("quantrial")
settings.load_profile("quantrial")
