"""What every connector promises, asked of every connector in the catalog; a new file there is asked too."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import responses
from requests import PreparedRequest

from connectors import mapping, trigger
from connectors.client import AddressPolicy, Client
from connectors.definitions import (
    UNSET,
    ActionDefinition,
    Batch,
    Call,
    DestinationDefinition,
    InputField,
    perform,
    prepare,
    together,
)
from connectors.errors import (
    Blocked,
    Busy,
    CredentialsRefused,
    DeliveryError,
    Gone,
    NoAnswer,
    PayloadError,
    Rejected,
    SwitchyardError,
)
from connectors.registry import destinations, get_destination, get_source, sources
from tests.connectors.vectors import KNOWN

VECTORS = Path(__file__).parent.parent / "vectors"

ACTIONS = [
    pytest.param(destination, action, id=f"{destination.slug}-{action.slug}")
    for destination in destinations().values()
    for action in destination.actions
]
BATCHED = [param for param in ACTIONS if param.values[1].batch]

EVENT: dict[str, Any] = {
    "messageId": "m-1",
    "userId": "u-1",
    "anonymousId": "an-1",
    "timestamp": "2026-03-04T05:06:07.089Z",
    "context": {"ip": "203.0.113.9"},
}
PLAIN = {
    "identify": {**EVENT, "type": "identify", "traits": {"email": "ann@shop.test"}},
    "track": {**EVENT, "type": "track", "event": "Order Completed", "properties": {"total": 12.5}},
    "page": {**EVENT, "type": "page", "name": "Home", "properties": {"path": "/"}},
    "screen": {**EVENT, "type": "screen", "name": "Home"},
    "group": {**EVENT, "type": "group", "groupId": "g-1", "traits": {"plan": "pro"}},
    "alias": {**EVENT, "type": "alias", "previousId": "an-1"},
    "transaction": {
        **EVENT,
        "type": "track",
        "event": "Transaction Created",
        "context": {"traits": {"qualtricsMailingListId": "CG_1", "qualtricsContactId": "CID_1"}},
    },
}
FILLER = {"string": "x", "text": "x", "number": 1, "integer": 1, "boolean": True, "object": {"a": 1}}
SECRET = "s3cr3t-canary"


def plain_event(action: ActionDefinition) -> dict[str, Any]:
    """The first plain event that the action's own trigger is for."""
    matches = trigger.parse(action.trigger).matches if action.trigger else lambda event: True
    return next(event for event in PLAIN.values() if matches(event))


def settings_of(destination: DestinationDefinition) -> dict[str, Any]:
    """Something valid in every setting, switches off; the canary in those that are secret."""
    settings: dict[str, Any] = {
        field.name: SECRET if field.secret else field.choices[0].value if field.choices else "st1"
        for field in (*destination.account, *destination.settings)
        if field.type != "boolean"
    }
    return settings | ({"source_write_key": SECRET} if destination.sends_to_source else {})


def mapping_of(action: ActionDefinition) -> dict[str, Any]:
    """The defaults, and something valid in each required field that has none."""
    missing = {
        field.name: "https://vendor.test/in" if field.format == "uri" else FILLER[field.type]
        for field in action.fields
        if field.required is True and field.default is UNSET
    }
    return action.default_mapping | missing


def answer_all(status: int, body: Any = None, headers: dict[str, str] | None = None) -> None:
    """Every request there is gets this answer."""

    def answer(request: PreparedRequest) -> tuple[int, dict[str, str], str]:
        return status, headers or {}, json.dumps(body or {})

    for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        responses.add_callback(method, re.compile("https?://.*"), callback=answer)


def test_the_catalog_is_found_without_being_registered() -> None:
    files = {path.stem for path in (Path(__file__).parents[2] / "connectors" / "catalog").glob("[!_]*.py")}

    assert {d.slug for d in destinations().values()} | {s.slug for s in sources().values()} == files
    assert all(get_destination(slug) is found for slug, found in destinations().items())
    assert all(get_source(slug) is found for slug, found in sources().items())


