"""What every test with a database stands on: the log's days, as a worker would have made them."""

import pytest

from logs import partitions


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup, django_db_blocker):
    with django_db_blocker.unblock():
        partitions.ensure()
