"""Qualtrics gets contacts, transactions and workflow events as from Segment's own code, without that code's traps."""

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests
import responses

from connectors import fields, mapping
from connectors.client import AddressPolicy
from connectors.definitions import UNSET, Call, Choice, Result, perform, prepare
from connectors.errors import (
    Busy,
    CredentialsRefused,
    DeliveryError,
    Gone,
    NoAnswer,
    PayloadError,
    Rejected,
)
from connectors.registry import get_destination
from connectors.sandbox import Sandbox
from tests.connectors.test_contract import DECLARED, as_declared
from tests.connectors.vectors import KNOWN, rows

QUALTRICS = get_destination("qualtrics")
SETTINGS = {"apiToken": "tok-1", "datacenter": "fra1"}
HOST = "https://fra1.qualtrics.com"
POOL = f"{HOST}/API/v3/directories/POOL_1"
WORKFLOW = f"{HOST}/inbound-event/v1/events/json/triggers?urlTokenId=start"
ACCOUNT = {
    "token": "tok-1",
    "brand": "acme",
    "user": "jane",
    "datacenter": "fra1",
    "directories": [
        {
            "id": "POOL_1",
            "name": "Main",
            "rules": [["externalDataReference"], ["email"]],
            "lists": [{"id": "CG_1", "name": "News"}],
        },
        {"id": "POOL_2", "name": "Second", "lists": [{"id": "CG_2", "name": "Old"}]},
    ],
    "workflows": [{"id": "start"}],
}
ANN = {
    "type": "identify",
    "userId": "u-1",
    "messageId": "m-1",
    "traits": {"email": "ann@shop.test", "firstName": "Ann", "lastName": "Lee", "language": "LV"},
}
BOUGHT = {
    "type": "track",
    "event": "Transaction Created",
    "userId": "u-1",
    "messageId": "m-2",
    "timestamp": "2026-03-04T05:06:07.089Z",
    "properties": {"total": 19.99, "paid": True, "lines": [{"sku": "A"}], "ship": {"city": "Riga"}, "note": None},
    "context": {"traits": {"email": "ann@shop.test", "phone": "+37120000000", "qualtricsMailingListId": "CG_1"}},
}
STORED = {"result": {"createdTransactions": {}, "unprocessedTransactions": {}}}


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        sandbox.seed(qualtrics=[ACCOUNT])
        yield sandbox


def fields_of(action: str, **more: Any) -> dict[str, Any]:
    """The default mapping, with what it leaves to be filled in."""
    missing = {"workflowUrl": WORKFLOW} if action == "triggerXflowWorkflow" else {"directoryId": "POOL_1"}
    return QUALTRICS.action(action).default_mapping | missing | more


def send(action: str, event: dict[str, Any], settings: dict[str, Any] | None = None, **more: Any) -> Result:
    return QUALTRICS.execute(action, SETTINGS | (settings or {}), fields_of(action, **more), event)


def sent() -> list[tuple[str, Any]]:
    """The path below the directory, or the whole URL, and the body of every request, oldest first."""
    return [
        (str(call.request.url).removeprefix(POOL), json.loads(call.request.body) if call.request.body else None)
        for call in responses.calls
    ]


def finds(*contacts: dict[str, Any]) -> None:
    responses.post(f"{POOL}/contacts/search", json={"result": {"elements": list(contacts)}})


# As Segment's own code does it


RECORDED_NOW = "2026-05-06 07:08:09"
EXECUTED = [row for row in rows("actions") if row["destination"] == "qualtrics" and row["kind"] == "execute"]
ASKED = [row for row in rows("actions") if row["destination"] == "qualtrics" and row["kind"] == "dynamic_field"]
TESTED = [row for row in rows("actions") if row["destination"] == "qualtrics" and row["kind"] == "test_auth"]


def answer_as(recorded: list[dict[str, Any]]) -> None:
    """The i-th request gets the i-th answer."""
    left = list(recorded)

    def answer(request: requests.PreparedRequest) -> tuple[int, dict[str, str], str]:
        given = left.pop(0)
        if given.get("reset"):
            raise requests.ConnectionError("reset")
        body = json.dumps(given["json"]) if "json" in given else given.get("body", "")
        return given["status"], given.get("headers", {}), body

    for method in ("GET", "POST"):
        responses.add_callback(method, re.compile(".*"), callback=answer)


