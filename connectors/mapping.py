"""Mappings shape an event into the fields of an action: Segment's directives, compiled once and resolved many times.

    {"email": {"@path": "$.traits.email"}, "greeting": {"@template": "Hello {{ traits.first }}"}, "source": "web"}

A mapping is JSON. An object whose keys start with `@` is a directive and becomes what it resolves to; other objects and
arrays are resolved member by member; everything else stands for itself. What resolves to undefined is left out of
objects and becomes null in arrays. Results, messages and oddities are those of Segment's own code, so that a mapping
can be moved between the two. Beyond it there are directives of ours; plain texts and keys stay what they are:

    {"@text": "Hi ${e://Field/name}, {{ event }}"}      text with holes: piped_text tells what fills them
    {"@object": {"a.b": …, "items[0].sku": …}}          dots and [0] in keys nest; a part in double quotes is literal
    {"@jsonpath": "$..sku"}                             the first value a JSONPath (RFC 9535) finds
    {"@random": "uuid"}                                 a made value: the same in preview, every attempt and replay

Known differences: what Liquid refuses is refused when the mapping is compiled; no JavaScript prototypes
(`$.constructor` is just a missing member); there are budgets, for the size of a mapping and for what resolving one
event may make.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NoReturn
from uuid import UUID

from connectors import jsonpath, piped_text
from connectors.context import Budget, Context
from connectors.errors import MappingError
from connectors.jstext import (
    SPACE,
    UNDEFINED,
    falsy,
    key_order,
    kind,
    length,
    look_up,
    path_keys,
    to_json,
    to_text,
    units,
)

if TYPE_CHECKING:
    from connectors.liquid import Template

__all__ = ["UNDEFINED", "Context", "Mapping", "compile"]

MAX_NODES = 5_000
MAX_DEPTH = 100
MAX_CHARACTERS = 200_000

Resolve = Callable[[Any, "_Run"], Any]


class Mapping:
    """A compiled mapping."""

    __slots__ = ("_finish", "_resolve")

    def __init__(self, resolve: Resolve, finish: bool) -> None:
        self._resolve = resolve
        self._finish = finish

    def resolve(self, event: dict[str, Any], context: Context | None = None) -> Any:
        """The fields of one event, as plain JSON that may share parts with the event: change neither.

        An object, unless the mapping is itself a directive: then whatever it resolves to, UNDEFINED included. Raises
        MappingError where Segment's code throws, and where the result outgrows its budget. An event that is UNDEFINED
        counts as empty.
        """
        if not isinstance(event, dict):
            if event is not UNDEFINED:
                raise MappingError(f"data must be an object, got {kind(event)}")
            event = {}
        run = _Run(context=context or Context(), event=event)
        try:
            resolved = self._resolve(event, run)
            if not self._finish:
                return resolved
            return UNDEFINED if resolved is UNDEFINED else _finish(resolved, run)
        except RecursionError:
            raise MappingError("The mapping makes something nested too deeply for this event.") from None


def compile(fields: Any) -> Mapping:
    """The mapping in executable form; raises MappingError with one message per fault, each telling its path."""
    _measure(fields)
    root = _root(fields)
    faults = list(_validate(root, ()))
    if faults:
        raise MappingError(*faults)
    keep = any(name in _SEES_UNDEFINED for name in _directives_in(root))
    return Mapping(_compile(root, (), keep), keep)


@dataclass(slots=True, kw_only=True)
class _Run(Budget):
    """The state of one resolution."""

    context: Context
    event: dict[str, Any]
    item: str = ""


# Reading a mapping


def _measure(fields: Any) -> None:
    nodes = characters = 0
    stack = [(fields, 0)]
    while stack:
        node, depth = stack.pop()
        nodes += 1
        if depth > MAX_DEPTH:
            raise MappingError(f"A mapping nests at most {MAX_DEPTH} deep.")
        if nodes > MAX_NODES:
            raise MappingError(f"A mapping has at most {MAX_NODES:,} members.")
        if isinstance(node, dict):
            characters += sum(map(len, node))
        elif isinstance(node, str):
            characters += len(node)
        if characters > MAX_CHARACTERS:
            raise MappingError(f"A mapping has at most {MAX_CHARACTERS:,} characters.")
        if isinstance(node, dict | list):
            stack.extend((child, depth + 1) for child in (node.values() if isinstance(node, dict) else node))


def _is_directive(node: Any) -> bool:
    """At least one key with @ and, but for `_metadata`, no other."""
    return (
        isinstance(node, dict)
        and any(key.startswith("@") for key in node)
        and all(key.startswith("@") or key == "_metadata" for key in node)
    )


def _directives_in(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, child in node.items():
            if key.startswith("@"):
                yield key
            yield from _directives_in(child)
    elif isinstance(node, list):
        for child in node:
            yield from _directives_in(child)


def _root(fields: Any) -> Any:
    """Segment's way to run a directive over a whole mapping: the other keys become its `mapping`."""
    if not isinstance(fields, dict) or "__segment_internal_directive" not in fields:
        return fields
    rest = dict(fields)
    outer = rest.pop("__segment_internal_directive")
    name = next((key for key in outer if key.startswith("@")), None) if isinstance(outer, dict) else None
    if name is None or not isinstance(outer[name], dict):
        raise MappingError("The root directive must be an object")
    return {name: {**outer[name], "mapping": rest}}


