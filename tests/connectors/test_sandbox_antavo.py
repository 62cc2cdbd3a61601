"""The sandbox's Antavo books, refuses and checks signatures as its documentation says, and shows what it got."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from connectors.client import Answer, Client
from connectors.sandbox import Sandbox
from connectors.sandbox.antavo import Antavo
from connectors.sandbox.memory import Request

API = "https://api.st2.antavo.com"
STACK = {
    "key": "KEY",
    "secret": "SECRET",
    "external_ids": ["card"],
    "customers": {"c-1": {"first_name": "Ann", "card": "4711"}},
}
POINTS = {"customer": "c-1", "action": "point_add", "data": {"points": 325}}
# Made with Antavo's recipe by two independent programs.
SIGNED_BODY = b'{"customer":"c-1","action":"point_add","data":{"points":325}}'
SIGNED = {
    "Host": "api.st2.antavo.com",
    "Date": "20260102T030405Z",
    "Authorization": "ANTAVO-HMAC-SHA256 Credential=KEY/20260102/st2/api/antavo_request, SignedHeaders=date;host, "
    "Signature=40a26f64922ecae1d93c8ab97f6a2095766492f6254e50d786ae2dfe2d2749ca",
}
SIGNED_AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        sandbox.seed(antavo={"st2": STACK})
        yield sandbox


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[Client]:
    with Client({}, policy=sandbox.policy, deadline=2) as client:
        yield client


def post(client: Client, path: str, body: Any, key: str = "KEY") -> Answer:
    return client.post(f"{API}{path}?api_key={key}", json=body, expect=range(400, 500))


def code(answer: Answer) -> tuple[int, int]:
    return answer.status, answer.json["error"]["code"]


def test_an_event_is_booked_and_answered_with_the_customer(sandbox: Sandbox, client: Client) -> None:
    answer = post(client, "/events", POINTS)

    assert answer.status == 200
    assert (answer.json["id"], answer.json["score"], answer.json["first_name"]) == ("c-1", 325, "Ann")
    assert answer.json["events"] == [
        {
            "id": "event-1",
            "action": "point_add",
            "points": 325,
            "account": {"id": "default", "name": "default"},
        }
    ]
    assert sandbox.accepted("antavo") == [POINTS]


@pytest.mark.parametrize(
    ("event", "refused"),
    [
        ({"customer": "c-1"}, (400, 113401)),
        ({"action": "point_add"}, (400, 113401)),
        ({**POINTS, "customer": "nobody"}, (404, 160212)),
        ({**POINTS, "customer": "0815", "external_id": "card"}, (404, 160212)),
        ({"customer": "c-1", "action": "opt_in"}, (400, 112101)),
        ([], (400, 113401)),
    ],
)
def test_what_antavo_refuses_it_refuses_with_its_code(client: Client, event: Any, refused: tuple[int, int]) -> None:
    answer = post(client, "/events", event)

    assert code(answer) == refused


@pytest.mark.parametrize("external", [{"customer": "4711", "external_id": "card"}, {"external_id": "4711"}])
def test_a_customer_is_found_by_an_external_id(client: Client, external: dict[str, str]) -> None:
    answer = post(client, "/events", POINTS | external)

    assert answer.json["id"] == "c-1"


def test_a_customer_joins_changes_and_is_found(client: Client) -> None:
    post(client, "/events", {"customer": "c/2", "action": "opt_in", "data": {"first_name": "Bo"}})
    post(client, "/events", {"customer": "c/2", "action": "profile", "data": {"last_name": "Lee"}})

    found = client.get(f"{API}/customers/c%2F2?api_key=KEY").json
    searched = client.get(f"{API}/customers?last_name=Lee&api_key=KEY").json["data"]
    external = client.get(f"{API}/customers/card:4711?api_key=KEY").json
    assert (found["first_name"], found["last_name"]) == ("Bo", "Lee")
    assert ([c["id"] for c in searched], external["id"]) == (["c/2"], "c-1")
    assert code(client.get(f"{API}/customers?api_key=KEY", expect={400})) == (400, 160211)


def test_a_purchase_counts_once(sandbox: Sandbox, client: Client) -> None:
    purchase = {**POINTS, "data": {"points": 5, "transaction_id": "t-1"}}

    first, second = post(client, "/events", purchase), post(client, "/events", purchase)

    assert first.json["score"] == 5
    assert code(second) == (400, 5003)
    assert [item["reason"] for item in sandbox.received("antavo")] == ["", "duplicate"]
    assert client.get(f"{API}/customers/c-1?api_key=KEY").json["score"] == 5


def test_many_at_once_are_answered_one_by_one_in_order(client: Client) -> None:
    answer = post(client, "/events/bulk", {"events": [POINTS, {**POINTS, "customer": "nobody"}, POINTS]})

    assert [list(result) for result in answer.json["results"]] == [["events"], ["error"], ["events"]]
    assert (answer.json["total"], answer.json["errors"]) == (3, 1)
    assert code(post(client, "/events/bulk", {"events": [POINTS] * 51})) == (400, 113401)


@pytest.mark.parametrize("key", ["", "other"])
def test_a_wrong_key_opens_nothing(sandbox: Sandbox, client: Client, key: str) -> None:
    answer = post(client, "/events", POINTS, key)

    assert code(answer) == (401, 101021)
    assert sandbox.received("antavo") == []


def signed_request(**changes: Any) -> Request:
    headers = SIGNED | changes.pop("headers", {})
    return Request(
        **{
            "method": "POST",
            "host": "api.st2.antavo.com",
            "path": "/events",
            "query": "",
            "headers": headers,
            "body": SIGNED_BODY,
        }
        | changes
    )


def test_a_signature_made_elsewhere_opens() -> None:
    antavo = Antavo(now=lambda: SIGNED_AT)
    antavo.seed({"st2": {**STACK, "signed_only": True}})

    assert antavo.answer(signed_request()).status == 200


@pytest.mark.parametrize(
    ("now", "changes"),
    [
        (datetime(2026, 1, 2, 3, 10, tzinfo=UTC), {}),
        (SIGNED_AT, {"body": SIGNED_BODY.replace(b"325", b"326")}),
        (SIGNED_AT, {"path": "/events/bulk"}),
        (SIGNED_AT, {"query": "a=1"}),
        (SIGNED_AT, {"headers": {"Authorization": "ANTAVO-HMAC-SHA256 nonsense"}}),
        (SIGNED_AT, {"headers": {"Authorization": ""}}),
        (SIGNED_AT, {"headers": {"Authorization": ""}, "query": "api_key=KEY"}),
    ],
)
def test_nothing_else_opens_a_stack_that_wants_signatures(now: datetime, changes: dict[str, Any]) -> None:
    antavo = Antavo(now=lambda: now)
    antavo.seed({"st2": {**STACK, "signed_only": True}})

    reply = antavo.answer(signed_request(**changes))

    assert reply.status == 401
    assert antavo.memory.received() == []


def test_seeding_a_known_key_again_forgets_no_customer(sandbox: Sandbox, client: Client) -> None:
    post(client, "/events", {"customer": "c-2", "action": "opt_in"})

    sandbox.seed(antavo={"st2": "KEY"})

    assert client.get(f"{API}/customers/c-2?api_key=KEY").status == 200


def test_what_arrived_is_shown_newest_first_and_escaped(sandbox: Sandbox, client: Client) -> None:
    for action in ("first", "<script>"):
        post(client, "/events", {**POINTS, "action": action})

    answer = client.get(f"http://127.0.0.1:{sandbox.port}/__sandbox__/?vendor=antavo")

    page = answer.body.decode()
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "<script>" not in page
    assert 0 < page.index("&lt;script&gt;") < page.index("&quot;first&quot;")
    assert "2 in 2 requests, 2 taken in" in page
    assert "KEY" not in page


def test_the_page_goes_on_with_older_items(sandbox: Sandbox, client: Client) -> None:
    sandbox.vendor("antavo").memory.keep("h", [("", {"n": f"item-{n}"}, "") for n in range(1, 61)])
    page = f"http://127.0.0.1:{sandbox.port}/__sandbox__/"

    newest = client.get(page).body.decode()
    older = client.get(f"{page}?vendor=antavo&before=11").body.decode()

    assert 'href="?vendor=antavo&amp;before=11"' in newest
    assert ("item-60" in newest, "item-11" in newest, "item-10&" in newest) == (True, True, False)
    assert ("item-11" in older, "item-10&" in older, "Older" in older) == (False, True, False)
    assert client.get(f"{page}?vendor=nobody", expect={400}).status == 400


def test_a_seed_over_http_may_say_more_than_a_key(sandbox: Sandbox, client: Client) -> None:
    client.post(f"http://127.0.0.1:{sandbox.port}/__sandbox__/seed", json={"antavo": {"st9": STACK}})

    found = client.get("https://api.st9.antavo.com/customers/c-1?api_key=KEY")

    assert json.loads(found.body)["card"] == "4711"
