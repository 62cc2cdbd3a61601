"""Text with holes, the form the editor writes: Qualtrics' piped text, and `{{ x }}` for any member of an event.

    Hello ${e://Field/first name}, order {{ properties.order_id }} was your ${q://QID1/ChoiceGroup/SelectedChoices}.

A text that is one token alone becomes that token's value as it is: a number stays a number. In a longer text a list
of plain values is joined by ", ", other lists and objects are written as JSON, null is empty. What is not there is
empty too, and told in the context's warnings. Nothing is escaped, and values are never read as text with holes again.

    token                         where its value is looked for, the first place that has it
    {{ path }}                    what the text is filled from, as @path finds it, with or without "$."
    ${e://Field/NAME}             properties.embeddedData, properties, traits, context.traits; of ResponseID, SurveyID
                                  and the like also as rm:// finds them
    ${q://QID/…}                  properties.questions.QID, then the rest as members, with or without "ChoiceGroup";
                                  a question that is no object stands for its choices, recode and entered text
    ${m://NAME}                   properties.contact, traits, context.traits, as NAME or as camelCase;
                                  ExternalDataReference also as extRef, at last the event's userId
    ${rm://Field/NAME}            properties.NAME, or as camelCase: ResponseID is properties.responseId
    ${date://CurrentDate/FORMAT}  receivedAt, else timestamp, in UTC, so that it is the same on every attempt; the
                                  letters are those of PHP's date(): https://www.php.net/manual/datetime.format.php
    ${rand://int/MIN:MAX}         a whole number, both ends included, made once for an event and a text
    ~{aedj://NAME}                the field of that name of a workflow's run, properties, then the event itself
    ~{ch://TASK/$.path}           the answer of an earlier task, by JSONPath

Paths may be percent-encoded. Every other scheme is refused: nothing in an event could fill it. So are a token that is
not closed and `$e{ }`, Qualtrics' sums, for a customer should never read them.
"""

from __future__ import annotations

import re
from calendar import isleap, monthrange
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote, unquote

from connectors import jsdate, jsonpath
from connectors.context import Budget, Context
from connectors.errors import MappingError
from connectors.jstext import SPACE, UNDEFINED, look_up, path_keys, to_json, to_text

_OPENING = re.compile(r"\{\{|\$\{(?!\{)|~\{(?!\{)|\$e\{")
_HOLE = re.compile(r"\{\{([^{}]*)\}\}")
_TOKEN = re.compile(r"([$~])\{([a-z]+)://([^{}]*)\}")
_CAPITALS = re.compile(r"[A-Z]+(?![a-z])|[A-Z][a-z]+")
_RANGE = re.compile(r"(-?[0-9]{1,15}):(-?[0-9]{1,15})", re.ASCII)


@dataclass(frozen=True, slots=True)
class World:
    """What a text is filled from: the event, the part of it at hand (an item of a list), the context, the place.

    `place` names where in the mapping, and for which item, the text stands.
    """

    event: dict[str, Any]
    payload: Any
    context: Context
    budget: Budget
    place: tuple[str, ...]


Find = Callable[[World], Any]


@dataclass(frozen=True, slots=True)
class Token:
    """One hole: how it is written, and how its value is found; UNDEFINED where there is none."""

    text: str
    find: Find

    def value(self, world: World) -> Any:
        found = self.find(world)
        if found is UNDEFINED:
            world.context.warn(f"{world.place[0]}: {self.text} has no value here and was left empty.")
            return ""
        return found


class Text:
    """A compiled text."""

    __slots__ = ("_pieces",)

    def __init__(self, pieces: tuple[str | Token, ...]) -> None:
        self._pieces = pieces

    def fill(self, world: World) -> Any:
        """The text with its holes filled, or the value of its only token."""
        pieces = self._pieces
        if len(pieces) == 1 and isinstance(pieces[0], Token):
            return pieces[0].value(world)
        return "".join(
            piece if isinstance(piece, str) else _shown(piece.value(world), world.budget) for piece in pieces
        )


def compile(text: str) -> Text:
    """The text in executable form; raises MappingError, whose message follows the name of the text."""
    pieces: list[str | Token] = []
    at = 0
    while opening := _OPENING.search(text, at):
        token, end = _token(text, opening.start())
        pieces += [text[at : opening.start()]] if opening.start() > at else []
        pieces.append(token)
        at = end
    if at < len(text) or not pieces:
        pieces.append(text[at:])
    return Text(tuple(pieces))


def _shown(value: Any, budget: Budget) -> str:
    """A value inside a text."""
    if isinstance(value, dict) or (isinstance(value, list) and any(isinstance(item, dict | list) for item in value)):
        text = str(to_json(value))
        budget.spend(len(text), 1 + text.count(","))
    elif isinstance(value, list):
        text = ", ".join("" if item is None else to_text(item) for item in value)
        budget.spend(len(text), len(value))
    else:
        text = "" if value is None else to_text(value)
        budget.spend(len(text))
    return text


