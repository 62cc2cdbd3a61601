"""Segment gets each event once, in the right region, and nothing that it would answer 200 to and drop."""

import base64
import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import responses

from connectors.catalog.segment import PublicClient, SegmentClient
from connectors.definitions import Call, Result
from connectors.errors import Blocked, CredentialsRefused, PayloadError
from connectors.registry import get_destination
from connectors.sandbox import Sandbox

SEGMENT = get_destination("segment")
OREGON, DUBLIN = "https://api.segment.io/v1/batch", "https://events.eu1.segmentapis.com/v1/batch"
SETTINGS = {"source_write_key": "wk-1", "region": "oregon"}
EVENT: dict[str, Any] = {
    "messageId": "m-1",
    "userId": "u-1",
    "anonymousId": None,
    "timestamp": "2026-03-04T05:06:07.089Z",
    "receivedAt": "2026-03-04T05:06:08.000Z",
    "context": {"ip": "203.0.113.9"},
    "integrations": {"All": True, "Antavo": False},
}
PLAIN: dict[str, dict[str, Any]] = {
    "identify": {"traits": {"email": "ann@shop.test"}},
    "track": {"event": "Order Completed", "properties": {"total": 12.5, "note": None}},
    "page": {"name": "Home", "category": "Shop", "properties": {"path": "/"}},
    "screen": {"name": "Home", "properties": {}},
    "group": {"groupId": "g-1", "traits": {"plan": "pro"}},
    "alias": {"previousId": "an-1"},
}


def execute(
    kind: str, event: dict[str, Any], fields: dict[str, Any] | None = None, settings: dict[str, Any] = SETTINGS
) -> Result:
    return SEGMENT.execute(kind, settings, SEGMENT.action(kind).default_mapping | (fields or {}), event)


def sent() -> list[dict[str, Any]]:
    return [item for call in responses.calls for item in json.loads(call.request.body or "")["batch"]]


@pytest.mark.parametrize("kind", PLAIN)
@responses.activate
def test_a_plain_event_is_sent_as_it_is(kind: str) -> None:
    responses.post(OREGON, json={"success": True})

    result = execute(kind, {**EVENT, **PLAIN[kind], "type": kind})

    kept = {name: EVENT[name] for name in ("userId", "timestamp", "context", "integrations")}
    assert sent() == [{"type": kind, "messageId": "m-1", **kept, **PLAIN[kind]}]
    assert result.answer.json == {"success": True}


@pytest.mark.parametrize(("region", "url"), [("oregon", OREGON), ("dublin", DUBLIN), ("", OREGON)])
@responses.activate
def test_the_region_decides_the_host_and_the_write_key_opens_it(region: str, url: str) -> None:
    responses.post(url, json={"success": True})
    before = datetime.now(UTC)

    result = execute("track", EVENT | PLAIN["track"], settings={"source_write_key": "wk-1", "region": region})

    request = responses.calls[0].request
    assert request.headers["Authorization"] == "Basic " + base64.b64encode(b"wk-1:").decode()
    sent_at = datetime.fromisoformat(json.loads(request.body or "")["sentAt"])
    assert 0 <= (sent_at - before).total_seconds() + 0.001 < 5
    assert result.exchanges[0].url == url


@responses.activate
def test_a_region_that_does_not_exist_sends_nothing() -> None:
    result = execute("track", EVENT | PLAIN["track"], settings={"source_write_key": "wk-1", "region": "paris"})

    assert isinstance(result.error, Blocked)
    assert result.error.message == "'paris' is no region of Segment; choose one of oregon, dublin in the account."


@pytest.mark.parametrize("key", ["k-1", "k" * 100, "k" * 101])
@responses.activate
def test_the_message_id_is_the_key_or_its_hash_on_every_attempt(key: str) -> None:
    responses.post(OREGON, json={"success": True})
    client = SegmentClient(SETTINGS)

    for _ in range(2):
        SEGMENT.action("track").perform(client, {"event": "A", "userId": "u"}, Call(key))

    expected = key if len(key) <= 100 else hashlib.sha256(key.encode()).hexdigest()
    assert [item["messageId"] for item in sent()] == [expected, expected]


@responses.activate
def test_a_mapping_may_set_the_message_id() -> None:
    responses.post(OREGON, json={"success": True})

    execute("track", EVENT | PLAIN["track"], {"messageId": {"@template": "mine-{{messageId}}"}})

    assert sent()[0]["messageId"] == "mine-m-1"


NOBODY = "Segment discards events with neither a User ID nor an Anonymous ID."


@pytest.mark.parametrize(
    ("kind", "fields", "path", "message"),
    [
        ("track", {"userId": ""}, "/userId", NOBODY),
        ("identify", {"userId": None}, "/userId", NOBODY),
        ("track", {"event": ""}, "", "The root value is missing the required field 'event'."),
        ("group", {"groupId": None}, "", "The root value is missing the required field 'groupId'."),
        ("alias", {"previousId": ""}, "", "The root value is missing the required field 'previousId'."),
        ("track", {"messageId": "m" * 101}, "/messageId", "Message ID may have 100 characters at most."),
        ("identify", {"traits": {"a": "é" * 16_384}}, "", "Segment discards events over 32 KB; this one has "),
    ],
)
@responses.activate
def test_what_segment_would_swallow_is_refused_before_sending(
    kind: str, fields: dict[str, Any], path: str, message: str
) -> None:
    result = execute(kind, {**EVENT, **PLAIN[kind]}, fields)

    assert isinstance(result.error, PayloadError)
    (fault,) = result.error.faults
    assert (fault.path, fault.message[: len(message)]) == (path, message)
    assert len(responses.calls) == 0


