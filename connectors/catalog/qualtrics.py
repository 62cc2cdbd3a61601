"""Qualtrics XM Directory and workflows: https://api.qualtrics.com, the calls as Segment's own destination makes them.

Where that destination sets traps, this one differs:

- Nobody is subscribed again, and no language overwritten, by a default: neither field has one.
- Traits of a track event are looked for in its `context.traits` too, where Segment's libraries put them.
- In transaction data a nested value becomes its own JSON text, not that of all the data; null is left out.
- Embedded data is sent untouched; what Qualtrics will not take in it is told in the preview.
- A transaction listed as unprocessed is a failure, although Qualtrics answers 200.
- The API token goes to `*.qualtrics.com` only. A workflow URL elsewhere gets none, unless the operator routes its host
  somewhere (`SWITCHYARD_SEND_ROUTES`), which says that it is known. Redirects are not followed.
- How a contact is looked up is a setting; where several match, the error shows them.
- IDs are escaped in URLs. A found or created contact without an id is an error, not a transaction of nobody.
- Dates may be unix seconds; one that cannot be read is an error, not the present.
- A repeated delivery knows the contact that was found or created before, and looks whether its transaction is there.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec

from connectors import jsdate
from connectors.client import Answer, Client
from connectors.definitions import (
    ActionDefinition,
    Batch,
    Call,
    Choice,
    Creation,
    DestinationDefinition,
    InputField,
    Limit,
)
from connectors.errors import Busy, CredentialsRefused, DeliveryError, Fault, NoAnswer, PayloadError, Rejected
from connectors.jstext import to_json, to_number, to_text

JSON = dict[str, Any]

API = "/API/v3"
VENDOR = ".qualtrics.com"
PAGES = 100  # of a list, at most: one that leads in a circle must end
SHOWN = 5  # contacts in an error
LATER = "Try again in a while."
TOGETHER = 10  # transactions in one request: their contacts have to be looked up within the same deadline

# The order in which Segment's destination writes them.
CONTACT = ("firstName", "lastName", "phone", "email", "extRef", "unsubscribed", "language", "embeddedData")
IDENTIFIERS = ("extRef", "phone", "email")

# How the rule of a directory calls what it may match by.
CRITERIA = {
    "extRef": "externalDataReference",
    "email": "email",
    "phone": "phone",
    "firstName": "firstName",
    "lastName": "lastName",
}
LABELS = {
    "directoryId": "Directory ID",
    "mailingListId": "Mailing list ID",
    "contactId": "Contact ID",
    "extRef": "External Data Reference",
    "email": "Email",
    "phone": "Phone number",
    "firstName": "First name",
    "lastName": "Last name",
    "transactionDate": "Date & time of transaction",
}
PREFIXES = {"directoryId": "POOL_", "mailingListId": "CG_", "contactId": "CID_"}
NAME_LENGTH, VALUE_LENGTH = 200, 1024
WORKFLOW_BYTES = 100_000
# What its own texts exist in, as far as is known; it takes any other code too, but then writes in English.
LANGUAGES = (
    " SQI AR HYE ASM AZ-AZ ID MS BEL BN BS PT-BR BG CA CEB ZH-S ZH-T HR CS DA NL EN-GB EN EO ET FI FR FR-CA KAT DE EL "
    "GU HE HI HU ISL HIL IT JA CKB KAN KAZ KM KO LV LT MK MAL MAR MN SR-ME MY NO ORI FA PL PT PA-IN RO RU SR SIN SK SL "
    "ES-ES ES SW SV TGL TA TEL TH TR UK UR VI CY "
)

SECONDS_BELOW = 100_000_000_000  # as seconds this is the year 5138, as milliseconds it is 1973
LAST_MOMENT = 8_640_000_000_000_000
CYCLE = 146_097 * 86_400_000  # the milliseconds of 400 years


class QualtricsClient(Client):
    base_url = "https://{datacenter}.qualtrics.com"
    answer_cap = 4 * 1024 * 1024

    _ends: float | None = None

    def __init__(self, settings: JSON, **options: Any) -> None:
        super().__init__({**settings, "datacenter": settings.get("datacenter") or "iad1"}, **options)

    # The actions

    def add_contact_to_xmd(self, payload: JSON, call: Call) -> Answer:
        twice = "It is tried again; without a deduplication rule in the directory that may make a second contact."
        with _step("Creating the contact", CHECK_CONTACT, twice):
            return self.create_contact(payload["directoryId"], payload)

    def upsert_contact_transaction(self, payload: JSON, call: Call) -> Answer:
        (outcome,) = self.upsert_contact_transactions([payload], [call])
        if isinstance(outcome, DeliveryError):
            raise outcome
        return outcome

    def upsert_contact_transactions(
        self, payloads: Sequence[JSON], calls: Sequence[Call]
    ) -> list[Answer | DeliveryError]:
        """Contacts are looked up, or created, one after the other; then the transactions travel together.

        What must not be done twice goes into the memo as soon as it is done, so a later attempt goes on from there.
        """
        outcomes: dict[str, Answer | DeliveryError] = {}
        items: dict[str, JSON] = {}
        known: dict[tuple[Any, ...], JSON] = {}
        away: DeliveryError | None = None
        directory = payloads[0]["directoryId"]
        with self._one_deadline():
            for payload, call in zip(payloads, calls, strict=True):
                if away:
                    outcomes[call.key] = away
                    continue
                try:
                    item = self._transaction(payload, call, known)
                    there = self._stored_before(directory, item) if call.memo.get("unsure") else None
                except DeliveryError as error:
                    outcomes[call.key] = error
                    away = error if error.again else None
                else:
                    if there:
                        outcomes[call.key] = there
                    else:
                        items[call.key] = item
            if items:
                outcomes |= self._add(directory, items, {call.key: call.memo for call in calls})
        return [outcomes[call.key] for call in calls]

    def trigger_xflow_workflow(self, payload: JSON, call: Call) -> Answer:
        twice = "It is tried again; if the workflow was started already, it then runs twice."
        with _step("Starting the workflow", CHECK_WORKFLOW, twice):
            return self.post(payload["workflowUrl"], json=payload.get("eventPayload"))

    # The API

    def whoami(self) -> Answer:
        return self.get(f"{API}/whoami")

    def list_directories(self) -> Iterator[JSON]:
        """Each `{directoryId, name, contactCount, isDefault, deduplicationCriteria}`."""
        return self._elements(f"{API}/directories/")

    def list_mailing_lists(self, directory: str) -> Iterator[JSON]:
        """Each `{mailingListId, name, ownerId, contactCount, …}`."""
        return self._elements(f"{_directory(directory)}/mailinglists")

    def create_mailing_list(self, directory: str, name: str) -> str:
        """The ID of the new list."""
        check = "Check the Directory ID, and whether the name has 100 characters at most."
        with _step("Creating the mailing list", check, f"It may be there already: look before you repeat it. {LATER}"):
            return _id_in(self.post(f"{_directory(directory)}/mailinglists", json={"name": name}))

    def create_contact(self, directory: str, payload: JSON) -> Answer:
        body = {name: payload[name] for name in CONTACT if name in payload}
        return self.post(f"{_directory(directory)}/contacts", json=body)

    def search_contacts(self, directory: str, filter: JSON) -> list[JSON]:
        """The first page of the contacts that match, each with an `id`."""
        answer = self.post(f"{_directory(directory)}/contacts/search", json={"filter": filter})
        elements = _elements_in(_result(answer), answer)
        if not all(contact.get("id") for contact in elements):
            raise _unreadable(answer)
        return elements

    def create_transactions(self, directory: str, items: JSON) -> Answer:
        """`items` by keys of our choice, which the answer takes up."""
        return self.post(f"{_directory(directory)}/transactions", json=items)

    # What the forms ask

    def directory_choices(self) -> list[Choice]:
        with self._one_deadline(), _step("Listing the directories", "Check the account.", LATER):
            return [
                Choice(d["directoryId"], d["name"], deduplication(d), warns=not _matched_by(d))
                for d in self.list_directories()
            ]

    def mailing_list_choices(self) -> list[Choice]:
        """The lists of the directory that `directoryId` in the settings names, else those of all directories."""
        check = "Check the account and the Directory ID."
        with self._one_deadline(), _step("Listing the mailing lists", check, LATER):
            chosen = self.settings.get("directoryId")
            if chosen:
                return [Choice(m["mailingListId"], m["name"]) for m in self.list_mailing_lists(chosen)]
            return [
                Choice(m["mailingListId"], f"{m['name']} ({directory['name']})")
                for directory in self.list_directories()
                for m in self.list_mailing_lists(directory["directoryId"])
            ]

    def deduplication_rule(self, directory: str) -> str:
        """How the directory finds out that two contacts are one, in words."""
        with _step("Reading the deduplication rule", "Check the account."):
            for found in self.list_directories():
                if found["directoryId"] == directory:
                    return deduplication(found)
        return f"The account sees no directory {directory}."

    # Underneath

    def request(self, method: str, path_or_url: str, **options: Any) -> Answer:
        """As in the kit, with the token for the vendor's hosts, and within the deadline that is shared, if one is."""
        headers = {"Content-Type": "application/json"}
        host = urlsplit(path_or_url).hostname if "://" in path_or_url else VENDOR
        if host and (host.endswith(VENDOR) or self.policy.route(host) is not None):
            headers["X-API-TOKEN"] = str(self.settings.get("apiToken") or "")
        if self._ends is not None:
            self.deadline = round(self._ends - time.monotonic(), 1)
            if self.deadline <= 0:
                raise NoAnswer("Qualtrics took so long over the steps before that no time was left", unsent=True)
        return super().request(method, path_or_url, headers=headers, **options)

    def error_for(self, answer: Answer) -> DeliveryError | None:
        said = _members(_meta(answer), "error")
        error = super().error_for(replace(answer, body=msgspec.json.encode(said)) if said else answer)
        if error and said.get("errorCode"):
            code = str(said["errorCode"])
            if code == "ATP_2":  # no token at all, which Qualtrics answers with 400
                error = CredentialsRefused(error.message, status=error.status)
            error.code = code
            _say(error, f"{error.message.rstrip('.')} ({code})")
        return error

    def request_id(self, answer: Answer) -> str:
        return str(_meta(answer).get("requestId") or "")[:200] or super().request_id(answer)

    @contextmanager
    def _one_deadline(self) -> Iterator[None]:
        """What is sent inside shares the deadline of one request: a delivery's lease outlasts no more than that."""
        whole, self._ends = self.deadline, time.monotonic() + self.deadline
        try:
            yield
        finally:
            self.deadline, self._ends = whole, None

    def _elements(self, path: str) -> Iterator[JSON]:
        return (element for _, elements in self._pages(path) for element in elements)

    def _pages(self, path: str) -> Iterator[tuple[Answer, list[JSON]]]:
        following: Any = path
        for _ in range(PAGES):
            answer = self.get(following)
            result = _result(answer)
            yield answer, _elements_in(result, answer)
            following = result.get("nextPage")
            if not following:
                return

    def _transaction(self, payload: JSON, call: Call, known: dict[tuple[Any, ...], JSON]) -> JSON:
        """The transaction as it is sent, its contact looked up or created first, once for all of a batch."""
        contact = payload.get("contactId")
        if not contact and "contactId" not in call.memo:
            identity = tuple(payload.get(name) for name in IDENTIFIERS)
            if identity not in known:
                known[identity] = self._found_or_created(payload)
            call.memo.update(known[identity])
        moment = _milliseconds(payload["transactionDate"]) if "transactionDate" in payload else None
        now = int(time.time() * 1000)
        return {
            "contactId": contact or call.memo["contactId"],
            "mailingListId": payload["mailingListId"],
            "data": _scalars(payload.get("transactionData") or {}),
            "transactionDate": _date_text(call.memo.setdefault("now", now) if moment is None else moment),
        }

    def _found_or_created(self, payload: JSON) -> JSON:
        """What to remember of the contact."""
        with _step("Looking up the contact", "Check the Directory ID and what identifies the contact in the mapping."):
            found = self._find_contact(payload)
        if found:
            return {"contactId": found}
        again = "It is tried again, after looking whether it was created."
        with _step("Creating the contact", CHECK_CONTACT, again):
            return {"contactId": _id_in(self.create_contact(payload["directoryId"], payload)), "created": True}

    def _find_contact(self, payload: JSON) -> str | None:
        """The id of the contact, None if there is none; raises Rejected if there are several."""
        together = [[name for name in IDENTIFIERS if payload.get(name)]]
        one_by_one = [[name] for name in ("extRef", "email", "phone") if payload.get(name)]
        for names in one_by_one if self.settings.get("contactLookup") == "first" else together:
            filters = [{"filterType": name, "comparison": "eq", "value": payload[name]} for name in names]
            wanted = filters[0] if len(filters) == 1 else {"conjunction": "and", "filters": filters}
            found = self.search_contacts(payload["directoryId"], wanted)
            if len(found) > 1:
                raise _several(payload, names, found)
            if found:
                return str(found[0]["id"])
        return None

    def _stored_before(self, directory: str, item: JSON) -> Answer | None:
        """The answer that shows it, if an attempt whose answer never came had stored the transaction all the same."""
        path = f"{_directory(directory)}/contacts/{_escaped(item['contactId'])}/transactions?withData=true"
        with _step("Looking whether the transaction is stored", "Check the Directory ID."):
            try:
                for answer, stored in self._pages(path):
                    if any(_same(transaction, item) for transaction in stored):
                        return answer
            except Rejected:  # what cannot be looked up is rather sent twice than never
                pass
        return None

    def _add(self, directory: str, items: JSON, memos: dict[str, JSON]) -> dict[str, Answer | DeliveryError]:
        """One outcome per item: Qualtrics answers 200 also when it processed none of them."""
        try:
            with _step(ADDING, CHECK_TRANSACTION, UNSURE):
                answer = self.create_transactions(directory, items)
        except DeliveryError as error:
            if error.again and error.status != 429 and not (isinstance(error, NoAnswer) and error.unsent):
                for key in items:
                    memos[key]["unsure"] = True
            return dict.fromkeys(items, error)
        result = _members(answer.json, "result")
        created, refused = _members(result, "createdTransactions"), _members(result, "unprocessedTransactions")
        outcomes: dict[str, Answer | DeliveryError] = dict.fromkeys(items, answer)
        if len(items) == 1 and refused:
            refused = dict.fromkeys(items, next(iter(refused.values())))
        for key in items:
            if key in refused:
                outcomes[key] = _unprocessed(answer, refused[key], fresh=memos[key].pop("created", False))
            elif created and len(items) > 1 and key not in created:
                memos[key]["unsure"] = True
                told = f"{ADDING}: {answer.request} answered {answer.status} without a word on this one."
                outcomes[key] = Busy(f"{told} {UNSURE}", status=answer.status)
        return outcomes


