"""Triggers decide which events a mapping handles: Segment's trigger language, parsed once and matched many times.

    type = "track" and event = "Order Completed"
    type = "identify", traits.plan != null
    type = "track" and (match(event, "Order *") or properties.total >= 100)

On every trigger that Segment's own editor can write the verdict is Segment's, its oddities included: `=` and `!=`
compare text strictly (`properties.vip != true` holds for every boolean), numbers never equal texts, a falsy value
on the way down a path is the value found, `!contains` and `!match` need a text to hold. Where Segment's parser reads
something else than what is written, this one does what is written, or refuses:

* `and` (or a comma) and `or` side by side are refused: parentheses must say which is meant. Segment takes the last.
* Parentheses nest, functions may stand in them, and `!` negates a group. Segment closes the group early.
* Every field of an event can be tested; an unknown one is refused. Segment drops the condition, widening the trigger.
* Single quotes quote; `match` knows any number of `*` (nothing else is special) and without one compares the whole.
* A missing value, operator, `and` or parenthesis, and a text after its closing quote, are refused. Segment guesses.
* `exists`, `not_exists`, `is_true`, `is_false` take no value; Segment swallows the next word.
* `>=5`, `items[0].sku`, `or(` and the words `and`, `or`, `null` inside a path mean what they seem to.
* `properties`, `traits` and `context` alone are refused; Segment looks up `properties.properties`.

From Segment's language of destination filters: `in`, a path alone (true when it is exactly true), and `length`,
`lowercase`, `uppercase`, `snakecase`, `kebabcase`, `titlecase`, `typeof` around a path.

The empty text matches nothing, as in Segment. The text `all` (ours) matches every event.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from typing import Any

from connectors.errors import TriggerError
from connectors.jstext import UNDEFINED, double, is_number, kind, length, look_up, number_text, to_number, to_text

EVERY_EVENT = "all"
MAX_TEXT = 200_000
MAX_DEPTH = 50
MAX_CONDITIONS = 1_000

OBJECTS = frozenset({"properties", "traits", "context", "integrations"})
TEXTS = frozenset(
    {"type", "event", "name", "userId", "anonymousId", "messageId", "groupId", "previousId", "channel", "category"}
    | {"version", "writeKey", "projectId", "timestamp", "originalTimestamp", "sentAt", "receivedAt"}
)
_AS_TEXT = frozenset({"type", "event"})  # fields whose values Segment always compares as text, null included
_AS_TEXT_OR_NULL = frozenset({"name"})
_AS_TEXT_BOOL_OR_NULL = frozenset({"userId"})

_UNARY = frozenset({"exists", "not_exists", "is_true", "is_false"})
_ABOUT_TEXT = frozenset(
    {"contains", "not_contains", "starts_with", "not_starts_with", "ends_with", "not_ends_with", "match", "not_match"}
)
_INFIX = (_ABOUT_TEXT - {"match", "not_match"}) | {"number_equals", "number_not_equals"}
_SYMBOLS = frozenset({"=", "!=", "<", "<=", ">", ">="})

Test = Callable[[Any], bool]


@dataclass(frozen=True, slots=True)
class Operand:
    """What a condition looks at: a path into the event, and the functions put around it, innermost first."""

    keys: tuple[str, ...]
    functions: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        text = ".".join(_escape(key) for key in self.keys)
        for function in self.functions:
            text = f"{function}({text})"
        return text


@dataclass(frozen=True, slots=True)
class Condition:
    """One comparison. `value` is a str, float, bool, None, or for `in` a tuple of them."""

    operand: Operand
    operator: str
    value: Any = None
    text: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Group:
    """Conditions joined: `all` of them, `any` of them, or `none` (one part, negated)."""

    join: str
    parts: tuple[Part, ...]
    text: str = field(default="", compare=False)


Part = Condition | Group


@dataclass(frozen=True, slots=True)
class Finding:
    """One condition against one event: its text, what was compared with what, the value seen, the verdict.

    A group has `parts` and no value. `missing` tells a member that is not there from one that is null.
    """

    text: str
    compared: str
    seen: Any
    missing: bool
    verdict: bool
    parts: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the editor: `field` as it is written in a trigger, an operator, and what it is compared with."""

    field: str
    operator: str
    value: Any = None


@dataclass(frozen=True, slots=True)
class Rows:
    """A trigger as the editor shows it. `match` is all, any, everything or nothing; the last two have no rows."""

    match: str
    rows: tuple[Row, ...] = ()


