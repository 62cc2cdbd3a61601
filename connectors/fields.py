"""Fields: what an action asks for, made of what a mapping gave, or a full list of what is wrong with it.

Three steps, as in Segment's actions: empty values are removed (null, and "" where no text is asked for, and anywhere at
the top), single values of `multiple` fields become lists, and values are brought to the declared types as JSON schema
validators with coercion do. What is not declared is left out, except in free-form objects. Defaults are what a new
mapping starts with; they are never filled in here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv6Address
from typing import Any

from connectors import jsdate
from connectors.errors import Fault, PayloadError
from connectors.jstext import UNDEFINED, double, is_number, number_text, to_json, to_number, to_text

MAX_FAULTS = 1_000  # of a payload; what comes after them is not looked at

_TYPES: dict[str, tuple[str, ...]] = {
    "string": ("string",),
    "text": ("string",),
    "password": ("string",),
    "number": ("number",),
    "integer": ("integer",),
    "boolean": ("boolean",),
    "datetime": ("string", "number"),
    "object": ("object",),
}
_SHAPES = {"text": "", "password": "", "datetime": "date-like"}  # whatever format is declared
_EXACT: dict[str, type] = {"string": str, "boolean": bool, "object": dict}
_PASSED_THROUGH = "dynamicAuthSettings"


def clean(fields: Sequence[Any] | Mapping[str, Any], payload: dict[str, Any]) -> dict[str, Any]:
    """The payload as the fields ask for it, a new object; raises PayloadError naming every field at fault.

    `fields` are InputFields (whose module stands above this one) or their dict form,
    `{name: {"label": …, "type": …, "required": …}}`. Free-form objects are handed on
    as they are, shared with the payload.
    """
    return _compiled(fields).clean(payload)


# Reading the declaration


@dataclass(frozen=True, slots=True)
class _Condition:
    """When `name` is required: `tests` are (path, wanted value, whether it should be that)."""

    name: str
    any: bool
    tests: tuple[tuple[tuple[str, ...], Any, bool], ...]

    def holds(self, payload: dict[str, Any]) -> bool:
        verdicts = (self._holds(payload, *test) for test in self.tests)
        return any(verdicts) if self.any else all(verdicts)

    @staticmethod
    def _holds(payload: dict[str, Any], path: tuple[str, ...], wanted: Any, should: bool) -> bool:
        """As JSON schema's if/then has it, to which Segment compiles a condition.

        Without a wanted value the test is for absence, but inside an object Segment's is for presence, and never
        for the opposite.
        """
        value: Any = payload
        for depth, key in enumerate(path):
            if not isinstance(value, dict):
                return True
            value = value.get(key, UNDEFINED)
            if value is UNDEFINED and (depth or len(path) > 1 or wanted is not UNDEFINED):
                return False
        if wanted is UNDEFINED:
            return should if len(path) > 1 else (value is UNDEFINED or _as_null(value) is None) is should
        return _same(value, wanted) is should


@dataclass(frozen=True, slots=True)
class _Schema:
    """What one value must be."""

    label: str = ""
    types: tuple[str, ...] = ()
    choices: tuple[Any, ...] = ()
    format: str = ""
    minimum: float | None = None
    maximum: float | None = None
    items: _Schema | None = None
    properties: dict[str, _Schema] | None = None
    pointers: tuple[tuple[str, str], ...] = ()
    required: tuple[str, ...] = ()
    conditions: tuple[_Condition, ...] = ()
    open: bool = False
    exact: type | None = None  # values of this Python type need no further look

    def clean(self, payload: dict[str, Any]) -> dict[str, Any]:
        if not isinstance(payload, dict):
            raise PayloadError([Fault("", f"The payload must be an object but it was {_described(payload)}.")])
        faults: list[Fault] = []
        if self.conditions:
            cleaned = _check_object(self, _prune_members(self, payload, at_root=True), "", faults)
        else:
            cleaned = _prune_and_check(self, payload, faults)
        if faults:
            raise PayloadError(faults)
        if _PASSED_THROUGH in payload:
            cleaned[_PASSED_THROUGH] = payload[_PASSED_THROUGH]
        return cleaned


_cache: dict[int, tuple[Any, _Schema]] = {}
_CACHED = 1024


def _compiled(fields: Sequence[Any] | Mapping[str, Any]) -> _Schema:
    """The schema of the fields; of a tuple, which cannot change, it is made once."""
    if not isinstance(fields, tuple):
        return _object_schema(_declared(fields), "", False)
    known = _cache.get(id(fields))
    if known is None or known[0] is not fields:
        if len(_cache) >= _CACHED:
            _cache.clear()
        known = _cache[id(fields)] = (fields, _object_schema(_declared(fields), "", False))
    return known[1]


def _declared(fields: Sequence[Any] | Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The dict form of a declaration."""
    if isinstance(fields, Mapping):
        return dict(fields)
    return {
        f.name: {
            "label": f.label,
            "type": f.type,
            "required": f.required,
            "multiple": f.multiple,
            "allowNull": f.allow_null,
            "choices": [choice.value for choice in f.choices],
            "format": f.format,
            "minimum": f.minimum,
            "maximum": f.maximum,
            "properties": _declared(f.properties) if f.properties else None,
            "additionalProperties": f.additional_properties,
        }
        for f in fields
    }


