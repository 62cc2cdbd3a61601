"""Qualtrics as it behaves: XM Directory with its deduplication and search, transactions item by item, workflow URLs.

Facts: https://api.qualtrics.com, the generated client of wtx-labs/qualtrics-api-client-java, and
https://www.qualtrics.com/support (automatic deduplication, JSON events). Error codes are those that were recorded
(ATP_2, DCD_7, GP_0, PACC_6, BRE_0.5); those that begin with SANDBOX stand where the vendor's are not known.
"""

from __future__ import annotations

import base64
import math
import random
import re
import string
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from http.client import responses as reasons
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode

import msgspec

from connectors.jstext import to_text
from connectors.sandbox.memory import Faults, Memory, Reply, Request

JSON = dict[str, Any]

HOST = re.compile(r"(.+)\.qualtrics\.com")
API = "/API/v3/"
TRIGGERS = "/inbound-event/v1/events/json/triggers"

CONTACT_KEYS = {"firstName", "lastName", "email", "phone", "extRef", "embeddedData", "language", "unsubscribed"}
TEXTS = ("email", "firstName", "lastName", "language", "phone", "extRef")
MOMENTS = ("created", "lastModified")
# How the rules of a directory call the fields of a contact.
RULE_FIELDS = {"email": "email", "firstName": "firstName", "lastName": "lastName", "phone": "phone"}
RULE_FIELDS["externalDataReference"] = "extRef"

RULES = 3
FILTERS = 5
SEARCHABLE = 10_000
WORKFLOW_BYTES = 100 * 1024
BODY_BYTES = 5 * 1024 * 1024
LIST_NAME = 100
PER_MINUTE = {"all": 3000, "contacts": 500, "mailinglists": 500, "transactions": 500}

ORDERED: dict[str, Callable[[int, int], bool]] = {
    "eq": lambda a, b: a == b,
    "neq": lambda a, b: a != b,
    "gt": lambda a, b: a > b,
    "lt": lambda a, b: a < b,
    "gte": lambda a, b: a >= b,
    "lte": lambda a, b: a <= b,
}


class Refused(Exception):
    """An answer other than 2xx, with the vendor's code and words."""

    def __init__(self, status: int, code: str, message: str, *headers: tuple[str, str]) -> None:
        self.status, self.code, self.message, self.headers = status, code, message, headers


class Directory:
    """An XM Directory: its rules, mailing lists, contacts, and their transactions."""

    def __init__(self, id: str, name: str, rules: Iterable[Iterable[str]], default: bool) -> None:
        self.id, self.name, self.default = id, name, default
        self.rules = [[RULE_FIELDS[field] for field in rule] for rule in rules]
        if len(self.rules) > RULES or not all(self.rules):
            raise ValueError(f"a directory has up to {RULES} deduplication rules, each of one field or more")
        self.lists: dict[str, JSON] = {}
        self.contacts: dict[str, JSON] = {}
        self.transactions: dict[str, list[JSON]] = {}
        self._by_text: dict[tuple[str, str], dict[str, None]] = {}

    def described(self) -> JSON:
        used = {field for rule in self.rules for field in rule}
        return {
            "directoryId": self.id,
            "name": self.name,
            "contactCount": len(self.contacts),
            "isDefault": self.default,
            "deduplicationCriteria": {name: field in used for name, field in RULE_FIELDS.items()},
        }

    def add(self, body: JSON, lag: int) -> JSON:
        """The new contact, or the one that a rule finds, updated. `lag` reads of a new one will not find it."""
        contact = self._match(body)
        if contact is None:
            now = _now()
            contact = {"id": _id("CID_"), "created": now, "embeddedData": {}, "lists": {}, "lag": lag}
            self.contacts[contact["id"]] = contact
        self.change(contact, body)
        return contact

    def change(self, contact: JSON, body: JSON) -> None:
        for name, value in body.items():
            if name == "embeddedData":
                contact[name] |= {key: to_text(each) for key, each in value.items()}
                continue
            if name in TEXTS:
                self._by_text.get((name, _folded(contact.get(name))), {}).pop(contact["id"], None)
                self._by_text.setdefault((name, _folded(value)), {})[contact["id"]] = None
            if name == "unsubscribed":
                contact["unsubscribeDate"] = _now() if value else None
            contact[name] = value
        contact["lastModified"] = _now()

    def remove(self, contact: JSON) -> None:
        for name in TEXTS:
            self._by_text.get((name, _folded(contact.get(name))), {}).pop(contact["id"], None)
        del self.contacts[contact["id"]]

    def seen(self, id: Any) -> JSON | None:
        """A contact as reads see it: not yet, while it lags."""
        contact = self.contacts.get(id)
        if contact and contact["lag"]:
            contact["lag"] -= 1
            return None
        return contact

    def search(self, filters: list[JSON]) -> list[JSON]:
        found: Iterable[str] = self.contacts
        for f in filters:
            if f["filterType"] in TEXTS and f["comparison"] == "eq":
                found = self._by_text.get((f["filterType"], _folded(f["value"])), ())
                break
        matching = [id for id in found if all(_matches(self.contacts[id], f) for f in filters)]
        return [contact for id in matching if (contact := self.seen(id))]

    def _match(self, body: JSON) -> JSON | None:
        for rule in self.rules:
            if not all(body.get(name) for name in rule):
                continue
            for id in self._by_text.get((rule[0], _folded(body[rule[0]])), ()):
                contact = self.contacts[id]
                if all(_folded(contact.get(name)) == _folded(body[name]) for name in rule):
                    return contact
        return None


