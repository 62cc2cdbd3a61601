"""Log rows: appended, never updated, save by erasure and retention. The queue is the only table rows leave."""

from logs.models.books import BookDelta, BookHour
from logs.models.delivery import Delivery
from logs.models.event import Decision, Event, RuleSet, Seen
from logs.models.exchange import Exchange
from logs.models.heartbeat import Heartbeat
from logs.models.inbound import Inbound
from logs.models.label import Label
from logs.models.lane import CustomerState, Hold, Quota, Turn
from logs.models.queue import Queue, Waiting
from logs.models.request import Request, RequestBody

__all__ = [
    "BookDelta",
    "BookHour",
    "CustomerState",
    "Decision",
    "Delivery",
    "Event",
    "Exchange",
    "Heartbeat",
    "Hold",
    "Inbound",
    "Label",
    "Queue",
    "Quota",
    "Request",
    "RequestBody",
    "RuleSet",
    "Seen",
    "Turn",
    "Waiting",
]
