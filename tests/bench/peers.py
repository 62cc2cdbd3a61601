"""Deliveries to vendors beside Segment's published destinations, with the same mappings, at the same sandbox.

Ours are durable and logged: a lane that was filled while the workers stood still is emptied. Segment's destinations
take their events from memory and keep nothing.
"""

from dataclasses import dataclass
from typing import Any

from tests.bench import vendors
from tests.bench.events import KINDS
from tests.bench.figures import Found, Size, compared, drain
from tests.bench.node import Node, node
from tests.bench.stage import Stage, Took, stage

WARM = 200


@dataclass(frozen=True)
class Work:
    """Events of one kind, by one mapping, to one vendor; `source` is ours for them."""

    source: str
    vendor: str
    settings: dict[str, str]
    mapping: dict[str, Any]
    kind: str


ANTAVO = {"stack": vendors.STACK, "api_key": vendors.ANTAVO_KEY}
QUALTRICS = {"apiToken": vendors.QUALTRICS_TOKEN, "datacenter": "iad1"}
LOYALTY = Work("antavo", "antavo", ANTAVO, vendors.LOYALTY, "product")
CONTACT = Work("contacts", "qualtrics", QUALTRICS, vendors.CONTACT, "identify")
TRANSACTION = Work("transactions", "qualtrics", QUALTRICS, vendors.TRANSACTION, "transaction")


def to_antavo_vs_node(size: Size) -> Found:
    """Loyalty events a second."""
    with stage("sandbox", "workers", "web") as s, node("peers.js", s.vendors) as peer:
        return {"to_antavo_vs_node": _beside(s, peer, LOYALTY, size)}


def to_qualtrics_vs_node(size: Size) -> Found:
    """Contacts a second, each of them new; then transactions a second, of those contacts."""
    with stage("sandbox", "workers", "web") as s, node("peers.js", s.vendors) as peer:
        each = {work.mapping["partnerAction"]: _beside(s, peer, work, size) for work in (CONTACT, TRANSACTION)}
    return {"to_qualtrics_vs_node": each["addContactToXmd"] | {"each": each}}


def _beside(s: Stage, peer: Node, work: Work, size: Size) -> dict[str, Any]:
    ours, theirs, count = [], [], size.requests // 4
    _ours(s, work, WARM, "warm-ours")
    _theirs(s, peer, work, WARM, "warm-theirs")
    for n in range(size.rounds):
        ours.append(_ours(s, work, count, f"ours-{n}"))
        theirs.append(_theirs(s, peer, work, count, f"theirs-{n}"))
    return compared(ours, theirs, count)


def _ours(s: Stage, work: Work, count: int, seed: str) -> Took:
    return drain(s, work.vendor, work.source, count, seed, work.kind)


def _theirs(s: Stage, peer: Node, work: Work, count: int, seed: str) -> Took:
    settings = work.settings | {"subscriptions": [work.mapping]}
    there = s.arrived(work.vendor)
    took, _ = peer.take(destination=work.vendor, settings=settings, events=list(KINDS[work.kind](count, seed)))
    s.wait_for_deliveries(work.vendor, there + count)
    return took


FIGURES = {"to_antavo_vs_node": to_antavo_vs_node, "to_qualtrics_vs_node": to_qualtrics_vs_node}