def _object_schema(declared: dict[str, dict[str, Any]], label: str, open_: bool) -> _Schema:
    return _Schema(
        label=label,
        types=("object",),
        properties={name: _schema(one) for name, one in declared.items()},
        pointers=tuple((name, f"/{_pointer(name)}") for name in declared),
        required=tuple(name for name, one in declared.items() if one.get("required") is True),
        conditions=tuple(
            _condition(name, one["required"])
            for name, one in declared.items()
            if isinstance(one.get("required"), Mapping)
        ),
        open=open_,
    )


def _schema(declared: dict[str, Any]) -> _Schema:
    types = _TYPES[declared["type"]]
    choices = [c["value"] if isinstance(c, dict) else c for c in declared.get("choices") or ()]
    label = declared.get("label") or ""
    multiple = bool(declared.get("multiple"))
    if declared.get("allowNull"):
        types = types if multiple else (*types, "null")
        choices += [None] if choices else []
    shape = _SHAPES.get(declared["type"], declared.get("format") or "")
    if shape and shape not in _FORMATS:
        raise ValueError(f"{label or 'A field'} asks for the unknown format {shape!r}")
    if declared.get("properties"):
        of_object = _object_schema(
            declared["properties"], "" if multiple else label, bool(declared.get("additionalProperties"))
        )
        return _Schema(label=label, types=("array",), items=of_object) if multiple else of_object
    if multiple:
        return _Schema(label=label, types=("array",), items=_Schema(types=types, choices=tuple(choices)))
    bounded = declared["type"] in {"string", "number"}
    minimum = (bounded and declared.get("minimum")) or None
    maximum = (bounded and declared.get("maximum")) or None
    return _Schema(
        label=label,
        types=types,
        choices=tuple(choices),
        format=shape,
        minimum=minimum,
        maximum=maximum,
        exact=None if choices or shape or minimum or maximum else _EXACT.get(types[0]),
    )


def _condition(name: str, required: Mapping[str, Any]) -> _Condition:
    tests = tuple(
        (tuple(test["fieldKey"].split(".")), test.get("value", UNDEFINED), test["operator"] == "is")
        for test in required["conditions"]
    )
    return _Condition(name, required.get("match") == "any", tests)


# Removing what is empty


def _prune_members(schema: _Schema, value: dict[str, Any], at_root: bool = False) -> dict[str, Any]:
    assert schema.properties is not None
    pruned: dict[str, Any] = {}
    for key, child in value.items():
        if at_root and child == "":
            continue
        of_member = schema.properties.get(key)
        if of_member is None or (child and type(child) is of_member.exact):
            pruned[key] = child
        elif not _is_empty(of_member, child):
            child = _prune(of_member, child)
            pruned[key] = [child] if at_root and of_member.items and not isinstance(child, list) else child
    return pruned


def _prune(schema: _Schema, value: Any) -> Any:
    if isinstance(value, dict) and schema.properties:
        return _prune_members(schema, value)
    if isinstance(value, list) and schema.items:
        of_item = schema.items
        return [item for item in value if not _is_empty(of_item, item)]
    return value


