"""What a vendor is, as data: its accounts, its actions and their fields, and the functions that do them.

A definition is a kind (`DestinationDefinition`); the bare noun (a Destination row) is the configured thing. Everything
here is frozen and runs without Django, so that forms, previews, deliveries and tests all read the same declaration.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from connectors import fields as field_engine
from connectors import mapping as mapping_engine
from connectors.errors import Broken, Fault, SwitchyardError

if TYPE_CHECKING:
    from connectors.client import AddressPolicy, Client, Exchange

JSON = dict[str, Any]
T = TypeVar("T")

NO_SETTINGS: JSON = {}


class _Unset:
    def __repr__(self) -> str:
        return "UNSET"


UNSET: Any = _Unset()
"""A field without a default, as opposed to one whose default is null."""


@dataclass(frozen=True, slots=True)
class Limit:
    """A rate limit of the vendor's, counted by account: `per_minute` requests of the actions in `costs`.

    `costs` says how many requests one send of an action makes; without it every action costs one.
    """

    slug: str
    label: str
    per_minute: int
    costs: Mapping[str, int] = field(default_factory=dict)

    def cost(self, action: str) -> int:
        return self.costs.get(action, 0) if self.costs else 1


@dataclass(frozen=True, slots=True)
class Choice:
    """One thing to choose; `note` is a sentence on what it means to choose it, a warning where `warns`."""

    value: str
    label: str
    note: str = ""
    warns: bool = False


@dataclass(frozen=True, slots=True)
class InputField:
    """One box to fill in: an account setting, a destination setting or a field of an action.

    `type` is one of string, text, number, integer, boolean, datetime, object. `default` is what a new mapping starts
    with (a directive such as `{"@path": "$.userId"}` or a plain value); it is never applied when an event is delivered.
    `offer` is the same for a field that starts empty, because filling it in should be a decision: one click away.
    `required` is True or a condition `{"match": "all"|"any", "conditions": [{"fieldKey", "operator", "value"}]}`;
    `required_by` names a setting that, when on, makes a field of an action required. `pattern` is what all of a
    setting's text has to match to be saved; the help says what that is.
    `secret` is all it takes to be encrypted, masked in forms and scrubbed from logs.
    """

    name: str
    label: str
    type: str = "string"
    required: bool | Mapping[str, Any] = False
    required_by: str = ""
    default: Any = UNSET
    offer: Any = UNSET
    help: str = ""
    secret: bool = False
    multiple: bool = False
    allow_null: bool = False
    choices: tuple[Choice, ...] = ()
    format: str = ""
    pattern: str = ""
    minimum: float | None = None
    maximum: float | None = None
    properties: tuple[InputField, ...] = ()
    additional_properties: bool = False
    object_ui: str = ""
    dynamic: bool = False
    hidden: bool = False


@dataclass(frozen=True, slots=True)
class Batch:
    """What may travel in one request: at most `items` payloads and `bytes` of JSON, all equal in the fields `by`.

    `part` is the dotted path of the list (or keyed object) inside the request body that holds one entry per payload,
    in order; the log uses it to show each event its own part. Empty: the body itself is the list. `size` names the
    field in which a mapping asks for fewer items than `items`; less than two there means one at a time. `where` are the
    settings under which there are batches at all.
    """

    items: int
    bytes: int
    by: tuple[str, ...] = ()
    part: str = ""
    size: str = ""
    where: Mapping[str, Any] = field(default_factory=dict)

    def split(self, payloads: Sequence[JSON]) -> list[list[int]]:
        """Which payloads travel together, as lists of their indexes, each list in order and for one request."""
        groups: list[list[int]] = []
        filling: dict[bytes, tuple[list[int], int]] = {}
        for i, payload in enumerate(payloads):
            try:
                room = len(msgspec.json.encode(payload)) + 1
            except (TypeError, ValueError, RecursionError):  # cannot be sent: it must not take others along
                groups.append([i])
                continue
            alike = msgspec.json.encode([payload.get(name) for name in (*self.by, self.size)])
            items = min(self.items, payload.get(self.size) or 0) if self.size else self.items
            group, used = filling.get(alike, ([], self.bytes))
            if len(group) >= items or used + room > self.bytes:
                group, used = [], 0
                groups.append(group)
            group.append(i)
            filling[alike] = (group, used + room)
        return groups


@dataclass(slots=True)
class Call:
    """One delivery as `perform` sees it.

    `key` is the idempotency key, the same on every attempt; `memo` a small JSON object kept between attempts (write
    into it what must not be done twice); `event` the event as received.
    """

    key: str
    memo: JSON = field(default_factory=dict)
    event: JSON = field(default_factory=dict)


Perform = Callable[[Any, JSON, Call], Any]
PerformBatch = Callable[[Any, Sequence[JSON], Sequence[Call]], Sequence[Any]]


@dataclass(frozen=True)
class ActionDefinition:
    """One thing a destination can do.

    `perform(client, payload, call)` returns the vendor's answer or raises a DeliveryError.
    `perform_batch(client, payloads, calls)` returns one answer or DeliveryError per payload, in order; what it raises
    counts for all. `update` marks actions that overwrite a customer's state, where the latest must win.
    `shape(fields, settings, event)` returns the resolved fields as the settings want them, before they are cleaned: for
    what the account, and not the mapping, decides. `check(payload)` raises PayloadError for what the vendor would
    swallow without a word; it runs before anything is sent or put into a batch. `warn(payload)` tells, for previews,
    what will be sent but hardly does what is wanted; the payload may be part of one, such as what a mapping fixes.
    `context_traits`: what `context.traits` of a track, page or screen event holds counts as traits of its own.
    """

    slug: str
    name: str
    fields: tuple[InputField, ...]
    perform: Perform
    trigger: str = ""
    description: str = ""
    perform_batch: PerformBatch | None = None
    batch: Batch | None = None
    update: bool = False
    shape: Callable[[JSON, JSON, JSON], JSON] | None = None
    check: Callable[[JSON], None] | None = None
    warn: Callable[[JSON], Sequence[Fault]] | None = None
    context_traits: bool = False

    @cached_property
    def default_mapping(self) -> JSON:
        return {f.name: f.default for f in self.fields if f.default is not UNSET}

    def fields_under(self, settings: Mapping[str, Any]) -> tuple[InputField, ...]:
        """The fields, with those required that these settings make so."""
        asked = frozenset(name for name in self._switches if settings.get(name))
        if asked not in self._fields_under:
            self._fields_under[asked] = tuple(
                replace(f, required=True) if f.required_by in asked else f for f in self.fields
            )
        return self._fields_under[asked]

    @cached_property
    def _switches(self) -> frozenset[str]:
        return frozenset(f.required_by for f in self.fields if f.required_by)

    @cached_property
    def _fields_under(self) -> dict[frozenset[str], tuple[InputField, ...]]:
        return {frozenset(): self.fields}


@dataclass(frozen=True, slots=True)
class Result:
    """What one `execute` came to: an answer or an error, the payload if it got that far, and the HTTP it took."""

    answer: Any = None
    error: SwitchyardError | None = None
    payload: JSON | None = None
    exchanges: tuple[Exchange, ...] = ()


@dataclass(frozen=True, slots=True)
class Creation:
    """What a person may make at the vendor in order to choose it: `noun` names it.

    `within` is the field that says where it is made; `perform(client, where, name)` returns the value to choose.
    """

    noun: str
    within: str
    perform: Callable[[Any, str, str], str]


@dataclass(frozen=True)
class DestinationDefinition:
    """A vendor that can receive.

    `account` are the settings asked once per account, `settings` the destination's own; the client gets both, merged.
    `sends_to_source` marks the connector whose destinations send to a configured Source, whose write key and region
    are merged into the settings as `source_write_key` and `region`. `test` is a method of the client that returns a
    sentence telling what was found, or raises a DeliveryError; `dynamic_choices` maps a dynamic field to a client
    method returning Choices, `creations` one to what can be made for it.
    """

    slug: str
    name: str
    client: type[Client]
    actions: tuple[ActionDefinition, ...]
    account: tuple[InputField, ...] = ()
    settings: tuple[InputField, ...] = ()
    description: str = ""
    sends_to_source: bool = False
    concurrency: int = 4
    limits: tuple[Limit, ...] = ()
    test_connection: Callable[[Any], str] | None = None
    dynamic_choices: Mapping[str, Callable[[Any], Sequence[Choice]]] = field(default_factory=dict)
    creations: Mapping[str, Creation] = field(default_factory=dict)

    def action(self, slug: str) -> ActionDefinition:
        """The action of that slug; KeyError if there is none."""
        for action in self.actions:
            if action.slug == slug:
                return action
        raise KeyError(f"{self.slug} has no action {slug!r}")

    @property
    def secrets(self) -> frozenset[str]:
        """Names of the settings whose values must never be shown or logged."""
        return frozenset(f.name for f in (*self.account, *self.settings) if f.secret) | {"source_write_key"}

    def test(self, settings: JSON, *, policy: AddressPolicy | None = None) -> str:
        """What "test connection" found, in words; raises a DeliveryError where it failed."""
        if self.test_connection is None:
            return "This vendor offers no way to check an account; the first delivery will tell."
        with self.client(settings, policy=policy) as client:
            return self.test_connection(client)

    def choices(self, name: str, settings: JSON, *, policy: AddressPolicy | None = None) -> Sequence[Choice]:
        """What a dynamic field offers, asked from the vendor; empty for a field that is not dynamic.

        Where it depends on other fields, their values stand among the settings. Raises a DeliveryError.
        """
        ask = self.dynamic_choices.get(name)
        if ask is None:
            return ()
        with self.client(settings, policy=policy) as client:
            return _contained(f"Listing what {name} offers", lambda: ask(client))

    def create(self, name: str, settings: JSON, where: str, called: str, *, policy: AddressPolicy | None = None) -> str:
        """Make at the vendor what this field can name, and return its value. Raises a DeliveryError."""
        creation = self.creations[name]
        with self.client(settings, policy=policy) as client:
            return _contained(f"Creating a {creation.noun}", lambda: creation.perform(client, where, called))

    def execute(
        self, action: str, settings: JSON, mapping: JSON, event: JSON, *, policy: AddressPolicy | None = None
    ) -> Result:
        """Resolve, clean, perform: one event through one action, without the pipeline around it. Never raises."""
        return self.execute_batch(action, settings, mapping, [event], policy=policy)[0]

    def execute_batch(
        self,
        action: str,
        settings: JSON,
        mapping: JSON,
        events: Sequence[JSON],
        *,
        policy: AddressPolicy | None = None,
    ) -> list[Result]:
        """The same for many events, sharing requests where the action can; results in the order of the events.

        The exchanges of a shared request stand with the first of its events.
        """
        declared = self.action(action)
        results: list[Result] = [Result()] * len(events)
        ready: list[tuple[int, JSON, Call]] = []
        for i, event in enumerate(events):
            try:
                payload = prepare(declared, mapping_engine.compile(mapping), event, settings=settings)
            except SwitchyardError as error:
                results[i] = Result(error=error)
            else:
                ready.append((i, payload, Call(key=idempotency_key(event, i), event=event)))
        with self.client(settings, policy=policy) as client:
            for group in together(declared, [payload for _, payload, _ in ready], settings):
                members = [ready[n] for n in group]
                outcomes = perform(declared, client, [p for _, p, _ in members], [c for _, _, c in members])
                for (i, payload, _), outcome in zip(members, outcomes, strict=True):
                    results[i] = _result(outcome, payload, client.take_exchanges())
        return results


def _contained(doing: str, ask: Callable[[], T]) -> T:
    """What was asked; a connector's own exception becomes Broken, which is told like any other error."""
    try:
        return ask()
    except SwitchyardError:
        raise
    except Exception as error:
        raise Broken(f"{doing} raised {type(error).__name__}: {error}") from error


