"""What senders send: where each event stands in a body, whether it can be kept, and its shape in Segment's spec.

`parse` finds and checks the events of a request; `normalize` fills in what the spec promises; `load` does the latter
again, later, from the stored bytes. Facts about Segment: its spec's common fields, limits and ingest reason codes.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from connectors.errors import EventError

Event = dict[str, Any]

TYPES = frozenset({"track", "identify", "page", "screen", "group", "alias"})
MANY = frozenset({"batch", "import", "webhook"})  # kinds whose events say themselves what they are

MAX_EVENT = 32 * 1024  # bytes; Segment's limit
MAX_ENRICHED = 64 * 1024  # bytes of an event that went through Segment, which adds fields of its own
MAX_EVENTS = {"batch": 2_500, "import": 2_500, "webhook": 4_000}  # Segment's limits of a batch and of a webhook's
MAX_MESSAGE_ID = 100  # characters; Segment's limit
MAX_DEPTH = 64
MAX_KEYS = 10_000
MAX_KEY = 512  # bytes
MAX_COLUMN = 512  # characters kept of names and customers in columns; the event itself keeps them whole


@dataclass(slots=True)
class Item:
    """One event that can be kept: its place in the body (`start`, `size`, in bytes), as sent, and its columns."""

    index: int  # from 1
    start: int
    size: int
    event: Event
    type: str
    name: str
    customer: str
    anonymous: bool
    message_id: str
    made_id: bool  # the sender gave no messageId, so we made one


@dataclass(frozen=True, slots=True)
class Refusal:
    """One event that cannot be kept, and why."""

    index: int  # from 1
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Parsed:
    """A body taken apart. `envelope` is what a batch says for all its events, and all that `load` needs of it."""

    envelope: dict[str, Any] | None
    write_key: str
    items: list[Item]
    refused: list[Refusal]


def parse(body: bytes, kind: str) -> Parsed:
    """The events of one body; `kind` is the door it came to: an event type, `batch`, `import` or `webhook`.

    Raises EventError when nothing of the body can be used; single bad events are `refused` and spare the rest.
    """
    envelope: dict[str, Any] | None = None
    write_key = ""
    if kind in ("batch", "import"):
        members, chunks = _open_batch(body)
        envelope = _envelope(members)
        write_key = _write_key(_decode(members["writeKey"])) if "writeKey" in members else ""
    elif kind == "webhook" and body.lstrip(b" \t\r\n").startswith(b"["):
        chunks = _open_array(body)
    else:
        chunks = [(0, body)]
    if not chunks:
        raise EventError("empty_batch", "The batch holds no events.")
    if len(chunks) > MAX_EVENTS.get(kind, 1):
        raise EventError(
            "too_many_events",
            f"The batch holds {len(chunks):,} events; the limit is {MAX_EVENTS[kind]:,}. Send fewer at once.",
        )

    items: list[Item] = []
    refused: list[Refusal] = []
    for index, (start, chunk) in enumerate(chunks, 1):
        try:
            items.append(_read(chunk, kind, index, start))
        except EventError as error:
            refused.append(Refusal(index, error.code, error.message))
    if kind in TYPES and items:
        write_key = _write_key(items[0].event.get("writeKey"))
    return Parsed(envelope, write_key, items, refused)


def written_keys(body: bytes) -> list[str]:
    """What may be the body's write key, found without parsing, so that strangers never reach the parser; at most 4."""
    found: dict[str, None] = {}
    for match in _WRITTEN_KEY.finditer(body):
        found[match[1].decode()] = None
        if len(found) == 4:
            break
    return list(found)


def load(chunk: bytes, *, kind: str, envelope: dict[str, Any] | None, received_at: datetime, message_id: str) -> Event:
    """The event of a stored slice, the same as when it came in. Raises EventError for bytes that hold no event."""
    return normalize(
        _decode_object(chunk), kind=kind, envelope=envelope, received_at=received_at, message_id=message_id
    )


