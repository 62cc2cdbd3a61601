"""The sandbox behaves as the vendors' documentation says, misbehaves when told to, and remembers what it got."""

import base64
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest
import requests

from connectors.client import Client
from connectors.errors import Busy, CredentialsRefused, NoAnswer, Rejected
from connectors.sandbox import Sandbox

WORKSPACES = [
    {
        "id": "ws_us",
        "slug": "demo",
        "name": "Demo",
        "region": "oregon",
        "token": "tok-us",
        "sources": [
            {"id": f"src{i}", "slug": f"shop-{i}", "name": f"Shop {i}", "writeKeys": [f"wk-us-{i}"]} for i in range(5)
        ]
        + [{"id": "off", "slug": "off", "writeKeys": ["wk-off"], "enabled": False}],
    },
    {
        "id": "ws_eu",
        "slug": "demo-eu",
        "name": "Demo EU",
        "region": "dublin",
        "token": "tok-eu",
        "sources": [{"id": "src9", "slug": "shop-eu", "writeKeys": ["wk-eu"]}],
    },
]
US, EU = "https://api.segment.io", "https://events.eu1.segmentapis.com"
TRACK = {"type": "track", "event": "Order Completed", "userId": "u1", "messageId": "m1"}


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        sandbox.seed(segment=WORKSPACES, antavo={"st1": "key-1", "st2": "key-2"})
        yield sandbox


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[Client]:
    with Client({}, policy=sandbox.policy, deadline=2) as client:
        yield client


def reasons(sandbox: Sandbox) -> list[str]:
    return [item["reason"] for item in sandbox.received("segment")]


def test_a_batch_is_taken_in_with_what_it_shares(sandbox: Sandbox, client: Client) -> None:
    body = {"batch": [TRACK], "context": {"ip": "1.2.3.4"}, "integrations": {"Antavo": False}, "sentAt": "x"}

    answer = client.post(f"{US}/v1/batch", json=body, auth=("wk-us-0", ""))

    assert (answer.status, answer.json) == (200, {"success": True})
    assert sandbox.accepted("segment") == [{**TRACK, "context": {"ip": "1.2.3.4"}, "integrations": {"Antavo": False}}]


@pytest.mark.parametrize("path", ["track", "t"])
def test_a_single_event_gets_its_type_from_the_path(sandbox: Sandbox, client: Client, path: str) -> None:
    body = json.dumps({"event": "A", "userId": "u", "writeKey": "wk-us-0"})

    client.post(f"{US}/v1/{path}", data=body, headers={"Content-Type": "text/plain"})

    assert sandbox.accepted("segment") == [{"type": "track", "event": "A", "userId": "u"}]


@pytest.mark.parametrize(
    ("host", "key", "reason"),
    [
        (US, "wk-us-0", ""),
        (EU, "wk-eu", ""),
        (US, "wk-eu", "wrong_region"),
        (EU, "wk-us-0", "wrong_region"),
        (US, "nobody-knows-it", "unknown_source"),
        (US, "wk-off", "source_disabled"),
    ],
)
def test_what_segment_drops_it_drops_with_a_200(
    sandbox: Sandbox, client: Client, host: str, key: str, reason: str
) -> None:
    assert client.post(f"{host}/v1/batch", json={"batch": [TRACK]}, auth=(key, "")).status == 200

    assert reasons(sandbox) == [reason]


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        ({"type": "track", "event": "A"}, "no_user_anon_id"),
        ({"type": "track", "event": "A", "userId": 5}, "id_not_string"),
        ({"type": "track", "userId": "u"}, "event_not_defined"),
        ({"type": "track", "userId": "u", "event": 5}, "event_not_string"),
        ({"type": "track", "userId": "u", "event": "A", "properties": []}, ""),
        ({"type": "track", "userId": "u", "event": "A", "properties": "x"}, "properties_not_object"),
        ({"type": "identify", "userId": "u", "traits": "x"}, "traits_not_object"),
        ({"type": "page", "userId": "u", "name": 5}, "name_not_string"),
        ({"type": "page", "userId": "u", "category": {"a": 1}}, "category_not_string"),
        ({"type": "group", "userId": "u"}, "id_required"),
        ({"type": "alias", "userId": "u"}, "id_required"),
        ({"type": "nope", "userId": "u"}, "bad_request"),
        ({"type": "identify", "userId": "u", "messageId": "m" * 101}, "bad_request"),
        ({"type": "identify", "userId": "u", "traits": {"a": "x" * 32_768}}, "bad_request"),
        ("text", "bad_request"),
    ],
)
def test_a_bad_event_is_dropped_and_its_siblings_are_kept(
    sandbox: Sandbox, client: Client, event: object, reason: str
) -> None:
    client.post(f"{US}/v1/batch", json={"batch": [event, TRACK]}, auth=("wk-us-0", ""))

    assert reasons(sandbox) == [reason, ""]