class Qualtrics:
    name = "qualtrics"

    def __init__(self) -> None:
        self.memory = Memory()
        self.faults = Faults()
        self._lock = threading.Lock()
        self.clear()

    def clear(self) -> None:
        self.accounts: dict[str, JSON] = {}
        self.workflows: dict[str, JSON] = {}
        self.spent: dict[tuple[str, str], tuple[float, float]] = {}

    def seed(self, accounts: list[JSON]) -> None:
        """Each `{token, brand, user, datacenter, directories, workflows}`, all but the token optional.

        A directory is `{id, name, rules, lists}`: rules are lists of field names as in `deduplicationCriteria`, lists
        `{id, name}`. A workflow is `{id, open}`: `id` is its urlTokenId or triggerId, `open` asks for no token. What is
        known already stays as it is.
        """
        with self._lock:
            for given in accounts:
                account = self.accounts.setdefault(given["token"], {"brand": "sandbox", **given, "directories": {}})
                for directory in given.get("directories", ()):
                    _seed_directory(account["directories"], directory)
                for workflow in given.get("workflows", ()):
                    self.workflows[workflow["id"]] = {"open": False, **workflow, "token": given["token"]}

    def owns(self, host: str, path: str) -> bool:
        return bool(HOST.fullmatch(host)) or path.startswith(API) or path.lower() == TRIGGERS

    def fault(self, status: int, retry_after: float | None) -> Reply:
        headers = (("Retry-After", f"{retry_after:g}"),) if retry_after is not None else ()
        return _envelope(status, error=("SANDBOX_1", reasons.get(status, "Unknown")), headers=headers)

    def answer(self, request: Request) -> Reply:
        with self._lock:
            try:
                if request.path.lower() == TRIGGERS:
                    return self._trigger(request)
                return self._api(request)
            except Refused as refused:
                self.memory.keep(request.host, [("", _kept(request, None), refused.code)])
                return _envelope(refused.status, error=(refused.code, refused.message), headers=refused.headers)

    # Workflows

    def _trigger(self, request: Request) -> Reply:
        """Both forms of the URL; with a token, user name and token by Basic, or with neither where that will do."""
        query = {name: values[0] for name, values in parse_qs(request.query).items()}
        workflow = self.workflows.get(query.get("urlTokenId") or query.get("triggerId") or "")
        if request.method != "POST" or workflow is None:
            raise Refused(404, "SANDBOX_404", "There is no such event")
        token = request.headers.get("X-API-TOKEN") or _basic(request)
        if not workflow["open"] and token not in self.accounts:
            raise Refused(401, "DCD_7", "Unrecognized X-API-TOKEN.")
        if len(request.body) > WORKFLOW_BYTES:
            raise Refused(413, "SANDBOX_413", "The payload is larger than 100 KB")
        body = _json(request)
        # Another account's token is answered as if all were well, but starts nothing.
        reason = "" if workflow["open"] or token == workflow["token"] else "not_the_owner"
        self.memory.keep(request.host, [("", _kept(request, body), reason)])
        return _envelope(202)

    # The API

    def _api(self, request: Request) -> Reply:
        token = request.headers.get("X-API-TOKEN")
        if not token:
            raise Refused(400, "ATP_2", "Expected authorization in headers, but none provided.")
        account = self.accounts.get(token)
        if account is None:
            raise Refused(401, "DCD_7", "Unrecognized X-API-TOKEN.")
        parts = [unquote(part) for part in request.path.removeprefix(API).rstrip("/").split("/")]
        self._limit(account["brand"], request.method, parts)
        result = self._result(request, account, parts)
        if request.method == "GET" or parts[-1] == "search":
            self.memory.keep(request.host, ())
        return _envelope(200, result=result, notice=_notice(request, account))

    def _result(self, request: Request, account: JSON, parts: list[str]) -> Any:
        match (request.method, *parts):
            case ("GET", "whoami"):
                return _whoami(account)
            case ("GET", "directories"):
                return _page(request, [d.described() for d in account["directories"].values()])
            case (_, "directories", id, *rest) if rest:
                directory = account["directories"].get(id)
                if directory is None:
                    raise Refused(404, "SANDBOX_404", f"There is no directory {id}")
                return self._in_directory(request, directory, rest)
        raise Refused(404, "SANDBOX_404", "There is no such resource")

    def _in_directory(self, request: Request, directory: Directory, parts: list[str]) -> Any:
        match (request.method, *parts):
            case ("POST", "contacts"):
                contact = self._add(request, directory, CONTACT_KEYS)
                return {"id": contact["id"]}
            case ("GET", "contacts"):
                return _page(request, [_listed(c) for c in directory.contacts.values()])
            case ("GET", "contacts", "optedOutContacts"):
                return _page(request, [_listed(c) for c in directory.contacts.values() if c.get("unsubscribed")])
            case ("POST", "contacts", "search"):
                found = directory.search(_filters(_json(request)))
                return _page(request, [_searched(c, request.query) for c in found], search=True)
            case ("GET", "contacts", id):
                return _shown(_known(directory.seen(id), f"contact {id}"), directory)
            case ("PUT", "contacts", id):
                contact, body = _known(directory.contacts.get(id), f"contact {id}"), _contact(request, CONTACT_KEYS)
                directory.change(contact, body)
                return self._record(request, body)
            case ("DELETE", "contacts", id):
                directory.remove(_known(directory.contacts.get(id), f"contact {id}"))
                return self._record(request, None)
            case ("GET", "contacts", id, "transactions"):
                contact = _known(directory.contacts.get(id), f"contact {id}")
                with_data = "withData=true" in request.query
                stored = directory.transactions.get(contact["id"], ())
                return _page(request, [{k: v for k, v in t.items() if with_data or k != "data"} for t in stored])
            case ("POST", "transactions"):
                return self._transactions(request, directory)
            case (_, "mailinglists", *rest):
                return self._lists(request, directory, rest)
        raise Refused(404, "SANDBOX_404", "There is no such resource")

    def _lists(self, request: Request, directory: Directory, parts: list[str]) -> Any:
        if not parts:
            if request.method == "GET":
                return _page(request, list(directory.lists.values()))
            if request.method == "POST":
                id = _add_list(directory, _id("CG_"), _list_name(request))
                self._record(request, _json(request))
                return {"id": id}
        else:
            found = directory.lists.get(parts[0])
            if found is None:
                raise Refused(404, "PACC_6", "Mailing list not found")
            match (request.method, *parts[1:]):
                case ("GET",):
                    return found
                case ("PUT",):
                    found["name"] = _list_name(request)
                    return self._record(request, _json(request))
                case ("DELETE",):
                    del directory.lists[parts[0]]
                    return self._record(request, None)
                case ("GET", "contacts"):
                    members = [_listed(c) for c in directory.contacts.values() if parts[0] in c["lists"]]
                    return _page(request, members, most=50)
                case ("POST", "contacts"):
                    contact = self._add(request, directory, {*CONTACT_KEYS, "privateEmbeddedData"})
                    found["contactCount"] += parts[0] not in contact["lists"]
                    return {"id": contact["id"], "contactLookupId": contact["lists"].setdefault(parts[0], _id("CGC_"))}
                case ("DELETE", "contacts", id):
                    contact = _known(directory.contacts.get(id), f"contact {id}")
                    found["contactCount"] -= contact["lists"].pop(parts[0], None) is not None
                    return self._record(request, None)
        raise Refused(404, "SANDBOX_404", "There is no such resource")

    def _add(self, request: Request, directory: Directory, keys: set[str]) -> JSON:
        body = _contact(request, keys)
        self._record(request, body)
        return directory.add(body, self.faults.switches.lag)

    def _transactions(self, request: Request, directory: Directory) -> JSON:
        """Each by itself: a bad one keeps no other from being stored, and the answer is 200 all the same."""
        body = _json(request)
        created, unprocessed, arrived = {}, {}, []
        for key, given in body.items():
            fault = _fault_of(given, directory)
            if fault:
                unprocessed[key] = {"error": fault[0], "errorMessage": fault[1]}
            else:
                stored = {"transactionId": _id("CTR_"), "data": {}, **given}
                directory.transactions.setdefault(given["contactId"], []).append(stored)
                created[key] = {"id": stored["transactionId"]}
            arrived.append((key, _kept(request, given), fault[0] if fault else ""))
        self.memory.keep(request.host, arrived)
        return {"createdTransactions": created, "unprocessedTransactions": unprocessed}

    def _record(self, request: Request, body: Any) -> None:
        """What a write without a result answers."""
        self.memory.keep(request.host, [("", _kept(request, body), "")])

    def _limit(self, brand: str, method: str, parts: list[str]) -> None:
        """A bucket per brand and kind of operation that leaks a minute's worth in a minute, if `limits` asks for it."""
        share = self.faults.switches.limits
        if not share:
            return
        now = time.monotonic()
        kinds = ["all"]
        if method != "GET" and len(parts) > 2:
            kinds.append(parts[2])
        for kind in kinds:
            most = PER_MINUTE.get(kind, PER_MINUTE["all"]) * share
            level, at = self.spent.get((brand, kind), (0.0, now))
            level = max(0.0, level - (now - at) * most / 60) + 1
            if level > most:
                wait = ("Retry-After", f"{math.ceil((level - most) * 60 / most)}")
                raise Refused(429, "SANDBOX_429", "You have reached the limit of requests per minute.", wait)
            self.spent[brand, kind] = level, now


