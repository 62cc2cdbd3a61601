"""Triggers decide as Segment's do wherever Segment's editor can write them, and never more widely than written."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors import trigger
from connectors.errors import TriggerError
from connectors.trigger import Finding, Row, Rows, Trigger


def parsed(text: str) -> Trigger | TriggerError:
    try:
        return trigger.parse(text)
    except TriggerError as error:
        return error


@pytest.mark.parametrize(
    ("text", "position", "words"),
    [
        ('type = "track" and event = "A" or event = "B"', 31, "put parentheses"),
        ('foo = "bar" and type = "track"', 0, "no field"),
        ('type = "track" event = "A"', 15, "Between two conditions"),
        ("type =", 6, "A value is missing"),
        ('type = "track', 7, "never closed"),
        ('event = "A"b"', 11, "After a text"),
        ("properties != null", 0, "name a member"),
        ("properties.a = properties.b", 15, "not with a field"),
        ('properties.a is "x"', 13, "not an operator"),
        ('contains(properties.tag, "sale"', 31, "closing parenthesis"),
        ('type = "track" and ()', 20, "empty"),
        ('type = "track")', 14, "closes nothing"),
        ("properties.n = 1e5", 15, "not a number"),
        ("properties.a:b = 1", 12, "backslash"),
        ('!type = "track"', 8, "in parentheses"),
        ('not contains(event, "A")', 0, "written !"),
        ("or", 0, "missing before"),
        ("length(" * 60, 350, "at most 50 deep"),
        (f"properties.n = {'9' * 400}", 15, "larger than any"),
        ("(" * 60 + 'type = "track"' + ")" * 60, 51, "at most 50 deep"),
    ],
)
def test_a_trigger_that_can_be_misread_is_refused_at_its_place(text: str, position: int, words: str) -> None:
    with pytest.raises(TriggerError) as caught:
        trigger.parse(text)

    assert caught.value.position == position
    assert words in caught.value.message


@pytest.mark.parametrize(
    ("text", "event", "verdict"),
    [
        ('type = "page" and (event = "A" or contains(event, "B"))', {"type": "track", "event": "B"}, False),
        ('!(type = "track" or type = "page")', {"type": "page"}, False),
        ('!(type = "track" or type = "page")', {"type": "group"}, True),
        ("type in ['track', 'page']", {"type": "page"}, True),
        ("properties.n in [1, 2]", {"properties": {"n": True}}, False),
        ("'a' in properties.tags", {"properties": {"tags": ["b", "a"]}}, True),
        ("'a' in properties.tags", {"properties": {"tags": "a"}}, False),
        ("properties.enabled", {"properties": {"enabled": True}}, True),
        ("!properties.enabled", {"properties": {"enabled": "true"}}, True),
        ('match(event, "Order * of *")', {"event": "Order 5 of 7"}, True),
        ('match(event, "a*a")', {"event": "a"}, False),
        ('match(event, "Viewed")', {"event": "x Viewed"}, False),
        ('lowercase(event) = "order placed"', {"event": "Order Placed"}, True),
        ('uppercase(properties.tier) = "GOLD"', {"properties": {"tier": "gold"}}, True),
        ('snakecase(event) = "order_placed"', {"event": "OrderPlaced"}, True),
        ('kebabcase(event) = "order-placed"', {"event": "order placed"}, True),
        ('titlecase(event) = "Order Placed"', {"event": "order_placed"}, True),
        ("length(properties.items) >= 2", {"properties": {"items": [1, 2]}}, True),
        ("length(lowercase(event)) = 2", {"event": "Ab"}, True),
        ('typeof(properties.x) = "null"', {"properties": {}}, True),
        ('typeof(properties.x) = "array"', {"properties": {"x": []}}, True),
        ('anonymousId = "a" and groupId != null', {"anonymousId": "a", "groupId": "g"}, True),
        ("properties.items[1].sku exists", {"properties": {"items": [{}, {"sku": None}]}}, False),
        ("properties.items.0.sku exists", {"properties": {"items": [{"sku": 1}]}}, True),
        ('properties.a exists or type = "identify"', {"properties": {"a": 1}}, True),
    ],
)
def test_what_is_written_is_what_is_asked(text: str, event: dict[str, Any], verdict: bool) -> None:
    assert trigger.parse(text).matches(event) is verdict


def test_the_empty_trigger_matches_nothing_and_all_matches_everything() -> None:
    assert [trigger.parse("").matches({"type": "track"}), trigger.parse(" \n").matches({})] == [False, False]
    assert [trigger.parse("all").matches({"type": "track"}), trigger.parse("all").matches({})] == [True, True]


def test_an_explanation_tells_each_condition_what_was_seen_and_the_verdict() -> None:
    text = 'type = "track" and (properties.total > 5 or traits.plan = null)'

    found = trigger.parse(text).explain({"type": "track", "properties": {"total": 5}})

    assert found == [
        Finding('type = "track"', 'type = "track"', "track", False, True),
        Finding(
            "properties.total > 5 or traits.plan = null",
            "any of",
            None,
            False,
            True,
            (
                Finding("properties.total > 5", "properties.total > 5", 5, False, False),
                Finding("traits.plan = null", "traits.plan not_exists", None, True, True),
            ),
        ),
    ]


def test_a_trigger_of_one_level_becomes_rows_of_the_editor() -> None:
    written = trigger.parse('type = "track", properties.total >= 100, !contains(event, "Test"), userId != null')

    rows = written.to_rows()

    assert rows == Rows(
        "all",
        (
            Row("type", "=", "track"),
            Row("properties.total", ">=", 100.0),
            Row("event", "not_contains", "Test"),
            Row("userId", "exists"),
        ),
    )
    assert trigger.from_rows(rows).text == (
        'type = "track" and properties.total >= 100 and event not_contains "Test" and userId exists'
    )


@pytest.mark.parametrize(
    "text",
    [
        'type = "track" and (event = "A" or event = "B")',
        '!(type = "track")',
        'length(event) > 5 and type = "track"',
        'type in ["track"]',
    ],
)
def test_a_trigger_of_another_form_has_no_rows(text: str) -> None:
    assert trigger.parse(text).to_rows() is None


def test_a_row_cannot_smuggle_in_a_second_condition() -> None:
    with pytest.raises(TriggerError, match="not one condition"):
        trigger.from_rows(Rows("all", (Row('type = "x" or event', "=", "A"),)))


@pytest.mark.parametrize(
    "rows",
    [
        Rows("everything"),
        Rows("nothing"),
        Rows("all", (Row("type", "=", "track"),)),
        Rows("any", (Row("properties.n", "<", 1e-7), Row("properties.n", ">", 1e21))),
    ],
)
def test_rows_survive_the_way_through_a_trigger(rows: Rows) -> None:
    assert trigger.from_rows(rows).to_rows() == rows


def test_a_text_with_both_kinds_of_quotes_cannot_be_written() -> None:
    with pytest.raises(TriggerError, match="both kinds of quotes"):
        trigger.from_rows(Rows("all", (Row("event", "=", '"it\'s"'),)))


TOKENS = [
    "type", "event", "userId", "properties.a", "traits.b.c", "context.ip", "anonymousId", "properties.\\$x", "nope",
    "=", "!=", "<", ">=", "!", "(", ")", "[", "]", ",", "and", "or", "in", "exists", "is_true", "contains", "match",
    "contains(", "match(", "length(", '"A*"', "'x'", '""', "5", "-1.5", "true", "null", "starts_with", "\\", ".", '"',
]  # fmt: skip
json_values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)
events = st.dictionaries(
    st.sampled_from(["type", "event", "userId", "anonymousId", "properties", "traits", "context"]), json_values
)


@given(text=st.text() | st.lists(st.sampled_from(TOKENS), max_size=12).map(" ".join), event=events)
def test_no_text_and_no_event_break_a_trigger(text: str, event: dict[str, Any]) -> None:
    before = copy.deepcopy(event)

    found = parsed(text)

    if isinstance(found, TriggerError):
        assert 0 <= found.position <= len(text)
    else:
        verdicts = {finding.verdict for finding in found.explain(event)}
        assert found.matches(event) in (verdicts or {text.strip() == "all"})
    assert event == before


fields = st.sampled_from(["type", "event", "name", "userId", "groupId"]) | st.lists(
    st.text(st.characters(exclude_characters=".[]", exclude_categories=["Cs"]), min_size=1, max_size=4),
    min_size=1,
    max_size=3,
).map(lambda keys: "properties." + ".".join("".join("\\" + c for c in key) for key in keys))
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8).filter(lambda text: '"' not in text)
values = st.booleans() | st.floats(-1e9, 1e9).map(lambda n: round(n, 3)) | texts
operators = st.sampled_from(["=", "!=", "<", "<=", ">", ">=", "contains", "not_contains", "starts_with", "ends_with"])
written_rows = st.builds(Row, fields, operators, values) | st.builds(
    Row, fields, st.sampled_from(["exists", "is_true"])
)


@given(st.sampled_from(["all", "any"]), st.lists(written_rows, min_size=1, max_size=4))
def test_rows_and_triggers_are_two_views_of_one_thing(match: str, rows: list[Row]) -> None:
    made = trigger.from_rows(Rows(match, tuple(rows)))
    shown = made.to_rows()

    assert shown is not None
    assert trigger.from_rows(shown) == made
    assert trigger.parse(made.text) == made