ADDING = "Adding the transaction"
UNSURE = "Whether it is stored is not known; it is tried again, after looking."
CHECK_CONTACT = "Check the Directory ID and the contact's fields in the mapping."
CHECK_TRANSACTION = "Check Directory ID, Mailing list ID and the transaction's fields in the mapping."
CHECK_WORKFLOW = (
    "Check the event payload in the mapping, and copy the Workflow URL again from the workflow in Qualtrics."
)


@contextmanager
def _step(doing: str, check: str, again: str = "It is tried again.") -> Iterator[None]:
    """Adds to an error at which step it came up, and what follows from it or can be done about it."""
    try:
        yield
    except DeliveryError as error:
        if isinstance(error, CredentialsRefused):
            advice = "Check the account's API token, and what its user may do in Qualtrics."
        elif error.status == 429 and LATER not in again:
            advice = "That was too much at once; it is tried again."
        elif error.again:
            advice = again
        else:
            advice = check if error.status else ""  # what was not sent at all says itself why
        _say(error, f"{doing}: {error.message.rstrip('.')}. {advice}".strip())
        raise


def _say(error: DeliveryError, message: str) -> None:
    error.message = message
    error.args = (message,)


def _unprocessed(answer: Answer, said: Any, *, fresh: bool) -> DeliveryError:
    """Final, unless the contact is fresh: one just created is not known everywhere at once (seen by elastic.io)."""
    said = said if isinstance(said, dict) else {"errorMessage": said}
    code = str(said.get("error") or "")
    words = " ".join(f"{said.get('errorMessage') or 'no reason given'} {f'({code})' if code else ''}".split())
    told = f"{ADDING}: {answer.request} answered {answer.status}, but did not process it: {words}."
    if fresh:
        return Busy(f"{told} The contact is new; it is tried again.", status=answer.status, code=code)
    return Rejected(f"{told} {CHECK_TRANSACTION}", status=answer.status, code=code)


