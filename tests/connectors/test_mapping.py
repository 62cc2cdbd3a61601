"""Mappings resolve as Segment's do, make nothing up, and keep within their budgets."""

import copy
import json
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors import mapping
from connectors.errors import MappingError
from connectors.mapping import UNDEFINED, Context
from tests.conformance.engines import resolved


def test_a_made_value_is_the_same_each_time_and_differs_by_event_brand_and_place() -> None:
    compiled = mapping.compile({"a": {"@random": "uuid"}, "b": {"@random": "uuid"}})

    first = compiled.resolve({"type": "track"}, Context(seed=b"brand", identity=b"1:7"))

    assert first == compiled.resolve({"type": "page"}, Context(seed=b"brand", identity=b"1:7"))
    assert str(UUID(first["a"])) == first["a"]
    assert first["a"] != first["b"]
    assert first["a"] != compiled.resolve({}, Context(seed=b"brand", identity=b"2:7"))["a"]
    assert first["a"] != compiled.resolve({}, Context(seed=b"other", identity=b"1:7"))["a"]


def test_each_item_has_a_made_value_of_its_own() -> None:
    compiled = mapping.compile({"list": {"@arrayPath": ["$.items", {"id": {"@random": "uuid"}}]}})

    made = compiled.resolve({"items": [{}, {}]})["list"]

    assert made[0]["id"] != made[1]["id"]


def test_faults_inside_a_directive_are_told_before_its_own() -> None:
    with pytest.raises(MappingError) as caught:
        mapping.compile({"a": {"@merge": {"direction": "up", "objects": 5, "more": {"@path": 5}}}, "b": {"@nope": 1}})

    assert caught.value.messages == (
        "/a/@merge/more/@path should be a string or a mapping directive but it is a number.",
        "/b has an invalid directive: @nope.",
    )


def test_a_template_of_nothing_is_filled_from_an_empty_object() -> None:
    fields = {"a": {"@transform": {"apply": {"@path": "$.gone"}, "mapping": {"@template": "{{ x }}|{{ }}"}}}}

    assert mapping.compile(fields).resolve({}) == {"a": "|[object Object]"}


def test_a_mapping_that_multiplies_an_event_without_end_is_stopped() -> None:
    fields: Any = {"s": {"@template": "{{s}}{{s}}"}}
    for _ in range(10):
        fields = {"@transform": {"apply": {"s": {"@template": "{{s}}{{s}}"}}, "mapping": fields}}

    with pytest.raises(MappingError, match="more than"):
        mapping.compile(fields).resolve({"s": "x" * 30_000})


def test_directives_in_directives_are_looked_at_once() -> None:
    fields: Any = {"@path": "$.a"}
    for _ in range(45):
        fields = {"@case": {"operator": "lower", "value": fields}}

    assert mapping.compile({"a": fields}).resolve({"a": "A"}) == {"a": "a"}


def test_dots_in_the_keys_of_an_object_nest_and_quoted_keys_stay() -> None:
    rows = {
        "address.city": {"@path": "$.city"},
        "address.zip code": "1010",
        "items[0].sku": {"@text": "{{ sku }}"},
        "items[1]": {"@path": "$.gone"},
        '"a.b"': 1,
        'c."d.e"': {"f.g": 2},
        "nothing.at.all": {"@path": "$.gone"},
    }

    resolved = mapping.compile({"x": {"@object": rows}, "y.z": 3}).resolve({"city": "a.b", "sku": "S"})

    assert resolved == {
        "x": {
            "address": {"city": "a.b", "zip code": "1010"},
            "items": [{"sku": "S"}, None],
            "a.b": 1,
            "c": {"d.e": {"f.g": 2}},
        },
        "y.z": 3,
    }


def test_an_object_of_which_nothing_is_there_is_empty() -> None:
    compiled = mapping.compile({"x": {"@object": {"a.b": {"@path": "$.gone"}}}})

    assert compiled.resolve({}) == {"x": {}}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"a": 1, "a.b": 2}, "has a and a.b: one is a value, the other a member of it."),
        ({"a.b": 1, "a": 2}, "has a where there is a value or a member already."),
        (
            {"a..b": 1},
            "has the key a..b, which cannot be read; if it is meant as it is, put it in double quotes.",
        ),
        (
            {"a[1]": 1},
            "has a list whose items are not numbered [0], [1] and so on, each of them once.",
        ),
        (
            {"a[0]": 1, "a.b": 1},
            "has a list whose items are not numbered [0], [1] and so on, each of them once.",
        ),
        ({"@path": "$.a"}, "should be an object but it is a directive."),
        (5, "should be an object but it is a number."),
    ],
)
def test_keys_that_fit_no_object_are_refused_when_the_mapping_is_saved(rows: Any, message: str) -> None:
    for fields, path in (({"x": {"@object": rows}}, "/x/@object"), ({"x": [{"@object": rows}]}, "/x/0/@object")):
        with pytest.raises(MappingError) as caught:
            mapping.compile(fields)

        assert caught.value.messages == (f"{path} {message}",)


def nested(depth: int) -> dict[str, Any]:
    node: Any = 1
    for _ in range(depth):
        node = {"a": node}
    assert isinstance(node, dict)
    return node


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (nested(101), "A mapping nests at most 100 deep."),
        ({"a": [0] * 5_000}, "A mapping has at most 5,000 members."),
        ({"a": "x" * 200_000}, "A mapping has at most 200,000 characters."),
    ],
)
def test_a_mapping_beyond_its_size_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(MappingError) as caught:
        mapping.compile(fields)

    assert caught.value.messages == (message,)


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text("a{}$.", max_size=6)
)
documents = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
paths = st.sampled_from(["$.a", "$.a.b", "$.b[0]", "c", ".", "$.", "$", "a['b']", "x..y"])
DIRECTIVES = ["path", "template", "literal", "if", "case", "replace", "arrayPath", "json", "flatten", "merge"]
DIRECTIVES += ["transform", "excludeWhenNull", "random", "text", "object", "jsonpath", "liquid", "nope"]
OPTIONS = ["exists", "blank", "then", "else", "value", "operator", "pattern", "replacement", "mode", "separator"]
OPTIONS += ["objects", "direction", "apply", "mapping", "ignorecase", "global", "a"]
words = st.sampled_from(
    [
        "{{ a }} ${e://Field/a}",
        "$..b[?@.a]",
        "{{ a | upcase }}",
        "lower",
        "upper",
        "encode",
        "decode",
        "left",
        "right",
        ".",
        "uuid",
        "{{a}}",
        "{{{ $.b }}}",
    ]
)
mappings = st.recursive(
    documents | paths | words,
    lambda inner: (
        st.dictionaries(st.sampled_from(DIRECTIVES).map("@".__add__), inner, min_size=1, max_size=1)
        | st.dictionaries(st.sampled_from(OPTIONS), inner, max_size=5)
        | st.lists(inner, max_size=3)
    ),
    max_leaves=12,
)


@given(fields=mappings, event=st.dictionaries(st.sampled_from("abc"), documents) | documents)
def test_no_mapping_and_no_event_break_the_engine(fields: Any, event: Any) -> None:
    before = copy.deepcopy(event), copy.deepcopy(fields)

    output, messages = resolved({"mapping": fields, "payload": event})

    assert messages is None or (messages and all(messages))
    assert output is UNDEFINED or json.loads(json.dumps(output)) == output
    assert (event, fields) == before
