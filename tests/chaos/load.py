"""Shops that send numbered events at a steady pace, as an SDK does, and write down what was acknowledged."""

from __future__ import annotations

import json
import os
import random
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests


class Ledger:
    """What we were promised: the messageIds of every request answered 2xx, on disk before anybody counts on it."""

    def __init__(self, path: Path):
        self.path = path
        self._turn = threading.Lock()

    def write(self, brand: int, ids: list[str]) -> None:
        with self._turn, self.path.open("a") as file:
            file.write(json.dumps([brand, ids]) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def read(self) -> dict[str, int]:
        """messageId → the brand it was sent for."""
        lines = map(json.loads, self.path.read_text().splitlines())
        return {id: brand for brand, ids in lines for id in ids}


@dataclass(frozen=True, slots=True)
class Request:
    """One request at the door; `status` 0: no answer."""

    at: float
    ms: float
    status: int
    retry_after: str | None


class Load:
    """Sends `count` events, `rate` a second, while the context lasts; every batch until it is acknowledged."""

    def __init__(
        self,
        door: str,
        keys: list[str],
        ledger: Ledger,
        chance: random.Random,
        *,
        first: int = 0,
        count: int,
        rate: float,
        most: int = 40,
        threads: int = 6,
    ):
        self.door, self.keys, self.ledger = door, keys, ledger
        self.requests: list[Request] = []
        self.acknowledged = 0
        self._batches = _batches(range(first, first + count), most, len(keys), chance)
        self._pace = sum(len(ids) for _, ids in self._batches) / len(self._batches) / rate
        self._started = time.monotonic()
        self._taken = 0
        self._turn = threading.Lock()
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._work) for _ in range(threads)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if kind:
            self._stopping.set()
        for thread in self._threads:
            thread.join()

    @property
    def busy(self) -> bool:
        return any(thread.is_alive() for thread in self._threads)

    def statuses(self) -> Counter[int]:
        return Counter(request.status for request in self.requests)

    def p99(self, since: float, until: float) -> float:
        """Milliseconds of the slowest hundredth of the requests begun in that time."""
        times = sorted(r.ms for r in self.requests if since <= r.at < until)
        return times[int(len(times) * 0.99)] if times else 0.0

    def _work(self) -> None:
        with requests.Session() as session:
            while not self._stopping.is_set():
                with self._turn:
                    if self._taken == len(self._batches):
                        return
                    brand, ids = self._batches[self._taken]
                    due = self._started + self._taken * self._pace
                    self._taken += 1
                time.sleep(max(0.0, due - time.monotonic()))
                self._send(session, brand, ids)

    def _send(self, session: requests.Session, brand: int, ids: list[str]) -> None:
        body = {"batch": [_event(id) for id in ids]}
        while not self._stopping.is_set():
            request = self._post(session, self.keys[brand], body)
            self.requests.append(request)
            if request.status == 200:
                self.ledger.write(brand, ids)
                with self._turn:
                    self.acknowledged += len(ids)
                return
            self._stopping.wait(0.25)  # sooner than Retry-After asks, so that outages need not be long

    def _post(self, session: requests.Session, key: str, body: dict[str, Any]) -> Request:
        at, began = time.time(), time.perf_counter()
        status, retry_after = 0, None
        try:
            answer = session.post(f"{self.door}/v1/batch", json=body, auth=(key, ""), timeout=30)
            status, retry_after = answer.status_code, answer.headers.get("Retry-After")
        except requests.RequestException:
            pass
        return Request(at, (time.perf_counter() - began) * 1000, status, retry_after)


def _batches(numbers: range, most: int, brands: int, chance: random.Random) -> list[tuple[int, list[str]]]:
    """(brand, messageIds) in the order of sending."""
    batches = []
    while numbers:
        size = chance.randint(1, most)
        batches.append((chance.randrange(brands), [f"event-{n}" for n in numbers[:size]]))
        numbers = numbers[size:]
    return batches


def _event(id: str) -> dict[str, Any]:
    """Every fourth is an order, which two destinations want."""
    n = int(id.rpartition("-")[2])
    name = "Product Viewed" if n % 4 else "Order Completed"
    about = {"tag": id, "sku": "SY-100", "price": 119.0, "currency": "EUR"}
    return {"type": "track", "event": name, "userId": f"customer-{n % 500}", "messageId": id, "properties": about}