# Validating: every fault at once, as far as Segment's code looks

Path = tuple[str, ...]
_Check = Callable[[Any, Path], Iterator[str]]


def _say(path: Path, message: str) -> str:
    return f"/{'/'.join(path)} {message}."


def _type(node: Any) -> str:
    return "directive" if isinstance(node, dict) and any(key.startswith("@") for key in node) else kind(node)


def _should_be(path: Path, wanted: str, node: Any) -> str:
    found = _type(node)
    return _say(path, f"should be {wanted} but it is {'an' if found[0] in 'aeiou' else 'a'} {found}")


def _validate(node: Any, path: Path) -> Iterator[str]:
    found = _type(node)
    if found == "directive":
        yield from _validate_directive(node, path)
    elif found == "object":
        yield from _validate_members(node, path)


def _validate_members(node: dict[str, Any], path: Path) -> Iterator[str]:
    for key, child in node.items():
        yield from _validate(child, (*path, key))


def _validate_directive(node: dict[str, Any], path: Path) -> Iterator[str]:
    names = [key for key in node if key.startswith("@")]
    others = [key for key in node if not key.startswith("@") and key != "_metadata"]
    if len(names) > 1 or others:
        count = len(names) if len(names) > 1 else len(node)
        yield _say(path, f"should only have one @-prefixed key but it has {count} keys")
    elif names[0] not in _CHECKS:
        yield _say(path, f"has an invalid directive: {names[0]}")
    else:
        yield from _CHECKS[names[0]](node[names[0]], (*path, names[0]))


def _text_or_directive(node: Any, path: Path) -> Iterator[str]:
    if _type(node) == "directive":
        yield from _validate_directive(node, path)
    elif not isinstance(node, str):
        yield _should_be(path, "a string or a mapping directive", node)


def _object_or_directive(node: Any, path: Path) -> Iterator[str]:
    if not isinstance(node, dict):
        yield _should_be(path, "a object or a mapping directive", node)


def _member_text_or_directive(node: Any, path: Path) -> Iterator[str]:
    if not isinstance(node, str) and _type(node) != "directive":
        yield _should_be(path, "a string or a mapping directive", node)


def _anything(node: Any, path: Path) -> Iterator[str]:
    return iter(())


def _raw_or_directive(node: Any, path: Path) -> Iterator[str]:
    if _type(node) == "directive":
        yield from _validate_directive(node, path)


def _text(node: Any, path: Path) -> Iterator[str]:
    if not isinstance(node, str):
        yield _should_be(path, "a string", node)


def _boolean(node: Any, path: Path) -> Iterator[str]:
    if not isinstance(node, bool):
        yield _should_be(path, "a boolean", node)


def _text_of(least: int, most: int) -> _Check:
    def check(node: Any, path: Path) -> Iterator[str]:
        if not isinstance(node, str):
            yield _should_be(path, "a string", node)
        elif length(node) < least:
            yield _say(path, f"should be a string of length {least} or greater")
        elif length(node) > most:
            yield _say(path, f"should be a string of length {most} or less")

    return check


def _one_of(*choices: str) -> _Check:
    def check(node: Any, path: Path) -> Iterator[str]:
        if not isinstance(node, str):
            yield _should_be(path, "a string", node)
        elif node.lower() not in choices:
            yield _say(path, f'should be one of {", ".join(choices)} but it is "{node}"')

    return check


