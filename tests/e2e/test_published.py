"""Segment's published destinations, unmodified, find the sandbox to be the vendors they were written for."""

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from connectors.sandbox import Sandbox
from tests import published
from tests.published import subscription

pytestmark = pytest.mark.node

QUALTRICS = {
    "token": "tok-1",
    "directories": [{"id": "POOL_1", "rules": [["externalDataReference"]], "lists": [{"id": "CG_1"}]}],
    "workflows": [{"id": "order"}],
}
TRIGGERS = "/inbound-event/v1/events/json/triggers"
WORKFLOW = f"https://iad1.qualtrics.com{TRIGGERS}?urlTokenId=order"
TRAITS = {"email": "ann@shop.test", "firstName": "Ann", "language": "DE"}
SIGNED_UP = {"type": "identify", "userId": "u-1", "traits": TRAITS}
PAID = {
    "type": "track",
    "event": "Transaction Created",
    "userId": "u-1",
    "timestamp": "2026-03-04T05:06:07.089Z",
    "properties": {"orderId": "O-1", "total": 19.99},
}


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        sandbox.seed(qualtrics=[QUALTRICS], antavo={"st1": "s3cret"})
        yield sandbox


def test_qualtrics_knows_a_contact_again_by_its_reference(sandbox):
    add = subscription("qualtrics", "addContactToXmd", directoryId="POOL_1")

    first, second = answers(run(sandbox, "qualtrics", [add], [SIGNED_UP, SIGNED_UP]))

    contact = {"firstName": "Ann", "email": "ann@shop.test", "extRef": "u-1", "unsubscribed": False, "language": "DE"}
    path = "/API/v3/directories/POOL_1/contacts"
    assert sandbox.accepted("qualtrics") == [{"method": "POST", "path": path, "body": contact}] * 2
    assert first == second == {"id": only_contact(sandbox)}


def test_qualtrics_finds_the_contact_it_made_for_the_transaction_before(sandbox):
    into = {"directoryId": "POOL_1", "mailingListId": "CG_1"}
    add = subscription("qualtrics", "upsertContactTransaction", **into, transactionData={"@path": "$.properties"})

    first, second = answers(run(sandbox, "qualtrics", [add], [PAID, PAID]))

    searched_created_added, searched_added = 3, 2
    assert sandbox.counts()["qualtrics"]["requests"] == searched_created_added + searched_added
    stored = {
        "contactId": only_contact(sandbox),
        "mailingListId": "CG_1",
        "data": {"orderId": "O-1", "total": 19.99},
        "transactionDate": "2026-03-04 05:06:07",
    }
    added = {"method": "POST", "path": "/API/v3/directories/POOL_1/transactions", "body": stored}
    assert sandbox.accepted("qualtrics")[1:] == [added, added]
    assert [len(answer["createdTransactions"]) for answer in (first, second)] == [1, 1]
    assert [answer["unprocessedTransactions"] for answer in (first, second)] == [{}, {}]


def test_qualtrics_starts_the_workflow_of_the_url(sandbox):
    start = subscription("qualtrics", "triggerXflowWorkflow", trigger='type = "track"', workflowUrl=WORKFLOW)

    run(sandbox, "qualtrics", [start], [PAID])

    told = {name: PAID[name] for name in ("event", "type", "userId", "properties")}
    assert sandbox.accepted("qualtrics") == [{"method": "POST", "path": TRIGGERS, "body": told}]


def test_antavo_takes_loyalty_events_and_profiles(sandbox):
    event = subscription("antavo", "event", action="checkout", data={"@path": "$.properties"})
    profile = subscription("antavo", "profile")

    results = run(sandbox, "antavo", [event, profile], [PAID, SIGNED_UP])

    assert sandbox.accepted("antavo") == [
        {"customer": "u-1", "action": "checkout", "data": {"orderId": "O-1", "total": 19.99}},
        {"customer": "u-1", "action": "profile", "data": {"email": "ann@shop.test", "language": "DE"}},
    ]
    assert answers(results) == [{}, {}]


@pytest.mark.parametrize("name", ["qualtrics", "antavo"])
def test_a_wrong_key_is_refused_and_nothing_kept(sandbox, name):
    """So what the other tests show, they do not show of a sandbox that says yes to everybody."""
    action = {"qualtrics": "addContactToXmd", "antavo": "profile"}[name]
    mapping = subscription(name, action, directoryId="POOL_1")

    with pytest.raises(subprocess.CalledProcessError) as refused:
        run(sandbox, name, [mapping], [SIGNED_UP], key="wrong")

    assert "HTTPError: Unauthorized" in refused.value.stderr
    assert sandbox.accepted(name) == []


def run(
    sandbox: Sandbox, destination: str, subscriptions: list[Any], events: list[Any], key: str = ""
) -> list[list[dict[str, Any]]]:
    """What Segment's destination says to each event, one after the other."""
    settings = {
        "qualtrics": {"apiToken": key or "tok-1", "datacenter": "iad1"},
        "antavo": {"stack": "st1", "api_key": key or "s3cret"},
    }[destination]
    given = {
        "sandbox": f"http://{sandbox.host}:{sandbox.port}",
        "destination": destination,
        "settings": settings | {"subscriptions": subscriptions},
        "events": events,
    }
    command = ["node", str(published.HERE / "run.js")]
    done = subprocess.run(
        command, cwd=published.installed(), input=json.dumps(given), capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def answers(results: list[list[dict[str, Any]]]) -> list[Any]:
    """What the vendor answered to each event, of whatever mapping matched it."""
    return [result["data"] for told in results for result in told if result.get("output") == "Action Executed"]


def only_contact(sandbox: Sandbox) -> str:
    (contact,) = sandbox.qualtrics.accounts["tok-1"]["directories"]["POOL_1"].contacts
    return contact
