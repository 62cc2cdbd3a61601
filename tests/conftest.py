"""What every test stands on: the log's days, as a worker would have made them, and patience."""

import pytest
from hypothesis import HealthCheck, settings

from logs import partitions

# Times are judged in the bench, never in tests: a busy machine must not fail them.
settings.register_profile("ours", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ours")


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup, django_db_blocker):
    with django_db_blocker.unblock():
        partitions.ensure()
