"""Texts with holes are filled from the event and nothing else, the same way every time."""

from typing import Any

import pytest

from connectors import mapping
from connectors.context import Context
from connectors.errors import MappingError

EVENT: dict[str, Any] = {
    "type": "track",
    "userId": "u-1",
    "receivedAt": "2026-03-04T17:06:07.000Z",
    "timestamp": "2026-03-01T00:00:00.000Z",
    "properties": {
        "embeddedData": {"first name": "Ann", "dotted.name": "d", "score": 9, "note": None, "page": "{{ userId }}"},
        "plan": "gold",
        "responseId": "R_1",
        "contact": {"firstName": "Bo"},
        "questions": {
            "QID1": {"QuestionText": "Why?", "ChoiceGroup": {"SelectedChoices": ["Price", "Taste"]}},
            "QID2": {"SelectedChoicesRecode": 4},
            "QID3": "typed",
        },
        "items": [{"sku": "A"}, {"sku": "B"}],
    },
    "traits": {"Email": "ann@shop.test", "tags": ["a", "b"]},
    "context": {"traits": {"language": "EN"}},
}


def filled(text: str, context: Context | None = None) -> Any:
    return mapping.compile({"x": {"@text": text}}).resolve(EVENT, context)["x"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Hello ${e://Field/first%20name}!", "Hello Ann!"),
        ("${e://Field/first name}", "Ann"),
        ("${e://Field/dotted.name}", "d"),
        ("${e://Field/plan}", "gold"),
        ("${e://Field/language}", "EN"),
        ("${e://Field/ResponseID}", "R_1"),
        ("${rm://Field/ResponseID}", "R_1"),
        ("${q://QID1/QuestionText}", "Why?"),
        ("Because: ${q://QID1/ChoiceGroup/SelectedChoices}", "Because: Price, Taste"),
        ("${q://QID1/ChoiceGroup/SelectedChoices}", ["Price", "Taste"]),
        ("${q://QID2/SelectedChoicesRecode}", 4),
        ("${q://QID3/ChoiceTextEntryValue}", "typed"),
        ("${m://FirstName}, ${m://Email}, ${m://Language}", "Bo, ann@shop.test, EN"),
        ("${m://ExternalDataReference}", "u-1"),
        ("${date://CurrentDate/m%2Fd%2FY}", "03/04/2026"),
        ("${date://CurrentDate/l, jS F g:i A}", "Wednesday, 4th March 5:06 PM"),
        ("${date://CurrentDate/c}", "2026-03-04T17:06:07+00:00"),
        ("${date://CurrentDate/%5CY%5C: Y z t W}", "Y: 2026 62 31 10"),
        ("{{ properties.items[1].sku }}", "B"),
        ("{{ $.userId }}/{{userId}}", "u-1/u-1"),
        ("${{ userId }}", "$u-1"),
        ("{{ properties.items }}", [{"sku": "A"}, {"sku": "B"}]),
        ("all: {{ properties.items }}", 'all: [{"sku":"A"},{"sku":"B"}]'),
        ("tags {{ traits.tags }}", "tags a, b"),
        ("${e://Field/score}", 9),
        ("score ${e://Field/score}", "score 9"),
        ("${e://Field/note}", None),
        ("note: ${e://Field/note}.", "note: ."),
        ("${e://Field/page}", "{{ userId }}"),
        ("no { holes } at 5 $ ~", "no { holes } at 5 $ ~"),
        ("", ""),
    ],
)
def test_a_hole_is_filled_with_what_it_names(text: str, value: Any) -> None:
    context = Context()

    assert filled(text, context) == value
    assert context.warnings == []


def test_a_run_of_a_workflow_lends_its_fields_and_answers() -> None:
    context = Context(fields={"order": 7}, answers={"OCAC_1": {"contact": {"ids": ["c-1", "c-2"]}}})

    assert filled("~{aedj://order}", context) == 7
    assert filled("~{aedj://plan}", context) == "gold"
    assert filled("id ~{ch://OCAC_1/$.contact.ids[0]}", context) == "id c-1"
    assert context.warnings == []
    assert filled("~{ch://OCAC_1/contact.ids[*]}", context) == "c-1"
    assert context.warnings == [
        "/x/@text: $.contact.ids[*] finds several values in OCAC_1; the first was taken.",
    ]


