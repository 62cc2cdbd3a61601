"""What a mapping may know beside the event at hand, where it tells what it could not find, and what it may make."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from connectors.errors import MappingError

MAX_WARNINGS = 100
BUDGET = 1_000_000
MEMBER = 50  # characters, which take about as long to make


@dataclass(slots=True)
class Context:
    """What is not in the event: the key and the name of made values, what a workflow's run holds; collects warnings.

    `seed` is the brand's secret, `identity` names the event and the mapping; together they make values that nobody
    can guess and that never change. `fields` are those of the run, `answers` the answers of its earlier tasks by name.
    """

    seed: bytes = b""
    identity: bytes = b""
    fields: dict[str, Any] = field(default_factory=dict)
    answers: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def made(self, *place: str) -> bytes:
        """Sixteen bytes for a place in the mapping: the same in preview, every attempt and every replay."""
        made = blake2b(digest_size=16, key=blake2b(self.seed).digest())
        for part in (self.identity, *(name.encode(errors="surrogatepass") for name in place)):
            made.update(len(part).to_bytes(8, "big") + part)
        return made.digest()

    def warn(self, message: str) -> None:
        """Keep a warning, once."""
        if len(self.warnings) < MAX_WARNINGS and message not in self.warnings:
            self.warnings.append(message)


@dataclass(slots=True)
class Budget:
    """What resolving one event may still make, in characters: chosen so that it is spent within 100 ms."""

    left: int = BUDGET

    def spend(self, characters: int, members: int = 0) -> None:
        self.left -= characters + members * MEMBER
        if self.left < 0:
            raise MappingError(f"The mapping makes more than {BUDGET:,} characters or {BUDGET // MEMBER:,} members.")
