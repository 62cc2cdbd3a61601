"""What senders send becomes events of Segment's spec: each found in its body, checked, and filled in."""

from __future__ import annotations

import json
import string
import uuid
from datetime import UTC, datetime
from typing import Any

import pytest

from connectors import event
from connectors.errors import EventError
from connectors.event import Refusal

NOW = datetime(2026, 11, 21, 10, 0, 5, 250_000, tzinfo=UTC)
TRACK = {"type": "track", "event": "Order Completed", "userId": "u1", "messageId": "m1"}
ONE_OF = "one of alias, group, identify, page, screen, track belongs there."
WITHOUT = "; an event of this type cannot do without."


def body(*events: Any, **envelope: Any) -> bytes:
    return json.dumps({"batch": events, **envelope}).encode()


def webhook(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def normal(raw: dict[str, Any], kind: str = "batch", envelope: dict[str, Any] | None = None) -> dict[str, Any]:
    return event.normalize(raw, kind=kind, envelope=envelope, received_at=NOW, message_id="m1")


def too_long(letter: str) -> str:
    return f'The key "{letter * 39}... is over 512 bytes. Shorten it.'


def refusal(raw: Any, kind: str = "batch") -> tuple[str, str]:
    """Code and message for one event that is refused."""
    parsed = event.parse(body(raw) if kind in ("batch", "import") else webhook(raw), kind)
    assert parsed.items == []
    [refused] = parsed.refused
    return refused.code, refused.message


class TestFinding:
    def test_every_slice_is_exactly_the_event_as_it_was_sent(self):
        first, second, third = (
            '{ "type":"track","event":"A, [b] {c}","userId":"1" }',
            '{"type":"identify","userId":"ü☕","traits":{"a":[1,{"b":"]}"}]}}',
            '{"userId":7,\n"type":"page"}',
        )
        sent = f'\n {{ "writeKey":"k", "batch" : [ {first} ,\n{second},{third}\t] , "sentAt":"x" }} '.encode()

        parsed = event.parse(sent, "batch")

        assert [sent[i.start : i.start + i.size].decode() for i in parsed.items] == [first, second, third]
        assert [i.index for i in parsed.items] == [1, 2, 3]
        assert [i.event for i in parsed.items] == [json.loads(first), json.loads(second), json.loads(third)]

    def test_equal_events_have_places_of_their_own(self):
        parsed = event.parse(body(TRACK, TRACK, TRACK), "batch")

        starts = [i.start for i in parsed.items]
        assert starts == sorted(set(starts))
        assert len(starts) == 3

    def test_a_copy_of_the_batch_elsewhere_in_the_body_is_not_taken_for_it(self):
        batch = json.dumps([TRACK])
        sent = f'{{"context": {{"copy": {batch}}}, "batch": {batch}, "x": {batch}}}'.encode()

        parsed = event.parse(sent, "batch")

        [item] = parsed.items
        assert item.start == sent.index(b'"batch": [') + len(b'"batch": [')
        assert parsed.envelope == {"context": {"copy": [TRACK]}}

    def test_of_two_batches_the_last_counts_as_in_any_json(self):
        sent = b'{"batch":[{"type":"page","userId":"1"}],"batch":[{"type":"page","userId":"2"}]}'

        [item] = event.parse(sent, "batch").items

        assert (item.customer, sent[item.start : item.start + item.size]) == ("2", b'{"type":"page","userId":"2"}')

    def test_a_single_event_is_the_whole_body(self):
        sent = b' {"event":"A","userId":"1","writeKey":"k1"} '

        parsed = event.parse(sent, "track")

        [item] = parsed.items
        assert (item.start, item.size, item.type, item.name) == (0, len(sent), "track", "A")
        assert (parsed.write_key, parsed.envelope) == ("k1", None)

    def test_the_element_that_is_no_json_falls_and_the_others_stay(self):
        good = b'{"type":"page","userId":"1"}'
        for bad in (
            b'{"type":"page","userId":"1","properties":{"price":NaN}}',
            b'{"type":"page","userId":"1","properties":{"price":-Infinity}}',
            b'{"type":"page","userId":"1","properties":{"price":1e400}}',
            b'{"type":"page","userId":"\xff"}',
            b'{"type":"page","userId":"\x01"}',
            b"7",
            b"[]",
            b"null",
        ):
            sent = b'{"batch":[' + good + b"," + bad + b"," + good + b"]}"

            parsed = event.parse(sent, "batch")

            assert [sent[i.start : i.start + i.size] for i in parsed.items] == [good, good], bad
            assert [(r.index, r.code) for r in parsed.refused] == [(2, "bad_request")], bad

    def test_a_lone_surrogate_becomes_the_replacement_character_and_the_bytes_stay(self):
        bad = rb'{"type":"track","event":"a\ud800b","userId":"\udc00\ud800","properties":{"\udfff":"\ud83d\ude00"}}'
        sent = b'{"batch":[' + bad + b"]}"

        parsed = event.parse(sent, "batch")

        [item] = parsed.items
        assert (item.name, item.customer) == ("a�b", "��")
        assert item.event["properties"] == {"�": "😀"}
        assert sent[item.start : item.start + item.size] == bad

    @pytest.mark.parametrize(
        ("sent", "code", "message"),
        [
            (b"", "bad_request", "The body is not JSON that we can read"),
            (b'{"batch":[', "bad_request", "is not JSON that we can read"),
            (b'\xef\xbb\xbf{"batch":[]}', "bad_request", "is not JSON that we can read"),
            ('{"batch":[]}'.encode("utf-16"), "bad_request", "is not JSON that we can read"),
            (b"[" * 100_000, "bad_request", "is not JSON that we can read"),
            (b"[]", "bad_request", "The body is no object; an object with the array batch belongs there."),
            (b"{}", "bad_request", "The body has no batch; an array of events belongs there."),
            (b'{"batch":null}', "bad_request", "The body has no batch; an array of events belongs there."),
            (b'{"batch":{}}', "bad_request", "batch is no array; an array of events belongs there."),
            (b'{"batch":[]}', "empty_batch", "The batch holds no events."),
            (b'{"batch":[1],"context":[]}', "bad_request", "The batch's context is an array; an object belongs there."),
            (
                b'{"batch":[1],"context":{"a":"' + b"x" * 33_000 + b'"}}',
                "bad_request",
                "The batch's context and integrations are over 32,768 bytes. Send less of them.",
            ),
            (
                b'{"batch":[' + b"1," * 2_500 + b"1]}",
                "too_many_events",
                "The batch holds 2,501 events; the limit is 2,500. Send fewer at once.",
            ),
        ],
    )
    def test_a_batch_nothing_can_be_made_of_is_refused_as_a_whole(self, sent, code, message):
        with pytest.raises(EventError) as caught:
            event.parse(sent, "batch")

        assert caught.value.code == code
        assert message in caught.value.message

    def test_a_sent_at_that_is_no_time_corrects_nothing_and_costs_no_event(self):
        parsed = event.parse(body(TRACK, sentAt={"at": "noon"}), "batch")

        assert (len(parsed.items), parsed.envelope) == (1, {})

    def test_the_write_key_of_a_batch_is_the_one_at_its_top(self):
        assert event.parse(body({**TRACK, "writeKey": "other"}, writeKey="k1"), "batch").write_key == "k1"
        assert event.parse(body({**TRACK, "writeKey": "other"}), "batch").write_key == ""

    def test_what_may_be_a_write_key_is_found_without_parsing(self):
        assert event.written_keys(b'{"writeKey" :\n "k1", "x": {"writeKey":"k2"}, "writeKey":"k1" garbage') == [
            "k1",
            "k2",
        ]
        assert event.written_keys(b'{"a": "writeKey", "writeKey": 5, "writeKey": "", "writeKey": "caf\xc3\xa9"}') == []
        assert event.written_keys(b'"writeKey":"%d",' * 9 % tuple(range(9))) == ["0", "1", "2", "3"]


class TestColumns:
    @pytest.mark.parametrize(
        ("raw", "expected"),
        [
            (TRACK, ("track", "Order Completed", "u1", False, "m1", False)),
            (
                {"type": "page", "name": "Home", "anonymousId": "a1", "messageId": "m"},
                ("page", "Home", "a1", True, "m", False),
            ),
            (
                {"type": "screen", "userId": 42, "anonymousId": "a1", "messageId": 7},
                ("screen", "", "42", False, "7", False),
            ),
            ({"type": "identify", "userId": 42.0, "messageId": "m"}, ("identify", "", "42", False, "m", False)),
            (
                {"type": "identify", "userId": "", "anonymousId": 1.5, "messageId": "m"},
                ("identify", "", "1.5", True, "m", False),
            ),
            ({"type": "group", "groupId": 5, "userId": "u", "messageId": "m"}, ("group", "", "u", False, "m", False)),
            (
                {"type": "alias", "previousId": "p", "userId": "u", "messageId": "m"},
                ("alias", "", "u", False, "m", False),
            ),
            (
                {"type": "track", "event": "a\0b", "userId": "\0", "messageId": "\0"},
                ("track", "a�b", "�", False, "�", False),
            ),
            (
                {"type": "track", "event": "e" * 600, "userId": "u" * 600, "messageId": "m" * 100},
                ("track", "e" * 512, "u" * 512, False, "m" * 100, False),
            ),
        ],
    )
    def test_columns_are_read_from_the_event(self, raw, expected):
        [i] = event.parse(body(raw), "batch").items

        assert (i.type, i.name, i.customer, i.anonymous, i.message_id, i.made_id) == expected

    @pytest.mark.parametrize("given", [{}, {"messageId": None}, {"messageId": ""}])
    def test_a_missing_message_id_is_made_and_never_twice_the_same(self, given):
        raw = {"type": "page", "userId": "u", **given}

        items = event.parse(body(raw, raw), "batch").items

        assert [i.made_id for i in items] == [True, True]
        assert len({uuid.UUID(i.message_id) for i in items}) == 2

    def test_the_endpoint_says_the_type_of_a_single_event(self):
        [item] = event.parse(b'{"type":"page","event":"A","userId":"u"}', "track").items

        assert item.type == "track"
        assert normal(item.event, "track")["type"] == "track"


class TestRefusals:
    @pytest.mark.parametrize(
        ("change", "code", "message"),
        [
            ({"type": "order"}, "bad_request", 'type is "order"; ' + ONE_OF),
            ({"type": None}, "bad_request", "type is missing; " + ONE_OF),
            ({"type": {"a": 1}}, "bad_request", "type is an object; " + ONE_OF),
            ({"type": "delete"}, "bad_request", 'type is "delete"; ' + ONE_OF),
            ({"userId": None}, "no_user_anon_id", "Neither userId nor anonymousId is given; one of them must be."),
            ({"userId": ""}, "no_user_anon_id", "Neither userId nor anonymousId is given; one of them must be."),
            ({"userId": True}, "id_not_string", "userId is true; a text or a number belongs there."),
            ({"anonymousId": ["a"]}, "id_not_string", "anonymousId is an array; a text or a number belongs there."),
            ({"event": None}, "event_not_defined", "A track event needs a name in event; none is given."),
            ({"event": ""}, "event_not_defined", "A track event needs a name in event; none is given."),
            ({"event": 5}, "event_not_string", "event is 5; the event's name, a text, belongs there."),
            ({"properties": []}, "properties_not_object", "properties is an array; an object belongs there."),
            ({"properties": "p"}, "properties_not_object", 'properties is "p"; an object belongs there.'),
            ({"type": "identify", "traits": 0}, "traits_not_object", "traits is 0; an object belongs there."),
            ({"type": "page", "name": 5}, "name_not_string", "name is 5; a text belongs there."),
            ({"type": "screen", "category": False}, "category_not_string", "category is false; a text belongs there."),
            ({"type": "group"}, "id_required", "groupId is missing" + WITHOUT),
            (
                {"type": "group", "groupId": {}},
                "id_not_string",
                "groupId is an object; a text or a number belongs there.",
            ),
            ({"type": "alias"}, "id_required", "previousId is missing" + WITHOUT),
            (
                {"type": "alias", "previousId": "p", "userId": "", "anonymousId": "a"},
                "id_required",
                "userId is missing" + WITHOUT,
            ),
            ({"context": "c"}, "bad_request", 'context is "c"; an object belongs there.'),
            ({"integrations": [1]}, "bad_request", "integrations is an array; an object belongs there."),
            ({"messageId": "m" * 101}, "bad_request", "messageId is 101 characters long; Segment's limit is 100."),
            (
                {"properties": {"n": 2**63}},
                "bad_request",
                "The number 9223372036854775808 is too large. Send it as a text.",
            ),
            (
                {"properties": {"n": [-(2**63)]}},
                "bad_request",
                "The number -9223372036854775808 is too large. Send it as a text.",
            ),
            ({"properties": {"k" * 513: 1}}, "bad_request", too_long("k")),
            (
                {"properties": {'"' * 513: 1}},
                "bad_request",
                'The key "' + r"\"" * 19 + "\\... is over 512 bytes. Shorten it.",
            ),
            ({"properties": {"ü" * 257: 1}}, "bad_request", too_long("ü")),
        ],
    )
    def test_an_event_that_breaks_the_spec_is_refused_with_segments_code(self, change, code, message):
        assert refusal({**TRACK, **change}) == (code, message)

    def test_sizes_at_the_limit_are_kept_and_past_it_refused(self):
        def sized(size: int) -> bytes:
            start = b'{"type":"track","event":"A","userId":"u","properties":{"p":"'
            return start + b"x" * (size - len(start) - 3) + b'"}}'

        kept = event.parse(b'{"batch":[' + sized(32_768) + b"]}", "batch")
        refused = event.parse(b'{"batch":[' + sized(32_769) + b"]}", "batch")

        assert [i.size for i in kept.items] == [32_768]
        assert refused.refused == [
            Refusal(1, "event_too_large", "The event is 32,769 bytes; the limit is 32,768. Send fewer properties.")
        ]

    def test_depth_at_the_limit_is_kept_and_past_it_refused(self):
        def nested(depth: int, inner: str) -> bytes:
            around = depth - 2  # the event and its properties are two
            deep = "[" * around + inner + "]" * around
            return f'{{"batch":[{{"type":"page","userId":"u","properties":{{"p":{deep}}}}}]}}'.encode()

        for inner in ("", "1"):
            assert len(event.parse(nested(64, inner), "batch").items) == 1
            assert event.parse(nested(65, inner), "batch").refused == [
                Refusal(1, "bad_request", "The event is nested deeper than 64 levels. Flatten it.")
            ]

    def test_many_keys_are_refused(self):
        def keyed(count: int) -> bytes:
            letters = string.ascii_letters[:50]
            rows = [dict.fromkeys(letters, 1)] * ((count - 4) // 50) + [dict.fromkeys(letters[: (count - 4) % 50], 1)]
            return webhook({"type": "page", "userId": "u", "properties": {"rows": rows}})

        kept, refused = event.parse(keyed(10_000), "webhook"), event.parse(keyed(10_001), "webhook")

        assert (len(kept.items), kept.refused) == (1, [])
        assert refused.refused == [Refusal(1, "bad_request", "The event has over 10,000 keys. Send fewer.")]

    def test_many_small_objects_side_by_side_are_not_deep(self):
        raw = {**TRACK, "properties": {"products": [{"sku": [n]} for n in range(500)]}}

        assert len(event.parse(body(raw), "batch").items) == 1

    def test_long_digits_in_a_text_are_not_a_large_number(self):
        raw = {**TRACK, "properties": {"card": "9" * 40, "ratio": 0.1234567890123456789, "n": 2**63 - 1}}

        [item] = event.parse(body(raw), "batch").items

        assert item.event["properties"] == raw["properties"]


class TestNormalize:
    def test_skew_is_corrected_as_in_segments_own_sample(self):
        raw = {**TRACK, "timestamp": "2015-12-12T19:11:01.152Z", "sentAt": "2015-12-12T19:11:01.169Z"}

        received = event.normalize(
            raw,
            kind="batch",
            envelope=None,
            received_at=datetime(2015, 12, 12, 19, 11, 1, 266_000, tzinfo=UTC),
            message_id="m1",
        )

        assert received == {
            **TRACK,
            "timestamp": "2015-12-12T19:11:01.249Z",
            "originalTimestamp": "2015-12-12T19:11:01.152Z",
            "sentAt": "2015-12-12T19:11:01.169Z",
            "receivedAt": "2015-12-12T19:11:01.266Z",
        }

    @pytest.mark.parametrize(
        ("times", "timestamp", "original"),
        [
            ({}, "2026-11-21T10:00:05.250Z", "2026-11-21T10:00:05.250Z"),
            ({"sentAt": "2026-11-21T10:00:00Z"}, "2026-11-21T10:00:05.250Z", "2026-11-21T10:00:05.250Z"),
            ({"timestamp": "2012-12-02T00:30:08+02:00"}, "2012-12-01T22:30:08.000Z", "2012-12-02T00:30:08+02:00"),
            ({"timestamp": "2012-12-02"}, "2012-12-02T00:00:00.000Z", "2012-12-02"),
            ({"originalTimestamp": "2012-12-02T00:30:08Z"}, "2012-12-02T00:30:08.000Z", "2012-12-02T00:30:08Z"),
            ({"timestamp": "yesterday"}, "2026-11-21T10:00:05.250Z", "yesterday"),
            ({"timestamp": 1700000000}, "2026-11-21T10:00:05.250Z", 1700000000),
            (
                {"timestamp": "0001-01-01T00:00:00+14:00"},
                "2026-11-21T10:00:05.250Z",
                "0001-01-01T00:00:00+14:00",
            ),
            (
                {"timestamp": "9999-12-31T23:59:59Z", "sentAt": "2000-01-01T00:00:00Z"},
                "2026-11-21T10:00:05.250Z",
                "9999-12-31T23:59:59Z",
            ),
            (
                {"timestamp": "2026-11-21T11:00:00.000Z", "sentAt": "2026-11-21T12:00:05.250+01:00"},
                "2026-11-21T10:00:00.000Z",
                "2026-11-21T11:00:00.000Z",
            ),
        ],
    )
    def test_times_are_filled_in(self, times, timestamp, original):
        made = normal({**TRACK, **times})

        assert (made["timestamp"], made["originalTimestamp"]) == (timestamp, original)
        assert made["receivedAt"] == "2026-11-21T10:00:05.250Z"
        assert made.get("sentAt") == times.get("sentAt")

    def test_what_the_batch_says_holds_for_each_event_unless_it_says_otherwise(self):
        sent = body(
            {**TRACK, "context": {"ip": "1.1.1.1", "app": {"name": "own"}}, "integrations": {"All": True}},
            {"type": "page", "userId": "u", "messageId": "m2", "sentAt": "2026-11-21T10:00:04Z"},
            context={"app": {"name": "shop", "version": "2"}, "locale": "de"},
            integrations={"All": False, "Antavo": True},
            sentAt="2026-11-21T10:00:05Z",
            channel="ignored",
        )

        parsed = event.parse(sent, "batch")
        first, second = (normal(i.event, "batch", parsed.envelope) for i in parsed.items)

        assert first["context"] == {"ip": "1.1.1.1", "app": {"name": "own"}, "locale": "de"}
        assert first["integrations"] == {"All": True, "Antavo": True}
        assert first["sentAt"] == "2026-11-21T10:00:05Z"
        assert second["context"] == {"app": {"name": "shop", "version": "2"}, "locale": "de"}
        assert second["integrations"] == {"All": False, "Antavo": True}
        assert second["sentAt"] == "2026-11-21T10:00:04Z"
        assert "channel" not in second

    def test_the_python_sdks_nulls_and_the_write_key_are_dropped_and_the_rest_stays(self):
        made = normal(
            {
                **TRACK,
                "writeKey": "secret",
                "anonymousId": None,
                "name": None,
                "userId": 42,
                "groupId": 7,
                "previousId": "",
                "channel": "server",
                "_metadata": {"nodeVersion": "20"},
                "properties": {"gone": None, "writeKey": "a property"},
            }
        )

        assert made == {
            "type": "track",
            "event": "Order Completed",
            "userId": "42",
            "groupId": "7",
            "messageId": "m1",
            "channel": "server",
            "_metadata": {"nodeVersion": "20"},
            "properties": {"gone": None, "writeKey": "a property"},
            "timestamp": "2026-11-21T10:00:05.250Z",
            "originalTimestamp": "2026-11-21T10:00:05.250Z",
            "receivedAt": "2026-11-21T10:00:05.250Z",
        }

    def test_a_stored_slice_gives_the_same_event_again(self):
        sent = (
            rb'{"context":{"ip":"\u0000\ud800"},"batch":[{"type":"page","userId":1},'
            rb'{"type":"page","userId":"\ud800\u0000","name":null}],"sentAt":"2026-11-21T10:00:05Z"}'
        )
        parsed = event.parse(sent, "batch")

        for item in parsed.items:
            given = {"kind": "batch", "envelope": parsed.envelope, "received_at": NOW, "message_id": item.message_id}
            now = event.normalize(item.event, **given)
            later = event.load(sent[item.start : item.start + item.size], **given)

            assert later == now
            assert now["context"] == {"ip": "��"}

    def test_normalizing_leaves_what_was_sent_alone(self):
        raw = {**TRACK, "context": {"ip": "1"}, "timestamp": None}
        before = json.dumps(raw)

        normal(raw, "batch", {"context": {"locale": "de"}, "sentAt": "2026-11-21T10:00:05Z"})

        assert json.dumps(raw) == before


class TestWebhooks:
    FROM_SEGMENT = {
        "type": "track",
        "event": "A",
        "userId": "u",
        "messageId": "m1",
        "timestamp": "2026-11-21T09:59:59.000Z",
        "originalTimestamp": "2026-11-21T09:00:00.000Z",
        "sentAt": "2026-11-21T09:00:01.000Z",
        "receivedAt": "2026-11-21T10:00:00.000Z",
        "projectId": "p",
        "version": 2,
    }

    def test_times_segment_has_corrected_stay_as_they_are(self):
        assert normal(self.FROM_SEGMENT, "webhook") == self.FROM_SEGMENT

    def test_one_event_or_an_array_of_them(self):
        one, two = webhook(self.FROM_SEGMENT), webhook({"type": "page", "userId": "u"})

        single = event.parse(b" " + one, "webhook")
        many = event.parse(b" [" + one + b" , " + two + b"]", "webhook")

        assert [(i.start, i.size) for i in single.items] == [(0, len(one) + 1)]
        assert [(i.start, i.size) for i in many.items] == [(2, len(one)), (len(one) + 5, len(two))]

    def test_a_deletion_is_kept_and_its_retry_known_again(self):
        sent = b'[{"type":"delete","userId":"019mr8mf4r","timestamp":"2012-12-02T00:30:08.276Z"}]'

        [first], [again] = event.parse(sent, "webhook").items, event.parse(sent, "webhook").items

        assert (first.type, first.customer, first.made_id) == ("delete", "019mr8mf4r", True)
        assert again.message_id == first.message_id
        assert normal(first.event, "webhook")["type"] == "delete"

    def test_the_odd_keys_of_segments_alias_sample_are_read(self):
        raw = {"type": "alias", "Previous ID": "p", "User ID": 5}

        [item] = event.parse(webhook(raw), "webhook").items
        made = normal(item.event, "webhook")

        assert (item.customer, item.event) == ("5", raw)
        assert (made["previousId"], made["userId"]) == ("p", "5")
        assert "Previous ID" not in made
        assert "User ID" not in made

    def test_an_object_two_readers_may_read_differently_is_refused(self):
        sent = b'[{"type":"page","userId":"a","userId":"b"},{"type":"page","userId":"c","name":"\\ud800"}]'

        parsed = event.parse(sent, "webhook")

        assert [(i.customer, i.name) for i in parsed.items] == [("c", "�")]
        assert parsed.refused == [
            Refusal(1, "bad_request", "This is not JSON that we can read: a key stands twice in one object.")
        ]

    def test_limits_are_those_of_segments_webhooks(self):
        page = b'{"type":"page","userId":"u"}'

        assert len(event.parse(b"[" + b",".join([page] * 4_000) + b"]", "webhook").items) == 4_000
        with pytest.raises(EventError) as caught:
            event.parse(b"[" + b",".join([page] * 4_001) + b"]", "webhook")
        assert caught.value.code == "too_many_events"
        with pytest.raises(EventError) as caught:
            event.parse(b"[]", "webhook")
        assert caught.value.code == "empty_batch"
