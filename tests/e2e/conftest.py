"""One world for all of these tests: processes are dear."""

import pytest

from tests.e2e.world import World


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    world = World(tmp_path_factory.mktemp("e2e"))
    try:
        world.open()
        yield world
    finally:
        world.close()
