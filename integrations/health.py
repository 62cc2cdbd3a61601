"""For those who watch over Switchyard: does this process live, is the whole ready, how much waits and for how long.

Answered before anything looks at the host's name, because balancers ask by address.
"""

from __future__ import annotations

import logging
import tomllib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hmac import compare_digest

import redis
from django.conf import settings
from django.db import Error as DatabaseError
from django.db import connection, transaction
from django.db.migrations.loader import MigrationLoader
from django.http import HttpRequest, HttpResponse, JsonResponse
from redis.backoff import NoBackoff
from redis.retry import Retry

from logs import vitals
from logs.models import BookHour, Heartbeat, Hold, Label
from logs.models.queue import DECIDE_LANE
from logs.verdict import Held, Line

SILENT = 30
"""Seconds without a sign of life after which a worker or beat does not count as running."""

STATEMENT_TIMEOUT = "2s"
"""The most that one question asked here may cost the database."""

HOURS = 6
"""Full hours of receipt that the books are told for."""

Sample = tuple[dict[str, str], float]
log = logging.getLogger(__name__)


def probes(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """The middleware that answers /healthz, /readyz and /metrics."""
    views = {"/healthz": healthz, "/readyz": readyz, "/metrics": metrics}

    def middleware(request: HttpRequest) -> HttpResponse:
        return views.get(request.path_info, get_response)(request)

    return middleware


# Alive, ready


def healthz(request: HttpRequest) -> HttpResponse:
    """This process answers; it asks nobody else."""
    return JsonResponse({"alive": True})


def readyz(request: HttpRequest) -> HttpResponse:
    """200 when events are taken in, decided and delivered; else 503, saying what is missing."""
    broker = _broker_answers()
    try:
        with _bounded():
            faults = dict(_faults(broker))
    except DatabaseError as error:
        log.warning("The database did not answer a readiness check: %s", error)
        faults = {"database": "The database does not answer: check PostgreSQL and DATABASE_URL."}
    notes = {} if broker else {"broker": "Redis does not answer. Nothing is lost: the workers sweep without it."}
    return JsonResponse({"ready": not faults, **faults, **notes}, status=503 if faults else 200)


def _faults(broker: bool) -> Iterator[tuple[str, str]]:
    missing = unapplied()
    if missing:
        yield "migrations", f"{len(missing)} migrations are not applied: run manage.py migrate."
        return
    ages = Heartbeat.objects.ages()
    for kind in Heartbeat.Kind.values:
        age = min((age for (of, _), age in ages.items() if of == kind), default=None)
        if age is not None and age <= SILENT:
            continue
        if kind == Heartbeat.Kind.BEAT and not broker:
            continue  # what beat asks for comes through the broker, so that nobody can hear it now
        since = "yet" if age is None else f"for {age:.0f} s"
        yield kind, f"No {kind} has polled {since}: see that one runs, that it reaches the database, and what it logs."


def unapplied() -> set[tuple[str, str]]:
    """The migrations this code needs and the database has not; OperationalError while the database is away."""
    return _migrations() - _applied()


@lru_cache(maxsize=1)
def _migrations() -> set[tuple[str, str]]:
    """Those this version of the code comes with."""
    return set(MigrationLoader(None).disk_migrations or ())


def _applied() -> set[tuple[str, str]]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('django_migrations') IS NOT NULL")
        if not cursor.fetchone()[0]:
            return set()
        cursor.execute("SELECT app, name FROM django_migrations")
        return set(cursor.fetchall())


def _broker_answers() -> bool:
    try:
        return bool(_redis(settings.REDIS_URL).ping())
    except redis.RedisError:
        return False


@lru_cache(maxsize=1)
def _redis(url: str) -> redis.Redis:
    return redis.Redis.from_url(url, socket_timeout=0.5, socket_connect_timeout=0.5, retry=Retry(NoBackoff(), 0))


@contextmanager
def _bounded() -> Iterator[None]:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL statement_timeout = '{STATEMENT_TIMEOUT}'")
        yield


# Figures


def metrics(request: HttpRequest) -> HttpResponse:
    """For Prometheus, to this machine and to whoever bears METRICS_TOKEN. Without a database it tells that much."""
    if not _may_read(request):
        return HttpResponse(
            "Send METRICS_TOKEN as the bearer token, or ask from the machine itself.\n",
            status=401,
            content_type="text/plain",
            headers={"WWW-Authenticate": "Bearer"},
        )
    lines = [
        *_gauge("info", "The version that answers.", [({"version": _version()}, 1)]),
        *_gauge("broker_up", "Whether Redis answers.", [({}, _broker_answers())]),
    ]
    up = True
    for figures in (_signs, _lanes, _books):
        try:
            with _bounded():
                lines += list(figures())
        except DatabaseError as error:
            log.warning("The database did not answer for the metrics: %s", error)
            up = False
    lines += _gauge("database_up", "Whether the database answered every question in time.", [({}, up)])
    return HttpResponse("\n".join(lines) + "\n", content_type="text/plain; version=0.0.4; charset=utf-8")


def _may_read(request: HttpRequest) -> bool:
    """A request that a proxy on this machine passes on is not from this machine."""
    scheme, _, token = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
    wanted = settings.METRICS_TOKEN
    if wanted and scheme.lower() == "bearer" and compare_digest(token.strip().encode(), wanted.encode()):
        return True
    forwarded = any(name in request.META for name in ("HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED", "HTTP_X_REAL_IP"))
    return not forwarded and request.META.get("REMOTE_ADDR") in ("127.0.0.1", "::1")


def _signs() -> Iterator[str]:
    ages = Heartbeat.objects.ages()
    for kind in Heartbeat.Kind.values:
        samples = [({"process": process} if process else {}, age) for (of, process), age in ages.items() if of == kind]
        yield from _gauge(f"{kind}_silent_seconds", f"Since {kind} last polled.", samples)


def _lanes() -> Iterator[str]:
    found, holds = vitals.lanes(), Hold.objects.order_by("lane")[: vitals.LANES]
    names = Label.objects.names([*(lane.lane for lane in found), *(hold.lane for hold in holds)])
    names[DECIDE_LANE] = "not decided yet"
    labels = [{"lane": str(lane.lane), "name": names.get(lane.lane, "")} for lane in found]
    few = f"{vitals.COUNTED:,} are told as that many."
    for name, help, values in (
        ("lane_queued", f"Deliveries ready or under way; more than {few}", [lane.queued for lane in found]),
        ("lane_waiting", f"Deliveries to be tried later, or held; more than {few}", [lane.waiting for lane in found]),
        ("lane_oldest_seconds", "Age of the oldest delivery not finished.", [lane.age for lane in found]),
    ):
        yield from _gauge(name, help, zip(labels, values, strict=True))
    held = [
        {"lane": str(hold.lane), "name": names.get(hold.lane, ""), "hold": Held(hold.kind).name.lower()}
        for hold in holds
    ]
    yield from _gauge("held", "Lanes, and brands with all of theirs, that are held.", [(label, 1) for label in held])


def _books() -> Iterator[str]:
    this_hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    balance = BookHour.objects.balance(since=this_hour - timedelta(hours=HOURS))
    recent = f"received in this hour and the {HOURS} before it"
    samples = [({"line": line.name.lower()}, balance.sum(line)) for line in Line]
    yield from _gauge("events", f"Events {recent}, by the line of the books they stand in.", samples)
    yield from _gauge("unaccounted", f"Events {recent} that stand in no line, or in two.", [({}, balance.unaccounted)])


def _gauge(name: str, help: str, samples: Iterable[Sample]) -> Iterator[str]:
    """One metric in Prometheus' text format: https://prometheus.io/docs/instrumenting/exposition_formats/"""
    yield f"# HELP switchyard_{name} {help}"
    yield f"# TYPE switchyard_{name} gauge"
    for labels, value in samples:
        told = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
        yield f"switchyard_{name}{{{told}}} {value:.12g}" if told else f"switchyard_{name} {value:.12g}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


@lru_cache(maxsize=1)
def _version() -> str:
    version: str = tomllib.loads((settings.BASE_DIR / "pyproject.toml").read_text())["project"]["version"]
    return version