def normalize(
    raw: Event, *, kind: str, envelope: dict[str, Any] | None, received_at: datetime, message_id: str
) -> Event:
    """The event in Segment's spec, from an event that `parse` kept. The same arguments always give the same event.

    Events from a webhook went through Segment already, so their times stay as Segment corrected them.
    """
    event = {key: value for key, value in _straightened(raw, kind).items() if value is not None}
    event.pop("writeKey", None)
    if kind not in MANY:
        event["type"] = kind
    for key in ("userId", "anonymousId", "groupId", "previousId"):
        value = event.get(key)
        if value == "":
            del event[key]
        elif isinstance(value, int | float) and not isinstance(value, bool):
            event[key] = _number_text(value)
    event["messageId"] = message_id
    if envelope:
        for key in ("context", "integrations"):
            if key in envelope:
                event[key] = {**envelope[key], **event.get(key, {})}
        if "sentAt" in envelope:
            event.setdefault("sentAt", envelope["sentAt"])
    if kind != "webhook" or _moment(event.get("receivedAt")) is None:
        event["receivedAt"] = _iso(received_at)
    _fill_times(event, kind, received_at)
    return event


def _fill_times(event: Event, kind: str, received_at: datetime) -> None:
    """`timestamp` = receivedAt - (sentAt - originalTimestamp): the sender's clock may be wrong, its differences not.

    Without sentAt there is nothing to correct; a time that cannot be read counts as not given, and stays visible in
    originalTimestamp.
    """
    given = event.get("timestamp", event.get("originalTimestamp"))
    moment = _moment(given)
    sent = _moment(event.get("sentAt")) if kind != "webhook" else None
    try:
        if moment and sent:
            moment = received_at - (sent - moment)
        event["timestamp"] = _iso(moment) if moment else event["receivedAt"]
    except OverflowError:  # the years 1 and 9999 leave the calendar when corrected
        event["timestamp"] = event["receivedAt"]
    event.setdefault("originalTimestamp", event["timestamp"] if given is None else given)


def _moment(value: Any) -> datetime | None:
    if type(value) is not str:
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def _read(chunk: bytes, kind: str, index: int, start: int) -> Item:
    limit = MAX_ENRICHED if kind == "webhook" else MAX_EVENT
    if len(chunk) > limit:
        raise EventError(
            "event_too_large", f"The event is {len(chunk):,} bytes; the limit is {limit:,}. Send fewer properties."
        )
    raw = _decode_object(chunk, unique_keys=kind == "webhook")
    if not _is_plain(chunk):
        _check_shape(raw)
    straight = _straightened(raw, kind)
    of_type = _type(straight, kind)
    user, anonymous = _id(straight, "userId"), _id(straight, "anonymousId")
    _check_fields(straight, of_type, user, anonymous)
    message_id, made = _message_id(straight, chunk, of_type)
    return Item(
        index=index,
        start=start,
        size=len(chunk),
        event=raw,
        type=of_type,
        name=_column(_name(straight, of_type)),
        customer=_column(user or anonymous),
        anonymous=not user,
        message_id=message_id,
        made_id=made,
    )


def _type(event: Event, kind: str) -> str:
    if kind in TYPES:
        return kind
    of_type = event.get("type")
    if type(of_type) is str and (of_type in TYPES or (of_type == "delete" and kind == "webhook")):
        return of_type
    raise EventError("bad_request", f"type is {_shown(of_type)}; one of {', '.join(sorted(TYPES))} belongs there.")


def _check_fields(event: Event, of_type: str, user: str, anonymous: str) -> None:
    if not user and not anonymous:
        raise EventError("no_user_anon_id", "Neither userId nor anonymousId is given; one of them must be.")
    for key in ("context", "integrations"):
        if not isinstance(event.get(key, _NOTHING), dict | None):
            raise EventError("bad_request", f"{key} is {_shown(event[key])}; an object belongs there.")
    if of_type == "track":
        name = event.get("event")
        if name is None or name == "":
            raise EventError("event_not_defined", "A track event needs a name in event; none is given.")
        if type(name) is not str:
            raise EventError("event_not_string", f"event is {_shown(name)}; the event's name, a text, belongs there.")
    elif of_type in ("page", "screen"):
        for key in ("name", "category"):
            if not isinstance(event.get(key, ""), str | None):
                raise EventError(f"{key}_not_string", f"{key} is {_shown(event[key])}; a text belongs there.")
    elif of_type == "group":
        _require_id(event, "groupId")
    elif of_type == "alias":
        _require_id(event, "userId")
        _require_id(event, "previousId")
    for key in ("properties", "traits"):
        if not isinstance(event.get(key, _NOTHING), dict | None):
            raise EventError(f"{key}_not_object", f"{key} is {_shown(event[key])}; an object belongs there.")