def _several(payload: JSON, names: Sequence[str], found: Sequence[JSON]) -> Rejected:
    """Shows them by their ids: names and emails stand in the answer, for those who may read it."""
    by = " and ".join(LABELS[name] for name in names)
    ids = [" = ".join(str(c[k]) for k in ("id", "externalDataReference") if c.get(k)) for c in found[:SHOWN]]
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return Rejected(
        f"{len(found)} contacts in {payload['directoryId']} match by {by}: {', '.join(ids)}{more}. Merge them in "
        "Qualtrics, or map the Contact ID",
        status=200,
        code="directory_lookup_error",
    )


def deduplication(directory: JSON) -> str:
    """What a directory's `deduplicationCriteria` say, in words."""
    used = _matched_by(directory)
    if not used:
        return "This directory has no deduplication rule: every delivery makes a new contact, instead of updating one."
    return f"Contacts are matched by: {', '.join(used)}. One that matches is updated, any other one made."


def _matched_by(directory: JSON) -> list[str]:
    criteria = _members(directory, "deduplicationCriteria")
    return [LABELS[name].lower() for name in CRITERIA if criteria.get(CRITERIA[name])]


def test_connection(client: QualtricsClient) -> str:
    with _step("Testing the account", "Check the Datacenter ID of the account."):
        answer = client.whoami()
        who = _result(answer)
    found = f"The token is that of {who.get('userName') or 'a user without a name'}"
    found += f" of the brand {who['brandId']}" if who.get("brandId") else ""
    there, here = str(who.get("datacenter") or ""), client.settings["datacenter"]
    found += f", in the datacenter {there}." if there else "."
    notice = str(_meta(answer).get("notice") or "").rstrip(".")
    if notice:
        found += f" Qualtrics says: {notice}."
    if notice or (there and there.lower() != here.lower()):
        found += f" The Datacenter ID {here} takes a detour; put {there or 'the right one'} into the account."
    return found