def without_chance(url: str, body: Any) -> Any:
    """A body without the random key of its transaction, and without the present moment."""
    if not url.endswith("/transactions"):
        return body
    (item,) = body.values()
    lately = {f"{datetime.now(UTC) - timedelta(seconds=s):%Y-%m-%d %H:%M:%S}" for s in range(60)}
    return [item | {"transactionDate": "now"} if item["transactionDate"] in {RECORDED_NOW, *lately} else item]


def requests_of(row: dict[str, Any]) -> list[Any]:
    return [
        [r["method"], r["url"], r["headers"].get("x-api-token"), r["headers"]["content-type"]]
        + [without_chance(r["url"], r.get("json"))]
        for r in row["requests"]
    ]


def requests_made() -> list[Any]:
    made = [call.request for call in responses.calls]
    return [
        [r.method, r.url, r.headers.get("X-API-TOKEN"), r.headers["Content-Type"]]
        + [without_chance(str(r.url), json.loads(r.body) if r.body else None)]
        for r in made
    ]


@pytest.mark.parametrize("row", EXECUTED, ids=lambda row: row["id"])
@responses.activate
def test_the_same_requests_leave_and_fail_alike_but_for_the_known_differences(row: dict[str, Any]) -> None:
    answer_as(row["responses"])
    theirs = json.dumps([requests_of(row), "error" in row])

    result = QUALTRICS.execute(row["action"], row["settings"], row["mapping"], row["event"])

    ours = json.dumps([requests_made(), result.error is not None])
    assert (ours == theirs) == (row["id"] not in KNOWN), (ours, theirs)
    named = row.get("error", {}).get("name")
    if named == "AggregateAjvError":
        assert isinstance(result.error, PayloadError)
        assert result.error.message == row["error"]["message"]
    elif named == "HTTPError":
        assert isinstance(result.error, DeliveryError)
        assert result.error.status == row["error"]["response"]["status"]


@pytest.mark.parametrize("row", ASKED, ids=lambda row: row["id"])
@responses.activate
def test_directories_are_offered_as_by_segment(row: dict[str, Any]) -> None:
    answer_as(row["responses"] or [{"status": 404}])
    offered = row.get("result", {})

    try:
        ours = [(choice.label, choice.value) for choice in QUALTRICS.choices(row["field"], row["settings"])]
        failed = False
    except DeliveryError:
        ours, failed = [], True

    assert ours == [(choice["label"], choice["value"]) for choice in offered.get("choices", ())]
    assert failed == (row["field"] == "directoryId" and not ours)
    assert (requests_made() == requests_of(row)) == (row["id"] not in KNOWN)


@pytest.mark.parametrize("row", TESTED, ids=lambda row: row["id"])
@responses.activate
def test_an_account_is_tested_as_by_segment(row: dict[str, Any]) -> None:
    answer_as(row["responses"])

    try:
        QUALTRICS.test(row["settings"])
        failed = False
    except DeliveryError:
        failed = True

    assert failed == ("error" in row)
    assert requests_made() == requests_of(row)


def test_actions_and_fields_are_those_of_segment_but_for_two_defaults() -> None:
    for name, declared in DECLARED["qualtrics"]["actions"].items():
        action = QUALTRICS.action(name)
        theirs = {field: dict(about) for field, about in declared["fields"].items()}
        for field in ("unsubscribed", "language"):
            theirs.get(field, {}).pop("default", None)
        for about in theirs.values():
            about.pop("dynamic", None)

        assert (action.name, action.trigger) == (declared["title"], declared["default_subscription"] or "")
        assert {f.name: as_declared(f) for f in action.fields} == theirs
        assert all(f.help.endswith(".") for f in action.fields)
        offered = {f.name: f.offer for f in action.fields if f.offer is not UNSET}
        assert offered == ({"language": "EN", "unsubscribed": False} if "language" in theirs else {})
    account = {f.name: (f.label, f.required, f.secret, f.default) for f in QUALTRICS.account}
    assert account == {
        "apiToken": ("API Token", True, True, UNSET),
        "datacenter": ("Datacenter ID", True, False, "iad1"),
    }


# Its traps


@responses.activate
def test_nobody_is_subscribed_again_and_no_language_overwritten_by_default() -> None:
    responses.post(f"{POOL}/contacts", json={"result": {"id": "CID_1"}})

    send("addContactToXmd", ANN)

    person = {"firstName": "Ann", "lastName": "Lee", "email": "ann@shop.test", "extRef": "u-1"}
    assert sent() == [("/contacts", person)]


