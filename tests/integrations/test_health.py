"""What those who watch over it are told: alive, ready, and how much waits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.db import OperationalError, connection
from django.db.migrations.recorder import MigrationRecorder

from integrations import health, tasks
from logs import vitals
from logs.ids import first_at
from logs.models import BookDelta, Heartbeat, Hold, Queue, Waiting
from logs.verdict import Held, Line

ELSEWHERE = {"REMOTE_ADDR": "203.0.113.9"}
TOKEN = "a-token-of-twenty-characters"
NEVER = " has polled yet: see that one runs, that it reaches the database, and what it logs."


def signs(**silent: float) -> None:
    """Say that these kinds last polled so many seconds ago."""
    now = datetime.now(UTC)
    Heartbeat.objects.bulk_create(
        Heartbeat(kind=kind, process="host:1", at=now - timedelta(seconds=age)) for kind, age in silent.items()
    )


def work(lane: int, age: float, n: int = 1, **more) -> dict:
    """Columns of rows made so many seconds ago."""
    first = first_at(datetime.now(UTC) - timedelta(seconds=age))
    given = {"lane": lane, "rank": 0, "event": 1, "mapping": 2, "version": 3, "brand": 4, "customer": 5, "cause": 1}
    return [given | {"id": first + i} | more for i in range(n)]


def queue(lane: int, age: float, n: int = 1, **more) -> None:
    Queue.objects.bulk_create(Queue(**row) for row in work(lane, age, n, **more))


def wait(lane: int, age: float, n: int = 1) -> None:
    later = {"due": datetime.now(UTC) + timedelta(hours=1), "replay": 0, "run": 0, "step": 0, "attempts": 1}
    Waiting.objects.bulk_create(Waiting(**row) for row in work(lane, age, n, **later))


@pytest.fixture
def ready(client, db):
    """ready() → status and what is told."""

    def ask() -> tuple[int, dict]:
        response = client.get("/readyz")
        return response.status_code, response.json()

    return ask


@pytest.fixture
def figures(client, db):
    """figures() → every sample of /metrics."""

    def ask() -> dict[str, float]:
        lines = client.get("/metrics").content.decode().splitlines()
        return {name: float(value) for name, _, value in (li.rpartition(" ") for li in lines if li[0] != "#")}

    return ask


@pytest.fixture
def database_away(db):
    def away(execute, sql, params, many, context):
        raise OperationalError("server closed the connection unexpectedly")

    with connection.execute_wrapper(away):
        yield


class TestAlive:
    def test_a_process_is_alive_without_asking_the_database(self, client, database_away):
        response = client.get("/healthz")

        assert (response.status_code, response.json()) == (200, {"alive": True})

    @pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
    def test_a_balancer_may_ask_by_address_and_without_tls(self, client, db, settings, path):
        settings.SECURE_SSL_REDIRECT = True
        signs(worker=0, beat=0)

        assert client.get(path, headers={"host": "10.0.0.7"}).status_code == 200


class TestReady:
    def test_with_worker_and_beat_it_is_ready(self, ready):
        signs(worker=29, beat=29)

        assert ready() == (200, {"ready": True})

    def test_what_never_polled_is_named(self, ready):
        assert ready() == (
            503,
            {
                "ready": False,
                "worker": "No worker" + NEVER,
                "beat": "No beat" + NEVER,
            },
        )

    def test_what_fell_silent_is_named_with_how_long(self, ready):
        signs(worker=45, beat=1)

        status, told = ready()

        assert (status, sorted(told)) == (503, ["ready", "worker"])
        assert told["worker"].startswith("No worker has polled for 45 s: ")

    def test_one_worker_is_enough(self, ready):
        signs(worker=300, beat=1)
        Heartbeat.objects.note(Heartbeat.Kind.WORKER, "host:2")

        assert ready() == (200, {"ready": True})

    def test_a_missing_migration_is_told(self, ready):
        signs(worker=0, beat=0)
        MigrationRecorder.Migration.objects.filter(app="logs", name="0003_heartbeat").delete()

        assert ready() == (503, {"ready": False, "migrations": "1 migrations are not applied: run manage.py migrate."})

    @pytest.mark.django_db(transaction=True)
    def test_a_database_that_is_away_is_told(self, client, database_away):
        response = client.get("/readyz")

        assert response.status_code == 503
        assert response.json() == {
            "ready": False,
            "database": "The database does not answer: check PostgreSQL and DATABASE_URL.",
        }

    def test_without_a_broker_it_is_ready_and_says_so(self, ready, settings):
        settings.REDIS_URL = "redis://127.0.0.1:1/0"
        signs(worker=1, beat=300)

        status, told = ready()

        assert status == 200
        assert told == {
            "ready": True,
            "broker": "Redis does not answer. Nothing is lost: the workers sweep without it.",
        }


class TestSigns:
    def test_what_beat_asks_for_tells_of_beat(self, db, monkeypatch):
        monkeypatch.setattr(tasks, "bell", list)

        tasks.sweep()

        assert list(Heartbeat.objects.ages()) == [("beat", "")]

    def test_a_sign_is_renewed_after_five_seconds_and_not_before(self, db):
        signs(worker=4, beat=6)

        Heartbeat.objects.note(Heartbeat.Kind.WORKER, "host:1")
        Heartbeat.objects.note(Heartbeat.Kind.BEAT, "host:1")

        worker, beat = Heartbeat.objects.get(kind="worker"), Heartbeat.objects.get(kind="beat")
        assert beat.at - worker.at >= timedelta(seconds=4)

    def test_a_process_long_silent_is_forgotten(self, db):
        signs(worker=601)

        Heartbeat.objects.note(Heartbeat.Kind.BEAT)

        assert list(Heartbeat.objects.ages()) == [("beat", "")]


class TestMetrics:
    @pytest.mark.parametrize(
        ("headers", "where", "status"),
        [
            ({}, {}, 200),
            ({}, {"REMOTE_ADDR": "::1"}, 200),
            ({}, ELSEWHERE, 401),
            ({"x-forwarded-for": "203.0.113.9"}, {}, 401),
            ({"forwarded": "for=203.0.113.9"}, {}, 401),
            ({"x-real-ip": "203.0.113.9"}, {}, 401),
            ({"authorization": f"Bearer {TOKEN}"}, ELSEWHERE, 200),
            ({"authorization": "Bearer wröng"}, ELSEWHERE, 401),
            ({"authorization": "Bearer "}, ELSEWHERE, 401),
        ],
    )
    def test_only_this_machine_and_the_token_are_answered(self, client, db, settings, headers, where, status):
        settings.METRICS_TOKEN = TOKEN

        assert client.get("/metrics", headers=headers, **where).status_code == status

    def test_without_a_token_set_none_opens(self, client, db):
        assert client.get("/metrics", headers={"authorization": "Bearer "}, **ELSEWHERE).status_code == 401

    def test_each_lane_tells_its_work_and_the_age_of_the_oldest(self, figures, loyalty):
        queue(loyalty.pk, age=60, n=2)
        queue(loyalty.pk, age=300, rank=1)
        wait(loyalty.pk, age=900, n=3)
        wait(7, age=20)

        told = figures()

        of = f'{{lane="{loyalty.pk}",name="Loyalty"}}'
        assert told[f"switchyard_lane_queued{of}"] == 3
        assert told[f"switchyard_lane_waiting{of}"] == 3
        assert told[f"switchyard_lane_oldest_seconds{of}"] == pytest.approx(900, abs=30)
        assert told['switchyard_lane_queued{lane="7",name=""}'] == 0
        assert told['switchyard_lane_oldest_seconds{lane="7",name=""}'] == pytest.approx(20, abs=30)

    def test_undecided_events_have_a_name_of_their_own(self, figures):
        queue(0, age=1)

        assert figures()['switchyard_lane_queued{lane="0",name="not decided yet"}'] == 1

    def test_a_name_cannot_break_the_format(self, figures, loyalty):
        type(loyalty).objects.filter(pk=loyalty.pk).update(name='a"b\\c\nd')
        queue(loyalty.pk, age=1)

        assert figures()[rf'switchyard_lane_queued{{lane="{loyalty.pk}",name="a\"b\\c\nd"}}'] == 1

    def test_a_lane_is_counted_so_far_and_only_so_many_lanes_are_told(self, figures, monkeypatch):
        monkeypatch.setattr(vitals, "COUNTED", 2)
        monkeypatch.setattr(vitals, "LANES", 3)
        for lane in (4, 3, 2, 1):
            queue(lane, age=1, n=5)

        told = {name: value for name, value in figures().items() if "lane_queued" in name}

        assert told == {f'switchyard_lane_queued{{lane="{lane}",name=""}}': 2 for lane in (1, 2, 3)}

    def test_lanes_are_found_by_index_alone(self, db):
        with connection.cursor() as cursor:
            cursor.execute(vitals._WITHOUT_BITMAPS)
            cursor.execute("SET LOCAL enable_seqscan = off")
            cursor.execute(f"EXPLAIN {vitals._LANES}", {"lanes": 500, "counted": 10_000})
            plan = "\n".join(line for (line,) in cursor.fetchall())

        assert [way for way in ("Seq Scan on logs", "Bitmap", "Sort") if way in plan] == []

    def test_what_holds_a_lane_or_a_brand_is_told(self, figures, brand, loyalty):
        Hold.objects.put(loyalty.pk, brand.pk, Held.BREAKER, "It answers nothing.", seconds=30)
        Hold.objects.put(brand.pk, brand.pk, Held.STOPPED, "Stopped by alice.")

        told = figures()

        assert told[f'switchyard_held{{lane="{loyalty.pk}",name="Loyalty",hold="breaker"}}'] == 1
        assert told[f'switchyard_held{{lane="{brand.pk}",name="Acme",hold="stopped"}}'] == 1

    def test_the_books_of_the_last_hours_are_told_and_whether_they_close(self, figures, client, shop, make_mapping):
        make_mapping(trigger='event = "Order Completed"')
        batch = [
            {"type": "track", "event": name, "userId": "u"} for name in ("Order Completed", "Order Completed", "X")
        ]
        client.post("/v1/batch", {"batch": batch, "writeKey": shop.key}, "application/json")
        long_ago = datetime.now(UTC) - timedelta(hours=8)
        BookDelta.objects.create(brand=1, source=2, mapping=0, hour=long_ago, line=Line.PRESENTED, n=50)

        told = figures()

        lines = {line: told[f'switchyard_events{{line="{line}"}}'] for line in ("presented", "matched", "pending")}
        assert lines == {"presented": 3, "matched": 2, "pending": 2}
        assert told["switchyard_unaccounted"] == 0

    def test_an_event_that_got_lost_is_told(self, figures, client, shop, make_mapping):
        make_mapping(trigger='event = "Order Completed"')
        event = {"event": "Order Completed", "userId": "u", "writeKey": shop.key}
        client.post("/v1/track", event, "application/json")
        Queue.objects.all().delete()

        assert figures()["switchyard_unaccounted"] == 1

    def test_silence_and_servers_are_told(self, figures):
        signs(worker=12, beat=40)

        told = figures()

        assert told['switchyard_worker_silent_seconds{process="host:1"}'] == pytest.approx(12, abs=5)
        assert told['switchyard_beat_silent_seconds{process="host:1"}'] == pytest.approx(40, abs=5)
        assert (told["switchyard_database_up"], told["switchyard_broker_up"]) == (1, 1)
        assert told[f'switchyard_info{{version="{health._version()}"}}'] == 1

    @pytest.mark.django_db(transaction=True)
    def test_without_database_and_broker_that_much_is_told(self, figures, database_away, settings):
        settings.REDIS_URL = "redis://127.0.0.1:1/0"

        told = figures()

        assert (told["switchyard_database_up"], told["switchyard_broker_up"]) == (0, 0)
