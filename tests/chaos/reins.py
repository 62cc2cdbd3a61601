"""Scenarios of people and neighbours: a stopped brand, a noisy one, a week without the vendor, updates out of order."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta

import requests

from logs import ids
from logs.verdict import Held, Status
from tests.chaos.run import Run


def stop_brand(run: Run) -> None:
    """One brand is stopped under load: nothing of it leaves after five seconds, nothing is lost, and it resumes."""
    [brand] = _brands(run)[:1]
    with run.sending(run.either(6_000, 2_500), rate=150) as load:
        run.until(lambda: load.acknowledged > 600, 60)
        run.yard.sql(
            "INSERT INTO logs_hold (lane, brand, kind, reason) VALUES (%s, %s, %s, 'chaos')", brand, brand, Held.STOPPED
        )
        run.faults += 1
        stopped = datetime.now(UTC)
        while load.busy:
            time.sleep(0.5)
    time.sleep(max(0.0, 6 - (datetime.now(UTC) - stopped).total_seconds()))
    since = ids.first_at(stopped)
    [(left, last)] = run.yard.read(
        "SELECT count(*), coalesce(max(id), 0) FROM logs_delivery WHERE brand = %s AND id > %s", brand, since
    )
    [(held,)] = run.yard.read("SELECT count(*) FROM logs_queue WHERE brand = %s", brand)
    run.figures["held"] = held
    run.figures["still_sent"] = left
    run.figures["stopped_after_s"] = took = max(0.0, (ids.moment(last) - stopped).total_seconds()) if left else 0.0
    run.expect(took <= 5, f"it still sent {took:.1f} s after it was stopped")
    run.expect(held > 0, "nothing was held")
    run.yard.sql("DELETE FROM logs_hold")
    run.back_in_service(run.drain())


def noisy_brand(run: Run) -> None:
    """One brand has a long backlog and a dead vendor: another brand's events take at most twice their usual time."""
    noisy, quiet = _brands(run)[:2]
    everyone = run.yard.keys
    backlog, few, seconds = run.either(100_000, 10_000), 20, run.either(20, 10)

    run.yard.keys = everyone[1:2]
    with run.sending(few * seconds, rate=few, most=1):
        pass
    alone = _p99(run, quiet, since=0)

    run.yard.sql(
        "INSERT INTO logs_hold (lane, brand, kind, reason) VALUES (%s, %s, %s, 'chaos')", noisy, noisy, Held.STOPPED
    )
    run.yard.keys = everyone[:1]
    with run.sending(backlog, rate=1e9, most=100, first=few * seconds):
        pass
    run.yard.switch("webhook", status=503)
    run.faults += 1
    run.yard.sql("DELETE FROM logs_hold")
    began = ids.first_at(datetime.now(UTC))
    run.yard.keys = everyone[1:2]
    with run.sending(few * seconds, rate=few, most=1, first=few * seconds + backlog):
        pass
    time.sleep(1)
    beside = _p99(run, quiet, since=began)
    run.figures["p99_s"] = {"alone": alone, "beside": beside}
    run.figures["backlog_left"] = run.pending()
    run.expect(beside <= 2 * alone, f"the quiet brand's p99 went from {alone:.2f} to {beside:.2f} s")
    run.yard.switch("webhook")
    run.yard.keys = everyone
    run.back_in_service(run.drain(hasten=True))


def week_away(run: Run) -> None:
    """The vendors are away for a week, by rows moved back in time: no event fails, expires or needs a click."""
    for vendor in ("segment", "webhook"):
        run.yard.switch(vendor, status=503)
    run.faults += 2
    with run.sending(run.either(2_000, 600), rate=150):
        pass
    _make_days(run, 9)
    for _ in range(14):
        _age(run, timedelta(hours=12))
        time.sleep(2.5)
    run.figures["attempts"] = run.yard.read("SELECT count(*) FROM logs_delivery")[0][0]
    ended = run.yard.read("SELECT count(*) FROM logs_delivery WHERE status <> %s", Status.AGAIN)[0][0]
    run.expect(ended == 0, f"{ended} deliveries ended while the vendors were away")
    for vendor in ("segment", "webhook"):
        run.yard.switch(vendor)
    _age(run, timedelta(hours=13))
    run.back_in_service(run.drain(hasten=True))


