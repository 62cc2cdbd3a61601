"""One HTTP server for all emulated vendors, told apart by the Host header, or by the path when called directly.

Below /__sandbox__/ it is told what to know (`seed`), how to misbehave (`switches`), and asked what it got (`received`,
`counts`, and as a page to look at `/__sandbox__/` itself). Everything is in memory: a restart forgets it.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
import zlib
from dataclasses import asdict
from http.client import responses as reasons
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

import msgspec

from connectors.client import AddressPolicy
from connectors.sandbox import pages
from connectors.sandbox.antavo import Antavo
from connectors.sandbox.memory import Faults, Memory, Reply, Request, Switches
from connectors.sandbox.qualtrics import Qualtrics
from connectors.sandbox.segment import PUBLIC, TRACKING, PublicApi, Tracking, World
from connectors.sandbox.webhook import Webhook

JSON = dict[str, Any]

CONTROL = "/__sandbox__/"
BODY_CAP = 8 * 1024 * 1024
PAGE = 10_000
HANG = 300.0


class Emulator(Protocol):
    """A vendor's API."""

    name: str
    memory: Memory
    faults: Faults

    def owns(self, host: str, path: str) -> bool: ...
    def fault(self, status: int, retry_after: float | None) -> Reply: ...
    def answer(self, request: Request) -> Reply: ...


