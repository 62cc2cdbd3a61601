"""The way out, against servers that mean harm: every request ends in time, in bounds, and in one of our errors."""

import gzip
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
import responses
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from connectors.client import (
    ANSWER_CAP,
    POOLS,
    RETRY_AFTER_CAP,
    AddressPolicy,
    Answer,
    Client,
    _tls,
    seconds_to_wait,
)
from connectors.errors import Blocked, Busy, CredentialsRefused, DeliveryError, Gone, NoAnswer, Rejected

HEAD = b"HTTP/1.1 200 OK\r\n"
DEADLINE = 0.3
TOLERANCE = 0.5

Script = Callable[[socket.socket, threading.Event], None]


class Server:
    """A server on loopback that reads requests and after each does as its script says."""

    def __init__(self, script: Script, tls: ssl.SSLContext | None = None) -> None:
        self.script, self.tls, self.over, self.requests = script, tls, threading.Event(), []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(5)
                try:
                    if self.tls:
                        connection = self.tls.wrap_socket(connection, server_side=True)
                    while request := self.read(connection):
                        self.requests.append(request)
                        self.script(connection, self.over)
                except OSError:
                    continue
                finally:
                    connection.close()

    def read(self, connection: socket.socket) -> bytes:
        data = b""
        while b"\r\n\r\n" not in data:
            chunk = connection.recv(65536)
            if not chunk:
                return b""
            data += chunk
        head, _, body = data.partition(b"\r\n\r\n")
        length = next((int(x[15:]) for x in head.split(b"\r\n") if x.lower().startswith(b"content-length:")), 0)
        while len(body) < length:
            body += connection.recv(65536)
        return head + b"\r\n\r\n" + body

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/in"

    @property
    def policy(self) -> AddressPolicy:
        return AddressPolicy(allowed=(f"127.0.0.1:{self.port}",))

    def stop(self) -> None:
        self.over.set()
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(5)


@contextmanager
def serving(script: Script, deadline: float = DEADLINE) -> Iterator[tuple[Server, Client]]:
    server = Server(script)
    with Client({}, policy=server.policy, deadline=deadline) as client:
        yield server, client
    server.stop()


def says(*parts: bytes) -> Script:
    return lambda connection, over: connection.sendall(b"".join(parts))


def then_hangs_up(*parts: bytes) -> Script:
    def script(connection: socket.socket, over: threading.Event) -> None:
        connection.sendall(b"".join(parts))
        connection.shutdown(socket.SHUT_RDWR)

    return script


def forever(first: bytes, again: bytes, pause: float = 0.02) -> Script:
    def script(connection: socket.socket, over: threading.Event) -> None:
        connection.sendall(first)
        while not over.wait(pause):
            connection.sendall(again)

    return script


def resets(connection: socket.socket, over: threading.Event) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


OK = HEAD + b"Content-Length: 2\r\n\r\n{}"

