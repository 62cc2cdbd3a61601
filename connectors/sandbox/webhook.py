"""A receiver of webhooks: whatever is sent to a path below /hooks/ is kept and answered 200."""

from __future__ import annotations

import msgspec

from connectors.sandbox.memory import Faults, Memory, Reply, Request

PATH = "/hooks/"


class Webhook:
    name = "webhook"

    def __init__(self) -> None:
        self.memory = Memory()
        self.faults = Faults()

    def owns(self, host: str, path: str) -> bool:
        return path.startswith(PATH)

    def fault(self, status: int, retry_after: float | None) -> Reply:
        return Reply(status, "", (("Retry-After", f"{retry_after:g}"),) if retry_after is not None else ())

    def answer(self, request: Request) -> Reply:
        try:
            body = msgspec.json.decode(request.body) if request.body else None
        except (ValueError, RecursionError):
            body = request.body.decode("utf-8", "replace")
        key = request.headers.get("Idempotency-Key", "")
        self.memory.keep(request.host, [(key, {"path": request.path, "method": request.method, "body": body}, "")])
        return Reply(200, {})
