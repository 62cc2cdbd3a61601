"""Antavo gets loyalty events and profiles on the right stack, with the key that no mapping can change."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import responses

from connectors.errors import CredentialsRefused, PayloadError
from connectors.registry import get_destination
from connectors.sandbox import Sandbox

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


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        sandbox.seed(antavo={"st1": "key-1", "st2": "key-2"})
        yield sandbox


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


def test_a_refused_key_is_told_in_antavos_words(sandbox: Sandbox) -> None:
    result = ANTAVO.execute("event", {"stack": "st1", "api_key": "key-2"}, CHECKOUT, ORDER, policy=sandbox.policy)

    assert isinstance(result.error, CredentialsRefused)
    assert result.error.message == f"POST {URL} answered 401: Invalid API key"


def test_the_account_cannot_be_tested_and_says_so() -> None:
    assert ANTAVO.test(SETTINGS) == ("This vendor offers no way to check an account; the first delivery will tell.")
