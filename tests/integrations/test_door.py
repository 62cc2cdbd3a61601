"""The tracking door: Segment's HTTP Tracking API, seen from outside and by the rows it leaves."""

from __future__ import annotations

import base64
import gzip
import io
import json
import tracemalloc
import zlib

import pytest
from django.db import OperationalError, connection
from django.test import Client

from integrations.doors import answers
from logs.models import BookDelta, Event, Request, RequestBody
from logs.verdict import Line

KEPT = b'{"success": true}'
PAGE = {"type": "page", "name": "Home", "userId": "u1", "messageId": "m1"}


@pytest.fixture
def send(client, db):
    """send("track", {...}, key) → the response; bodies may be bytes."""

    def post(path: str, body, key: str | None = None, content_type: str = "application/json", **headers: str):
        if key is not None:
            headers["authorization"] = "Basic " + base64.b64encode(f"{key}:".encode()).decode()
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return client.generic("POST", f"/v1/{path}", data, content_type, headers=headers)

    return post


def stored() -> list[tuple[str, str, str, bytes]]:
    """Every event's type, name and customer, and the bytes its row points at."""
    bodies = {body.id: body.raw for body in RequestBody.objects.all()}
    return [
        (e.type, e.name, e.customer, bodies[e.request][e.start : e.start + e.size])
        for e in Event.objects.order_by("id")
    ]


def answer(response) -> tuple[int, bool, str]:
    """Status, success and code of a response."""
    body = response.json()
    return response.status_code, body["success"], body.get("code", "")


def booked(line: Line) -> int:
    return sum(BookDelta.objects.filter(line=line).values_list("n", flat=True))


class TestPaths:
    @pytest.mark.parametrize(
        ("path", "body", "columns"),
        [
            ("track", {"event": "Order Completed", "userId": "u"}, ("track", "Order Completed", "u")),
            ("identify", {"userId": 7, "traits": {"vip": True}}, ("identify", "", "7")),
            ("page", {"anonymousId": "a", "name": "Home"}, ("page", "Home", "a")),
            ("screen", {"anonymousId": "a"}, ("screen", "", "a")),
            ("group", {"groupId": "g", "userId": "u"}, ("group", "", "u")),
            ("alias", {"previousId": "p", "userId": "u"}, ("alias", "", "u")),
            ("batch", {"batch": [PAGE]}, ("page", "Home", "u1")),
            ("import", {"batch": [PAGE]}, ("page", "Home", "u1")),
            ("t", {"event": "Order Completed", "userId": "u"}, ("track", "Order Completed", "u")),
            ("i", {"userId": "u"}, ("identify", "", "u")),
            ("p", {"userId": "u"}, ("page", "", "u")),
            ("s", {"userId": "u"}, ("screen", "", "u")),
            ("g", {"groupId": "g", "userId": "u"}, ("group", "", "u")),
            ("a", {"previousId": "p", "userId": "u"}, ("alias", "", "u")),
            ("b", {"batch": [PAGE]}, ("page", "Home", "u1")),
        ],
    )
    def test_every_path_of_segments_is_answered_and_its_event_kept(self, send, shop, path, body, columns):
        response = send(path, body, shop.key)

        assert (response.status_code, response.content) == (200, KEPT)
        assert [row[:3] for row in stored()] == [columns]

    def test_only_posts_are_taken(self, client):
        response = client.get("/v1/track")

        assert (response.status_code, response["Allow"]) == (405, "POST, OPTIONS")

    def test_browsers_of_any_origin_may_send(self, client, send, shop):
        asked = client.options("/v1/t", headers={"origin": "https://shop.example"})
        sent = send("t", {"event": "A", "userId": "u", "writeKey": shop.key}, content_type="text/plain;charset=UTF-8")
        refused = send("t", {"userId": "u"})

        assert asked.status_code == 204
        assert asked["Access-Control-Allow-Methods"] == "POST, OPTIONS"
        assert asked["Access-Control-Allow-Headers"] == "Authorization, Content-Type, Content-Encoding, X-Retry-Count"
        assert [r["Access-Control-Allow-Origin"] for r in (asked, sent, refused)] == ["*", "*", "*"]
        assert [r.status_code for r in (sent, refused)] == [200, 401]

    def test_a_post_needs_no_csrf_token(self, shop):
        body = {"event": "A", "userId": "u", "writeKey": shop.key}

        response = Client(enforce_csrf_checks=True).post("/v1/track", body, "application/json")

        assert response.status_code == 200