@pytest.mark.parametrize("get", [get_destination, get_source])
def test_an_unknown_connector_is_a_key_error_that_names_the_known(get: Any) -> None:
    with pytest.raises(KeyError, match="connector 'nope'; there are: .*antavo"):
        get("nope")


@pytest.mark.parametrize(("destination", "action"), ACTIONS)
def test_defaults_compile_and_triggers_parse(destination: DestinationDefinition, action: ActionDefinition) -> None:
    mapping.compile(action.default_mapping)

    assert not action.trigger or trigger.parse(action.trigger).matches(plain_event(action))
    assert destination.action(action.slug) is action


@pytest.mark.parametrize(("destination", "action"), ACTIONS)
def test_a_plain_event_works_untouched_or_the_unmapped_fields_are_named(
    destination: DestinationDefinition, action: ActionDefinition
) -> None:
    unmapped = {field.name for field in action.fields if field.required is True and field.default is UNSET}

    try:
        prepare(action, mapping.compile(action.default_mapping), plain_event(action))
        named: set[str] = set()
    except PayloadError as error:
        named = {name for name in unmapped if f"'{name}'" in error.message}

    assert named == unmapped


@pytest.mark.parametrize(("destination", "action"), ACTIONS)
@responses.activate
def test_a_delivery_is_one_answer_with_its_exchanges(
    destination: DestinationDefinition, action: ActionDefinition
) -> None:
    answer_all(200)

    result = destination.execute(action.slug, settings_of(destination), mapping_of(action), plain_event(action))

    assert result.error is None
    assert result.answer.status == 200
    assert [e.url for e in result.exchanges] == [call.request.url for call in responses.calls]
    assert all(e.url.startswith("https://") and e.status == 200 for e in result.exchanges)


@pytest.mark.parametrize(("destination", "action"), ACTIONS)
@pytest.mark.parametrize(
    ("status", "error"),
    [(401, CredentialsRefused), (403, CredentialsRefused), (410, Gone), (429, Busy), (503, Busy), (307, Rejected)]
    + [(400, Rejected), (501, Rejected)],
)
@responses.activate
def test_a_refusal_becomes_the_right_error(
    destination: DestinationDefinition, action: ActionDefinition, status: int, error: type[DeliveryError]
) -> None:
    answer_all(status, {"error": {"message": "no"}}, {"Retry-After": "7"})

    result = destination.execute(action.slug, settings_of(destination), mapping_of(action), plain_event(action))

    assert type(result.error) is error
    assert isinstance(result.error, DeliveryError)
    assert result.error.status == status
    assert f" answered {status}: " in result.error.message
    assert result.error.retry_after == (7.0 if error is Busy else None)
    assert result.exchanges[-1].status == status


@pytest.mark.parametrize(("destination", "action"), ACTIONS)
@responses.activate
def test_silence_is_no_answer(destination: DestinationDefinition, action: ActionDefinition) -> None:
    result = destination.execute(action.slug, settings_of(destination), mapping_of(action), plain_event(action))

    assert type(result.error) is NoAnswer
    assert [e.status for e in result.exchanges] == [None]


@pytest.mark.parametrize(("destination", "action"), ACTIONS)
@responses.activate
def test_secrets_show_in_no_repr_and_no_message(destination: DestinationDefinition, action: ActionDefinition) -> None:
    answer_all(401)
    settings = settings_of(destination)

    result = destination.execute(action.slug, settings, mapping_of(action), plain_event(action))

    assert SECRET in settings.values()
    assert SECRET not in repr((result.error, result.exchanges, destination, destination.client(settings)))


@pytest.mark.parametrize(("destination", "action"), ACTIONS)
@responses.activate
def test_what_is_refused_before_sending_sends_nothing(
    destination: DestinationDefinition, action: ActionDefinition
) -> None:
    result = destination.execute(action.slug, settings_of(destination), {}, plain_event(action))

    assert isinstance(result.error, PayloadError)
    assert result.exchanges == ()
    assert len(responses.calls) == 0


