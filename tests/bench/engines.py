"""The engines beside Segment's published packages, at the same events, in one process each.

Segment's run in Node as they are shipped: they parse every trigger and check every mapping again for every event.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from connectors import fields as field_engine
from connectors import mapping, trigger
from connectors.book import Rule, RuleSet
from connectors.definitions import InputField
from connectors.routing import decide
from logs.verdict import Verdict
from tests.bench.figures import Found, Size, compared
from tests.bench.node import Node, node
from tests.bench.stage import Took

VECTORS = Path(__file__).parent.parent / "vectors"
TRAITS = {
    **{"email": "ann@shop.test", "phone": "+3712345678", "firstName": "Ann", "lastName": "Lee", "language": "EN"},
    **{"qualtricsMailingListId": "CG_1", "plan": "gold", "age": 41, "vip": True, "city": "Riga"},
    **{f"custom_{n}": f"value {n}" for n in range(15)},
}
COMMON = {"userId": "u-17", "anonymousId": "an-9", "messageId": "m-1", "timestamp": "2026-03-04T05:06:07.089Z"}
IDENTIFY = {**COMMON, "type": "identify", "traits": TRAITS, "context": {"ip": "203.0.113.9"}}
TRACK = {
    **{**COMMON, "type": "track", "event": "Transaction Created", "traits": TRAITS},
    "properties": {"orderId": "O-1", "total": 19.99, "quantity": 3, "currency": "EUR", "coupon": None, "tier": "gold"},
}
TRIGGERS = [
    text
    for n in range(10)
    for text in (
        f'type = "track" and event = "Event {n}"',
        f'type = "identify" and traits.plan = "plan {n}"',
        f'type = "track" and (event = "Transaction Created" or event = "Event {n}") and properties.total >= {n * 4}',
        f'type = "track", contains(event, "Created"), properties.tier != "tier {n}"',
        f'type = "page" or userId = "u-{n}"',
    )
]
DATA = {
    "addContactToXmd": {"embeddedData": "$.traits"},
    "upsertContactTransaction": {"transactionData": "$.properties"},
}
EVENTS = {"addContactToXmd": IDENTIFY, "upsertContactTransaction": TRACK}
WARM = 3_000


def fifty_mappings_vs_node(size: Size) -> Found:
    """Events a second decided against fifty enabled mappings."""
    rules = RuleSet(
        1, 1, True, tuple(Rule(n, n, 1, trigger.parse(text), True, True) for n, text in enumerate(TRIGGERS))
    )
    work = {"matching": {"fifty": {"triggers": TRIGGERS, "event": TRACK}}, "mapping": {}}

    def ours(event: dict[str, Any]) -> list[bool]:
        return [verdict == Verdict.MATCHED for verdict in decide(event, rules).verdicts]

    with node("engines.js", json.dumps(work)) as peer:
        return {"fifty_mappings_vs_node": _beside(peer, "fifty", ours, TRACK, size.rounds, size.requests)}


def mapping_fields_vs_node(size: Size) -> Found:
    """Payloads a second, mapping and fields, of the two contact actions with Segment's default fields."""
    asked = json.loads((VECTORS / "definitions.json").read_text())["qualtrics"]["actions"]
    work: dict[str, Any] = {"matching": {}, "mapping": {}}
    ours = {}
    for name, data in DATA.items():
        declared = asked[name]["fields"]
        fields = {key: one["default"] for key, one in declared.items() if "default" in one} | {"directoryId": "POOL_1"}
        fields |= {key: {"@path": path} for key, path in data.items()}
        work["mapping"][name] = {"mapping": fields, "fields": declared, "event": EVENTS[name]}
        ours[name] = _shaping(fields, declared)
    found = {}
    with node("engines.js", json.dumps(work)) as peer:
        for kind in ("mapping", "mapping and fields"):
            for name, of_kind in ours.items():
                run = of_kind[kind]
                figure = _beside(peer, f"{name} {kind}", run, EVENTS[name], size.rounds, size.singles)
                found[f"{kind} {name}"] = figure
    slower = min(DATA, key=lambda name: found[f"mapping and fields {name}"]["cpu_ratio"])
    return {"mapping_fields_vs_node": found[f"mapping and fields {slower}"] | {"each": found}}


def _shaping(fields: dict[str, Any], declared: dict[str, Any]) -> dict[str, Callable[[dict[str, Any]], Any]]:
    compiled = mapping.compile(fields)
    inputs = tuple(
        InputField(key, one["label"], one["type"], required=one["required"], format=one.get("format", ""))
        for key, one in declared.items()
    )
    return {
        "mapping": compiled.resolve,
        "mapping and fields": lambda event: field_engine.clean(inputs, compiled.resolve(event)),
    }


def _beside(
    peer: Node, work: str, run: Callable[[dict[str, Any]], Any], event: dict[str, Any], rounds: int, count: int
) -> dict[str, Any]:
    peer.take(work=work, count=WARM)
    ours, theirs = [], []
    for _ in range(rounds):
        took, made = _take(run, event, count)
        ours.append(took)
        took, expected = peer.take(work=work, count=count)
        theirs.append(took)
        if made != expected:
            raise RuntimeError(f"{work}: ours gave {made}, Segment's {expected}")
    return compared(ours, theirs, count)


def _take(run: Callable[[dict[str, Any]], Any], event: dict[str, Any], count: int) -> tuple[Took, Any]:
    made = None
    cpu, began = time.process_time(), time.perf_counter()
    for n in range(count):
        made = run({**event, "n": n})
    return Took(time.perf_counter() - began, time.process_time() - cpu), made


FIGURES = {"mapping_fields_vs_node": mapping_fields_vs_node, "fifty_mappings_vs_node": fifty_mappings_vs_node}
