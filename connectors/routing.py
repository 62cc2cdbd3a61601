"""Deciding: what each mapping of a source says to an event. Pure: no clock, no rows, no network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from connectors.book import Rule, RuleSet
from logs.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Decision:
    """One verdict byte for each rule of the set, in its order, and the rules that matched."""

    verdicts: bytes
    matched: tuple[Rule, ...]


def decide(event: dict[str, Any], rules: RuleSet) -> Decision:
    """What every rule of the event's source says to it. Raises only where a trigger does, which is a bug of ours."""
    if not rules.source_on:
        return Decision(bytes([Verdict.SOURCE_OFF]) * len(rules.rules), ())
    verdicts = bytearray()
    matched = []
    for rule in rules.rules:
        verdict = verdict_of(event, rule)
        verdicts.append(verdict)
        if verdict is Verdict.MATCHED:
            matched.append(rule)
    return Decision(bytes(verdicts), tuple(matched))


def verdict_of(event: dict[str, Any], rule: Rule) -> Verdict:
    if not rule.on:
        return Verdict.MAPPING_OFF
    if not rule.destination_on:
        return Verdict.DESTINATION_OFF
    return Verdict.MATCHED if rule.trigger.matches(event) else Verdict.NOT_MATCHED