@pytest.mark.parametrize(("destination", "action"), BATCHED)
@responses.activate
def test_a_batch_gives_each_payload_its_own_outcome(
    destination: DestinationDefinition, action: ActionDefinition
) -> None:
    answer_all(200)
    assert action.batch is not None
    event = plain_event(action)
    events = [{**event, "messageId": f"m-{i}"} for i in range(3)]
    fields = mapping_of(action) | ({action.batch.size: 10} if action.batch.size else {})

    results = destination.execute_batch(
        action.slug,
        settings_of(destination) | action.batch.where,
        fields,
        [events[0], None, *events[1:]],  # type: ignore[list-item]
    )

    assert isinstance(results[1].error, SwitchyardError)
    assert [result.answer is None or result.error is None for result in results] == [True] * 4
    (exchange,) = (exchange for result in results for exchange in result.exchanges)
    part = json.loads(exchange.request_body)
    assert len(part[action.batch.part] if action.batch.part else part) == 3


@pytest.mark.parametrize(("destination", "action"), BATCHED)
@responses.activate
def test_what_fails_a_batch_fails_each_of_its_payloads(
    destination: DestinationDefinition, action: ActionDefinition
) -> None:
    answer_all(503)
    assert action.batch is not None
    payload = prepare(action, mapping.compile(mapping_of(action)), plain_event(action))
    client = destination.client(settings_of(destination) | action.batch.where)

    outcomes = perform(action, client, [payload, payload], [Call("k-1"), Call("k-2")])

    assert [type(outcome) for outcome in outcomes] == [Busy, Busy]


@pytest.mark.parametrize("destination", destinations().values(), ids=destinations())
def test_a_declaration_is_complete(destination: DestinationDefinition) -> None:
    names = [field.name for field in (*destination.account, *destination.settings)]

    assert issubclass(destination.client, Client)
    assert destination.description.endswith(".")
    assert len(set(names)) == len(names)
    for action in destination.actions:
        fields = [field.name for field in action.fields]
        assert len(set(fields)) == len(fields)
        assert action.description.endswith(".")


@pytest.mark.parametrize("destination", destinations().values(), ids=destinations())
@responses.activate
def test_the_connection_test_says_what_it_found_or_raises(destination: DestinationDefinition) -> None:
    answer_all(200)
    settings = {name: value for name, value in settings_of(destination).items() if name != "token"}

    try:
        found = destination.test(settings)
    except DeliveryError as error:
        found = error.message

    assert found.endswith(".")
    assert destination.choices("nope", settings) == ()


@pytest.mark.parametrize("destination", destinations().values(), ids=destinations())
def test_the_address_policy_holds_for_every_connector(destination: DestinationDefinition) -> None:
    action = destination.actions[0]
    policy = AddressPolicy(resolve=lambda host, port: ["10.0.0.1"])
    event = plain_event(action)

    result = destination.execute(action.slug, settings_of(destination), mapping_of(action), event, policy=policy)

    assert type(result.error) is Blocked


