"""Reading a request's body: never more than we are ready to hold, packed or unpacked."""

from __future__ import annotations

import zlib

from django.http import HttpRequest

from integrations.doors.answers import Refused

UNPACKED = 5 * 1024 * 1024  # bytes; the most a body may hold once unpacked
TRACKING = 1024 * 1024  # bytes read from the wire; twice what Segment takes in a batch
WEBHOOK = UNPACKED  # Segment's webhooks send up to 4,000 events, unpacked

_GZIP = 31  # zlib's word for "gzip header and trailer, largest window"


def read(request: HttpRequest, cap: int) -> bytes:
    """The body as it came over the wire. Raises Refused: 413 over the cap, 400 when the sender hangs up."""
    announced = request.META.get("CONTENT_LENGTH") or ""
    if announced.isdecimal() and int(announced[:20]) > cap:
        raise _too_large(cap)
    chunked = not announced and "chunked" in request.META.get("HTTP_TRANSFER_ENCODING", "").lower()
    stream = request.META["wsgi.input"] if chunked else request  # Django reads nothing where no length is announced
    try:
        body: bytes = stream.read(cap + 1)
    except OSError as error:
        raise Refused(400, "bad_request", f"The body broke off: {error}.") from None
    if len(body) > cap:
        raise _too_large(cap)
    return body


def unpack(request: HttpRequest, packed: bytes) -> bytes:
    """The body as the sender meant it. Raises Refused: 415 for what is no JSON or packed otherwise than by gzip,
    413 past UNPACKED, 400 for broken gzip."""
    _check_content_type(request.META.get("CONTENT_TYPE", ""))
    encoding = request.META.get("HTTP_CONTENT_ENCODING", "").strip().lower()
    if encoding in ("", "identity"):
        return packed
    if encoding != "gzip":
        raise Refused(415, "unsupported_encoding", f"Content-Encoding is {encoding[:40]!r}; send gzip, or none.")
    return _gunzip(packed)


def _gunzip(packed: bytes) -> bytes:
    """One layer, whole and nothing after it. What would unpack past the cap is given up as soon as that shows."""
    unpacker = zlib.decompressobj(_GZIP)
    try:
        body = unpacker.decompress(packed, UNPACKED + 1)
    except zlib.error as error:
        raise Refused(400, "bad_request", f"The body is not the gzip it claims to be: {error}.") from None
    if len(body) > UNPACKED:
        raise _too_large(UNPACKED)
    if not unpacker.eof:
        raise Refused(400, "bad_request", "The gzip body breaks off before its end.")
    if unpacker.unused_data:
        raise Refused(400, "bad_request", "The gzip body goes on after its end; send one gzip stream.")
    return body


def _check_content_type(header: str) -> None:
    media, *parameters = (part.strip().lower() for part in header.split(";"))
    charset = next((p.removeprefix("charset=").strip('"') for p in parameters if p.startswith("charset=")), "utf-8")
    if media not in ("", "application/json", "text/plain") or charset not in ("utf-8", "utf8"):
        raise Refused(
            415, "unsupported_media_type", f"Content-Type is {header[:80]!r}; send application/json, in UTF-8."
        )


def _too_large(cap: int) -> Refused:
    return Refused(413, "body_too_large", f"The body is over {cap:,} bytes. Send fewer events at once.")