def _token(text: str, at: int) -> tuple[Token, int]:
    if found := _HOLE.match(text, at):
        path = found.group(1).strip(SPACE)
        if not path:
            raise MappingError(f"has {{{{ }}}} at position {at}, which names nothing; write {{{{ properties.name }}}}")
        keys = path_keys(path.replace("$.", "", 1))
        return Token(found.group(), lambda world: look_up(world.payload, keys)), found.end()
    if found := _TOKEN.match(text, at):
        mark, scheme, path = found.groups()
        if (mark, scheme) in _SCHEMES:
            try:
                return Token(
                    found.group(), _SCHEMES[mark, scheme]([unquote(part) for part in path.split("/")])
                ), found.end()
            except MappingError as error:
                raise MappingError(f"has {found.group()} at position {at}: {error.message.rstrip('.')}") from None
        known = ", ".join(f"{mark}{{{scheme}://" for mark, scheme in _SCHEMES)
        raise MappingError(
            f"has {mark}{{{scheme}:// at position {at}, which no event can fill; there are {{{{ }}}}, {known}"
        )
    if text.startswith("$e{", at):
        raise MappingError(f"has $e{{ at position {at}; sums are not done here, send the parts or the result")
    raise MappingError(
        f"has {text[at : at + 2]} at position {at}, which begins no token; "
        "write ${e://Field/name} or {{ properties.name }}"
    )


# Where each scheme looks


def _first(root: Any, places: Iterable[tuple[str, ...]]) -> Any:
    for keys in places:
        if (found := _member(root, keys)) is not UNDEFINED:
            return found
    return UNDEFINED


def _member(value: Any, keys: tuple[str, ...]) -> Any:
    for key in keys:
        if not isinstance(value, dict):
            return UNDEFINED
        value = value.get(key, UNDEFINED)
    return value


def _camel(name: str) -> str:
    """`ResponseID` as `responseId`, `first name` as it is."""
    spelt = _CAPITALS.sub(lambda word: word.group().capitalize(), name)
    return spelt[:1].lower() + spelt[1:]


def _field(scheme: str, parts: list[str]) -> str:
    kind, *name = parts
    if kind != "Field" or not any(name):
        raise MappingError(f"{scheme}:// names a field like this: {scheme}://Field/name")
    return "/".join(name)


def _embedded(parts: list[str]) -> Find:
    name = _field("e", parts)
    where = [("properties", "embeddedData"), ("properties",), ("traits",), ("context", "traits")]
    places = [(*keys, name) for keys in where] + [("properties", _camel(name))]
    return lambda world: _first(world.event, places)


def _response(parts: list[str]) -> Find:
    name = _field("rm", parts)
    places = [("properties", name), ("properties", _camel(name))]
    return lambda world: _first(world.event, places)


def _contact(parts: list[str]) -> Find:
    name = "/".join(parts)
    if not name:
        raise MappingError("m:// names a member of the contact, like this: m://FirstName")
    names = [name, _camel(name)] + (["extRef"] if name == "ExternalDataReference" else [])
    where = [("properties", "contact"), ("traits",), ("context", "traits")]
    places = [(*keys, spelt) for keys in where for spelt in names]
    if name == "ExternalDataReference":
        places.append(("userId",))
    return lambda world: _first(world.event, places)


_ANSWERS = frozenset({"SelectedChoices", "SelectedChoicesRecode", "SelectedAnswerRecode"})
_ANSWERS |= {"SelectedChoicesTextEntry", "ChoiceTextEntryValue", "ChoiceNumericEntryValue"}


def _question(parts: list[str]) -> Find:
    question, *rest = parts
    if not question:
        raise MappingError("q:// names a question, like this: q://QID1/ChoiceTextEntryValue")
    short = tuple(part for part in rest if part != "ChoiceGroup")
    places = [("properties", "questions", question, *rest), ("properties", "questions", question, *short)]
    whole = ("properties", "questions", question)

    def find(world: World) -> Any:
        found = _first(world.event, places)
        if found is UNDEFINED and len(short) == 1 and short[0] in _ANSWERS:
            answer = _member(world.event, whole)
            return UNDEFINED if isinstance(answer, dict) else answer
        return found

    return find


def _run_field(parts: list[str]) -> Find:
    name = "/".join(parts)
    if not name:
        raise MappingError("aedj:// names a field, like this: aedj://orderId")
    places = [("properties", name), (name,)]

    def find(world: World) -> Any:
        fields = world.context.fields
        return fields[name] if name in fields else _first(world.event, places)

    return find


