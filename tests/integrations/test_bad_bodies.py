"""Whatever is in a body: never a 5xx, and what is stored is what was sent."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors import event
from integrations.doors.tracking import PATHS
from logs import ids
from logs.models import Event, Request, RequestBody


@pytest.fixture
def send(client, shop):
    """send("track", b"…") → the response to the shop's body."""

    def post(path: str, body: bytes):
        return client.generic(
            "POST", f"/v1/{path}", body, "application/json", headers={"authorization": f"Bearer {shop.key}"}
        )

    return post


def track(properties: str, **more: str) -> bytes:
    """A track event with these properties, as written."""
    members = {"event": '"A"', "userId": '"u"', "messageId": '"m"', "properties": f'{{"p":{properties}}}'} | more
    return ("{" + ",".join(f'"{key}":{value}' for key, value in members.items()) + "}").encode()


KEPT = {
    "NUL in a value": track(r'"a\u0000b"'),
    "NUL in a key": track(r'{"a\u0000b":1}'),
    "NUL in every column": track("1", event=r'"\u0000"', userId=r'"\u0000"', messageId=r'"\u0000"'),
    "lone surrogate": track(r'"\ud800"'),
    "lone surrogate in a key": track(r'{"\udfff":1}'),
    "reversed surrogates": track(r'"\udc00\ud800"'),
    "surrogates in every column": track("1", event=r'"\ud800"', userId=r'"\udc00"', messageId=r'"\ud800"'),
    "largest integer": track(str(2**63 - 1)),
    "large float": track("1e308"),
    "tiny float": track("1e-400"),
    "duplicate keys": track('{"a":1,"a":2}'),
    "64 deep": track("[" * 62 + "]" * 62),
    "key of 512 bytes": track('{"' + "k" * 512 + '":1}'),
    "blanks around": b"\n\t " + track("1") + b"\r\n ",
    "messageId of 100 characters": track("1", messageId='"' + "☕" * 100 + '"'),
    "name longer than its column": track("1", event='"' + "ü" * 2_000 + '"'),
    "noncharacters": track('"\uffff\ufdd0"'),
}

REFUSED = {
    "nothing": b"",
    "no JSON": b"event=A&userId=u",
    "NaN": track("NaN"),
    "Infinity": track("-Infinity"),
    "1e400": track("1e400"),
    "integer of 64 bits": track(str(2**63)),
    "integer of 4,000 digits": track("9" * 4_000),
    "integer of 5,000 digits": track("9" * 5_000),
    "float of 5,000 digits": track("9" * 5_000 + ".5e9999"),
    "65 deep": track("[" * 63 + "]" * 63),
    "900 deep": track("[" * 900 + "]" * 900),
    "15,000 deep": track("[" * 15_000 + "]" * 15_000),
    "15,000 deep and never closed": b"[" * 15_000,
    "10,001 keys": b'{"' + b'":1,"'.join(b"%d" % n for n in range(3_000)) + b'":' + b"[" * 100 + b"]" * 100 + b"}",
    "key of 513 bytes": track('{"' + "k" * 513 + '":1}'),
    "key of 513 bytes in escapes": track('{"' + r"\"" * 513 + '":1}'),
    "UTF-8 with a mark": b"\xef\xbb\xbf" + track("1"),
    "UTF-16": track("1").decode().encode("utf-16"),
    "Latin-1": track('"ü"').decode().encode("latin-1"),
    "overlong UTF-8": track("1").replace(b'"A"', b'"\xc0\x80"'),
    "surrogates as UTF-8": track("1").replace(b'"A"', b'"\xed\xa0\x80"'),
    "control character": track('"\x01"'),
    "NUL byte": track('"\x00"'),
    "an array": b"[" + track("1") + b"]",
    "a text": b'"track"',
    "null": b"null",
    "two documents": track("1") + track("1"),
    "a comma too many": track("1").replace(b"}}", b",}}"),
    "single quotes": track("1").replace(b'"', b"'"),
    "messageId of 101 characters": track("1", messageId='"' + "m" * 101 + '"'),
}


@pytest.mark.parametrize("body", KEPT.values(), ids=KEPT)
def test_a_strange_but_sound_body_is_kept_as_it_was_sent(send, body):
    response = send("track", body)

    [row] = Event.objects.all()
    assert (response.status_code, response.content) == (200, b'{"success": true}')
    assert RequestBody.objects.get().raw == body
    assert (row.start, row.size) == (0, len(body))


@pytest.mark.parametrize("body", REFUSED.values(), ids=REFUSED)
def test_a_bad_body_is_refused_with_a_reason_and_its_start_kept(send, body):
    response = send("track", body)

    assert (response.status_code, response.json()["code"]) == (400, "bad_request")
    assert RequestBody.objects.get().raw == body[:2048]
    assert Request.objects.get().message == response.json()["message"]
    assert Event.objects.count() == 0


@pytest.mark.parametrize("body", REFUSED.values(), ids=REFUSED)
def test_in_a_batch_a_bad_body_never_costs_a_server_error(send, body):
    good = track("1")

    response = send("batch", b'{"batch":[' + good + b"," + body + b"]}")

    assert response.status_code in (200, 400)
    assert [raw_of(row) for row in Event.objects.all()] == [good] * (response.status_code == 200)


def raw_of(row: Event) -> bytes:
    """The bytes the event's row points at."""
    return RequestBody.objects.get(id=row.request).raw[row.start : row.start + row.size]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=20), inner, max_size=4),
    max_leaves=20,
)
EVENTS = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from([*sorted(event.TYPES), "delete"]) | JSON,
        "userId": st.text(max_size=5) | JSON,
        "anonymousId": JSON,
        "event": st.text(max_size=5) | JSON,
        "messageId": JSON,
        "properties": st.dictionaries(st.text(max_size=5), JSON, max_size=3) | JSON,
        "traits": JSON,
        "context": JSON,
        "timestamp": st.datetimes().map(str) | JSON,
        "sentAt": st.datetimes().map(str) | JSON,
        "groupId": JSON,
        "previousId": JSON,
    },
)
BATCHES = st.fixed_dictionaries(
    {"batch": st.lists(EVENTS | JSON, max_size=4) | JSON}, optional={"context": JSON, "sentAt": JSON, "writeKey": JSON}
)


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """Events and batches, most of them well written, some damaged, some just bytes."""
    value: Any = draw(EVENTS | BATCHES | JSON)
    body = json.dumps(value, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")
    for at, byte in draw(st.lists(st.tuples(st.integers(0, max(0, len(body) - 1)), st.integers(0, 255)), max_size=2)):
        body = body[:at] + bytes([byte]) + body[at + draw(st.integers(0, 3)) :]
    return draw(st.just(body) | st.binary(max_size=40))


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(path=st.sampled_from(sorted(PATHS)), body=bodies())
def test_no_body_makes_the_door_fail_or_change_what_it_stores(send, path, body):
    before = ids.maker.base()

    response = send(path, body)

    rows = list(Event.objects.filter(id__gt=before))
    if response.status_code != 200:
        assert response.status_code == 400
        assert rows == []
        return
    request = Request.objects.get(id__gt=before)
    stored = RequestBody.objects.get(id=request.id)
    assert stored.raw == body
    assert request.accepted == len(rows)
    assert request.accepted + request.duplicates > 0
    for row in rows:
        loaded = event.load(
            body[row.start : row.start + row.size],
            kind=request.kind,
            envelope=stored.envelope,
            received_at=request.received,
            message_id=row.message_id,
        )
        assert (loaded["type"], loaded["messageId"]) == (row.type, row.message_id)
