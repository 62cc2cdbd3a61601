"""Segment's own libraries, unmodified, pointed at the door: every event arrives once."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from segment.analytics.client import Client

from integrations.demo import BUILD
from tests.e2e.world import Arrivals

NODE = Path(__file__).parent / "node"
pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_every_event_of_the_python_library_arrives_once(world, packed):
    lost = []
    shop = Client(world.write_key, host=world.door, gzip=packed, on_error=lambda error, items: lost.append(error))
    run = f"python-{packed}"
    arrivals = Arrivals(world, run)

    for n in range(5_000):
        shop.track(f"customer-{n}", "Product Viewed", {"run": run, "n": n, "price": 119.0, "currency": "EUR"})
    shop.shutdown()
    arrivals.wait_for(5_000)

    assert lost == []
    assert sorted(arrivals.by_n) == list(range(5_000))
    assert {len(ids) for ids in arrivals.by_n.values()} == {1}


@pytest.mark.node
def test_every_event_of_the_node_library_arrives_once(world):
    library = BUILD / "e2e-node"
    library.mkdir(parents=True, exist_ok=True)
    for file in ("package.json", "package-lock.json", "send.mjs"):
        shutil.copy(NODE / file, library)
    subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=library, check=True)
    arrivals = Arrivals(world, "node")

    command = ["node", "send.mjs", world.door, world.write_key, "10000", "node"]
    sent = subprocess.run(command, cwd=library, check=True, capture_output=True, text=True)
    arrivals.wait_for(10_000)

    assert json.loads(sent.stdout) == {"refused": []}
    assert sorted(arrivals.by_n) == list(range(10_000))
    assert {len(ids) for ids in arrivals.by_n.values()} == {1}
