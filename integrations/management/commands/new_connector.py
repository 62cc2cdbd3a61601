"""Starts a connector: one file for the vendor and one for its test, working from the first minute, to be made true."""

from __future__ import annotations

import re
from pathlib import Path
from string import Template
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

SLUG = re.compile(r"[a-z][a-z0-9_]*")

CONNECTOR = Template('''"""$name: https://docs.$host.example/api"""

from __future__ import annotations

from typing import Any

from connectors.client import Answer, Client
from connectors.definitions import ActionDefinition, Call, DestinationDefinition, InputField

JSON = dict[str, Any]


class ${prefix}Client(Client):
    base_url = "https://api.$host.example/v1"

    def create_event(self, payload: JSON, call: Call) -> Answer:
        return self.post(
            "/events", json=payload, auth=self.settings.get("token", ""), headers={"Idempotency-Key": call.key}
        )

    def me(self) -> Answer:
        return self.get("/me", auth=self.settings.get("token", ""))


def test_connection(client: ${prefix}Client) -> str:
    client.me()
    return "$name takes the token."


destination = DestinationDefinition(
    slug="$slug",
    name="$name",
    description="Sends events to $name.",
    client=${prefix}Client,
    account=(
        InputField(
            "token",
            "API token",
            required=True,
            secret=True,
            help="From the settings of your account there.",
        ),
    ),
    test_connection=test_connection,
    actions=(
        ActionDefinition(
            "create_event",
            "Create event",
            description="Tell $name what a customer did.",
            trigger='type = "track"',
            fields=(
                InputField("customer", "Customer", required=True, default={"@path": "$$.userId"}, help="Who did it."),
                InputField("name", "Name", required=True, default={"@path": "$$.event"}, help="What they did."),
                InputField(
                    "properties",
                    "Properties",
                    type="object",
                    default={"@path": "$$.properties"},
                    help="What else there is to know about it.",
                ),
            ),
            perform=${prefix}Client.create_event,
        ),
    ),
)
''')

TEST = Template('''"""$name gets what customers did, with the token of the account."""

import json

import pytest
import responses

from connectors.errors import CredentialsRefused
from connectors.registry import get_destination

API = "https://api.$host.example/v1"
VENDOR = get_destination("$slug")
SETTINGS = {"token": "s3cret"}
ORDER = {"type": "track", "event": "Order Completed", "userId": "u1", "messageId": "m1", "properties": {"total": 12}}


@responses.activate
def test_an_order_arrives_as_an_event() -> None:
    responses.post(f"{API}/events", status=201)

    result = VENDOR.execute("create_event", SETTINGS, VENDOR.action("create_event").default_mapping, ORDER)

    (call,) = responses.calls
    assert json.loads(call.request.body) == {
        "customer": "u1",
        "name": "Order Completed",
        "properties": {"total": 12},
    }
    assert call.request.headers["Authorization"] == "Bearer s3cret"
    assert call.request.headers["Idempotency-Key"] == "m1"
    assert result.answer.status == 201


@responses.activate
def test_a_refused_token_fails_the_connection_test() -> None:
    responses.get(f"{API}/me", status=401, json={"error": "unknown token"})

    with pytest.raises(CredentialsRefused, match="answered 401: unknown token"):
        VENDOR.test(SETTINGS)
''')


class Command(BaseCommand):
    help = "Start a connector for a vendor: its file and its test. See docs/add-a-connector.md."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug", help="what the vendor is called in code: lower case letters, digits and _")
        parser.add_argument("--name", help="what people call it; from the slug if left out")
        parser.add_argument("--into", type=Path, default=settings.BASE_DIR, help="the project's folder")

    def handle(self, *args: Any, **options: Any) -> None:
        slug, into = options["slug"], options["into"]
        name = options["name"] or slug.replace("_", " ").title()
        if not SLUG.fullmatch(slug):
            raise CommandError(f"{slug!r} is no slug: lower case letters, digits and _, starting with a letter.")
        if not re.fullmatch(r"[^\\\"'\n{}$]{1,50}", name):
            raise CommandError(f"{name!r} cannot stand in code: leave out quotes, backslashes, braces and $.")
        words = {
            "slug": slug,
            "name": name,
            "host": slug.replace("_", "-"),
            "prefix": "".join(word.title() for word in slug.split("_")),
        }
        files = {
            into / "connectors" / "catalog" / f"{slug}.py": CONNECTOR.substitute(words),
            into / "tests" / "connectors" / f"test_{slug}.py": TEST.substitute(words),
        }
        if there := [path for path in files if path.exists()]:
            raise CommandError(f"{there[0].relative_to(into)} exists already; nothing was written.")
        for path, text in files.items():
            path.write_text(text)
            self.stdout.write(f"Wrote {path.relative_to(into)}")
        self.stdout.write("It works as it is, against a vendor that does not exist. docs/add-a-connector.md goes on.")