def test_what_is_not_there_is_empty_and_told_once() -> None:
    context = Context()

    assert filled("a${e://Field/gone}b${e://Field/gone}c", context) == "abc"
    assert filled("{{ properties.gone }}", context) == ""
    assert filled("~{ch://OCAC_9/$.id}", context) == ""
    assert context.warnings == [
        "/x/@text: ${e://Field/gone} has no value here and was left empty.",
        "/x/@text: {{ properties.gone }} has no value here and was left empty.",
        "/x/@text: ~{ch://OCAC_9/$.id} has no value here and was left empty.",
    ]


def test_warnings_do_not_grow_without_end() -> None:
    context = Context()
    text = "".join(f"{{{{ gone{n} }}}}" for n in range(150))

    assert filled(text, context) == ""
    assert len(context.warnings) == 100


def test_a_random_number_is_the_same_in_every_attempt_and_another_for_another_event() -> None:
    text = "${rand://int/1:1000000000}"

    first = filled(text, Context(seed=b"brand", identity=b"1"))

    assert first == filled(text, Context(seed=b"brand", identity=b"1"))
    assert first != filled(text, Context(seed=b"brand", identity=b"2"))
    assert {filled("${rand://int/-1:1}", Context(identity=bytes([n]))) for n in range(40)} == {-1, 0, 1}


def test_in_a_list_holes_look_at_the_item_and_tokens_at_the_event() -> None:
    fields = {"x": {"@arrayPath": ["$.properties.items", {"@text": "{{ sku }} of ${m://FirstName}"}]}}

    assert mapping.compile(fields).resolve(EVENT) == {"x": ["A of Bo", "B of Bo"]}


def test_without_a_readable_moment_a_date_is_empty() -> None:
    compiled = mapping.compile({"x": {"@text": "${date://CurrentDate/Y}"}})

    assert compiled.resolve({"receivedAt": 5, "timestamp": "+020000-01-01T00:00:00Z"}) == {"x": ""}
    assert compiled.resolve({"timestamp": "2025-12-31T23:59:59Z"}) == {"x": "2025"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "Score ${gr://SC_1/Score}",
            "has ${gr:// at position 6, which no event can fill; "
            "there are {{ }}, ${e://, ${q://, ${m://, ${rm://, ${date://, ${rand://, ~{aedj://, ~{ch://",
        ),
        ("$e{ 1 + 1 }", "has $e{ at position 0; sums are not done here, send the parts or the result"),
        ("a {{ }}", "has {{ }} at position 2, which names nothing; write {{ properties.name }}"),
        ("a {{ b", "has {{ at position 2, which begins no token; write ${e://Field/name} or {{ properties.name }}"),
        ("${name}", "has ${ at position 0, which begins no token; write ${e://Field/name} or {{ properties.name }}"),
        ("${e://Field/}", "has ${e://Field/} at position 0: e:// names a field like this: e://Field/name"),
        (
            "${date://CurrentDate/PT}",
            "has ${date://CurrentDate/PT} at position 0: only the current date is known, "
            "with its format spelt out: date://CurrentDate/Y-m-d%20H%3Ai",
        ),
        (
            "${rand://int/9:1}",
            "has ${rand://int/9:1} at position 0: "
            "rand:// names the smallest and the largest number, like this: rand://int/1:100",
        ),
        (
            "~{ch://T/$.a[}",
            "has ~{ch://T/$.a[} at position 0: $.a[ is not a JSONPath: unbalanced brackets, line 1, column 4",
        ),
    ],
)
def test_what_nothing_can_fill_is_refused_when_the_mapping_is_saved(text: str, message: str) -> None:
    for fields, path in (({"x": {"@text": text}}, "/x/@text"), ({"x": [{"@text": text}]}, "/x/0/@text")):
        with pytest.raises(MappingError) as caught:
            mapping.compile(fields)

        assert caught.value.messages == (f"{path} {message}.",)


def test_a_plain_text_is_never_filled() -> None:
    text = "{{ userId }} ${e://Field/plan}"

    assert mapping.compile({"x": text}).resolve(EVENT) == {"x": text}
