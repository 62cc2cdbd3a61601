"""Antavo Loyalty Cloud: https://apidocs.antavo.com

A destination takes one of two ways. The webhook is the one Segment takes
(https://segment.com/docs/connections/destinations/catalog/actions-antavo/): it answers 202 before anything is booked.
The native API answers what became of each event, takes fifty at once and is told by which id a customer is named.

Knowingly other than Segment's: the stack can be nothing but a name, in any case, so that the API key goes to Antavo
only; redirects, which would carry the key along, are not followed; an account without a key sends nothing; requests can
be signed; a customer can be named by the attribute that the account's customer ID mapping says, wherever the event has
it; a destination of a multi-accounts workspace sends no event without an account.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec
from escherauth import Escher

from connectors.client import Answer, Client, vendor_words
from connectors.definitions import (
    ActionDefinition,
    Batch,
    Call,
    Choice,
    DestinationDefinition,
    InputField,
    Limit,
    SourceDefinition,
)
from connectors.errors import Blocked, DeliveryError, Fault, NoAnswer, PayloadError, Rejected

JSON = dict[str, Any]

UNSIGNED_ENDS = "Antavo ends unsigned calls on 2026-12-31."
UNKNOWN = (
    "Outcome unknown: Antavo may have booked the event, and offers no way to ask. It is sent again and may then count "
    "twice; a transaction_id in the event data, the same for the same purchase, prevents that."
)

# https://apidocs.antavo.com/api/errors
TAKEN = {
    5003: "Antavo has booked this transaction_id before, so nothing was booked twice (5003).",
    127201: "Antavo took the event in, and a workflow of yours there interrupted its processing (127201).",
}
REMEDIES = {
    **dict.fromkeys((1601, 1606), "The coupon cannot be used: check its code and validity."),
    10001: "Antavo takes this action once per customer only.",
    101021: "Check API key and API secret in the account.",
    103902: "The transaction is another customer's: check transaction_id and Customer ID.",
    110003: "This customer may not spend points: look at their status in Antavo.",
    112101: "The customer has joined already; send changes of the profile with the action Profile updates.",
    **dict.fromkeys(
        range(112201, 112205),
        "Look at Antavo's rules for refunds: the purchase must be known there and not be refunded yet.",
    ),
    112900: "There are no spent points of this kind to give back.",
    113401: "Map the parameter Antavo misses into the event data.",
    **dict.fromkeys(
        (114400, 114600),
        "The customer is suspended or not in the way this action asks for: look at their status in Antavo.",
    ),
    **dict.fromkeys((120030, 120031), "A suspended customer cannot be merged."),
    120211: "The customer has claimed this reward as often as it allows.",
    120212: "The reward is out of stock.",
    120213: "The reward is for customers of another segment.",
    160212: "Antavo knows no such customer: they join by the action opt_in first, or the customer ID mapping differs.",
    160216: "The customer is not active in Antavo.",
}


class AntavoClient(Client):
    base_url = "https://api.{stack}.antavo.com"
    answer_cap = 1024 * 1024

    def __init__(self, settings: JSON, **options: Any) -> None:
        super().__init__({**settings, "stack": str(settings.get("stack") or "").strip().lower()}, **options)

    def event(self, payload: JSON, call: Call) -> Answer:
        return self._deliver(payload)

    def profile(self, payload: JSON, call: Call) -> Answer:
        return self._deliver({**payload, "action": "profile"})

    def events(self, payloads: Sequence[JSON], calls: Sequence[Call]) -> list[Answer | DeliveryError]:
        return self._deliver_many(payloads)

    def profiles(self, payloads: Sequence[JSON], calls: Sequence[Call]) -> list[Answer | DeliveryError]:
        return self._deliver_many([{**payload, "action": "profile"} for payload in payloads])

    def customer(self, id: str) -> Answer:
        """One customer; 404 is answered too, for it says that Antavo took the question."""
        return self.get(self._native("/customers/" + quote(id, safe="")), expect={404})

    def sign(self, method: str, url: str, body: bytes) -> dict[str, str]:
        secret = self.settings.get("api_secret")
        return signature(method, url, body, self._key(), secret, self.settings["stack"]) if secret else {}

    def error_for(self, answer: Answer) -> DeliveryError | None:
        code = error_code(answer.json)
        error = super().error_for(answer)
        if error is None or code in TAKEN:
            return None
        error.code = str(code or "")
        if code in REMEDIES:
            error.message += f" ({code}). {REMEDIES[code]}"
        return error

    def _deliver(self, body: JSON) -> Answer:
        try:
            if self.settings.get("path") != "native":
                return noted(self.post("/v1/webhook/segment", json={**body, "api_key": self._key()}))
            answer = self.post(self._native("/events"), json=self._named(body))
        except NoAnswer as error:
            raise without_answer(error, body) from None
        result = judged(answer, answer.json)
        if isinstance(result, DeliveryError):
            raise result
        return result

    def _deliver_many(self, bodies: Sequence[JSON]) -> list[Answer | DeliveryError]:
        try:
            answer = self.post(self._native("/events/bulk"), json={"events": [self._named(body) for body in bodies]})
        except NoAnswer as error:
            return [without_answer(error, body) for body in bodies]
        results = answer.json.get("results") if isinstance(answer.json, dict) else None
        if not isinstance(results, list) or len(results) != len(bodies):
            raise Rejected(
                f"{answer.request} answered {answer.status}, but not what became of each of the {len(bodies)} events. "
                "Look in Antavo whether they were booked before you send them again."
            )
        return [judged(answer, result) for result in results]

    def _named(self, body: JSON) -> JSON:
        """The event, with the attribute its Customer ID is a value of where that is not Antavo's own id."""
        external = self.settings.get("customer_id") == "external"
        return {**body, "external_id": self.settings.get("customer_attribute")} if external else body

    def _native(self, path: str) -> str:
        """The native API takes the key from the query, unless the signature names it."""
        key = quote(self._key(), safe="")
        return path if self.settings.get("api_secret") else f"{path}?api_key={key}"

    def _key(self) -> str:
        key = self.settings.get("api_key")
        if not key:
            raise Blocked("Nothing was sent: the setting 'api_key' is empty; enter it in the account.")
        return str(key)


