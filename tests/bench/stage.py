"""Switchyard as it is measured: so many processes as the machine has processors, on a fresh database, with a meter."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import requests

from integrations import demo
from tests.bench import cpu, vendors
from tests.e2e.world import World

PROCESSES = os.cpu_count() or 1  # of the web server, and as many workers
WORKERS = [f"worker{n}" for n in range(1, PROCESSES + 1)]
PATIENCE = 300  # seconds until a measurement is given up


@dataclass(frozen=True)
class Took:
    """What one round took, in seconds: by the clock, and of the processors."""

    seconds: float
    cpu: float


class Stage(World):
    """Beside the world, a second database of the same shape for peers, and a connection to look at the first one."""

    def open(self, *names: str) -> None:
        """Start the named programs: of sandbox, workers and web."""
        self._on_server(f'CREATE DATABASE "{self.database}"')
        self.django("from django.core.management import call_command; call_command('migrate', verbosity=0)")
        self.keys = json.loads(self.django("from tests.bench import shop; print(shop.settle())"))
        self._on_server(f'CREATE DATABASE "{self._twin}" TEMPLATE "{self.database}"')
        self._line = psycopg.connect(self.urls["DATABASE_URL"], autocommit=True)
        if "sandbox" in names:
            self.start("sandbox")
            self._until(lambda: _answers(f"{self.vendors}/__sandbox__/counts"), "the sandbox")
            requests.post(f"{self.vendors}/__sandbox__/seed", json=vendors.KNOWN, timeout=5).raise_for_status()
        commands = demo.programs(self.port, self.sandbox_port, self.folder)
        if "workers" in names:
            for name in WORKERS:
                self.launch(name, [*commands["worker"], "--hostname", f"{name}@%h"])
            self._until(lambda: len(self._backends()) >= len(WORKERS), "each worker's sweep")
        if "web" in names:
            self.launch("web", [*commands["web"], "--workers", str(PROCESSES)])
            self._until(lambda: _answers(f"{self.door}/admin/login/"), "the web server")

    def close(self) -> None:
        super().close()
        self._on_server(f'DROP DATABASE IF EXISTS "{self._twin}" WITH (FORCE)')

    @property
    def _twin(self) -> str:
        return f"{self.database}_twin"

    @property
    def twin_url(self) -> str:
        return self.urls["DATABASE_URL"].replace(self.database, self._twin)

    def start_empty_view(self) -> str:
        """Serve the empty view as the door is served; returns its origin."""
        port = demo.free_port()
        *command, _ = demo.programs(port, self.sandbox_port, self.folder)["web"]
        self.launch("empty", [*command, "tests.bench.empty:application", "--workers", str(PROCESSES)])
        origin = f"http://{demo.HOST}:{port}"
        self._until(lambda: _answers(origin), "the empty view")
        return origin

    def signal(self, names: Sequence[str], number: int) -> None:
        for name in names:
            os.killpg(self.running[name].pid, number)

    def ask(self, question: str, *values: Any) -> Any:
        """The one value a query returns."""
        return self._line.execute(question, values).fetchone()[0]

    def pids(self, names: Sequence[str]) -> list[int]:
        return [pid for name in names for pid in cpu.session(self.running[name].pid)]

    def measure(
        self, program: str, *arguments: Any, of: Sequence[str] = (), until: Callable[[], object] | None = None
    ) -> Took:
        """Run a program of `programs`, and wait `until` what it began is done.

        With `of`, the processor time is that of these processes and of their sessions in the database, else that of
        the program itself.
        """
        command = [sys.executable, "-m", "tests.bench.programs", program, *map(str, arguments)]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, cwd=demo.BASE, env=self.environment, text=True) as run:
            if run.stdout.readline() != "ready\n":
                raise RuntimeError(f"The program {program} did not start.")
            before, started = self.used(of), time.perf_counter()
            run.stdin.write("go\n")
            run.stdin.flush()
            report = run.stdout.readline()
            if not report:
                raise RuntimeError(f"The program {program} broke off. {self.log('web')}")
            told = json.loads(report)
            if until:
                until()
                told["seconds"] = time.perf_counter() - started
            return Took(told["seconds"], cpu.spent(before, self.used(of)) if of else told["cpu"])

    def used(self, names: Sequence[str]) -> dict[int, float]:
        """Processor seconds so far of these processes and of the database's sessions with whomever."""
        return cpu.seconds([*self.pids(names), *self._backends()])

    def _backends(self) -> list[int]:
        return self.ask(
            "SELECT coalesce(array_agg(pid), '{}') FROM pg_stat_activity WHERE datname = %s AND pid <> %s",
            self.database,
            self._line.info.backend_pid,
        )

    def arrived(self, vendor: str) -> int:
        counts = requests.get(f"{self.vendors}/__sandbox__/counts", timeout=20).json()
        return counts[vendor]["accepted"]

    def wait_for_deliveries(self, vendor: str, count: int) -> None:
        """Until so many have arrived and all is recorded."""
        deadline = time.monotonic() + PATIENCE
        while not self.ask("SELECT NOT EXISTS (TABLE logs_queue) AND NOT EXISTS (TABLE logs_waiting)"):
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.arrived(vendor)} of {count} arrived in {PATIENCE} s. {self.log(WORKERS[0])}")
            time.sleep(0.02)
        if (here := self.arrived(vendor)) != count:
            raise RuntimeError(f"{here} events arrived at {vendor} instead of {count}.")


@contextmanager
def stage(*names: str) -> Iterator[Stage]:
    """A stage with these programs on it, which end with the context."""
    with tempfile.TemporaryDirectory(prefix="switchyard-bench-") as folder:
        stage = Stage(Path(folder))
        try:
            stage.open(*names)
            yield stage
        finally:
            stage.close()


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).ok
    except requests.RequestException:
        return False