def _is_empty(schema: _Schema, value: Any) -> bool:
    if value is None:
        return "null" not in schema.types
    return value == "" and "string" not in schema.types


# Coercing and checking

_IS: dict[str, Callable[[Any], bool]] = {
    "string": lambda value: isinstance(value, str),
    "number": is_number,
    "integer": lambda value: is_number(value) and double(value) % 1 == 0,
    "boolean": lambda value: isinstance(value, bool),
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "null": lambda value: value is None,
}


def _as_number(value: Any) -> Any:
    if value == "" or not (value is None or isinstance(value, str | bool)):
        return UNDEFINED
    number = to_number(value)
    if number != number or number in {float("inf"), float("-inf")}:
        return UNDEFINED
    return int(number) if number % 1 == 0 and abs(number) < 2**53 else number


def _as_integer(value: Any) -> Any:
    number = _as_number(value)
    return number if number is not UNDEFINED and number % 1 == 0 else UNDEFINED


def _as_boolean(value: Any) -> Any:
    if value == "true" or (is_number(value) and value == 1):
        return True
    return False if value == "false" or value is None or (is_number(value) and value == 0) else UNDEFINED


def _as_string(value: Any) -> Any:
    if value is None:
        return ""
    return to_text(value) if isinstance(value, bool | int | float) else UNDEFINED


def _as_null(value: Any) -> Any:
    return None if value == "" or (isinstance(value, bool | int | float) and value == 0) else UNDEFINED


_COERCE: dict[str, Callable[[Any], Any]] = {
    "string": _as_string,
    "number": _as_number,
    "integer": _as_integer,
    "boolean": _as_boolean,
    "null": _as_null,
    "array": lambda value: UNDEFINED if isinstance(value, dict | list) else [value],
    "object": lambda value: UNDEFINED,
}


def _coerce(types: tuple[str, ...], value: Any) -> tuple[bool, Any]:
    """Whether the value is, or can become, one of the types, and what it then is.

    Ajv, the validator behind Segment's actions, opens a list of one item, but recognises what is in it as it stands
    only where there is a single type; where there are several it insists on converting it.
    """
    for name in types:
        if _IS[name](value):
            return True, value
    if isinstance(value, list) and len(value) == 1 and types != ("object",):
        value = value[0]
        if len(types) == 1 and _IS[types[0]](value):
            return True, value
    for name in types:
        if (coerced := _COERCE[name](value)) is not UNDEFINED:
            return True, coerced
    return False, value


def _check(schema: _Schema, value: Any, at: str, faults: list[Fault]) -> Any:
    fits, value = _coerce(schema.types, value)
    if not fits:
        faults.append(Fault(at, f"{_name(schema, at)} must be {_kinds(schema.types)} but it was {_described(value)}."))
    if schema.choices and not any(_same(value, choice) for choice in schema.choices):
        shown = _listed([str(to_json(choice)) for choice in schema.choices])
        faults.append(Fault(at, f"{_name(schema, at)} must be one of: {shown}."))
    if is_number(value) and schema.types[0] == "number":
        _check_range(schema, value, at, faults)
    elif isinstance(value, str):
        _check_text(schema, value, at, faults)
    if isinstance(value, list) and schema.items:
        of_item = schema.items
        return [_check(of_item, item, f"{at}/{i}", faults) for i, item in enumerate(value) if len(faults) < MAX_FAULTS]
    if isinstance(value, dict) and schema.properties:
        return _check_object(schema, value, at, faults)
    return value


def _check_object(schema: _Schema, value: dict[str, Any], at: str, faults: list[Fault]) -> dict[str, Any]:
    assert schema.properties is not None
    for condition in schema.conditions:
        if condition.name not in value and condition.holds(value):
            faults.append(_missing(schema, condition.name, at))
            faults.append(Fault(at, f'{_name(schema, at)} must match "then" schema.'))
    for name in schema.required:
        if name not in value:
            faults.append(_missing(schema, name, at))
    cleaned: dict[str, Any] = {}
    for name, pointer in schema.pointers:
        if name in value:
            child, of_member = value[name], schema.properties[name]
            fits = type(child) is of_member.exact
            cleaned[name] = child if fits else _check(of_member, child, at + pointer, faults)
    if schema.open:
        cleaned.update((key, child) for key, child in value.items() if key not in cleaned)
    return cleaned


