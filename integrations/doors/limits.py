"""How much of the door one brand may take: a bucket in Redis that all web processes share.

A convenience that may fail: while Redis is away or slow every brand is let in, and no request waits for it.
"""

from __future__ import annotations

import logging
import math
import time
from functools import lru_cache

import redis
from django.conf import settings
from redis.backoff import NoBackoff
from redis.commands.core import Script
from redis.retry import Retry

PATIENCE = 0.05
"""Seconds a request waits for Redis."""

PAUSE = 5.0
"""Seconds Redis is not asked again after it did not answer, so that a frozen one costs one request its patience."""

log = logging.getLogger(__name__)
_ask_again_at = 0.0


def take(brand: int, per_second: int, events: int) -> int:
    """Count these events against the brand's limit; 0 if they may come in, else the seconds to wait.

    A request comes in whole as long as the brand has not used up its last second; what it brings beyond has to be
    waited for by the next. So batches of any size pass, and the average holds.
    """
    global _ask_again_at
    if time.monotonic() < _ask_again_at:
        return 0
    try:
        wait = float(_bucket(settings.REDIS_URL)(keys=[f"switchyard:limit:{brand}"], args=[events / per_second]))
    except redis.RedisError as error:
        _ask_again_at = time.monotonic() + PAUSE
        log.warning("Limits of brands are not held for %.0f s, since Redis did not answer: %s", PAUSE, error)
        return 0
    return math.ceil(wait)


@lru_cache(maxsize=1)
def _bucket(url: str) -> Script:
    client = redis.Redis.from_url(
        url, socket_timeout=PATIENCE, socket_connect_timeout=PATIENCE, retry=Retry(NoBackoff(), 0)
    )
    return client.register_script(_TAKE)


# The key holds the moment up to which the brand's allowance is used, by the clock of Redis; it may lie ahead.
_TAKE = """
local time = redis.call('TIME')
local now = time[1] + time[2] / 1e6
local used = math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now - 1)
if used >= now then return tostring(used - now + 0.001) end
used = used + ARGV[1]
redis.call('SET', KEYS[1], string.format('%.6f', used), 'PX', math.ceil(math.max(used - now, 0) * 1000) + 2000)
return '0'
"""
