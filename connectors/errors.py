"""What can go wrong on the way to a vendor: each error knows who must act and whether trying again helps.

    SwitchyardError
    ├── EventError              this data      an event, or a whole body of them, that cannot be taken in
    ├── TriggerError            our settings   a trigger that does not parse
    ├── MappingError            our settings   a mapping that is malformed or cannot be resolved
    ├── PayloadError            this data      fields missing or of the wrong kind, all of them at once
    └── DeliveryError
        ├── NoAnswer            their system   refused, reset, timed out, unknown host, bad TLS: again
        ├── Busy                their system   408 423 425 429 and 5xx except 501 505 511: again
        ├── CredentialsRefused  our settings   401 403: again
        ├── Gone                our settings   410: again
        ├── Rejected            this data      any other 4xx, 3xx, 501, 505, 511: final
        ├── Blocked             our settings   an address our own policy forbids: final
        └── Broken              our pipeline   an exception of our own: final

Messages are for the administrator who reads the log at night: what we tried, what came back, what to change.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


class SwitchyardError(Exception):
    """Base of every error of ours."""

    who: ClassVar[str] = "our pipeline"
    again: ClassVar[bool] = False

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class EventError(SwitchyardError):
    """Something a sender sent that cannot be taken in; `code` is Segment's reason code where it has one."""

    who = "this data"

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class TriggerError(SwitchyardError):
    """A trigger that does not parse; `position` is the 0-based offset of the fault in its text."""

    who = "our settings"

    def __init__(self, message: str, position: int = 0) -> None:
        super().__init__(message)
        self.position = position


class MappingError(SwitchyardError):
    """A mapping that is malformed, or that the event at hand makes impossible; `messages` lists every fault."""

    who = "our settings"

    def __init__(self, *messages: str) -> None:
        super().__init__(" ".join(messages))
        self.messages = messages


@dataclass(frozen=True, slots=True)
class Fault:
    """One field at fault: its path (`/data/email`) and a sentence that names it by label."""

    path: str
    message: str


class PayloadError(SwitchyardError):
    """Fields that are missing or of the wrong kind: every fault, not just the first."""

    who = "this data"

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__(" ".join(fault.message for fault in faults))
        self.faults = tuple(faults)


class DeliveryError(SwitchyardError):
    """A request that did not do what it should.

    `status` is the HTTP status if there was an answer, `code` the vendor's own error code,
    `retry_after` the seconds the vendor asked us to wait (already clamped), else None.
    """

    def __init__(
        self, message: str, *, status: int | None = None, code: str = "", retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.retry_after = retry_after


class NoAnswer(DeliveryError):
    """Nothing came back: connection refused or reset, time-out, unknown host, bad TLS.

    `unsent` when nothing can have reached the vendor either; otherwise it may have done what was asked.
    """

    who = "their system"
    again = True

    def __init__(self, message: str, *, unsent: bool = False) -> None:
        super().__init__(message)
        self.unsent = unsent


class Busy(DeliveryError):
    """The vendor is overloaded or broken for now: 408, 423, 425, 429, 5xx except 501, 505, 511."""

    who = "their system"
    again = True


class CredentialsRefused(DeliveryError):
    """401 or 403."""

    who = "our settings"
    again = True


class Gone(DeliveryError):
    """410: the receiver says it is gone for good."""

    who = "our settings"
    again = True


class Rejected(DeliveryError):
    """The vendor understood and said no; the same data will be refused again."""

    who = "this data"


class Blocked(DeliveryError):
    """Our own address policy forbids where this would go; nothing was sent."""

    who = "our settings"


class Broken(DeliveryError):
    """An exception of our own while resolving or performing: a bug, contained to this row."""