def _prune_and_check(schema: _Schema, payload: dict[str, Any], faults: list[Fault]) -> dict[str, Any]:
    """Both steps of a whole payload in one walk, since no condition asks what is left after the first; the hot path."""
    assert schema.properties is not None
    cleaned: dict[str, Any] = {}
    for name, pointer in schema.pointers:
        child = payload.get(name, UNDEFINED)
        if child is UNDEFINED or child == "":
            continue
        of_member = schema.properties[name]
        if type(child) is of_member.exact:
            cleaned[name] = child
        elif not _is_empty(of_member, child):
            child = _prune(of_member, child)
            if of_member.items and not isinstance(child, list):
                child = [child]
            cleaned[name] = _check(of_member, child, pointer, faults)
    if missing := [_missing(schema, name, "") for name in schema.required if name not in cleaned]:
        faults[:0] = missing
    return cleaned


def _check_range(schema: _Schema, value: float, at: str, faults: list[Fault]) -> None:
    if schema.minimum is not None and value < schema.minimum:
        faults.append(Fault(at, f"{_name(schema, at)} must be equal to or greater than {number_text(schema.minimum)}."))
    if schema.maximum is not None and value > schema.maximum:
        faults.append(Fault(at, f"{_name(schema, at)} must be equal to or less than {number_text(schema.maximum)}."))


def _check_text(schema: _Schema, value: str, at: str, faults: list[Fault]) -> None:
    if schema.types[0] == "string":
        _check_length(schema, len(value), at, faults)
    if schema.format:
        called, is_valid = _FORMATS[schema.format]
        if not is_valid(value):
            faults.append(Fault(at, f"{_name(schema, at)} must be a valid {called} string but it was not."))


def _check_length(schema: _Schema, size: int, at: str, faults: list[Fault]) -> None:
    if schema.minimum is not None and size < schema.minimum:
        wanted = f"{_characters(schema.minimum)} or more"
        faults.append(Fault(at, f"{_name(schema, at)} must be {wanted} but it was {_characters(size)}."))
    if schema.maximum is not None and size > schema.maximum:
        wanted = f"{_characters(schema.maximum)} or fewer"
        faults.append(Fault(at, f"{_name(schema, at)} must be {wanted} but it was {_characters(size)}."))


# Words


def _missing(schema: _Schema, name: str, at: str) -> Fault:
    return Fault(at, f"{_name(schema, at)} is missing the required field '{name}'.")


def _name(schema: _Schema, at: str) -> str:
    return schema.label or (f"The value at {at}" if at else "The root value")


