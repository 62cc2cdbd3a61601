"""The emulated Qualtrics knows people again, searches, refuses and limits as the vendor's documentation says."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest

from connectors.client import Answer, Client
from connectors.errors import NoAnswer
from connectors.sandbox import Sandbox

HOST = "https://fra1.qualtrics.com"
API = f"{HOST}/API/v3"
POOL = f"{API}/directories/POOL_1"
TRIGGERS = f"{HOST}/inbound-event/v1/events/json/triggers"
EVERY = {400, 401, 404, 413, 429, 503}
ACCOUNTS = [
    {
        "token": "tok-1",
        "brand": "acme",
        "user": "jane",
        "datacenter": "fra1",
        "directories": [
            {
                "id": "POOL_1",
                "name": "Main",
                "rules": [["externalDataReference"], ["email", "lastName"], ["phone"]],
                "lists": [{"id": "CG_1", "name": "News"}],
            },
            {"id": "POOL_2", "name": "No rules"},
        ],
        "workflows": [{"id": "closed"}, {"id": "open", "open": True}, {"id": "OC_1"}],
    },
    {"token": "tok-2", "brand": "other", "directories": [{"id": "POOL_9", "name": "Theirs"}]},
]


class Qualtrics(Client):
    """Asks with a token, and takes every answer for one."""

    def request(self, method: str, path_or_url: str, **options: Any) -> Answer:
        headers = {"X-API-TOKEN": "tok-1"} | options.pop("headers", {})
        return super().request(method, path_or_url, headers=headers, expect=EVERY, **options)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        sandbox.seed(qualtrics=ACCOUNTS)
        yield sandbox


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[Client]:
    with Qualtrics({}, policy=sandbox.policy, deadline=2) as client:
        yield client


def add(client: Client, pool: str = POOL, **contact: Any) -> str:
    return str(client.post(f"{pool}/contacts", json=contact).json["result"]["id"])


def search(client: Client, *filters: dict[str, Any], query: str = "") -> Answer:
    given = filters[0] if len(filters) == 1 else {"conjunction": "and", "filters": filters}
    return client.post(f"{POOL}/contacts/search{query}", json={"filter": given})


def is_(kind: str, value: Any, comparison: Any = "eq") -> dict[str, Any]:
    return {"filterType": kind, "comparison": comparison, "value": value}


def found(answer: Answer) -> list[str]:
    return [contact["id"] for contact in answer.json["result"]["elements"]]


def error(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.json["meta"]["error"]["errorCode"]


# Who asks


def test_an_answer_has_result_and_meta(client: Client) -> None:
    answer = client.get(f"{API}/whoami")

    assert answer.json["result"]["userName"] == "jane"
    assert answer.json["meta"]["httpStatus"] == "200 - OK"
    assert len(answer.json["meta"]["requestId"]) == 36
    assert "notice" not in answer.json["meta"]


@pytest.mark.parametrize(("token", "refusal"), [("", (400, "ATP_2")), ("tok-9", (401, "DCD_7"))])
def test_no_token_is_a_400_and_a_wrong_one_a_401(client: Client, token: str, refusal: tuple[int, str]) -> None:
    assert error(client.get(f"{API}/whoami", headers={"X-API-TOKEN": token})) == refusal


def test_the_wrong_datacenter_is_answered_with_a_notice(client: Client) -> None:
    answer = client.get("https://iad1.qualtrics.com/API/v3/whoami")

    assert answer.json["result"]["datacenter"] == "fra1"
    assert answer.json["meta"]["notice"].endswith("use this host instead: fra1.qualtrics.com")


def test_directories_are_those_of_the_account_with_their_rules(client: Client) -> None:
    directories = client.get(f"{API}/directories/").json["result"]["elements"]

    assert [(d["directoryId"], d["isDefault"]) for d in directories] == [("POOL_1", True), ("POOL_2", False)]
    assert directories[0]["deduplicationCriteria"] == {
        "email": True,
        "firstName": False,
        "lastName": True,
        "phone": True,
        "externalDataReference": True,
    }
    assert error(client.get(f"{API}/directories/POOL_9/contacts")) == (404, "SANDBOX_404")


# Contacts


def test_a_contact_is_made_read_changed_and_removed(client: Client) -> None:
    id = add(client, email="ann@shop.test", extRef="u-1", embeddedData={"tier": "gold", "age": 41, "vip": True})

    changed = client.put(f"{POOL}/contacts/{id}", json={"unsubscribed": True, "embeddedData": {"tier": "silver"}})
    read = client.get(f"{POOL}/contacts/{id}").json["result"]
    removed = client.delete(f"{POOL}/contacts/{id}")

    assert (id[:4], len(id)) == ("CID_", 19)
    assert list(changed.json) == list(removed.json) == ["meta"]
    assert (read["contactId"], read["email"], read["emailDomain"]) == (id, "ann@shop.test", "shop.test")
    assert read["embeddedData"] == {"tier": "silver", "age": "41", "vip": "true"}
    assert read["directoryUnsubscribed"] is True
    assert error(client.get(f"{POOL}/contacts/{id}")) == (404, "SANDBOX_404")
    assert found(search(client, is_("extRef", "u-1"))) == []


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"nickname": "A"}, "GP_0"),
        ({"email": 5}, "QVAL_1"),
        ({"unsubscribed": "true"}, "QVAL_1"),
        ({"embeddedData": {"a": {}}}, "QVAL_1"),
        ({"embeddedData": {"a": None}}, "QVAL_1"),
        (["a"], "GP_0"),
    ],
)
def test_a_bad_contact_is_refused(sandbox: Sandbox, client: Client, body: Any, code: str) -> None:
    assert error(client.post(f"{POOL}/contacts", json=body)) == (400, code)

    assert sandbox.counts()["qualtrics"]["discarded"] == {code: 1}


@pytest.mark.parametrize(
    ("second", "same"),
    [
        ({"extRef": "U-1 "}, True),
        ({"extRef": "u-2", "email": "ann@shop.test"}, False),
        ({"extRef": "u-2", "email": "ANN@shop.test", "lastName": "lee"}, True),
        ({"email": "ann@shop.test", "lastName": "Ray"}, False),
        ({"phone": "5"}, True),
        ({"phone": "6"}, False),
        ({}, False),
    ],
)
def test_rules_are_tried_in_order_and_all_their_fields_must_match(
    client: Client, second: dict[str, Any], same: bool
) -> None:
    first = add(client, extRef="u-1", email="ann@shop.test", lastName="Lee", phone="5")

    assert (add(client, **second) == first) == same


def test_without_rules_the_same_person_is_made_again(client: Client) -> None:
    assert len({add(client, f"{API}/directories/POOL_2", extRef="u-1") for _ in range(2)}) == 2


def test_a_match_is_updated_and_keeps_what_is_not_mentioned(client: Client) -> None:
    id = add(client, extRef="u-1", firstName="Ann", embeddedData={"a": 1})

    add(client, extRef="u-1", email="new@shop.test", embeddedData={"b": 2})

    read = client.get(f"{POOL}/contacts/{id}").json["result"]
    assert (read["firstName"], read["email"], read["embeddedData"]) == ("Ann", "new@shop.test", {"a": "1", "b": "2"})


def test_a_directory_has_three_rules_at_most(sandbox: Sandbox) -> None:
    directory = {"id": "POOL_3", "rules": [["email"]] * 4}

    with pytest.raises(ValueError, match="up to 3 deduplication rules"):
        sandbox.seed(qualtrics=[{"token": "tok-3", "directories": [directory]}])


def test_lists_are_paged_by_addresses(client: Client) -> None:
    ids = [add(client, extRef=f"u-{n}") for n in range(5)]

    first = client.get(f"{POOL}/contacts?pageSize=3").json["result"]
    second = client.get(first["nextPage"]).json["result"]

    assert [c["contactId"] for c in (*first["elements"], *second["elements"])] == ids
    assert second["nextPage"] is None
    assert error(client.get(f"{POOL}/contacts?pageSize=101")) == (400, "QVAL_1")


def test_a_new_contact_can_be_unknown_to_the_next_reads(sandbox: Sandbox, client: Client) -> None:
    sandbox.switch("qualtrics", lag=3)
    id = add(client, extRef="u-1")

    answers = [client.get(f"{POOL}/contacts/{id}").status, found(search(client, is_("extRef", "u-1")))]

    refused = transact(client, k={"contactId": id}).json["result"]["unprocessedTransactions"]
    assert answers == [404, []]
    assert refused == {"k": {"error": "SANDBOX_CONTACT", "errorMessage": f"There is no contact {id}"}}
    assert client.get(f"{POOL}/contacts/{id}").status == 200


# Search


def test_search_calls_things_by_names_of_its_own(client: Client) -> None:
    id = add(client, extRef="u-1", phone="5", email="ann@shop.test", embeddedData={"a": 1})

    (contact,) = search(client, is_("email", " ANN@shop.test")).json["result"]["elements"]
    (embedded,) = search(client, is_("email", "ann@shop.test"), query="?includeEmbedded=true").json["result"][
        "elements"
    ]

    assert (contact["id"], contact["externalDataReference"], contact["phoneNumber"]) == (id, "u-1", "5")
    assert (contact["unsubscribed"], "embeddedData" in contact) == (False, False)
    assert embedded["embeddedData"] == {"a": "1"}


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        ([is_("extRef", "u-1")], ["Ann"]),
        ([is_("firstName", "ann", "neq")], ["Bob"]),
        ([is_("phone", "5")], ["Ann", "Bob"]),
        ([is_("phone", "5"), is_("language", "en")], ["Bob"]),
        ([is_("created", "2020-01-01", "gte")], ["Ann", "Bob"]),
        ([is_("lastModified", "2020-01-01 10:00:00", "lt")], []),
        ([{"filterType": "inList", "comparison": True, "mailingListId": "CG_1"}], ["Bob"]),
        ([{"filterType": "inList", "comparison": False, "mailingListId": "CG_1"}], ["Ann"]),
        ([{"filterType": "infoFieldState", "comparison": "empty", "field": "email"}], ["Bob"]),
        ([{"filterType": "infoFieldState", "comparison": "notEmpty", "field": "email"}], ["Ann"]),
    ],
)
def test_search_finds_by_every_kind_of_filter(client: Client, filters: list[Any], names: list[str]) -> None:
    add(client, f"{API}/directories/POOL_1", firstName="Ann", extRef="u-1", phone="5", email="ann@shop.test")
    bob = {"firstName": "Bob", "extRef": "u-2", "language": "EN"}
    client.post(f"{POOL}/mailinglists/CG_1/contacts", json=bob)
    client.put(f"{POOL}/contacts/{found(search(client, is_('extRef', 'u-2')))[0]}", json={"phone": "5"})

    elements = search(client, *filters).json["result"]["elements"]

    assert [contact["firstName"] for contact in elements] == names


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"filter": {}},
        {"filter": is_("email", "a", "contains")},
        {"filter": is_("email", 5)},
        {"filter": is_("nickname", "a")},
        {"filter": is_("embeddedData", "a")},
        {"filter": is_("created", "yesterday", "gt")},
        {"filter": {**is_("email", "a"), "more": 1}},
        {"filter": {"filterType": "inList", "comparison": "true", "mailingListId": "CG_1"}},
        {"filter": {"filterType": "infoFieldState", "comparison": "empty", "field": "phone"}},
        {"filter": {"conjunction": "or", "filters": [is_("email", "a"), is_("phone", "5")]}},
        {"filter": {"conjunction": "and", "filters": [is_("email", "a")]}},
        {"filter": {"conjunction": "and", "filters": [is_("email", "a")] * 6}},
        {"filter": is_("email", "a"), "more": 1},
    ],
)
def test_search_refuses_what_its_grammar_does_not_have(client: Client, body: Any) -> None:
    assert client.post(f"{POOL}/contacts/search", json=body).status == 400


def test_search_goes_on_with_a_token_and_not_beyond_ten_thousand(client: Client) -> None:
    for n in range(3):
        add(client, extRef=f"u-{n}", language="EN")

    first = search(client, is_("language", "en"), query="?pageSize=2").json["result"]
    second = search(client, is_("language", "en"), query=f"?pageSize=2&skipToken={first['skipToken']}")

    assert (len(first["elements"]), len(second.json["result"]["elements"])) == (2, 1)
    assert "skipToken" not in second.json["result"]
    assert error(search(client, is_("language", "en"), query="?skipToken=9901")) == (400, "BRE_0.5")


# Mailing lists


def test_mailing_lists_are_made_listed_named_and_removed(client: Client) -> None:
    id = client.post(f"{POOL}/mailinglists", json={"name": "VIPs"}).json["result"]["id"]

    client.put(f"{POOL}/mailinglists/{id}", json={"name": "Best"})
    listed = client.get(f"{POOL}/mailinglists").json["result"]["elements"]
    client.delete(f"{POOL}/mailinglists/{id}")

    assert (id[:3], len(id)) == ("CG_", 18)
    assert [(one["name"], one["contactCount"]) for one in listed] == [("News", 0), ("Best", 0)]
    assert error(client.get(f"{POOL}/mailinglists/{id}")) == (404, "PACC_6")
    assert error(client.post(f"{POOL}/mailinglists", json={"name": "x" * 101})) == (400, "GP_0")


def test_leaving_a_list_leaves_the_contact(client: Client) -> None:
    made = client.post(f"{POOL}/mailinglists/CG_1/contacts", json={"extRef": "u-1"}).json["result"]

    members = client.get(f"{POOL}/mailinglists/CG_1/contacts").json["result"]["elements"]
    client.delete(f"{POOL}/mailinglists/CG_1/contacts/{made['id']}")

    assert [member["contactId"] for member in members] == [made["id"]]
    assert made["contactLookupId"].startswith("CGC_")
    assert client.get(f"{POOL}/mailinglists/CG_1/contacts").json["result"]["elements"] == []
    assert client.get(f"{POOL}/contacts/{made['id']}").json["result"]["mailingListMembership"] == {}


# Transactions


def transact(client: Client, **items: Any) -> Answer:
    whole = {"mailingListId": "CG_1", "transactionDate": "2026-03-04 05:06:07"}
    return client.post(f"{POOL}/transactions", json={key: {**whole, **item} for key, item in items.items()})


def test_transactions_are_stored_one_by_one_and_the_answer_is_200(sandbox: Sandbox, client: Client) -> None:
    id = add(client, extRef="u-1")

    answer = transact(
        client,
        good={"contactId": id, "data": {"total": 5}},
        nobody={"contactId": "CID_0"},
        no_list={"contactId": id, "mailingListId": "CG_0"},
        no_date={"contactId": id, "transactionDate": "2026-03-04T05:06:07Z"},
        nested={"contactId": id, "data": {"a": []}},
        unknown={"contactId": id, "total": 5},
    )

    assert answer.status == 200
    result = answer.json["result"]
    assert list(result["createdTransactions"]) == ["good"]
    assert {key: said["error"] for key, said in result["unprocessedTransactions"].items()} == {
        "nobody": "SANDBOX_CONTACT",
        "no_list": "PACC_6",
        "no_date": "QVAL_1",
        "nested": "QVAL_1",
        "unknown": "SANDBOX_ITEM",
    }
    (stored,) = client.get(f"{POOL}/contacts/{id}/transactions?withData=true").json["result"]["elements"]
    assert stored == {
        "transactionId": result["createdTransactions"]["good"]["id"],
        "contactId": id,
        "mailingListId": "CG_1",
        "transactionDate": "2026-03-04 05:06:07",
        "data": {"total": 5},
    }
    assert [(item["key"], item["reason"]) for item in sandbox.received("qualtrics")][1:3] == [
        ("good", ""),
        ("nobody", "SANDBOX_CONTACT"),
    ]


# Workflows


BASIC = "Basic " + base64.b64encode(b"jane:tok-1").decode()


@pytest.mark.parametrize(
    ("query", "headers", "status", "reason"),
    [
        ("urlTokenId=closed", {"X-API-TOKEN": "tok-1"}, 202, ""),
        ("urlTokenId=closed", {"X-API-TOKEN": "", "Authorization": BASIC}, 202, ""),
        ("urlTokenId=closed", {"X-API-TOKEN": ""}, 401, "DCD_7"),
        ("urlTokenId=closed", {"X-API-TOKEN": "", "Authorization": "Basic ?"}, 401, "DCD_7"),
        ("urlTokenId=closed", {"X-API-TOKEN": "tok-2"}, 202, "not_the_owner"),
        ("urlTokenId=open", {"X-API-TOKEN": ""}, 202, ""),
        ("contextId=OC_0&userId=UR_1&brandId=acme&triggerId=OC_1", {"X-API-TOKEN": "tok-1"}, 202, ""),
        ("urlTokenId=nope", {"X-API-TOKEN": "tok-1"}, 404, "SANDBOX_404"),
    ],
)
def test_a_workflow_starts_for_whom_it_may(
    sandbox: Sandbox, client: Client, query: str, headers: dict[str, str], status: int, reason: str
) -> None:
    answer = client.post(f"{TRIGGERS}?{query}", json={"event": "A"}, headers=headers)

    assert answer.status == status
    assert [item["reason"] for item in sandbox.received("qualtrics")] == [reason]


@pytest.mark.parametrize(("body", "status"), [(b"<xml/>", 400), (json.dumps({"a": "x" * 102_400}).encode(), 413)])
def test_a_workflow_takes_json_of_up_to_100_kilobytes(client: Client, body: bytes, status: int) -> None:
    assert client.post(f"{TRIGGERS.replace('json', 'JSON')}?urlTokenId=open", data=body).status == status


# Misbehaving


def test_the_limits_hold_per_brand_and_kind_of_operation(sandbox: Sandbox, client: Client) -> None:
    sandbox.switch("qualtrics", limits=0.004)  # two writes of contacts in a minute, and twelve requests in all

    answers = [client.post(f"{POOL}/contacts", json={}) for _ in range(3)]
    reads = [client.get(f"{API}/whoami").status for _ in range(10)]

    assert [answer.status for answer in answers] == [200, 200, 429]
    assert 25 <= int(answers[2].headers["Retry-After"]) <= 30
    assert reads == [200] * 9 + [429]
    assert client.get(f"{API}/whoami", headers={"X-API-TOKEN": "tok-2"}).status == 200


def test_a_switched_fault_is_told_in_the_envelope(sandbox: Sandbox, client: Client) -> None:
    sandbox.switch("qualtrics", status=429, count=1, retry_after=9)

    answer = client.get(f"{API}/whoami")

    assert error(answer) == (429, "SANDBOX_1")
    assert answer.headers["Retry-After"] == "9"


def test_a_contact_can_be_made_and_the_answer_lost(sandbox: Sandbox, client: Client) -> None:
    sandbox.switch("qualtrics", reset=True, count=1, after=True)

    with pytest.raises(NoAnswer):
        add(client, extRef="u-1")

    assert len(found(search(client, is_("extRef", "u-1")))) == 1


def test_seeding_again_keeps_what_is_there(sandbox: Sandbox, client: Client) -> None:
    id = add(client, extRef="u-1")

    sandbox.seed(qualtrics=ACCOUNTS)

    assert found(search(client, is_("extRef", "u-1"))) == [id]
    sandbox.clear(seeds=True)
    assert error(client.get(f"{API}/whoami")) == (401, "DCD_7")
