"""Antavo gets events and profiles on the right stack, about the right customer, and what it makes of them is told."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import responses
from requests import ConnectionError as Broken

from connectors import trigger
from connectors.catalog.antavo import signature
from connectors.client import AddressPolicy
from connectors.definitions import Result
from connectors.errors import Blocked, Busy, CredentialsRefused, DeliveryError, NoAnswer, PayloadError, Rejected
from connectors.registry import get_destination
from connectors.sandbox import Sandbox
from tests.connectors.vectors import KNOWN, rows, same_json

ANTAVO = get_destination("antavo")
SETTINGS = {"stack": "st1", "api_key": "key-1"}
URL = "https://api.st1.antavo.com/v1/webhook/segment"
ORDER = {"type": "track", "event": "Order Completed", "userId": "u1", "messageId": "m1", "properties": {"total": 12}}
PROFILE = {"type": "identify", "userId": "u1", "traits": {"first_name": "Ann", "birthday": "1985-01-02", "plan": "pro"}}
CHECKOUT = {
    "customer": {"@path": "$.userId"},
    "action": "checkout",
    "data": {"points": {"@path": "$.properties.total"}},
}


NATIVE = SETTINGS | {"path": "native"}
EXTERNAL = SETTINGS | {"customer_id": "external", "customer_attribute": "card"}
EVENTS, BULK = "https://api.st1.antavo.com/events?api_key=key-1", "https://api.st1.antavo.com/events/bulk?api_key=key-1"
POINTS = {"customer": {"@path": "$.userId"}, "action": "point_add", "data": {"@path": "$.properties"}}
UNKNOWN = (
    "Outcome unknown: Antavo may have booked the event, and offers no way to ask. It is sent again and may then count "
    "twice; a transaction_id in the event data, the same for the same purchase, prevents that."
)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        known = {"c-1": {"card": "4711"}, "c-2": {"card": "4712"}}
        st3 = {"key": "key-3", "secret": "secret-3", "signed_only": True, "external_ids": ["card"], "customers": known}
        sandbox.seed(antavo={"st1": "key-1", "st2": "key-2", "st3": st3})
        yield sandbox


def sent() -> list[Any]:
    return [json.loads(call.request.body or "null") for call in responses.calls]


def envelope(code: int, message: str = "No") -> dict[str, Any]:
    return {"error": {"type": "AntavoException", "code": code, "message": message}}


def order(user: str = "u1", **more: Any) -> dict[str, Any]:
    return {**ORDER, "userId": user} | more


@responses.activate
def test_an_order_becomes_a_loyalty_event() -> None:
    responses.post(URL, status=202, json={})

    result = ANTAVO.execute("event", SETTINGS, CHECKOUT, ORDER)

    (call,) = responses.calls
    assert json.loads(call.request.body) == {
        "customer": "u1",
        "action": "checkout",
        "data": {"points": 12},
        "api_key": "key-1",
    }
    assert result.answer.status == 202


@responses.activate
def test_an_identify_becomes_a_profile_update_untouched() -> None:
    responses.post(URL, status=202, json={})

    ANTAVO.execute("profile", SETTINGS, ANTAVO.action("profile").default_mapping, PROFILE)

    assert json.loads(responses.calls[0].request.body) == {
        "customer": "u1",
        "data": {"first_name": "Ann", "birth_date": "1985-01-02"},
        "action": "profile",
        "api_key": "key-1",
    }


@responses.activate
def test_a_mapping_cannot_choose_key_or_profile_action() -> None:
    responses.post(URL, status=202, json={})
    fields: dict[str, Any] = ANTAVO.action("profile").default_mapping | {"api_key": "evil", "action": "evil"}

    ANTAVO.execute("profile", SETTINGS, fields, PROFILE)

    body = json.loads(responses.calls[0].request.body)
    assert (body["api_key"], body["action"]) == ("key-1", "profile")


@responses.activate
def test_an_event_without_an_action_sends_nothing() -> None:
    result = ANTAVO.execute("event", SETTINGS, ANTAVO.action("event").default_mapping, ORDER)

    assert isinstance(result.error, PayloadError)
    assert result.error.message == "The root value is missing the required field 'action'."
    assert len(responses.calls) == 0


def test_two_stacks_are_two_worlds(sandbox: Sandbox) -> None:
    for stack, key in (("st1", "key-1"), ("st2", "key-2")):
        result = ANTAVO.execute("event", {"stack": stack, "api_key": key}, CHECKOUT, ORDER, policy=sandbox.policy)
        assert result.error is None

    assert [item["host"] for item in sandbox.received("antavo")] == ["api.st1.antavo.com", "api.st2.antavo.com"]


@pytest.mark.parametrize("path", ["webhook", "native"])
def test_a_refused_key_is_told_in_antavos_words(sandbox: Sandbox, path: str) -> None:
    settings = {"stack": "st1", "api_key": "key-2", "path": path}

    result = ANTAVO.execute("event", settings, CHECKOUT, ORDER, policy=sandbox.policy)

    assert isinstance(result.error, CredentialsRefused)
    assert result.error.message.endswith(
        " answered 401: Invalid API key (101021). Check API key and API secret in the account."
    )


# The account


@responses.activate
def test_the_stack_may_be_written_in_any_case() -> None:
    responses.post("https://api.staging.antavo.com/v1/webhook/segment", status=202)

    result = ANTAVO.execute("event", {"stack": " Staging", "api_key": "k"}, CHECKOUT, ORDER)

    assert result.answer.status == 202


@pytest.mark.parametrize("settings", [{}, {"stack": "st1"}, {"api_key": "k"}, {"stack": "a/b", "api_key": "k"}])
@pytest.mark.parametrize("path", ["webhook", "native"])
@responses.activate
def test_an_account_that_is_not_whole_sends_nothing(settings: dict[str, str], path: str) -> None:
    result = ANTAVO.execute("event", settings | {"path": path}, CHECKOUT, ORDER)

    assert isinstance(result.error, Blocked)
    assert result.error.message.endswith("in the account.")
    assert len(responses.calls) == 0


def test_a_request_is_signed_as_antavos_own_library_signs_it() -> None:
    body = b'{"customer":"c-1","action":"point_add","data":{"points":325}}'
    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

    headers = signature("POST", "https://api.st2.antavo.com/events", body, "KEY", "SECRET", "st2", at)

    assert headers == {
        "Date": "20260102T030405Z",
        "Authorization": "ANTAVO-HMAC-SHA256 Credential=KEY/20260102/st2/api/antavo_request, SignedHeaders=date;host, "
        "Signature=40a26f64922ecae1d93c8ab97f6a2095766492f6254e50d786ae2dfe2d2749ca",
    }


@pytest.mark.parametrize("path", ["webhook", "native"])
def test_with_a_secret_every_request_is_signed(sandbox: Sandbox, path: str) -> None:
    settings = {"stack": "ST3", "api_key": "key-3", "path": path}
    event = order("c-1", properties={"note": "ü"})

    signed = ANTAVO.execute("event", settings | {"api_secret": "secret-3"}, POINTS, event, policy=sandbox.policy)
    unsigned = ANTAVO.execute("event", settings, POINTS, event, policy=sandbox.policy)

    assert signed.error is None
    assert signed.exchanges[0].url.endswith(("/segment", "/events"))
    assert isinstance(unsigned.error, CredentialsRefused)
    assert len(sandbox.accepted("antavo")) == 1


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        (
            SETTINGS,
            "Antavo's stack st1 takes the API key. Antavo ends unsigned calls on 2026-12-31. "
            "Enter the API secret before.",
        ),
        (
            {"stack": "st3", "api_key": "key-3", "api_secret": "secret-3"},
            "Antavo's stack st3 takes the API key and the signature made with the API secret.",
        ),
    ],
)
def test_the_account_is_tested_by_asking_for_nobody(sandbox: Sandbox, settings: dict[str, str], found: str) -> None:
    assert ANTAVO.test(settings, policy=sandbox.policy) == found
    assert sandbox.received("antavo") == []


def test_a_wrong_key_fails_the_test(sandbox: Sandbox) -> None:
    with pytest.raises(CredentialsRefused, match="Invalid API key"):
        ANTAVO.test(SETTINGS | {"api_key": "key-2"}, policy=sandbox.policy)


@responses.activate
def test_a_404_that_is_not_antavos_fails_the_test() -> None:
    responses.get("https://api.st1.antavo.com/customers/switchyard-connection-test", status=404, body="<html>")

    with pytest.raises(Rejected, match=r"not in the form of Antavo's API. Check the stack\.$"):
        ANTAVO.test(SETTINGS)


# Who it is about


@pytest.mark.parametrize(
    ("event", "customer"),
    [
        ({"traits": {"card": "4711"}}, "4711"),
        ({"userId": None, "context": {"traits": {"card": 4711}}}, "4711"),
        ({"properties": {"card": "4711"}}, "4711"),
        ({"traits": {"card": ""}, "context": {"traits": {"card": "4711"}}, "properties": {"card": "x"}}, "4711"),
        ({"traits": "x", "context": [], "properties": {"card": "4711"}}, "4711"),
    ],
)
@responses.activate
def test_an_external_id_is_looked_for_wherever_the_event_may_have_it(event: dict[str, Any], customer: str) -> None:
    responses.post(URL, status=202)

    ANTAVO.execute("event", EXTERNAL, POINTS | {"data": {}}, {**ORDER, "properties": {}} | event)

    assert sent() == [{"customer": customer, "action": "point_add", "data": {}, "api_key": "key-1"}]


@pytest.mark.parametrize("action", ["event", "profile"])
@responses.activate
def test_an_event_without_the_external_id_is_named_as_such_and_not_sent(action: str) -> None:
    result = ANTAVO.execute(action, EXTERNAL, POINTS, ORDER)

    assert isinstance(result.error, PayloadError)
    assert [(f.path, f.message) for f in result.error.faults] == [
        (
            "/customer",
            "Customer ID: the event has no card in its traits, context.traits or properties, by which the account's "
            "customer ID mapping names customers.",
        )
    ]
    assert len(responses.calls) == 0


@responses.activate
def test_a_mapping_that_names_the_customer_otherwise_is_left_alone() -> None:
    responses.post(URL, status=202)
    fields = POINTS | {"customer": {"@path": "$.properties.member"}, "data": {}}

    ANTAVO.execute("event", EXTERNAL, fields, order(properties={"member": "m-9", "card": "4711"}))

    assert sent()[0]["customer"] == "m-9"


@responses.activate
def test_the_native_api_is_told_which_id_it_is() -> None:
    responses.post(EVENTS, json={})
    responses.post(BULK, json={"results": [{}, {}]})
    events = [order(traits={"card": card}) for card in ("4711", "4712")]

    ANTAVO.execute("event", EXTERNAL | NATIVE, CHECKOUT, events[0])
    ANTAVO.execute_batch("event", EXTERNAL | NATIVE, CHECKOUT, events)

    first, second = (
        {"customer": card, "action": "checkout", "data": {"points": 12}, "external_id": "card"}
        for card in ("4711", "4712")
    )
    assert sent() == [first, {"events": [first, second]}]


@pytest.mark.parametrize("action", ["event", "profile"])
@responses.activate
def test_where_accounts_are_many_each_event_says_which(action: str) -> None:
    responses.post(URL, status=202)
    settings = SETTINGS | {"multi_accounts": True}

    without = ANTAVO.execute(action, settings, CHECKOUT, ORDER)
    with_one = ANTAVO.execute(action, settings, CHECKOUT | {"account": "club"}, ORDER)

    assert isinstance(without.error, PayloadError)
    assert without.error.message == "The root value is missing the required field 'account'."
    assert with_one.error is None
    assert [body["account"] for body in sent()] == ["club"]


# The native API


@responses.activate
def test_the_webhook_gets_events_one_by_one() -> None:
    responses.post(URL, status=202)

    ANTAVO.execute_batch("event", SETTINGS, CHECKOUT, [ORDER, ORDER])

    assert [body["action"] for body in sent()] == ["checkout", "checkout"]


@responses.activate
def test_the_native_api_gets_fifty_at_once() -> None:
    def answer(request: Any) -> tuple[int, dict[str, str], str]:
        body = json.loads(request.body)
        return 200, {}, json.dumps({"results": [{"events": []}] * len(body.get("events", []))})

    responses.add_callback("POST", BULK, callback=answer)
    responses.add_callback("POST", EVENTS, callback=answer)

    results = ANTAVO.execute_batch("profile", NATIVE, {"customer": "c", "data": {}}, [PROFILE] * 101)

    assert [len(body.get("events", [body])) for body in sent()] == [50, 50, 1]
    assert sent()[2] == {"customer": "c", "data": {}, "action": "profile"}
    assert [result.error for result in results] == [None] * 101


def test_each_event_of_a_batch_has_its_own_outcome(sandbox: Sandbox) -> None:
    settings = {"stack": "st3", "api_key": "key-3", "api_secret": "secret-3", "path": "native"}
    bought = [("c-1", "t-1"), ("nobody", "t-2"), ("c-2", "t-1"), ("c-2", "t-3")]
    events = [order(user, properties={"transaction_id": t}) for user, t in bought]

    results = ANTAVO.execute_batch("event", settings, POINTS, events, policy=sandbox.policy)

    assert [said(result) for result in results] == [
        "",
        "Rejected: POST https://api.st3.antavo.com/events/bulk refused the event: Customer not found (160212). Antavo "
        "knows no such customer: they join by the action opt_in first, or the customer ID mapping differs.",
        "Antavo has booked this transaction_id before, so nothing was booked twice (5003).",
        "",
    ]
    assert [body["customer"] for body in sandbox.accepted("antavo")] == ["c-1", "c-2"]


def said(result: Result) -> str:
    return f"{type(result.error).__name__}: {result.error}" if result.error else result.answer.note


@pytest.mark.parametrize("answered", [{}, [], {"results": []}, {"results": [{}]}, {"results": "x"}])
@responses.activate
def test_an_answer_that_leaves_events_out_is_told_and_not_repeated(answered: Any) -> None:
    responses.post(BULK, json=answered)

    results = ANTAVO.execute_batch("event", NATIVE, CHECKOUT, [ORDER, ORDER])

    assert [type(result.error) for result in results] == [Rejected, Rejected]
    assert str(results[1].error) == (
        "POST https://api.st1.antavo.com/events/bulk answered 200, but not what became of each of the 2 events. Look "
        "in Antavo whether they were booked before you send them again."
    )


# What Antavo says


@pytest.mark.parametrize("status", [200, 400, 409, 500])
@pytest.mark.parametrize("body", [envelope(5003), envelope(5003)["error"]])
@responses.activate
def test_a_transaction_that_antavo_has_is_delivered(status: int, body: dict[str, Any]) -> None:
    responses.post(EVENTS, status=status, json=body)

    result = ANTAVO.execute("event", NATIVE, CHECKOUT, ORDER)

    assert result.error is None
    assert result.answer.note == "Antavo has booked this transaction_id before, so nothing was booked twice (5003)."


@pytest.mark.parametrize(("path", "url"), [("native", EVENTS), ("webhook", URL)])
@responses.activate
def test_an_interrupted_event_is_delivered_and_says_so(path: str, url: str) -> None:
    responses.post(url, status=400, json=envelope(127201))

    result = ANTAVO.execute("event", SETTINGS | {"path": path}, CHECKOUT, ORDER)

    assert result.error is None
    assert result.answer.note == (
        "Antavo took the event in, and a workflow of yours there interrupted its processing (127201)."
    )


@pytest.mark.parametrize(
    ("status", "code", "error", "remedy"),
    [
        (400, 1601, Rejected, "The coupon cannot be used: check its code and validity."),
        (400, 10001, Rejected, "Antavo takes this action once per customer only."),
        (401, 101021, CredentialsRefused, "Check API key and API secret in the account."),
        (
            400,
            112204,
            Rejected,
            "Look at Antavo's rules for refunds: the purchase must be known there and not be refunded yet.",
        ),
        (400, 113401, Rejected, "Map the parameter Antavo misses into the event data."),
        (400, 120212, Rejected, "The reward is out of stock."),
        (503, 160216, Busy, "The customer is not active in Antavo."),
    ],
)
@responses.activate
def test_a_code_of_antavos_comes_with_what_to_do(
    status: int, code: int, error: type[DeliveryError], remedy: str
) -> None:
    responses.post(EVENTS, status=status, json=envelope(code, "Sorry"))

    result = ANTAVO.execute("event", NATIVE, CHECKOUT, ORDER)

    assert type(result.error) is error
    assert result.error.message == f"POST https://api.st1.antavo.com/events answered {status}: Sorry ({code}). {remedy}"
    assert result.error.code == str(code)


@responses.activate
def test_an_error_in_a_200_of_the_native_api_is_a_failure() -> None:
    responses.post(EVENTS, json=envelope(120212, "Gone"))

    result = ANTAVO.execute("event", NATIVE, CHECKOUT, ORDER)

    assert str(result.error) == (
        "POST https://api.st1.antavo.com/events refused the event: Gone (120212). The reward is out of stock."
    )


STATUSES = [
    (400, Rejected),
    (401, CredentialsRefused),
    (403, CredentialsRefused),
    (404, Rejected),
    (408, Busy),
    (409, Rejected),
    (413, Rejected),
    (422, Rejected),
    (423, Busy),
    (429, Busy),
    (500, Busy),
    (502, Busy),
    (504, Busy),
]


@pytest.mark.parametrize(("path", "url"), [("native", BULK), ("webhook", URL)])
@pytest.mark.parametrize(("status", "error"), STATUSES)
@responses.activate
def test_every_status_lands_in_its_class_for_each_event(
    path: str, url: str, status: int, error: type[DeliveryError]
) -> None:
    responses.post(url, status=status, body="Sorry")

    results = ANTAVO.execute_batch("event", SETTINGS | {"path": path}, CHECKOUT, [ORDER, ORDER])

    assert [(type(result.error), str(result.error)) for result in results] == [
        (error, f"POST {url.partition('?')[0]} answered {status}: Sorry")
    ] * 2


# Sent, and no answer


@pytest.mark.parametrize(
    ("action", "data", "unknown"),
    [
        ("event", {"points": 1}, True),
        ("event", {"transaction_id": "t-1"}, False),
        ("profile", {"first_name": "Ann"}, False),
    ],
)
@pytest.mark.parametrize("path", ["webhook", "native"])
@responses.activate
def test_an_event_that_may_count_twice_says_so(action: str, data: dict[str, Any], unknown: bool, path: str) -> None:
    for url in (URL, EVENTS, BULK):
        responses.post(url, body=Broken("reset"))
    fields = {"customer": "c", "action": "point_add", "data": data}

    alone = ANTAVO.execute(action, SETTINGS | {"path": path}, fields, ORDER)
    both = ANTAVO.execute_batch(action, SETTINGS | {"path": path}, fields, [ORDER, ORDER])

    assert [type(result.error) for result in (alone, *both)] == [NoAnswer] * 3
    assert [str(result.error).endswith(UNKNOWN) for result in (alone, *both)] == [unknown] * 3


def test_what_cannot_have_arrived_is_not_unknown() -> None:
    policy = AddressPolicy(resolve=lambda host, port: [])

    result = ANTAVO.execute("event", SETTINGS, CHECKOUT, ORDER, policy=policy)

    assert isinstance(result.error, NoAnswer)
    assert result.error.unsent
    assert "Outcome unknown" not in result.error.message


def test_a_purchase_whose_answer_got_lost_counts_once(sandbox: Sandbox) -> None:
    settings = {"stack": "st3", "api_key": "key-3", "api_secret": "secret-3", "path": "native"}
    purchase = order("c-1", properties={"transaction_id": "t-1", "points": 5})
    sandbox.switch("antavo", reset=True, count=1, after=True)

    first, second = (ANTAVO.execute("event", settings, POINTS, purchase, policy=sandbox.policy) for attempt in range(2))

    assert isinstance(first.error, NoAnswer)
    assert said(second) == "Antavo has booked this transaction_id before, so nothing was booked twice (5003)."
    assert sandbox.antavo.stacks["st3"].customers["c-1"]["score"] == 5


# Segment's own code, beyond its actions


ON_EVENT = [row for row in rows("actions") if row["destination"] == "antavo" and row["kind"] == "on_event"]


@pytest.mark.parametrize("row", ON_EVENT, ids=lambda row: row["id"])
@responses.activate
def test_a_subscribed_event_is_sent_as_segment_sends_it(row: dict[str, Any]) -> None:
    for request in row["requests"]:
        responses.post(request["url"], json={})
    settings = {name: str(value) for name, value in row["settings"].items()}

    matched = trigger.parse(row["subscribe"]).matches(row["event"])
    result = ANTAVO.execute(row["action"], settings, row["mapping"], row["event"])

    assert matched
    assert [call.request.url for call in responses.calls] == [request["url"] for request in row["requests"]]
    assert same_json(sent(), [request["json"] for request in row["requests"]])
    assert (result.error is not None) == ("error" in row)


@responses.activate
def test_a_batch_that_segment_refuses_is_sent_one_by_one() -> None:
    (row,) = (row for row in rows("actions") if row["destination"] == "antavo" and row["kind"] == "on_batch")
    responses.post(URL, status=202)
    settings = row["settings"] | {"api_key": "key-1"}

    results = ANTAVO.execute_batch(row["action"], settings, row["mapping"], row["events"])

    assert row["id"] in KNOWN
    assert [result.error for result in results] == [None, None]
    assert [body["customer"] for body in sent()] == ["u-17", "u-17"]


def test_no_field_has_choices_to_ask_for() -> None:
    assert ANTAVO.choices("customer", SETTINGS) == ()
