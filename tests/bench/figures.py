"""The figures: each function takes one measurement, ours and the peer's by turns, and returns what it found by name.

How to read them: docs/bench.md.
"""

import random
import signal
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import requests

from tests.bench import cpu
from tests.bench.events import events
from tests.bench.stage import WORKERS, Stage, Took, stage

Found = dict[str, dict[str, Any]]

BATCH = 100  # events a request
SENDERS = 4
BROWSERS = 16  # senders of single events
COPIED = 1  # requests whose rows the peer commits at once


@dataclass(frozen=True)
class Size:
    """How much is measured: rounds of each side, and what one round sends."""

    rounds: int
    events: int
    singles: int
    requests: int


QUICK = Size(rounds=3, events=20_000, singles=4_000, requests=2_000)
FULL = Size(rounds=7, events=50_000, singles=10_000, requests=5_000)
SAMPLES = 200


def ingest_batch_vs_copy(size: Size) -> Found:
    """Events a second through the door in batches, against COPY of the very same rows on two connections."""
    ours, peer = [], []
    with stage("web") as s:
        s.measure("send", s.door, s.keys["segment"], 2_000, BATCH, SENDERS, "warm")
        for n in range(size.rounds):
            since = s.ask("SELECT max(id) FROM logs_request")
            to_door = (s.door, s.keys["segment"], size.events, BATCH, SENDERS, f"batch-{n}")
            ours.append(s.measure("send", *to_door, of=["web"]))
            peer.append(s.measure("copy", s.urls["DATABASE_URL"], s.twin_url, since, COPIED))
    return {"ingest_batch_vs_copy": compared(ours, peer, size.events)}


def ingest_single_vs_empty_view(size: Size) -> Found:
    """Single events a second through the door, against the same requests to a view that does nothing."""
    ours, peer = [], []
    with stage("web") as s:
        empty = s.start_empty_view()
        for origin in (s.door, empty):
            s.measure("send", origin, s.keys["segment"], 500, 1, BROWSERS, "warm")
        for n in range(size.rounds):
            of = (s.keys["segment"], size.singles, 1, BROWSERS, f"single-{n}")
            ours.append(s.measure("send", s.door, *of, of=["web"]))
            peer.append(s.measure("send", empty, *of, of=["empty"]))
    return {"ingest_single_vs_empty_view": compared(ours, peer, size.singles)}


def to_segment_vs_sdk(size: Size) -> Found:
    """Events a second from a shop through door and workers to Segment, against Segment's own library straight there."""
    ours, peer = [], []
    with stage("sandbox", "workers", "web") as s:
        _deliver(s, "segment", 2_000, "warm")
        for n in range(size.rounds):
            ours.append(_deliver(s, "segment", size.events, f"segment-{n}"))
            peer.append(s.measure("sdk", s.vendors, size.events, f"sdk-{n}"))
    return {"to_segment_vs_sdk": compared(ours, peer, size.events)}


def one_by_one_vs_session_loop(size: Size) -> Found:
    """Deliveries a second of one request each, from a full lane, against a loop of requests.Session.post."""
    ours, peer = [], []
    with stage("sandbox", "workers", "web") as s:
        _deliver(s, "antavo", 200, "warm")
        for n in range(size.rounds):
            ours.append(drain(s, "antavo", "antavo", size.requests, f"antavo-{n}"))
            peer.append(s.measure("session_loop", s.vendors, size.requests, f"loop-{n}"))
    return {"one_by_one_vs_session_loop": compared(ours, peer, size.requests)}


def idle(size: Size) -> Found:
    """Milliseconds from the 200 for a single event to its arrival at the vendor, while nothing else is going on."""
    chance = random.Random("idle")
    acknowledged = {}
    with stage("sandbox", "workers", "web") as s, requests.Session() as shop:
        _deliver(s, "segment", 200, "warm")
        shop.auth = (s.keys["segment"], "")
        for event in events(SAMPLES, "idle"):
            time.sleep(chance.uniform(0.1, 0.6))
            shop.post(f"{s.door}/v1/track", json=event, timeout=10).raise_for_status()
            acknowledged[event["properties"]["n"]] = time.time()
        s.wait_for_deliveries("segment", 200 + SAMPLES)
        received = requests.get(f"{s.vendors}/__sandbox__/received", {"vendor": "segment", "since": 200}, timeout=10)
    took = [(item["at"] - acknowledged[item["body"]["properties"]["n"]]) * 1000 for item in received.json()["items"]]
    percent = statistics.quantiles(took, n=100)
    return {"idle_p50_ms": {"ours": round(percent[49], 1)}, "idle_p99_ms": {"ours": round(percent[98], 1)}}