class Trigger:
    """A parsed trigger. Two are equal when they ask the same, however they are written."""

    __slots__ = ("_matches", "root", "text")

    def __init__(self, text: str, root: Part) -> None:
        self.text = text
        self.root = root
        self._matches = _compile(root)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Trigger) and self.root == other.root

    def __hash__(self) -> int:
        return hash(self.root)

    def __repr__(self) -> str:
        return f"Trigger({self.text!r})"

    def matches(self, event: dict[str, Any]) -> bool:
        """Whether the mapping handles this event. Never raises, never changes the event."""
        return self._matches(event) if isinstance(event, dict) else False

    def explain(self, event: dict[str, Any]) -> list[Finding]:
        """The conditions one by one, all of them, also those that could no longer change the verdict."""
        found = _explain(self.root, event if isinstance(event, dict) else {})
        return [found] if isinstance(self.root, Condition) or self.root.join == "none" else list(found.parts)

    def to_rows(self) -> Rows | None:
        """The trigger as rows of an ALL/ANY editor; None where it has another form (groups, functions, lists)."""
        root = self.root
        if isinstance(root, Condition):
            root = Group("all", (root,))
        if not root.parts:
            return Rows("everything" if root.join == "all" else "nothing")
        rows = tuple(row for part in root.parts if (row := _row(part)))
        return Rows(root.join, rows) if root.join != "none" and len(rows) == len(root.parts) else None


def from_rows(rows: Rows) -> Trigger:
    """The trigger of an ALL/ANY editor; raises TriggerError for a row that makes no sense."""
    if rows.match == "everything":
        return parse(EVERY_EVENT)
    written = [_write(row) for row in rows.rows]
    for text in written:
        if not isinstance(parse(text).root, Condition):
            raise TriggerError(f"This row of the trigger is not one condition: {text}")
    return parse((" and " if rows.match == "all" else " or ").join(written))


@lru_cache(maxsize=4096)
def parse(text: str) -> Trigger:
    """The trigger a text describes; raises TriggerError, whose position is the offset of the fault."""
    return Trigger(text, _Parser(text).trigger())


# Reading


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str  # word, path, text, number, or the symbol itself; "" at the end
    value: Any
    start: int
    end: int


_SPACES = re.compile(r"[ \t\r\n]*")
_SYMBOL = re.compile(r"!=|<=|>=|[=<>!(),\[\]]")
_NUMBER = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?", re.ASCII)
_KEY = re.compile(r"(?:[A-Za-z_]|\\.)(?:[A-Za-z0-9_-]|\\.)*", re.ASCII | re.DOTALL)
_DOT = re.compile(r"[ \t\r\n]*\.[ \t\r\n]*")
_INDEX = re.compile(r"\[([0-9]+)\]", re.ASCII)
_DIGITS = re.compile(r"[0-9]+(?![A-Za-z0-9_\\-])", re.ASCII)
_AFTER_WORD = re.compile(r"[ \t\r\n,\])(=!<>]|\Z")
_AFTER_VALUE = re.compile(r"[ \t\r\n,\])]|\Z")
_PARTS = re.compile(r"[^\[\].]+")
_UNESCAPE = re.compile(r"\\(.)", re.DOTALL)
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*", re.ASCII)


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    at = 0
    while True:
        at = _SPACES.match(text, at).end()  # type: ignore[union-attr]  # the pattern matches the empty text
        if at == len(text):
            tokens.append(_Token("", None, at, at))
            return tokens
        token = _quoted(text, at) or _symbol(text, at) or _number(text, at) or _word(text, at)
        tokens.append(token)
        at = token.end


def _quoted(text: str, at: int) -> _Token | None:
    quote = text[at]
    if quote not in "\"'":
        return None
    end = text.find(quote, at + 1)
    if end < 0:
        raise TriggerError(f"The text that starts here is never closed; add {quote} at its end.", at)
    if not _AFTER_VALUE.match(text, end + 1):
        raise TriggerError(
            "After a text comes a space, a comma or a closing parenthesis. "
            "If the quote belongs to the text, put the text in quotes of the other kind.",
            end + 1,
        )
    return _Token("text", text[at + 1 : end], at, end + 1)


def _symbol(text: str, at: int) -> _Token | None:
    found = _SYMBOL.match(text, at)
    return _Token(found.group(), None, at, found.end()) if found else None


