"""What is done to a running Switchyard, one function a scenario; its docstring says what is promised meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import redis

from tests.chaos import reins
from tests.chaos.run import KILLED, Run
from tests.chaos.yard import WORKERS


def worker_sigkill(run: Run) -> None:
    """Workers are killed, a random one every 250 ms: nothing is lost, and repeated is one send a lost claim at most."""
    run.slow_down_vendors()
    with run.sending(run.either(20_000, 3_000), rate=run.either(330, 250)) as load:
        run.kill_workers(load)
    run.drain()
    run.recovered(in_hand=False)


def whole_worker_tree_kill(run: Run) -> None:
    """All workers are killed at once and stay away for 5 s: the leases bring back what they held."""
    run.slow_down_vendors()
    with run.sending(run.either(10_000, 2_000), rate=150) as load:
        while load.busy:
            time.sleep(run.chance.uniform(2, 4))
            run.yard.workers.kill_all()
            run.faults += 1
            time.sleep(5)
            run.yard.workers.keep(WORKERS)
    run.drain()
    run.recovered(in_hand=True)


def worker_freeze(run: Run) -> None:
    """A worker hangs for longer than its lease and wakes up: others did its work, and what it reports late is void."""
    run.slow_down_vendors()
    seconds = run.either(60, 33)
    with run.sending(int(seconds * 1.2 * 70), rate=70) as load:
        run.until(lambda: load.acknowledged > 300, 30)
        name = run.freeze_a_busy_worker()
        time.sleep(seconds)
        run.figures["oldest_pending_at_wake_s"] = oldest = run.oldest_pending()
        run.yard.workers.thaw(name)
    run.drain()
    run.recovered(in_hand=True)
    run.expect(oldest <= KILLED, f"a delivery waited {oldest:.0f} s while the worker hung")


def broker_flush(run: Run) -> None:
    """The broker forgets everything, again and again: the sweep finds what no bell told of."""
    with (
        run.sending(run.either(10_000, 2_000), rate=150) as load,
        redis.Redis.from_url(run.yard.urls["REDIS_URL"]) as broker,
    ):
        while load.busy:
            time.sleep(run.either(5, 2))
            broker.flushdb()
            run.faults += 1
    run.back_in_service(run.drain(), within=10)


def broker_stop_60s(run: Run) -> None:
    """The broker is killed and stays away: no request fails or slows down, and delivery goes on without it."""
    _broker_away(run, run.servers.kill_valkey)


def broker_freeze_60s(run: Run) -> None:
    """The broker hangs with its connections open: no request fails or slows down, and delivery goes on without it."""
    _broker_away(run, run.servers.freeze_valkey)


def _broker_away(run: Run, fault: Callable[[], None]) -> None:
    seconds = run.either(60, 12)
    with run.sending(int(seconds * 2.5 * 100), rate=100, most=3) as load:
        run.until(lambda: load.acknowledged > 100, 30)
        before = time.time()
        time.sleep(seconds)
        during = time.time()
        fault()
        run.faults += 1
        time.sleep(seconds)
        after = time.time()
        run.figures["pending_while_away"] = run.pending()
        run.servers.revive()
    run.back_in_service(run.drain(), within=10)
    run.figures["delivered_s"] = {"before": run.delays(before, during), "during": run.delays(during, after)}
    usual, then = load.p99(before, during), load.p99(during, after)
    run.figures["door_p99_ms"] = {"before": round(usual, 1), "during": round(then, 1)}
    run.expect(then <= 1.5 * usual, f"the door's p99 went from {usual:.1f} to {then:.1f} ms")
    run.expect(set(load.statuses()) == {200}, f"the door answered {dict(load.statuses())}")


def postgres_kill(run: Run) -> None:
    """The database is shut down at once, under load: the door answers 503 meanwhile, and acknowledged means stored."""
    run.slow_down_vendors()
    back = []
    with run.sending(run.either(14_000, 2_500), rate=100) as load:
        for _ in range(run.either(20, 3)):
            time.sleep(run.chance.uniform(2, 4))
            run.restart_postgres()
            back.append(time.time())
    run.figures["drained_s"] = run.drain(hasten=True)
    kept = [request.at + request.ms / 1000 for request in load.requests if request.status == 200]
    run.recoveries += [min(at for at in kept if at > since) - since for since in back]
    refused = [request for request in load.requests if request.status == 503]
    run.figures["slowest_503_ms"] = round(max((request.ms for request in refused), default=0))
    run.expect(bool(refused), "the database was away, yet the door never answered 503")
    run.expect(all(request.retry_after for request in refused), "a 503 came without Retry-After")
    strange = {request.status for request in load.requests} - {200, 503}
    run.expect(not strange, f"the door answered {sorted(strange)} while the database was away (0: not at all)")


def vendor_down(run: Run) -> None:
    """Both vendors answer 503: what was acknowledged meanwhile is delivered when they are back."""
    _vendors(run, segment={"status": 503}, webhook={"status": 503})


def vendor_slow(run: Run) -> None:
    """A vendor takes 3 s for every answer: the other vendor's deliveries do not wait for it."""
    with run.sending(run.either(6_000, 2_000), rate=100) as load:
        run.yard.switch("webhook", latency_ms=3000)
        run.faults += 1
        while load.busy:
            time.sleep(0.5)
        time.sleep(2)
        waiting = run.pending_for("segment")
        run.yard.switch("webhook")
    run.back_in_service(run.drain())
    run.expect(not waiting, f"{waiting} deliveries to the quick vendor waited for the slow one")


