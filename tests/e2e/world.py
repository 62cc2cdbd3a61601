"""The product as it really runs: web, worker and sandbox in processes of their own, on a fresh database."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from contextlib import closing
from pathlib import Path

import psycopg
import redis
import requests

from integrations import demo, embedded

DEADLINE = 55  # seconds events may take to arrive
PASSWORD = "correct horse"


class World:
    """Start it, send to `door`, look at what came out with `arrived`."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.port, self.sandbox_port = demo.free_port(), demo.free_port()
        self.door = f"http://{demo.HOST}:{self.port}"
        self.vendors = f"http://{demo.HOST}:{self.sandbox_port}"
        self.database = f"e2e_{os.getpid()}_{self.port}"
        self.urls = {
            "DATABASE_URL": re.sub(r"/[^/?]+(\?|$)", rf"/{self.database}\1", os.environ["DATABASE_URL"], count=1),
            "REDIS_URL": _empty_redis(os.environ["REDIS_URL"]),
        }
        told = demo.environment(self.urls, self.sandbox_port, embedded.secret_keys(folder))
        self.environment = os.environ | told | {"STATIC_ROOT": str(folder / "static")}
        self.running: dict[str, subprocess.Popen] = {}

    def open(self) -> None:
        self._on_server(f'CREATE DATABASE "{self.database}"')
        self.django(
            "from django.core.management import call_command; call_command('migrate', verbosity=0); "
            "call_command('collectstatic', verbosity=0, interactive=False)"
        )
        self.write_key = self.django(
            f"from integrations import demo_brand; print(demo_brand.settle({PASSWORD!r}).reveal_key())"
        )
        for name in ("sandbox", "worker", "web"):
            self.start(name)
        self._until(lambda: _answers(f"{self.vendors}/__sandbox__/counts"), "the sandbox")
        self._until(lambda: _answers(f"{self.door}/admin/login/"), "the web server")
        self.django(f"from integrations import demo_brand; demo_brand.Sandbox({self.vendors!r}).seed()")

    def close(self) -> None:
        for process in self.running.values():
            _signal(process, signal.SIGTERM)
        for process in self.running.values():
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                _signal(process, signal.SIGKILL)
                process.wait()
        self._on_server(f'DROP DATABASE IF EXISTS "{self.database}" WITH (FORCE)')
        self.flush_broker()

    def start(self, name: str) -> None:
        self.launch(name, demo.programs(self.port, self.sandbox_port, self.folder)[name])

    def launch(self, name: str, command: list[str]) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(
                command,
                env=self.environment | {"SWITCHYARD_PROCESS": "web" if name == "web" else "worker"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def kill(self, name: str) -> None:
        process = self.running[name]
        _signal(process, signal.SIGKILL)
        process.wait()

    def flush_broker(self) -> None:
        with redis.Redis.from_url(self.urls["REDIS_URL"]) as broker:
            broker.flushdb()

    def django(self, code: str) -> str:
        """What this code prints, run in a Django process beside the others."""
        command = [sys.executable, "-c", f"import django; django.setup(); {code}"]
        done = subprocess.run(command, env=self.environment, cwd=demo.BASE, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def sql(self, statement: str, *values) -> int:
        """Rows a statement changed."""
        with closing(psycopg.connect(self.urls["DATABASE_URL"], autocommit=True)) as connection:
            return connection.execute(statement, values).rowcount

    def unaccounted(self) -> dict[str, int]:
        """Of the books: what is nowhere, and what still waits."""
        told = self.django(
            "import json; from integrations import demo_brand; from logs.verdict import Line; "
            "b = demo_brand.balance(); print(json.dumps({'nowhere': b.unaccounted, 'failed': b.sum(Line.FAILED), "
            "'waiting': b.sum(Line.PENDING, Line.UNDECIDED)}))"
        )
        return json.loads(told)

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")[-3000:]

    def _until(self, done, what: str) -> None:
        deadline = time.monotonic() + DEADLINE
        while not done():
            assert time.monotonic() < deadline, f"{what} is not ready: {self.log('web')} {self.log('sandbox')}"
            time.sleep(0.1)

    def _on_server(self, statement: str) -> None:
        with closing(psycopg.connect(os.environ["DATABASE_URL"], dbname="postgres", autocommit=True)) as connection:
            connection.execute(statement)


class Arrivals:
    """What one run's events came to at the vendor's host: n → the messageIds it arrived under."""

    def __init__(self, world: World, run: str, host: str = "api.segment.io"):
        self.world, self.run, self.host = world, run, host
        self.since = 0
        self.by_n: dict[int, list[str]] = defaultdict(list)
        self.bodies: list[dict] = []

    def look(self) -> int:
        """How many different events are here by now."""
        while True:
            query = {"vendor": "segment", "since": self.since}
            items = requests.get(f"{self.world.vendors}/__sandbox__/received", query, timeout=20).json()["items"]
            for item in items:
                about = item["body"].get("properties") or item["body"].get("traits") or {}
                if item["host"] == self.host and about.get("run") == self.run:
                    self.by_n[about["n"]].append(item["key"])
                    self.bodies.append(item["body"])
            if not items:
                return len(self.by_n)
            self.since = items[-1]["n"]

    def wait_for(self, count: int) -> None:
        deadline = time.monotonic() + DEADLINE
        while (here := self.look()) < count:
            assert time.monotonic() < deadline, f"{here} of {count} arrived: {self.world.log('worker')}"
            time.sleep(0.2)


class Senders:
    """Shop servers that post batches until each is acknowledged, many at a time."""

    def __init__(self, world: World, run: str, count: int, *, size: int = 50, threads: int = 4, pause: float = 0.0):
        self.world, self.run, self.pause = world, run, pause
        self.batches = [range(n, min(n + size, count)) for n in range(0, count, size)]
        self.acknowledged = 0
        self.turn = threading.Lock()
        self.threads = [threading.Thread(target=self._work) for _ in range(threads)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *error):
        for thread in self.threads:
            thread.join()

    @property
    def busy(self) -> bool:
        return any(thread.is_alive() for thread in self.threads)

    def _work(self) -> None:
        with requests.Session() as session:
            session.auth = (self.world.write_key, "")
            while True:
                with self.turn:
                    if not self.batches:
                        return
                    batch = self.batches.pop(0)
                events = [_event(self.run, n) for n in batch]
                while not self._acknowledged(session, events):
                    time.sleep(0.2)
                with self.turn:
                    self.acknowledged += len(events)
                time.sleep(self.pause)

    def _acknowledged(self, session: requests.Session, events: list[dict]) -> bool:
        try:
            return session.post(f"{self.world.door}/v1/batch", json={"batch": events}, timeout=30).status_code == 200
        except requests.RequestException:
            return False


def _event(run: str, n: int) -> dict:
    about = {"run": run, "n": n, "sku": "SY-100", "price": 119.0}
    common = {"type": "track", "event": "Product Viewed", "userId": f"customer-{n}", "messageId": f"{run}-{n}"}
    return {**common, "properties": about}


def _empty_redis(url: str) -> str:
    """The last database of that server with nothing in it."""
    for number in range(15, 0, -1):
        base = url.partition("?")[0]
        other = (
            f"{base}?db={number}" if url.startswith("unix:") else re.sub(r"(:\d+|[^/])(/\d*)?$", rf"\1/{number}", url)
        )
        with redis.Redis.from_url(other) as client:
            if not client.dbsize():
                return other
    raise AssertionError("no empty Redis database is left for the tests")


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).status_code == 200
    except requests.RequestException:
        return False


def _signal(process: subprocess.Popen, number: int) -> None:
    if process.poll() is None:
        os.killpg(process.pid, number)