NO_ANSWER = {
    "silence": lambda connection, over: over.wait(5) and None,
    "headers a byte at a time": forever(HEAD + b"X-A: ", b"a"),
    "headers without end": forever(HEAD, b"X-A: a\r\n"),
    "100 continue without end": forever(b"", b"HTTP/1.1 100 Continue\r\n\r\n", pause=0.001),
    "reset": resets,
    "a garbage status line": then_hangs_up(b"\x00\xff\x13garbage\r\n\r\n"),
    "an end before the status": then_hangs_up(b""),
    "an end in the status": then_hangs_up(b"HTTP/1.1 2"),
    "ten thousand headers": then_hangs_up(HEAD, b"".join(b"X-%d: a\r\n" % i for i in range(10_000)), b"\r\n"),
    "a header of a megabyte": then_hangs_up(HEAD, b"X: ", b"a" * 1_000_000, b"\r\n\r\n"),
    "two lengths": then_hangs_up(HEAD, b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
}


@pytest.mark.parametrize("script", NO_ANSWER.values(), ids=NO_ANSWER)
def test_no_usable_answer_is_no_answer_and_in_time(script: Script) -> None:
    with serving(script) as (server, client):
        start = time.monotonic()
        with pytest.raises(NoAnswer) as caught:
            client.post(server.url, json={})
        took = time.monotonic() - start
        (exchange,) = client.take_exchanges()

    assert took < DEADLINE + TOLERANCE
    assert caught.value.message.startswith(f"POST http://127.0.0.1:{server.port}/in ")
    assert (exchange.status, exchange.error) == (None, caught.value.message)


CUT = {
    "a body a byte at a time": (forever(HEAD + b"Content-Length: 9999\r\n\r\n", b"a"), b"a"),
    "a body cut short": (then_hangs_up(HEAD + b"Content-Length: 10\r\n\r\nabc"), b"abc"),
    "a chunk cut short": (then_hangs_up(HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab"), b"ab"),
    "a bad chunk": (then_hangs_up(HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\nzz\r\n"), b"a"),
    "a huge body": (forever(HEAD + b"\r\n", b"a" * 100_000, pause=0), b"a" * ANSWER_CAP),
}


@pytest.mark.parametrize(("script", "start"), CUT.values(), ids=CUT)
def test_once_a_status_came_it_stands_however_the_body_ends(script: Script, start: bytes) -> None:
    with serving(script) as (server, client):
        began = time.monotonic()
        answer = client.post(server.url, json={})
        took = time.monotonic() - began
        (exchange,) = client.take_exchanges()

    assert took < DEADLINE + TOLERANCE
    assert (answer.status, answer.truncated, exchange.truncated) == (200, True, True)
    assert answer.body.startswith(start)
    assert len(answer.body) <= ANSWER_CAP


def test_a_compressed_answer_is_not_asked_for_and_not_unpacked() -> None:
    bomb = gzip.compress(bytes(10_000_000))
    head = b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb)
    with serving(says(HEAD, head, bomb)) as (server, client):
        answer = client.get(server.url)

    assert answer.body == bomb
    assert answer.json is None
    assert b"\r\nAccept-Encoding: identity\r\n" in server.requests[0]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_a_refusal_and_not_followed(status: int) -> None:
    inner = Server(says(OK))
    location = f"HTTP/1.1 {status} X\r\nLocation: {inner.url}\r\nContent-Length: 0\r\n\r\n".encode()
    with serving(says(location)) as (server, client), pytest.raises(Rejected) as caught:
        client.post(server.url, json={})
    inner.stop()

    assert caught.value.status == status
    assert inner.requests == []


def test_connections_are_kept_and_used_again() -> None:
    seen = []
    with serving(lambda c, over: (seen.append(c.fileno()), c.sendall(OK))) as (server, client):
        for _ in range(3):
            client.post(server.url, json={})

    assert len(server.requests) == 3
    assert len(set(seen)) == 1


def test_a_connection_that_was_closed_meanwhile_is_opened_anew() -> None:
    closed = threading.Event()

    def script(connection: socket.socket, over: threading.Event) -> None:
        then_hangs_up(OK)(connection, over)
        closed.set()

    with serving(script, deadline=2) as (server, client):
        for _ in range(3):
            assert client.post(server.url, json={}).status == 200
            closed.wait(2)
            closed.clear()

    assert len(server.requests) == 3


def test_a_client_keeps_connections_to_a_few_hosts_only() -> None:
    servers = [Server(says(OK)) for _ in range(POOLS + 2)]
    policy = AddressPolicy(tuple(allowed for server in servers for allowed in server.policy.allowed))
    with Client({}, policy=policy) as client:
        for server in [*servers, *servers]:
            assert client.post(server.url, json={}).status == 200
    for server in servers:
        server.stop()

    assert [len(server.requests) for server in servers] == [2] * len(servers)


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'"\xff"', b"[" * 60_000, b"NaN"])
def test_a_body_that_is_no_json_is_none(body: bytes) -> None:
    assert Answer(200, {}, body, False, 1.0).json is None


def test_proxies_netrc_and_cookies_are_not_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    with serving(says(HEAD, b"Set-Cookie: a=b; Path=/\r\nContent-Length: 0\r\n\r\n")) as (server, client):
        client.get(server.url)
        client.get(server.url)

    assert len(server.requests) == 2
    assert not any(b"Authorization" in request or b"Cookie" in request for request in server.requests)


@pytest.fixture
def vendor_tls(tmp_path: Path) -> ssl.SSLContext:
    """A server's context with a certificate for vendor.test that it has made itself, in tmp_path/vendor.pem."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "vendor.test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(days=1), now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("vendor.test")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = tmp_path / "vendor.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    pem.write_bytes(private + certificate.public_bytes(Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context


@pytest.fixture
def trusted(vendor_tls: ssl.SSLContext, tmp_path: Path) -> Iterator[ssl.SSLContext]:
    """The same, and for this test the client trusts it."""
    _tls.cache_clear()
    _tls().load_verify_locations(tmp_path / "vendor.pem")
    yield vendor_tls
    _tls.cache_clear()


@contextmanager
def serving_tls(script: Script, context: ssl.SSLContext) -> Iterator[tuple[Server, Client]]:
    server = Server(script, context)
    policy = AddressPolicy(server.policy.allowed, resolve=lambda host, port: ["127.0.0.1"])
    with Client({}, policy=policy, deadline=DEADLINE) as client:
        yield server, client
    server.stop()


def test_over_tls_a_vendor_is_spoken_to_under_its_own_name(trusted: ssl.SSLContext) -> None:
    with serving_tls(says(OK), trusted) as (server, client):
        for _ in range(2):
            assert client.post(f"https://vendor.test:{server.port}/in", json={}).json == {}

    assert [b"Host: vendor.test:" in request for request in server.requests] == [True, True]


def test_a_certificate_for_another_name_is_refused(trusted: ssl.SSLContext) -> None:
    with serving_tls(says(OK), trusted) as (server, client), pytest.raises(NoAnswer) as caught:
        client.post(f"https://other.test:{server.port}/in", json={})

    assert server.requests == []
    assert "no secure connection: CERTIFICATE_VERIFY_FAILED" in caught.value.message


def test_a_certificate_that_nobody_vouches_for_is_refused(vendor_tls: ssl.SSLContext) -> None:
    with serving_tls(says(OK), vendor_tls) as (server, client), pytest.raises(NoAnswer):
        client.post(f"https://vendor.test:{server.port}/in", json={})

    assert server.requests == []


SLOW_TLS = {
    "headers a byte at a time": forever(HEAD + b"X-A: ", b"a"),
    "silence": lambda connection, over: over.wait(5) and None,
}


@pytest.mark.parametrize("script", SLOW_TLS.values(), ids=SLOW_TLS)
def test_over_tls_too_an_answer_comes_in_time_or_not_at_all(script: Script, trusted: ssl.SSLContext) -> None:
    with serving_tls(script, trusted) as (server, client):
        start = time.monotonic()
        with pytest.raises(NoAnswer) as caught:
            client.post(f"https://vendor.test:{server.port}/in", json={})
        took = time.monotonic() - start

    assert took < DEADLINE + TOLERANCE
    assert caught.value.message.endswith(f"gave no answer within {DEADLINE:g} s.")


def test_a_handshake_that_stalls_ends_with_the_deadline() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    start = time.monotonic()
    policy = AddressPolicy((f"127.0.0.1:{port}",))
    with listener, Client({}, policy=policy, deadline=DEADLINE) as client, pytest.raises(NoAnswer):
        client.get(f"https://127.0.0.1:{port}/")

    assert time.monotonic() - start < DEADLINE + TOLERANCE


HOSTILE = [
    *("127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0", "127。0。0。1", "①②⑦.⓪.⓪.①", "localhost"),
    *("10.0.0.1", "172.16.0.1", "192.168.0.1", "169.254.169.254", "100.100.100.200", "192.0.0.192", "192.88.99.1"),
    *("198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "192.0.2.1"),
    *("[::1]", "[::]", "[::127.0.0.1]", "[::ffff:127.0.0.1]", "[::ffff:0:127.0.0.1]", "[64:ff9b::a9fe:a9fe]"),
    *("[64:ff9b:1::1]", "[2002:7f00:1::]", "[2001::1]", "[2001:db8::1]", "[3fff::1]", "[5f00::1]", "[fc00::1]"),
    *("[fe80::1]", "[fec0::1]", "[ff02::1]"),
]


@pytest.mark.parametrize("host", HOSTILE)
def test_what_is_not_public_is_refused(host: str) -> None:
    with Client({}) as client, pytest.raises(Blocked):
        client.get(f"https://{host}/")


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111"])
def test_what_is_public_passes(address: str) -> None:
    policy = AddressPolicy(resolve=lambda host, port: [address])

    assert policy.addresses("vendor.test", 443, plain=False, seconds=1) == [address]


def test_a_name_with_one_private_address_is_refused_whole() -> None:
    policy = AddressPolicy(resolve=lambda host, port: ["8.8.8.8", "127.0.0.1"])
    with Client({}, policy=policy) as client, pytest.raises(Blocked) as caught:
        client.get("https://rebinding.test/")

    assert "rebinding.test is not on the public internet" in caught.value.message


def test_a_name_is_looked_up_once_so_that_it_cannot_change_its_mind() -> None:
    server = Server(says(OK))
    answers = iter([["127.0.0.1"], ["169.254.169.254"]])
    policy = AddressPolicy(server.policy.allowed, resolve=lambda host, port: next(answers))
    with Client({}, policy=policy) as client:
        client.get(f"http://vendor.test:{server.port}/")
    server.stop()

    assert f"Host: vendor.test:{server.port}".encode() in server.requests[0]
    assert next(answers) == ["169.254.169.254"]


def test_a_look_up_that_hangs_ends_with_the_deadline() -> None:
    over = threading.Event()
    policy = AddressPolicy(resolve=lambda host, port: over.wait(5) and [])
    start = time.monotonic()
    with Client({}, policy=policy, deadline=DEADLINE) as client, pytest.raises(NoAnswer):
        client.get("https://slow.test/")
    over.set()

    assert time.monotonic() - start < DEADLINE + TOLERANCE


def test_an_unknown_name_is_no_answer() -> None:
    def unknown(host: str, port: int) -> list[str]:
        raise socket.gaierror("unknown")

    with Client({}, policy=AddressPolicy(resolve=unknown)) as client, pytest.raises(NoAnswer) as caught:
        client.get("https://nowhere.test/")

    assert caught.value.message == (
        "GET https://nowhere.test/: The name nowhere.test could not be looked up. Check the address for typing errors."
    )


def test_a_refused_connection_is_no_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with Client({}, policy=AddressPolicy((f"127.0.0.1:{port}",))) as client, pytest.raises(NoAnswer) as caught:
        client.get(f"http://127.0.0.1:{port}/")

    assert caught.value.message == f"GET http://127.0.0.1:{port}/ was not answered: the connection was refused."


def test_the_operators_allowance_is_for_that_port_only() -> None:
    with serving(says(OK)) as (server, client):
        assert client.get(server.url).status == 200
        with pytest.raises(Blocked):
            client.get("http://127.0.0.1:1/")


def test_plain_http_to_the_public_internet_is_refused() -> None:
    policy = AddressPolicy(resolve=lambda host, port: ["8.8.8.8"])
    with Client({}, policy=policy) as client, pytest.raises(Blocked) as caught:
        client.post("http://vendor.test/", json={})

    assert "plain http" in caught.value.message


def test_a_route_leads_elsewhere_and_the_vendor_keeps_its_name() -> None:
    server = Server(says(OK))
    policy = AddressPolicy(server.policy.allowed, {"*.antavo.com": f"http://127.0.0.1:{server.port}"})
    with Client({}, policy=policy) as client:
        client.post("https://api.st1.antavo.com/v1/x?a=1", json={"b": 2})
        (exchange,) = client.take_exchanges()
    server.stop()

    assert server.requests[0].startswith(b"POST /v1/x?a=1 HTTP/1.1\r\n")
    assert b"Host: api.st1.antavo.com\r\n" in server.requests[0]
    assert exchange.url == "https://api.st1.antavo.com/v1/x?a=1"


def test_a_route_to_an_address_that_is_not_allowed_is_refused() -> None:
    policy = AddressPolicy(routes={"vendor.test": "http://127.0.0.1:8072"})
    with Client({}, policy=policy) as client, pytest.raises(Blocked):
        client.get("https://vendor.test/")


@pytest.mark.parametrize("entry", ["127.0.0.1", "localhost:80", "127.0.0.1:x", ""])
def test_an_allowance_that_makes_no_sense_is_refused_at_once(entry: str) -> None:
    with pytest.raises(ValueError, match="is not address:port"):
        AddressPolicy(allowed=(entry,))


@pytest.mark.parametrize(
    "url",
    ["ftp://vendor.test/", "file:///etc/passwd", "https://", "https://me:pw@vendor.test/", "https://vendor.test/#a"]
    + ["https://vendor.test:99999/", "https://" + "a" * 300 + ".test/", "https://[::1/", "gopher://x://y"],
)
def test_a_url_that_is_not_plain_https_is_refused(url: str) -> None:
    with Client({}) as client, pytest.raises(Blocked):
        client.get(url)


@pytest.mark.parametrize(
    "headers",
    [{"X-A": "a\r\nX-B: b"}, {"X-A": "a\x00"}, {"X-A": "naïve"}, {"X A": "a"}, {"Host": "other"}, {"": "a"}]
    + [{"Content-Length": "0"}, {"transfer-encoding": "chunked"}],
)
def test_a_header_that_could_break_the_request_is_refused(headers: dict[str, str]) -> None:
    with serving(says(OK)) as (server, client), pytest.raises(Rejected):
        client.post(server.url, json={}, headers=headers)

    assert server.requests == []


class Vendor(Client):
    base_url = "https://api.{stack}.vendor.test"
    request_id_header = "x-vendor-id"


@pytest.mark.parametrize("stack", ["", None, "evil.test/", "evil.test#", "a@evil.test", "a:1", "é", "..", "a\n"])
def test_a_setting_cannot_choose_the_host(stack: object) -> None:
    with Vendor({"stack": stack}) as client, pytest.raises(Blocked):
        client.get("/")


STATUSES = (
    [(status, CredentialsRefused) for status in (401, 403)]
    + [(410, Gone)]
    + [(status, Busy) for status in (408, 423, 425, 429, 500, 502, 503, 504, 507, 520, 599)]
    + [(status, Rejected) for status in (300, 304, 400, 402, 404, 405, 409, 413, 422, 451, 501, 505, 511)]
)


@pytest.mark.parametrize(("status", "error"), STATUSES)
@responses.activate
def test_each_status_means_what_the_house_says(status: int, error: type[DeliveryError]) -> None:
    responses.post("https://api.st1.vendor.test/x", status=status, json={"error": {"message": "no,\n really"}})
    client = Vendor({"stack": "st1"})

    with pytest.raises(DeliveryError) as caught:
        client.post("/x?api_key=s3cret", json={})

    assert type(caught.value) is error
    assert caught.value.status == status
    assert caught.value.message == f"POST https://api.st1.vendor.test/x answered {status}: no, really"


@responses.activate
def test_an_expected_status_is_an_answer() -> None:
    responses.get("https://api.st1.vendor.test/x", status=404, json={"a": 1})

    assert Vendor({"stack": "st1"}).get("/x", expect={404}).json == {"a": 1}


@pytest.mark.parametrize(
    ("body", "content_type", "words"),
    [
        ('{"errors": [{"type": "t", "message": "bad token"}]}', "application/json", "bad token"),
        ('{"meta": 1}', "application/json", '{"meta": 1}'),
        ("Bad Request", "text/plain", "Bad Request"),
        ("<html><body>Oops</body></html>", "text/html", "Bad Request"),
        ("", "text/plain", "Bad Request"),
        ("\x1b[31mred\u2028\x00", "text/plain", "[31mred"),
        ("a" * 1000, "text/plain", "a" * 300),
    ],
)
@responses.activate
def test_the_vendors_own_words_are_told_on_one_line(body: str, content_type: str, words: str) -> None:
    responses.get("https://api.st1.vendor.test/x", status=400, body=body, content_type=content_type)

    with pytest.raises(Rejected) as caught:
        Vendor({"stack": "st1"}).get("/x")

    assert caught.value.message == f"GET https://api.st1.vendor.test/x answered 400: {words}"


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("2", 2.0),
        ("0", 0.0),
        ("1.5", 1.5),
        ("1e15", RETRY_AFTER_CAP),
        ("-5", None),
        ("nan", None),
        ("inf", None),
        ("soon", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("Wed, 99 Oct 2015 07:28:00 GMT", None),
        ("Fri, 31 Dec 9999 23:59:59 GMT", RETRY_AFTER_CAP),
        ("9" * 400, None),
    ],
)
def test_retry_after_is_read_with_care(header: str | None, seconds: float | None) -> None:
    assert seconds_to_wait(header) == seconds


def test_retry_after_may_be_a_date() -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)

    assert seconds_to_wait(date) == pytest.approx(89.5, abs=1)


@responses.activate
def test_a_retry_after_without_sense_is_ignored_and_noted() -> None:
    responses.get("https://api.st1.vendor.test/x", status=503, headers={"Retry-After": "soon"})

    with pytest.raises(Busy, match="Its Retry-After “soon” makes no sense and is ignored") as caught:
        Vendor({"stack": "st1"}).get("/x")

    assert caught.value.retry_after is None


@responses.activate
def test_every_exchange_is_remembered_until_taken() -> None:
    responses.put("https://api.st1.vendor.test/x", json={"ok": 1}, headers={"X-Vendor-Id": "r-1"})
    responses.put("https://api.st1.vendor.test/y", status=500, body="broken")
    client = Vendor({"stack": "st1"})

    client.put("/x", json={"a": "é"}, headers={"X-A": "1"}, auth=("key", ""))
    with pytest.raises(Busy):
        client.put("/y", data={"a": "b c"}, auth="tok")
    first, second = client.take_exchanges()

    assert (first.method, first.url, first.status) == ("PUT", "https://api.st1.vendor.test/x", 200)
    assert first.request_body == b'{"a":"\xc3\xa9"}'
    assert first.request_headers == {
        "User-Agent": "Switchyard",
        "Accept": "*/*",
        "Accept-Encoding": "identity",
        "Content-Type": "application/json",
        "Authorization": "Basic a2V5Og==",
        "X-A": "1",
    }
    assert (first.response_body, first.request_id, first.error, first.truncated) == (b'{"ok": 1}', "r-1", "", False)
    assert (second.status, second.request_body, second.response_body) == (500, b"a=b+c", b"broken")
    assert second.request_headers["Authorization"] == "Bearer tok"
    assert second.error == "PUT https://api.st1.vendor.test/y answered 500: broken"
    assert client.take_exchanges() == ()


@responses.activate
def test_nothing_secret_shows_in_a_repr() -> None:
    responses.post("https://api.st1.vendor.test/x", json={"token": "s3cret"})
    client = Vendor({"stack": "st1", "token": "s3cret"})

    answer = client.post("/x?key=s3cret", json={"key": "s3cret"}, auth="s3cret")

    assert "s3cret" not in repr((client, answer, client.take_exchanges(), client.policy))


@pytest.mark.parametrize("json", [{"a": {1, 2}.__iter__()}, {"a": "\ud800"}])
def test_a_payload_that_is_no_json_is_rejected_before_sending(json: object) -> None:
    with serving(says(OK)) as (server, client), pytest.raises(Rejected):
        client.post(server.url, json=json)

    assert server.requests == []
