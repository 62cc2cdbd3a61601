"""A world that can be hurt: several workers and servers of its own, and the ways to kill, freeze and revive them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
import redis
import requests

from integrations import demo, embedded
from tests.e2e import world
from tests.e2e.world import World

BRANDS = 4
WORKERS = 4


class Servers:
    """The PostgreSQL and the Valkey of a folder, which may be killed."""

    def __init__(self, base: Path):
        self.base = base
        self.look()

    def look(self) -> None:
        """Which processes they are now."""
        with closing(psycopg.connect(os.environ["DATABASE_URL"])) as connection:
            (data,) = connection.execute("SHOW data_directory").fetchone()
        self.postgres = int(Path(data, "postmaster.pid").read_text().split("\n", 1)[0])
        with redis.Redis.from_url(os.environ["REDIS_URL"]) as broker:
            self.valkey = int(broker.info("server")["process_id"])

    def revive(self) -> None:
        """Start what is dead, and let go on what is frozen."""
        with suppress(ProcessLookupError):
            os.kill(self.valkey, signal.SIGCONT)
        environment = {n: v for n, v in os.environ.items() if n not in ("DATABASE_URL", "REDIS_URL")}
        command = [sys.executable, "-m", "integrations.embedded", str(self.base), "true"]
        subprocess.run(command, env=environment, check=True)
        self.look()

    def stop_postgres(self) -> None:
        """As `pg_ctl stop -m immediate`: it drops everything and has to recover when it starts again."""
        _end(self.postgres, signal.SIGQUIT)

    def kill_valkey(self) -> None:
        _end(self.valkey, signal.SIGKILL)

    def freeze_valkey(self) -> None:
        os.kill(self.valkey, signal.SIGSTOP)


@contextmanager
def servers(base: Path) -> Iterator[Servers]:
    """Servers with their data under `base`, named in the environment while the context lasts."""
    for name in ("DATABASE_URL", "REDIS_URL"):
        os.environ.pop(name, None)
    with embedded.servers(base) as urls:
        os.environ |= urls
        ours = Servers(base)
        try:
            yield ours
        finally:
            ours.revive()


class Mould(World):
    """The database of which each scenario gets a copy, with everything configured in it."""

    def open(self) -> None:
        self._on_server(f'CREATE DATABASE "{self.database}"')
        settle = (
            "import json; from django.core.management import call_command; from logs import partitions; "
            "from tests.chaos import cast; call_command('migrate', verbosity=0); partitions.ensure(); "
            f"print(json.dumps(cast.settle({BRANDS})))"
        )
        self.cast: dict[str, Any] = json.loads(self.django(settle))
        self.sql(Path(__file__).with_name("witness.sql").read_text())


class Yard(World):
    """Web, beat, sandbox and `WORKERS` workers on a database of their own."""

    def __init__(self, folder: Path, mould: Mould, servers: Servers | None):
        super().__init__(folder)
        self.mould = mould
        self.servers = servers
        self.keys: list[str] = mould.cast["keys"]
        self.environment["SWITCHYARD_SEND_ROUTES"] += f",*.example.com={self.vendors}"

    def open(self) -> None:
        self._on_server(f'CREATE DATABASE "{self.database}" TEMPLATE "{self.mould.database}"')
        for name in ("sandbox", "beat", "web"):
            self.start(name)
        command = demo.programs(self.port, self.sandbox_port, self.folder)["worker"]
        self.workers = Workers(self.folder / "worker.log", command, self.environment)
        self.workers.keep(WORKERS)
        self._until(lambda: world._answers(f"{self.vendors}/__sandbox__/counts"), "the sandbox")
        self._until(lambda: world._answers(f"{self.door}/admin/login/"), "the web server")
        known = {"segment": self.mould.cast["segment"]}
        requests.post(f"{self.vendors}/__sandbox__/seed", json=known, timeout=5).raise_for_status()

    def close(self) -> None:
        if self.servers:
            self.servers.revive()
        if hasattr(self, "workers"):
            self.workers.end()
        super().close()

    def switch(self, vendor: str, **switches: Any) -> None:
        """How the vendor misbehaves from now on; nothing makes it behave."""
        body = {"vendor": vendor, **switches}
        requests.post(f"{self.vendors}/__sandbox__/switches", json=body, timeout=5).raise_for_status()

    def received(self) -> Iterator[dict[str, Any]]:
        """All that arrived at the vendors, in order for each."""
        for vendor in ("segment", "webhook"):
            since = 0
            while True:
                query = {"vendor": vendor, "since": since}
                page = requests.get(f"{self.vendors}/__sandbox__/received", query, timeout=60).json()["items"]
                yield from page
                if not page:
                    break
                since = page[-1]["n"]

    def read(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        with closing(psycopg.connect(self.urls["DATABASE_URL"], autocommit=True)) as connection:
            return connection.execute(statement, values).fetchall()

    def busy_workers(self) -> list[str]:
        """Those that hold a claim."""
        rows = self.read("SELECT DISTINCT worker FROM logs_queue JOIN chaos_claim USING (token)")
        return sorted({name for (name,) in rows} & self.workers.alive.keys())

    def books(self) -> dict[str, Any]:
        """The three books as they stand, and how many events stand in no line of them or in two."""
        told = self.django(
            "import json; from logs.models import BookHour; b = BookHour.objects.balance(); "
            "print(json.dumps({'unaccounted': b.unaccounted, **b.books}))"
        )
        return json.loads(told)


class Workers:
    """The nursery's workers by name; when they were born, when we killed them, and who died without our doing."""

    def __init__(self, log: Path, command: list[str], environment: dict[str, str]):
        self.alive: dict[str, int] = {}
        self.born: dict[str, float] = {}
        self.killed: dict[str, float] = {}
        self.died: list[str] = []
        self._turn = threading.Lock()
        self._nursery = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.nursery", str(log), *command],
            env=environment | {"SWITCHYARD_PROCESS": "worker"},
            cwd=demo.BASE,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        threading.Thread(target=self._listen, daemon=True).start()

    def keep(self, count: int) -> None:
        """How many there shall be; who is gone comes back, unless that is 0."""
        self._nursery.stdin.write(f"{count}\n")
        self._nursery.stdin.flush()

    def kill(self, name: str) -> None:
        """It is back soon."""
        with self._turn:
            if pid := self.alive.pop(name, None):
                self.killed[name] = time.time()
                os.kill(pid, signal.SIGKILL)

    def kill_all(self) -> None:
        """Nobody comes back until `keep` says so."""
        self.keep(0)
        for name in list(self.alive):
            self.kill(name)

    def freeze(self, name: str) -> None:
        """To others it is as good as killed."""
        self.killed[name] = time.time()
        os.kill(self.alive[name], signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        os.kill(self.alive[name], signal.SIGCONT)

    def end(self) -> None:
        self._nursery.stdin.close()
        self._nursery.wait(20)

    def _listen(self) -> None:
        for line in self._nursery.stdout:
            name, pid, what = line.split()
            with self._turn:
                if what == "born":
                    self.alive[name] = int(pid)
                    self.born[name] = time.time()
                elif self.alive.pop(name, None):
                    self.died.append(name)


def _end(pid: int, number: int) -> None:
    """Signal a server and wait until it is gone."""
    os.kill(pid, number)
    with suppress(ProcessLookupError):
        while not _is_dead(pid):
            time.sleep(0.01)


def _is_dead(pid: int) -> bool:
    os.kill(pid, 0)
    return Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()[0] == "Z"