def signature(
    method: str, url: str, body: bytes, key: str, secret: str, region: str, at: datetime | None = None
) -> dict[str, str]:
    """The headers of a signed request, as Antavo's own SDK makes them: Escher over method, URL, date, host and body."""
    at = at or datetime.now(UTC)
    parts = urlsplit(url)
    headers = [["Host", parts.netloc], ["Date", f"{at:%Y%m%dT%H%M%SZ}"]]
    path = f"{parts.path}?{parts.query}" if parts.query else parts.path
    names = {"vendor_key": "Antavo", "auth_header_name": "Authorization", "date_header_name": "Date"}
    options = {"algo_prefix": "ANTAVO", "current_time": at, **names}
    Escher(key, secret, f"{region}/api/antavo_request", options).sign_request(
        {"method": method, "url": path, "headers": headers, "body": body.decode()}
    )
    return {name: value for name, value in headers if name != "Host"}


def error_code(said: Any) -> int | None:
    """Antavo's code in `{"error": {"type", "code", "message"}}`, or in the inner object alone; None without one."""
    inner = said.get("error", said) if isinstance(said, dict) else None
    code = inner.get("code") if isinstance(inner, dict) and "type" in inner else None
    return code if isinstance(code, int) else None


def noted(answer: Answer) -> Answer:
    """The answer, with a word for the log where it is a success only to who knows Antavo's codes."""
    return replace(answer, note=TAKEN.get(error_code(answer.json) or 0, ""))