def _object_with(required: set[str], checks: dict[str, _Check]) -> _Check:
    """An object whose members are sound mappings; only then are they held, unopened, against what is asked of them."""

    def check(node: Any, path: Path) -> Iterator[str]:
        faults = list(_object_of_mappings(node, path))
        yield from faults
        if faults:
            return
        for key, of_member in checks.items():
            if key in node:
                yield from of_member(node[key], (*path, key))
            elif key in required:
                yield _say(path, f'should have field "{key}" but it doesn\'t')

    return check


def _liquid_template(node: Any, path: Path) -> Iterator[str]:
    if not isinstance(node, str):
        yield _should_be(path, "a string", node)
        return
    try:
        _template_of(node)
    except MappingError as error:
        yield _say(path, f"cannot be used: {error.message}")


def _text_with_holes(node: Any, path: Path) -> Iterator[str]:
    if not isinstance(node, str):
        yield _should_be(path, "a string", node)
        return
    try:
        piped_text.compile(node)
    except MappingError as error:
        yield _say(path, error.message)


def _json_path(node: Any, path: Path) -> Iterator[str]:
    if not isinstance(node, str):
        yield _should_be(path, "a string", node)
        return
    try:
        jsonpath.compile(node)
    except MappingError as error:
        yield _say(path, f"cannot be used: {error.message.rstrip('.')}")


def _rows(node: Any, path: Path) -> Iterator[str]:
    if _type(node) != "object":
        yield _should_be(path, "an object", node)
        return
    try:
        _planted(node)
    except MappingError as error:
        yield _say(path, error.message)


def _object_of_rows(node: Any, path: Path) -> Iterator[str]:
    yield from _rows(node, path)
    if isinstance(node, dict):
        yield from _validate_members(node, path)


def _object_of_mappings(node: Any, path: Path) -> Iterator[str]:
    if _type(node) != "object":
        yield _should_be(path, "an object", node)
    else:
        yield from _validate(node, path)


def _array_path(node: Any, path: Path) -> Iterator[str]:
    if not isinstance(node, list):
        yield _should_be(path, "an array", node)
        return
    faults = list(_text_or_directive(node[0] if node else UNDEFINED, path))
    yield from faults or _validate(node[1] if len(node) > 1 else None, path)


def _array(node: Any, path: Path) -> Iterator[str]:
    if not isinstance(node, list):
        yield _should_be(path, "an array", node)


_merged = _object_with({"objects"}, {"direction": _one_of("left", "right"), "objects": _array})


def _merge_of_objects(node: Any, path: Path) -> Iterator[str]:
    """Of the objects Segment reports only the first faulty one, and without its path."""
    faults = list(_merged(node, path))
    for item in [] if faults else node["objects"]:
        faults = faults or list(_object_or_directive(item, ())) or list(_validate(item, ()))
    yield from faults


_CHECKS: dict[str, _Check] = {
    "@path": _text_or_directive,
    "@template": _text_or_directive,
    "@literal": _raw_or_directive,
    "@if": _object_of_mappings,
    "@case": _object_with(set(), {"operator": _text, "value": _member_text_or_directive}),
    "@replace": _object_with(
        {"pattern", "value"},
        {
            "pattern": _text_of(1, 10),
            "replacement": _text_of(0, 10),
            "value": _member_text_or_directive,
            "ignorecase": _boolean,
            "global": _boolean,
        },
    ),
    "@arrayPath": _array_path,
    "@json": _object_with({"value", "mode"}, {"value": _anything, "mode": _one_of("encode", "decode")}),
    "@flatten": _object_with({"value"}, {"separator": _text, "value": _anything}),
    "@merge": _merge_of_objects,
    "@transform": _object_with({"apply", "mapping"}, {"apply": _object_or_directive, "mapping": _object_or_directive}),
    "@excludeWhenNull": _raw_or_directive,
    "@liquid": _liquid_template,
    "@text": _text_with_holes,
    "@object": _object_of_rows,
    "@jsonpath": _json_path,
    "@random": _one_of("uuid"),
}


# Compiling: each node becomes a function of the payload

_SEES_UNDEFINED = frozenset({"@merge", "@flatten", "@transform", "@arrayPath"})
"""Directives whose result can depend on undefined members: with these, undefined is kept until the very end."""


def _compile(node: Any, path: Path, keep: bool) -> Resolve:
    if isinstance(node, dict):
        return _compile_directive(node, path, keep) if _is_directive(node) else _compile_object(node, path, keep)
    if isinstance(node, list):
        return _compile_array(node, path, keep)
    return lambda payload, run: node