def _pointer(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def _article(word: str) -> str:
    return f"an {word}" if word[0] in "aeiou" else f"a {word}"


def _described(value: Any) -> str:
    if value is None:
        return "null"
    return _article(next(name for name in ("string", "boolean", "number", "array", "object") if _IS[name](value)))


def _kinds(types: tuple[str, ...]) -> str:
    return _article(_listed(types))


def _listed(words: Sequence[str]) -> str:
    if len(words) < 3:
        return " or ".join(words)
    return f"{', '.join(words[:-1])}, or {words[-1]}"


def _characters(count: float) -> str:
    return f"{number_text(count)} {'character' if count == 1 else 'characters'}"


def _same(one: Any, other: Any) -> bool:
    """Equal and of the same kind: 1 is not true."""
    if is_number(one) and is_number(other):
        return double(one) == double(other)
    return type(one) is type(other) and bool(one == other)


# Formats, as the validator's own patterns have them (ajv-formats 2)


def _pattern(*parts: str) -> Callable[[str], bool]:
    compiled = re.compile("".join(parts), re.IGNORECASE | re.ASCII)
    return lambda text: compiled.fullmatch(text) is not None


_LABEL = r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
_ATOM = r"[a-z0-9!#$%&'*+/=?^_`{|}~-]+"
_HOST_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_BYTE = r"(?:25[0-5]|2[0-4][0-9]|[01]?[0-9][0-9]?)"
_CHAR = r"(?:[a-z0-9\-._~!$&'()*+,;=:@]|%[0-9a-f]{2})"
_SEGMENTS = rf"(?:/{_CHAR}*)*"
_AUTHORITY = (
    r"(?:(?:[a-z0-9\-._~!$&'()*+,;=:]|%[0-9a-f]{2})*@)?"
    r"(?:\[[0-9a-fv:.]+\]|(?:[a-z0-9\-._~!$&'()*+,;=]|%[0-9a-f]{2})*)(?::[0-9]*)?"
)
_TAIL = rf"(?:\?(?:{_CHAR}|[/?])*)?(?:#(?:{_CHAR}|[/?])*)?"
_REST = rf"(?:/?/{_AUTHORITY}{_SEGMENTS}|/(?:{_CHAR}+{_SEGMENTS})?|{_CHAR}+{_SEGMENTS})"
_DATE = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
_TIME = re.compile(r"([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.[0-9]+)?(?:[zZ]|[+-][0-9]{2}(?::?[0-9]{2})?)?")
_DAYS = (0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def _is_date(text: str) -> bool:
    found = _DATE.fullmatch(text)
    if not found:
        return False
    year, month, day = map(int, found.groups())
    leap = month == 2 and year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return 1 <= month <= 12 and 1 <= day <= (29 if leap else _DAYS[month])


def _is_time(text: str) -> bool:
    found = _TIME.fullmatch(text)
    if not found:
        return False
    hour, minute, second = map(int, found.groups())
    return (hour <= 23 and minute <= 59 and second <= 59) or (hour, minute, second) == (23, 59, 60)


def _is_date_time(text: str) -> bool:
    parts = re.split(r"[tT\s]", text)
    return len(parts) == 2 and _is_date(parts[0]) and _is_time(parts[1])


def _is_ipv6(text: str) -> bool:
    try:
        IPv6Address(text)
    except AddressValueError:
        return False
    return "%" not in text


_is_hostname = _pattern(_HOST_LABEL, rf"(?:\.{_HOST_LABEL})*\.?")
_DAYJS = re.compile(
    r"[0-9]{4}[-/]?(?:[0-9]{1,2})?[-/]?[0-9]{0,2}[Tt\s]*(?:[0-9]{1,2})?:?(?:[0-9]{1,2})?:?(?:[0-9]{1,2})?[.:]?[0-9]*"
)


_ISO_UTC = re.compile(
    r"[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]+)?Z"
)


def _is_date_like(text: str) -> bool:
    """As Segment has it: a plain number counts as seconds, else dayjs decides, which asks `Date.parse`."""
    if _ISO_UTC.fullmatch(text):
        return True
    number = to_number(text)
    if number_text(number) == text:
        return abs(number) <= 8_640_000_000_000
    return (text[-1:] not in {"Z", "z"} and _DAYJS.fullmatch(text) is not None) or jsdate.parse(text) is not None


_FORMATS: dict[str, tuple[str, Callable[[str], bool]]] = {
    "date-like": ("date-like", _is_date_like),
    "email": ("email address", _pattern(_ATOM, rf"(?:\.{_ATOM})*@(?:{_LABEL}\.)+{_LABEL}")),
    "uri": ("URI", _pattern(r"[a-z][a-z0-9+\-.]*:", _REST, _TAIL)),
    "uri-reference": ("URI Reference", _pattern(rf"(?:[a-z][a-z0-9+\-.]*:)?{_REST}?", _TAIL)),
    "date": ("date", _is_date),
    "time": ("time", _is_time),
    "date-time": ("date and time", _is_date_time),
    "uuid": ("uuid", _pattern(r"(?:urn:uuid:)?[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")),
    "ipv4": ("IPv4 address", _pattern(rf"(?:{_BYTE}\.){{3}}{_BYTE}")),
    "ipv6": ("IPv6 address", _is_ipv6),
    "hostname": ("hostname", lambda text: len(text.removesuffix(".")) <= 253 and _is_hostname(text)),
    "password": ("password", lambda text: True),
    "regex": ("regex", lambda text: True),  # nothing of ours runs patterns from data; the vendor judges them
}
