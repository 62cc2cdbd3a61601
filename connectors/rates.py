"""Rate limits of an account: how many sends they allow now, taken from buckets all workers share, before any claim."""

from __future__ import annotations

from collections import Counter

from connectors.book import Book, Lane
from connectors.definitions import Limit


class Allowance:
    """What was taken for the sends to come; what they did not use goes back with `settle`."""

    def __init__(self, lane: Lane, book: Book, sends: int) -> None:
        self._lane, self._book = lane, book
        self._taken: dict[str, float] = {}
        self.sends = sends
        for limit in lane.limits:
            if dearest := self._dearest(limit):
                granted = book.tokens(self._bucket(limit), limit.per_minute, self.sends * dearest)
                self._taken[limit.slug] = granted
                self.sends = int(granted // dearest)

    def settle(self, made: Counter[str], requests: Counter[str]) -> None:
        """Give back what was taken beyond the sends made and the requests they took, both counted by action."""
        for limit in self._lane.limits:
            used = sum(min(limit.cost(action) * n, requests[action]) for action, n in made.items())
            left = self._taken.get(limit.slug, 0.0) - used
            if left:
                self._book.tokens(self._bucket(limit), limit.per_minute, -left)

    def _dearest(self, limit: Limit) -> int:
        """What one send may cost at most: the action is not known before the claim."""
        return max(limit.cost(action.slug) for action in self._lane.destination.actions)

    def _bucket(self, limit: Limit) -> str:
        return f"{self._lane.account}:{limit.slug}"
