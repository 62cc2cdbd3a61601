"""The demo says in one sentence what is in its way, and its supervisor is told what we mean."""

import errno
import os
import shlex
import socket
from configparser import RawConfigParser
from pathlib import Path

import pytest

from integrations import demo, demo_brand


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    for name, path in {"BUILD": tmp_path, "RUN": tmp_path / "run", "LOGS": tmp_path / "logs"}.items():
        monkeypatch.setattr(demo, name, path)


def test_a_port_in_use_is_one_sentence_with_the_way_out(monkeypatch, capsys):
    with socket.socket() as other:
        other.bind((demo.HOST, 0))
        other.listen()
        port = other.getsockname()[1]
        monkeypatch.setattr("sys.argv", ["demo", "--port", str(port)])

        assert demo.main() == 1

    reason = f"[Errno {errno.EADDRINUSE}] {os.strerror(errno.EADDRINUSE)}"
    told = f"Port {port} of 127.0.0.1 cannot be used ({reason}): choose another one, "
    assert capsys.readouterr().err == told + 'as in make demo ARGS="--port 8010".\n'


def test_a_second_demo_in_the_same_folder_is_refused():
    with demo._alone(), pytest.raises(demo.InTheWay, match="A demo is running in .* already"), demo._alone():
        pass


def test_every_program_is_restarted_and_stops_before_what_it_needs():
    text = demo._supervisord_conf(demo.programs(8000, 8072), Path("/a b/100%/pid"))
    conf = RawConfigParser()
    conf.read_string(text)
    programs = {name: conf[f"program:{name}"] for name in ("sandbox", "worker", "beat", "web")}

    assert sorted(programs, key=lambda name: -int(programs[name]["priority"])) == ["web", "beat", "worker", "sandbox"]
    assert {program["autorestart"] for program in programs.values()} == {"true"}
    assert shlex.split(programs["web"]["command"])[1:5] == ["--host", "127.0.0.1", "--port", "8000"]
    assert conf["supervisord"]["pidfile"] == "/a b/100%%/pid"
    assert conf["supervisord"].get("user") == ("root" if os.geteuid() == 0 else None)


@pytest.mark.django_db
def test_settling_twice_makes_one_brand_with_every_mapping_on():
    first = demo_brand.settle("one")
    second = demo_brand.settle("two")

    assert second == first
    assert second.reveal_key() == first.reveal_key()
    on = second.mappings.filter(enabled=True).values_list("destination__name", "action")
    assert sorted(on) == [
        ("Antavo st1", "event"),
        ("Antavo st1", "profile"),
        ("Antavo st2", "event"),
        ("Segment (Dublin)", "track"),
        ("Segment (Oregon)", "identify"),
        ("Segment (Oregon)", "page"),
        ("Segment (Oregon)", "track"),
        ("Surveys", "addContactToXmd"),
        ("Surveys", "triggerXflowWorkflow"),
    ]
    assert second.mappings.count() == len(on)


@pytest.mark.django_db
def test_the_password_printed_is_the_password_that_opens(client):
    demo_brand.settle("one")
    demo_brand.settle("two")

    assert client.login(username=demo_brand.LOGIN, password="two")