def _seed_directory(directories: dict[str, Directory], given: JSON) -> None:
    id = str(given["id"])
    if id not in directories:
        directories[id] = Directory(id, str(given.get("name", id)), given.get("rules", ()), not directories)
    for each in given.get("lists", ()):
        if each["id"] not in directories[id].lists:
            _add_list(directories[id], each["id"], each.get("name", each["id"]))


# What is sent to it


def _json(request: Request) -> JSON:
    if len(request.body) > BODY_BYTES:
        raise Refused(413, "SANDBOX_413", "The request is larger than 5 MB")
    try:
        body = msgspec.json.decode(request.body)
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise Refused(400, "GP_0", "The request body is not a JSON object")
    return body


def _only(body: JSON, keys: set[str]) -> None:
    for key in body:
        if key not in keys:
            raise Refused(400, "GP_0", f"Unexpected json key provided: {key}")


def _contact(request: Request, keys: set[str]) -> JSON:
    body = _json(request)
    _only(body, keys)
    for name, value in body.items():
        if name == "unsubscribed":
            fits = isinstance(value, bool)
        elif name.endswith("mbeddedData"):
            fits = isinstance(value, dict) and all(isinstance(each, str | int | float) for each in value.values())
        else:
            fits = isinstance(value, str)
        if not fits:
            raise Refused(400, "QVAL_1", f"The value of {name} is not valid")
    return body


