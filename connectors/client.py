"""Why a connector needs no HTTP code of its own: one guarded way out, where every failure becomes one of our errors.

Guards, each against a receiver we do not trust: where a request may go is decided at connect time on the address used;
one deadline covers the whole exchange, byte by byte; only so many bytes of an answer are read; no redirects, no
proxies or netrc from the environment, no compressed answers, no cookies.
"""

from __future__ import annotations

import base64
import functools
import ipaddress
import math
import queue
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from fnmatch import fnmatchcase
from http.client import HTTPException
from http.client import responses as reasons
from typing import Any, ClassVar, Self
from urllib.parse import urlencode, urlsplit

import msgspec
import requests
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError
from urllib3.util.ssl_ import create_urllib3_context

from connectors.errors import Blocked, Busy, CredentialsRefused, DeliveryError, Gone, NoAnswer, Rejected

ANSWER_CAP = 64 * 1024
DEADLINE = 15.0
RETRY_AFTER_CAP = 3600.0
POOLS = 16
USER_AGENT = "Switchyard"

BUSY = frozenset({408, 423, 425, 429})
FINAL_5XX = frozenset({501, 505, 511})

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], Sequence[str]]

# https://www.iana.org/assignments/iana-ipv4-special-registry: globally reachable or not, no vendor lives there.
SPECIAL_V4 = tuple(
    ipaddress.IPv4Network(block)
    for block in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
# https://www.iana.org/assignments/iana-ipv6-special-registry. Python's is_global passes NAT64, 6to4 and others that
# lead back inside (cpython#113171, #122792), so public means: global unicast, minus these.
PUBLIC_V6 = ipaddress.IPv6Network("2000::/3")
SPECIAL_V6 = tuple(
    ipaddress.IPv6Network(block)
    for block in ("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20")
)

SAFE_IN_HOST = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
HEADER_VALUE = re.compile(r"([!-~]([ \t!-~]*[!-~])?)?")
OURS_TO_SET = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "te", "trailer", "upgrade", "expect"}
)


def is_public(address: Address) -> bool:
    """Whether an address belongs to the public internet; an IPv4 address inside an IPv6 one is judged as itself."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is None:
            return address in PUBLIC_V6 and not any(address in block for block in SPECIAL_V6)
        address = address.ipv4_mapped
    return not any(address in block for block in SPECIAL_V4)


def lookup(host: str, port: int) -> Sequence[str]:
    """Every address of a name, as the system's resolver gives them."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


