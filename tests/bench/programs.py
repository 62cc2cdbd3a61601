"""What runs beside Switchyard in a process of its own: the senders, and the peers it is measured against.

Each program prepares, says "ready", waits for a line, does its work against the clock, and prints what that took as
JSON: its seconds and the processors' seconds. It ends when nobody waits for it any more.
"""

import base64
import json
import os
import socket
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import psycopg
import requests
from segment.analytics.client import Client

from tests.bench import cpu, vendors
from tests.bench.events import bodies, events

Work = Callable[[], object]
Prepared = tuple[Work, list[int]]  # and whose processor time counts beside this process's


def send(origin: str, key: str, count: str, batch: str, threads: str, seed: str, kind: str = "product") -> Prepared:
    """Post events from many threads, each with a connection of its own, until every one is acknowledged."""
    url = urlsplit(origin)
    authorization = base64.b64encode(f"{key}:".encode()).decode()
    head = (
        f"POST /v1/{'track' if batch == '1' else 'batch'} HTTP/1.1\r\nHost: {url.netloc}\r\n"
        f"Authorization: Basic {authorization}\r\nContent-Type: application/json\r\nContent-Length: "
    ).encode()
    made = [head + b"%d\r\n\r\n" % len(body) + body for body in bodies(int(count), int(batch), seed, kind)]

    def post(share: Sequence[bytes]) -> None:
        with socket.create_connection((url.hostname, url.port), timeout=60) as line:
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for request in share:
                line.sendall(request)
                _expect_200(line)

    return lambda: _all_at_once([lambda n=n: post(made[n :: int(threads)]) for n in range(int(threads))]), []


def _expect_200(line: socket.socket) -> None:
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += _received(line)
    head, _, body = answer.partition(b"\r\n\r\n")
    length = next(int(h[15:]) for h in head.lower().split(b"\r\n") if h.startswith(b"content-length:"))
    while len(body) < length:
        body += _received(line)
    if not head.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(f"Not taken in: {head.splitlines()[0].decode()}: {body.decode()}")


def _received(line: socket.socket) -> bytes:
    chunk = line.recv(65536)
    if not chunk:
        raise RuntimeError("The server hung up.")
    return chunk


def copy(ours: str, peer: str, since: str, together: str) -> Prepared:
    """Bare COPY into `peer` of all rows the door wrote in `ours` for the requests after `since`; on two connections,
    the rows of `together` requests a transaction."""
    with psycopg.connect(ours) as database:
        sets = _row_sets(database, int(since), int(together))
    lines = [psycopg.connect(peer) for _ in range(2)]

    def write(line: psycopg.Connection, share: Sequence[list[tuple[str, bytes]]]) -> None:
        for rows in share:
            with line.transaction(), line.cursor() as cursor:
                for statement, packed in rows:
                    with cursor.copy(statement) as into:
                        into.write(packed)

    def work() -> None:
        _all_at_once([lambda n=n, line=line: write(line, sets[n::2]) for n, line in enumerate(lines)])

    return work, [line.info.backend_pid for line in lines]


def _row_sets(database: psycopg.Connection, since: int, together: int) -> list[list[tuple[str, bytes]]]:
    """For each transaction: the COPY statements and their rows, in PostgreSQL's binary form."""
    ids = [id for (id,) in database.execute("SELECT id FROM logs_request WHERE id > %s ORDER BY id", [since])]
    first = ids[::together]
    bounds = list(zip(first, [*first[1:], (1 << 63) - 1], strict=True))
    (last_delta,) = database.execute("SELECT coalesce(max(id), 0) FROM logs_bookdelta").fetchone()
    tables = {"logs_seen": "id", "logs_event": "id", "logs_requestbody": "id", "logs_request": "id"}
    sets = []
    for n, (low, high) in enumerate(bounds):
        rows = [
            _packed(database, table, f"{key} >= {low} AND {key} < {high}")
            for table, key in {**tables, "logs_queue": "event"}.items()
        ]
        sets.append([*rows, _packed(database, "logs_bookdelta", f"id <= {last_delta} AND id % {len(bounds)} = {n}")])
    return sets


def _packed(database: psycopg.Connection, table: str, where: str) -> tuple[str, bytes]:
    (columns,) = database.execute(
        """SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute
           WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped AND attidentity = ''""",
        [table],
    ).fetchone()
    with database.cursor().copy(
        f"COPY (SELECT {columns} FROM {table} WHERE {where} ORDER BY 1) TO STDOUT (FORMAT BINARY)"
    ) as out:
        return f"COPY {table} ({columns}) FROM STDIN (FORMAT BINARY)", b"".join(bytes(part) for part in out)


def sdk(origin: str, count: str, seed: str) -> Prepared:
    """Segment's own library, straight to the vendor."""
    made = list(events(int(count), seed))
    lost: list[Exception] = []
    client = Client(
        vendors.SEGMENT_KEY,
        host=origin,
        max_queue_size=int(count),
        on_error=lambda error, items: lost.append(error),
    )

    def work() -> None:
        for event in made:
            client.track(event["userId"], event["event"], event["properties"], event["context"])
        client.shutdown()
        if lost:
            raise RuntimeError(f"Segment's library lost events: {lost[0]}")

    return work, []


def session_loop(origin: str, count: str, seed: str) -> Prepared:
    """A plain loop of requests to the vendor, as one would write it."""
    made = [
        {"customer": e["userId"], "action": "checkout", "data": e["properties"], "api_key": vendors.ANTAVO_KEY}
        for e in events(int(count), seed)
    ]
    session = requests.Session()

    def work() -> None:
        for body in made:
            session.post(f"{origin}/v1/webhook/segment", json=body, timeout=60).raise_for_status()

    return work, []


def _all_at_once(tasks: Sequence[Work]) -> None:
    """Each in a thread of its own; raises what one of them raised."""
    with ThreadPoolExecutor(len(tasks)) as pool:
        for done in [pool.submit(task) for task in tasks]:
            done.result()


def main(name: str, *arguments: str) -> None:
    work, others = {"send": send, "copy": copy, "sdk": sdk, "session_loop": session_loop}[name](*arguments)
    print("ready", flush=True)
    if not sys.stdin.readline():
        return
    pids = [os.getpid(), *others]
    before, started = cpu.seconds(pids), time.perf_counter()
    work()
    taken = time.perf_counter() - started
    print(json.dumps({"seconds": taken, "cpu": cpu.spent(before, cpu.seconds(pids))}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