def judged(answer: Answer, said: Any) -> Answer | DeliveryError:
    """What one event's part of an answer says became of it."""
    code = error_code(said)
    if code in TAKEN:
        return replace(answer, note=TAKEN[code])
    if not isinstance(said, dict) or "error" not in said:
        return answer
    words = vendor_words(replace(answer, body=msgspec.json.encode(said)))
    known = f" ({code}). {REMEDIES[code]}" if code in REMEDIES else ""
    return Rejected(f"{answer.request} refused the event: {words}{known}", status=answer.status, code=str(code or ""))


def without_answer(error: NoAnswer, body: JSON) -> NoAnswer:
    """The same error, saying so where nobody knows whether the event was booked and a second time would count."""
    data = body.get("data")
    safe = body["action"] == "profile" or (isinstance(data, dict) and data.get("transaction_id"))
    return error if error.unsent or safe else NoAnswer(f"{error.message} {UNKNOWN}")


def test_connection(client: AntavoClient) -> str:
    """Asks for a customer nobody has: "no such customer" comes from an API that knows the key."""
    answer = client.customer("switchyard-connection-test")
    if answer.status == 404 and error_code(answer.json) is None:
        raise Rejected(f"{answer.request} answered 404, but not in the form of Antavo's API. Check the stack.")
    stack = client.settings["stack"]
    if client.settings.get("api_secret"):
        return f"Antavo's stack {stack} takes the API key and the signature made with the API secret."
    return f"Antavo's stack {stack} takes the API key. {UNSIGNED_ENDS} Enter the API secret before."


def shape_customer(fields: JSON, settings: JSON, event: JSON) -> JSON:
    """The value for `customer` where the account knows customers by an attribute, and the mapping says nothing else."""
    given = fields.get("customer")
    if settings.get("customer_id") != "external" or given not in (None, "", event.get("userId")):
        return fields
    attribute = settings.get("customer_attribute") or "external ID"
    context = event.get("context")
    around = context.get("traits") if isinstance(context, dict) else None
    for place in (event.get("traits"), around, event.get("properties")):
        if isinstance(place, dict) and place.get(attribute) not in (None, ""):
            return {**fields, "customer": place[attribute]}
    raise PayloadError(
        [
            Fault(
                "/customer",
                f"Customer ID: the event has no {attribute} in its traits, context.traits or properties, by which the "
                "account's customer ID mapping names customers.",
            )
        ]
    )


CUSTOMER = InputField(
    "customer",
    "Customer ID",
    required=True,
    default={"@path": "$.userId"},
    help="Who it is about, as the account's customer ID mapping says: where that names an attribute, its value in the "
    "event takes the place of the User ID. A mapping that takes another value than the User ID here keeps it.",
)
ACCOUNT_HELP = "The loyalty account to book on. Required where Antavo's multi-accounts module is on."
BULK = Batch(items=50, bytes=475_000, part="events", where={"path": "native"})