def _compile_object(node: dict[str, Any], path: Path, keep: bool) -> Resolve:
    members = [(key, _compile(child, (*path, key), keep)) for key, child in node.items()]
    if keep:

        def resolve_all(payload: Any, run: _Run) -> Any:
            run.spend(0, len(members))
            return {key: resolve(payload, run) for key, resolve in members}

        return resolve_all

    def resolve_defined(payload: Any, run: _Run) -> Any:
        return {key: value for key, resolve in members if (value := resolve(payload, run)) is not UNDEFINED}

    return resolve_defined


def _compile_array(node: list[Any], path: Path, keep: bool) -> Resolve:
    items = [_compile(child, (*path, str(i)), keep) for i, child in enumerate(node)]
    if keep:

        def resolve_all(payload: Any, run: _Run) -> Any:
            run.spend(0, len(items))
            return [resolve(payload, run) for resolve in items]

        return resolve_all

    def resolve_defined(payload: Any, run: _Run) -> Any:
        return [None if (value := resolve(payload, run)) is UNDEFINED else value for resolve in items]

    return resolve_defined


def _compile_directive(node: dict[str, Any], path: Path, keep: bool) -> Resolve:
    name = next(key for key in node if key.startswith("@"))
    if name not in _DIRECTIVES:
        return _raising(f"{name} is not a valid directive, got undefined")
    return _DIRECTIVES[name](node[name], (*path, name), keep)


def _raising(message: str) -> Resolve:
    def fail(payload: Any, run: _Run) -> NoReturn:
        raise MappingError(message)

    return fail


def _nothing(payload: Any, run: _Run) -> Any:
    return UNDEFINED


def _look_up_path(path: str, payload: Any, run: _Run) -> Any:
    return look_up(payload, path_keys(path.replace("$.", "", 1)))


def _path(value: Any, path: Path, keep: bool) -> Resolve:
    if not isinstance(value, str):
        return _resolved_text("@path", value, path, keep, _look_up_path)
    keys = path_keys(value.replace("$.", "", 1))
    if len(keys) == 1:
        only = keys[0]
        return lambda payload, run: (
            payload.get(only, UNDEFINED) if isinstance(payload, dict) else look_up(payload, keys)
        )
    if len(keys) == 2:
        outer, inner = keys

        def in_two_steps(payload: Any, run: _Run) -> Any:
            found = payload.get(outer, UNDEFINED) if isinstance(payload, dict) else UNDEFINED
            return found.get(inner, UNDEFINED) if isinstance(found, dict) else look_up(payload, keys)

        return in_two_steps
    return lambda payload, run: look_up(payload, keys)


def _resolved_text(name: str, value: Any, path: Path, keep: bool, then: Callable[[str, Any, _Run], Any]) -> Resolve:
    inner = _compile(value, path, keep)

    def resolve(payload: Any, run: _Run) -> Any:
        text = inner(payload, run)
        if not isinstance(text, str):
            raise MappingError(f"{name}: expected string, got {kind(text)}")
        return then(text, payload, run)

    return resolve


def _template(value: Any, path: Path, keep: bool) -> Resolve:
    if not isinstance(value, str):
        return _resolved_text("@template", value, path, keep, _render)
    if "{{{" in value:
        return lambda payload, run: _render(value, payload, run)
    pieces = [(text, None if hole is None else path_keys(hole)) for text, hole in _holes(value, 2)]

    def fill(payload: Any, run: _Run) -> Any:
        filled = "".join(text if keys is None else text + _shown(payload, keys, run) for text, keys in pieces)
        run.spend(len(filled))
        return filled

    return fill


def _render(template: str, payload: Any, run: _Run) -> str:
    for braces in (3, 2):
        parts: list[str] = []
        for text, hole in _holes(template, braces):
            parts.append(text)
            if hole is not None:
                shown = _shown(payload, path_keys(hole), run)
                run.spend(len(shown))
                parts.append(shown)
        template = "".join(parts)
        run.spend(len(template))
    return template


def _holes(template: str, braces: int) -> Iterator[tuple[str, str | None]]:
    """Text and the path in the hole after it, in turns; in one walk, whatever the text."""
    opening, closing = "{" * braces, "}" * braces
    done = at = 0
    while (end := template.find("}", at)) >= 0:
        start = template.find(opening, at, end - 1)
        if start >= 0 and template.startswith(closing, end):
            yield template[done:start], template[start + braces : end].strip(SPACE)
            done = at = end + braces
        else:
            at = end + 1
    yield template[done:], None


