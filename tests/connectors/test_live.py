"""`make live` would prove what it says: here it runs against the sandbox, which is no proof about the vendors."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from connectors.client import AddressPolicy
from connectors.sandbox import Sandbox
from tests import live

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
LABEL = "switchyard-live-20260304-050607"
KEYS = {
    "SWITCHYARD_LIVE_ANTAVO_STACK": "st1",
    "SWITCHYARD_LIVE_ANTAVO_API_KEY": "key-1",
    "SWITCHYARD_LIVE_QUALTRICS_API_TOKEN": "tok-q",
    "SWITCHYARD_LIVE_QUALTRICS_DATACENTER": "iad1",
    "SWITCHYARD_LIVE_QUALTRICS_DIRECTORY": "POOL_1",
    "SWITCHYARD_LIVE_QUALTRICS_MAILING_LIST": "CG_1",
    "SWITCHYARD_LIVE_SEGMENT_WRITE_KEY": "wk-1",
}


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        directory = {"id": "POOL_1", "name": "People", "lists": [{"id": "CG_1", "name": "All"}]}
        sandbox.seed(
            antavo={"st1": "key-1"},
            segment=[
                {"id": "w", "slug": "w", "name": "W", "sources": [{"id": "s", "slug": "s", "writeKeys": ["wk-1"]}]}
            ],
            qualtrics=[{"token": "tok-q", "directories": [directory]}],
        )
        yield sandbox


def said(environment: dict[str, str], policy: AddressPolicy) -> tuple[int, list[str]]:
    lines: list[str] = []
    return live.run(environment, lines.append, policy, NOW), lines


def test_without_keys_nothing_is_sent_and_it_says_so() -> None:
    failed, lines = said({}, AddressPolicy(resolve=lambda host, port: pytest.fail("asked for a host")))

    assert failed == 0
    assert lines[0] == ("Antavo: not tried. It needs SWITCHYARD_LIVE_ANTAVO_STACK, SWITCHYARD_LIVE_ANTAVO_API_KEY.")
    assert [": not tried. It needs " in line for line in lines] == [True] * 4 + [False]
    assert lines[-1] == "No keys, so nothing was sent to anybody."


def test_with_keys_it_says_what_it_proved_and_cleans_up(sandbox: Sandbox) -> None:
    url = f"http://127.0.0.1:{sandbox.port}/hooks/live"

    failed, lines = said(KEYS | {"SWITCHYARD_LIVE_WEBHOOK_URL": url}, sandbox.policy)

    assert (failed, [line for line in lines if "proved: " not in line]) == (
        0,
        [f"{name}, 2026-03-04 05:06 UTC:" for name in ("Antavo", "Qualtrics", "Twilio Segment", "Webhook")],
    )
    antavo = [(body["customer"], body["action"]) for body in sandbox.accepted("antavo")]
    assert antavo == [(LABEL, a) for a in ("opt_in", "profile", "point_add", "point_add", "point_add", "opt_out")]
    assert {body["userId"] for body in sandbox.accepted("segment")} == {LABEL}
    assert sandbox.accepted("webhook")[0]["body"] == {"label": LABEL}
    with live.TRIALS[1].account(KEYS, LABEL, sandbox.policy).client() as client:
        assert client.search_contacts("POOL_1", {"filterType": "extRef", "comparison": "eq", "value": LABEL}) == []


def test_what_fails_is_told_and_what_was_made_is_taken_away(sandbox: Sandbox) -> None:
    failed, lines = said({**KEYS, "SWITCHYARD_LIVE_QUALTRICS_MAILING_LIST": "CG_none"}, sandbox.policy)

    assert failed == 1
    assert [line.partition(":")[0].strip() for line in lines if line.startswith("  ")] == [
        *["proved"] * 8,
        "failed",
        "proved",
    ]
    with live.TRIALS[1].account(KEYS, LABEL, sandbox.policy).client() as client:
        assert client.search_contacts("POOL_1", {"filterType": "extRef", "comparison": "eq", "value": LABEL}) == []