@responses.activate
def test_what_stands_in_a_mapping_is_sent() -> None:
    responses.post(f"{POOL}/contacts", json={"result": {"id": "CID_1"}})
    untouched = {"list": [1], "none": None, "deep": {"a": 1}, "long": "x" * 2000}

    send("addContactToXmd", {"userId": "u-1"}, unsubscribed=False, language="EN", embeddedData=untouched)

    told = {"extRef": "u-1", "unsubscribed": False, "language": "EN", "embeddedData": untouched}
    assert sent() == [("/contacts", told)]


@responses.activate
def test_traits_of_a_track_event_are_found_in_its_context() -> None:
    finds({"id": "CID_1"})
    responses.post(f"{POOL}/transactions", json=STORED)

    result = send("upsertContactTransaction", BOUGHT)

    assert result.error is None
    assert [f["value"] for f in sent()[0][1]["filter"]["filters"]] == ["u-1", "+37120000000", "ann@shop.test"]
    assert sent()[1][1]["m-2"]["mailingListId"] == "CG_1"


@pytest.mark.parametrize("kind", ["identify", "group"])
def test_traits_in_the_context_of_other_events_are_not_theirs(kind: str) -> None:
    action = QUALTRICS.action("addContactToXmd")
    event = {"type": kind, "userId": "u-1", "context": {"traits": {"email": "old@shop.test"}}}

    payload = prepare(action, mapping.compile(fields_of("addContactToXmd")), event)

    assert payload == {"directoryId": "POOL_1", "extRef": "u-1"}


@responses.activate
def test_a_nested_value_in_transaction_data_is_written_alone_and_null_left_out() -> None:
    finds({"id": "CID_1"})
    responses.post(f"{POOL}/transactions", json=STORED)

    send("upsertContactTransaction", BOUGHT, transactionData={"@path": "$.properties"})

    assert sent()[1] == (
        "/transactions",
        {
            "m-2": {
                "contactId": "CID_1",
                "mailingListId": "CG_1",
                "data": {"total": 19.99, "paid": True, "lines": '[{"sku":"A"}]', "ship": '{"city":"Riga"}'},
                "transactionDate": "2026-03-04 05:06:07",
            }
        },
    )


@responses.activate
def test_an_unprocessed_transaction_is_a_failure_in_qualtrics_words() -> None:
    finds({"id": "CID_1"})
    refused = {"m-2": {"error": "E_1", "errorMessage": "no such list"}}
    responses.post(f"{POOL}/transactions", json={"result": {"unprocessedTransactions": refused}})

    result = send("upsertContactTransaction", BOUGHT)

    assert type(result.error) is Rejected
    assert (result.error.status, result.error.code) == (200, "E_1")
    assert result.error.message == (
        f"Adding the transaction: POST {POOL}/transactions answered 200, but did not process it: no such list (E_1). "
        "Check Directory ID, Mailing list ID and the transaction's fields in the mapping."
    )


@pytest.mark.parametrize(
    ("url", "token"),
    [
        ("https://fra1.qualtrics.com/x", "tok-1"),
        ("https://OTHER.Qualtrics.COM/x", "tok-1"),
        ("https://qualtrics.com.evil.test/x", None),
        ("https://evilqualtrics.com/x", None),
        ("https://evil.test/.qualtrics.com", None),
        ("https://proxy.brand.test/x", "tok-1"),
    ],
)
@responses.activate
def test_the_token_goes_to_qualtrics_and_where_the_operator_routes(url: str, token: str | None) -> None:
    responses.post(re.compile(".*"), status=202)
    policy = AddressPolicy(routes={"proxy.brand.test": "https://10.0.0.1"})

    result = QUALTRICS.execute(
        "triggerXflowWorkflow", SETTINGS, fields_of("triggerXflowWorkflow", workflowUrl=url), BOUGHT, policy=policy
    )

    assert result.error is None
    assert responses.calls[0].request.headers.get("X-API-TOKEN") == token


@pytest.mark.parametrize("url", ["mailto:a@b.c", "ftp://hooks.test/x", "urn:x:y", "https://a:b@fra1.qualtrics.com/x"])
@responses.activate
def test_a_workflow_url_that_is_none_sends_nothing(url: str) -> None:
    result = send("triggerXflowWorkflow", BOUGHT, workflowUrl=url)

    assert result.error is not None
    assert sent() == []


@responses.activate
def test_ids_cannot_lead_elsewhere() -> None:
    responses.post(re.compile(".*"), json={"result": {"id": "CID_1"}})

    send("addContactToXmd", {"userId": "u-1"}, directoryId="../users/ä?b=1#c")

    assert responses.calls[0].request.url == (f"{HOST}/API/v3/directories/..%2Fusers%2F%C3%A4%3Fb%3D1%23c/contacts")


