"""The inbound and the outbound log: what came in and how we answered, what went out and how they answered."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, cast

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.core.paginator import Paginator
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.functional import cached_property
from unfold.contrib.filters.admin import CheckboxFilter, TextFilter
from unfold.decorators import display

from connectors.event import TYPES
from integrations import scoping
from integrations.admin.site import ReadOnlyAdmin, site
from integrations.holds import WHY
from integrations.models import Destination, Mapping, MappingVersion
from logs import ids
from logs.models import Delivery, Event, Exchange, Hold, Inbound, Label, Queue, Request, RequestBody, Waiting
from logs.models.delivery import DeliveryQuerySet
from logs.models.event import verdicts_of
from logs.verdict import Cause, Held, Status, Verdict

MOST_COUNTED = 10_000
MASK = "••••"

VERDICTS = {
    Verdict.NOT_MATCHED: "not matched",
    Verdict.MAPPING_OFF: "mapping off",
    Verdict.DESTINATION_OFF: "destination off",
    Verdict.SOURCE_OFF: "source off",
}
OUTCOMES = {
    Status.DELIVERED: "delivered",
    Status.AGAIN: "trying again",
    Status.FAILED: "failed",
    Status.QUARANTINED: "set aside",
    Status.CANCELLED: "cancelled",
    Status.EXPIRED: "too old",
    Status.SUPERSEDED: "superseded",
    Status.DISCARDED: "discarded",
}
CAUSES = {
    Cause.FIRST: "first try",
    Cause.RETRY: "automatic retry",
    Cause.PROBE: "to see whether it works again",
    Cause.AFTER_PAUSE: "after a pause",
    Cause.AFTER_HOLD: "after a hold",
    Cause.BY_HAND: "by hand",
    Cause.DECIDED_AGAIN: "decided again",
}
PENDING, HELD = "pending", "held"


class Capped(Paginator):  # type: ignore[type-arg]  # generic in the stubs only
    """Counts no further than people page."""

    @cached_property
    def count(self) -> int:
        rows = cast(QuerySet[Any], self.object_list)
        return rows.order_by()[: MOST_COUNTED + 1].count()


def asked(title: str, name: str, narrow: Callable[[QuerySet[Any], str], QuerySet[Any]]) -> type[TextFilter]:
    """A box in the search panel; `narrow` does what its text asks."""

    class Asked(TextFilter):
        def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
            value = (self.value() or "").strip()
            return narrow(queryset, value) if value else queryset

    Asked.title, Asked.parameter_name = title, name
    return Asked


def is_in(field: str) -> Callable[[QuerySet[Any], str], QuerySet[Any]]:
    return lambda rows, value: rows.filter(**{field: value})


def contains(field: str) -> Callable[[QuerySet[Any], str], QuerySet[Any]]:
    return lambda rows, value: rows.filter(**{f"{field}__icontains": value})


def status_code(field: str) -> Callable[[QuerySet[Any], str], QuerySet[Any]]:
    def narrow(rows: QuerySet[Any], value: str) -> QuerySet[Any]:
        return rows.filter(**{field: int(value)}) if value.isdecimal() and len(value) == 3 else rows.none()

    return narrow


class EventType(CheckboxFilter):
    title = "event type"
    parameter_name = "type"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, name) for name in sorted(TYPES)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        wanted = [value for value in self.value() or [] if value in TYPES]
        if not wanted:
            return queryset
        if queryset.model is Inbound:
            return queryset.filter(type__in=wanted)
        return queryset.filter(event__in=Event.objects.filter(type__in=wanted).values("id"))


class LogAdmin(ReadOnlyAdmin):
    """A log's list: newest first, looked up in sets, counted no further than people page."""

    ordering = ("-id",)
    sortable_by = ()
    list_filter_submit = True
    list_per_page = 100
    show_full_result_count = False
    paginator = Capped
    template: str

    def get_changelist_instance(self, request: HttpRequest) -> ChangeList:
        page = super().get_changelist_instance(request)
        rows = list(page.result_list)
        self.complete(rows)
        page.result_list = rows
        return page

    def complete(self, rows: list[Any]) -> None:
        """Look up, for all rows of a page at once, what their columns show."""
        raise NotImplementedError

    def story(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        """What the opened row's template shows."""
        raise NotImplementedError

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        row = self.get_object(request, object_id)
        if row is None:
            raise Http404("There is no such row in the log, or its time to be kept is over.")
        self.complete([row])
        return self.page(request, self.template, str(row), row=row, **self.story(request, row))

    def may_read(self, request: HttpRequest, brand: int) -> bool:
        """Whether bodies are shown in the clear; a viewer sees them masked."""
        return (
            scoping.is_operator(request.user)
            or scoping.brands_of(request.user, *scoping.EDITORS).filter(pk=brand).exists()
        )

    @admin.display(description="timestamp")
    def timestamp(self, row: Any) -> datetime:
        return ids.moment(row.id)

    @admin.display(description="customer ID")
    def customer_id(self, row: Any) -> str:
        return f"{row.customer} (anonymous)" if row.anonymous else row.customer

    @admin.display(description="event type")
    def event_type(self, row: Any) -> str:
        return f"{row.type}: {row.name}" if row.name else row.type

    @admin.display(description="response time (s)")
    def response_time(self, row: Any) -> str:
        return "" if row.ms is None else f"{row.ms / 1000:.3f}"


@admin.register(Inbound, site=site)
class InboundAdmin(LogAdmin):
    template = "admin/log_inbound.html"
    list_display = (
        "timestamp",
        "customer_id",
        "event_type",
        "source_name",
        "status",
        "response_time",
        "error",
        "identifier",
        "came_of_it",
    )
    list_filter = (
        asked("identifier", "identifier", is_in("identifier")),
        asked("customer ID", "customer", is_in("customer")),
        EventType,
        asked("error", "error", contains("error")),
        asked("status code", "status", status_code("status")),
    )

    def complete(self, rows: list[Any]) -> None:
        requests = {r.pk: r for r in Request.objects.filter(pk__in={ids.request_of(row.id) for row in rows})}
        names = Label.objects.names(row.source for row in rows)
        fates = fates_of([row.id for row in rows if row.kept])
        for row in rows:
            row.request = requests.get(ids.request_of(row.id))
            row.ms = row.request.ms if row.request else None
            row.source_label = names.get(row.source, str(row.source))
            row.fates = fates.get(row.id, {})

    def story(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        body = RequestBody.objects.filter(pk=ids.request_of(row.id)).first()
        event = Event.objects.filter(pk=row.id).first()
        names = Label.objects.names(row.fates)
        attempts = {d.mapping: d.pk for d in Delivery.objects.filter(event=row.id).order_by("id")}
        chunk = b"" if body is None else body.raw
        if event is not None:
            chunk = chunk[event.start : event.start + event.size]
        return {
            "headers": body.headers if body else {},
            "envelope": shown(body.envelope, self.may_read(request, row.brand)) if body and body.envelope else None,
            "event": readable(chunk, self.may_read(request, row.brand)),
            "stored": body is not None,
            "answer": answer_to(row),
            "decisions": [(names.get(m, m), fate, attempts.get(m)) for m, fate in row.fates.items()],
        }

    @admin.display(description="source")
    def source_name(self, row: Any) -> str:
        return str(row.source_label)

    @admin.display(description="what came of it")
    def came_of_it(self, row: Any) -> str:
        if not row.kept:
            return "refused"
        if not row.fates:
            return "no mapping"
        counts = Counter(row.fates.values())
        said = ", ".join(f"{n} {fate}" for fate, n in counts.items())
        return f"{len(row.fates)} {'mapping' if len(row.fates) == 1 else 'mappings'}: {said}"


@admin.register(Delivery, site=site)
class OutboundAdmin(LogAdmin):
    template = "admin/log_outbound.html"
    list_display = (
        "timestamp",
        "customer_id",
        "event_type",
        "destination_name",
        "mapping_name",
        "outcome",
        "status_code",
        "response_time",
        "error",
        "identifier",
    )
    list_filter = (
        asked("identifier", "identifier", lambda rows, value: cast(DeliveryQuerySet, rows).identified(value)),
        asked(
            "customer ID",
            "customer",
            lambda rows, value: rows.filter(event__in=Event.objects.filter(customer=value).values("id")),
        ),
        EventType,
        asked("error", "error", contains("error")),
        asked("status code", "status", status_code("code")),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return cast(DeliveryQuerySet, super().get_queryset(request)).newest_attempts()

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """Any attempt leads to its delivery, also one that has been followed by another."""
        every = scoping.scope(Delivery.objects.all(), request.user)
        attempt = every.filter(pk=object_id).first() if object_id.isdecimal() else None
        return attempt and Delivery.objects.attempts_of(attempt).last()

    def complete(self, rows: list[Any]) -> None:
        events = Event.objects.in_bulk({row.event for row in rows})
        names = Label.objects.names(id for row in rows for id in (row.lane, row.mapping))
        for row in rows:
            event = events.get(row.event)
            row.customer, row.anonymous = (event.customer, event.anonymous) if event else ("", False)
            row.type, row.name = (event.type, event.name) if event else ("", "")
            row.destination_label = names.get(row.lane, str(row.lane))
            row.mapping_label = names.get(row.mapping, str(row.mapping))

    def story(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        readable_to = self.may_read(request, row.brand)
        part = part_path(row.version)
        attempts = []
        for attempt in Delivery.objects.attempts_of(row):
            exchanges = [
                {
                    "row": exchange,
                    "sent": readable(exchange.sent, readable_to, part, attempt.part, row.identifier),
                    "answer": readable(exchange.answer, readable_to),
                }
                for exchange in exchanges_of(attempt)
            ]
            attempts.append(
                {
                    "row": attempt,
                    "cause": CAUSES[Cause(attempt.cause)],
                    "outcome": OUTCOMES[Status(attempt.status)],
                    "exchanges": exchanges,
                }
            )
        version = MappingVersion.objects.filter(pk=row.version).first()
        return {"attempts": attempts, "version": version, "due": due_of(row), "held": held_by(row)}

    @admin.display(description="destination")
    def destination_name(self, row: Any) -> str:
        return str(row.destination_label)

    @admin.display(description="mapping")
    def mapping_name(self, row: Any) -> str:
        return str(row.mapping_label)

    @display(
        description="outcome",
        label={"delivered": "success", "trying again": "warning", "failed": "danger", "set aside": "danger"},
    )
    def outcome(self, row: Any) -> str:
        return OUTCOMES[Status(row.status)]

    @admin.display(description="status code")
    def status_code(self, row: Any) -> str:
        return str(row.code or "")

    @admin.display(description="identifier")
    def identifier(self, row: Any) -> str:
        return str(row.identifier)


def fates_of(events: Sequence[int]) -> dict[int, dict[int, str]]:
    """Event → mapping → what became of it, in words; the same number of queries for any number of events."""
    found = verdicts_of(list(Event.objects.filter(pk__in=events)))
    last: dict[tuple[int, int], int] = {}
    for event, mapping, status in (
        Delivery.objects.filter(event__in=events).order_by("id").values_list("event", "mapping", "status")
    ):
        last[event, mapping] = status
    matched = {(e, m) for e, verdicts in found.items() for m, v in verdicts.items() if v is Verdict.MATCHED}
    held = held_among({pair for pair in matched if last.get(pair, Status.AGAIN) == Status.AGAIN})

    def fate(event: int, mapping: int, verdict: Verdict) -> str:
        if verdict is not Verdict.MATCHED:
            return VERDICTS[verdict]
        if (event, mapping) in held:
            return HELD
        return OUTCOMES[Status(last[event, mapping])] if (event, mapping) in last else PENDING

    return {e: {m: fate(e, m, verdict) for m, verdict in verdicts.items()} for e, verdicts in found.items()}


def held_among(unfinished: set[tuple[int, int]]) -> set[tuple[int, int]]:
    """Which of these (event, mapping) wait for a person or a vendor, by themselves or with their whole lane."""
    if not unfinished:
        return set()
    mappings = {mapping for _, mapping in unfinished}
    events = {event for event, _ in unfinished}
    aside = Waiting.objects.filter(hold__gt=0, mapping__in=mappings, event__in=events)
    lanes = dict(Mapping.objects.filter(pk__in=mappings).values_list("pk", "destination"))
    closed = closed_lanes(lanes.values())
    return unfinished & set(aside.values_list("event", "mapping")) | {
        (event, mapping) for event, mapping in unfinished if lanes.get(mapping) in closed
    }


def closed_lanes(lanes: Iterable[int]) -> dict[int, Held]:
    """Which of these lanes are held, and by what."""
    holds = dict(Hold.objects.order_by("-kind").values_list("lane", "kind"))
    return {
        d.pk: Held(holds.get(d.brand_id) or holds.get(d.pk) or Held.OFF)
        for d in Destination.objects.filter(pk__in=set(lanes))
        if not d.enabled or {d.pk, d.brand_id} & set(holds)
    }


def due_of(delivery: Delivery) -> datetime | None:
    """When the delivery is tried again, if it is waiting for that."""
    waiting = _work(Waiting, delivery).first()
    if waiting is None and _work(Queue, delivery).exists():
        return ids.moment(ids.maker.base())
    return waiting.due if waiting else None


def held_by(delivery: Delivery) -> str:
    """What the delivery waits for, in words, if that is a person or a vendor."""
    waiting = _work(Waiting, delivery).first()
    if waiting is not None and waiting.hold:
        return WHY[Held(waiting.hold)]
    if waiting is None and not _work(Queue, delivery).exists():
        return ""
    closed = closed_lanes([delivery.lane])
    return WHY[closed[delivery.lane]] if closed else ""


def _work(model: type[Model], delivery: Delivery) -> QuerySet[Any]:
    """What is still to do of a delivery, in its lane or in that of what was let go."""
    same = {name: getattr(delivery, name) for name in ("event", "mapping", "replay", "run", "step")}
    return model._default_manager.filter(lane__in=(delivery.lane, -delivery.lane), **same)


def exchanges_of(attempt: Delivery) -> QuerySet[Exchange]:
    if attempt.exchange is None:
        return Exchange.objects.none()
    return Exchange.objects.filter(id__gte=attempt.exchange, id__lt=attempt.exchange + attempt.exchanges).order_by("id")


def part_path(version: int) -> str:
    """Where a batch of this mapping version's action holds its entries."""
    mapping = Mapping.objects.filter(versions=version).select_related("destination__account").first()
    try:
        batch = mapping.definition.batch if mapping else None
    except KeyError:
        batch = None
    return batch.part if batch else ""


def readable(body: bytes, clear: bool, path: str = "", part: int | None = None, key: str = "") -> Any:
    """A body as values to be shown, or one event's part of it, by place or by key; text that is no JSON as text."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return shown(body.decode("utf-8", "replace"), clear)
    if part is not None:
        entries = value
        for name in filter(None, path.split(".")):
            entries = entries.get(name) if isinstance(entries, dict) else None
        if isinstance(entries, dict) and key in entries:
            value = entries[key]
        elif isinstance(entries, list) and part < len(entries):
            value = entries[part]
    return shown(value, clear)


def shown(value: Any, clear: bool) -> Any:
    """The value, or its shape alone."""
    if clear:
        return value
    if isinstance(value, dict):
        return {key: shown(member, clear) for key, member in value.items()}
    if isinstance(value, list):
        return [shown(member, clear) for member in value]
    return MASK


def answer_to(row: Any) -> dict[str, Any]:
    """What we answered a request with."""
    if row.status == 200:
        return {"success": True}
    return {"success": False, "code": row.request.code, "message": row.request.message} if row.request else {}