def _shown(payload: Any, keys: tuple[str, ...], run: _Run) -> str:
    value = look_up({} if payload is UNDEFINED else payload, keys)
    if isinstance(value, str):
        return value
    text = "" if value is None or value is UNDEFINED else to_text(value)
    run.spend(0, 1 + text.count(","))
    return text


def _literal(value: Any, path: Path, keep: bool) -> Resolve:
    return _compile(value, path, keep)


def _if(options: Any, path: Path, keep: bool) -> Resolve:
    if not isinstance(options, dict):
        return _raising('@if requires an object with an "exists" key')
    if falsy(options.get("exists")) and falsy(options.get("blank")):
        return _raising('@if requires an "exists" key or a "blank" key')
    question = "exists" if "exists" in options else "blank"
    asked = _compile(options[question], (*path, question), keep)
    then = _compile(options["then"], (*path, "then"), keep) if "then" in options else None
    otherwise = _nothing if falsy(options.get("else")) else _compile(options["else"], (*path, "else"), keep)

    def resolve(payload: Any, run: _Run) -> Any:
        value = asked(payload, run)
        if value is None or value is UNDEFINED or (question == "blank" and _blank(value)):
            return otherwise(payload, run)
        return then(payload, run) if then else UNDEFINED

    return resolve


def _blank(value: Any) -> bool:
    """JavaScript's `value == ""`."""
    return to_text(value) == "" if isinstance(value, list) else falsy(value)


def _case(options: Any, path: Path, keep: bool) -> Resolve:
    if not isinstance(options, dict):
        return _raising('@case requires an object with a "operator" key')
    if falsy(options.get("operator")):
        return _raising('@case requires a "operator" key')
    if falsy(options.get("value")):
        return _nothing
    operator, inner = options["operator"], _compile(options["value"], (*path, "value"), keep)

    def resolve(payload: Any, run: _Run) -> Any:
        value = inner(payload, run)
        if not isinstance(value, str):
            return value
        run.spend(len(value))
        if operator == "lower":
            return value.lower()
        if operator == "upper":
            return value.upper()
        raise MappingError('operator key should have a value of "lower" or "upper"')

    return resolve


def _replace(options: Any, path: Path, keep: bool) -> Resolve:
    if not isinstance(options, dict):
        return _raising('@replace requires an object with a "pattern" key')
    if falsy(options.get("pattern")):
        return _raising('@replace requires a "pattern" key')
    pairs = [(options["pattern"], options.get("replacement", ""))]
    if not falsy(options.get("pattern2")):
        pairs.append((options["pattern2"], options.get("replacement2", "")))
    if falsy(options.get("value")):
        return _nothing
    inner = _compile(options["value"], (*path, "value"), keep)
    ignore_case = options.get("ignorecase") is True
    everywhere = options.get("global") is not False
    usable = [pair for pair in pairs if isinstance(pair[0], str) and isinstance(pair[1], str)]
    if not usable or usable[0] is not pairs[0]:
        return lambda payload, run: (inner(payload, run), "")[1]

    def resolve(payload: Any, run: _Run) -> Any:
        value = inner(payload, run)
        if isinstance(value, bool | int | float):
            value = to_text(value)
        if not isinstance(value, str):
            return ""
        for pattern, replacement in usable:
            if length(pattern) > 10:
                raise MappingError('@replace requires a "pattern" less than 10 characters')
            if length(replacement) > 10:
                raise MappingError('@replace requires a "replacement" less than 10 characters')
            value = _substitute(value, pattern, replacement, ignore_case, everywhere, run)
        return value

    return resolve


def _fold(text: str) -> str:
    """As JavaScript compares with the flag `i`: single units, upper-cased, never from outside ASCII into it."""
    return "".join(map(_fold_one, text))


@lru_cache(maxsize=4096)
def _fold_one(c: str) -> str:
    upper = c.upper()
    return upper if len(upper) == 1 and c <= "\uffff" and (c < "\x80" or upper >= "\x80") else c


