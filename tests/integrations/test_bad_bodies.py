"""Whatever is in a body: never a 5xx, and what is stored is what was sent."""

from __future__ import annotations

import json

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
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=20), inner, max_size=4),
    max_leaves=20,
)
SOUND = {"type": "track", "event": "A", "userId": "u", "groupId": 1, "previousId": "p"}
CHANGES = {
    "type": st.sampled_from([*sorted(event.TYPES), "delete"]) | JSON,
    "userId": JSON,
    "anonymousId": JSON,
    "event": st.text(max_size=5) | JSON,
    "messageId": st.text(max_size=101) | JSON,
    "properties": st.dictionaries(st.text(max_size=5), JSON, max_size=3),
    "traits": JSON,
    "context": st.dictionaries(st.text(max_size=5), JSON, max_size=3) | JSON,
    "timestamp": st.datetimes().map(str) | JSON,
    "sentAt": st.datetimes().map(str) | JSON,
    "groupId": JSON,
    "": JSON,
}
EVENTS = st.sets(st.sampled_from(sorted(CHANGES)), max_size=2).flatmap(
    lambda keys: st.fixed_dictionaries({key: CHANGES[key] for key in keys}).map(lambda changed: SOUND | changed)
)
BATCHES = st.fixed_dictionaries(
    {"batch": st.lists(EVENTS, max_size=4) | st.lists(EVENTS | JSON, max_size=3)},
    optional={"context": st.dictionaries(st.text(max_size=5), JSON, max_size=3), "sentAt": JSON, "writeKey": JSON},
)


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, bytes]:
    """A path and a body: mostly sound, with a few odd values; some damaged in a byte or two, some just bytes."""
    path = draw(st.sampled_from(sorted(PATHS)))
    value = draw(BATCHES if PATHS[path] in ("batch", "import") else EVENTS)
    body = json.dumps(value, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")
    match draw(st.integers(0, 9)):
        case 7:
            return path, draw(st.binary(max_size=40))
        case 8 | 9:
            at = draw(st.integers(0, len(body) - 1))
            body = body[:at] + draw(st.binary(max_size=3)) + body[at + draw(st.integers(0, 3)) :]
    return path, body


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(request=requests())
def test_no_body_makes_the_door_fail_or_change_what_it_stores(send, request):
    path, body = request
    before = ids.maker.base()

    response = send(path, body)

    rows = list(Event.objects.filter(id__gt=before))
    if response.status_code != 200:
        assert response.status_code == 400
        assert rows == []
        return
    row = Request.objects.get(id__gt=before)
    stored = RequestBody.objects.get(id=row.id)
    assert stored.raw == body
    assert row.accepted == len(rows)
    assert row.accepted + row.duplicates > 0
    for kept in rows:
        loaded = event.load(
            body[kept.start : kept.start + kept.size],
            kind=row.kind,
            envelope=stored.envelope,
            received_at=row.received,
            message_id=kept.message_id,
        )
        assert (loaded["type"], loaded["messageId"]) == (kept.type, kept.message_id)
