"""Random triggers, mappings, declarations and events: grown from a grammar, or grown out of the vectors by mutation."""

import copy
import json
from functools import cache
from random import Random
from typing import Any

from tests.connectors import vectors

PATHS = (
    *("$.userId", "$.properties", "$.properties.items", "$.properties.items[0].sku", "$.traits.email", "$.", "$", ""),
    *("properties.long", "$.properties.deep", "$.properties.wide", "properties['sp ace']", "a..b", "$.x[9].y", "sku"),
)
TEXTS = ("", "a", "Order Placed", "{{ userId }}", "{{{ properties.long }}}", "{{}}", "\ud83d", "ß", "$&", "null", "1e5")
NUMBERS = (0, 1, -1, 5.5, 1e21, 1e-7, 2**60, 99999)
PIPED = (
    *("{{ properties.long }}", "{{ sku }}", "${e://Field/long}", "${m://Email}", "plain ", "}}", "{{ properties }}"),
    *("${rm://Field/ResponseID}", "${date://CurrentDate/c}", "${rand://int/1:9}", "{{ properties.wide }}"),
    *("~{aedj://x}", "~{ch://T/$..a[?@.b]}", "${q://QID1/ChoiceGroup/SelectedChoices}"),
)
BAD_PIPED = ("${gr://SC/1}", "${e://x}", "{{", "${", "~{", "$e{1}", "${date://CurrentDate/DS}", "{{ }}")
JSONPATHS = ("$", "..", ".*", "[*]", "[0]", "[-1]", "['a']", ".items", ".properties", "[?@.a]", "[?@..sku]", "[1:3]")
JSONPATHS += ("[*,*]", "[?count(@..*)>2]", "[?length(@.sku)==1]", "[?$..a]", ".sp ace", "..*", "..a")
LIQUID = ("properties.long", "properties.wide", "userId", "x", "'<&'", "(1..99999)", "1e9", "properties.items[0].sku")
FILTERS = (
    *(
        "append: x",
        "base64_encode",
        "split: ''",
        "join: properties.long",
        "replace: '', 'xx'",
        "json",
        "times: 9",
        "sum",
    ),
    *("divided_by: 0", "date: '%99Y'", "truncate: 3", "strip_html", "escape", "slice: -2, 9", "url_decode", "first"),
    *("round: 400", "modulo: 0", "where: 'a'", "default: 1", "escape_once", "truncatewords: 3", "nope", "sort"),
    *("url_encode", "slugify", "base64_decode", "capitalize", "number_of_words", "push: x", "compact", "sha256"),
)
TAGS = (
    *(
        "{{%s}}",
        "{%% assign x = %s %%}",
        "{%% capture c %%}{{%s}}{%% endcapture %%}",
        "{%% if %s contains 'a' %%}b{%% endif %%}",
    ),
    *("{%% cycle 'a', x %%}text %s", "{%% raw %%}%s{%% endraw %%}", "{%% liquid echo %s %%}", "{%% if true %%}%s"),
)
DIRECTIVES = (
    *("@path", "@template", "@literal", "@if", "@case", "@replace", "@arrayPath", "@json", "@flatten", "@merge"),
    *("@transform", "@excludeWhenNull", "@liquid", "@text", "@object", "@jsonpath", "@random", "@nope"),
)
KEYS = ("a", "b", "a.b", "items[0]", '"q.q"', "value", "mapping", "__segment_internal_directive", "@path", "_metadata")
OPERATORS = ("=", "!=", "<", "<=", ">", ">=", "contains", "not_contains", "starts_with", "ends_with")
FIELDS = (
    *("type", "event", "name", "userId", "properties.long", "properties.items[0].sku", "traits.a\\.b", "context.x"),
    *("length(properties.wide)", "snakecase(properties.long)", "typeof(traits.a)", "lowercase(event)"),
    *(
        "kebabcase(properties.long)",
        "titlecase(properties.long)",
        "uppercase(properties.long)",
        "length(properties.long)",
    ),
)
VALUES = ('"track"', "'x'", "5", "-1.5", "true", "null", '"*a*b*"', '"aaa"', '"*"', f'"{"*a" * 200}*b"')
BAD = ("foo", "properties", '["a", 5, null]', "properties.a", '"', "1e5", "typeof(traits)", "==", "between")
SOUP = ("(", ")", "!", ",", "and", "or", "[", "]", ".", "\\", '"', "contains(", "match(", "*", " ", "\n", "\0", "é")
FORMATS = ("email", "uri", "uri-reference", "date", "date-time", "time", "uuid", "ipv4", "ipv6", "hostname", "password")


