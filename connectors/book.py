"""What deciding and delivering need to know of the configuration, as frozen values, and who is asked for it.

`connectors` never sees a model. `integrations.book` answers this Protocol from the models; tests answer it from dicts.
Ids are the opaque ids of the configuration's rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

from connectors.schedule import Schedule
from logs.verdict import Held

if TYPE_CHECKING:
    from connectors.client import AddressPolicy
    from connectors.definitions import ActionDefinition, DestinationDefinition, Limit
    from connectors.mapping import Mapping
    from connectors.trigger import Trigger


@dataclass(frozen=True, slots=True)
class Rule:
    """A mapping version as routing sees it. `lane` is the id of its destination."""

    mapping: int
    version: int
    lane: int
    trigger: Trigger
    on: bool
    destination_on: bool
    ordered: bool = False


@dataclass(frozen=True, slots=True)
class RuleSet:
    """The rules of one source, in a fixed order: the verdict string of an event has one byte for each.

    `id` names this exact list of mapping versions for good; it is the same wherever the list is the same.
    """

    id: int
    source: int
    source_on: bool
    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class Terms:
    """What a mapping's administrators ask of its deliveries, as it stands now.

    `paused` is what holds them, if anything; `max_age` makes late ones too old; at most `hourly` are sent in an hour,
    one in `once` for each customer, and `first_run` until somebody says go on; `ordered`: strictly in order, customer
    by customer.
    """

    paused: Held | None = None
    max_age: timedelta | None = None
    hourly: int | None = None
    once: timedelta | None = None
    first_run: int | None = None
    first_run_since: datetime | None = None
    ordered: bool = False


@dataclass(frozen=True, slots=True)
class Version:
    """A mapping version as delivery sees it; `seed` keys the values we make up (random ids) for its brand."""

    id: int
    mapping: int
    action: ActionDefinition
    fields: Mapping
    seed: bytes
    terms: Terms = Terms()


@dataclass(frozen=True, slots=True)
class Lane:
    """A destination as delivery sees it: how to reach it, with opened secrets, and how hard it may be pushed.

    Switched off (`on`), what waits for it is kept until it is on again.
    `settings` are the account's and the destination's, merged; never log or print them.
    """

    id: int
    brand: int
    destination: DestinationDefinition
    settings: dict[str, Any]
    policy: AddressPolicy
    concurrency: int
    account: int = 0
    on: bool = True
    schedule: Schedule = Schedule()
    limits: tuple[Limit, ...] = ()

    def __repr__(self) -> str:
        return f"Lane({self.id}, {self.destination.slug})"


class Book(Protocol):
    def rule_set(self, source: int) -> RuleSet:
        """The rules of a source as they stand now."""

    def versions(self, ids: set[int]) -> dict[int, Version]:
        """Mapping versions by id; a deleted mapping's versions are absent."""

    def lane(self, lane: int) -> Lane | None:
        """The lane, or None when its destination is deleted."""

    def tokens(self, name: str, per_minute: float, n: float) -> float:
        """Take up to n tokens of a bucket shared by all workers; returns how many were there. Negative: give back."""