ROWS = [
    row
    for line in (VECTORS / "actions.jsonl").read_text().splitlines()
    if (row := json.loads(line))["kind"] == "execute"
    and row["destination"] in ("antavo", "webhook")
    and row["id"] not in KNOWN
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["id"])
@responses.activate
def test_actions_send_what_segments_own_code_sends(row: dict[str, Any]) -> None:
    for given in row["responses"]:
        url = row["requests"][0]["url"] if row["requests"] else "https://nobody.test/"
        if not given.get("reset"):
            body = json.dumps(given["json"]) if "json" in given else given.get("body", "")
            for method in ("POST", "PUT", "PATCH"):
                responses.add(method, url, body=body, status=given["status"])

    result = get_destination(row["destination"]).execute(row["action"], row["settings"], row["mapping"], row["event"])

    sent = [call.request for call in responses.calls]
    assert [(r.method, r.url, json.loads(r.body) if r.body else None) for r in sent] == [
        (r["method"], r["url"], r.get("json")) for r in row["requests"]
    ]
    for request, expected in zip(sent, row["requests"], strict=True):
        for name in ("content-type", "x-signature"):
            assert request.headers.get(name) == expected["headers"].get(name)
    assert (result.error is None) == ("error" not in row)
    if row.get("error", {}).get("name") == "AggregateAjvError":
        assert isinstance(result.error, PayloadError)
        assert result.error.message == row["error"]["message"]
    elif row.get("error", {}).get("name") == "HTTPError":
        assert isinstance(result.error, DeliveryError)
        assert result.error.status == row["error"]["response"]["status"]


DECLARED = json.loads((VECTORS / "definitions.json").read_text())


@pytest.mark.parametrize("slug", ["antavo", "webhook"])
def test_actions_and_fields_are_those_of_segments_own_definitions(slug: str) -> None:
    for name, declared in DECLARED[slug]["actions"].items():
        action = get_destination(slug).action(name)

        assert (action.name, action.trigger) == (declared["title"], declared["default_subscription"] or "")
        assert {f.name: as_declared(f) for f in action.fields} == declared["fields"]
    account = {field.name: field for field in get_destination(slug).account}
    assert {n: (s["required"], s["type"] == "password") for n, s in DECLARED[slug]["settings"].items()} == {
        n: (account[n].required, account[n].secret) for n in DECLARED[slug]["settings"]
    }


def as_declared(field: InputField) -> dict[str, Any]:
    """A field in the form of definitions.json."""
    declared = {
        "label": field.label,
        "type": field.type,
        "required": field.required,
        "multiple": field.multiple,
        "hidden": field.hidden,
        "format": field.format,
        "defaultObjectUI": field.object_ui,
        "additionalProperties": field.additional_properties,
        "choices": [{"label": choice.label, "value": choice.value} for choice in field.choices],
        "properties": {p.name: as_declared(p) for p in field.properties},
    }
    kept = {name: value for name, value in declared.items() if value or name == "required"}
    return kept if field.default is UNSET else {**kept, "default": field.default}


def action_with(batch: Batch | None) -> ActionDefinition:
    return ActionDefinition("a", "A", (), perform=lambda c, p, k: 1, perform_batch=lambda c, p, k: p, batch=batch)


@pytest.mark.parametrize(
    ("batch", "groups"),
    [
        (None, [[0], [1], [2], [3]]),
        (Batch(items=10, bytes=10_000), [[0, 1, 2, 3]]),
        (Batch(items=2, bytes=10_000), [[0, 1], [2, 3]]),
        (Batch(items=10, bytes=70), [[0, 1], [2, 3]]),
        (Batch(items=10, bytes=1), [[0], [1], [2], [3]]),
        (Batch(items=10, bytes=10_000, by=("to",)), [[0, 2], [1, 3]]),
        (Batch(items=10, bytes=10_000, size="n"), [[0, 2], [1], [3]]),
    ],
)
def test_what_travels_together(batch: Batch | None, groups: list[list[int]]) -> None:
    payloads = [{"to": i % 2, "n": 2 if i % 2 == 0 else 0, "text": "123456"} for i in range(4)]

    assert together(action_with(batch), payloads) == groups


def test_a_payload_that_is_no_json_travels_alone() -> None:
    payloads = [{"a": 1}, {"a": "\ud800"}, {"a": 2}]

    assert together(action_with(Batch(items=10, bytes=1000)), payloads) == [[0, 2], [1]]


@pytest.mark.parametrize(("destination", "action"), ACTIONS)
def test_a_payload_with_nothing_in_it_is_warned_of_nothing(
    destination: DestinationDefinition, action: ActionDefinition
) -> None:
    assert not (action.warn and list(action.warn({})))
