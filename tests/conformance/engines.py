"""How one row of each file of vectors is put to our engines, and what came out: equal, different or refused."""

import copy
from collections.abc import Callable
from typing import Any

from connectors import fields, mapping, trigger
from connectors.errors import MappingError, PayloadError, TriggerError
from connectors.jstext import UNDEFINED
from tests.connectors.vectors import same_json


def match(row: dict[str, Any]) -> str:
    try:
        parsed = trigger.parse(row["fql"])
    except TriggerError:
        return "refused"
    return "equal" if parsed.matches(row["event"]) == row["result"] else "different"


def resolved(row: dict[str, Any]) -> tuple[Any, list[str] | None]:
    """The output or the messages. The batch form is ours event by event."""
    events = row.get("payloads", row.get("payload", UNDEFINED))
    before = copy.deepcopy(events)
    try:
        compiled = mapping.compile(row["mapping"])
        if "payloads" not in row:
            return compiled.resolve(events), None
        if not isinstance(events, list):
            return None, ["data must be an array, got object"]
        return [compiled.resolve(event) for event in events], None
    except MappingError as error:
        return None, list(error.messages)
    finally:
        assert events == before


def resolve(row: dict[str, Any]) -> str:
    output, messages = resolved(row)
    if "error" in row:
        wanted = row["error"].get("messages") or [row["error"]["message"]]
        return "equal" if messages == wanted else "different"
    if messages is not None:
        return "different"
    if row.get("output_undefined"):
        return "equal" if output is UNDEFINED else "different"
    return "equal" if same_json(output, row["output"]) else "different"


def cleaned(declared: Any, payload: Any) -> tuple[Any, list[tuple[str, str]]]:
    """What was made of the payload, and its faults."""
    before = copy.deepcopy(payload)
    try:
        return fields.clean(declared, payload), []
    except PayloadError as error:
        return None, [(fault.path, fault.message) for fault in error.faults]
    finally:
        assert payload == before


def clean(row: dict[str, Any]) -> str:
    output, faults = cleaned(row["fields"], row["payload"])
    wanted = [(fault["pointer"], fault["message"]) for fault in row.get("error", {}).get("errors", [])]
    same = faults == wanted and ("error" in row or same_json(output, row["output"]))
    return "equal" if same else "different"


COMPARED: dict[str, Callable[[dict[str, Any]], str]] = {
    "fql": match,
    "fql_fuzz": match,
    "mapping": resolve,
    "mapping_fuzz": resolve,
    "schema": clean,
}