# Reading answers


def _members(value: Any, name: str) -> JSON:
    """The object of that name inside an object; empty if there is none."""
    member = value.get(name) if isinstance(value, dict) else None
    return member if isinstance(member, dict) else {}


def _meta(answer: Answer) -> JSON:
    return _members(answer.json, "meta")


def _result(answer: Answer) -> JSON:
    said = answer.json
    if not isinstance(said, dict) or not isinstance(said.get("result"), dict):
        raise _unreadable(answer)
    return _members(said, "result")


def _elements_in(result: JSON, answer: Answer) -> list[JSON]:
    elements = result.get("elements")
    if not isinstance(elements, list) or not all(isinstance(element, dict) for element in elements):
        raise _unreadable(answer)
    return elements


def _id_in(answer: Answer) -> str:
    found = _result(answer).get("id")
    if not found:
        raise _unreadable(answer)
    return str(found)


def _unreadable(answer: Answer) -> DeliveryError:
    """As after a 5xx: something in between answered, and it passes."""
    return Busy(f"{answer.request} answered {answer.status}, but not as Qualtrics' API does", status=answer.status)


# Writing requests


def _escaped(id: str) -> str:
    if id in (".", ".."):  # which no escape keeps from leading elsewhere
        raise Rejected(f"Nothing was sent: {id!r} is no ID. Correct it in the mapping")
    return quote(id, safe="")