@pytest.mark.parametrize("fields", [{"event": ""}, {"event": None}])
def test_an_empty_event_name_is_never_let_through(fields: dict[str, Any]) -> None:
    check = SEGMENT.action("track").check
    assert check

    with pytest.raises(PayloadError, match="without an Event name"):
        check({"userId": "u", **fields})


@responses.activate
def test_the_siblings_of_a_bad_event_are_sent_in_one_request() -> None:
    responses.post(OREGON, json={"success": True})
    events = [{"userId": f"u{i}", "messageId": f"m{i}", "event": "A"} for i in range(3)]
    events[1]["userId"] = ""

    results = SEGMENT.execute_batch("track", SETTINGS, SEGMENT.action("track").default_mapping, events)

    assert [(item["userId"], item["messageId"]) for item in sent()] == [("u0", "m0"), ("u2", "m2")]
    assert len(responses.calls) == 1
    assert [type(result.error) for result in results] == [type(None), PayloadError, type(None)]


@responses.activate
def test_a_batch_has_at_most_100_events_and_475000_bytes() -> None:
    responses.post(OREGON, json={"success": True})
    small = [{"userId": "u", "messageId": str(i), "event": "A"} for i in range(250)]
    large = [{"userId": "u", "messageId": str(i), "event": "A", "properties": {"a": "x" * 31_000}} for i in range(40)]

    SEGMENT.execute_batch("track", SETTINGS, SEGMENT.action("track").default_mapping, small)
    SEGMENT.execute_batch("track", SETTINGS, SEGMENT.action("track").default_mapping, large)

    bodies = [call.request.body or b"" for call in responses.calls]
    assert [len(json.loads(body)["batch"]) for body in bodies] == [100, 100, 50, 15, 15, 10]
    assert max(len(body) for body in bodies) < 500_000


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        shops = [{"id": f"s{i}", "slug": f"shop-{i}", "writeKeys": [f"wk-{i}"]} for i in range(450)]
        workspace = {"id": "w", "slug": "demo", "name": "Demo", "region": "dublin", "token": "tok", "sources": shops}
        sandbox.seed(segment=[workspace])
        yield sandbox


def test_segment_takes_every_kind_of_event_in(sandbox: Sandbox) -> None:
    settings = {"source_write_key": "wk-1", "region": "dublin"}

    for kind, event in PLAIN.items():
        fields = SEGMENT.action(kind).default_mapping
        result = SEGMENT.execute(kind, settings, fields, {**EVENT, **event, "messageId": kind}, policy=sandbox.policy)
        assert result.error is None

    assert [event["type"] for event in sandbox.accepted("segment")] == list(PLAIN)


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({}, "Without a Public API token nothing can be verified: Segment answers 200 to any write key"),
        ({"token": "tok"}, "The token opens the workspace Demo."),
        (
            {"token": "tok", "source_write_key": "wk-449"},
            "The token opens the workspace Demo; the write key is that of ",
        ),
        ({"token": "tok", "source_write_key": "nope"}, "The token opens the workspace Demo, but none of its sources "),
    ],
)
def test_the_connection_test_tells_what_can_be_known(sandbox: Sandbox, settings: dict[str, str], found: str) -> None:
    told = SEGMENT.test({"region": "dublin", **settings}, policy=sandbox.policy)

    assert told.startswith(found)
    assert sandbox.received("segment") == []


@pytest.mark.parametrize(("region", "token"), [("dublin", "wrong"), ("oregon", "tok")])
def test_a_token_that_opens_nothing_is_refused(sandbox: Sandbox, region: str, token: str) -> None:
    with pytest.raises(CredentialsRefused, match="answered 401: The token is invalid, expired or not of this region"):
        SEGMENT.test({"region": region, "token": token}, policy=sandbox.policy)


def test_sources_are_read_page_by_page(sandbox: Sandbox) -> None:
    with PublicClient({"region": "dublin", "token": "tok"}, policy=sandbox.policy) as client:
        slugs = [source["slug"] for source in client.list_sources()]
        kinds = [kind["slug"] for kind in client.list_source_catalog()]
        pages = [exchange.url.partition("?")[2] for exchange in client.take_exchanges()]

    assert slugs == [f"shop-{i}" for i in range(450)]
    assert kinds[:2] == ["http-api", "javascript"]
    assert pages == [
        "pagination.count=200",
        "pagination.count=200&pagination.cursor=MjAw",
        "pagination.count=200&pagination.cursor=NDAw",
        "pagination.count=200",
    ]


@responses.activate
def test_an_answer_that_is_not_the_public_apis_is_told() -> None:
    responses.get("https://api.segmentapis.com/", body="<html>hello</html>")

    with pytest.raises(Blocked, match="answered 200, but not in the form of Segment's Public API"):
        SEGMENT.test({"token": "tok"})
