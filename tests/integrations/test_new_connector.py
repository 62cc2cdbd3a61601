"""A stranger starts a connector with one command and has what every connector has, without touching another file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from connectors import catalog, registry
from tests.connectors import test_contract as contract

ROOT = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path):
    """A folder with the places where a connector and its test go."""
    for place in ("connectors/catalog", "tests/connectors"):
        (tmp_path / place).mkdir(parents=True)
    return tmp_path


@pytest.fixture
def found(project, monkeypatch):
    """found("acme") → its definition, once the catalog looks into the project too."""
    caches = (registry.destinations, registry.sources)
    monkeypatch.setattr(catalog, "__path__", [*catalog.__path__, str(project / "connectors" / "catalog")])
    for known in caches:
        known.cache_clear()
    yield registry.get_destination
    for known in caches:
        known.cache_clear()
    sys.modules.pop("connectors.catalog.acme", None)


def start(project: Path, *words: str) -> None:
    call_command("new_connector", *words, into=project, verbosity=0)


def test_it_writes_one_file_and_its_test(project):
    start(project, "acme")

    written = sorted(str(path.relative_to(project)) for path in project.rglob("*.py"))
    assert written == ["connectors/catalog/acme.py", "tests/connectors/test_acme.py"]


def test_what_it_writes_keeps_the_contract(project, found):
    start(project, "acme", "--name", "Acme Loyalty")

    acme = found("acme")

    (action,) = acme.actions
    assert acme.name == "Acme Loyalty"
    for check in (
        contract.test_defaults_compile_and_triggers_parse,
        contract.test_a_plain_event_works_untouched_or_the_unmapped_fields_are_named,
        contract.test_a_delivery_is_one_answer_with_its_exchanges,
        contract.test_silence_is_no_answer,
        contract.test_secrets_show_in_no_repr_and_no_message,
        contract.test_what_is_refused_before_sending_sends_nothing,
    ):
        check(acme, action)
    contract.test_a_declaration_is_complete(acme)
    contract.test_the_connection_test_says_what_it_found_or_raises(acme)
    contract.test_the_address_policy_holds_for_every_connector(acme)


def test_the_test_it_writes_passes(project, found):
    start(project, "acme")
    found("acme")
    test = project / "tests" / "connectors" / "test_acme.py"

    written: dict = {}
    exec(compile(test.read_text(), test, "exec"), written)
    promises = [promise for name, promise in written.items() if name.startswith("test_")]
    for promise in promises:
        promise()

    assert len(promises) == 2


@pytest.mark.parametrize("slug", ["a", "punchh_loyalty_cloud_with_a_rather_long_name"])
def test_what_it_writes_is_formatted_as_we_write(project, slug):
    start(project, slug)
    ruff = [sys.executable, "-m", "ruff"]
    rules = ["--config", str(ROOT / "pyproject.toml"), "--config", 'lint.isort.known-first-party=["connectors"]']

    for command in (["format", "--check"], ["check", "--no-cache"]):
        done = subprocess.run([*ruff, *command, *rules, str(project)], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["Acme"], "'Acme' is no slug"),
        (["../acme"], "'../acme' is no slug"),
        (["acme", "--name", 'A"B'], "cannot stand in code"),
    ],
)
def test_what_cannot_be_a_connector_is_refused_with_nothing_written(project, words, why):
    with pytest.raises(CommandError, match=why):
        start(project, *words)

    assert not list(project.rglob("*.py"))


def test_a_connector_that_exists_is_left_alone(project):
    test = project / "tests" / "connectors" / "test_acme.py"
    test.write_text("mine")

    with pytest.raises(CommandError, match=r"test_acme\.py exists already; nothing was written"):
        start(project, "acme")

    assert [path.read_text() for path in project.rglob("*.py")] == ["mine"]