@pytest.mark.parametrize("directory", [".", ".."])
@responses.activate
def test_an_id_that_no_escape_makes_harmless_sends_nothing(directory: str) -> None:
    result = send("addContactToXmd", {"userId": "u-1"}, directoryId=directory)

    assert type(result.error) is Rejected
    assert result.error.message == (
        f"Creating the contact: Nothing was sent: '{directory}' is no ID. Correct it in the mapping."
    )
    assert sent() == []


@responses.activate
def test_nobody_is_looked_up_by_nothing() -> None:
    result = send("upsertContactTransaction", {**BOUGHT, "context": {}}, extRef=[None], mailingListId="CG_1")

    assert isinstance(result.error, PayloadError)
    assert result.error.message == (
        "Without a Contact ID the contact is looked up: External Data Reference must not be empty."
    )
    assert sent() == []


@pytest.mark.parametrize(
    ("given", "written"),
    [
        (1772600767, "2026-03-04 05:06:07"),
        (1772600767.9, "2026-03-04 05:06:07"),
        (1772600767089, "2026-03-04 05:06:07"),
        ("1772600767", "2026-03-04 05:06:07"),
        ("1772600767089", "2026-03-04 05:06:07"),
        (-86400, "1969-12-31 00:00:00"),
        ("2026-03-04T05:06:07+02:00", "2026-03-04 03:06:07"),
        ("12345", "+012345-01-01 00:00:00"),
        (-62198755200000, "-000001-01-01 00:00:00"),
    ],
)
@responses.activate
def test_dates_are_read_in_all_their_forms(given: Any, written: str) -> None:
    responses.post(f"{POOL}/transactions", json=STORED)

    send("upsertContactTransaction", BOUGHT, contactId="CID_1", transactionDate=given)

    assert sent()[0][1]["m-2"]["transactionDate"] == written


@pytest.mark.parametrize("given", ["2026-13-01", 8640000000000001])
@responses.activate
def test_a_date_that_cannot_be_read_is_an_error_and_not_the_present(given: Any) -> None:
    result = send("upsertContactTransaction", BOUGHT, transactionDate=given)

    assert isinstance(result.error, PayloadError)
    assert result.error.message == "Date & time of transaction cannot be read as a date."
    assert sent() == []


# Looking a contact up


def filter_by(name: str, value: str) -> Any:
    return ("/contacts/search", {"filter": {"filterType": name, "comparison": "eq", "value": value}})


@responses.activate
def test_the_first_match_wins_where_the_destination_says_so() -> None:
    for found in ([], [{"id": "CID_5"}]):
        finds(*found)
    responses.post(f"{POOL}/transactions", json=STORED)

    send("upsertContactTransaction", BOUGHT, {"contactLookup": "first"})

    assert sent()[:2] == [filter_by("extRef", "u-1"), filter_by("email", "ann@shop.test")]
    assert sent()[2][1]["m-2"]["contactId"] == "CID_5"


@responses.activate
def test_nobody_is_created_before_each_of_the_three_was_tried() -> None:
    finds()
    responses.post(f"{POOL}/contacts", json={"result": {"id": "CID_6"}})
    responses.post(f"{POOL}/transactions", json=STORED)

    send("upsertContactTransaction", BOUGHT, {"contactLookup": "first"})

    assert [path for path, _ in sent()] == ["/contacts/search"] * 3 + ["/contacts", "/transactions"]
    assert sent()[2] == filter_by("phone", "+37120000000")


@responses.activate
def test_several_matches_are_shown() -> None:
    finds(
        {"id": "CID_1", "externalDataReference": "u-1", "email": "ann@shop.test"},
        *({"id": f"CID_{n}"} for n in range(2, 8)),
    )

    result = send("upsertContactTransaction", BOUGHT, {"contactLookup": "first"})

    assert type(result.error) is Rejected
    assert result.error.code == "directory_lookup_error"
    assert result.error.message == (
        "Looking up the contact: 7 contacts in POOL_1 match by External Data Reference: CID_1 = u-1, CID_2, CID_3, "
        "CID_4, CID_5 and 2 more. Merge them in Qualtrics, or map the Contact ID. Check the Directory ID and what "
        "identifies the contact in the mapping."
    )


# Again, and together


