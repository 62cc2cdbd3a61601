"""Segment as it behaves: its Tracking API, which answers 200 to what it drops, and the Public API's reading side.

Facts: https://segment.com/docs/connections/sources/catalog/libraries/server/http-api/, the reason codes of
https://segment.com/docs/connections/delivery-overview/, and https://docs.segmentapis.com.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, unquote

import msgspec

from connectors.sandbox.memory import Faults, Memory, Reply, Request

JSON = dict[str, Any]

TRACKING = {"api.segment.io": "oregon", "events.eu1.segmentapis.com": "dublin"}
PUBLIC = {"api.segmentapis.com": "oregon", "eu1.api.segmentapis.com": "dublin"}

TYPES = {
    f"/v1/{name}": kind
    for kind in ("track", "identify", "page", "screen", "group", "alias")
    for name in (kind, kind[0])
}
BATCHES = {"/v1/batch", "/v1/import", "/v1/b"}

EVENT_BYTES = 32 * 1024
BATCH_BYTES = 500 * 1024
BATCH_EVENTS = 2500
SHORTEST_KEY = 3

SUCCESS = Reply(200, {"success": True})

CATALOG = tuple(
    {
        "id": id,
        "slug": slug,
        "name": name,
        "description": f"{name} source.",
        "logos": {"default": f"https://cdn.filepicker.io/{id}", "alt": "", "mark": ""},
        "options": [],
        "categories": categories,
        "isCloudEventSource": cloud,
        "status": "PUBLIC",
        "partnerOwned": cloud,
    }
    for id, slug, name, categories, cloud in (
        ("iUM16Md8P2", "http-api", "HTTP API", ["Server"], False),
        ("IqDTy1TpoU", "javascript", "Javascript", ["Website"], False),
        ("U9mT0bPcI6", "node-js", "Node.js", ["Server"], False),
        ("XRksQPCr7X", "python", "Python", ["Server"], False),
        ("TDO70If4mD", "php", "PHP", ["Server"], False),
        ("aACTBqIbWT", "ruby", "Ruby", ["Server"], False),
        ("yBvi77aEwr", "go", "Go", ["Server"], False),
        ("V6ynUvQgbc", "java", "Java", ["Server"], False),
        ("yMu7LRR59b", "kotlin", "Kotlin", ["Mobile"], False),
        ("9g612WSOsA", "qualtrics", "Qualtrics", ["Surveys"], True),
        ("WXNgKpZMsd", "antavo", "Antavo", ["Loyalty"], True),
    )
)


class World:
    """The workspaces there are, by token, and their sources, by write key; shared by both of Segment's APIs."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.workspaces: dict[str, JSON] = {}
        self.sources: dict[str, JSON] = {}

    def seed(self, workspaces: list[JSON]) -> None:
        """Each workspace `{id, slug, name, region, token, sources: [{id, slug, name, writeKeys, enabled}]}`."""
        for given in workspaces:
            workspace = {"region": "oregon", **given}
            workspace["sources"] = [_source(workspace, source) for source in given.get("sources", ())]
            if workspace.get("token"):
                self.workspaces[workspace["token"]] = workspace
            for source in workspace["sources"]:
                for key in source["writeKeys"]:
                    self.sources[key] = {"region": workspace["region"], "enabled": source["enabled"]}


def _source(workspace: JSON, given: JSON) -> JSON:
    kind = next((entry for entry in CATALOG if entry["slug"] == given.get("kind", "http-api")), CATALOG[0])
    return {
        "id": given["id"],
        "slug": given["slug"],
        "name": given.get("name", given["slug"]),
        "metadata": kind,
        "workspaceId": workspace["id"],
        "enabled": given.get("enabled", True),
        "writeKeys": given.get("writeKeys", []),
        "settings": {},
        "labels": [],
    }


class Tracking:
    """The Tracking API: 200 for almost everything, and what it does not like is dropped."""

    name = "segment"

    def __init__(self, world: World) -> None:
        self.world = world
        self.memory = Memory()
        self.faults = Faults()

    def owns(self, host: str, path: str) -> bool:
        return host in TRACKING or (host not in PUBLIC and (path in TYPES or path in BATCHES))

    def fault(self, status: int, retry_after: float | None) -> Reply:
        wait = (("Retry-After", f"{retry_after:g}"), ("X-RateLimit-Reset", f"{retry_after:g}"))
        return Reply(status, "", wait if retry_after is not None else ())

    def answer(self, request: Request) -> Reply:
        if request.method != "POST" or not (request.path in TYPES or request.path in BATCHES):
            return Reply(404, "404 page not found\n")
        if len(request.body) > BATCH_BYTES:
            return Reply(400, "Bad Request")
        try:
            body = msgspec.json.decode(request.body)
        except (ValueError, RecursionError):
            return Reply(400, {"code": "bad_request", "message": "malformed JSON"})
        if not isinstance(body, dict):
            return Reply(400, {"code": "bad_request", "message": "expected an object"})
        key = _write_key(request, body)
        if len(key) < SHORTEST_KEY:
            return Reply(400, {"code": "invalid_request", "message": "no write key"})
        if request.path in TYPES:
            if len(request.body) > EVENT_BYTES:
                return Reply(400, {"code": "invalid_request", "message": "Exceed payload limit"})
            body.pop("writeKey", None)
            events: Any = [{**body, "type": TYPES[request.path]}]
        else:
            events = body.get("batch")
        self.memory.keep(request.host, self._sorted(request.host, key, body, events))
        return SUCCESS

    def _sorted(self, host: str, key: str, body: JSON, events: Any) -> Iterator[tuple[str, Any, str]]:
        """Each event as (messageId, event, why it is dropped)."""
        if not isinstance(events, list) or not events:
            yield "", body, "empty_batch"
            return
        whole = self._refused(host, key) or ("bad_request" if len(events) > BATCH_EVENTS else "")
        shared = {name: body[name] for name in ("context", "integrations") if isinstance(body.get(name), dict)}
        for event in events:
            if not isinstance(event, dict):
                yield "", event, "bad_request"
                continue
            if "batch" in body:
                for name, values in shared.items():
                    event[name] = {**values, **(event.get(name) or {})}
            yield str(event.get("messageId") or ""), event, whole or _discard(event)

    def _refused(self, host: str, key: str) -> str:
        source = self.world.sources.get(key)
        if source is None:
            return "unknown_source"
        if not source["enabled"]:
            return "source_disabled"
        return "wrong_region" if TRACKING.get(host, source["region"]) != source["region"] else ""


