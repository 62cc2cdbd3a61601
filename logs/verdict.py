"""What was decided and what became of it, as the small numbers that stand in the rows."""

from enum import IntEnum


class Verdict(IntEnum):
    """One byte for each (event, mapping), known at the door; an event's verdict string follows its rule set."""

    MATCHED = 1
    NOT_MATCHED = 2
    MAPPING_OFF = 3
    DESTINATION_OFF = 4
    SOURCE_OFF = 5


class Status(IntEnum):
    """What one attempt came to; the last attempt of a delivery tells what became of the delivery."""

    DELIVERED = 1
    AGAIN = 2
    FAILED = 3
    QUARANTINED = 4
    CANCELLED = 5
    EXPIRED = 6
    SUPERSEDED = 7
    DISCARDED = 8


class Cause(IntEnum):
    """Why an attempt was made."""

    FIRST = 1
    RETRY = 2
    PROBE = 3
    AFTER_PAUSE = 4
    AFTER_HOLD = 5
    BY_HAND = 6
    DECIDED_AGAIN = 7


class Held(IntEnum):
    """What keeps deliveries waiting for a person or a vendor; no attempt is spent meanwhile.

    Up to OFF it holds a lane (STOPPED: every lane of a brand), from MAPPING_PAUSED on single deliveries.
    """

    STOPPED = 1
    PAUSED = 2
    CREDENTIALS = 3
    GONE = 4
    BREAKER = 5
    OFF = 6
    MAPPING_PAUSED = 11
    SOURCE_PAUSED = 12
    OVER_LIMIT = 13
    ONCE = 14
    FIRST_RUN = 15


class Rank(IntEnum):
    """Order within a lane; each claim leaves a share to the lower ranks."""

    FIRST = 0
    RETRY = 1
    REPLAY = 2


class Line(IntEnum):
    """A line of the books, by hour of receipt.

    Door, by source: PRESENTED = ACCEPTED + DUPLICATE + REFUSED.
    Routing, by source: ACCEPTED = events with a rule set + NO_MAPPING + UNDECIDED; and by mapping the verdicts.
    Delivery, by mapping: MATCHED = DELIVERED + FAILED + QUARANTINED + CANCELLED + EXPIRED + SUPERSEDED + DISCARDED +
    PENDING + HELD, where the last two are never booked but counted from the queue.
    """

    PRESENTED = 1
    ACCEPTED = 2
    DUPLICATE = 3
    REFUSED = 4
    UNAUTHENTICATED = 5
    DECIDED = 10
    NO_MAPPING = 11
    UNDECIDED = 12
    MATCHED = 21
    NOT_MATCHED = 22
    MAPPING_OFF = 23
    DESTINATION_OFF = 24
    SOURCE_OFF = 25
    DELIVERED = 31
    FAILED = 33
    QUARANTINED = 34
    CANCELLED = 35
    EXPIRED = 36
    SUPERSEDED = 37
    DISCARDED = 38
    PENDING = 39
    HELD = 40