class Sandbox:
    """The emulated vendors on one port; in a test: `with Sandbox() as sandbox: …`."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self.world = World()
        self.antavo = Antavo()
        self.qualtrics = Qualtrics()
        self.vendors: tuple[Emulator, ...] = (
            self.antavo,
            self.qualtrics,
            Webhook(),
            Tracking(self.world),
            PublicApi(self.world),
        )
        self.stopping = threading.Event()
        self._server = _Server((host, port), self)
        self.host, self.port = host, int(self._server.server_address[1])

    def __enter__(self) -> Sandbox:
        threading.Thread(target=self.serve, name="sandbox", daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()
        self._server.server_close()

    def serve(self) -> None:
        """Serve until `stop` is called, from another thread or a signal handler's."""
        self._server.serve_forever(poll_interval=0.05)

    def stop(self) -> None:
        """Stop serving and let go of every connection, also of those that hang."""
        self.stopping.set()
        self._server.shutdown()
        self._server.hang_up()

    @property
    def policy(self) -> AddressPolicy:
        """The address policy under which clients reach the sandbox in place of the vendors."""
        origin = f"http://{self.host}:{self.port}"
        hosts = (*TRACKING, *PUBLIC, "*.antavo.com", "*.qualtrics.com")
        return AddressPolicy(allowed=(f"{self.host}:{self.port}",), routes=dict.fromkeys(hosts, origin))

    def vendor(self, name: str) -> Emulator:
        """KeyError if there is no such vendor."""
        for vendor in self.vendors:
            if vendor.name == name:
                return vendor
        raise KeyError(f"no vendor {name!r}; there are: {', '.join(v.name for v in self.vendors)}")

    def received(self, vendor: str, since: int = 0, limit: int | None = None) -> list[JSON]:
        """What arrived at a vendor, each `{n, key, host, at, body, reason}`; `reason` is empty for what it took in."""
        return [asdict(item) for item in self.vendor(vendor).memory.received(since, limit)]

    def accepted(self, vendor: str) -> list[Any]:
        """The bodies of what a vendor took in, oldest first."""
        return [item.body for item in self.vendor(vendor).memory.received() if not item.reason]

    def counts(self) -> JSON:
        return {vendor.name: vendor.memory.counts() for vendor in self.vendors}

    def switch(self, vendor: str, **switches: Any) -> None:
        """Replace the switches of a vendor; none at all makes it behave again."""
        self.vendor(vendor).faults.set(Switches.of(switches))

    def seed(
        self,
        *,
        segment: list[JSON] | None = None,
        antavo: JSON | None = None,
        qualtrics: list[JSON] | None = None,
    ) -> None:
        """Make workspaces, keys and accounts known, beside those that are: see the `seed` of each vendor."""
        self.world.seed(segment or [])
        self.antavo.seed(antavo or {})
        self.qualtrics.seed(qualtrics or [])

    def clear(self, *, seeds: bool = False) -> None:
        """Forget what arrived, and with `seeds` what was seeded too."""
        for vendor in self.vendors:
            vendor.memory.clear()
        if seeds:
            self.world.clear()
            self.antavo.clear()
            self.qualtrics.clear()

    def control(self, method: str, what: str, query: JSON, body: Any) -> Reply:
        """The /__sandbox__/ part."""
        try:
            if (method, what) == ("GET", ""):
                memories = {vendor.name: vendor.memory for vendor in self.vendors}
                before = int(query["before"]) if "before" in query else None
                return Reply(200, pages.received(memories, query.get("vendor", ""), before), kind="text/html")
            if (method, what) == ("GET", "received"):
                since, limit = int(query.get("since", 0)), min(int(query.get("limit", PAGE)), PAGE)
                return Reply(200, {"items": self.received(query.get("vendor", "segment"), since, limit)})
            if (method, what) == ("GET", "counts"):
                return Reply(200, self.counts())
            if (method, what) == ("GET", "switches"):
                return Reply(200, {vendor.name: vendor.faults.switches.as_json() for vendor in self.vendors})
            if (method, what) == ("POST", "switches"):
                self.switch(**body)
                return Reply(200, {})
            if (method, what) == ("POST", "seed"):
                self.seed(**body)
                return Reply(200, {})
            if method == "DELETE" and what in ("", "received", "counts"):
                self.clear(seeds=query.get("seeds") == "true")
                return Reply(200, {})
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            return Reply(400, {"error": str(error)})
        return Reply(404, {"error": f"{method} {CONTROL}{what} does not exist"})


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    block_on_close = True
    request_queue_size = 256

    def __init__(self, address: tuple[str, int], sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.open: set[socket.socket] = set()
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is none of our business."""

    def hang_up(self) -> None:
        for connection in list(self.open):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 0
    server: _Server

    def do_GET(self) -> None:
        sandbox = self.server.sandbox
        parts = urlsplit(self.path)
        body = self._body()
        if body is None:
            return self._send(Reply(400, "Bad Request"))
        if parts.path.startswith(CONTROL):
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            try:
                told = msgspec.json.decode(body) if body else {}
            except (ValueError, RecursionError):
                return self._send(Reply(400, {"error": "the body is not JSON"}))
            return self._send(sandbox.control(self.command, parts.path.removeprefix(CONTROL), query, told))
        host = self.headers.get("Host", "").lower()
        host = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
        vendor = next((v for v in sandbox.vendors if v.owns(host, parts.path)), None)
        if vendor is None:
            return self._send(Reply(404, "no such vendor in the sandbox\n"))
        return self._perform(vendor, Request(self.command, host, parts.path, parts.query, self.headers, body))

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

    def _perform(self, vendor: Emulator, request: Request) -> None:
        switches = vendor.faults.switches
        happens = vendor.faults.next()
        if switches.latency_ms:
            time.sleep(switches.latency_ms / 1000)
        reply = vendor.answer(request) if not happens or switches.after else None
        if happens == "hang":
            self.server.sandbox.stopping.wait(HANG)
        if happens in ("hang", "reset"):
            self.close_connection = True
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            return
        if happens:
            reply = vendor.fault(int(happens), switches.retry_after)
        assert reply is not None
        self._send(reply)

    def _body(self) -> bytes | None:
        """The request's body, unpacked if it is gzip; None if it is too big, broken or cut off."""
        length = int(self.headers.get("Content-Length") or 0)
        if length > BODY_CAP or self.headers.get("Transfer-Encoding"):
            self.close_connection = True
            return None
        body = self.rfile.read(length) if length else b""
        if len(body) < length:  # the sender died
            self.close_connection = True
            return None
        if self.headers.get("Content-Encoding") != "gzip":
            return body
        try:
            return zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(body, BODY_CAP)
        except zlib.error:
            return None

    def _send(self, reply: Reply) -> None:
        """The whole answer in one write, for a second one would wait for the first one's acknowledgement."""
        text = isinstance(reply.body, str)
        body = reply.body.encode() if text else msgspec.json.encode(reply.body)
        lines = [
            f"HTTP/1.1 {reply.status} {reasons.get(reply.status, 'Unknown')}",
            f"Content-Type: {f'{reply.kind}; charset=utf-8' if text else 'application/json'}",
            f"Content-Length: {len(body)}",
            *(f"{name}: {value}" for name, value in reply.headers),
            *(["Connection: close"] if self.close_connection else []),
        ]
        self.wfile.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    def log_message(self, format: str, *args: Any) -> None:
        """Silence: what arrived can be asked for."""