def vendor_429(run: Run) -> None:
    """A vendor asks for 9 s of patience: nobody is asked again before that."""
    wait = 9
    _vendors(run, webhook={"status": 429, "retry_after": wait}, hasten=False)
    early = run.yard.read(
        """SELECT count(*) FROM (
               SELECT code, ((id >> 22) - lag(id >> 22) OVER each) - ms AS pause, lag(code) OVER each AS before
               FROM logs_delivery WINDOW each AS (PARTITION BY event, mapping ORDER BY id)
           ) attempt WHERE before = 429 AND pause < %s""",
        wait * 1000 - 100,
    )
    run.expect(not early[0][0], f"{early[0][0]} attempts came before the vendor's Retry-After was over")


def vendor_reset(run: Run) -> None:
    """Vendors drop connections, before and after taking a request in: each is repeated under the same key."""
    _vendors(run, segment={"reset": True, "after": True}, webhook={"reset": True, "after": True})
    _vendors(run, segment={"reset": True}, webhook={"reset": True})


def _vendors(run: Run, *, hasten: bool = True, **switches: dict[str, Any]) -> None:
    """Vendors misbehave for the middle third of the sending."""
    count = run.either(6_000, 900)
    already = len(run.ledger.read()) if run.ledger.path.exists() else 0
    with run.sending(count, rate=100, first=already) as load:
        run.until(lambda: load.acknowledged > count / 3, 300)
        for vendor, faults in switches.items():
            run.yard.switch(vendor, **faults)
            run.faults += 1
        run.until(lambda: load.acknowledged > count * 2 / 3, 300)
        for vendor in switches:
            run.yard.switch(vendor)
    run.back_in_service(run.drain(hasten=hasten))


def everything(run: Run) -> None:
    """Kills every 250 ms, a forgetful broker and a dying database at once: of what was acknowledged nothing is lost."""

    count = run.either(20_000, 3_000)
    flushes, deaths = (iter(range(step, count, step)) for step in (run.either(500, 250), run.either(3_000, 1_000)))
    next_flush, next_death = next(flushes), next(deaths)

    def also(acknowledged: int) -> None:
        nonlocal next_flush, next_death
        if acknowledged >= next_flush:
            with redis.Redis.from_url(run.yard.urls["REDIS_URL"]) as broker:
                broker.flushdb()
            run.faults += 1
            next_flush = next(flushes, count)
        if acknowledged >= next_death:
            run.restart_postgres()
            next_death = next(deaths, count)

    run.slow_down_vendors()
    with run.sending(count, rate=run.either(330, 250)) as load:
        run.kill_workers(load, also)
    run.drain()
    run.recovered(in_hand=False)


SCENARIOS = (
    worker_sigkill,
    whole_worker_tree_kill,
    worker_freeze,
    broker_flush,
    broker_stop_60s,
    broker_freeze_60s,
    postgres_kill,
    vendor_down,
    vendor_slow,
    vendor_429,
    vendor_reset,
    everything,
    reins.stop_brand,
    reins.noisy_brand,
    reins.week_away,
    reins.latest_wins,
)
SERVERS_OF_OUR_OWN = {broker_stop_60s, broker_freeze_60s, postgres_kill, everything}
"""They kill or freeze servers, and are left out on those of others."""