def _list_name(request: Request) -> str:
    body = _json(request)
    _only(body, {"name", "ownerId", "prioritizeListMetadata"})
    name = body.get("name")
    if not isinstance(name, str) or not 0 < len(name) <= LIST_NAME:
        raise Refused(400, "GP_0", f"A mailing list needs a name of up to {LIST_NAME} characters")
    return name


def _fault_of(given: Any, directory: Directory) -> tuple[str, str] | None:
    """Why a transaction cannot be stored."""
    if not isinstance(given, dict) or set(given) - {"contactId", "mailingListId", "transactionDate", "data"}:
        return "SANDBOX_ITEM", "The transaction is not valid"
    if directory.seen(given.get("contactId")) is None:
        return "SANDBOX_CONTACT", f"There is no contact {given.get('contactId')}"
    if given.get("mailingListId") not in directory.lists:
        return "PACC_6", f"Mailing list not found: {given.get('mailingListId')}"
    if _moment(given.get("transactionDate"), dates=False) is None:
        return "QVAL_1", "transactionDate must be yyyy-MM-dd HH:mm:ss"
    data = given.get("data", {})
    if not isinstance(data, dict) or not all(isinstance(each, str | int | float) for each in data.values()):
        return "QVAL_1", "data must hold texts, numbers and booleans"
    return None