def _directory(id: str) -> str:
    return f"{API}/directories/{_escaped(id)}"


def _scalars(data: JSON) -> JSON:
    """Text, numbers and booleans as they are; null left out; anything else as its own JSON text."""
    return {
        name: value if isinstance(value, str | int | float) else to_json(value)
        for name, value in data.items()
        if value is not None
    }


def _milliseconds(value: str | float) -> int | None:
    """A text as JavaScript reads dates, else it and any number as unix seconds or milliseconds; None if unreadable."""
    moment = jsdate.parse(value) if isinstance(value, str) else None
    if moment is not None:
        return moment
    number = to_number(value)
    number *= 1000 if abs(number) < SECONDS_BELOW else 1
    return int(number) if abs(number) <= LAST_MOMENT else None


def _date_text(moment: int) -> str:
    """`2026-03-04 05:06:07` in UTC, with JavaScript's years beyond four digits, which datetime does not have."""
    cycles, rest = divmod(moment, CYCLE)
    day = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=rest)
    year = day.year + 400 * cycles
    return f"{year:04d}{day:-%m-%d %H:%M:%S}" if 0 <= year <= 9999 else f"{year:+07d}{day:-%m-%d %H:%M:%S}"


def _same(stored: JSON, item: JSON) -> bool:
    """Whether a transaction found is the one that is sent; Qualtrics may write dates and numbers otherwise."""

    def seen(transaction: JSON) -> tuple[Any, ...]:
        data = {name: to_text(value) for name, value in _members(transaction, "data").items()}
        return transaction.get("mailingListId"), jsdate.parse(str(transaction.get("transactionDate"))), data

    return seen(stored) == seen(item)