def _number(text: str, at: int) -> _Token | None:
    if text[at] not in "+-0123456789":
        return None
    found = _NUMBER.match(text, at)
    if not found or not _AFTER_VALUE.match(text, found.end()):
        raise TriggerError("This is not a number; write it like 5, -5 or 5.25, or quote it if it is a text.", at)
    number = float(found.group())
    if math.isinf(number):
        raise TriggerError("This number is larger than any an event can hold.", at)
    return _Token("number", number, at, found.end())


def _word(text: str, at: int) -> _Token:
    found = _KEY.match(text, at)
    if not found:
        raise TriggerError(
            f"A trigger cannot have {text[at]!r} here; inside a field's name put a backslash before it.", at
        )
    keys = [_UNESCAPE.sub(r"\1", found.group())]
    end = found.end()
    while True:
        if index := _INDEX.match(text, end):
            keys.append(index.group(1))
            end = index.end()
        elif dot := _DOT.match(text, end):
            key = _KEY.match(text, dot.end()) or _DIGITS.match(text, dot.end())
            if not key:
                raise TriggerError("After a dot comes the name of a member.", dot.end())
            keys.append(_UNESCAPE.sub(r"\1", key.group()))
            end = key.end()
        else:
            break
    if not _AFTER_WORD.match(text, end):
        raise TriggerError(f"A field's name cannot have {text[end]!r}; put a backslash before it.", end)
    if len(keys) == 1:
        return _Token("word", keys[0], at, end)
    return _Token("path", tuple(part for key in keys for part in _PARTS.findall(key)), at, end)


