"""Liquid, for the `@liquid` directive: python-liquid's language with the filters of liquidjs, which Segment runs.

The two differ in almost every filter (a number's text, `divided_by`, what counts as empty), so the filters are written
here, with JavaScript's view of values. Loops and filters that make lists grow are banned, as Segment bans them; with
them gone a template is one walk over at most 1,000 characters, and each value it makes is held to a size. Filters that
do not exist are passed over, as in Segment.

Where it differs on purpose: what is banned or malformed is refused when the mapping is compiled; "now" is the moment
the event was received, so that every attempt says the same; `sample`, which picks at random, is banned; a number is
never smaller or larger than a text, comparing them is an error.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import html
import inspect
import math
import re
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from io import StringIO
from typing import Any
from urllib.parse import quote, unquote
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from liquid import Environment, RenderContext, Tag, TokenStream
from liquid.ast import Node
from liquid.builtin.output import Output, OutputNode
from liquid.builtin.tags.echo_tag import EchoNode, EchoTag
from liquid.exceptions import LiquidError, LiquidSyntaxError
from liquid.filter import with_context
from liquid.undefined import Undefined

from connectors import jsdate
from connectors.context import MEMBER, Budget
from connectors.errors import MappingError
from connectors.jstext import SPACE, UNDEFINED, double, is_number, length, member, to_json, to_number, to_text

MAX_TEXT = 1_000
MAX_MADE = 200_000  # characters of any one value, and of the result

BANNED_TAGS = frozenset({"case", "for", "include", "layout", "render", "tablerow"})
ABSENT_TAGS = frozenset({"ifchanged", "doc"})  # those liquidjs does not have
BANNED_FILTERS = frozenset(
    {"array_to_sentence_string", "concat", "find", "find_exp", "find_index", "find_index_exp", "group_by"}
    | {"group_by_exp", "has", "has_exp", "map", "newline_to_br", "reject", "reject_exp", "reverse", "sort"}
    | {"sort_natural", "uniq", "where_exp", "type", "sample"}
)


class Template:
    """A compiled template."""

    __slots__ = ("_template",)

    def __init__(self, text: str) -> None:
        if length(text) > MAX_TEXT:
            raise MappingError(f"liquid template values are limited to {MAX_TEXT} characters")
        try:
            self._template = _ENVIRONMENT.from_string(text)
            banned = sorted(BANNED_FILTERS.intersection(self._template.analyze().filters))
        except LiquidError as error:
            raise MappingError(_reason(error)) from None
        except RecursionError:
            raise MappingError("The template nests too deeply") from None
        if banned:
            raise MappingError(f'filter "{banned[0]}" is disabled')

    def render(self, payload: Any, budget: Budget) -> str:
        """The template filled from the members of the payload; raises MappingError where it makes too much."""
        context = RenderContext(self._template, globals=payload if isinstance(payload, dict) else {})
        context.tag_namespace["budget"] = budget
        buffer = StringIO()
        try:
            self._template.render_with_context(context, buffer)
        except LiquidError as error:
            raise MappingError(f"@liquid: {_reason(error)}") from None
        return buffer.getvalue()


@lru_cache(maxsize=1024)
def compile(text: str) -> Template:
    """The template in executable form; raises MappingError."""
    return Template(text)


def _reason(error: LiquidError) -> str:
    return str(error.message).splitlines()[0].rstrip(".")


# Output


def _plain(value: Any) -> Any:
    """What the library hands about, as JSON: undefined is null, ranges are lists."""
    if isinstance(value, range):
        _within(len(value) * MEMBER)
        return list(value)
    return None if isinstance(value, Undefined) or value is UNDEFINED else value


def _text(value: Any) -> str:
    value = _plain(value)
    if isinstance(value, list):
        return "".join(_text(item) for item in value)
    return "" if value is None else to_text(value)


def _within(size: float) -> None:
    if size > MAX_MADE:
        raise LiquidError(f"the template makes a value of over {MAX_MADE:,} characters", token=None)


def _charge(context: RenderContext, *values: Any) -> None:
    for value in values:
        if isinstance(value, str):
            context.tag_namespace["budget"].spend(len(value))
        elif isinstance(value, list):
            context.tag_namespace["budget"].spend(0, len(value))


class _OutputNode(OutputNode):
    __slots__ = ()

    def render_to_output(self, context: RenderContext, buffer: Any) -> int:
        text = _text(self.expression.evaluate(context))
        _charge(context, text)
        return int(buffer.write(text))


class _Output(Output):
    node_class = _OutputNode


class _EchoNode(EchoNode):
    __slots__ = ()
    render_to_output = _OutputNode.render_to_output


class _Echo(EchoTag):
    node_class = _EchoNode


class _Banned(Tag):
    block = False

    def __init__(self, env: Environment, name: str) -> None:
        super().__init__(env)
        self.name = name

    def parse(self, stream: TokenStream) -> Node:
        raise LiquidSyntaxError(f'tag "{self.name}" is disabled', token=stream.current)


# Numbers


def _number(value: Any) -> float:
    """As liquidjs: what is no number is 0."""
    value = _plain(value)
    number = to_number(to_text(value) if isinstance(value, list) else value)
    return 0.0 if math.isnan(number) else number


def _divided_by(value: Any, by: Any, whole: Any = None) -> float:
    dividend, divisor = _number(value), _number(by)
    if divisor == 0:
        return math.nan if dividend == 0 else math.copysign(math.inf, dividend) * math.copysign(1, divisor)
    return _floor(dividend / divisor) if _number(whole) else dividend / divisor


def _modulo(value: Any, by: Any) -> float:
    divisor = _number(by)
    dividend = _number(value)
    if divisor == 0 or math.isinf(dividend):
        return math.nan
    return math.fmod(math.fmod(dividend, divisor) + divisor, divisor)


def _round(value: Any, digits: Any = 0) -> float:
    """JavaScript rounds halves up; liquidjs first lifts what lies just below a half."""
    try:
        amplified = math.pow(10, _number(digits))
    except OverflowError:
        amplified = math.inf
    scaled = _number(value) * amplified * (1 + 2.0**-52)
    if not math.isfinite(scaled) or not math.isfinite(amplified) or amplified == 0:
        return math.nan
    return math.floor(scaled + 0.5) / amplified


def _floor(number: float) -> float:
    return float(math.floor(number)) if math.isfinite(number) else number


# Texts


def _replace(value: Any, old: Any, new: Any = "") -> str:
    text, sought, put = _text(value), _text(old), _text(new)
    _within(len(text) + (text.count(sought) if sought else len(text)) * len(put))
    return text.replace(sought, put) if sought else put.join(text)


def _replace_first(value: Any, old: Any, new: Any = "") -> str:
    return _text(value).replace(_text(old), _text(new), 1)


def _replace_last(value: Any, old: Any, new: Any = "") -> str:
    text, old = _text(value), _text(old)
    at = text.rfind(old)
    return text if at < 0 else text[:at] + _text(new) + text[at + len(old) :]


def _truncate(value: Any, size: Any = 50, end: Any = "...") -> Any:
    text, end, size = _text(value), _text(end), int(min(_number(size), MAX_MADE))
    return value if len(text) <= size else text[: max(size - len(end), 0)] + end


def _truncate_words(value: Any, count: Any = 15, end: Any = "...") -> str:
    words = re.split(rf"[{SPACE}]+", _text(value))
    count = max(int(min(_number(count), MAX_MADE)), 1)
    return " ".join(words[:count]) + (_text(end) if len(words) >= count else "")


def _split(value: Any, by: Any) -> list[str]:
    text, by = _text(value), _text(by)
    parts = text.split(by) if by else list(text)
    while parts and not parts[-1]:
        parts.pop()
    return parts


def _capitalize(value: Any) -> str:
    text = _text(value)
    return text[:1].upper() + text[1:].lower()


def _strip_html(value: Any) -> str:
    """Without scripts, styles, comments and tags; each is looked for once, so a text of `<` costs one walk."""
    text = _text(value)
    for opening, closing in (("<script", "</script>"), ("<style", "</style>"), ("<!--", "-->"), ("<", ">")):
        parts, done = [], 0
        while (start := text.find(opening, done)) >= 0 and (end := text.find(closing, start)) >= 0:
            parts.append(text[done:start])
            done = end + len(closing)
        text = "".join(parts) + text[done:]
    return text


_ESCAPED = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&#34;", "'": "&#39;"}
_UNESCAPED = re.compile("|".join(_ESCAPED.values()))


def _escape(value: Any) -> str:
    return re.sub("[&<>\"']", lambda found: _ESCAPED[found.group()], _text(value))


def _escape_once(value: Any) -> str:
    return _escape(_UNESCAPED.sub(lambda found: html.unescape(found.group()), _text(value)))


def _url_decode(value: Any) -> str:
    text = _text(value)
    if re.search("%(?![0-9A-Fa-f]{2})", text):
        raise LiquidError("URI malformed", token=None)
    try:
        return unquote(text, errors="strict").replace("+", " ")
    except UnicodeDecodeError:
        raise LiquidError("URI malformed", token=None) from None


def _quoted(value: Any, safe: str) -> str:
    try:
        return str(quote(_text(value), safe=safe))
    except UnicodeEncodeError:
        raise LiquidError("URI malformed", token=None) from None


def _slugify(value: Any, mode: Any = "default") -> str:
    text = _text(value)
    unwanted = {"raw": r"\s+", "ascii": "[^A-Za-z0-9]+", "pretty": r"[^\w.~!$&'()+,;=@]+"}
    if mode != "none":
        text = re.sub(unwanted.get(_text(mode), r"[\W_]+"), "-", text)
        text = text.removeprefix("-").removesuffix("-")
    return text.lower()


def _base64_decode(value: Any) -> str:
    """As Node reads it: both alphabets, no padding needed, anything else passed over."""
    sound = _text(value).partition("=")[0].replace("-", "+").replace("_", "/")
    letters = re.sub("[^A-Za-z0-9+/]", "", sound)
    letters = letters[: len(letters) - (len(letters) % 4 == 1)]
    read: bytes = base64.b64decode(letters + "=" * (-len(letters) % 4))
    return read.decode("utf-8", "replace")


def _bytes(value: Any) -> bytes:
    return _text(value).encode("utf-8", "replace")


# Lists and whatever else


def _list(value: Any) -> list[Any]:
    value = _plain(value)
    return value if isinstance(value, list) else [] if value is None else [value]


def _join(value: Any, by: Any = None) -> str:
    items, between = _list(value), " " if by is None else _text(by)
    _within(len(items) * len(between))
    return between.join("" if item is None else to_text(item) for item in items)


def _end_of(value: Any, at: int) -> Any:
    value = _plain(value)
    return value[at] if value and isinstance(value, list | str) else None


def _slice(value: Any, begin: Any, size: Any = 1) -> Any:
    value = _plain(value)
    if value is None:
        return []
    whole = value if isinstance(value, list) else _text(value)
    start, count = int(max(min(_number(begin), MAX_MADE), -MAX_MADE)), int(min(_number(size), MAX_MADE))
    start += len(whole) if start < 0 else 0
    if start < 0 or count < 0:
        return whole[:0]
    return whole[start : start + count]


def _size(value: Any) -> int:
    value = _plain(value)
    if isinstance(value, str):
        return length(value)
    return len(value) if isinstance(value, list) else 0


def _sum(value: Any, key: Any = None) -> float:
    items = _list(value)
    return math.fsum(_number(member(item, _text(key)) if key is not None else item) for item in items)


def _where(value: Any, key: Any, wanted: Any = UNDEFINED) -> list[Any]:
    found = [(item, member(item, _text(key))) for item in _list(value)]
    if wanted is UNDEFINED:
        return [item for item, has in found if not (has is None or has is False or has is UNDEFINED)]
    return [item for item, has in found if type(has) is type(wanted) and has == wanted]


def _default(value: Any, other: Any = None, *, allow_false: Any = False) -> Any:
    value = _plain(value)
    if value is False and allow_false is True:
        return False
    return other if value is None or value is False or value in ("", []) else value


def _to_json(value: Any) -> Any:
    return None if isinstance(value, Undefined) else to_json(_plain(value))


# Dates


def _date(value: Any, wanted: Any = None, zone: Any = None, *, context: RenderContext) -> Any:
    moment = _moment(value, context)
    if moment is None:
        return value
    wanted = "%A, %B %-e, %Y at %-l:%M %P %z" if wanted is None else _text(wanted)
    return _strftime(_in_zone(moment, zone), wanted)


def _dated(wanted: str) -> Callable[..., Any]:
    def date(value: Any, *, context: RenderContext) -> Any:
        moment = _moment(value, context)
        return value if moment is None else _strftime(moment, wanted)

    return date


def _moment(value: Any, context: RenderContext) -> datetime | None:
    value = _plain(value)
    if value in ("now", "today"):
        value = _plain(context.resolve("receivedAt")) or _plain(context.resolve("timestamp"))
    if isinstance(value, str):
        milliseconds = float(value) * 1000 if re.fullmatch("[0-9]{1,12}", value) else jsdate.parse(value)
    else:
        milliseconds = double(value) * 1000 if is_number(value) else None
    return None if milliseconds is None else jsdate.moment(milliseconds)


def _in_zone(moment: datetime, zone: Any) -> datetime:
    """Another zone, by its name or, as in JavaScript, by the minutes it lies behind UTC."""
    if isinstance(zone, str):
        try:
            return moment.astimezone(ZoneInfo(zone))
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise LiquidError(f'there is no time zone "{zone[:50]}"', token=None) from None
    if not is_number(zone) or not abs(zone) < 24 * 60:
        return moment
    return moment.astimezone(timezone(timedelta(minutes=-zone)))


_CONVERSION = re.compile("%([-_0^#:]*)([0-9]*)[EO]?(.)", re.DOTALL)
_WIDTHS = {"d": 2, "e": 2, "H": 2, "I": 2, "j": 3, "k": 2, "l": 2, "L": 3, "m": 2, "M": 2, "S": 2, "U": 2, "W": 2}
_CONVERSIONS: dict[str, Callable[[datetime], object]] = {
    "a": lambda at: jsdate.DAYS[at.weekday()][:3],
    "A": lambda at: jsdate.DAYS[at.weekday()],
    "b": lambda at: jsdate.MONTHS[at.month - 1][:3],
    "B": lambda at: jsdate.MONTHS[at.month - 1],
    "c": lambda at: f"{_CONVERSIONS['x'](at)}, {_CONVERSIONS['X'](at)}",
    "C": lambda at: at.year // 100,
    "d": lambda at: at.day,
    "e": lambda at: at.day,
    "h": lambda at: jsdate.MONTHS[at.month - 1][:3],
    "H": lambda at: at.hour,
    "I": lambda at: at.hour % 12 or 12,
    "j": lambda at: at.timetuple().tm_yday,
    "k": lambda at: at.hour,
    "l": lambda at: at.hour % 12 or 12,
    "L": lambda at: at.microsecond // 1000,
    "m": lambda at: at.month,
    "M": lambda at: at.minute,
    "N": lambda at: f"{at.microsecond // 1000:03}000000",
    "p": lambda at: "AM" if at.hour < 12 else "PM",
    "P": lambda at: "am" if at.hour < 12 else "pm",
    "q": lambda at: jsdate.ordinal(at.day),
    "s": lambda at: round(at.timestamp()),
    "S": lambda at: at.second,
    "u": lambda at: at.isoweekday(),
    "U": lambda at: (at.timetuple().tm_yday + 6 - at.isoweekday() % 7) // 7,
    "w": lambda at: at.isoweekday() % 7,
    "W": lambda at: (at.timetuple().tm_yday + 6 - at.weekday()) // 7,
    "x": lambda at: f"{at.month}/{at.day}/{at.year}",
    "X": lambda at: f"{at.hour % 12 or 12}:{at.minute:02}:{at.second:02} {_CONVERSIONS['p'](at)}",
    "y": lambda at: f"{at.year:04}"[2:],
    "Y": lambda at: at.year,
    "z": lambda at: at.strftime("%z"),
    "Z": lambda at: at.tzname(),
    "t": lambda at: "\t",
    "n": lambda at: "\n",
    "%": lambda at: "%",
}


def _strftime(moment: datetime, wanted: str) -> str:
    def convert(found: re.Match[str]) -> str:
        flags, width, letter = found.groups()
        if letter not in _CONVERSIONS:
            return found.group()
        shown = str(_CONVERSIONS[letter](moment))
        if letter == "N":
            shown = shown[: int(width[:6] or 9)]
        if letter == "z" and ":" in flags:
            shown = f"{shown[:3]}:{shown[3:]}"
        if "^" in flags:
            shown = shown.upper()
        elif "#" in flags:
            shown = shown.lower() if shown.isupper() else shown.upper()
        padding = " " if "_" in flags or (letter in "aAbBcehklpPqxX" and "0" not in flags) else "0"
        to = 0 if "-" in flags else int(width[:6] or _WIDTHS.get(letter, 0))
        _within(to)
        return shown.rjust(to, padding)

    return _CONVERSION.sub(convert, wanted)


# The environment

_FILTERS: dict[str, Callable[..., Any]] = {
    "abs": lambda value: abs(_number(value)),
    "at_least": lambda value, other: max(_number(value), _number(other)),
    "at_most": lambda value, other: min(_number(value), _number(other)),
    "ceil": lambda value: -_floor(-_number(value)),
    "divided_by": _divided_by,
    "floor": lambda value: _floor(_number(value)),
    "minus": lambda value, other: _number(value) - _number(other),
    "modulo": _modulo,
    "plus": lambda value, other: _number(value) + _number(other),
    "round": _round,
    "times": lambda value, other: _number(value) * _number(other),
    "to_integer": lambda value: to_number(_plain(value)),
    "append": lambda value, other: _text(value) + _text(other),
    "prepend": lambda value, other: _text(other) + _text(value),
    "capitalize": _capitalize,
    "downcase": lambda value: _text(value).lower(),
    "upcase": lambda value: _text(value).upper(),
    "strip": lambda value, of=None: _text(value).strip(_text(of) or SPACE),
    "lstrip": lambda value, of=None: _text(value).lstrip(_text(of) or SPACE),
    "rstrip": lambda value, of=None: _text(value).rstrip(_text(of) or SPACE),
    "strip_newlines": lambda value: re.sub("\r?\n", "", _text(value)),
    "strip_html": _strip_html,
    "normalize_whitespace": lambda value: re.sub(rf"[{SPACE}]+", " ", _text(value)),
    "number_of_words": lambda value: len(_text(value).split()),
    "remove": lambda value, old: _replace(value, old),
    "remove_first": lambda value, old: _replace_first(value, old),
    "remove_last": lambda value, old: _replace_last(value, old),
    "replace": _replace,
    "replace_first": _replace_first,
    "replace_last": _replace_last,
    "split": _split,
    "truncate": _truncate,
    "truncatewords": _truncate_words,
    "escape": _escape,
    "xml_escape": _escape,
    "escape_once": _escape_once,
    "url_encode": lambda value: _quoted(value, "!'()*").replace("%20", "+"),
    "cgi_escape": lambda value: _quoted(value, "").replace("%20", "+"),
    "uri_escape": lambda value: _quoted(value, "!'()*;,/?:@&=+$#[]"),
    "url_decode": _url_decode,
    "slugify": _slugify,
    "base64_encode": lambda value: base64.b64encode(_bytes(value)).decode(),
    "base64_decode": _base64_decode,
    "sha256": lambda value: hashlib.sha256(_bytes(value)).hexdigest(),
    "hmac_sha256": lambda value, key: hmac.new(_bytes(key), _bytes(value), "sha256").hexdigest(),
    "join": _join,
    "first": lambda value: _end_of(value, 0),
    "last": lambda value: _end_of(value, -1),
    "size": _size,
    "slice": _slice,
    "sum": _sum,
    "where": _where,
    "compact": lambda value: [item for item in _list(value) if item is not None],
    "push": lambda value, item: [*_list(value), _plain(item)],
    "unshift": lambda value, item: [_plain(item), *_list(value)],
    "pop": lambda value: _list(value)[:-1],
    "shift": lambda value: _list(value)[1:],
    "default": _default,
    "raw": lambda value: value,
    "json": _to_json,
    "jsonify": _to_json,
    "inspect": _to_json,
    "date": _date,
    "date_to_xmlschema": _dated("%Y-%m-%dT%H:%M:%S%:z"),
    "date_to_rfc822": _dated("%a, %d %b %Y %H:%M:%S %z"),
    "date_to_string": _dated("%d %b %Y"),
    "date_to_long_string": _dated("%d %B %Y"),
}


def _held(function: Callable[..., Any]) -> Callable[..., Any]:
    """The filter, forgiving as JavaScript about how many arguments it is given, and what it makes held to a size."""
    parameters = list(inspect.signature(function).parameters.values())[1:]
    by_place = [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    by_name = {p.name for p in parameters if p.kind is p.KEYWORD_ONLY}
    least = sum(p.default is p.empty for p in by_place)

    @with_context
    def filtered(value: Any, *arguments: Any, context: RenderContext, **named: Any) -> Any:
        given = (*arguments, *[None] * (least - len(arguments)))[: len(by_place)]
        named["context"] = context
        made = function(value, *given, **{name: named[name] for name in by_name & named.keys()})
        _within(len(made) if isinstance(made, str) else len(made) * MEMBER if isinstance(made, list) else 0)
        _charge(context, value, made)
        return made

    return filtered


class _Environment(Environment):
    logical_not_operator = True
    logical_parentheses = True
    string_sequences = True
    suppress_blank_control_flow_blocks = False

    def setup_tags_and_filters(self, *, extra: bool = False) -> None:
        super().setup_tags_and_filters(extra=extra)
        self.tags = {name: tag for name, tag in self.tags.items() if name not in ABSENT_TAGS}
        self.tags |= {name: _Banned(self, name) for name in BANNED_TAGS}
        self.add_tag(_Output)
        self.add_tag(_Echo)
        self.filters = {name: _held(function) for name, function in _FILTERS.items()}


_ENVIRONMENT = _Environment(strict_filters=False)