def _filters(body: JSON) -> list[JSON]:
    """The search grammar: one filter, or two to five of them joined by and."""
    _only(body, {"filter"})
    given = body.get("filter")
    if not isinstance(given, dict):
        raise Refused(400, "QVAL_1", "filter is required")
    filters = [given]
    if "filters" in given or "conjunction" in given:
        _only(given, {"conjunction", "filters"})
        filters = given.get("filters", [])
        if given.get("conjunction") != "and":
            raise Refused(400, "QVAL_1", "conjunction must be and")
        if not isinstance(filters, list) or not 2 <= len(filters) <= FILTERS:
            raise Refused(400, "QVAL_1", f"filters must be 2 to {FILTERS}")
    for each in filters:
        if not isinstance(each, dict) or not _is_filter(each):
            raise Refused(400, "QVAL_1", f"The filter is not valid: {each}")
    return filters


def _is_filter(f: JSON) -> bool:
    kind, comparison = f.get("filterType"), f.get("comparison")
    keys = set(f) - {"filterType", "comparison"}
    if kind in TEXTS:
        return keys == {"value"} and comparison in ("eq", "neq") and isinstance(f["value"], str)
    if kind in MOMENTS:
        return keys == {"value"} and comparison in ORDERED and _moment(f["value"]) is not None
    if kind == "inList":
        return keys == {"mailingListId"} and isinstance(comparison, bool) and isinstance(f["mailingListId"], str)
    fields = ("email", "extRef", "firstName", "lastName")
    return (
        kind == "infoFieldState" and keys == {"field"} and f["field"] in fields and comparison in ("empty", "notEmpty")
    )