def _write_key(request: Request, body: JSON) -> str:
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(given).decode().partition(":")[0]
        except ValueError:
            return ""
    return str(body.get("writeKey") or "")


def _discard(event: JSON) -> str:
    """The reason code under which Segment discards the event; empty if it takes it."""
    kind = event.get("type")
    if kind not in TYPES.values() or len(str(event.get("messageId") or "")) > 100:
        return "bad_request"
    if not event.get("userId") and not event.get("anonymousId"):
        return "no_user_anon_id"
    if any(not isinstance(event.get(name) or "", str) for name in ("userId", "anonymousId", "groupId", "previousId")):
        return "id_not_string"
    if kind == "track" and not event.get("event"):
        return "event_not_defined"
    if kind == "track" and not isinstance(event["event"], str):
        return "event_not_string"
    if (kind == "group" and not event.get("groupId")) or (kind == "alias" and not event.get("previousId")):
        return "id_required"
    for name, wanted in (("properties", dict), ("traits", dict), ("name", str), ("category", str)):
        if not isinstance(event.get(name) or wanted(), wanted):
            return f"{name}_not_{'object' if wanted is dict else 'string'}"
    if len(msgspec.json.encode(event)) > EVENT_BYTES:
        return "bad_request"
    return ""


class PublicApi:
    """The Public API: the workspace of a token, its sources, and the catalog of sources."""

    name = "segment_public"

    def __init__(self, world: World) -> None:
        self.world = world
        self.memory = Memory()
        self.faults = Faults()

    def owns(self, host: str, path: str) -> bool:
        return host in PUBLIC or path == "/" or path.startswith(("/sources", "/catalog/sources"))

    def fault(self, status: int, retry_after: float | None) -> Reply:
        error: JSON = {"type": "RequestError", "message": "Something went wrong"}
        if status == 429:
            wait = int((retry_after or 1) * 1000)
            error["message"] = "Too many requests"
            error["data"] = {"remainingPoints": 0, "msBeforeNext": wait, "consumedPoints": 61}
        headers = (("Retry-After", f"{retry_after:g}"),) if retry_after is not None else ()
        return Reply(status, {"errors": [error]}, headers)

    def answer(self, request: Request) -> Reply:
        self.memory.keep(request.host, [("", {"method": request.method, "path": request.path}, "")])
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        workspace = self.world.workspaces.get(token)
        if workspace is None or PUBLIC.get(request.host, workspace["region"]) != workspace["region"]:
            return _refusal(401, "unauthorized", "The token is invalid, expired or not of this region.")
        if request.method != "GET":
            return _refusal(404, "not-found", "Not found")
        if request.path == "/":
            return Reply(200, {"data": {"workspace": {name: workspace[name] for name in ("id", "slug", "name")}}})
        for path, name, entries in (
            ("/sources", "source", workspace["sources"]),
            ("/catalog/sources", "sourceMetadata", CATALOG),
        ):
            if request.path == path:
                return _page("sources" if name == "source" else "sourcesCatalog", entries, request.query)
            if request.path.startswith(path + "/"):
                found = [entry for entry in entries if entry["id"] == request.path.removeprefix(path + "/")]
                return Reply(200, {"data": {name: found[0]}}) if found else _refusal(404, "not-found", "Not found")
        return _refusal(404, "not-found", "Not found")


def _refusal(status: int, kind: str, message: str, **more: str) -> Reply:
    return Reply(status, {"errors": [{"type": kind, "message": message, **more}]})


def _page(name: str, entries: Any, query: str) -> Reply:
    """One page of a list; cursors are base64 numbers, as Segment's samples show."""
    try:
        asked = _pagination(query)
        count = int(asked.get("count", 200))
        start = int(base64.b64decode(asked["cursor"])) if asked.get("cursor") else 0
    except (ValueError, AttributeError):
        return _refusal(422, "input-validation", '"pagination" is not usable', field="pagination")
    if not 1 <= count <= 1000:
        message = '"pagination.count" must be between 1 and 1000'
        return _refusal(422, "input-validation", message, field="pagination.count")
    pagination = {"current": _cursor(start), "totalEntries": len(entries)}
    if start + count < len(entries):
        pagination["next"] = _cursor(start + count)
    if start:
        pagination["previous"] = _cursor(max(0, start - count))
    return Reply(200, {"data": {name: list(entries[start : start + count]), "pagination": pagination}})


def _cursor(start: int) -> str:
    return base64.b64encode(str(start).encode()).decode()


def _pagination(query: str) -> JSON:
    """The three ways in which clients write it: pagination.count=, pagination[count]=, pagination={"count": …}."""
    asked: JSON = {}
    for name, values in parse_qs(query).items():
        if name == "pagination":
            asked |= json.loads(unquote(values[0]))
        elif name.startswith("pagination"):
            asked[name.removeprefix("pagination").strip(".[]")] = values[0]
    return asked