def test_a_message_id_counts_once_for_the_whole_of_segment(sandbox: Sandbox, client: Client) -> None:
    for key in ("wk-us-0", "wk-us-1"):
        client.post(f"{US}/v1/batch", json={"batch": [TRACK, {**TRACK, "messageId": key}]}, auth=(key, ""))

    assert reasons(sandbox) == ["", "", "duplicate", ""]
    assert sandbox.counts()["segment"] == {
        "requests": 2,
        "received": 4,
        "accepted": 3,
        "distinct": 3,
        "duplicates": 1,
        "discarded": {},
    }


@pytest.mark.parametrize(
    ("path", "body", "key"),
    [
        ("batch", b"{", "wk-us-0"),
        ("batch", b"[]", "wk-us-0"),
        ("batch", b'{"batch":["\xff"]}', "wk-us-0"),
        ("batch", b'{"batch":["' + b"x" * 512_000 + b'"]}', "wk-us-0"),
        ("track", b'{"userId":"u","event":"' + b"x" * 32_768 + b'"}', "wk-us-0"),
        ("batch", b"{}", ""),
    ],
)
def test_what_segment_refuses_it_refuses_with_a_400(
    sandbox: Sandbox, client: Client, path: str, body: bytes, key: str
) -> None:
    with pytest.raises(Rejected) as caught:
        client.post(f"{US}/v1/{path}", data=body, auth=(key, ""))

    assert caught.value.status == 400
    assert sandbox.received("segment") == []


def test_more_than_2500_events_are_answered_200_and_dropped(sandbox: Sandbox, client: Client) -> None:
    client.post(f"{US}/v1/batch", json={"batch": [TRACK] * 2501}, auth=("wk-us-0", ""))

    assert sandbox.counts()["segment"]["discarded"] == {"bad_request": 2501}


def test_a_token_opens_its_workspace_in_its_region_only(client: Client) -> None:
    found = client.get("https://eu1.api.segmentapis.com/", auth="tok-eu").json

    assert found == {"data": {"workspace": {"id": "ws_eu", "slug": "demo-eu", "name": "Demo EU"}}}
    for host, token in (("api.segmentapis.com", "tok-eu"), ("api.segmentapis.com", "wrong")):
        with pytest.raises(CredentialsRefused) as caught:
            client.get(f"https://{host}/", auth=token)
        assert caught.value.status == 401


@pytest.mark.parametrize(
    ("count", "cursor"),
    [
        ("pagination.count=4", "pagination.cursor={}"),
        ("pagination[count]=4", "pagination[cursor]={}"),
        ("pagination%5Bcount%5D=4", "pagination%5Bcursor%5D={}"),
        ("pagination=%7B%22count%22%3A4%7D", ""),
    ],
)
def test_lists_are_paged_in_every_dialect(client: Client, count: str, cursor: str) -> None:
    url = "https://api.segmentapis.com/sources"
    first = client.get(f"{url}?{count}", auth="tok-us").json["data"]
    if cursor:
        rest = cursor.format(first["pagination"]["next"])
    else:
        rest = "pagination=" + requests.utils.quote(json.dumps({"count": 4, "cursor": first["pagination"]["next"]}))
    second = client.get(f"{url}?{count if cursor else ''}&{rest}", auth="tok-us").json["data"]

    assert [source["id"] for source in first["sources"]] == ["src0", "src1", "src2", "src3"]
    assert [source["id"] for source in second["sources"]] == ["src4", "off"]
    assert first["pagination"]["next"] == base64.b64encode(b"4").decode()
    assert "next" not in second["pagination"]
    assert second["sources"][0]["writeKeys"] == ["wk-us-4"]


def test_a_page_of_an_impossible_size_is_a_422(client: Client) -> None:
    with pytest.raises(Rejected) as caught:
        client.get("https://api.segmentapis.com/catalog/sources?pagination.count=0", auth="tok-us")

    assert caught.value.status == 422
    assert caught.value.message.endswith('"pagination.count" must be between 1 and 1000')


ANTAVO = "https://api.st1.antavo.com/v1/webhook/segment"


def test_antavo_takes_an_event_in_with_a_202(sandbox: Sandbox, client: Client) -> None:
    answer = client.post(ANTAVO, json={"customer": "c", "action": "checkout", "api_key": "key-1"})

    assert (answer.status, answer.json) == (202, {})
    assert sandbox.accepted("antavo") == [{"customer": "c", "action": "checkout"}]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"customer": "c", "action": "a"}, 401),
        ({"customer": "c", "action": "a", "api_key": "key-2"}, 401),
        ({"customer": "c", "api_key": "key-1"}, 400),
        ({"action": "a", "api_key": "key-1"}, 400),
        (["a"], 400),
    ],
)
def test_antavo_refuses_a_wrong_key_and_a_missing_field(
    sandbox: Sandbox, client: Client, body: object, status: int
) -> None:
    answer = client.post(ANTAVO, json=body, expect={400, 401})

    assert answer.status == status
    assert sandbox.accepted("antavo") == []


