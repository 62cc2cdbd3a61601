"""JavaScript's view of JSON values, shared by the engines, which must decide as Segment's own code does.

Truth, member access, the text of numbers and the number in a text differ between JavaScript and Python just enough to
send one event in a thousand elsewhere. Nothing here knows of events, triggers or mappings.
"""

from __future__ import annotations

import json
import math
import re
from functools import lru_cache
from typing import Any


class _Undefined:
    """JavaScript's undefined: what a missing member is, as opposed to null. There is one of it, and it is falsy."""

    def __repr__(self) -> str:
        return "UNDEFINED"

    def __bool__(self) -> bool:
        return False

    def __copy__(self) -> _Undefined:
        return self

    def __deepcopy__(self, memo: object) -> _Undefined:
        return self


UNDEFINED: Any = _Undefined()

_SURROGATE = re.compile("[\ud800-\udfff]")
_INDEX = re.compile(r"0|[1-9][0-9]{0,9}", re.ASCII)
_DECIMAL = re.compile(r"[+-]?(Infinity|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)", re.ASCII)
_RADIX = re.compile(r"0[xX][0-9a-fA-F]+|0[oO][0-7]+|0[bB][01]+", re.ASCII)
_STEP = re.compile(r"\.|\[(?=['\"0-9])|(?<=['\"0-9])\]+")
SPACE = (
    "\t\n\v\f\r \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000\ufeff"
)
"""What String.prototype.trim removes."""


def falsy(value: Any) -> bool:
    """Undefined, null, false, 0, NaN and "" are; empty objects and arrays are not."""
    return not value and not isinstance(value, dict | list) or value != value


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def double(value: float) -> float:
    """The number as JavaScript holds it."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def kind(value: Any) -> str:
    """The name Segment's messages give the type of a value."""
    if isinstance(value, str):
        return "string"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, dict):
        return "object"
    if isinstance(value, list):
        return "array"
    return "null" if value is None else "undefined"


def number_text(value: float) -> str:
    """JavaScript's shortest text of a number: `5`, `0.1`, `1e+21`, `1e-7`."""
    number = double(value)
    if number != number:
        return "NaN"
    if math.isinf(number):
        return "Infinity" if number > 0 else "-Infinity"
    if number == 0:
        return "0"
    mantissa, _, exponent = repr(abs(number)).partition("e")
    whole, _, part = mantissa.partition(".")
    digits = (whole + part).lstrip("0")
    point = len(whole) + int(exponent or 0) - (len(whole + part) - len(digits))
    digits = digits.rstrip("0")
    sign = "-" if number < 0 else ""
    if len(digits) <= point <= 21:
        return sign + digits + "0" * (point - len(digits))
    if 0 < point <= 21:
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    shown = digits[0] + (f".{digits[1:]}" if len(digits) > 1 else "")
    return f"{sign}{shown}e{point - 1:+d}"


def to_text(value: Any) -> str:
    """String(value): arrays joined by commas, objects as `[object Object]`."""
    if isinstance(value, str):
        return value
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return number_text(value)
    if isinstance(value, list):
        return ",".join("" if item is None or item is UNDEFINED else to_text(item) for item in value)
    return "[object Object]" if isinstance(value, dict) else "undefined"


def to_number(value: Any) -> float:
    """Number(value) of a scalar: NaN where a text holds no number, 0 where it is blank."""
    if isinstance(value, str):
        text = value.strip(SPACE)
        if not text:
            return 0.0
        if _RADIX.fullmatch(text):
            return double(int(text, 0))
        return float(text) if _DECIMAL.fullmatch(text) else math.nan
    if value is None:
        return 0.0
    return double(value) if isinstance(value, int | float) else math.nan