class _Parser:
    """Recursive descent over the tokens; every refusal names the place and the remedy."""

    def __init__(self, text: str) -> None:
        if len(text) > MAX_TEXT:
            raise TriggerError(f"A trigger has at most {MAX_TEXT:,} characters, this one has {len(text):,}.")
        self.text = text
        self.tokens = _tokens(text)
        self.at = 0
        self.conditions = 0

    @property
    def token(self) -> _Token:
        return self.tokens[self.at]

    def take(self) -> _Token:
        token = self.tokens[self.at]
        self.at += 1
        return token

    def fault(self, message: str, token: _Token | None = None) -> TriggerError:
        return TriggerError(message, (token or self.token).start)

    def expect(self, symbol: str, message: str) -> None:
        if self.token.kind != symbol:
            raise self.fault(message)
        self.take()

    def source(self, start: int) -> str:
        return self.text[start : self.tokens[self.at - 1].end]

    def word(self, *words: str) -> bool:
        return self.token.kind == "word" and self.token.value in words

    def trigger(self) -> Part:
        if not self.token.kind:
            return Group("any", ())
        if self.word(EVERY_EVENT) and not self.tokens[1].kind:
            return Group("all", ())
        root = self.level(0)
        if self.token.kind == ")":
            raise self.fault("This parenthesis closes nothing; remove it, or open one before.")
        if self.token.kind:
            raise self.fault('Between two conditions comes "and" or "or".')
        return root

    def level(self, depth: int) -> Part:
        if depth > MAX_DEPTH:
            raise self.fault(f"Parentheses nest at most {MAX_DEPTH} deep.")
        start = self.token.start
        parts = [self.part(depth)]
        join = ""
        while self.token.kind == "," or self.word("and", "or"):
            word = "or" if self.word("or") else "and"
            if join and word != join:
                raise self.fault('"and" and "or" side by side can be read two ways; put parentheses where they belong.')
            join = word
            self.take()
            parts.append(self.part(depth))
        if len(parts) == 1:
            return parts[0]
        joined = "all" if join == "and" else "any"
        return Group(joined, tuple(_flat(joined, parts)), self.source(start))

    def part(self, depth: int) -> Part:
        start = self.token.start
        if self.token.kind == "(":
            self.take()
            if self.token.kind == ")":
                raise self.fault("These parentheses are empty; put a condition in them or remove them.")
            inner = self.level(depth + 1)
            self.expect(")", "A closing parenthesis is missing here.")
            return inner
        if self.token.kind == "!":
            return self.negation(depth, start)
        return self.condition()

    def negation(self, depth: int, start: int) -> Part:
        self.take()
        if self.token.kind == "(":
            return Group("none", (self.part(depth),), self.source(start))
        if self.token.kind not in {"word", "path"}:
            raise self.fault("After ! comes a parenthesis, contains(…), match(…) or a field that is true or false.")
        part = self.condition()
        if part.operator in {"contains", "match"} and self.text[start + 1 :].lstrip().startswith(part.operator):
            return Condition(part.operand, "not_" + part.operator, part.value, self.source(start))
        if part.operator == "is_true" and self.tokens[self.at - 1].value != "is_true":
            return Group("none", (part,), self.source(start))
        raise self.fault("Put what ! negates in parentheses.", self.tokens[self.at - 1])

    def condition(self) -> Condition:
        self.conditions += 1
        if self.conditions > MAX_CONDITIONS:
            raise self.fault(f"A trigger has at most {MAX_CONDITIONS} conditions.")
        start = self.token.start
        operand, operator, value = self.comparison()
        return Condition(operand, operator, value, self.source(start))

    def comparison(self) -> tuple[Operand, str, Any]:
        if self.token.kind in {"text", "number"}:
            value = self.take().value
            if not self.word("in"):
                raise self.fault("A condition starts with a field, such as type, event or properties.total.")
            self.take()
            return self.operand(), "includes", value
        if self.word("contains", "match") and self.tokens[self.at + 1].kind == "(":
            return self.function()
        operand = self.operand()
        return operand, *self.comparison_of(operand)

    def comparison_of(self, operand: Operand) -> tuple[str, Any]:
        token = self.token
        if token.kind in _SYMBOLS:
            self.take()
            return _rewrite(operand, token.kind, self.value())
        if token.kind == "word" and token.value in _UNARY:
            self.take()
            return token.value, None
        if token.kind == "word" and token.value in _INFIX:
            self.take()
            return _rewrite(operand, token.value, self.value())
        if self.word("in"):
            self.take()
            return "in", self.list()
        if token.kind in {"", ")", ","} or self.word("and", "or"):
            return "is_true", None
        if token.kind == "word":
            raise self.fault(
                f'"{token.value}" is not an operator; use =, !=, <, <=, >, >=, contains, starts_with, exists.'
            )
        raise self.fault("An operator is missing here, such as = or !=.")

    def function(self) -> tuple[Operand, str, Any]:
        name = self.take().value
        self.take()
        if self.token.kind == ")":
            raise self.fault(f"{name}() is missing a 1st argument, the field.")
        operand = self.operand()
        self.expect(",", f"{name}() is missing a comma and a 2nd argument, the text to look for.")
        token = self.token
        value = self.value()
        if name == "match" and (token.kind != "text" or not value):
            raise self.fault('The pattern of match() is a text, such as "Order *".', token)
        self.expect(")", f"The closing parenthesis of {name}() is missing here.")
        return operand, *_rewrite(operand, name, value)

    def operand(self, depth: int = 0) -> Operand:
        token = self.take()
        if token.kind == "word" and token.value in _FUNCTIONS and self.token.kind == "(":
            if depth >= MAX_DEPTH:
                raise self.fault(f"Functions nest at most {MAX_DEPTH} deep.", token)
            self.take()
            inner = self.operand(depth + 1)
            self.expect(")", f"The closing parenthesis of {token.value}() is missing here.")
            return Operand(inner.keys, (*inner.functions, token.value))
        if token.kind == "word" and token.value in TEXTS:
            return Operand((token.value,))
        if token.kind == "word" and token.value in OBJECTS:
            raise self.fault(f"{token.value} is an object; name a member of it, such as {token.value}.plan.", token)
        if token.kind == "path" and token.value and token.value[0] in OBJECTS:
            if len(token.value) == 1:
                raise self.fault("This path names no member.", token)
            return Operand(token.value)
        raise self.fault(_no_field(token), token)

    def value(self) -> Any:
        token = self.token
        if token.kind in {"text", "number"}:
            return self.take().value
        if token.kind == "path":
            raise self.fault("A field is compared with a value, not with a field; quote the value if it is a text.")
        if token.kind != "word" or token.value in {"and", "or"}:
            raise self.fault("A value is missing here: a text in quotes, a number, true, false or null.")
        self.take()
        if self.token.kind == "(":
            raise self.fault(
                "A field is compared with a value, not a function; quote the value if it is a text.", token
            )
        return _Bare(token.value)

    def list(self) -> tuple[Any, ...]:
        self.expect("[", 'After "in" comes a list, such as ["track", "page"].')
        values: list[Any] = []
        while self.token.kind != "]":
            if values:
                self.expect(",", "Between the values of a list comes a comma; after the last one ].")
            values.append(_plain(self.value()))
        self.take()
        return tuple(values)


class _Bare(str):
    """A word without quotes: true, false and null are themselves, anything else is a text."""

    __slots__ = ()