class TestKeys:
    EVENT = {"event": "A", "userId": "u"}

    def test_the_key_is_taken_from_basic_bearer_or_body(self, send, shop):
        bare = base64.b64encode(shop.key.encode()).decode()
        forms = [
            send("track", self.EVENT, shop.key),
            send("track", self.EVENT, authorization=f"Basic {bare}"),
            send("track", self.EVENT, authorization=f"basic {bare}"),
            send("track", self.EVENT, authorization=f"Bearer {shop.key}"),
            send("track", {**self.EVENT, "writeKey": shop.key}),
            send("track", {**self.EVENT, "writeKey": shop.key}, ""),
            send("batch", {"batch": [PAGE], "writeKey": shop.key}),
        ]

        assert [form.status_code for form in forms] == [200] * 7
        assert {e.source for e in Event.objects.all()} == {shop.pk}

    @pytest.mark.parametrize(
        "how",
        [
            {"authorization": "Basic bm9ib2R5Og=="},
            {"authorization": "Basic %%%"},
            {"authorization": "Basic /w=="},
            {"authorization": "Bearer nobody"},
            {"authorization": "Bearer caf\xe9"},
            {"authorization": "Bearer " + "x" * 5_000},
            {"authorization": "Digest x"},
            {},
        ],
    )
    def test_without_a_key_of_ours_nothing_is_kept_and_the_operator_sees_a_count(self, send, shop, how):
        response = send("track", self.EVENT, **how)

        assert answer(response) == (401, False, "invalid_write_key")
        assert (Event.objects.count(), Request.objects.count()) == (0, 0)
        assert (booked(Line.UNAUTHENTICATED), booked(Line.PRESENTED)) == (1, 0)

    @pytest.mark.parametrize("written", ["nobody", "", None, 5, ["k"], "with \\ escape", "caf\xe9"])
    def test_a_key_in_the_body_that_is_none_is_refused(self, send, shop, written):
        assert answer(send("track", {**self.EVENT, "writeKey": written})) == (401, False, "invalid_write_key")

    def test_a_stranger_does_not_reach_the_parser(self, send, shop):
        assert answer(send("batch", b"[" * 400_000)) == (401, False, "invalid_write_key")
        assert answer(send("batch", b"no json", "nobody")) == (401, False, "invalid_write_key")

    def test_the_key_at_the_top_counts_not_one_inside_an_event(self, send, shop, other_shop):
        inside = {**PAGE, "properties": {"writeKey": other_shop.key}}

        top = send("batch", {"batch": [inside], "writeKey": shop.key})
        only_inside = send("batch", {"batch": [inside]})

        assert top.status_code == 200
        assert answer(only_inside) == (401, False, "invalid_write_key")
        assert [e.source for e in Event.objects.all()] == [shop.pk]

    def test_the_key_of_the_headers_wins_over_the_bodys(self, send, shop, other_shop):
        send("track", {**self.EVENT, "writeKey": other_shop.key}, shop.key)

        assert [e.source for e in Event.objects.all()] == [shop.pk]

    def test_a_rotated_key_and_the_one_before_both_open(self, send, shop):
        fresh = shop.issue_key()

        assert [send("track", self.EVENT, key).status_code for key in (shop.key, fresh)] == [200, 200]

    def test_a_segment_sources_own_key_does_not_open_our_door(self, send, make_segment):
        make_segment(write_key="segment-key")

        assert answer(send("track", self.EVENT, "segment-key")) == (401, False, "invalid_write_key")

    def test_no_key_stands_in_what_is_stored(self, send, shop):
        send("track", {**self.EVENT, "writeKey": shop.key}, shop.key, user_agent="sdk/1", cookie="session=x")
        send("track", {"writeKey": shop.key}, shop.key)
        send("batch", {"batch": [], "writeKey": shop.key})

        bodies = list(RequestBody.objects.order_by("id"))
        assert [shop.key.encode() in body.raw for body in bodies] == [False, False, False]
        assert bodies[0].headers == {"user-agent": "sdk/1", "content-type": "application/json"}