def _answer(parts: list[str]) -> Find:
    task, *rest = parts
    if not task:
        raise MappingError("ch:// names a task, like this: ch://TASK/$.path")
    path = jsonpath.compile("/".join(rest) or "$")

    def find(world: World) -> Any:
        answers = world.context.answers
        if task not in answers:
            return UNDEFINED
        found, more = path.find(answers[task], world.budget)
        if more:
            world.context.warn(f"{world.place[0]}: {path.text} finds several values in {task}; the first was taken.")
        return found

    return find


def _random(parts: list[str]) -> Find:
    found = _RANGE.fullmatch(parts[1]) if len(parts) == 2 and parts[0] == "int" else None
    low, high = map(int, found.groups()) if found else (1, 0)
    if low > high:
        raise MappingError("rand:// names the smallest and the largest number, like this: rand://int/1:100")
    name = f"rand://int/{low}:{high}"
    return lambda world: low + int.from_bytes(world.context.made(*world.place, name)) % (high - low + 1)


# Dates

_PRESETS = frozenset({"DS", "SH", "PT", "DMY"})  # Qualtrics' names for formats, which it documents nowhere
_LETTERS: dict[str, Callable[[datetime], object]] = {
    "d": lambda at: f"{at.day:02}",
    "D": lambda at: jsdate.DAYS[at.weekday()][:3],
    "j": lambda at: at.day,
    "l": lambda at: jsdate.DAYS[at.weekday()],
    "N": lambda at: at.isoweekday(),
    "S": lambda at: jsdate.ordinal(at.day),
    "w": lambda at: at.isoweekday() % 7,
    "z": lambda at: at.timetuple().tm_yday - 1,
    "W": lambda at: f"{at.isocalendar().week:02}",
    "F": lambda at: jsdate.MONTHS[at.month - 1],
    "m": lambda at: f"{at.month:02}",
    "M": lambda at: jsdate.MONTHS[at.month - 1][:3],
    "n": lambda at: at.month,
    "t": lambda at: monthrange(at.year, at.month)[1],
    "L": lambda at: int(isleap(at.year)),
    "o": lambda at: at.isocalendar().year,
    "Y": lambda at: f"{at.year:04}",
    "y": lambda at: f"{at.year % 100:02}",
    "a": lambda at: "am" if at.hour < 12 else "pm",
    "A": lambda at: "AM" if at.hour < 12 else "PM",
    "g": lambda at: at.hour % 12 or 12,
    "G": lambda at: at.hour,
    "h": lambda at: f"{at.hour % 12 or 12:02}",
    "H": lambda at: f"{at.hour:02}",
    "i": lambda at: f"{at.minute:02}",
    "s": lambda at: f"{at.second:02}",
    "u": lambda at: f"{at.microsecond:06}",
    "v": lambda at: f"{at.microsecond // 1000:03}",
    "e": lambda at: "UTC",
    "T": lambda at: "UTC",
    "O": lambda at: "+0000",
    "P": lambda at: "+00:00",
    "Z": lambda at: 0,
    "I": lambda at: 0,
    "c": lambda at: at.isoformat(timespec="seconds"),
    "r": lambda at: _written("D, d M Y H:i:s O", at),
    "U": lambda at: int(at.timestamp() // 1),
}
_LETTER = re.compile(r"\\(.)|(.)", re.DOTALL)


def _date(parts: list[str]) -> Find:
    which, *rest = parts
    wanted = "/".join(rest)
    if which != "CurrentDate" or not wanted or wanted in _PRESETS:
        example = quote("Y-m-d H:i", safe="")
        raise MappingError(f"only the current date is known, with its format spelt out: date://CurrentDate/{example}")

    def find(world: World) -> Any:
        moment = _moment(world.event)
        return UNDEFINED if moment is None else _written(wanted, moment)

    return find


def _moment(event: dict[str, Any]) -> datetime | None:
    for key in ("receivedAt", "timestamp"):
        text = event.get(key)
        milliseconds = jsdate.parse(text) if isinstance(text, str) else None
        if milliseconds is not None and (moment := jsdate.moment(milliseconds)):
            return moment
    return None


def _written(wanted: str, moment: datetime) -> str:
    """As PHP's date(): each letter is replaced, other characters and those behind a backslash stand for themselves."""
    return _LETTER.sub(
        lambda letter: letter[1] or (str(_LETTERS[letter[2]](moment)) if letter[2] in _LETTERS else letter[2]), wanted
    )


_SCHEMES: dict[tuple[str, str], Callable[[list[str]], Find]] = {
    ("$", "e"): _embedded,
    ("$", "q"): _question,
    ("$", "m"): _contact,
    ("$", "rm"): _response,
    ("$", "date"): _date,
    ("$", "rand"): _random,
    ("~", "aedj"): _run_field,
    ("~", "ch"): _answer,
}
