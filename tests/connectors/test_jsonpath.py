"""JSONPaths are read as people write them, and cannot be made to work for ever."""

import time
from typing import Any

import pytest

from connectors import jsonpath, mapping
from connectors.context import Context
from connectors.errors import MappingError
from connectors.jstext import UNDEFINED

DOCUMENT: dict[str, Any] = {
    "order-id": 4,
    "items": [{"sku": "A", "price": 9}, {"sku": "B", "price": 3}],
    "a b": {"1st": None},
}


@pytest.mark.parametrize(
    ("written", "normal", "value", "more"),
    [
        (" order-id ", "$['order-id']", 4, False),
        ("$.order-id", "$['order-id']", 4, False),
        ("$.a b.1st", "$['a b']['1st']", None, False),
        ("items[1].sku", "$.items[1].sku", "B", False),
        ("$.items[-1].sku", "$.items[-1].sku", "B", False),
        ("$.items[2].sku", "$.items[2].sku", UNDEFINED, False),
        ("..sku", "$..sku", "A", True),
        ("$..order-id", "$..['order-id']", 4, False),
        ("$.items[?@.price < 5].sku", "$.items[?@.price < 5].sku", "B", False),
        ("$.items[?@.sku == 'x.y[0]'].sku", "$.items[?@.sku == 'x.y[0]'].sku", UNDEFINED, False),
        ("$.items[?length(@.sku) == 1].price", "$.items[?length(@.sku) == 1].price", 9, True),
        ("['order-id']", "$['order-id']", 4, False),
        ("it's", "$['it\\'s']", UNDEFINED, False),
        ("$", "$", DOCUMENT, False),
    ],
)
def test_a_path_is_normalised_and_finds_the_first_value(written: str, normal: str, value: Any, more: bool) -> None:
    compiled = jsonpath.compile(written)

    assert compiled.text == normal
    assert jsonpath.normalise(normal) == normal
    assert compiled.find(DOCUMENT) == (value, more)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("$.a[", "unbalanced brackets"),
        ("$.a..", "a name is missing at position 5"),
        ("", "a name is missing"),
        ("$.items[?match(@.sku, '(a|aa)+b')]", "function 'match' is not defined"),
        ("$.items[?search(@.sku, '(a|aa)+b')]", "function 'search' is not defined"),
        ("a" * 513, "at most 512 characters"),
        ("$" + "[?@" * 170, "nests too deeply|not a JSONPath"),
    ],
)
def test_a_path_that_is_none_or_dangerous_is_refused(text: str, words: str) -> None:
    with pytest.raises(MappingError, match=words):
        jsonpath.compile(text)


@pytest.mark.parametrize(
    "path",
    [
        "$..[?@..x && @..z]",
        "$..*..*..*..z",
        "$[*,*][*,*][*,*][*,*][*,*][*,*].z",
        "$..[?count($..*) == 1]",
        "$..[?@.z]",
    ],
)
def test_a_path_that_would_look_at_everything_over_and_over_is_stopped(path: str) -> None:
    document: Any = [[{"x": n, "y": [n, [n]]} for n in range(1_500)]] * 2
    began = time.thread_time()

    with pytest.raises(MappingError, match="looks at too much"):
        jsonpath.compile(path).find(document)

    assert time.thread_time() - began < 0.1


def test_something_nested_too_deeply_is_an_error_of_ours() -> None:
    document: Any = 1
    for _ in range(500):
        document = [document]

    with pytest.raises(MappingError, match="nested this deeply"):
        jsonpath.compile("$..z").find(document)


def test_in_a_mapping_a_missing_value_is_left_out_and_several_are_told() -> None:
    compiled = mapping.compile({"sku": {"@jsonpath": "$..sku"}, "gone": {"@jsonpath": "$.gone"}})
    context = Context()

    assert compiled.resolve(DOCUMENT, context) == {"sku": "A"}
    assert context.warnings == ["/sku/@jsonpath: $..sku finds several values; the first was taken."]


def test_a_path_that_is_none_is_refused_when_the_mapping_is_saved() -> None:
    with pytest.raises(MappingError) as caught:
        mapping.compile({"a": {"@jsonpath": "$.a["}, "b": {"@jsonpath": 5}})

    assert caught.value.messages == (
        "/a/@jsonpath cannot be used: $.a[ is not a JSONPath: unbalanced brackets, line 1, column 4.",
        "/b/@jsonpath should be a string but it is a number.",
    )
