"""Any HTTPS URL, in the form of Segment's own webhooks: https://segment.com/docs/connections/destinations/catalog/actions-webhook/

Knowingly other than Segment's: a batch is signed as a whole (Segment signs its first element only, so that the others
could be forged), redirects are not followed, and a single event carries its idempotency key in a header.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from requests.structures import CaseInsensitiveDict

from connectors.client import Answer, Client
from connectors.definitions import ActionDefinition, Batch, Call, Choice, DestinationDefinition, InputField
from connectors.errors import Fault, PayloadError
from connectors.signatures import sign_segment

JSON = dict[str, Any]

TOGETHER = ("url", "method", "headers")


class WebhookClient(Client):
    def send(self, payload: JSON, call: Call) -> Answer:
        return self._signed(payload, payload.get("data"), {"Idempotency-Key": call.key})

    def send_batch(self, payloads: Sequence[JSON], calls: Sequence[Call]) -> list[Answer]:
        """One list for all; URL, method and headers are those of the first, for they are all alike."""
        return [self._signed(payloads[0], [payload.get("data") for payload in payloads], {})] * len(payloads)

    def _signed(self, payload: JSON, data: Any, extra: dict[str, str]) -> Answer:
        """The bytes that are signed are the bytes that are sent; no data, no body and nothing to sign."""
        headers = CaseInsensitiveDict(extra)
        body = None
        if data is not None:
            body = msgspec.json.encode(data)
            headers["Content-Type"] = "application/json"
        headers.update((name, _text(value)) for name, value in (payload.get("headers") or {}).items())
        secret = self.settings.get("sharedSecret")
        if body and secret:
            headers["X-Signature"] = sign_segment(body, secret.encode())
        return self.request(payload["method"], payload["url"], data=body, headers=headers)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def check(payload: JSON) -> None:
    """A header that cannot be sent is the mapping's fault, and told before anything is sent."""
    faults = [
        Fault(f"/headers/{name}", f"The header {name} may only have visible ASCII characters.")
        for name, value in (payload.get("headers") or {}).items()
        if not (name + _text(value)).isascii() or not (name + _text(value)).isprintable()
    ]
    if faults:
        raise PayloadError(faults)


destination = DestinationDefinition(
    slug="webhook",
    name="Webhook",
    description="Sends events to any HTTPS address, as Segment's webhooks do.",
    client=WebhookClient,
    account=(
        InputField(
            "sharedSecret",
            "Shared secret",
            secret=True,
            help="If set, each request has a header X-Signature: the HMAC-SHA1 of its body with this secret, in hex.",
        ),
    ),
    actions=(
        ActionDefinition(
            "send",
            "Send",
            description="Send the event, or what you make of it, as JSON.",
            fields=(
                InputField("url", "URL", required=True, format="uri", help="Where to send it; https:// only."),
                InputField(
                    "method",
                    "Method",
                    required=True,
                    default="POST",
                    choices=(Choice("POST", "POST"), Choice("PUT", "PUT"), Choice("PATCH", "PATCH")),
                ),
                InputField(
                    "batch_size",
                    "Batch Size",
                    type="number",
                    default=0,
                    help="How many events may travel in one request, as a JSON list; 0 sends each alone.",
                ),
                InputField("headers", "Headers", type="object", object_ui="keyvalue:only", help="Headers to add."),
                InputField(
                    "data", "Data", type="object", default={"@path": "$."}, help="The body; the whole event at first."
                ),
                InputField("batch_keys", "Batch Keys", multiple=True, hidden=True, default=list(TOGETHER)),
            ),
            perform=WebhookClient.send,
            perform_batch=WebhookClient.send_batch,
            batch=Batch(items=1000, bytes=1_000_000, by=TOGETHER, size="batch_size"),
            check=check,
        ),
    ),
)