def _substitute(text: str, pattern: str, replacement: str, ignore_case: bool, everywhere: bool, run: _Run) -> str:
    run.spend(len(text), len(text) // 10 if ignore_case else 0)
    sought, within = (_fold(pattern), _fold(text)) if ignore_case else (pattern, text)
    parts: list[str] = []
    done = 0
    while (at := within.find(sought, done)) >= 0:
        end = at + len(pattern)
        filled = _expand(replacement, text, at, end) if "$" in replacement else replacement
        run.spend(len(filled) + 1)
        parts += (text[done:at], filled)
        done = end
        if not everywhere:
            break
    parts.append(text[done:])
    return "".join(parts)


def _expand(replacement: str, text: str, start: int, end: int) -> str:
    special = {"$$": "$", "$&": text[start:end], "$`": text[:start], "$'": text[end:]}
    return re.sub(r"\$[$&`']", lambda found: special[found.group()], replacement)


def _array_path_directive(value: Any, path: Path, keep: bool) -> Resolve:
    if not isinstance(value, list):
        return _raising(f"@arrayPath expected array, got {kind(value)}")
    first = value[0] if value else UNDEFINED
    root = _path(first, path, keep) if isinstance(first, str) else _compile(first, path, keep)
    shape = value[1] if len(value) > 1 else None
    if not isinstance(shape, dict) or not shape:
        return root
    resolve_item = _compile(shape, path, keep)

    def resolve(payload: Any, run: _Run) -> Any:
        found = root(payload, run)
        if not isinstance(found, dict | list):
            return found
        items = found if isinstance(found, list) else [found]
        run.spend(0, len(items))
        outer = run.item
        resolved = []
        for i, item in enumerate(items):
            run.item = f"{outer}/{i}"
            resolved.append(resolve_item(item, run))
        run.item = outer
        return resolved

    return resolve


def _json(options: Any, path: Path, keep: bool) -> Resolve:
    if not isinstance(options, dict):
        return _raising('@json requires an object with a "value" key')
    for key in ("mode", "value"):
        if falsy(options.get(key)):
            return _raising(f'@json requires a "{key}" key')
    mode, inner = options.get("mode"), _compile(options["value"], (*path, "value"), keep)

    def encode(payload: Any, run: _Run) -> Any:
        value = inner(payload, run)
        text = value if value is UNDEFINED else to_json(_finish(value, run))
        run.spend(len(text or ""))
        return text

    def decode(payload: Any, run: _Run) -> Any:
        value = inner(payload, run)
        if not isinstance(value, str):
            return value
        run.spend(len(value), value.count(","))
        try:
            return json.loads(value, parse_constant=_no_constant, parse_int=_number, parse_float=_number)
        except (ValueError, RecursionError):
            return value

    def ignore(payload: Any, run: _Run) -> Any:
        inner(payload, run)
        return UNDEFINED

    return encode if mode == "encode" else decode if mode == "decode" else ignore


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _number(text: str) -> int | float | None:
    """As JavaScript reads it: the nearest double, whole where it is whole; what is beyond doubles it writes as null."""
    number = float(text)
    if math.isinf(number):
        return None
    return int(number) if number % 1 == 0 and abs(number) < 2**53 else number


def _flatten(options: Any, path: Path, keep: bool) -> Resolve:
    if not isinstance(options, dict):
        return _raising('@flatten requires an object with a "separator" key')
    separator = options.get("separator")
    if falsy(separator):
        return _raising('@flatten requires a "separator" key')
    if not isinstance(separator, str):
        return _raising("@flatten requires a string separator")
    inner = _compile(options.get("value", UNDEFINED), (*path, "value"), keep)
    omit_arrays = not falsy(options.get("omitArrays"))

    def resolve(payload: Any, run: _Run) -> Any:
        flat: dict[str, Any] = {}
        _flatten_into(flat, "", inner(payload, run), separator, omit_arrays, run)
        return flat

    return resolve


def _flatten_into(flat: dict[str, Any], prefix: str, value: Any, separator: str, omit_arrays: bool, run: _Run) -> None:
    run.spend(len(prefix), 1)
    if isinstance(value, dict):
        members = [(key, value[key]) for key in key_order(value)]
    elif isinstance(value, list) and not omit_arrays:
        members = [(str(i), item) for i, item in enumerate(value)]
    else:
        flat[prefix] = value
        return
    for key, child in members:
        _flatten_into(flat, f"{prefix}{separator}{key}" if prefix else key, child, separator, omit_arrays, run)


def _merge(options: Any, path: Path, keep: bool) -> Resolve:
    if not isinstance(options, dict):
        return _raising('@merge requires an object with an "objects" key and a "direction" key')
    for key in ("direction", "objects"):
        if falsy(options.get(key)):
            return _raising(f'@merge requires a "{key}" key')
    if not isinstance(options["objects"], list):
        return _raising(f"@merge: expected opts.array, got {kind(options['objects'])}")
    objects = [_compile(item, (*path, "objects", str(i)), keep) for i, item in enumerate(options["objects"])]
    backwards = options["direction"] == "left"

    def resolve(payload: Any, run: _Run) -> Any:
        merged: dict[str, Any] = {}
        values = [of_object(payload, run) for of_object in objects]
        for value in reversed(values) if backwards else values:
            if isinstance(value, dict):
                run.spend(0, len(value))
                merged.update(value)
            elif isinstance(value, list):
                run.spend(0, len(value))
                merged.update((str(i), item) for i, item in enumerate(value))
            elif isinstance(value, str):
                run.spend(0, len(value))
                merged.update((str(i), unit) for i, unit in enumerate(units(value)))
        return merged

    return resolve


def _transform(options: Any, path: Path, keep: bool) -> Resolve:
    if not isinstance(options, dict):
        return _raising('@transform requires an object with an "apply" key and a "mapping" key')
    for key in ("mapping", "apply"):
        if falsy(options.get(key)):
            return _raising(f'@transform requires a "{key}" key')
    if not isinstance(options["apply"], dict):
        return _raising('@transform "apply" key should be an object')
    try:
        root = _root(options["apply"])
    except MappingError as error:
        return _raising(error.message)
    faults = list(_validate(root, ()))
    if faults:
        return _raising(" ".join(faults))
    apply = _compile(root, (*path, "apply"), keep)
    mapping = _compile(options["mapping"], (*path, "mapping"), keep)

    def resolve(payload: Any, run: _Run) -> Any:
        if not isinstance(payload, dict):
            if payload is not UNDEFINED:
                raise MappingError(f"data must be an object, got {kind(payload)}")
            payload = {}
        return mapping(_drop(apply(payload, run), run), run)

    return resolve


def _exclude_when_null(value: Any, path: Path, keep: bool) -> Resolve:
    inner = _compile(value, path, keep)

    def resolve(payload: Any, run: _Run) -> Any:
        return _without_nulls(inner(payload, run), run)

    return resolve


def _without_nulls(value: Any, run: _Run) -> Any:
    if isinstance(value, dict):
        run.spend(0, len(value))
        return {key: _without_nulls(child, run) for key, child in value.items() if child is not None}
    return UNDEFINED if value is None else value


def _sound(check: _Check, value: Any, path: Path) -> None:
    """What Segment would refuse event by event, or not know at all, is refused at once, wherever it stands."""
    if faults := list(check(value, path)):
        raise MappingError(*faults)


def _template_of(text: str) -> Template:
    from connectors import liquid  # 10 MB of memory that only those who use it should pay

    return liquid.compile(text)


def _liquid(value: Any, path: Path, keep: bool) -> Resolve:
    _sound(_liquid_template, value, path)
    template = _template_of(value)

    def resolve(payload: Any, run: _Run) -> Any:
        return template.render(payload, run)

    return resolve


def _text_directive(value: Any, path: Path, keep: bool) -> Resolve:
    _sound(_text_with_holes, value, path)
    text, name = piped_text.compile(value), f"/{'/'.join(path)}"

    def resolve(payload: Any, run: _Run) -> Any:
        return text.fill(piped_text.World(run.event, payload, run.context, run, (name, run.item)))

    return resolve


def _jsonpath(value: Any, path: Path, keep: bool) -> Resolve:
    _sound(_json_path, value, path)
    query, name = jsonpath.compile(value), f"/{'/'.join(path)}"

    def resolve(payload: Any, run: _Run) -> Any:
        found, more = query.find(payload, run)
        if more:
            run.context.warn(f"{name}: {query.text} finds several values; the first was taken.")
        return found

    return resolve


_ROW_PART = re.compile(r'(?:"([^"]+)"|([^."\[\]]+))((?:\[[0-9]+\])*)(?:\.(?=.)|\Z)')
_Branch = dict[str | int, Any]


@dataclass(slots=True)
class _Leaf:
    """What stands at the end of a row's key."""

    key: str
    node: Any


def _steps(key: str) -> list[str | int]:
    """`a.b[0]` as a, b, 0; a part in double quotes is one step, whatever is in it."""
    steps: list[str | int] = []
    at = 0
    while part := _ROW_PART.match(key, at):
        steps.append(part[1] or part[2])
        steps += [int(index[:-1]) for index in part[3].split("[")[1:]]
        at = part.end()
    if at < len(key) or not steps:
        raise MappingError(f"has the key {key}, which cannot be read; if it is meant as it is, put it in double quotes")
    return steps


def _planted(rows: dict[str, Any]) -> _Branch:
    """The tree that the keys of the rows describe."""
    root: _Branch = {}
    for key, node in rows.items():
        branch: Any = root
        *inner, last = _steps(key)
        for step in inner:
            branch = branch.setdefault(step, {})
            if isinstance(branch, _Leaf):
                raise MappingError(f"has {branch.key} and {key}: one is a value, the other a member of it")
        if last in branch:
            raise MappingError(f"has {key} where there is a value or a member already")
        branch[last] = _Leaf(key, node)
    _check_branches(root)
    return root


def _check_branches(branch: _Branch) -> None:
    indexes = [step for step in branch if isinstance(step, int)]
    if indexes and (len(indexes) < len(branch) or max(indexes) >= len(indexes)):
        raise MappingError("has a list whose items are not numbered [0], [1] and so on, each of them once")
    for child in branch.values():
        if isinstance(child, dict):
            _check_branches(child)


def _object(rows: Any, path: Path, keep: bool) -> Resolve:
    _sound(_rows, rows, path)
    grown = _grown(_planted(rows), path, keep)
    return lambda payload, run: {} if (made := grown(payload, run)) is UNDEFINED else made


def _grown(branch: _Branch, path: Path, keep: bool) -> Resolve:
    """Builds an object or a list; undefined if all of its members are."""
    members = [
        (step, _grown(child, path, keep) if isinstance(child, dict) else _compile(child.node, (*path, child.key), keep))
        for step, child in branch.items()
    ]
    if branch and all(isinstance(step, int) for step in branch):
        in_order = [resolve for _, resolve in sorted(members, key=lambda member: member[0])]

        def grow_list(payload: Any, run: _Run) -> Any:
            items = [resolve(payload, run) for resolve in in_order]
            if all(item is UNDEFINED for item in items):
                return UNDEFINED
            return [None if item is UNDEFINED else item for item in items]

        return grow_list

    def grow_object(payload: Any, run: _Run) -> Any:
        made = {step: value for step, resolve in members if (value := resolve(payload, run)) is not UNDEFINED}
        return made or UNDEFINED

    return grow_object


def _random(value: Any, path: Path, keep: bool) -> Resolve:
    name = "/".join(path)

    def resolve(payload: Any, run: _Run) -> Any:
        return str(UUID(bytes=run.context.made(name, run.item), version=4))

    return resolve


_DIRECTIVES: dict[str, Callable[[Any, Path, bool], Resolve]] = {
    "@path": _path,
    "@template": _template,
    "@literal": _literal,
    "@if": _if,
    "@case": _case,
    "@replace": _replace,
    "@arrayPath": _array_path_directive,
    "@json": _json,
    "@flatten": _flatten,
    "@merge": _merge,
    "@transform": _transform,
    "@excludeWhenNull": _exclude_when_null,
    "@liquid": _liquid,
    "@text": _text_directive,
    "@object": _object,
    "@jsonpath": _jsonpath,
    "@random": _random,
}


# Finishing


def _drop(value: Any, run: _Run) -> Any:
    """Without undefined members; undefined items stay, as in Segment's code."""
    run.spend(0, 1)
    if isinstance(value, dict):
        return {key: _drop(child, run) for key, child in value.items() if child is not UNDEFINED}
    if isinstance(value, list):
        return [_drop(item, run) for item in value]
    return value


def _finish(value: Any, run: _Run) -> Any:
    """Plain JSON: undefined members dropped, undefined items null. Counts too, for a part may be used many times."""
    if isinstance(value, dict):
        run.spend(0, 1 + len(value))
        return {key: _finish(child, run) for key, child in value.items() if child is not UNDEFINED}
    if isinstance(value, list):
        run.spend(0, 1 + len(value))
        return [_finish(item, run) for item in value]
    if isinstance(value, str):
        run.spend(len(value))
    return None if value is UNDEFINED or (isinstance(value, float) and not math.isfinite(value)) else value