def latest_wins(run: Run) -> None:
    """Updates of few customers, out of order, through kills and failures: none ends up with an older one."""
    run.slow_down_vendors()
    updates, customers = run.either(2_000, 500), 25
    newest: dict[str, int] = {}
    plan = [(f"customer-{run.chance.randrange(customers)}", n) for n in range(updates)]
    for at in range(0, updates, 10):  # some come late
        plan[at : at + 10] = run.chance.sample(plan[at : at + 10], len(plan[at : at + 10]))
    done = threading.Event()

    def send() -> None:
        with requests.Session() as session:
            for customer, n in plan:
                _identify(run, session, customer, n)
                newest[customer] = max(newest.get(customer, 0), n)
                done.wait(run.either(60, 40) / 1000)
        done.set()

    sender = threading.Thread(target=send)
    sender.start()
    kills = 0
    while not done.is_set():
        time.sleep(0.25)
        there = run.yard.busy_workers() or sorted(run.yard.workers.alive)
        if there:
            run.yard.workers.kill(run.chance.choice(there))
            run.faults += 1
            kills += 1
        if kills % 20 == 10:
            run.yard.switch("segment", status=503, count=3, latency_ms=50)
    sender.join()
    run.drain()
    final: dict[str, int] = {}
    for item in run.yard.received():
        body = item["body"]
        if body.get("type") == "identify" and not item["reason"]:
            final[body["userId"]] = body["traits"]["n"]
    stale = [customer for customer, n in newest.items() if final.get(customer) != n]
    run.figures["customers"] = len(newest)
    run.figures["stale"] = len(stale)
    run.expect(not stale, f"{len(stale)} of {len(newest)} customers ended up with an older update")


def _brands(run: Run) -> list[int]:
    return [id for (id,) in run.yard.read("SELECT id FROM integrations_brand ORDER BY name")]


def _p99(run: Run, brand: int, since: int) -> float:
    """Seconds from receipt to delivery at Segment, the slowest hundredth of a brand's events."""
    rows = run.yard.read(
        """SELECT d.event, max(d.id) FROM logs_delivery d JOIN integrations_destination t ON t.id = d.lane
           JOIN integrations_account a ON a.id = t.account_id
           WHERE d.brand = %s AND d.event > %s AND a.connector = 'segment' AND d.status = %s GROUP BY 1""",
        brand,
        since,
        Status.DELIVERED,
    )
    took = sorted((ids.moment(id) - ids.moment(event)).total_seconds() for event, id in rows)
    return took[int(len(took) * 0.99)] if took else float("inf")


def _make_days(run: Run, days: int) -> None:
    """Partitions for the days before yesterday, where nothing was made ahead."""
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    for back in range(2, days + 1):
        day = today - timedelta(days=back)
        low, high = ids.first_at(day), ids.first_at(day + timedelta(days=1))
        for table in ("logs_request", "logs_requestbody", "logs_event", "logs_delivery"):
            run.yard.sql(
                f"CREATE TABLE IF NOT EXISTS {table}_{day:%Y%m%d} PARTITION OF {table} "
                f"FOR VALUES FROM ({low}) TO ({high})"
            )


def _age(run: Run, by: timedelta) -> None:
    """Move everything back in time: when it was received, and when it is due; with nothing in hand meanwhile."""
    for brand in _brands(run):
        run.yard.sql(
            "INSERT INTO logs_hold (lane, brand, kind, reason) VALUES (%s, %s, %s, 'chaos')", brand, brand, Held.STOPPED
        )
    run.until(lambda: not run.yard.read("SELECT 1 FROM logs_queue WHERE lease IS NOT NULL LIMIT 1"), 40)
    shift = int(by.total_seconds() * 1000) << ids.TIME_SHIFT
    run.yard.sql(
        f"""WITH moved AS (UPDATE logs_event SET id = id - {shift}),
                 bodies AS (UPDATE logs_requestbody SET id = id - {shift}),
                 requests AS (UPDATE logs_request SET id = id - {shift}),
                 tried AS (UPDATE logs_delivery SET event = event - {shift}),
                 queued AS (UPDATE logs_queue SET event = event - {shift}),
                 opened AS (UPDATE logs_hold SET until = until - %s)
            UPDATE logs_waiting SET event = event - {shift}, due = due - %s""",
        by,
        by,
    )
    run.yard.sql("DELETE FROM logs_hold WHERE kind = %s", Held.STOPPED)


def _identify(run: Run, session: requests.Session, customer: str, n: int) -> None:
    """One update, sent until it is acknowledged; its timestamp tells its place among the others."""
    at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=n)
    event = {
        "type": "identify",
        "userId": customer,
        "messageId": f"update-{n}",
        "timestamp": at.isoformat(),
        "traits": {"n": n, "tag": f"update-{n}"},
    }
    while True:
        try:
            answer = session.post(
                f"{run.yard.door}/v1/batch", json={"batch": [event]}, auth=(run.yard.keys[0], ""), timeout=30
            )
        except requests.RequestException:
            continue
        if answer.status_code == 200:
            run.ledger.write(0, [event["messageId"]])
            return
        time.sleep(0.25)