@dataclass(frozen=True, slots=True)
class AddressPolicy:
    """Where requests may go: https to public addresses, and what an operator explicitly allows beside that.

    `allowed` are `address:port` pairs that may be reached although not public, also by plain http. `routes` send the
    requests for a host, or a pattern such as `*.antavo.com`, to another origin; the URL in the logs and the Host
    header stay those of the vendor.
    """

    allowed: tuple[str, ...] = ()
    routes: Mapping[str, str] = field(default_factory=dict)
    resolve: Resolve = lookup
    _pairs: frozenset[tuple[Address, int]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_pairs", frozenset(_pair(entry) for entry in self.allowed))

    def route(self, host: str) -> str | None:
        """The origin that requests for this host go to instead, if any; an exact name before a pattern."""
        if not self.routes:
            return None
        if host in self.routes:
            return self.routes[host]
        return next((origin for pattern, origin in self.routes.items() if fnmatchcase(host, pattern)), None)

    def addresses(self, host: str, port: int, *, plain: bool, seconds: float) -> list[str]:
        """The addresses of a host that may be connected to; raises Blocked unless every one of them may.

        A name with one public and one private address is refused: which of them is used must not be a matter of luck.
        """
        found = [ipaddress.ip_address(text.partition("%")[0]) for text in _resolve_within(self, host, port, seconds)]
        for address in found:
            if (address, port) not in self._pairs and not is_public(address):
                raise Blocked(
                    f"{host} is not on the public internet, so nothing was sent. An operator can allow its address and "
                    f"port {port} with SWITCHYARD_SEND_ALLOWED."
                )
            if plain and (address, port) not in self._pairs:
                raise Blocked(f"{host} would be reached by plain http, so nothing was sent. Use an https:// address.")
        return [str(address) for address in found]


def _pair(entry: str) -> tuple[Address, int]:
    address, _, port = entry.rpartition(":")
    try:
        return ipaddress.ip_address(address.strip("[]")), int(port)
    except ValueError:
        raise ValueError(f"{entry!r} is not address:port, such as 127.0.0.1:8072 or [::1]:8072") from None


def _resolve_within(policy: AddressPolicy, host: str, port: int, seconds: float) -> Sequence[str]:
    """Look a name up, for at most so many seconds; in a thread of its own, for getaddrinfo knows no deadline."""
    try:
        return [str(ipaddress.ip_address(host))]
    except ValueError:
        pass
    found: queue.SimpleQueue[Sequence[str] | Exception] = queue.SimpleQueue()

    def ask() -> None:
        try:
            found.put(policy.resolve(host, port))
        except Exception as error:  # noqa: BLE001 (handed to the thread that asked)
            found.put(error)

    threading.Thread(target=ask, name="resolve", daemon=True).start()
    try:
        answer = found.get(timeout=seconds)
    except queue.Empty:
        raise NoAnswer(f"The name {host} could not be looked up in time.") from None
    if isinstance(answer, OSError | UnicodeError) or not answer:
        raise NoAnswer(f"The name {host} could not be looked up. Check the address for typing errors.")
    if isinstance(answer, Exception):
        raise answer
    return answer


@dataclass(frozen=True, slots=True)
class Exchange:
    """One HTTP request and what came back; `status` is None when nothing did. Holds secrets: redact before storing."""

    method: str
    url: str
    request_headers: dict[str, str]
    request_body: bytes
    status: int | None
    response_headers: dict[str, str]
    response_body: bytes
    truncated: bool
    ms: float
    request_id: str
    error: str

    def __repr__(self) -> str:
        return f"Exchange({_where(self.method, self.url)}, {self.status}, {self.ms:.0f} ms)"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a vendor answered. `truncated`: the rest of the body was too long, too slow or never came.

    `note` is what a connector has to say about a success, for the log.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    truncated: bool
    ms: float
    request: str = ""
    note: str = ""

    def __repr__(self) -> str:
        return f"Answer({self.request}, {self.status}, {self.ms:.0f} ms)"

    @property
    def json(self) -> Any:
        """The body as JSON, whatever its content type; None if it is none."""
        try:
            return msgspec.json.decode(self.body)
        except (ValueError, RecursionError):
            return None


class Client:
    """One vendor, one account, one thread: connections kept alive, exchanges remembered until taken.

    Subclasses set `base_url`, in which `{names}` are settings, and add a method per operation of the vendor. Those that
    read lists may raise `answer_cap`; an exchange keeps ANSWER_CAP bytes all the same.
    """

    base_url: ClassVar[str] = ""
    request_id_header: ClassVar[str] = "x-request-id"
    answer_cap: ClassVar[int] = ANSWER_CAP

    def __init__(
        self, settings: dict[str, Any], *, policy: AddressPolicy | None = None, deadline: float = DEADLINE
    ) -> None:
        self.settings = settings
        self.policy = policy or AddressPolicy()
        self.deadline = deadline
        self._adapter = _Adapter(self.policy)
        self._exchanges: list[Exchange] = []

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections kept alive; the client can still be used afterwards."""
        self._adapter.close()

    def take_exchanges(self) -> tuple[Exchange, ...]:
        """What has been sent since the last call, failed exchanges included; forgotten here once taken."""
        taken, self._exchanges = tuple(self._exchanges), []
        return taken

    def get(self, path_or_url: str, **options: Any) -> Answer:
        return self.request("GET", path_or_url, **options)

    def post(self, path_or_url: str, **options: Any) -> Answer:
        return self.request("POST", path_or_url, **options)

    def put(self, path_or_url: str, **options: Any) -> Answer:
        return self.request("PUT", path_or_url, **options)

    def patch(self, path_or_url: str, **options: Any) -> Answer:
        return self.request("PATCH", path_or_url, **options)

    def delete(self, path_or_url: str, **options: Any) -> Answer:
        return self.request("DELETE", path_or_url, **options)

    def request(
        self,
        method: str,
        path_or_url: str,
        *,
        json: Any = None,
        data: bytes | str | Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        auth: tuple[str, str] | str | None = None,
        expect: Collection[int] = (),
    ) -> Answer:
        """Send one request and return the answer if its status is 2xx or in `expect`; otherwise raise a DeliveryError.

        `json` is sent as JSON, `data` as it is (a mapping as a form). `auth` is a Basic pair or a Bearer token.
        Nothing is sent at all when Blocked is raised, or Rejected without a status.
        """
        url = _checked(path_or_url if "://" in path_or_url else self._base() + path_or_url)
        where = _where(method, url)
        body, content_type = _encoded(json, data, where)
        sent = {"User-Agent": USER_AGENT, "Accept": "*/*", "Accept-Encoding": "identity"}
        if content_type:
            sent["Content-Type"] = content_type
        if auth:
            sent["Authorization"] = f"Bearer {auth}" if isinstance(auth, str) else _basic(*auth)
        headers = {**(headers or {}), **self.sign(method, url, body or b"")}
        if headers:
            given = {name.lower() for name in headers}
            sent = {name: value for name, value in sent.items() if name.lower() not in given} | headers
        _check_headers(sent, where)
        return self._exchange(method, url, where, sent, body, expect)

    def sign(self, method: str, url: str, body: bytes) -> Mapping[str, str]:
        """Headers that prove who sends these bytes there; a connector whose vendor wants signatures overrides it."""
        return {}

    def error_for(self, answer: Answer) -> DeliveryError | None:
        """The error an answer other than 2xx stands for; a connector overrides it to read its vendor's own words.

        None makes the answer a success after all.
        """
        status, words = answer.status, vendor_words(answer)
        message = f"{answer.request} answered {status}: {words}"
        if status in (401, 403):
            return CredentialsRefused(message, status=status)
        if status == 410:
            return Gone(message, status=status)
        if status in BUSY or (status >= 500 and status not in FINAL_5XX):
            asked = answer.headers.get("Retry-After")
            wait = seconds_to_wait(asked)
            if asked and wait is None:
                message += f" (Its Retry-After “{asked[:40]}” makes no sense and is ignored.)"
            return Busy(message, status=status, retry_after=wait)
        return Rejected(message, status=status)

    def request_id(self, answer: Answer) -> str:
        """The vendor's own id of the request, which its support will ask for; empty if it gives none."""
        return answer.headers.get(self.request_id_header, "")[:200]

    def _base(self) -> str:
        """`base_url` with the settings filled in, each a part of a name: a setting must not lead to another host."""
        values = {}
        for name in re.findall(r"{(\w+)}", self.base_url):
            value = str(self.settings.get(name) or "")
            if not SAFE_IN_HOST.fullmatch(value):
                raise Blocked(
                    f"The setting {name!r} is {'not usable' if value else 'empty'}; correct it in the account."
                )
            values[name] = value
        return self.base_url.format(**values)

    def _exchange(
        self, method: str, url: str, where: str, headers: dict[str, str], body: bytes | None, expect: Collection[int]
    ) -> Answer:
        start = time.perf_counter()
        answer: Answer | None = None
        failure: DeliveryError | None = None
        try:
            status, received, content, truncated = self._adapter.exchange(
                method, url, headers, body, self.deadline, self.answer_cap
            )
            answer = Answer(status, received, content, truncated, _ms_since(start), where)
            if not 200 <= status < 300 and status not in expect:
                failure = self.error_for(answer)
        except NoAnswer as error:
            failure = NoAnswer(f"{where}: {error.message}", unsent=True)
        except DeliveryError as error:
            failure = type(error)(f"{where}: {error.message}")
        except ssl.SSLError as error:
            failure = NoAnswer(
                f"{where}: no secure connection: {error.reason or 'handshake failed'}. Check its certificate.",
                unsent=isinstance(error, ssl.SSLCertVerificationError),
            )
        except TimeoutError:
            failure = NoAnswer(f"{where} gave no answer within {self.deadline:g} s.")
        except ConnectionRefusedError:
            failure = NoAnswer(f"{where} was not answered: the connection was refused.", unsent=True)
        except (OSError, HTTPException, HTTPError):
            failure = NoAnswer(f"{where} was not answered: the connection broke off.")
        self._exchanges.append(
            Exchange(
                method=method,
                url=url,
                request_headers=headers,
                request_body=body or b"",
                status=answer.status if answer else None,
                response_headers=dict(answer.headers) if answer else {},
                response_body=answer.body[:ANSWER_CAP] if answer else b"",
                truncated=bool(answer and (answer.truncated or len(answer.body) > ANSWER_CAP)),
                ms=answer.ms if answer else _ms_since(start),
                request_id=self.request_id(answer) if answer else "",
                error=failure.message if failure else "",
            )
        )
        if failure:
            raise failure
        assert answer is not None
        return answer


def vendor_words(answer: Answer) -> str:
    """What the vendor says went wrong, on one line: from the usual places in JSON, else the text, else the status."""
    said: Any = answer.json
    for key in ("errors", "error", "message", "errorMessage", "error_description", "detail"):
        while isinstance(said, list) and said:
            said = said[0]
        if isinstance(said, dict) and said.get(key):
            said = said[key]
    if not isinstance(said, str | int | float):
        plain = "html" not in answer.headers.get("Content-Type", "")
        said = answer.body[:400].decode("utf-8", "replace") if plain else ""
    line = " ".join("".join(c if c.isprintable() else " " for c in str(said)).split())
    return line[:300] or reasons.get(answer.status, "no reason given")


def seconds_to_wait(header: str | None) -> float | None:
    """Retry-After in seconds, between 0 and RETRY_AFTER_CAP; None if there is none or it makes no sense."""
    if not header:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(header).timestamp() - time.time()
        except (ValueError, TypeError, OverflowError, IndexError):
            return None
        seconds = max(0.0, seconds)
    if not math.isfinite(seconds) or seconds < 0:
        return None
    return min(seconds, RETRY_AFTER_CAP)


def _ms_since(start: float) -> float:
    return (time.perf_counter() - start) * 1000


def _where(method: str, url: str) -> str:
    """How messages name a request: without the query, where some vendors want their secrets."""
    return f"{method} {url.partition('?')[0]}"


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def _encoded(json: Any, data: bytes | str | Mapping[str, Any] | None, where: str) -> tuple[bytes | None, str]:
    """The body and its content type."""
    if json is not None:
        try:
            return msgspec.json.encode(json), "application/json"
        except (TypeError, ValueError, RecursionError) as error:
            raise Rejected(f"{where} was not sent: the payload cannot be written as JSON: {error}") from None
    if isinstance(data, Mapping):
        return urlencode(data).encode(), "application/x-www-form-urlencoded"
    return (data.encode() if isinstance(data, str) else data), ""


def _check_headers(headers: Mapping[str, str], where: str) -> None:
    """Raise Rejected for a header that would break, or smuggle something into, the request."""
    for name, value in headers.items():
        if not HEADER_NAME.fullmatch(name) or name.lower() in OURS_TO_SET:
            raise Rejected(f"{where} was not sent: {name!r} is not a header that can be set.")
        if not HEADER_VALUE.fullmatch(value):
            raise Rejected(f"{where} was not sent: the header {name} may only have visible ASCII characters.")


@functools.lru_cache(maxsize=4096)
def _checked(url: str) -> str:
    """The URL in its normal form (IDNA, percent-encoding); raises Blocked for one we would not send to."""
    request = requests.PreparedRequest()
    try:
        request.prepare_url(url, None)
        parts = urlsplit(request.url or "")
        host, _ = parts.hostname, parts.port
    except (requests.RequestException, HTTPError, ValueError):
        raise Blocked("Nothing was sent: the URL is malformed. Correct it in the mapping.") from None
    if parts.scheme not in ("http", "https") or not host or len(host) > 253:
        raise Blocked("Nothing was sent: the URL must start with https:// and a host name.")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise Blocked("Nothing was sent: the URL must have no user name, password or #fragment in it.")
    return str(request.url)


class _Wire:
    """What the connections of one client share: the policy, and the deadline of the exchange in progress."""

    def __init__(self, policy: AddressPolicy) -> None:
        self.policy = policy
        self.ends = 0.0

    def remaining(self) -> float:
        left = self.ends - time.monotonic()
        if left <= 0:
            raise TimeoutError("deadline")
        return left

    def connect(self, host: str, port: int, *, plain: bool) -> _Socket:
        """A socket connected to the first address of the host that answers; each gets its share of the time left."""
        addresses = self.policy.addresses(host, port, plain=plain, seconds=self.remaining())
        last: OSError | None = None
        for i, address in enumerate(addresses):
            sock = _Socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
            try:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.settimeout(self.remaining() / (len(addresses) - i))
                sock.connect((address, port))
                if ipaddress.ip_address(sock.getpeername()[0].partition("%")[0]) != ipaddress.ip_address(address):
                    raise Blocked(f"{host} led to another address than the one that was checked; nothing was sent.")
                sock.settimeout(self.remaining())
            except OSError as error:
                sock.close()
                last = error
            except Blocked:
                sock.close()
                raise
            else:
                sock.wire = self
                return sock
        raise last or NoAnswer(f"The name {host} has no address.")


class _Socket(socket.socket):
    """A socket that gives each call only what is left of the deadline: a byte a second must not add up."""

    wire: _Wire | None = None

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        if self.wire:
            self.settimeout(self.wire.remaining())
        return super().recv_into(*args, **kwargs)

    def sendall(self, *args: Any, **kwargs: Any) -> None:
        if self.wire:
            self.settimeout(self.wire.remaining())
        super().sendall(*args, **kwargs)


class _TLSSocket(ssl.SSLSocket):
    """The same over TLS, where sendall is made of sends."""

    wire: _Wire | None = None

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        if self.wire:
            self.settimeout(self.wire.remaining())
        return super().recv_into(*args, **kwargs)

    def send(self, *args: Any, **kwargs: Any) -> int:
        if self.wire:
            self.settimeout(self.wire.remaining())
        return super().send(*args, **kwargs)


@functools.cache
def _tls() -> ssl.SSLContext:
    """One context for all connections: reading the certificates of the authorities takes longer than a request."""
    context = create_urllib3_context()
    context.load_verify_locations(DEFAULT_CA_BUNDLE_PATH)
    context.sslsocket_class = _TLSSocket
    return context


class _Connection(HTTPConnection):
    def __init__(self, *args: Any, wire: _Wire, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.wire = wire

    def _new_conn(self) -> socket.socket:
        return self.wire.connect(self.host, self.port, plain=True)


class _TLSConnection(HTTPSConnection):
    def __init__(self, *args: Any, wire: _Wire, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.wire = wire

    def _new_conn(self) -> socket.socket:
        return self.wire.connect(self.host, self.port, plain=False)

    def connect(self) -> None:
        super().connect()
        if isinstance(self.sock, _TLSSocket):
            self.sock.wire = self.wire


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TLSPool(HTTPSConnectionPool):
    ConnectionCls = _TLSConnection


class _Adapter(HTTPAdapter):
    """requests' way to the wire, with our pools in it.

    A Session above it would add cookies, redirects and the environment's proxies, which we refuse, for 0.4 ms a request
    (measured), so requests are prepared here.
    """

    def __init__(self, policy: AddressPolicy) -> None:
        super().__init__(max_retries=0)
        self.wire = _Wire(policy)
        self.pools: dict[tuple[str, str, int], HTTPConnectionPool] = {}

    def exchange(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, deadline: float, cap: int
    ) -> tuple[int, Mapping[str, str], bytes, bool]:
        """Status, headers, body and whether the body was cut. Raises what the network raises, or a DeliveryError.

        Once a status has come it stands, however the body ends: the vendor has decided, and asking again would do the
        thing twice.
        """
        self.wire.ends = time.monotonic() + deadline
        request = requests.PreparedRequest()
        request.method, request.url, request.body = method, url, body
        request.headers = CaseInsensitiveDict(headers)
        if body is not None:
            request.headers["Content-Length"] = str(len(body))
        try:
            response = self.send(request, stream=True, timeout=deadline)
        except requests.RequestException as error:
            raise self._cause(error) from None
        content, truncated = self._read(response, cap)
        return response.status_code, response.headers, content, truncated

    def _read(self, response: requests.Response, cap: int) -> tuple[bytes, bool]:
        content = bytearray()
        try:
            while len(content) <= cap:
                chunk = response.raw.read1(cap + 1 - len(content), decode_content=False)
                if not chunk:
                    response.raw.release_conn()
                    return bytes(content), False
                content += chunk
        except (OSError, HTTPException, HTTPError, ValueError):
            pass
        response.raw.close()
        return bytes(content[:cap]), True

    def _cause(self, error: requests.RequestException) -> Exception:
        """What really happened, from inside the layers that requests and urllib3 wrap around it."""
        if time.monotonic() >= self.wire.ends:
            return TimeoutError("deadline")
        inner: BaseException | None = error
        while inner is not None:
            if isinstance(inner, ssl.SSLError | TimeoutError | ConnectionRefusedError):
                return inner
            inner = inner.__cause__ or inner.__context__
        return error

    def get_connection_with_tls_context(
        self,
        request: requests.PreparedRequest,
        verify: Any,
        proxies: Any = None,
        cert: Any = None,
    ) -> HTTPConnectionPool:
        parts = urlsplit(str(request.url))
        host = parts.hostname or ""
        route = self.wire.policy.route(host)
        if route is not None:
            request.headers["Host"] = parts.netloc
            parts = urlsplit(route)
            host = parts.hostname or ""
        origin = (parts.scheme, host, parts.port or (443 if parts.scheme == "https" else 80))
        if origin not in self.pools:
            if len(self.pools) >= POOLS:
                self.pools.pop(next(iter(self.pools))).close()
            kind: type[HTTPConnectionPool] = _TLSPool if parts.scheme == "https" else _Pool
            secure: dict[str, Any] = (
                {"ssl_context": _tls(), "cert_reqs": "CERT_REQUIRED"} if parts.scheme == "https" else {}
            )
            self.pools[origin] = kind(host, origin[2], maxsize=2, wire=self.wire, **secure)
        return self.pools[origin]

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """The pool has its context already."""

    def close(self) -> None:
        for pool in self.pools.values():
            pool.close()
        self.pools.clear()
        super().close()