def _require_id(event: Event, key: str) -> None:
    if not _id(event, key):
        raise EventError("id_required", f"{key} is missing; an event of this type cannot do without.")


def _id(event: Event, key: str) -> str:
    """The id as text, empty when there is none."""
    value = event.get(key)
    if type(value) is str:
        return value
    if value is None:
        return ""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _number_text(value)
    raise EventError("id_not_string", f"{key} is {_shown(value)}; a text or a number belongs there.")


def _message_id(event: Event, chunk: bytes, of_type: str) -> tuple[str, bool]:
    """The messageId, and whether we made it.

    Segment's deletion notices carry none: theirs is made of their bytes, so that a retry of one is known again.
    """
    given = _id(event, "messageId")
    if len(given) > MAX_MESSAGE_ID:
        raise EventError(
            "bad_request", f"messageId is {len(given):,} characters long; Segment's limit is {MAX_MESSAGE_ID}."
        )
    if given:
        return given.replace("\0", _REPLACEMENT), False
    if of_type == "delete":
        return str(uuid.UUID(bytes=hashlib.sha256(chunk).digest()[:16])), True
    return str(uuid.uuid4()), True


def _name(event: Event, of_type: str) -> str:
    if of_type == "track":
        return str(event["event"])
    if of_type in ("page", "screen"):
        return event.get("name") or ""
    return ""


def _column(text: str) -> str:
    """The text as a PostgreSQL column takes it."""
    return text[:MAX_COLUMN].replace("\0", _REPLACEMENT)


def _number_text(number: float) -> str:
    """A number as a browser would write it: 42.0 is 42."""
    return str(int(number)) if number == int(number) and abs(number) < 1e21 else repr(number)


def _straightened(raw: Event, kind: str) -> Event:
    """Segment's webhook documentation shows alias events with the keys "Previous ID" and "User ID"."""
    if kind != "webhook" or raw.get("type") != "alias":
        return raw
    event = dict(raw)
    for odd, key in (("Previous ID", "previousId"), ("User ID", "userId")):
        if odd in event and event.get(key) is None:
            event[key] = event.pop(odd)
    return event