def _check_transaction(payload: JSON) -> None:
    faults = []
    if "transactionDate" in payload and _milliseconds(payload["transactionDate"]) is None:
        faults.append(Fault("/transactionDate", f"{LABELS['transactionDate']} cannot be read as a date."))
    if not payload.get("contactId") and not any(payload.get(name) for name in IDENTIFIERS):
        told = "Without a Contact ID the contact is looked up: External Data Reference must not be empty."
        faults.append(Fault("/extRef", told))
    if faults:
        raise PayloadError(faults)


def _check_workflow(payload: JSON) -> None:
    if not payload["workflowUrl"].lower().startswith(("https://", "http://")):
        raise PayloadError([Fault("/workflowUrl", "Workflow URL must begin with https://.")])


# What the preview warns of


def _warn_of_contact(payload: JSON) -> list[Fault]:
    return list(_contact_faults(payload))


def _warn_of_transaction(payload: JSON) -> list[Fault]:
    faults = _warn_of_contact(payload)
    for name, value in (payload.get("transactionData") or {}).items():
        if not isinstance(value, str | int | float):
            becomes = "left out, for it is null" if value is None else "sent as JSON text, for it is nested"
            faults.append(Fault(f"/transactionData/{name}", f"Transaction data {name} is {becomes}."))
    return faults


def _contact_faults(payload: JSON) -> Iterator[Fault]:
    for name, prefix in PREFIXES.items():
        if payload.get(name) and not payload[name].startswith(prefix):
            yield Fault(f"/{name}", f"{LABELS[name]} usually begins with {prefix}, unlike {payload[name]!r}.")
    language = payload.get("language")
    if language and f" {language} " not in LANGUAGES:
        yield Fault("/language", f"{language!r} is no language code of Qualtrics, such as EN or PT-BR.")
    for name, value in (payload.get("embeddedData") or {}).items():
        for told in _embedded_faults(name, value):
            yield Fault(f"/embeddedData/{name}", told)


def _embedded_faults(name: str, value: Any) -> Iterator[str]:
    """https://www.qualtrics.com/support/iq-directory/directory-contacts-tab/adding-directory-contacts"""
    if not isinstance(value, str | int | float):
        kind = "null" if value is None else "nested"
        yield f"Embedded data {name} is {kind}: Qualtrics takes text, numbers and booleans."
    if len(name) > NAME_LENGTH:
        yield f"The name of embedded data {name[:20]}… has more than {NAME_LENGTH} characters."
    if isinstance(value, str) and len(value) > VALUE_LENGTH:
        yield f"Embedded data {name} has more than {VALUE_LENGTH:,} characters."


def _warn_of_workflow(payload: JSON) -> list[Fault]:
    faults = []
    host = urlsplit(payload.get("workflowUrl") or "").hostname or ""
    if host and not host.endswith(VENDOR):
        faults.append(Fault("/workflowUrl", f"{host} is not Qualtrics: the request goes there without the API token."))
    if len(to_json(payload.get("eventPayload"))) > WORKFLOW_BYTES:
        faults.append(Fault("/eventPayload", "Qualtrics takes event payloads of up to 100 KB; this one is larger."))
    return faults


