"""The webhook door: what Segment's webhook destinations send to a source of ours, signed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from connectors.signatures import sign_segment
from integrations import secrets
from integrations.models import Source
from integrations.models.segment import SourceKey
from logs.models import BookDelta, Event, Request, RequestBody
from logs.verdict import Line

VECTORS = json.loads((Path(__file__).parents[1] / "vectors/webhook_signature.json").read_text())
TRACK = {"type": "track", "event": "Order Completed", "userId": "u1", "messageId": "m1"}


@pytest.fixture
def source(make_segment):
    """A source that lives in Segment, whose webhook sends here."""
    return Source.objects.get(pk=make_segment().source_id)


@pytest.fixture
def send(client, source):
    """send({...}) → the response to a body signed with the source's secret, or as said."""

    def post(body, signature: str | None = None, to: int | None = None, **headers: str):
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        if signature is None:
            signature = sign_segment(raw, source.webhook_secrets()[0].encode())
        path = f"/v1/webhooks/{to or source.pk}"
        return client.generic("POST", path, raw, "application/json", headers={"x-signature": signature} | headers)

    return post


def unauthenticated() -> int:
    return sum(BookDelta.objects.filter(line=Line.UNAUTHENTICATED).values_list("n", flat=True))


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: f"{v['mode']}-{v['secret']}")
def test_segments_own_signatures_open_the_door_in_every_form(send, source, vector):
    key = SourceKey.objects.get(source=source)
    secrets.put(SourceKey.secrets_kind, key.pk, "value", vector["secret"])
    raw = vector["raw"].encode()

    response = send(raw, vector["signature"])

    assert (response.status_code, response.content) == (200, b'{"success": true}')
    assert RequestBody.objects.get().raw == raw
    assert Event.objects.count() == (3 if raw.startswith(b"[") else 1)


@pytest.mark.parametrize(
    "signature", ["", "0" * 40, "ä" * 40, sign_segment(json.dumps(TRACK).encode(), b"other"), "sha1=x"]
)
def test_what_nobody_signed_is_refused_and_only_counted(send, signature):
    response = send(TRACK, signature)

    assert (response.status_code, response.json()["code"]) == (401, "invalid_signature")
    assert (Event.objects.count(), Request.objects.count(), unauthenticated()) == (0, 0, 1)


def test_a_changed_body_is_refused(send, source):
    signature = sign_segment(json.dumps(TRACK).encode(), source.webhook_secrets()[0].encode())

    assert send({**TRACK, "userId": "u2"}, signature).status_code == 401


def test_the_answer_does_not_tell_whether_a_source_exists(send, source, shop, client):
    known, unknown = send(TRACK, "0" * 40), send(TRACK, "0" * 40, to=source.pk + 1)
    without_a_webhook = send(TRACK, to=shop.pk)
    beyond_any_id = send(TRACK, to=2**80)

    answers = [(r.status_code, r.content) for r in (known, unknown, without_a_webhook, beyond_any_id)]
    assert answers == [answers[0]] * 4
    assert answers[0][0] == 401


def test_a_source_without_a_secret_refuses_even_an_empty_one(send, source):
    SourceKey.objects.filter(source=source).delete()

    assert send(TRACK, sign_segment(json.dumps(TRACK).encode(), b"")).status_code == 401


def test_after_a_rotation_both_secrets_open(send, source):
    raw = json.dumps(TRACK).encode()
    before = source.webhook_secrets()[0]
    after = source.issue_key()

    answers = [send(raw, sign_segment(raw, secret.encode())).status_code for secret in (before, after)]

    assert answers == [200, 200]
    assert Event.objects.count() == 1


def test_one_event_or_many_are_kept_deletions_too(send):
    deletion = {"type": "delete", "userId": "u2", "timestamp": "2012-12-02T00:30:08.276Z"}
    alias = {"type": "alias", "Previous ID": "p", "User ID": "u3", "messageId": "m3"}

    answers = [send(TRACK).status_code, send([deletion, alias]).status_code, send([deletion]).status_code]

    assert answers == [200, 200, 200]
    assert [(e.type, e.customer) for e in Event.objects.order_by("id")] == [
        ("track", "u1"),
        ("delete", "u2"),
        ("alias", "u3"),
    ]


def test_several_megabytes_of_events_are_taken(send):
    batch = [{**TRACK, "messageId": str(n), "properties": {"f": "x" * 900}} for n in range(4_000)]

    assert send(batch).content == b'{"success": true}'
    assert Event.objects.count() == 4_000


def test_what_is_signed_but_cannot_be_kept_is_refused_and_logged(send, source):
    answers = [
        send(b"[]"),
        send([{"type": "track"}]),
        send(b'[{"type":"page","userId":"a","userId":"b"}]'),
        send([TRACK] * 4_001),
        send(b" " * (5 * 1024 * 1024 + 1)),
        send(TRACK, content_type="text/xml"),
    ]

    assert [(r.status_code, r.json()["code"]) for r in answers] == [
        (400, "empty_batch"),
        (400, "no_user_anon_id"),
        (400, "bad_request"),
        (400, "too_many_events"),
        (413, "body_too_large"),
        (415, "unsupported_media_type"),
    ]
    assert [(r.source, r.kind, r.status) for r in Request.objects.order_by("id")] == [
        (source.pk, "webhook", status) for status in (400, 400, 400, 400, 415)
    ]
    assert unauthenticated() == 1  # what was too large to read was not authenticated


def test_no_signature_or_secret_stands_in_what_is_stored(send, source):
    send(TRACK, authorization="Bearer x", cookie="session=y")

    assert RequestBody.objects.get().headers == {"content-type": "application/json"}
