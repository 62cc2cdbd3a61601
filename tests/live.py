"""What `make live` runs: the connectors against real accounts, named by the environment.

Everything sent is small and carries the label `switchyard-live-` with the moment of the run; what can be taken away
again is taken away, and what stays is told. A vendor whose keys are not set is passed over.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from connectors.client import AddressPolicy
from connectors.definitions import Result
from connectors.errors import SwitchyardError
from connectors.registry import get_destination

JSON = dict[str, Any]
PREFIX = "SWITCHYARD_LIVE_"


@dataclass(frozen=True)
class Account:
    """A real account: `settings` as the connector wants them, `more` what else the trial needs."""

    vendor: str
    settings: JSON
    more: dict[str, str]
    label: str
    policy: AddressPolicy

    def test(self) -> str:
        return get_destination(self.vendor).test(self.settings, policy=self.policy)

    def does(self, action: str, fields: JSON, *, times: int = 1, **settings: Any) -> list[Result]:
        """Runs an action for as many like events; the first error is raised."""
        events = [
            {"type": "track", "event": self.label, "userId": self.label, "messageId": f"{self.label}-{action}-{n}"}
            for n in range(times)
        ]
        results = get_destination(self.vendor).execute_batch(
            action, self.settings | settings, fields, events, policy=self.policy
        )
        for result in results:
            if result.error:
                raise result.error
        return results

    def client(self) -> Any:
        return closing(get_destination(self.vendor).client(self.settings, policy=self.policy))


def antavo(account: Account) -> Iterator[str]:
    yield account.test()
    member = {"customer": account.label}

    def event(action: str, data: JSON, **more: Any) -> list[Result]:
        return account.does("event", {**member, "action": action, "data": data}, **{"path": "native", **more})

    event("opt_in", {"first_name": "Switchyard", "last_name": "Live", "email": f"{account.label}@example.com"})
    try:
        yield f"The customer {account.label} joined."
        account.does("profile", {**member, "data": {"first_name": "Changed"}}, path="native")
        with account.client() as client:
            changed = client.customer(account.label).json["first_name"]
        yield f"A profile update arrived: the first name is {changed!r} now."
        results = event("point_add", {"points": 1}, times=2)
        yield f"{len(results)} loyalty events travelled in {_requests(results)} request, with an outcome for each."
        account.does("event", {**member, "action": "point_add", "data": {"points": 1}}, path="webhook")
        yield "The webhook took a loyalty event."
    finally:
        event("opt_out", {})
    yield f"The customer {account.label} has left again; the record stays until you remove it in the Management UI."


def qualtrics(account: Account) -> Iterator[str]:
    yield account.test()
    directory = account.more["DIRECTORY"]
    contact = {"directoryId": directory, "extRef": account.label, "firstName": "Switchyard", "lastName": "Live"}
    (added,) = account.does("addContactToXmd", contact)
    id = added.answer.json["result"]["id"]
    try:
        yield f"The contact {id} was created."
        told = {"transactionDate": datetime.now(UTC).isoformat(), "transactionData": {"label": account.label}}
        who = {"contactId": id, "extRef": account.label, "mailingListId": account.more["MAILING_LIST"]}
        account.does("upsertContactTransaction", {"directoryId": directory, **who, **told})
        yield "A transaction of that contact was stored."
        if url := account.more.get("WORKFLOW_URL"):
            account.does("triggerXflowWorkflow", {"workflowUrl": url, "eventPayload": {"label": account.label}})
            yield "The workflow was started."
    finally:
        with account.client() as client:
            client.delete(f"/API/v3/directories/{quote(directory, safe='')}/contacts/{quote(id, safe='')}")
    yield f"The contact {id} was deleted, and its transaction with it."


def segment(account: Account) -> Iterator[str]:
    if account.settings.get("token"):
        yield account.test()
    who = {"userId": account.label}
    account.does("identify", {**who, "traits": {"label": account.label}})
    account.does("track", {**who, "event": account.label, "properties": {}}, times=2)
    yield (
        "Segment answered 200 to an identify and two track events, as it does to everything: look in the source's "
        f"Debugger for {account.label}. Remove the user under Privacy, Deletion and Suppression."
    )


def webhook(account: Account) -> Iterator[str]:
    fields = {"url": account.more["URL"], "method": "POST", "data": {"label": account.label}}
    (result,) = account.does("send", fields)
    signed = "signed" if account.settings.get("sharedSecret") else "unsigned"
    yield f"{account.more['URL'].partition('?')[0]} answered {result.answer.status} to an event, {signed}."


def _requests(results: list[Result]) -> int:
    return sum(len(result.exchanges) for result in results)


@dataclass(frozen=True)
class Trial:
    """`settings` and `more` say which variable holds what; those in `optional` may be missing."""

    proves: Callable[[Account], Iterator[str]]
    settings: Mapping[str, str]
    more: tuple[str, ...] = ()
    optional: frozenset[str] = frozenset()

    @property
    def vendor(self) -> str:
        return self.proves.__name__

    def variable(self, name: str) -> str:
        return f"{PREFIX}{self.vendor.upper()}_{name}"

    @property
    def names(self) -> tuple[str, ...]:
        return (*self.settings.values(), *self.more)

    def missing(self, environment: Mapping[str, str]) -> list[str]:
        needed = (name for name in self.names if name not in self.optional)
        return [self.variable(name) for name in needed if not environment.get(self.variable(name))]

    def account(self, environment: Mapping[str, str], label: str, policy: AddressPolicy) -> Account:
        def given(name: str) -> str:
            return environment.get(self.variable(name), "")

        settings = {setting: given(name) for setting, name in self.settings.items() if given(name)}
        return Account(self.vendor, settings, {name: given(name) for name in self.more}, label, policy)


TRIALS = (
    Trial(
        antavo,
        {"stack": "STACK", "api_key": "API_KEY", "api_secret": "API_SECRET"},
        optional=frozenset({"API_SECRET"}),
    ),
    Trial(
        qualtrics,
        {"apiToken": "API_TOKEN", "datacenter": "DATACENTER"},
        more=("DIRECTORY", "MAILING_LIST", "WORKFLOW_URL"),
        optional=frozenset({"WORKFLOW_URL"}),
    ),
    Trial(
        segment,
        {"source_write_key": "WRITE_KEY", "region": "REGION", "token": "TOKEN"},
        optional=frozenset({"REGION", "TOKEN"}),
    ),
    Trial(webhook, {"sharedSecret": "SECRET"}, more=("URL",), optional=frozenset({"SECRET"})),
)


def run(
    environment: Mapping[str, str], say: Callable[[str], None], policy: AddressPolicy, now: datetime | None = None
) -> int:
    """Try what there are keys for, and say what was proved; returns how many vendors failed."""
    now = now or datetime.now(UTC)
    label = f"switchyard-live-{now:%Y%m%d-%H%M%S}"
    failed = tried = 0
    for trial in TRIALS:
        name = get_destination(trial.vendor).name
        if missing := trial.missing(environment):
            say(f"{name}: not tried. It needs {', '.join(missing)}.")
            continue
        tried += 1
        say(f"{name}, {now:%Y-%m-%d %H:%M} UTC:")
        try:
            for sentence in trial.proves(trial.account(environment, label, policy)):
                say(f"  proved: {sentence}")
        except SwitchyardError as error:
            failed += 1
            say(f"  failed: {error}")
    if not tried:
        say("No keys, so nothing was sent to anybody.")
    return failed


if __name__ == "__main__":
    sys.exit(min(1, run(os.environ, print, AddressPolicy())))