@cache
def rows(name: str) -> list[dict[str, Any]]:
    return list(vectors.rows(name))


def trigger(chance: Random) -> str:
    kind = chance.random()
    if kind < 0.6:
        return _condition_text(chance, 0)
    if kind < 0.7:
        return " ".join(chance.choices(SOUP + FIELDS + VALUES + OPERATORS, k=chance.randrange(1, 40)))
    return _mutated_text(chance, chance.choice(rows("fql") + rows("fql_fuzz"))["fql"])


def _condition_text(chance: Random, depth: int) -> str:
    def one(of: tuple[str, ...]) -> str:
        return chance.choice(of if chance.random() < 0.98 else BAD)

    parts = []
    for _ in range(chance.randrange(1, 4)):
        kind = chance.random()
        if kind < 0.2 and depth < 5:
            parts.append(f"{chance.choice(['', '!'])}({_condition_text(chance, depth + 1)})")
        elif kind < 0.4:
            function, negated = chance.choice(["contains", "match"]), chance.choice(["", "!"])
            parts.append(f'{negated}{function}({one(FIELDS)}, "{chance.choice(["a", "*a", "a*", "*a*", "<"])}")')
        elif kind < 0.5:
            parts.append(f"{one(FIELDS)} {one(('exists', 'not_exists', 'is_true', 'is_false', 'in [5, null]'))}")
        else:
            parts.append(f"{one(FIELDS)} {one(OPERATORS)} {one(VALUES)}")
    return chance.choice([" and ", " or ", ", "]).join(parts)


def _mutated_text(chance: Random, text: str) -> str:
    for _ in range(chance.randrange(0, 4)):
        at, to = sorted(chance.randrange(len(text) + 1) for _ in range(2))
        put = chance.choice([*SOUP, *FIELDS, text[at:to], "", "x" * chance.choice([1, 50])])
        text = text[:at] + put + text[chance.choice([at, to]) :]
    return text


def fields(chance: Random) -> Any:
    if chance.random() < 0.5:
        return {f"f{n}": _node(chance, 0) for n in range(chance.randrange(1, 5))}
    found = copy.deepcopy(chance.choice(rows("mapping") + rows("mapping_fuzz"))["mapping"])
    for _ in range(chance.randrange(0, 4)):
        found = _mutated_node(chance, found)
    return found


def _mutated_node(chance: Random, node: Any) -> Any:
    if not isinstance(node, dict | list) or not node or chance.random() < 0.3:
        return _node(chance, 3)
    at = chance.choice(list(node)) if isinstance(node, dict) else chance.randrange(len(node))
    node[at] = _mutated_node(chance, node[at])
    return node


def _node(chance: Random, depth: int) -> Any:
    if depth > 4 or chance.random() < 0.15:
        return chance.choice([*TEXTS, *NUMBERS, *PATHS, None, True, False, [], {}])
    if chance.random() < 0.15:
        return {chance.choice(KEYS): _node(chance, depth + 1) for _ in range(chance.randrange(3))}
    if chance.random() < 0.1:
        return [_node(chance, depth + 1) for _ in range(chance.randrange(3))]
    name = chance.choice(DIRECTIVES)
    return {name: _argument(chance, name, depth + 1)}