_WORDS: dict[str, Any] = {"true": True, "false": False, "null": None}


def _plain(value: Any) -> Any:
    return _WORDS.get(value, str(value)) if isinstance(value, _Bare) else value


def _no_field(token: _Token) -> str:
    if token.kind == "word" and token.value == "not":
        return '"not" is written ! directly before contains(…), match(…) or a parenthesis.'
    if token.kind == "word" and token.value in {"and", "or"}:
        return f'A condition is missing before "{token.value}".'
    if token.kind == "word":
        return f'An event has no field "{token.value}"; perhaps properties.{token.value} is meant, or traits.'
    if token.kind == "path" and token.value and token.value[0] in TEXTS:
        return f"{token.value[0]} is a plain value and has no members."
    if token.kind == "path":
        return "Paths start with properties, traits, context or integrations."
    return "A condition is missing here; it starts with a field, such as type, event or properties.total."


def _rewrite(operand: Operand, operator: str, literal: Any) -> tuple[str, Any]:
    """The operator Segment really applies: what `=` means depends on the field and on how the value is written."""
    value = _plain(literal)
    name = "" if operand.functions or len(operand.keys) > 1 else operand.keys[0]
    takes_null = name not in _AS_TEXT
    takes_bool = takes_null and name not in _AS_TEXT_OR_NULL
    takes_number = takes_bool and name not in _AS_TEXT_BOOL_OR_NULL
    if operator in {"=", "!="}:
        if value is None and takes_null:
            return ("not_exists" if operator == "=" else "exists"), None
        if isinstance(value, bool) and operator == "=" and takes_bool:
            return ("is_true" if value else "is_false"), None
        if isinstance(value, float) and takes_number:
            return ("number_equals" if operator == "=" else "number_not_equals"), value
        return operator, to_text(value)
    if operator in _ABOUT_TEXT or value is None or not takes_number:
        return operator, to_text(value)
    return operator, value


def _flat(join: str, parts: Iterable[Part]) -> Iterable[Part]:
    for part in parts:
        if isinstance(part, Group) and part.join == join:
            yield from part.parts
        else:
            yield part


# Deciding


def _compile(part: Part) -> Test:
    if isinstance(part, Condition):
        return _compile_condition(part)
    tests = tuple(_compile(child) for child in part.parts)
    if part.join == "none":
        (only,) = tests
        return lambda event: not only(event)
    if len(tests) == 2:
        one, two = tests
        if part.join == "all":
            return lambda event: one(event) and two(event)
        return lambda event: one(event) or two(event)
    wanted = part.join == "any"

    def group(event: Any) -> bool:
        for test in tests:
            if test(event) is wanted:
                return wanted
        return not wanted

    return group


def _compile_condition(condition: Condition) -> Test:
    keys, test, value = condition.operand.keys, _test(condition), condition.value
    if condition.operand.functions:
        seen = condition.operand
        return lambda event: test(_see(seen, event))
    if len(keys) == 1:
        key = keys[0]
        if condition.operator == "=":
            return lambda event: event.get(key) == value
        return lambda event: test(event.get(key, UNDEFINED))
    return lambda event: test(look_up(event, keys))


def _test(condition: Condition) -> Test:
    return _TESTS[condition.operator](condition.value)


def _ordered(compare: Callable[[float, float], bool]) -> Callable[[Any], Test]:
    def make(literal: Any) -> Test:
        limit = to_number(literal)
        return lambda seen: is_number(seen) and compare(double(seen), limit)

    return make


def _about_text(holds: Callable[[str, str], bool], wanted: bool = True) -> Callable[[Any], Test]:
    return lambda literal: lambda seen: isinstance(seen, str) and holds(seen, literal) is wanted


def _glob(text: str, pattern: str) -> bool:
    first, *rest = pattern.split("*")
    if not rest:
        return text == pattern
    *inner, last = rest
    if not text.startswith(first):
        return False
    at = len(first)
    for piece in inner:
        found = text.find(piece, at)
        if found < 0:
            return False
        at = found + len(piece)
    return len(text) - at >= len(last) and text.endswith(last)


def _same(one: Any, other: Any) -> bool:
    """Equal and of the same kind: 1 is not true, "1" is not 1."""
    if is_number(one) and is_number(other):
        return double(one) == double(other)
    return type(one) is type(other) and bool(one == other)