def idempotency_key(event: Any, index: int) -> str:
    """A key for an event that runs without the pipeline: its messageId, or its place where it has none."""
    message_id = event.get("messageId") if isinstance(event, dict) else None
    return str(message_id or index)


def together(action: ActionDefinition, payloads: Sequence[JSON], settings: JSON = NO_SETTINGS) -> list[list[int]]:
    """Which payloads go into one request, as lists of their indexes; each alone where the action has no batches."""
    batch = action.batch
    if batch is None or action.perform_batch is None or not batch.where.items() <= settings.items():
        return [[i] for i in range(len(payloads))]
    return batch.split(payloads)


def perform(action: ActionDefinition, client: Client, payloads: Sequence[JSON], calls: Sequence[Call]) -> Sequence[Any]:
    """One answer or error per payload of a group, in order: a group of one is performed alone."""
    if len(payloads) == 1:
        return [perform_one(action, client, payloads[0], calls[0])]
    return perform_together(action, client, payloads, calls)


def _result(outcome: Any, payload: JSON, exchanges: tuple[Exchange, ...]) -> Result:
    if isinstance(outcome, SwitchyardError):
        return Result(error=outcome, payload=payload, exchanges=exchanges)
    return Result(answer=outcome, payload=payload, exchanges=exchanges)


