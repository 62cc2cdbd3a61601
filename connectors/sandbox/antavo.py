"""Antavo: its endpoint for Segment, and of its native API what a connector uses: events, one and many, and customers.

Facts: https://apidocs.antavo.com (events, bulk, customers, errors, external_id). Signatures are checked by escherauth.
The answers of the webhook to a good request are those in the tests of segmentio/action-destinations (antavo); the body
of its refusals is the error envelope of the native API, for what it really says is not published.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, unquote

import msgspec
from escherauth import Escher, EscherException

from connectors.sandbox.memory import Faults, Memory, Reply, Request

JSON = dict[str, Any]

PATH = "/v1/webhook/segment"
HOST = re.compile(r"api\.(.+)\.antavo\.com")
AT_ONCE = 50
PROFILE = ("first_name", "last_name", "email", "phone", "mobile_phone", "birth_date", "gender", "language")


class Refusal(Exception):
    """What Antavo says no with."""

    def __init__(self, status: int, kind: str, code: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.envelope = {"error": {"type": kind, "code": code, "message": message}}


@dataclass
class Stack:
    """A workspace: its key, its secret if calls may be signed, and whether they must be; its customers and purchases.

    `external_ids` are the customer fields flagged as external ids.
    """

    key: str
    secret: str = ""
    signed_only: bool = False
    external_ids: list[str] = field(default_factory=list)
    customers: dict[str, JSON] = field(default_factory=dict)
    transactions: set[str] = field(default_factory=set)
    events: int = 0


class Antavo:
    name = "antavo"

    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.memory = Memory()
        self.faults = Faults()
        self.now = now
        self._lock = threading.Lock()
        self.clear()

    def clear(self) -> None:
        self.stacks: dict[str, Stack] = {}

    def seed(self, stacks: dict[str, Any]) -> None:
        """The API key of each stack, or `{key, secret, signed_only, external_ids, customers: {id: attributes}}`."""
        for name, given in stacks.items():
            stack = Stack(**given) if isinstance(given, dict) else Stack(given)
            stack.customers = {id: _customer(id, self.now(), about) for id, about in stack.customers.items()}
            if isinstance(given, dict) or name not in self.stacks or self.stacks[name].key != stack.key:
                self.stacks[name] = stack

    def owns(self, host: str, path: str) -> bool:
        return bool(HOST.fullmatch(host)) or path == PATH

    def fault(self, status: int, retry_after: float | None) -> Reply:
        headers = (("Retry-After", f"{retry_after:g}"),) if retry_after is not None else ()
        return Reply(status, {"error": {"type": "Exception", "code": 0, "message": "Service unavailable"}}, headers)

    def answer(self, request: Request) -> Reply:
        try:
            if (request.method, request.path) == ("POST", PATH):
                return self._webhook(request)
            return self._native(request)
        except Refusal as refusal:
            return Reply(refusal.status, refusal.envelope)

    def _webhook(self, request: Request) -> Reply:
        body = _object(request.body)
        self._open(request, body.pop("api_key", None))
        key = request.headers.get("Idempotency-Key", "")
        try:
            _complete(body)
        except Refusal as refusal:
            self.memory.keep(request.host, [(key, body, "incomplete")])
            raise refusal
        self.memory.keep(request.host, [(key, body, "")])
        return Reply(202, {})

    def _native(self, request: Request) -> Reply:
        given = parse_qs(request.query).get("api_key", [None])[0]
        stack = self._open(request, given)
        what = (request.method, request.path)
        if what == ("POST", "/events"):
            return Reply(200, self._book(stack, request, [_object(request.body)])[0])
        if what == ("POST", "/events/bulk"):
            events = _object(request.body).get("events")
            if not isinstance(events, list) or len(events) > AT_ONCE or not all(isinstance(e, dict) for e in events):
                raise Refusal(400, "InvalidArgumentException", 113401, f"events must be a list of at most {AT_ONCE}")
            results = self._book(stack, request, events, together=True)
            errors = sum("error" in result for result in results)
            return Reply(200, {"results": results, "total": len(results), "errors": errors})
        if request.method == "GET" and request.path.startswith("/customers/"):
            name, _, value = unquote(request.path.removeprefix("/customers/")).rpartition(":")
            return Reply(200, _found(stack, value, name))
        if what == ("GET", "/customers"):
            return Reply(200, {"data": _searched(stack, parse_qs(request.query))})
        raise Refusal(404, "NotFoundException", 0, "Not found")

    def _open(self, request: Request, key: Any) -> Stack:
        """The stack of the host, or called directly the one of the key, if the request may enter it."""
        match = HOST.fullmatch(request.host)
        names = [match[1]] if match else list(self.stacks)
        for name in names:
            stack = self.stacks.get(name)
            if stack and self._may_enter(stack, name, request, key):
                return stack
        raise Refusal(401, "UnauthorizedException", 101021, "Invalid API key")

    def _may_enter(self, stack: Stack, name: str, request: Request, key: Any) -> bool:
        if not request.headers.get("Authorization"):
            return key == stack.key and not stack.signed_only
        signed = {
            "method": request.method,
            "url": f"{request.path}?{request.query}" if request.query else request.path,
            "headers": list(request.headers.items()),
            "body": request.body.decode("utf-8", "replace"),
        }
        options = {
            "algo_prefix": "ANTAVO",
            "vendor_key": "Antavo",
            "auth_header_name": "Authorization",
            "date_header_name": "Date",
            "current_time": self.now(),
        }
        try:
            Escher("", "", f"{name}/api/antavo_request", options).authenticate(signed, {stack.key: stack.secret})
        except (EscherException, ValueError):
            return False
        return bool(stack.secret)

    def _book(self, stack: Stack, request: Request, events: list[JSON], together: bool = False) -> list[JSON]:
        """What Antavo answers to each event, one after the other; raises the refusal of one that came alone."""
        answers: list[JSON] = []
        arrived: list[tuple[str, JSON, str]] = []
        with self._lock:
            for event in events:
                transaction = _data(event).get("transaction_id")
                key = "" if transaction is None else f"{request.host} {transaction}"
                try:
                    customer = self._take(stack, event)
                except Refusal as refusal:
                    code = refusal.envelope["error"]["code"]
                    arrived.append((key, event, "duplicate" if code == 5003 else f"error_{code}"))
                    answers.append(refusal.envelope)
                    refused = refusal
                else:
                    arrived.append((key, event, ""))
                    answers.append({"events": customer["events"]} if together else customer)
        self.memory.keep(request.host, arrived)
        if not together and "error" in answers[0]:
            raise refused
        return answers

    def _join(self, stack: Stack, value: str, name: str) -> JSON:
        try:
            _found(stack, value, name)
        except Refusal:
            id = f"customer-{len(stack.customers) + 1}" if name else value
            stack.customers[id] = _customer(id, self.now(), {name: value} if name else {})
            return stack.customers[id]
        raise Refusal(400, "InvalidCustomerStateException", 112101, "Customer has already opted in")

    def _take(self, stack: Stack, event: JSON) -> JSON:
        _complete(event)
        action, data = event["action"], _data(event)
        name = event.get("external_id", "")
        if action == "opt_in":
            customer = self._join(stack, event["customer"], name)
        else:
            customer = _found(stack, event["customer"], name)
        if "transaction_id" in data:
            if str(data["transaction_id"]) in stack.transactions:
                raise Refusal(400, "TransactionException", 5003, "Transaction already exists")
            stack.transactions.add(str(data["transaction_id"]))
        if action in ("opt_in", "profile"):
            customer |= data
        points = data.get("points") if action == "point_add" else None
        booked = []
        if isinstance(points, int | float):
            stack.events += 1
            customer["score"] += points
            about = {"id": event.get("account", "default"), "name": event.get("account", "default")}
            booked = [{"id": f"event-{stack.events}", "action": action, "points": points, "account": about}]
        return {**customer, "events": booked}


def _object(body: bytes) -> JSON:
    try:
        found = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Refusal(400, "InvalidArgumentException", 113401, "The body must be a JSON object")
    return found


def _complete(event: JSON) -> None:
    for name in ("customer", "action"):
        if not isinstance(event.get(name), str) or not event[name]:
            raise Refusal(400, "MissingParameterException", 113401, f"Missing parameter: {name}")


def _data(event: JSON) -> JSON:
    data = event.get("data")
    return data if isinstance(data, dict) else {}


def _customer(id: str, now: datetime, about: JSON) -> JSON:
    blank = dict.fromkeys(PROFILE, "")
    counts = {"score": 0, "spent": 0, "pending": 0}
    return {"id": id, "created_at": now.isoformat(), "handler": id, "status": "active", **counts, **blank, **about}


def _found(stack: Stack, value: str, name: str = "") -> JSON:
    """The customer of this id, or of this value in the field `name`.

    The documentation says that external_id is the name of a field; in its examples it is a value, and taken so too.
    """
    if not name:
        found = stack.customers.get(value)
    else:
        wanted, fields = (value, [name]) if name in stack.external_ids else (name, stack.external_ids)
        found = next((c for c in stack.customers.values() if wanted in [c.get(field) for field in fields]), None)
    if found is None:
        raise Refusal(404, "CustomerNotFoundException", 160212, "Customer not found")
    return found


def _searched(stack: Stack, query: dict[str, list[str]]) -> list[JSON]:
    asked = {name: values[0] for name, values in query.items() if name != "api_key"}
    if not asked:
        raise Refusal(400, "InvalidArgumentException", 160211, "Empty search")
    return [c for c in stack.customers.values() if all(str(c.get(name)) == value for name, value in asked.items())]