def _write_key(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _shown(value: Any) -> str:
    """The value as a refusal names it: short, and never an object's contents."""
    if value is None:
        return "missing"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "an array"
    return json.dumps(value, ensure_ascii=False)[:60]


# Where things stand in a body. msgspec finds them fast; what it will not read at all although Segment does (lone
# surrogates), or what should cost one event and not the whole batch (NaN, which Python senders write), is found by the
# standard library, over Latin-1 so that a character is a byte.

_Chunk = tuple[int, bytes]  # where an element starts in the body, and its bytes

_RAW_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_RAW_ELEMENTS = msgspec.json.Decoder(list[msgspec.Raw])
_SCANNER = json.JSONDecoder(
    strict=False, parse_int=lambda _: None, parse_float=lambda _: None, parse_constant=lambda _: None
)
_SPACE = re.compile(r"[ \t\n\r]*")


def _open_batch(body: bytes) -> tuple[dict[str, bytes], list[_Chunk]]:
    """A batch's members but the batch itself, as bytes, and its elements."""
    try:
        raw = _RAW_MEMBERS.decode(body)
        batch = raw.pop("batch", msgspec.Raw(b"null"))
        elements = _RAW_ELEMENTS.decode(batch)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return _scan_batch(body)
    start = body.find(batch)
    if body.find(batch, start + 1) >= 0:  # the same array twice: which one is the batch, only a scan can tell
        return _scan_batch(body)
    return {key: bytes(value) for key, value in raw.items()}, _placed(body, elements, start)


def _open_array(body: bytes) -> list[_Chunk]:
    try:
        return _placed(body, _RAW_ELEMENTS.decode(body), body.index(b"["))
    except (msgspec.DecodeError, ValueError, RecursionError):
        text = _scanned(body)
        return [(start, body[start:end]) for start, end in _elements(text, text.index("["))]


def _placed(body: bytes, elements: list[msgspec.Raw], opening: int) -> list[_Chunk]:
    """Nothing but blanks and commas parts the elements, so each is found at once."""
    chunks = []
    at = opening + 1
    for element in elements:
        chunk = bytes(element)
        at = body.index(chunk, at)
        chunks.append((at, chunk))
        at += len(chunk)
    return chunks


def _scan_batch(body: bytes) -> tuple[dict[str, bytes], list[_Chunk]]:
    text = _scanned(body)
    opening = _skip_space(text, 0)
    if text[opening] != "{":
        raise EventError("bad_request", "The body is no object; an object with the array batch belongs there.")
    spans = dict(_members(text, opening))
    start, end = spans.pop("batch", (0, 0))
    if text[start:end] in ("", "null"):
        raise EventError("bad_request", "The body has no batch; an array of events belongs there.")
    if text[start] != "[":
        raise EventError("bad_request", "batch is no array; an array of events belongs there.")
    chunks = [(a, body[a:b]) for a, b in _elements(text, start)]
    return {key: body[a:b] for key, (a, b) in spans.items()}, chunks


def _scanned(body: bytes) -> str:
    """The body as one character a byte, known to be JSON but for its numbers, its encoding and control characters."""
    text = body.decode("latin-1")
    try:
        _SCANNER.decode(text)
    except (ValueError, RecursionError, MemoryError) as error:
        raise EventError("bad_request", f"The body is not JSON that we can read: {error}.") from None
    return text


def _members(text: str, opening: int) -> Iterator[tuple[str, tuple[int, int]]]:
    at = _skip_space(text, opening + 1)
    while text[at] != "}":
        key, at = _SCANNER.raw_decode(text, at)
        at = _skip_space(text, _skip_space(text, at) + 1)
        _, end = _SCANNER.raw_decode(text, at)
        yield key, (at, end)
        at = _skip_comma(text, end)


def _elements(text: str, opening: int) -> Iterator[tuple[int, int]]:
    at = _skip_space(text, opening + 1)
    while text[at] != "]":
        _, end = _SCANNER.raw_decode(text, at)
        yield at, end
        at = _skip_comma(text, end)


def _skip_comma(text: str, at: int) -> int:
    at = _skip_space(text, at)
    return _skip_space(text, at + 1) if text[at] == "," else at


def _skip_space(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    assert match is not None
    return match.end()


def _envelope(members: dict[str, bytes]) -> dict[str, Any]:
    """What the batch says for each event. It counts into every one of them, so it may not be larger than one."""
    envelope: dict[str, Any] = {}
    size = 0
    for key in ("context", "integrations", "sentAt"):
        chunk = members.get(key, b"null")
        size += len(chunk)
        if size > MAX_EVENT:
            raise EventError(
                "bad_request", f"The batch's context and integrations are over {MAX_EVENT:,} bytes. Send less of them."
            )
        value = _decode(chunk)
        if value is None:
            continue
        if not _is_plain(chunk):
            _check_shape(value)
        if key == "sentAt" and not isinstance(value, str):
            continue  # as an event's own that can't be read: nothing is corrected
        if key != "sentAt" and not isinstance(value, dict):
            raise EventError("bad_request", f"The batch's {key} is {_shown(value)}; an object belongs there.")
        envelope[key] = _mended(value, _UNSTORABLE) if b"\\u0000" in chunk else value
    return envelope


# The values of one event.

_NOTHING: Event = {}
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
_ESCAPED_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_WRITTEN_KEY = re.compile(rb'"writeKey"[ \t\r\n]*:[ \t\r\n]*"([!#-\[\]-~]{1,200})"')


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:40]} is too large for a number")
    return number


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is no JSON")


