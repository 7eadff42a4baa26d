"""What holds for all tests."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# No test is judged by how long it takes, as machines differ: neither by what it runs nor by how its inputs are made.
# Fixtures of properties are made once for all examples, which suits them.
settings.register_profile(
    "patient", deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
settings.load_profile("patient")