def _argument(chance: Random, name: str, depth: int) -> Any:
    def inner() -> Any:
        return _node(chance, depth + 1)

    if chance.random() < 0.02:
        return inner()
    match name:
        case "@path" | "@template":
            return chance.choice([chance.choice(PATHS), chance.choice(TEXTS) * chance.choice([1, 30]), inner()])
        case "@object":
            return {key: inner() for key in chance.sample(KEYS[:5], k=2)}
        case "@literal" | "@excludeWhenNull":
            return inner()
        case "@if":
            return {chance.choice(["exists", "blank"]): inner(), "then": inner(), "else": inner()}
        case "@case":
            return {"operator": chance.choice(["lower", "upper", "x"]), "value": inner()}
        case "@replace":
            options = {
                "pattern": chance.choice(["a", ".", "ß", "$", ""]),
                "replacement": chance.choice(TEXTS),
                "value": inner(),
            }
            return options | {"ignorecase": chance.random() < 0.5, "pattern2": "e", "replacement2": "$&$&$`"}
        case "@arrayPath":
            return [chance.choice(PATHS), {chance.choice(KEYS): inner()}]
        case "@json":
            return {"mode": chance.choice(["encode", "decode"]), "value": inner()}
        case "@flatten":
            return {"separator": chance.choice([".", "", "--" * 50]), "value": inner()}
        case "@merge":
            return {"direction": chance.choice(["left", "right"]), "objects": [inner(), inner()]}
        case "@transform":
            return {"apply": inner(), "mapping": inner()}
        case "@liquid":
            return "".join(_liquid(chance) for _ in range(chance.randrange(1, 6)))
        case "@text":
            holes = chance.choices(PIPED, k=chance.choice([1, 3, 40]))
            return "".join([*holes, chance.choice(BAD_PIPED)] if chance.random() < 0.05 else holes)
        case "@jsonpath":
            return chance.choice(["$", "", " a"]) + "".join(chance.choices(JSONPATHS, k=chance.randrange(1, 9)))
        case "@random":
            return "uuid"
    return inner()


def _liquid(chance: Random) -> str:
    filters = chance.choices(FILTERS, k=chance.choice([0, 1, 3, 12]))
    return chance.choice(TAGS) % " | ".join([chance.choice(LIQUID), *filters])


def declaration(chance: Random, names: list[str]) -> dict[str, dict[str, Any]]:
    """What an action could ask of the fields a mapping made."""
    if chance.random() < 0.2:
        return copy.deepcopy(chance.choice(rows("schema"))["fields"])
    return {
        name: {
            "label": "Label",
            "type": chance.choice(["string", "text", "number", "integer", "boolean", "datetime", "object"]),
            "required": chance.random() < 0.3,
            "multiple": chance.random() < 0.3,
            "allowNull": chance.random() < 0.3,
        }
        | ({"type": "string", "format": chance.choice(FORMATS)} if chance.random() < 0.3 else {})
        for name in [*names[:6], "missing"]
    }


def event(chance: Random) -> Any:
    kind = chance.random()
    if kind < 0.4:
        return chance.choice(rows("mapping")).get("payload", {})
    if kind < 0.6:
        return chance.choice(rows("fql"))["event"]
    return copy.copy(chance.choice(_hostile()))


@cache
def _hostile() -> list[Any]:
    """The largest events the door lets in, each large in another way."""
    deep: Any = "x"
    for _ in range(60):
        deep = {"a": [deep]} if isinstance(deep, str) else {"a": deep, "b": 1}
    texts = ["a" * 30_000, "<" * 30_000, "&" * 30_000, "{{a}}" * 6_000, "\ud83d" * 5_000, "ß" * 15_000, '"' * 15_000]
    wide: list[Any] = [list(range(7_000)), [{"sku": "a", "a": {"b": 1}}] * 1_200, [[]] * 10_000, [{}] * 10_000]
    wide += [{f"k{n}": n for n in range(2_500)}, {str(n): [n] for n in range(2_000)}]
    base = {"type": "track", "event": "Order Placed", "userId": "u-1", "receivedAt": "2026-03-04T05:06:07.089Z"}
    parts: list[dict[str, Any]] = [{"long": text} for text in texts]
    parts += [{"wide": value, "items": value, "long": "x" * 500} for value in wide]
    parts.append({"deep": deep, "items": [deep], "long": json.dumps(deep)})
    return [base | {"properties": part, "traits": {"a": 1}} for part in parts]