class TestKeeping:
    def test_the_bytes_are_kept_as_they_came_and_each_event_points_at_its_own(self, send, shop):
        one, two = '{"type":"page", "userId":"ü"}', r'{"type":"track","event":"\ud800","userId":"☕"}'
        sent = f' {{"batch":[ {one},\n{two} ],"sentAt":"2026-11-21T10:00:00Z"}}\n'.encode()

        send("batch", sent, shop.key)

        assert RequestBody.objects.get().raw == sent
        assert stored() == [("page", "", "ü", one.encode()), ("track", "�", "☕", two.encode())]

    def test_good_events_of_a_partly_bad_batch_are_kept_and_the_bad_ones_logged(self, send, shop):
        bad = {"type": "page"}

        response = send("batch", {"batch": [bad, PAGE, 7, {**PAGE, "messageId": "m2"}]}, shop.key)

        request = Request.objects.get()
        assert (response.status_code, response.content) == (200, KEPT)
        assert [e.message_id for e in Event.objects.order_by("id")] == ["m1", "m2"]
        assert (request.status, request.accepted, request.duplicates, request.refused) == (200, 2, 0, 2)
        assert request.refusals == [
            [1, "no_user_anon_id", "Neither userId nor anonymousId is given; one of them must be."],
            [3, "bad_request", "The event is 7; an object belongs there."],
        ]

    def test_where_nothing_is_kept_the_answer_says_why(self, send, shop):
        same = send("batch", {"batch": [{"type": "page"}, {"type": "screen"}]}, shop.key)
        mixed = send("batch", {"batch": [{"type": "page"}, 7]}, shop.key)
        single = send("track", {"userId": "u"}, shop.key)

        assert [r.status_code for r in (same, mixed, single)] == [400, 400, 400]
        assert same.json() == {
            "success": False,
            "code": "no_user_anon_id",
            "message": "None of the 2 events can be kept; the first: "
            "Neither userId nor anonymousId is given; one of them must be.",
        }
        assert mixed.json()["code"] == "empty_batch_result"
        assert single.json() == {
            "success": False,
            "code": "event_not_defined",
            "message": "A track event needs a name in event; none is given.",
        }
        assert [(r.status, r.refused, r.code) for r in Request.objects.order_by("id")] == [
            (400, 2, "no_user_anon_id"),
            (400, 2, "empty_batch_result"),
            (400, 1, "event_not_defined"),
        ]
        assert (booked(Line.PRESENTED), booked(Line.REFUSED), booked(Line.ACCEPTED)) == (5, 5, 0)

    def test_the_same_message_again_is_a_success_and_kept_once(self, send, shop):
        answers = [send("batch", {"batch": [PAGE], "sentAt": at}, shop.key).content for at in ("1", "2")]

        assert answers == [KEPT, KEPT]
        assert Event.objects.count() == 1
        assert (booked(Line.PRESENTED), booked(Line.ACCEPTED), booked(Line.DUPLICATE)) == (2, 1, 1)

    def test_a_source_switched_off_answers_and_keeps_as_before(self, send, shop):
        shop.enabled = False
        shop.save()

        assert send("page", PAGE, shop.key).content == KEPT
        assert Event.objects.count() == 1

    def test_a_refused_request_keeps_reason_and_the_first_two_kilobytes(self, send, shop):
        sent = b"{" + b"x" * 5_000

        send("batch", sent, shop.key, user_agent="sdk/1")

        request, body = Request.objects.get(), RequestBody.objects.get()
        assert (request.source, request.kind, request.status, request.code) == (shop.pk, "batch", 400, "bad_request")
        assert "is not JSON that we can read" in request.message
        assert (body.raw, body.size, body.headers["user-agent"]) == (sent[:2048], len(sent), "sdk/1")

    def test_the_python_sdks_batch_is_kept(self, send, shop):
        one = {
            "integrations": {},
            "anonymousId": None,
            "properties": {"total": 27.5},
            "timestamp": "2026-11-21T10:00:00.123456+00:00",
            "context": {"library": {"name": "analytics-python", "version": "2.4.0"}},
            "userId": "u1",
            "type": "track",
            "event": "Order Completed",
            "messageId": "4ed7c1c1-4a4e-4f4c-8a37-0c8a2a0b6a6e",
        }
        page = {**one, "type": "page", "category": None, "name": None, "messageId": "5"}
        batch = {"batch": [one, page], "sentAt": "2026-11-21T10:00:01.123456+00:00", "writeKey": shop.key}
        packed = gzip.compress(json.dumps(batch).encode())

        response = send("batch", packed, shop.key, content_encoding="gzip", user_agent="analytics-python/2.4.0")

        assert response.content == KEPT
        assert [row[:3] for row in stored()] == [("track", "Order Completed", "u1"), ("page", "", "u1")]

    def test_the_node_sdks_batch_is_kept(self, send, shop):
        one = {
            "userId": "u1",
            "event": "Order Completed",
            "type": "track",
            "properties": {"total": 27.5},
            "options": {},
            "integrations": {},
            "timestamp": "2026-11-21T10:00:00.123Z",
            "messageId": "node-next-1763719200123-4ed7c1c1",
            "context": {"library": {"name": "@segment/analytics-node", "version": "3.1.0"}},
            "_metadata": {"nodeVersion": "20.1.0", "jsRuntime": "node"},
        }
        batch = {"batch": [one], "writeKey": shop.key, "sentAt": "2026-11-21T10:00:01.123Z"}

        response = send("batch", batch, shop.key, x_retry_count="2")

        assert response.content == KEPT
        assert [row[:3] for row in stored()] == [("track", "Order Completed", "u1")]
        assert RequestBody.objects.get().headers["x-retry-count"] == "2"

    def test_queries_do_not_grow_with_the_batch(self, send, shop, django_assert_max_num_queries):
        send("page", PAGE, shop.key)

        with django_assert_max_num_queries(6) as few:
            send("batch", {"batch": [{**PAGE, "messageId": "a"}]}, shop.key)
        with django_assert_max_num_queries(6) as many:
            send("batch", {"batch": [{**PAGE, "messageId": f"b{n}"} for n in range(500)]}, shop.key)

        assert len(many) == len(few)
        assert Event.objects.count() == 502


