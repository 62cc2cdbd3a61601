"""What an account's limits allow, and what comes back unused."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace

from connectors.definitions import Limit
from connectors.rates import Allowance

ACTIONS = (SimpleNamespace(slug="look"), SimpleNamespace(slug="write"))


class Tokens:
    """A book whose buckets hold so many tokens, and never fill."""

    def __init__(self, **there: float) -> None:
        self.there = there

    def tokens(self, name: str, per_minute: float, n: float) -> float:
        bucket = name.removeprefix("7:")
        granted = min(n, self.there[bucket])
        self.there[bucket] -= granted
        return granted


def lane(*limits: Limit):
    return SimpleNamespace(account=7, limits=limits, destination=SimpleNamespace(actions=ACTIONS))


def test_the_tightest_limit_decides():
    book = Tokens(all=100, writes=12)

    allowance = Allowance(lane(Limit("all", "All", 60), Limit("writes", "Writes", 60, {"write": 5})), book, 50)

    assert allowance.sends == 2


def test_what_was_not_used_comes_back():
    book = Tokens(all=100, writes=12)
    allowance = Allowance(lane(Limit("all", "All", 60), Limit("writes", "Writes", 60, {"write": 5})), book, 50)

    allowance.settle(Counter(look=1, write=1), Counter(look=1, write=3))

    assert book.there == {"all": 98, "writes": 9}


def test_without_limits_nothing_is_asked():
    assert Allowance(lane(), Tokens(), 50).sends == 50
