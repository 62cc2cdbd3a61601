"""The demo: from a fresh clone to events arriving at emulated vendors, in one command, until Ctrl-C.

Run by `make demo`. It is a program and no management command, because servers and settings have to be there before
Django is. Whatever is in its way is told in one sentence.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import secrets
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import django
import redis
import requests
from django.core.management import call_command
from django.db import OperationalError

from integrations import embedded

BASE = Path(__file__).resolve().parent.parent
BUILD = BASE / "build"
RUN, LOGS = BUILD / "run", BUILD / "logs"
HOST = "127.0.0.1"
VENDORS = ("api.segment.io", "*.segmentapis.com", "*.antavo.com", "*.qualtrics.com")
VISIT, FIRST, ONCE = 5, 200, 1000  # events of one visit; sent at the start; with --once
PATIENCE = 60  # seconds for a process to come up or for events to arrive

started = float(os.environ.get("SWITCHYARD_STARTED") or time.time())


class InTheWay(Exception):
    """What keeps the demo from running, in one sentence."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="make demo", description="Run Switchyard against emulated vendors.")
    parser.add_argument("--once", action="store_true", help=f"send {ONCE} events, account for each of them, and end")
    parser.add_argument("--port", type=int, default=8000, help="where admin and door listen (8000)")
    options = parser.parse_args()
    for ending in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, signal.default_int_handler)
    try:
        return run(options.port, once=options.once)
    except KeyboardInterrupt:
        return 0
    except (InTheWay, embedded.Unavailable) as reason:
        print(reason, file=sys.stderr)
        return 1


def run(port: int, *, once: bool) -> int:
    with ExitStack() as stack:
        stack.enter_context(_alone())
        _must_be_free(port)
        sandbox_port = free_port()
        _say("Starting PostgreSQL and Valkey")
        urls = stack.enter_context(embedded.servers(BUILD))
        os.environ |= environment(urls, sandbox_port, embedded.secret_keys(BUILD))
        _say("Bringing the database up to date")
        _bring_up_to_date(urls)
        from integrations import demo_brand  # its models need Django set up

        password = embedded.kept(BUILD / "admin.json", lambda: {"password": secrets.token_urlsafe(12)})["password"]
        shop = demo_brand.settle(password)
        _say("Starting web, worker, beat and the sandbox")
        supervisor = stack.enter_context(_supervised(programs(port, sandbox_port)))
        sandbox = demo_brand.Sandbox(f"http://{HOST}:{sandbox_port}")
        _wait_for("sandbox", sandbox.answers, supervisor)
        sandbox.seed()
        _wait_for("web", lambda: _answers(f"http://{HOST}:{port}/admin/login/"), supervisor)

        customers = demo_brand.Customers(f"http://{HOST}:{port}", shop.reveal_key())
        stack.callback(customers.leave)
        _waited(demo_brand.nothing_waits)  # of what an earlier demo had not finished
        before, taken = demo_brand.balance(), sandbox.accepted()
        count = ONCE if once else FIRST
        customers.send(VISIT)
        _wait_for("worker", lambda: sandbox.accepted() > taken, supervisor)
        _say(f"From start to first delivered event: {time.time() - started:.0f} s")
        _say(f"Sending {count - VISIT} more with segment-analytics-python")
        customers.send(count - VISIT)
        _waited(demo_brand.nothing_waits)
        print(demo_brand.report(sandbox), flush=True)
        if once:
            faults = [*customers.lost, *demo_brand.faults(before, count, sandbox.accepted() - taken)]
            for fault in faults:
                print(f"Unaccounted for: {fault}", file=sys.stderr)
            return 1 if faults else 0
        print(f"\n  Admin     http://{HOST}:{port}/admin/\n  Name      {demo_brand.LOGIN}\n  Password  {password}")
        print("\nCustomers keep coming; Ctrl-C ends the demo and keeps its data.", flush=True)
        while supervisor.poll() is None:
            with suppress(requests.RequestException):
                sandbox.seed()  # it may have been started again, knowing nothing
            customers.send(VISIT)
            time.sleep(2)
        raise InTheWay(f"The supervisor ended; {LOGS / 'supervisord.log'} tells why.")


# What the processes are, and what they are told


def programs(port: int, sandbox_port: int, run: Path = RUN) -> dict[str, list[str]]:
    """Name → command, in the order of starting; they stop in the opposite order. The tests start the same ones."""
    here = Path(sys.prefix) / "bin"
    python, manage = str(here / "python"), str(BASE / "manage.py")
    celery = [str(here / "celery"), "--app", "integrations", "--workdir", str(BASE)]
    threads = ["--pool", "threads", "--concurrency", "16", "--without-gossip", "--without-mingle"]
    application = ["--interface", "wsgi", "--no-ws", "--working-dir", str(BASE), "integrations.wsgi:application"]
    return {
        "sandbox": [python, manage, "sandbox", "--host", HOST, "--port", str(sandbox_port)],
        "worker": [*celery, "worker", *threads],
        "beat": [*celery, "beat", "--schedule", str(run / "beat"), "--pidfile", ""],
        "web": [str(here / "granian"), "--host", HOST, "--port", str(port), "--blocking-threads", "8", *application],
    }