class TestLimits:
    def test_segments_limits_are_refused_as_segment_does(self, send, shop):
        filler = "x" * 30_000
        large = {"batch": [{**PAGE, "messageId": str(n), "properties": {"f": filler}} for n in range(18)]}
        many = {"batch": [1] * 2_501}
        event = {"event": "A", "userId": "u", "properties": {"f": "x" * 33_000}}

        answered = [answer(send("batch", large, shop.key)), answer(send("batch", many, shop.key))]
        answered.append(answer(send("track", event, shop.key)))

        assert answered == [
            (400, False, "batch_too_large"),
            (400, False, "too_many_events"),
            (400, False, "event_too_large"),
        ]
        assert [r.code for r in Request.objects.order_by("id")] == [
            "batch_too_large",
            "too_many_events",
            "event_too_large",
        ]
        assert Event.objects.count() == 0

    def test_a_full_batch_is_taken(self, send, shop):
        batch = [{"type": "page", "userId": "u", "messageId": str(n)} for n in range(2_500)]

        assert send("batch", {"batch": batch}, shop.key).content == KEPT
        assert Event.objects.count() == 2_500

    def test_a_body_past_the_cap_is_not_read_to_its_end(self, client, shop):
        class Endless(io.BytesIO):
            read_so_far = 0

            def read(self, size: int = -1) -> bytes:
                assert size >= 0, "read without a bound"
                self.read_so_far += size
                return b"x" * size

        def post(stream: Endless, **more: str):
            environ = {"wsgi.input": stream, "HTTP_AUTHORIZATION": f"Bearer {shop.key}"} | more
            return client.generic("POST", "/v1/batch", b"", "application/json", **environ)

        announced, unannounced = Endless(), Endless()
        refused = [
            post(announced, CONTENT_LENGTH=str(1024 * 1024 + 1)),
            post(unannounced, HTTP_TRANSFER_ENCODING="chunked"),
        ]

        assert [answer(r) for r in refused] == [(413, False, "body_too_large")] * 2
        assert (announced.read_so_far, unannounced.read_so_far) == (0, 1024 * 1024 + 1)
        assert [(r.status, r.code) for r in Request.objects.all()] == [(413, "body_too_large")] * 2

    def test_a_body_of_unannounced_length_is_read(self, client, shop):
        environ = {
            "wsgi.input": io.BytesIO(json.dumps(PAGE).encode()),
            "HTTP_TRANSFER_ENCODING": "chunked",
            "HTTP_AUTHORIZATION": f"Bearer {shop.key}",
        }

        assert client.generic("POST", "/v1/page", b"", **environ).content == KEPT

    def test_gzip_is_unpacked(self, send, shop):
        sent = json.dumps(PAGE).encode()

        assert send("page", gzip.compress(sent), shop.key, content_encoding="GZip").content == KEPT
        assert RequestBody.objects.get().raw == sent

    def test_the_key_is_found_in_a_packed_body(self, send, shop):
        packed = gzip.compress(json.dumps({**PAGE, "writeKey": shop.key}).encode())

        assert send("page", packed, content_encoding="gzip").content == KEPT

    def test_a_bomb_is_refused_without_unpacking_it(self, send, shop):
        bomb = gzip.compress(b" " * 100_000_000)

        tracemalloc.start()
        refused = send("page", bomb, shop.key, content_encoding="gzip")
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()

        assert answer(refused) == (413, False, "body_too_large")
        assert peak < 16_000_000

    @pytest.mark.parametrize(
        ("packed", "refused"),
        [
            (gzip.compress(gzip.compress(b" " * 20_000_000)), (400, False, "bad_request")),
            (gzip.compress(b"{}")[:-1], (400, False, "bad_request")),
            (gzip.compress(b"{}") + b"x", (400, False, "bad_request")),
            (gzip.compress(b"{}") + gzip.compress(b"{}"), (400, False, "bad_request")),
            (zlib.compress(b"{}"), (400, False, "bad_request")),
            (b"{}", (400, False, "bad_request")),
            (b"", (400, False, "bad_request")),
        ],
        ids=["packed twice", "cut short", "trailing byte", "two members", "zlib", "not packed", "empty"],
    )
    def test_hostile_gzip_is_refused(self, send, shop, packed, refused):
        assert answer(send("page", packed, shop.key, content_encoding="gzip")) == refused
        assert [(r.status, r.code) for r in Request.objects.all()] == [(refused[0], refused[2])]

    @pytest.mark.parametrize(
        ("content_type", "headers", "expected"),
        [
            ("application/json", {}, 200),
            ("Application/JSON; Charset=UTF-8", {}, 200),
            ('application/json;charset="utf-8"', {}, 200),
            ("text/plain", {}, 200),
            ("", {}, 200),
            ("application/json", {"content_encoding": "identity"}, 200),
            ("application/json; charset=latin-1", {}, 415),
            ("application/x-www-form-urlencoded", {}, 415),
            ("multipart/form-data; boundary=x", {}, 415),
            ("application/json", {"content_encoding": "br"}, 415),
            ("application/json", {"content_encoding": "gzip, gzip"}, 415),
        ],
    )
    def test_only_json_in_utf_8_is_taken(self, send, shop, content_type, headers, expected):
        response = send("page", PAGE, shop.key, content_type, **headers)

        assert response.status_code == expected
        assert Event.objects.count() == (expected == 200)