# The fields

EMAIL = {"@if": {"exists": {"@path": "$.email"}, "then": {"@path": "$.email"}, "else": {"@path": "$.traits.email"}}}
USER_ID = {"@if": {"exists": {"@path": "$.userId"}, "then": {"@path": "$.userId"}, "else": {"@path": "$.anonymousId"}}}
LOOKED_UP = " Used to look the contact up, and to create it where there is none; not stored with the transaction."
IF_CREATED = " Used only if the contact has to be created; not stored with the transaction."

DIRECTORY = InputField(
    "directoryId",
    LABELS["directoryId"],
    required=True,
    dynamic=True,
    help="The XM Directory the contacts are in, also called pool: POOL_ and some letters and digits. How it tells that "
    "two contacts are one is set in Qualtrics, under the directory's settings.",
)


def _contact_fields(use: str, first_name: str, last_name: str) -> tuple[InputField, ...]:
    """What tells about the contact, beside what identifies it; `use` says when it is used."""
    return (
        InputField(
            "firstName",
            first_name,
            default={"@path": "$.traits.firstName"},
            help=f"The contact's first name.{use}",
        ),
        InputField(
            "lastName",
            last_name,
            default={"@path": "$.traits.lastName"},
            help=f"The contact's last name.{use}",
        ),
        InputField(
            "language",
            "Language",
            offer="EN",
            help="The language Qualtrics writes to the contact in, as one of its codes: EN, DE, PT-BR. Without it, "
            f"what Qualtrics holds stays.{use}",
        ),
        InputField(
            "unsubscribed",
            "Contact is unsubscribed",
            type="boolean",
            offer=False,
            help="True stops all mail to the contact; false lets it be written to again, even if they opted out. "
            f"Without it, what they chose stays.{use}",
        ),
        InputField(
            "embeddedData",
            "Contact embedded data",
            type="object",
            object_ui="keyvalue",
            help="What else to know about the contact, by names of your choice of up to 200 characters. Qualtrics "
            f"takes texts of up to 1,024 characters, numbers and booleans.{use}",
        ),
    )