def _unique(pairs: list[tuple[str, Any]]) -> Event:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice in one object")
    return found


_FAST = msgspec.json.Decoder()
_LENIENT = json.JSONDecoder(parse_float=_finite, parse_constant=_no_constant)
_UNIQUE = json.JSONDecoder(parse_float=_finite, parse_constant=_no_constant, object_pairs_hook=_unique)


def _decode_object(chunk: bytes, *, unique_keys: bool = False) -> Event:
    value = _decode(chunk, unique_keys=unique_keys)
    if not isinstance(value, dict):
        raise EventError("bad_request", f"The event is {_shown(value)}; an object belongs there.")
    return value


def _decode(chunk: bytes, *, unique_keys: bool = False) -> Any:
    """The value, with U+FFFD for lone surrogates. `unique_keys` refuses objects that two readers may read differently,
    which a signature must not cover."""
    if not unique_keys:
        try:
            return _FAST.decode(chunk)
        except (msgspec.DecodeError, ValueError, RecursionError):
            pass
    try:
        value = (_UNIQUE if unique_keys else _LENIENT).decode(chunk.decode())
        return _mended(value, _LONE_SURROGATE) if _ESCAPED_SURROGATE.search(chunk) else value
    except (ValueError, RecursionError, MemoryError) as error:
        raise EventError("bad_request", f"This is not JSON that we can read: {error}.") from None


def _mended(value: Any, fault: re.Pattern[str]) -> Any:
    if isinstance(value, str):
        return fault.sub(_REPLACEMENT, value)
    if isinstance(value, list):
        return [_mended(element, fault) for element in value]
    if isinstance(value, dict):
        return {_mended(key, fault): _mended(element, fault) for key, element in value.items()}
    return value


_MASK_DIGITS = bytes(ord("0") if chr(c).isdigit() and c < 128 else c for c in range(256))
_MASK_TEXT = bytes(c if c == ord('"') else ord("x") for c in range(256))
_LONG_NUMBER = b"0" * 19  # 2 to the 63rd has 19 digits
_LONG_TEXT = b"x" * (MAX_KEY + 1)


def _is_plain(chunk: bytes) -> bool:
    """Whether the bytes alone show that `_check_shape` would find nothing; it does for nearly every event."""
    return (
        chunk.count(b"{") + chunk.count(b"[") <= MAX_DEPTH
        and chunk.count(b":") <= MAX_KEYS
        and _LONG_NUMBER not in chunk.translate(_MASK_DIGITS)
        and (len(chunk) <= MAX_KEY or (b'\\"' not in chunk and _LONG_TEXT not in chunk.translate(_MASK_TEXT)))
    )


def _check_shape(root: Any) -> None:
    """Refuse what databases and vendors choke on, level by level, so that depth costs no recursion."""
    level, depth, keys = [root], 0, 0
    while level:
        depth += 1
        below: list[Any] = []
        for value in level:
            if depth > MAX_DEPTH and isinstance(value, dict | list):
                raise EventError("bad_request", f"The event is nested deeper than {MAX_DEPTH} levels. Flatten it.")
            if isinstance(value, dict):
                keys += len(value)
                for key in value:
                    if len(key.encode(errors="surrogatepass")) > MAX_KEY:
                        raise EventError(
                            "bad_request", f"The key {_shown(key)[:40]}... is over {MAX_KEY} bytes. Shorten it."
                        )
                below.extend(value.values())
            elif isinstance(value, list):
                below.extend(value)
            elif isinstance(value, int) and abs(value) >= 2**63:
                raise EventError("bad_request", f"The number {str(value)[:40]} is too large. Send it as a text.")
        if keys > MAX_KEYS:
            raise EventError("bad_request", f"The event has over {MAX_KEYS:,} keys. Send fewer.")
        level = below