_TESTS: dict[str, Callable[[Any], Test]] = {
    "=": lambda literal: lambda seen: isinstance(seen, str) and seen == literal,
    "!=": lambda literal: lambda seen: not (isinstance(seen, str) and seen == literal),
    "number_equals": _ordered(lambda seen, number: seen == number),
    "number_not_equals": _ordered(lambda seen, number: seen != number),
    "<": _ordered(lambda seen, limit: seen < limit),
    "<=": _ordered(lambda seen, limit: seen <= limit),
    ">": _ordered(lambda seen, limit: seen > limit),
    ">=": _ordered(lambda seen, limit: seen >= limit),
    "contains": _about_text(lambda seen, text: text in seen),
    "not_contains": _about_text(lambda seen, text: text in seen, wanted=False),
    "starts_with": _about_text(str.startswith),
    "not_starts_with": _about_text(str.startswith, wanted=False),
    "ends_with": _about_text(str.endswith),
    "not_ends_with": _about_text(str.endswith, wanted=False),
    "match": _about_text(_glob),
    "not_match": _about_text(_glob, wanted=False),
    "exists": lambda _: lambda seen: seen is not None and seen is not UNDEFINED,
    "not_exists": lambda _: lambda seen: seen is None or seen is UNDEFINED,
    "is_true": lambda _: lambda seen: seen is True,
    "is_false": lambda _: lambda seen: seen is False,
    "in": lambda literals: lambda seen: any(_same(seen, literal) for literal in literals),
    "includes": lambda literal: lambda seen: isinstance(seen, list) and any(_same(item, literal) for item in seen),
}


def _words_of(text: str) -> list[str]:
    return re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+|[^\W\d_A-Za-z]+", text)


def _on_text(change: Callable[[str], str]) -> Callable[[Any], Any]:
    return lambda seen: change(seen) if isinstance(seen, str) else None


_FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "length": lambda seen: length(seen) if isinstance(seen, str) else len(seen) if isinstance(seen, list | dict) else 0,
    "lowercase": _on_text(str.lower),
    "uppercase": _on_text(str.upper),
    "snakecase": _on_text(lambda text: "_".join(_words_of(text)).lower()),
    "kebabcase": _on_text(lambda text: "-".join(_words_of(text)).lower()),
    "titlecase": _on_text(lambda text: " ".join(word.capitalize() for word in _words_of(text))),
    "typeof": lambda seen: "null" if seen is UNDEFINED else kind(seen),
}


def _see(operand: Operand, event: Any) -> Any:
    value = look_up(event, operand.keys)
    for function in operand.functions:
        value = _FUNCTIONS[function](value)
    return value


# Explaining and editing


def _explain(part: Part, event: Any) -> Finding:
    if isinstance(part, Condition):
        seen = _see(part.operand, event)
        missing = seen is UNDEFINED
        compared = f"{part.operand.text} {part.operator}"
        if part.operator not in _UNARY:
            compared += f" {_shown(part.value)}"
        return Finding(part.text, compared, None if missing else seen, missing, _test(part)(seen))
    parts = tuple(_explain(child, event) for child in part.parts)
    verdicts = [found.verdict for found in parts]
    verdict = all(verdicts) if part.join == "all" else any(verdicts) if part.join == "any" else not verdicts[0]
    return Finding(part.text, f"{part.join} of", None, False, verdict, parts)


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(_shown(item) for item in value)}]"
    if isinstance(value, str):
        return f'"{value}"' if '"' not in value else f"'{value}'"
    return to_text(value)


def _row(part: Part) -> Row | None:
    if isinstance(part, Group) or part.operand.functions or part.operator in {"in", "includes"}:
        return None
    return Row(part.operand.text, part.operator, part.value)


def _write(row: Row) -> str:
    if row.operator in _UNARY:
        return f"{row.field} {row.operator}"
    value = row.value
    if isinstance(value, str) and '"' in value and "'" in value:
        raise TriggerError(f"A text in a trigger cannot hold both kinds of quotes: {value}")
    shown = format(Decimal(number_text(value)), "f") if is_number(value) else _shown(value)
    if row.operator in {"match", "not_match"}:
        return f"{'!' if row.operator == 'not_match' else ''}match({row.field}, {shown})"
    return f"{row.field} {row.operator} {shown}"


def _escape(key: str) -> str:
    if _PLAIN_KEY.fullmatch(key):
        return key
    first = key[0] if re.match(r"[A-Za-z_]", key[0], re.ASCII) else "\\" + key[0]
    return first + re.sub(r"[^A-Za-z0-9_-]", r"\\\g<0>", key[1:], flags=re.ASCII)