def environment(urls: Mapping[str, str], sandbox_port: int, keys: Mapping[str, str]) -> dict[str, str]:
    """What the processes are told: servers, keys, and that the vendors' hosts are to be found at the sandbox."""
    sandbox = f"{HOST}:{sandbox_port}"
    return {
        **urls,
        **keys,
        "DJANGO_SETTINGS_MODULE": "integrations.settings",
        "SWITCHYARD_SEND_ROUTES": ",".join(f"{host}=http://{sandbox}" for host in VENDORS),
        "SWITCHYARD_SEND_ALLOWED": sandbox,
        "NO_PROXY": HOST,
    }


@contextmanager
def _supervised(commands: Mapping[str, list[str]]) -> Iterator[subprocess.Popen[bytes]]:
    """The programs under supervisord, which starts a killed one again and stops them one after the other."""
    pid_file, config = RUN / "supervisord.pid", RUN / "supervisord.conf"
    config.write_text(_supervisord_conf(commands, pid_file))
    for log in LOGS.glob("*.log"):
        log.unlink()
    command = [sys.executable, "-m", "supervisor.supervisord", "--configuration", str(config)]
    supervisor = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        yield supervisor
    finally:
        with _undisturbed():
            _say("Stopping")
            supervisor.terminate()
            supervisor.wait()


def _supervisord_conf(commands: Mapping[str, list[str]], pid_file: Path) -> str:
    sections = [{"[supervisord]": "", "nodaemon": "true", "logfile": LOGS / "supervisord.log", "pidfile": pid_file}]
    if os.geteuid() == 0:
        sections[0]["user"] = "root"
    for priority, (name, command) in enumerate(commands.items()):
        sections.append(
            {
                f"[program:{name}]": "",
                "command": shlex.join(command),
                "directory": BASE,
                "environment": f'SWITCHYARD_PROCESS="{"web" if name == "web" else "worker"}"',
                "priority": priority,
                "autorestart": "true",
                "startretries": 1000,
                "stopwaitsecs": 40,
                "killasgroup": "true",
                "redirect_stderr": "true",
                "stdout_logfile": LOGS / f"{name}.log",
                "stdout_logfile_maxbytes": "10MB",
                "stdout_logfile_backups": 1,
            }
        )
    text = "\n".join(f"{key} = {value}" if value != "" else key for part in sections for key, value in part.items())
    return text.replace("%", "%%") + "\n"


# What may be in the way


@contextmanager
def _alone() -> Iterator[None]:
    """One demo in a folder at a time; what a killed one left running is stopped first."""
    for path in (RUN, LOGS):
        embedded.made(path, mode=0o755)
    with (RUN / "demo.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InTheWay(f"A demo is running in {BASE} already: end it with Ctrl-C in its terminal.") from None
        with suppress(FileNotFoundError, ValueError, ProcessLookupError):
            left = int((RUN / "supervisord.pid").read_text())
            if embedded.is_running(left, str(RUN / "supervisord.conf")):
                _say("Stopping what an earlier demo left running")
                os.kill(left, signal.SIGTERM)
                _waited(lambda: not embedded.is_running(left, str(RUN / "supervisord.conf")))
        yield


def _must_be_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except (OSError, OverflowError) as error:
            raise InTheWay(
                f"Port {port} of {HOST} cannot be used ({error}): choose another one, "
                'as in make demo ARGS="--port 8010".'
            ) from None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _bring_up_to_date(urls: Mapping[str, str]) -> None:
    try:
        redis.Redis.from_url(urls["REDIS_URL"], socket_connect_timeout=5).ping()
    except (redis.RedisError, ValueError) as error:
        raise InTheWay(f"REDIS_URL names a server that does not answer: {error}") from None
    django.setup()
    try:
        call_command("migrate", verbosity=0)
    except OperationalError as error:
        raise InTheWay(f"DATABASE_URL names a database that does not answer: {str(error).splitlines()[0]}") from None
    call_command("collectstatic", verbosity=0, interactive=False)


# Waiting


def _wait_for(program: str, ready: Callable[[], bool], supervisor: subprocess.Popen[bytes]) -> None:
    if not _waited(lambda: ready() or supervisor.poll() is not None) or supervisor.poll() is not None:
        raise InTheWay(f"The {program} process is not ready after {PATIENCE} s; {LOGS / program}.log tells why.")


def _waited(done: Callable[[], bool]) -> bool:
    """Whether it was done within PATIENCE."""
    deadline = time.monotonic() + PATIENCE
    while not done():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def _answers(url: str) -> bool:
    with suppress(requests.RequestException):
        return requests.get(url, timeout=5).status_code == 200
    return False


@contextmanager
def _undisturbed() -> Iterator[None]:
    """A second Ctrl-C does not leave half of it running."""
    before = {
        number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _say(text: str) -> None:
    print(f"{time.time() - started:6.1f} s  {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