destination = DestinationDefinition(
    slug="qualtrics",
    name="Qualtrics",
    description="Contacts and their transactions in a Qualtrics XM Directory, and events that start workflows.",
    client=QualtricsClient,
    account=(
        InputField(
            "apiToken",
            "API Token",
            required=True,
            secret=True,
            help="In Qualtrics under Account settings, Qualtrics IDs, API. Generating a new one ends the old one "
            "everywhere, so take the one that is there.",
        ),
        InputField(
            "datacenter",
            "Datacenter ID",
            required=True,
            default="iad1",
            format="hostname",
            help="In Qualtrics under Account settings, Qualtrics IDs, User: iad1, fra1, syd1 and the like.",
        ),
    ),
    settings=(
        InputField(
            "contactLookup",
            "Contact look-up",
            required=True,
            default="all",
            choices=(
                Choice("all", "All of External Data Reference, Phone number and Email must match, as in Segment"),
                Choice("first", "The first that matches of External Data Reference, Email and Phone number"),
            ),
            help="How a transaction finds its contact. If all must match, someone whose email has changed is not found "
            "and becomes a second contact.",
        ),
    ),
    # https://api.qualtrics.com, limits by operation; they hold for the whole brand. A send of transactions is reckoned
    # full, with a look-up each.
    limits=(
        Limit(
            "all",
            "All requests",
            3000,
            {"addContactToXmd": 1, "upsertContactTransaction": TOGETHER + 1, "triggerXflowWorkflow": 1},
        ),
        Limit(
            "contacts",
            "Contacts looked up or written",
            500,
            {"addContactToXmd": 1, "upsertContactTransaction": TOGETHER},
        ),
        Limit("transactions", "Requests with transactions", 500, {"upsertContactTransaction": 1}),
    ),
    test_connection=test_connection,
    dynamic_choices={
        "directoryId": QualtricsClient.directory_choices,
        "mailingListId": QualtricsClient.mailing_list_choices,
    },
    creations={"mailingListId": Creation("mailing list", "directoryId", QualtricsClient.create_mailing_list)},
    actions=(
        ActionDefinition(
            "addContactToXmd",
            "Create and/or update contact in XM Directory",
            description="Make a contact, or update the one that the directory's deduplication rule finds.",
            trigger='type = "identify"',
            fields=(
                DIRECTORY,
                InputField(
                    "extRef",
                    LABELS["extRef"],
                    default={"@path": "$.userId"},
                    help="Your own id of the person, by which the directory's deduplication rule may know them. Not "
                    "required: an email or a phone number makes a contact too.",
                ),
                InputField("email", LABELS["email"], default=EMAIL, help="Where surveys are sent to by mail."),
                InputField(
                    "phone",
                    LABELS["phone"],
                    default={"@path": "$.traits.phone"},
                    help="Where surveys are sent to by text message, with its country code.",
                ),
                *_contact_fields("", "First Name", "Last Name"),
            ),
            perform=QualtricsClient.add_contact_to_xmd,
            update=True,
            warn=_warn_of_contact,
            context_traits=True,
        ),
        ActionDefinition(
            "upsertContactTransaction",
            "Upsert contact transaction",
            description="Add a transaction to a contact, who is looked up, and created if there is none.",
            trigger='type = "track", event = "Transaction Created"',
            fields=(
                DIRECTORY,
                InputField(
                    "mailingListId",
                    LABELS["mailingListId"],
                    required=True,
                    default={"@path": "$.traits.qualtricsMailingListId"},
                    dynamic=True,
                    help="The mailing list the transaction belongs to: CG_ and some letters and digits.",
                ),
                InputField(
                    "contactId",
                    LABELS["contactId"],
                    default={"@path": "$.traits.qualtricsContactId"},
                    help="The contact's id in Qualtrics, CID_ and some letters and digits, if you know it: then "
                    "nobody is looked up or created.",
                ),
                InputField(
                    "extRef",
                    LABELS["extRef"],
                    required=True,
                    default=USER_ID,
                    help=f"Your own id of the person.{LOOKED_UP} Required, even with a Contact ID: by "
                    "email or phone number alone a family would be one contact.",
                ),
                InputField("email", LABELS["email"], default=EMAIL, help=f"The contact's email.{LOOKED_UP}"),
                InputField(
                    "phone",
                    LABELS["phone"],
                    default={"@path": "$.traits.phone"},
                    help=f"The contact's phone number.{LOOKED_UP}",
                ),
                *_contact_fields(IF_CREATED, "First name", "Last name"),
                InputField(
                    "transactionDate",
                    LABELS["transactionDate"],
                    type="datetime",
                    default={"@path": "$.timestamp"},
                    help="When it happened: a date as text, or seconds or milliseconds since 1970. Without it, when it "
                    "is first sent.",
                ),
                InputField(
                    "transactionData",
                    "Transaction data",
                    type="object",
                    object_ui="keyvalue",
                    help="What to store with the transaction, by names of your choice. Lists and objects become text.",
                ),
            ),
            perform=QualtricsClient.upsert_contact_transaction,
            perform_batch=QualtricsClient.upsert_contact_transactions,
            batch=Batch(items=TOGETHER, bytes=475_000, by=("directoryId",)),
            check=_check_transaction,
            warn=_warn_of_transaction,
            context_traits=True,
        ),
        ActionDefinition(
            "triggerXflowWorkflow",
            "Start a workflow in Qualtrics",
            description="Send an event to a workflow that starts when one is received.",
            fields=(
                InputField(
                    "workflowUrl",
                    "Workflow URL",
                    required=True,
                    format="uri",
                    help="Copy it in Qualtrics from the event your workflow starts with. The API token goes along to "
                    "addresses of Qualtrics only. If no answer comes, the event is sent again, and the workflow may "
                    "run twice.",
                ),
                InputField(
                    "eventPayload",
                    "Event payload",
                    type="object",
                    object_ui="keyvalue",
                    default={
                        name: {"@path": f"$.{name}"}
                        for name in ("event", "type", "userId", "properties", "traits", "context")
                    },
                    help="What the workflow gets, by the names you use in its fields; 100 KB at most.",
                ),
            ),
            perform=QualtricsClient.trigger_xflow_workflow,
            check=_check_workflow,
            warn=_warn_of_workflow,
        ),
    ),
)