def attempt(call: Call, sandbox: Sandbox, **more: Any) -> Any:
    """One attempt of the purchase: its answer or error, and the paths asked for."""
    action = QUALTRICS.action("upsertContactTransaction")
    payload = prepare(action, mapping.compile(fields_of(action.slug, **more)), BOUGHT)
    with QUALTRICS.client(SETTINGS, policy=sandbox.policy) as client:
        (outcome,) = perform(action, client, [payload], [call])
        return outcome, [exchange.url.removeprefix(POOL) for exchange in client.take_exchanges()]


def stored(sandbox: Sandbox) -> list[str]:
    """What was kept, by the end of its path."""
    return [item["path"].rpartition("/")[2] for item in sandbox.accepted("qualtrics")]


def test_a_repeated_delivery_does_not_create_its_contact_twice(sandbox: Sandbox) -> None:
    call = Call("k-1")

    refused, _ = attempt(call, sandbox, mailingListId="CG_9")
    answer, asked = attempt(call, sandbox)

    assert isinstance(refused, Busy)
    assert (answer.status, asked) == (200, ["/transactions"])
    assert stored(sandbox) == ["contacts", "transactions"]


def test_a_transaction_whose_answer_never_came_is_looked_for_before_it_is_repeated(sandbox: Sandbox) -> None:
    call = Call("k-1")
    attempt(call, sandbox)
    call.memo["unsure"] = True

    answer, asked = attempt(call, sandbox)
    other, also = attempt(call, sandbox, transactionData={"total": 5})

    contact = call.memo["contactId"]
    look = f"/contacts/{contact}/transactions?withData=true"
    assert (answer.status, asked) == (200, [look])
    assert (other.status, also) == (200, [look, "/transactions"])


@pytest.mark.parametrize(
    ("switches", "unsure"),
    [
        ({"status": 503}, True),
        ({"status": 504, "after": True}, True),
        ({"reset": True}, True),
        ({"status": 429}, False),
        ({"status": 404}, False),
    ],
)
def test_what_may_have_been_stored_is_remembered(sandbox: Sandbox, switches: dict[str, Any], unsure: bool) -> None:
    call = Call("k-1", memo={"contactId": "CID_1"})
    sandbox.switch("qualtrics", **switches)

    outcome, _ = attempt(call, sandbox)

    assert isinstance(outcome, DeliveryError)
    assert call.memo.get("unsure", False) == unsure
    assert ("Whether it is stored is not known" in outcome.message) == unsure


def test_a_contact_that_is_too_new_to_be_known_is_tried_again_once(sandbox: Sandbox) -> None:
    call = Call("k-1")
    sandbox.switch("qualtrics", lag=2)

    outcomes = [attempt(call, sandbox)[0] for _ in range(2)]

    assert [type(outcome) for outcome in outcomes] == [Busy, Rejected]
    assert outcomes[0].message.endswith("The contact is new; it is tried again.")
    assert attempt(call, sandbox)[0].status == 200


def test_many_transactions_travel_together_and_each_has_its_outcome(sandbox: Sandbox) -> None:
    events = [{**BOUGHT, "messageId": f"m-{n}", "userId": f"u-{n % 2}", "context": {}} for n in range(4)]
    lists = {"@path": "$.list"}
    for n, event in enumerate(events):
        event["list"] = "CG_9" if n == 3 else "CG_1"
    wanted = fields_of("upsertContactTransaction", mailingListId=lists, contactId={"@path": "$.contact"})
    events[3]["contact"] = "CID_0"

    results = QUALTRICS.execute_batch("upsertContactTransaction", SETTINGS, wanted, events, policy=sandbox.policy)

    assert [result.error and type(result.error) for result in results] == [None, None, None, Rejected]
    urls = [exchange.url.removeprefix(POOL) for result in results for exchange in result.exchanges]
    assert urls == ["/contacts/search", "/contacts", "/contacts/search", "/contacts", "/transactions"]
    assert [item["key"] for item in sandbox.received("qualtrics") if item["key"]] == ["m-0", "m-1", "m-2", "m-3"]


@responses.activate
def test_a_batch_stops_asking_when_qualtrics_is_away_and_sends_what_is_ready() -> None:
    known = {**BOUGHT, "messageId": "m-0", "contact": "CID_1"}
    events = [known, *({**BOUGHT, "messageId": f"m-{n}", "userId": f"u-{n}"} for n in range(1, 4))]
    responses.post(f"{POOL}/contacts/search", status=429, headers={"Retry-After": "9"})
    responses.post(f"{POOL}/transactions", json=STORED)
    wanted = fields_of("upsertContactTransaction", contactId={"@path": "$.contact"})

    results = QUALTRICS.execute_batch("upsertContactTransaction", SETTINGS, wanted, events)

    assert [path for path, _ in sent()] == ["/contacts/search", "/transactions"]
    assert [type(result.error) for result in results] == [type(None), Busy, Busy, Busy]
    assert list(sent()[1][1]) == ["m-0"]