def _matches(contact: JSON, f: JSON) -> bool:
    kind, comparison = f["filterType"], f["comparison"]
    if kind in TEXTS:
        same = _folded(contact.get(kind)) == _folded(f["value"])
        return same if comparison == "eq" else not same
    if kind in MOMENTS:
        return ORDERED[comparison](contact[kind] // 1000, _moment(f["value"]) or 0)
    if kind == "inList":
        return bool(comparison) == (f["mailingListId"] in contact["lists"])
    empty = not contact.get(f["field"])
    return empty if comparison == "empty" else not empty


def _moment(text: Any, *, dates: bool = True) -> int | None:
    """Seconds since 1970 of `yyyy-MM-dd HH:mm:ss`, or `yyyy-MM-dd`, in UTC."""
    for form in ("%Y-%m-%d %H:%M:%S", *(("%Y-%m-%d",) if dates else ())):
        try:
            return int(datetime.strptime(text, form).replace(tzinfo=UTC).timestamp())
        except (ValueError, TypeError):
            continue
    return None


def _basic(request: Request) -> str:
    """The password of Basic authentication, which is the token."""
    kind, _, given = request.headers.get("Authorization", "").partition(" ")
    try:
        return base64.b64decode(given).decode().partition(":")[2] if kind == "Basic" else ""
    except ValueError:
        return ""


# What it answers


def _envelope(
    status: int,
    *,
    result: Any = None,
    error: tuple[str, str] | None = None,
    notice: str = "",
    headers: tuple[tuple[str, str], ...] = (),
) -> Reply:
    meta: JSON = {"httpStatus": f"{status} - {reasons.get(status, 'Unknown')}", "requestId": str(uuid.uuid4())}
    if notice:
        meta["notice"] = notice
    if error:
        meta["error"] = {"errorCode": error[0], "errorMessage": error[1]}
    return Reply(status, {"meta": meta} if result is None else {"result": result, "meta": meta}, headers)


def _notice(request: Request, account: JSON) -> str:
    """A wrong datacenter is forwarded to the right one, and told."""
    host, right = HOST.fullmatch(request.host), account.get("datacenter", "iad1")
    if host is None or host[1] == right:
        return ""
    return f"Request proxied. For faster response times, use this host instead: {right}.qualtrics.com"


def _whoami(account: JSON) -> JSON:
    return {
        "brandId": account["brand"],
        "userId": "UR_0123456789abcde",
        "userName": account.get("user", "sandbox"),
        "accountType": "UT_BRANDADMIN",
        "firstName": "Sandy",
        "lastName": "Box",
        "email": f"{account.get('user', 'sandbox')}@example.com",
        "datacenter": account.get("datacenter", "iad1"),
    }


def _page(request: Request, elements: list[JSON], *, search: bool = False, most: int = 100) -> JSON:
    query = {name: values[0] for name, values in parse_qs(request.query).items()}
    try:
        size, start = int(query.get("pageSize", most)), int(query.get("skipToken", 0))
    except ValueError:
        size = start = -1
    if not (1 <= size <= most and start >= 0):
        raise Refused(400, "QVAL_1", f"pageSize must be between 1 and {most}, skipToken one that was given")
    if search and start + size > SEARCHABLE:
        raise Refused(400, "BRE_0.5", f"Not more than {SEARCHABLE} results can be read")
    more = start + size < len(elements)
    result: JSON = {"elements": elements[start : start + size]}
    if search:
        return result | ({"skipToken": str(start + size)} if more else {})
    following = urlencode(query | {"pageSize": size, "skipToken": start + size})
    return result | {"nextPage": f"https://{request.host}{request.path}?{following}" if more else None}


def _listed(contact: JSON) -> JSON:
    names = ("firstName", "lastName", "email", "phone", "extRef", "language", "unsubscribed")
    return {"contactId": contact["id"], **{name: contact.get(name) for name in names}}


def _shown(contact: JSON, directory: Directory) -> JSON:
    shown = _listed(contact)
    unsubscribed = bool(shown.pop("unsubscribed"))
    return shown | {
        "creationDate": contact["created"],
        "lastModified": contact["lastModified"],
        "emailDomain": (contact.get("email") or "").partition("@")[2] or None,
        "embeddedData": contact["embeddedData"],
        "skipped": None,
        "segmentMembership": None,
        "directoryUnsubscribed": unsubscribed,
        "directoryUnsubscribeDate": contact.get("unsubscribeDate"),
        "stats": {},
        "mailingListMembership": {
            list_id: {
                "contactLookupId": lookup,
                "name": directory.lists[list_id]["name"],
                "unsubscribed": False,
                "unsubscribeDate": None,
                "ownerId": directory.lists[list_id]["ownerId"],
            }
            for list_id, lookup in contact["lists"].items()
            if list_id in directory.lists
        },
    }


def _searched(contact: JSON, query: str) -> JSON:
    """Search has names of its own for what the other calls name otherwise."""
    return {
        "id": contact["id"],
        "creationDate": _text(contact["created"]),
        "lastModified": _text(contact["lastModified"]),
        "firstName": contact.get("firstName"),
        "lastName": contact.get("lastName"),
        "email": contact.get("email"),
        "phoneNumber": contact.get("phone"),
        "externalDataReference": contact.get("extRef"),
        "language": contact.get("language"),
        "unsubscribed": bool(contact.get("unsubscribed")),
        "unsubscribeDate": _text(contact["unsubscribeDate"]) if contact.get("unsubscribeDate") else None,
        "stats": {},
        **({"embeddedData": contact["embeddedData"]} if "includeEmbedded=true" in query else {}),
    }


def _add_list(directory: Directory, id: str, name: str) -> str:
    made = {"mailingListId": id, "name": name, "ownerId": "UR_0123456789abcde", "contactCount": 0}
    directory.lists[id] = made | {"creationDate": _now(), "lastModifiedDate": _now()}
    return id


def _known(found: JSON | None, what: str) -> JSON:
    if found is None:
        raise Refused(404, "SANDBOX_404", f"There is no {what}")
    return found


def _kept(request: Request, body: Any) -> JSON:
    return {"method": request.method, "path": request.path, "body": body}


def _id(prefix: str) -> str:
    return prefix + "".join(random.choices(string.ascii_letters + string.digits, k=15))


def _folded(text: Any) -> str:
    return str(text or "").strip().casefold()


def _now() -> int:
    return int(time.time() * 1000)


def _text(moment: int) -> str:
    return datetime.fromtimestamp(moment / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
