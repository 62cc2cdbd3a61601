"""Twilio Segment: https://segment.com/docs/connections/sources/catalog/libraries/server/http-api/ and, for what a token
may read, the Public API: https://docs.segmentapis.com"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

import msgspec

from connectors.client import Answer, Client
from connectors.definitions import (
    ActionDefinition,
    Batch,
    Call,
    Choice,
    DestinationDefinition,
    InputField,
    SourceDefinition,
)
from connectors.errors import Blocked, Fault, PayloadError

JSON = dict[str, Any]

# https://segment.com/docs/guides/regional-segment/
TRACKING = {"oregon": "https://api.segment.io", "dublin": "https://events.eu1.segmentapis.com"}
PUBLIC_API = {"oregon": "https://api.segmentapis.com", "dublin": "https://eu1.api.segmentapis.com"}

EVENT_BYTES = 32 * 1024
MESSAGE_ID_LENGTH = 100
PAGE = 200


class SegmentClient(Client):
    """The Tracking API, which answers 200 to almost anything and drops what it does not like, hence the checks."""

    def batch(self, items: Sequence[JSON]) -> Answer:
        return self.post(
            _host(TRACKING, self.settings) + "/v1/batch",
            json={"batch": items, "sentAt": datetime.now(UTC).isoformat(timespec="milliseconds")},
            auth=(self.settings.get("source_write_key", ""), ""),
        )


class PublicClient(Client):
    """The Public API's reading side; `token` in the settings belongs to one workspace."""

    answer_cap = 4 * 1024 * 1024

    def get_workspace(self) -> JSON:
        """`{id, slug, name}` of the token's workspace."""
        workspace: JSON = self._read("/")["workspace"]
        return workspace

    def list_sources(self) -> Iterator[JSON]:
        """Every source of the workspace; `writeKeys` is empty if the token may not see them."""
        return self._pages("/sources", "sources")

    def list_source_catalog(self) -> Iterator[JSON]:
        """Every kind of source that Segment offers."""
        return self._pages("/catalog/sources", "sourcesCatalog")

    def list_subscriptions(self, destination: str) -> Iterator[JSON]:
        """The mappings of a destination there: `{id, name, actionSlug, enabled, trigger, settings, …}`."""
        path = f"/destinations/{quote(destination, safe='')}/subscriptions"
        return self._pages(path, "subscriptions", version="v1alpha")

    def _pages(self, path: str, key: str, version: str = "v1") -> Iterator[JSON]:
        cursor = ""
        while True:
            page = {"pagination.count": PAGE} | ({"pagination.cursor": cursor} if cursor else {})
            data = self._read(f"{path}?{urlencode(page)}", version)
            yield from data[key]
            cursor = (data.get("pagination") or {}).get("next") or ""
            if not cursor:
                return

    def _read(self, path: str, version: str = "v1") -> JSON:
        answer = self.get(
            _host(PUBLIC_API, self.settings) + path,
            auth=str(self.settings["token"]),
            headers={"Accept": f"application/vnd.segment.{version}+json"},
        )
        if not isinstance(answer.json, dict) or not isinstance(answer.json.get("data"), dict):
            raise Blocked(f"{answer.request} answered {answer.status}, but not in the form of Segment's Public API.")
        data: JSON = answer.json["data"]
        return data


def _host(hosts: dict[str, str], settings: JSON) -> str:
    region = settings.get("region") or "oregon"
    if region not in hosts:
        raise Blocked(f"{region!r} is no region of Segment; choose one of {', '.join(hosts)} in the account.")
    return hosts[region]


def test_connection(client: SegmentClient) -> str:
    """What a token shows of workspace and write key; a write key alone cannot be verified, so nothing is sent."""
    if not client.settings.get("token"):
        return (
            "Without a Public API token nothing can be verified: Segment answers 200 to any write key, known or not, "
            "and drops the events of an unknown one. Look for arriving events in the source's Debugger in Segment."
        )
    with PublicClient(client.settings, policy=client.policy, deadline=client.deadline) as public:
        name = public.get_workspace()["name"]
        write_key = client.settings.get("source_write_key")
        if not write_key:
            return f"The token opens the workspace {name}."
        for found in public.list_sources():
            if write_key in found.get("writeKeys", ()):
                return f"The token opens the workspace {name}; the write key is that of its source {found['slug']}."
    return (
        f"The token opens the workspace {name}, but none of its sources shows this write key: it belongs to another "
        "workspace or region, or the token may not see write keys (it needs the role Source Admin)."
    )


def _item(kind: str, payload: JSON, call: Call) -> JSON:
    """The event as Segment wants it; its messageId is the same on every attempt, so that a repeated one is dropped."""
    key = call.key if len(call.key) <= MESSAGE_ID_LENGTH else hashlib.sha256(call.key.encode()).hexdigest()
    return {"type": kind, "messageId": key, **payload}