class TestTroubles:
    def test_past_its_limit_a_process_asks_to_come_again(self, send, shop):
        for _ in range(answers.AT_ONCE):
            answers._room.acquire()
        try:
            busy = send("page", PAGE, shop.key)
        finally:
            answers._room.release(answers.AT_ONCE)

        assert (answer(busy), busy["Retry-After"]) == ((429, False, "too_many_requests"), "1")
        assert Event.objects.count() == 0
        assert send("page", PAGE, shop.key).content == KEPT

    @pytest.mark.django_db(transaction=True)
    def test_while_the_database_is_away_senders_are_asked_to_come_again(self, send, shop):
        def away(execute, sql, params, many, context):
            raise OperationalError("server closed the connection unexpectedly")

        with connection.execute_wrapper(away):
            lost = send("page", PAGE, shop.key)

        assert (answer(lost), lost["Retry-After"]) == ((503, False, "database_away"), "5")
        assert send("page", PAGE, shop.key).content == KEPT
        assert Event.objects.count() == 1

    def test_a_sender_that_hangs_up_is_no_error_of_ours(self, client, shop):
        class Broken(io.BytesIO):
            def read(self, size: int = -1) -> bytes:
                raise OSError("connection reset")

        environ = {
            "wsgi.input": Broken(),
            "HTTP_TRANSFER_ENCODING": "chunked",
            "HTTP_AUTHORIZATION": f"Bearer {shop.key}",
        }

        assert answer(client.generic("POST", "/v1/page", b"", **environ)) == (400, False, "bad_request")