def test_a_switch_fails_so_many_requests_and_then_no_more(sandbox: Sandbox, client: Client) -> None:
    sandbox.switch("antavo", status=503, count=2, retry_after=7)
    body = {"customer": "c", "action": "a", "api_key": "key-1"}

    for _ in range(2):
        with pytest.raises(Busy) as caught:
            client.post(ANTAVO, json=body)
        assert (caught.value.status, caught.value.retry_after) == (503, 7.0)
    assert client.post(ANTAVO, json=body).status == 202

    assert sandbox.counts()["antavo"]["received"] == 1


def test_a_share_of_429_is_spread_evenly(sandbox: Sandbox, client: Client) -> None:
    sandbox.switch("segment", rate_429=0.25, retry_after=1)

    statuses = [
        client.post(f"{US}/v1/batch", json={"batch": [TRACK]}, auth=("wk-us-0", ""), expect={429}).status
        for _ in range(8)
    ]

    assert statuses == [200, 200, 200, 429] * 2


def test_a_request_can_be_taken_in_and_never_answered(sandbox: Sandbox, client: Client) -> None:
    sandbox.switch("segment", reset=True, count=1, after=True)

    with pytest.raises(NoAnswer):
        client.post(f"{US}/v1/batch", json={"batch": [TRACK]}, auth=("wk-us-0", ""))
    client.post(f"{US}/v1/batch", json={"batch": [TRACK]}, auth=("wk-us-0", ""))

    assert reasons(sandbox) == ["", "duplicate"]


def test_a_request_that_hangs_does_not_keep_the_sandbox_from_stopping() -> None:
    with Sandbox() as sandbox:
        sandbox.switch("antavo", hang=True)
        with Client({}, policy=sandbox.policy, deadline=0.2) as client, pytest.raises(NoAnswer):
            client.post(ANTAVO, json={})


def test_it_is_told_and_asked_over_http(sandbox: Sandbox, client: Client) -> None:
    control = f"http://127.0.0.1:{sandbox.port}/__sandbox__"
    seed = {"antavo": {"st9": "key-9"}, "segment": [{"id": "w", "slug": "w", "name": "W", "sources": []}]}

    client.post(f"{control}/seed", json=seed)
    client.post(f"{control}/switches", json={"vendor": "antavo", "latency_ms": 1})
    for n in range(3):
        body = {"customer": str(n), "action": "a", "api_key": "key-9"}
        client.post("https://api.st9.antavo.com/v1/webhook/segment", json=body, headers={"Idempotency-Key": f"k{n}"})
    items = client.get(f"{control}/received?vendor=antavo&since=1&limit=1").json["items"]

    assert client.get(f"{control}/switches").json["antavo"]["latency_ms"] == 1
    assert [(item["n"], item["key"], item["host"], item["body"]["customer"]) for item in items] == [
        (2, "k1", "api.st9.antavo.com", "1")
    ]
    assert client.get(f"{control}/counts").json["antavo"]["distinct"] == 3
    client.delete(f"{control}/received")
    assert client.get(f"{control}/counts").json["antavo"]["received"] == 0


@pytest.mark.parametrize(
    "body", [{"vendor": "nobody"}, {"vendor": "antavo", "nope": 1}, {"vendor": "antavo", "rate_429": 2}]
)
def test_a_switch_that_does_not_exist_is_refused(sandbox: Sandbox, client: Client, body: object) -> None:
    answer = client.post(f"http://127.0.0.1:{sandbox.port}/__sandbox__/switches", json=body, expect={400})

    assert answer.status == 400


def test_the_command_serves_until_it_is_told_to_stop() -> None:
    command = [sys.executable, "manage.py", "sandbox", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]
        found = requests.get(f"{url}/__sandbox__/counts", timeout=5)
        process.send_signal(signal.SIGTERM)
        code = process.wait(5)

    assert (found.status_code, code) == (200, 0)


def test_the_command_listens_on_loopback_only() -> None:
    command = [sys.executable, "manage.py", "sandbox", "--host", "0.0.0.0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)

    assert done.returncode == 1
    assert "0.0.0.0 is not a loopback address" in done.stderr


def test_a_request_cut_off_in_its_body_is_not_taken_in(sandbox: Sandbox) -> None:
    head = "POST /hooks/orders HTTP/1.1\r\nHost: x\r\nIdempotency-Key: 1-7\r\nContent-Length: 20\r\n\r\n"

    with socket.create_connection((sandbox.host, sandbox.port)) as sender:
        sender.sendall(head.encode() + b'{"tag": ')
        sender.shutdown(socket.SHUT_WR)  # as the sender's end does
        answer = sender.recv(100)

    assert answer.startswith(b"HTTP/1.1 400")
    assert sandbox.received("webhook") == []