destination = DestinationDefinition(
    slug="antavo",
    name="Antavo",
    description="Loyalty events and profile updates for Antavo Loyalty Cloud.",
    client=AntavoClient,
    account=(
        InputField(
            "stack",
            "Stack",
            required=True,
            pattern="[A-Za-z0-9-]+",
            help="Your API Region, on the API settings page of Antavo's Management UI: st1 for an address "
            "https://api.st1.antavo.com.",
        ),
        InputField(
            "api_key",
            "API key",
            required=True,
            secret=True,
            help="From the API settings page of Antavo's Management UI.",
        ),
        InputField(
            "api_secret",
            "API secret",
            secret=True,
            help=f"If given, each request is signed with it. {UNSIGNED_ENDS} It stands beside the API key.",
        ),
        InputField(
            "customer_id",
            "Customer ID mapping",
            default="own",
            choices=(Choice("own", "The customer's ID in Antavo"), Choice("external", "An external customer ID")),
            help="How both sides name a customer: choose what stands in the settings of Antavo's Twilio Segment "
            "integration. The webhook cannot tell Antavo which kind of ID it carries, so the two have to agree; the "
            "native API is told with each event.",
        ),
        InputField(
            "customer_attribute",
            "External ID attribute",
            required={
                "match": "all",
                "conditions": [{"fieldKey": "customer_id", "operator": "is", "value": "external"}],
            },
            help="For an external customer ID: the name of the customer field that Antavo has flagged as external ID, "
            "such as loyalty_barcode. It is looked for in an event's traits, context.traits and properties; an event "
            "without it fails.",
        ),
    ),
    settings=(
        InputField(
            "path",
            "Way in",
            default="webhook",
            choices=(Choice("webhook", "Webhook, as Segment sends"), Choice("native", "Native API")),
            help="The webhook answers before Antavo has booked anything. The native API answers what became of each "
            "event and takes fifty at once. It knows a repeated event by transaction_id only: without one, an event "
            "whose answer got lost is marked “outcome unknown”, sent again, and may count twice.",
        ),
        InputField(
            "multi_accounts",
            "Multi-accounts module",
            type="boolean",
            default=False,
            help="On if the module is on in Antavo: every event must then say its Account.",
        ),
    ),
    # Of a shared stack; a dedicated one allows 20,000.
    limits=(Limit("requests", "Requests", 1500),),
    test_connection=test_connection,
    actions=(
        ActionDefinition(
            "event",
            "Loyalty events",
            description="Tell Antavo that a customer did something, such as a purchase or a check-in.",
            trigger='type = "track"',
            fields=(
                CUSTOMER,
                InputField(
                    "action",
                    "Action",
                    required=True,
                    help="The name of the loyalty event in Antavo, such as checkout or point_add.",
                ),
                InputField("account", "Account", required_by="multi_accounts", help=ACCOUNT_HELP),
                InputField(
                    "data",
                    "Event data",
                    type="object",
                    help="What Antavo needs to know about the event. A transaction_id in it keeps a purchase that had "
                    "to be sent twice from counting twice; an event without one may, if Antavo's answer gets lost.",
                ),
            ),
            shape=shape_customer,
            perform=AntavoClient.event,
            perform_batch=AntavoClient.events,
            batch=BULK,
        ),
        ActionDefinition(
            "profile",
            "Profile updates",
            description="Keep the customer's profile in Antavo up to date.",
            trigger='type = "identify"',
            fields=(
                CUSTOMER,
                InputField("account", "Account", default="", required_by="multi_accounts", help=ACCOUNT_HELP),
                InputField(
                    "data",
                    "Data",
                    type="object",
                    required=True,
                    additional_properties=True,
                    object_ui="keyvalue",
                    help="The attributes to set. Those that the event does not have stay as they are in Antavo.",
                    default={
                        "first_name": {"@path": "$.traits.first_name"},
                        "last_name": {"@path": "$.traits.last_name"},
                        "email": {"@path": "$.traits.email"},
                        "birth_date": {"@path": "$.traits.birthday"},
                        "gender": {"@path": "$.traits.gender"},
                        "language": {"@path": "$.traits.language"},
                        "phone": {"@path": "$.traits.phone"},
                        "mobile_phone": {"@path": "$.traits.mobile_phone"},
                    },
                    properties=(
                        InputField("first_name", "First name"),
                        InputField("last_name", "Last name"),
                        InputField("email", "Email"),
                        InputField("birth_date", "Birthdate"),
                        InputField("gender", "Gender"),
                        InputField("language", "Language"),
                        InputField("phone", "Phone"),
                        InputField("mobile_phone", "Mobile phone"),
                    ),
                ),
            ),
            shape=shape_customer,
            perform=AntavoClient.profile,
            perform_batch=AntavoClient.profiles,
            batch=BULK,
            update=True,
        ),
    ),
)

source = SourceDefinition(
    slug="antavo",
    name="Antavo",
    description="Antavo's own Segment module, with this source's write key, sends loyalty events and profile changes.",
)
