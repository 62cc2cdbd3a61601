"""Antavo's endpoint for Segment: takes loyalty events and profile updates, whose API key travels in the body.

The answers to a good request are those in the tests of segmentio/action-destinations (antavo); the body of a refusal
is the error envelope of Antavo's REST API, for what this endpoint really says is not published.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from connectors.sandbox.memory import Faults, Memory, Reply, Request

JSON = dict[str, Any]

PATH = "/v1/webhook/segment"
HOST = re.compile(r"api\.(.+)\.antavo\.com")


class Antavo:
    name = "antavo"

    def __init__(self) -> None:
        self.memory = Memory()
        self.faults = Faults()
        self.clear()

    def clear(self) -> None:
        self.api_keys: dict[str, str] = {}

    def seed(self, api_keys: dict[str, str]) -> None:
        """The API key of each stack."""
        self.api_keys |= api_keys

    def owns(self, host: str, path: str) -> bool:
        return bool(HOST.fullmatch(host)) or path == PATH

    def fault(self, status: int, retry_after: float | None) -> Reply:
        headers = (("Retry-After", f"{retry_after:g}"),) if retry_after is not None else ()
        return Reply(status, {"error": {"type": "Exception", "code": 0, "message": "Service unavailable"}}, headers)

    def answer(self, request: Request) -> Reply:
        if request.method != "POST" or request.path != PATH:
            return _refusal(404, "NotFoundException", 0, "Not found")
        try:
            body = msgspec.json.decode(request.body)
        except (ValueError, RecursionError):
            body = None
        if not isinstance(body, dict):
            return _refusal(400, "InvalidArgumentException", 113401, "The body must be a JSON object")
        key = body.pop("api_key", None)
        stack = HOST.fullmatch(request.host)
        if key not in ([self.api_keys.get(stack[1])] if stack else self.api_keys.values()) or not key:
            return _refusal(401, "UnauthorizedException", 101021, "Invalid API key")
        idempotency_key = request.headers.get("Idempotency-Key", "")
        for name in ("customer", "action"):
            if not isinstance(body.get(name), str) or not body[name]:
                self.memory.keep(request.host, [(idempotency_key, body, f"missing_{name}")])
                return _refusal(400, "MissingParameterException", 113401, f"Missing parameter: {name}")
        self.memory.keep(request.host, [(idempotency_key, body, "")])
        return Reply(202, {})


def _refusal(status: int, kind: str, code: int, message: str) -> Reply:
    return Reply(status, {"error": {"type": kind, "code": code, "message": message}})
