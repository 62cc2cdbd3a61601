"""A webhook's receiver can trust what it gets: every byte is signed, and a repeated one can be told."""

import json
from typing import Any

import pytest
import responses

from connectors.definitions import Result
from connectors.errors import Blocked, PayloadError
from connectors.registry import get_destination
from connectors.sandbox import Sandbox
from connectors.signatures import verify_segment

WEBHOOK = get_destination("webhook")
URL = "https://hooks.test/in"
SECRET = "clé-secrète"
EVENTS = [{"messageId": f"m-{i}", "type": "track", "userId": "ü", "properties": {"total": 1.5}} for i in range(3)]


def execute(*events: Any, secret: str = SECRET, **fields: Any) -> list[Result]:
    mapping = WEBHOOK.action("send").default_mapping | {"url": URL} | fields
    return WEBHOOK.execute_batch("send", {"sharedSecret": secret}, mapping, events or EVENTS)


def genuine(call: Any) -> bool:
    return verify_segment(call.request.body, call.request.headers["X-Signature"], [SECRET.encode()])


@responses.activate
def test_each_event_is_sent_alone_and_signed() -> None:
    responses.post(URL)

    execute()

    assert [json.loads(call.request.body) for call in responses.calls] == EVENTS
    assert all(genuine(call) for call in responses.calls)
    assert [call.request.headers["Idempotency-Key"] for call in responses.calls] == ["m-0", "m-1", "m-2"]


@responses.activate
def test_a_batch_is_signed_as_a_whole() -> None:
    responses.post(URL)

    results = execute(batch_size=2)

    assert [json.loads(call.request.body) for call in responses.calls] == [EVENTS[:2], EVENTS[2]]
    assert all(genuine(call) for call in responses.calls)
    assert not verify_segment(
        responses.calls[0].request.body.replace(b"m-1", b"m-9"),
        responses.calls[0].request.headers["X-Signature"],
        [SECRET.encode()],
    )
    assert [len(result.exchanges) for result in results] == [1, 0, 1]


@responses.activate
def test_events_for_different_addresses_travel_apart() -> None:
    responses.post("https://hooks.test/a")
    responses.post("https://hooks.test/b")
    events = [{"to": to, "n": n} for n, to in enumerate("abab")]

    execute(*events, url={"@template": "https://hooks.test/{{to}}"}, batch_size=10)

    assert [(call.request.url[-1], [e["n"] for e in json.loads(call.request.body)]) for call in responses.calls] == [
        ("a", [0, 2]),
        ("b", [1, 3]),
    ]


@responses.activate
def test_without_a_secret_nothing_is_signed() -> None:
    responses.post(URL)

    execute(EVENTS[0], secret="")

    assert "X-Signature" not in responses.calls[0].request.headers


@responses.activate
def test_headers_are_sent_as_text() -> None:
    responses.put(URL)

    execute(EVENTS[0], method="PUT", headers={"X-A": "a b", "X-N": 5, "X-T": True, "content-type": "text/x"})

    headers = responses.calls[0].request.headers
    assert (headers["X-A"], headers["X-N"], headers["X-T"], headers["Content-Type"]) == ("a b", "5", "true", "text/x")


@pytest.mark.parametrize("value", ["naïve", "a\r\nX-B: b", "a\x00", "\u2713"])
@responses.activate
def test_a_header_that_cannot_be_sent_is_the_mappings_fault(value: str) -> None:
    (result,) = execute(EVENTS[0], headers={"X-A": value})

    assert isinstance(result.error, PayloadError)
    assert [(f.path, f.message) for f in result.error.faults] == [
        ("/headers/X-A", "The header X-A may only have visible ASCII characters.")
    ]
    assert len(responses.calls) == 0


@pytest.mark.parametrize("url", ["https://127.0.0.1/in", "https://169.254.169.254/latest", "http://8.8.8.8/in"])
def test_a_webhook_leads_to_the_public_internet_over_tls_only(url: str) -> None:
    (result,) = execute(EVENTS[0], url=url)

    assert isinstance(result.error, Blocked)


def test_the_sandbox_receives_webhooks() -> None:
    with Sandbox() as sandbox:
        url = f"http://127.0.0.1:{sandbox.port}/hooks/shop"
        fields = WEBHOOK.action("send").default_mapping | {"url": url}
        result = WEBHOOK.execute("send", {}, fields, EVENTS[0], policy=sandbox.policy)

        assert result.error is None
        assert sandbox.accepted("webhook") == [{"path": "/hooks/shop", "method": "POST", "body": EVENTS[0]}]