def length(text: str) -> int:
    """Length in UTF-16 units, which is what JavaScript and Segment's limits count."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def member(value: Any, key: str) -> Any:
    """`value[key]`: members of objects, items and length of arrays and texts, else undefined. No prototypes."""
    if isinstance(value, dict):
        return value.get(key, UNDEFINED)
    if isinstance(value, list):
        if key == "length":
            return len(value)
        if _INDEX.fullmatch(key) and int(key) < len(value):
            return value[int(key)]
    elif isinstance(value, str):
        if key == "length":
            return length(value)
        if _INDEX.fullmatch(key):
            units = value.encode("utf-16-le", "surrogatepass")[2 * int(key) : 2 * int(key) + 2]
            return units.decode("utf-16-le", "surrogatepass") if units else UNDEFINED
    return UNDEFINED


def look_up(value: Any, keys: tuple[str, ...]) -> Any:
    """Walk down the keys; a falsy value on the way is the result, as in Segment's code."""
    for key in keys:
        if isinstance(value, dict):
            value = value.get(key, UNDEFINED)
        elif falsy(value):
            return value
        else:
            value = member(value, key)
    return value


@lru_cache(maxsize=8192)
def path_keys(path: str) -> tuple[str, ...]:
    """The keys of one of Segment's paths, `a.b[0]['c d']`; none for the whole payload."""
    if path in {"", "."}:
        return ()
    parts = (part for part in _STEP.split(path) if part)
    return tuple(part.replace("'", "").replace('"', "") for part in parts)


def key_order(value: dict[str, Any]) -> list[str]:
    """JavaScript's order of an object's keys: integers ascending, then the others as inserted."""
    indexes = {key for key in value if key.isdigit() and _INDEX.fullmatch(key) and int(key) < 2**32 - 1}
    if not indexes:
        return list(value)
    return sorted(indexes, key=int) + [key for key in value if key not in indexes]


def units(text: str) -> list[str]:
    """The UTF-16 units of a text, which is what JavaScript indexes."""
    if text.isascii() or max(text) <= "\uffff":
        return list(text)
    code = text.encode("utf-16-le", "surrogatepass")
    return [code[at : at + 2].decode("utf-16-le", "surrogatepass") for at in range(0, len(code), 2)]


def to_json(value: Any) -> Any:
    """JSON.stringify: compact, undefined members absent, undefined items null; undefined itself stays so."""
    if value is UNDEFINED:
        return UNDEFINED
    try:
        text = _write_json(_as_python_writes(value))
    except _NeedsJavaScript:
        parts: list[str] = []
        _spell_json(value, parts)
        text = "".join(parts)
    return text if text.isascii() else _SURROGATE.sub(lambda lone: f"\\u{ord(lone.group()):04x}", text)


_write_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class _NeedsJavaScript(Exception):
    """A number that Python spells otherwise."""


def _as_python_writes(value: Any) -> Any:
    """A value that Python's writer, many times as fast as one of ours, makes the same text of as JSON.stringify."""
    if isinstance(value, str) or value is None or isinstance(value, bool):
        return value
    if isinstance(value, dict):
        return {key: _as_python_writes(value[key]) for key in key_order(value) if value[key] is not UNDEFINED}
    if isinstance(value, list):
        return [_as_python_writes(item) for item in value]
    if isinstance(value, int) and abs(value) < 2**53:
        return value
    if value is UNDEFINED or (isinstance(value, float) and not math.isfinite(value)):
        return None
    if 1e-4 < abs(value) < 1e16:
        return int(value) if value == int(value) else value
    raise _NeedsJavaScript


def _spell_json(value: Any, parts: list[str]) -> None:
    if isinstance(value, str):
        parts.append(json.dumps(value, ensure_ascii=False))
    elif isinstance(value, dict):
        parts.append("{")
        first = True
        for key in key_order(value):
            if value[key] is not UNDEFINED:
                parts.append(("" if first else ",") + json.dumps(key, ensure_ascii=False) + ":")
                _spell_json(value[key], parts)
                first = False
        parts.append("}")
    elif isinstance(value, list):
        parts.append("[")
        for i, item in enumerate(value):
            if i:
                parts.append(",")
            _spell_json(item, parts)
        parts.append("]")
    elif value is None or value is UNDEFINED or (isinstance(value, float) and not math.isfinite(value)):
        parts.append("null")
    else:
        parts.append(to_text(value))