def worker_rss_mb(size: Size) -> Found:
    """Memory of the largest worker after a round of deliveries."""
    with stage("sandbox", "workers", "web") as s:
        _deliver(s, "segment", size.events, "rss")
        return {"worker_rss_mb": {"ours": round(max(cpu.megabytes(pid) for pid in s.pids(WORKERS)), 1)}}


def bytes_per_event(size: Size) -> Found:
    """What the log grows by for an event that one mapping delivered: rows, bodies and indexes."""
    with stage("sandbox", "workers", "web") as s:
        before = s.ask(_LOGGED)
        _deliver(s, "segment", size.events, "disk")
        return {"bytes_per_event": {"ours": round((s.ask(_LOGGED) - before) / size.events)}}


def _deliver(s: Stage, vendor: str, count: int, seed: str) -> Took:
    """Send events in and wait until the vendor has them and all is recorded."""
    there = s.arrived(vendor)
    to_door = (s.door, s.keys[vendor], count, BATCH, SENDERS, seed)
    return s.measure("send", *to_door, of=["web", *WORKERS], until=lambda: s.wait_for_deliveries(vendor, there + count))


def drain(s: Stage, vendor: str, source: str, count: int, seed: str, kind: str = "product") -> Took:
    """Take events in while the workers stand still, then let them go until the vendor has them and all is recorded."""
    s.signal(WORKERS, signal.SIGSTOP)
    s.measure("send", s.door, s.keys[source], count, BATCH, SENDERS, seed, kind)
    there, before, started = s.arrived(vendor), s.used(WORKERS), time.perf_counter()
    s.signal(WORKERS, signal.SIGCONT)
    s.wait_for_deliveries(vendor, there + count)
    return Took(time.perf_counter() - started, cpu.spent(before, s.used(WORKERS)))


def compared(ours: Sequence[Took], peer: Sequence[Took], count: int) -> dict[str, Any]:
    """Medians of the rounds: events a second, and processor microseconds an event; both ratios are better when high."""
    (our_rate, our_cpu), (peer_rate, peer_cpu) = _medians(ours, count), _medians(peer, count)
    return {
        "ours": round(our_rate),
        "peer": round(peer_rate),
        "ratio": round(our_rate / peer_rate, 3),
        "ours_cpu_us": round(our_cpu, 1),
        "peer_cpu_us": round(peer_cpu, 1),
        "cpu_ratio": round(peer_cpu / our_cpu, 3),
        "ours_rounds": [round(count / took.seconds) for took in ours],
        "peer_rounds": [round(count / took.seconds) for took in peer],
    }


def _medians(rounds: Sequence[Took], count: int) -> tuple[float, float]:
    return (
        statistics.median(count / took.seconds for took in rounds),
        statistics.median(took.cpu / count * 1e6 for took in rounds),
    )


_LOGGED = """
SELECT sum(pg_total_relation_size(oid)) FROM pg_class
WHERE relispartition AND relkind = 'r' AND starts_with(relname, 'logs_')"""

FIGURES: dict[str, Callable[[Size], Found]] = {
    "ingest_batch_vs_copy": ingest_batch_vs_copy,
    "ingest_single_vs_empty_view": ingest_single_vs_empty_view,
    "to_segment_vs_sdk": to_segment_vs_sdk,
    "one_by_one_vs_session_loop": one_by_one_vs_session_loop,
    "idle_p50_ms": idle,
    "idle_p99_ms": idle,
    "worker_rss_mb": worker_rss_mb,
    "bytes_per_event": bytes_per_event,
}