@responses.activate
def test_what_the_answer_to_a_batch_leaves_out_is_tried_again() -> None:
    responses.post(f"{POOL}/transactions", json={"result": {"createdTransactions": {"m-0": {"id": "CTR_1"}}}})
    events = [{**BOUGHT, "messageId": f"m-{n}"} for n in range(2)]
    wanted = fields_of("upsertContactTransaction", contactId="CID_1")

    results = QUALTRICS.execute_batch("upsertContactTransaction", SETTINGS, wanted, events)

    assert [type(result.error) for result in results] == [type(None), Busy]


def test_all_steps_of_a_delivery_share_one_deadline(sandbox: Sandbox) -> None:
    call = Call("k-1")
    action = QUALTRICS.action("upsertContactTransaction")
    payload = prepare(action, mapping.compile(fields_of(action.slug)), BOUGHT)
    sandbox.switch("qualtrics", latency_ms=120)

    with QUALTRICS.client(SETTINGS, policy=sandbox.policy, deadline=0.2) as client:
        outcome = perform(action, client, [payload], [call])[0]

        assert isinstance(outcome, NoAnswer)
        assert outcome.message.startswith("Creating the contact: ")
        assert client.deadline == 0.2


def test_all_lists_are_asked_for_within_one_deadline(sandbox: Sandbox) -> None:
    sandbox.switch("qualtrics", latency_ms=120)

    with QUALTRICS.client(SETTINGS, policy=sandbox.policy, deadline=0.2) as client:
        with pytest.raises(NoAnswer) as told:
            client.mailing_list_choices()

        assert told.value.message.startswith("Listing the mailing lists: ")
        assert told.value.message.endswith(". Try again in a while.")
        assert client.deadline == 0.2


def test_one_event_goes_through_all_three_actions_of_one_destination(sandbox: Sandbox) -> None:
    results = [
        QUALTRICS.execute(action.slug, SETTINGS, fields_of(action.slug), BOUGHT, policy=sandbox.policy)
        for action in QUALTRICS.actions
    ]

    assert [result.error for result in results] == [None, None, None]
    assert stored(sandbox) == ["contacts", "transactions", "triggers"]


# What is said


STEPS = {
    "Creating the contact": ("addContactToXmd", []),
    "Looking up the contact": ("upsertContactTransaction", []),
    "Creating the contact ": ("upsertContactTransaction", [{"result": {"elements": []}}]),
    "Adding the transaction": ("upsertContactTransaction", [{"result": {"elements": [{"id": "CID_1"}]}}]),
    "Starting the workflow": ("triggerXflowWorkflow", []),
}
CHECK = {
    "Creating the contact": "Check the Directory ID and the contact's fields in the mapping.",
    "Looking up the contact": "Check the Directory ID and what identifies the contact in the mapping.",
    "Adding the transaction": "Check Directory ID, Mailing list ID and the transaction's fields in the mapping.",
    "Starting the workflow": "Check the event payload in the mapping, and copy the Workflow URL again from the "
    "workflow in Qualtrics.",
}
AGAIN = {
    "Creating the contact": "It is tried again; without a deduplication rule in the directory that may make a second "
    "contact.",
    "Creating the contact ": "It is tried again, after looking whether it was created.",
    "Looking up the contact": "It is tried again.",
    "Adding the transaction": "Whether it is stored is not known; it is tried again, after looking.",
    "Starting the workflow": "It is tried again; if the workflow was started already, it then runs twice.",
}
CLASSES = dict.fromkeys((400, 404, 409, 413, 422, 501), Rejected) | dict.fromkeys((401, 403), CredentialsRefused)
CLASSES |= dict.fromkeys((408, 423, 425, 429, 500, 502, 503, 504), Busy) | {410: Gone}


def remedy(step: str, status: int) -> str:
    if status in (401, 403):
        return "Check the account's API token, and what its user may do in Qualtrics."
    if status == 429:
        return "That was too much at once; it is tried again."
    return AGAIN[step] if CLASSES[status].again else CHECK[step.strip()]