def prepare(
    action: ActionDefinition,
    mapping: mapping_engine.Mapping,
    event: JSON,
    context: Any = None,
    settings: JSON = NO_SETTINGS,
) -> JSON:
    """The payload of one event: mapping resolved, fields cleaned and checked. Raises MappingError or PayloadError."""
    if action.context_traits:
        event = _with_context_traits(event)
    fields = mapping.resolve(event, context)
    if action.shape:
        fields = action.shape(fields, settings, event)
    payload: JSON = field_engine.clean(action.fields_under(settings), fields)
    if action.check:
        action.check(payload)
    return payload


def _with_context_traits(event: JSON) -> JSON:
    """Segment's libraries put traits there: https://segment.com/docs/connections/spec/common/#context-fields"""
    if not isinstance(event, dict) or event.get("type") not in ("track", "page", "screen"):
        return event
    context, own = event.get("context"), event.get("traits", {})
    found = context.get("traits") if isinstance(context, dict) else None
    return {**event, "traits": {**found, **own}} if isinstance(found, dict) and isinstance(own, dict) else event


def perform_one(action: ActionDefinition, client: Client, payload: JSON, call: Call) -> Any:
    """The answer, or the error as a value; a connector's own exception becomes Broken and harms nobody else."""
    try:
        return action.perform(client, payload, call)
    except SwitchyardError as error:
        return error
    except Exception as error:  # noqa: BLE001 (one connector's bug must stay in its row)
        return Broken(f"{action.slug} raised {type(error).__name__}: {error}")


def perform_together(
    action: ActionDefinition, client: Client, payloads: Sequence[JSON], calls: Sequence[Call]
) -> Sequence[Any]:
    """One answer or error per payload, in order, whatever the connector does."""
    assert action.perform_batch is not None
    try:
        outcomes = list(action.perform_batch(client, payloads, calls))
    except SwitchyardError as error:
        return [error] * len(payloads)
    except Exception as error:  # noqa: BLE001
        return [Broken(f"{action.slug} raised {type(error).__name__}: {error}")] * len(payloads)
    if len(outcomes) != len(payloads):
        return [Broken(f"{action.slug} answered {len(outcomes)} of {len(payloads)} payloads")] * len(payloads)
    return outcomes


@dataclass(frozen=True)
class SourceDefinition:
    """A vendor that sends to us; `slug` is the same as that of its destination, if it also receives."""

    slug: str
    name: str
    description: str = ""
