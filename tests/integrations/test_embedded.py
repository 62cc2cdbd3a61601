"""The servers out of wheels: they start anywhere, keep their data, are shared, and survive being killed."""

import os
import shutil
import signal
import stat
import tempfile
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
import redis

from integrations import embedded


@pytest.fixture
def base(monkeypatch):
    """A folder everyone can reach, as the checkout of an ordinary clone."""
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.delenv("REDIS_URL", raising=False)
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    folder.chmod(0o755)
    yield folder / "build"
    for link in (path for path in folder.rglob("*") if path.is_symlink()):
        shutil.rmtree(link.resolve())
    shutil.rmtree(folder)


def ask(url, question):
    with closing(psycopg.connect(url, autocommit=True)) as connection:
        cursor = connection.execute(question)
        return cursor.fetchone()[0] if cursor.description else None


def postmaster(base):
    return int((embedded_folder(base) / "data" / "postmaster.pid").read_text().split("\n")[0])


def embedded_folder(base):
    (folder,) = base.glob("postgres-*")
    return folder.resolve()


def test_a_second_start_finds_what_the_first_one_kept(base):
    with embedded.servers(base) as urls:
        ask(urls["DATABASE_URL"], "CREATE TABLE kept AS SELECT 42 AS answer")

    with embedded.servers(base) as urls:
        assert ask(urls["DATABASE_URL"], "SELECT answer FROM kept") == 42


def test_nothing_listens_but_on_sockets(base):
    with embedded.servers(base) as urls, closing(redis.Redis.from_url(urls["REDIS_URL"])) as valkey:
        assert ask(urls["DATABASE_URL"], "SHOW listen_addresses") == ""
        assert valkey.config_get("port") == {"port": "0"}
        assert stat.S_IMODE((embedded_folder(base) / "sockets").stat().st_mode) == 0o700


def test_a_relative_folder_is_the_one_below_the_current_one(base, monkeypatch):
    monkeypatch.chdir(base.parent)

    with embedded.servers(Path("build")) as urls:
        assert ask(urls["DATABASE_URL"], "SELECT 1") == 1
        assert embedded_folder(base).parent == base


def test_whoever_leaves_last_stops_the_servers(base):
    with embedded.servers(base) as first:
        with embedded.servers(base) as second:
            assert second == first
        assert ask(first["DATABASE_URL"], "SELECT 1") == 1

    with pytest.raises(psycopg.OperationalError):
        ask(first["DATABASE_URL"], "SELECT 1")


def test_a_killed_postgres_starts_again_although_its_number_is_somebody_elses(base):
    with embedded.servers(base) as urls:
        ask(urls["DATABASE_URL"], "CREATE TABLE kept AS SELECT 42 AS answer")
        os.kill(postmaster(base), signal.SIGKILL)
    pid_file = embedded_folder(base) / "data" / "postmaster.pid"
    pid_file.write_text(pid_file.read_text().replace(str(postmaster(base)), str(os.getpid()), 1))

    with embedded.servers(base) as urls:
        assert ask(urls["DATABASE_URL"], "SELECT answer FROM kept") == 42


def test_servers_left_running_by_a_killed_process_are_used_and_stopped(base):
    child = os.fork()
    if not child:
        running = embedded.servers(base)
        running.__enter__()
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    left = postmaster(base)

    with embedded.servers(base) as urls:
        assert postmaster(base) == left

    with pytest.raises(psycopg.OperationalError):
        ask(urls["DATABASE_URL"], "SELECT 1")


def test_a_path_too_deep_for_a_socket_gets_a_short_private_one(base):
    deep = base / ("deep" * 20)

    with embedded.servers(deep) as urls:
        sockets = (embedded_folder(deep) / "sockets").resolve()

        assert ask(urls["DATABASE_URL"], "SELECT 1") == 1
        assert (sockets.parent, stat.S_IMODE(sockets.stat().st_mode)) == (Path("/tmp"), 0o700)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to become somebody else")
def test_a_home_closed_to_others_serves_root_and_stays_closed(base):
    base.parent.chmod(0o700)

    with embedded.servers(base) as urls:
        ask(urls["DATABASE_URL"], "CREATE TABLE kept AS SELECT 42 AS answer")
    with embedded.servers(base) as urls:
        assert ask(urls["DATABASE_URL"], "SELECT answer FROM kept") == 42

    assert stat.S_IMODE(base.parent.stat().st_mode) == 0o700
    assert base.parent not in embedded_folder(base).parents


def test_the_environment_comes_first_each_variable_on_its_own(base, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "postgres://elsewhere/db")

    with embedded.servers(base) as urls:
        assert urls["DATABASE_URL"] == "postgres://elsewhere/db"
        assert not (embedded_folder(base) / "data").exists()

        monkeypatch.setenv("REDIS_URL", "redis://elsewhere/0")
        with embedded.servers(base / "untouched") as both:
            assert both == {"DATABASE_URL": "postgres://elsewhere/db", "REDIS_URL": "redis://elsewhere/0"}
        assert not (base / "untouched").exists()


def test_a_folder_that_cannot_be_written_is_one_clear_sentence(base):
    base.write_text("a file in the way")

    with pytest.raises(embedded.Unavailable) as refusal, embedded.servers(base):
        pass

    assert str(refusal.value) == f"{base} cannot be written (File exists): choose a folder that can."


def test_a_full_disk_is_one_clear_sentence(base, monkeypatch):
    monkeypatch.setattr(embedded, "FREE_SPACE", 2**60)

    with pytest.raises(embedded.Unavailable) as refusal, embedded.servers(base):
        pass

    assert str(refusal.value) == f"{base} has less than {2**40} MB left for the database: free some space."


def test_keys_are_made_once_and_only_their_owner_reads_them(base, monkeypatch):
    first = embedded.secret_keys(base)

    assert embedded.secret_keys(base) == first
    assert stat.S_IMODE((base / "keys.json").stat().st_mode) == 0o600
    assert len(first["SECRET_KEY"]) == 64
    assert first["SWITCHYARD_SECRET_KEYS"].startswith("demo:")

    monkeypatch.setenv("SECRET_KEY", "from outside")
    assert embedded.secret_keys(base)["SECRET_KEY"] == "from outside"