@pytest.mark.parametrize("status", CLASSES)
@pytest.mark.parametrize("step", STEPS)
@responses.activate
def test_every_refusal_at_every_step_names_step_words_and_remedy(step: str, status: int) -> None:
    action, before = STEPS[step]
    error = {"meta": {"requestId": "req-9", "error": {"errorCode": "X_1", "errorMessage": "nope"}}}
    last = {"status": status, "json": error, "headers": {"Retry-After": "7"}}
    answer_as([*({"status": 200, "json": body} for body in before), last])

    result = send(action, BOUGHT)

    assert type(result.error) is CLASSES[status]
    assert isinstance(result.error, DeliveryError)
    asked = str(responses.calls[-1].request.url).partition("?")[0]
    told = f"{step.strip()}: POST {asked} answered {status}: nope (X_1). {remedy(step, status)}"
    assert result.error.message == told
    assert (result.error.status, result.error.code) == (status, "X_1")
    assert result.error.retry_after == (7.0 if CLASSES[status] is Busy else None)
    assert result.exchanges[-1].request_id == "req-9"
    assert len(responses.calls) == len(before) + 1


def timed_out() -> requests.ReadTimeout:
    error = requests.ReadTimeout()
    error.__cause__ = TimeoutError()
    return error


@pytest.mark.parametrize(
    ("failure", "told"),
    [(requests.ConnectionError, " was not answered: the connection broke off. "), (timed_out, " within 15 s. ")],
)
@pytest.mark.parametrize("step", STEPS)
@responses.activate
def test_silence_at_every_step_names_step_and_what_follows(
    step: str, failure: Callable[[], Exception], told: str
) -> None:
    action, before = STEPS[step]
    for body in before:
        finds(*body["result"]["elements"])
    responses.post(re.compile(".*"), body=failure())

    result = send(action, BOUGHT)

    assert type(result.error) is NoAnswer
    assert result.error.message.startswith(f"{step.strip()}: POST https://fra1.qualtrics.com/")
    assert told in result.error.message
    assert result.error.message.endswith(AGAIN[step])


@responses.activate
def test_a_missing_token_is_the_accounts_fault_although_qualtrics_answers_400() -> None:
    answer_as([{"status": 400, "json": {"meta": {"error": {"errorCode": "ATP_2", "errorMessage": "No token."}}}}])

    result = send("addContactToXmd", ANN, {"apiToken": ""})

    assert type(result.error) is CredentialsRefused
    assert result.error.status == 400


@pytest.mark.parametrize("body", ["", "<html>", "[]", '{"result": {}}', '{"result": {"elements": [{}]}}'])
@responses.activate
def test_an_answer_that_tells_no_contact_is_tried_again_and_adds_nothing(body: str) -> None:
    responses.post(f"{POOL}/contacts/search", body=body)

    result = send("upsertContactTransaction", BOUGHT)

    assert type(result.error) is Busy
    assert len(responses.calls) == 1


def test_a_test_tells_brand_user_and_datacenter(sandbox: Sandbox) -> None:
    found = QUALTRICS.test(SETTINGS, policy=sandbox.policy)

    assert found == "The token is that of jane of the brand acme, in the datacenter fra1."


def test_a_test_tells_of_the_wrong_datacenter(sandbox: Sandbox) -> None:
    found = QUALTRICS.test({**SETTINGS, "datacenter": "iad1"}, policy=sandbox.policy)

    assert found == (
        "The token is that of jane of the brand acme, in the datacenter fra1. Qualtrics says: Request proxied. For "
        "faster response times, use this host instead: fra1.qualtrics.com. The Datacenter ID iad1 takes a detour; put "
        "fra1 into the account."
    )


def test_a_test_tells_what_a_wrong_token_was_answered(sandbox: Sandbox) -> None:
    with pytest.raises(CredentialsRefused) as caught:
        QUALTRICS.test({**SETTINGS, "apiToken": "tok-2"}, policy=sandbox.policy)

    assert caught.value.message == (
        f"Testing the account: GET {HOST}/API/v3/whoami answered 401: Unrecognized X-API-TOKEN (DCD_7). Check the "
        "account's API token, and what its user may do in Qualtrics."
    )


@pytest.mark.parametrize("datacenter", ["fra1.qualtrics.com/", "a@b", "a b", "-"])
def test_a_datacenter_that_is_no_host_name_is_refused_when_it_is_saved(datacenter: str) -> None:
    declared = [field for field in QUALTRICS.account if not field.secret]

    with pytest.raises(PayloadError, match="Datacenter ID must be a valid hostname"):
        fields.clean(declared, {"datacenter": datacenter})


# What the forms offer


