"""Token buckets that all workers share: in Redis, and in the database while Redis is away."""

from __future__ import annotations

import logging
import time
from functools import lru_cache

import redis
from django.conf import settings
from redis.backoff import NoBackoff
from redis.commands.core import Script
from redis.retry import Retry

from logs.models.lane import take_tokens

BURST = 6.0
"""Seconds' worth of tokens a bucket holds: what may leave at once after a pause."""

PAUSE = 5.0
"""Seconds Redis is not asked again after it did not answer."""

log = logging.getLogger(__name__)
_ask_again_at = 0.0


def take(name: str, per_minute: float, n: float) -> float:
    """Take up to n tokens of a bucket that fills by `per_minute`; returns how many were there. Negative: give back."""
    global _ask_again_at
    burst = max(1.0, per_minute * BURST / 60)
    if time.monotonic() >= _ask_again_at:
        try:
            return float(
                _bucket(settings.REDIS_URL)(keys=[f"switchyard:rate:{name}"], args=[per_minute / 60, burst, n])
            )
        except redis.RedisError as error:
            _ask_again_at = time.monotonic() + PAUSE
            log.warning("Rates are counted in the database, since Redis did not answer: %s", error)
    return take_tokens(name, per_minute, burst, n)


@lru_cache(maxsize=1)
def _bucket(url: str) -> Script:
    client = redis.Redis.from_url(url, socket_timeout=0.5, socket_connect_timeout=0.5, retry=Retry(NoBackoff(), 0))
    return client.register_script(_TAKE)


# The key holds the tokens there were, and when, by the clock of Redis.
_TAKE = """
local time = redis.call('TIME')
local now = time[1] + time[2] / 1e6
local there = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local burst, n = tonumber(ARGV[2]), tonumber(ARGV[3])
local tokens = burst
if there[1] then tokens = math.min(burst, there[1] + (now - there[2]) * ARGV[1]) end
local granted = math.min(n, math.max(0, math.floor(tokens)))
redis.call('HSET', KEYS[1], 'tokens', tostring(tokens - granted), 'at', string.format('%.6f', now))
redis.call('EXPIRE', KEYS[1], 3600)
return tostring(granted)
"""
