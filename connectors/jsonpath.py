"""JSONPath (RFC 9535) as people write it, for the `@jsonpath` directive and the answers of earlier tasks.

Behind it is jsonpath-rfc9535, the fastest library that passes the whole compliance suite. Around it are guards, since
people type paths and vendors send documents: a path is at most 512 characters long and cannot use `match` and
`search`, whose patterns can take for ever; before a path with wildcards runs, its work is estimated.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import islice
from typing import Any

from jsonpath_rfc9535 import JSONPathEnvironment
from jsonpath_rfc9535.exceptions import JSONPathError
from jsonpath_rfc9535.selectors import IndexSelector, NameSelector

from connectors.context import BUDGET, MEMBER, Budget
from connectors.errors import MappingError
from connectors.jstext import UNDEFINED

MAX_TEXT = 512
MAX_WORK = BUDGET // MEMBER  # values looked at
FILTER = 4  # values that can be looked at while a filter judges one

_IDENTIFIER = re.compile("[A-Za-z_\u0080-\ud7ff\ue000-\U0010ffff][0-9A-Za-z_\u0080-\ud7ff\ue000-\U0010ffff]*")
_TEXTS = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"", re.DOTALL)
_NAME = re.compile(r"[^.\[]*")
_MANY = re.compile(r"\.\.|[*?:,]")


class _Environment(JSONPathEnvironment):
    def setup_function_extensions(self) -> None:
        super().setup_function_extensions()
        del self.function_extensions["match"], self.function_extensions["search"]


_ENVIRONMENT = _Environment()


class JSONPath:
    """A compiled path. `text` is its normalised form, which the editor shows."""

    __slots__ = ("_descents", "_doublings", "_filters", "_keys", "_query", "_rooted", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        try:
            self._query = _ENVIRONMENT.compile(text)
        except JSONPathError as error:
            raise MappingError(f"{text} is not a JSONPath: {_reason(error)}") from None
        except RecursionError:
            raise MappingError(f"{text} nests too deeply.") from None
        self._keys = _keys(self._query) if self._query.singular_query() else None
        bare = _TEXTS.sub("''", text)
        self._descents = bare.count("..")
        self._filters = bare.count("?")
        self._doublings = bare.count(",")
        self._rooted = any(_MANY.search(after) for after in bare.split("$")[2:])

    def find(self, document: Any, budget: Budget | None = None) -> tuple[Any, bool]:
        """The first value there, UNDEFINED if there is none, and whether there are more."""
        if self._keys is not None:
            return _walk(document, self._keys), False
        work = self._work(document)
        if work > MAX_WORK:
            raise MappingError(
                f"{self.text} looks at too much of a document this large; name members instead of .. and *."
            )
        if budget:
            budget.spend(0, work)
        try:
            found = [node.value for node in islice(self._query.finditer(document), 2)]
        except (JSONPathError, RecursionError):
            raise MappingError(f"{self.text} cannot look into something nested this deeply.") from None
        return (found[0] if found else UNDEFINED), len(found) > 1

    def _work(self, document: Any) -> int:
        size, depth = _measure(document)
        work = size * depth ** max(self._descents - 1, 0) * 2**self._doublings
        return int(work * (FILTER if self._filters else 1) * (size if self._rooted else 1))


@lru_cache(maxsize=2048)
def compile(text: str) -> JSONPath:
    """The path in executable form; raises MappingError."""
    return JSONPath(normalise(text))


def normalise(text: str) -> str:
    """The path RFC 9535 wants where people write ` properties.order-id `: `$.properties['order-id']`."""
    text = text.strip()
    if len(text) > MAX_TEXT:
        raise MappingError(f"A JSONPath has at most {MAX_TEXT} characters, this one has {len(text)}.")
    if not text.startswith("$"):
        text = f"${text}" if text.startswith(("[", ".")) else f"$.{text}"
    parts, at = ["$"], 1
    while at < len(text):
        if text[at] == "[":
            end = _closing(text, at)
            parts.append(text[at:end])
            at = end
            continue
        dots = ".." if text.startswith("..", at) else "." if text[at] == "." else ""
        name = _NAME.match(text, at + len(dots)).group()  # type: ignore[union-attr]  # it matches the empty text
        at += len(dots) + len(name)
        parts.append(_segment(dots, name.strip()))
        if not name and not (dots == ".." and text.startswith("[", at)):
            raise MappingError(f"{text} is not a JSONPath: a name is missing at position {at}.")
    return "".join(parts)


def _segment(dots: str, name: str) -> str:
    if not name or name == "*" or _IDENTIFIER.fullmatch(name):
        return dots + name
    quoted = name.replace("\\", "\\\\").replace("'", "\\'")
    return f"{dots if dots == '..' else ''}['{quoted}']"


def _closing(text: str, at: int) -> int:
    """Just behind the bracket that closes the one here; the end where none does, for the library to complain."""
    depth = 0
    while at < len(text):
        if text[at] in "'\"" and (quoted := _TEXTS.match(text, at)):
            at = quoted.end()
            continue
        depth += {"[": 1, "]": -1}.get(text[at], 0)
        at += 1
        if not depth:
            break
    return at


def _reason(error: JSONPathError) -> str:
    return f"{str(error).splitlines()[0].rstrip('.')}."


def _keys(query: Any) -> tuple[str | int, ...]:
    """The names and indexes of a path that can lead to one place only."""
    keys: list[str | int] = []
    for segment in query.segments:
        (selector,) = segment.selectors
        if isinstance(selector, NameSelector):
            keys.append(selector.name)
        else:
            assert isinstance(selector, IndexSelector)
            keys.append(selector.index)
    return tuple(keys)


def _walk(value: Any, keys: tuple[str | int, ...]) -> Any:
    for key in keys:
        if isinstance(key, str):
            value = value.get(key, UNDEFINED) if isinstance(value, dict) else UNDEFINED
        elif isinstance(value, list) and -len(value) <= key < len(value):
            value = value[key]
        else:
            return UNDEFINED
    return value


def _measure(document: Any) -> tuple[int, int]:
    """How many values there are, and how many levels."""
    size, depth, level = 0, 0, [document]
    while level:
        size += len(level)
        depth += 1
        level = [
            child
            for value in level
            if isinstance(value, dict | list)
            for child in (value.values() if isinstance(value, dict) else value)
        ]
    return size, depth