@responses.activate
def test_directories_are_offered_from_every_page_with_their_rule() -> None:
    first = {"directoryId": "POOL_1", "name": "Main", "deduplicationCriteria": {"email": True, "phone": True}}
    second = {"directoryId": "POOL_2", "name": "Second", "deduplicationCriteria": {"email": False}}
    following = f"{HOST}/API/v3/directories?skipToken=x"
    responses.get(f"{HOST}/API/v3/directories/", json={"result": {"elements": [first], "nextPage": following}})
    responses.get(following, json={"result": {"elements": [second], "nextPage": None}})

    offered = QUALTRICS.choices("directoryId", SETTINGS)

    assert offered == [
        Choice(
            "POOL_1",
            "Main",
            "Contacts are matched by: email, phone number. One that matches is updated, any other one made.",
        ),
        Choice(
            "POOL_2",
            "Second",
            "This directory has no deduplication rule: every delivery makes a new contact, instead of updating one.",
            warns=True,
        ),
    ]
    assert [call.request.headers["X-API-TOKEN"] for call in responses.calls] == ["tok-1", "tok-1"]


@responses.activate
def test_a_next_page_elsewhere_gets_no_token_and_a_circle_ends() -> None:
    first = {"result": {"elements": [], "nextPage": "https://evil.test/next"}}
    responses.get(f"{HOST}/API/v3/directories/", json=first)
    responses.get("https://evil.test/next", json=first)

    offered = QUALTRICS.choices("directoryId", SETTINGS)

    assert offered == []
    assert len(responses.calls) == 100
    assert "X-API-TOKEN" not in responses.calls[1].request.headers


def test_mailing_lists_are_offered_of_one_directory_or_of_all(sandbox: Sandbox) -> None:
    every = QUALTRICS.choices("mailingListId", SETTINGS, policy=sandbox.policy)
    of_one = QUALTRICS.choices("mailingListId", {**SETTINGS, "directoryId": "POOL_2"}, policy=sandbox.policy)

    assert every == [Choice("CG_1", "News (Main)"), Choice("CG_2", "Old (Second)")]
    assert of_one == [Choice("CG_2", "Old")]


def test_a_mailing_list_can_be_made_and_a_rule_read(sandbox: Sandbox) -> None:
    with QUALTRICS.client(SETTINGS, policy=sandbox.policy) as client:
        made = client.create_mailing_list("POOL_1", "VIPs")

        assert [found["name"] for found in client.list_mailing_lists("POOL_1")] == ["News", "VIPs"]
        assert made == [found["mailingListId"] for found in client.list_mailing_lists("POOL_1")][1]
        assert client.deduplication_rule("POOL_1").startswith(
            "Contacts are matched by: external data reference, email."
        )
        assert client.deduplication_rule("POOL_9") == "The account sees no directory POOL_9."


def test_the_preview_warns_of_what_qualtrics_will_not_take() -> None:
    warn = QUALTRICS.action("upsertContactTransaction").warn
    assert warn

    faults = warn(
        {
            "directoryId": "Main",
            "mailingListId": "POOL_1",
            "contactId": "CID_1",
            "language": "en",
            "embeddedData": {"a": {"b": 1}, "c": None, "d": "x" * 1025, "e" * 201: 1, "fine": 1},
            "transactionData": {"a": [1], "b": None, "fine": True},
        }
    )

    assert [fault.message for fault in faults] == [
        "Directory ID usually begins with POOL_, unlike 'Main'.",
        "Mailing list ID usually begins with CG_, unlike 'POOL_1'.",
        "'en' is no language code of Qualtrics, such as EN or PT-BR.",
        "Embedded data a is nested: Qualtrics takes text, numbers and booleans.",
        "Embedded data c is null: Qualtrics takes text, numbers and booleans.",
        "Embedded data d has more than 1,024 characters.",
        "The name of embedded data eeeeeeeeeeeeeeeeeeee… has more than 200 characters.",
        "Transaction data a is sent as JSON text, for it is nested.",
        "Transaction data b is left out, for it is null.",
    ]


def test_the_preview_warns_of_a_workflow_elsewhere_and_of_too_much() -> None:
    warn = QUALTRICS.action("triggerXflowWorkflow").warn
    assert warn

    faults = warn({"workflowUrl": "https://hooks.test/x", "eventPayload": {"a": "x" * 100_000}})

    assert [fault.message for fault in faults] == [
        "hooks.test is not Qualtrics: the request goes there without the API token.",
        "Qualtrics takes event payloads of up to 100 KB; this one is larger.",
    ]
    assert warn({"workflowUrl": WORKFLOW}) == []
