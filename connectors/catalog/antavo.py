"""Antavo Loyalty Cloud, as Segment's own destination speaks to it: https://segment.com/docs/connections/destinations/catalog/actions-antavo/"""

from __future__ import annotations

from typing import Any

from connectors.client import Answer, Client
from connectors.definitions import ActionDefinition, Call, DestinationDefinition, InputField, SourceDefinition

JSON = dict[str, Any]


class AntavoClient(Client):
    base_url = "https://api.{stack}.antavo.com"

    def event(self, payload: JSON, call: Call) -> Answer:
        return self._webhook(payload)

    def profile(self, payload: JSON, call: Call) -> Answer:
        return self._webhook({**payload, "action": "profile"})

    def _webhook(self, body: JSON) -> Answer:
        """Antavo wants its key in the body, and no header for it."""
        return self.post("/v1/webhook/segment", json={**body, "api_key": self.settings.get("api_key", "")})


CUSTOMER = InputField(
    "customer",
    "Customer ID",
    required=True,
    default={"@path": "$.userId"},
    help="The customer's id in Antavo, or the external id that Antavo's customer ID mapping names.",
)
ACCOUNT_HELP = "The loyalty account to book on; needed only where Antavo's multi-accounts module is on."

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
            help="The name in your Antavo API address: st1 for https://api.st1.antavo.com.",
        ),
        InputField(
            "api_key",
            "API key",
            required=True,
            secret=True,
            help="From the API settings of your Antavo Management UI. Antavo has no way to check it without an event.",
        ),
    ),
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
                InputField("account", "Account", help=ACCOUNT_HELP),
                InputField("data", "Event data", type="object", help="What Antavo needs to know about the event."),
            ),
            perform=AntavoClient.event,
        ),
        ActionDefinition(
            "profile",
            "Profile updates",
            description="Keep the customer's profile in Antavo up to date.",
            trigger='type = "identify"',
            fields=(
                CUSTOMER,
                InputField("account", "Account", default="", help=ACCOUNT_HELP),
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
            perform=AntavoClient.profile,
            update=True,
        ),
    ),
)

source = SourceDefinition(
    slug="antavo",
    name="Antavo",
    description="Antavo's own Segment module, with this source's write key, sends loyalty events and profile changes.",
)