def _discards(kind: str, payload: JSON) -> Iterator[tuple[str, bool, str]]:
    """Why Segment would discard the event: https://segment.com/docs/connections/delivery-overview/ (its reasons)."""
    size = len(msgspec.json.encode({"type": kind, "messageId": "-" * MESSAGE_ID_LENGTH, **payload}))
    nobody = not payload.get("userId") and not payload.get("anonymousId")
    yield "", size > EVENT_BYTES, f"Segment discards events over 32 KB; this one has {size:,} bytes."
    yield "/userId", nobody, "Segment discards events with neither a User ID nor an Anonymous ID."
    yield (
        "/messageId",
        len(payload.get("messageId", "")) > MESSAGE_ID_LENGTH,
        "Message ID may have 100 characters at most.",
    )
    if kind == "track":
        yield "/event", not payload.get("event"), "Segment discards track events without an Event name."
    if kind == "group":
        yield "/groupId", not payload.get("groupId"), "Segment discards group events without a Group ID."
    if kind == "alias":
        yield "/previousId", not payload.get("previousId"), "Segment discards alias events without a Previous ID."


def _action(kind: str, name: str, description: str, *fields: InputField, update: bool = False) -> ActionDefinition:
    """The six actions differ in their fields only; all travel through /v1/batch, together where there are several."""

    def check(payload: JSON) -> None:
        faults = [Fault(path, message) for path, wrong, message in _discards(kind, payload) if wrong]
        if faults:
            raise PayloadError(faults)

    def perform(client: SegmentClient, payload: JSON, call: Call) -> Answer:
        return client.batch([_item(kind, payload, call)])

    def perform_batch(client: SegmentClient, payloads: Sequence[JSON], calls: Sequence[Call]) -> list[Answer]:
        items = [_item(kind, payload, call) for payload, call in zip(payloads, calls, strict=True)]
        return [client.batch(items)] * len(items)

    return ActionDefinition(
        kind,
        name,
        description=description,
        trigger=f'type = "{kind}"',
        fields=(*fields, *COMMON),
        perform=perform,
        perform_batch=perform_batch,
        batch=Batch(items=100, bytes=475_000, part="batch"),
        update=update,
        check=check,
    )


def _from_event(name: str, label: str, help: str, **more: Any) -> InputField:
    return InputField(name, label, default={"@path": f"$.{name}"}, help=help, **more)


USER_ID = _from_event("userId", "User ID", "Who it is, in your own database. This or the Anonymous ID is needed.")
ANONYMOUS_ID = _from_event("anonymousId", "Anonymous ID", "Who it is, as long as nobody knows them by a User ID.")
NAME = _from_event("name", "Name", "The name of the page or screen.")
CATEGORY = _from_event("category", "Category", "The category of the page or screen.")
PROPERTIES = _from_event("properties", "Properties", "Everything else there is to know about it.", type="object")
TRAITS = _from_event("traits", "Traits", "What is known about them, such as email or plan.", type="object")
COMMON = (
    _from_event("timestamp", "Timestamp", "When it happened; without it, when Segment receives it.", type="datetime"),
    _from_event("context", "Context", "Around the event: device, page, campaign, consent.", type="object"),
    _from_event(
        "integrations",
        "Integrations",
        "Which of Segment's destinations may have it. Naming one false here is how loops are stopped.",
        type="object",
    ),
    InputField(
        "messageId",
        "Message ID",
        help="Leave empty: made from the event and this mapping, the same on every attempt. Segment drops a second "
        "event with the same Message ID, even one that comes from another source.",
    ),
)
EVENT = _from_event("event", "Event name", "What was done, such as Order Completed.", required=True)
GROUP_ID = _from_event("groupId", "Group ID", "The company or group they belong to.", required=True)
PREVIOUS_ID = _from_event("previousId", "Previous ID", "The id they were known by until now.", required=True)
WHO = (USER_ID, ANONYMOUS_ID)

destination = DestinationDefinition(
    slug="segment",
    name="Twilio Segment",
    description="Sends events to a source in Segment, as Segment's own libraries do.",
    client=SegmentClient,
    account=(
        InputField(
            "region",
            "Region",
            required=True,
            default="oregon",
            choices=(Choice("oregon", "Oregon (US)"), Choice("dublin", "Dublin (EU)")),
            help="Where the workspace was created. Segment drops events that are sent to the other region.",
        ),
        InputField(
            "token",
            "Public API token",
            secret=True,
            help="Lists the workspace's sources. Create it in Segment under Settings, Workspace settings, Access "
            "Management, Tokens. Not needed to send events to a source whose write key you have.",
        ),
    ),
    sends_to_source=True,
    test_connection=test_connection,
    actions=(
        _action("identify", "Identify", "Tell who a user is.", *WHO, TRAITS, update=True),
        _action("track", "Track", "Tell what a user did.", EVENT, *WHO, PROPERTIES),
        _action("page", "Page", "Tell which page a user saw.", *WHO, NAME, CATEGORY, PROPERTIES),
        _action("screen", "Screen", "Tell which screen of an app a user saw.", *WHO, NAME, CATEGORY, PROPERTIES),
        _action("group", "Group", "Tell which group a user belongs to.", GROUP_ID, *WHO, TRAITS, update=True),
        _action("alias", "Alias", "Tell that two ids are one user.", PREVIOUS_ID, USER_ID),
    ),
)

source = SourceDefinition(
    slug="segment",
    name="Twilio Segment",
    description="A source in Segment: it sends to us through a Webhooks destination connected to it.",
)
