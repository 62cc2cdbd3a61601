"""Fields clean a payload as Segment's actions do, and name everything that is wrong with it at once."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors import fields, jsdate
from connectors.definitions import Choice, InputField
from connectors.errors import PayloadError
from tests.conformance.engines import cleaned


def test_input_fields_and_their_dict_form_ask_the_same() -> None:
    declared = (
        InputField("email", "Email", required=True, format="email"),
        InputField("tags", "Tags", multiple=True, choices=(Choice("a", "A"), Choice("b", "B"))),
        InputField("data", "Data", "object", properties=(InputField("age", "Age", "number", minimum=18),)),
    )

    _, faults = cleaned(declared, {"email": "x", "tags": ["c"], "data": {"age": "17", "more": 1}, "other": 1})

    assert faults == [
        ("/email", "Email must be a valid email address string but it was not."),
        ("/tags/0", 'The value at /tags/0 must be one of: "a" or "b".'),
        ("/data/age", "Age must be equal to or greater than 18."),
    ]
    assert fields.clean(declared, {"email": "a@b.co", "tags": "a", "data": {"age": "18", "more": 1}}) == {
        "email": "a@b.co",
        "tags": ["a"],
        "data": {"age": 18},
    }


def test_an_object_with_declared_members_and_the_items_of_a_list_are_never_null() -> None:
    declared = (
        InputField("tags", "Tags", multiple=True, allow_null=True),
        InputField("data", "Data", "object", allow_null=True, properties=(InputField("a", "A"),)),
        InputField("note", "Note", allow_null=True),
    )

    assert fields.clean(declared, {"tags": [None, "x"], "data": None, "note": None}) == {"tags": ["x"], "note": None}


def test_of_a_long_list_no_more_faults_are_told_than_anyone_reads() -> None:
    declared = (InputField("tags", "Tags", multiple=True),)

    with pytest.raises(PayloadError) as caught:
        fields.clean(declared, {"tags": [{}] * 5_000})

    assert len(caught.value.faults) == 1_000
    assert caught.value.faults[0].message == "The value at /tags/0 must be a string but it was an object."


def test_a_payload_that_is_no_object_is_a_fault() -> None:
    payload: Any = ["x"]

    with pytest.raises(PayloadError) as caught:
        fields.clean((), payload)

    assert str(caught.value) == "The payload must be an object but it was an array."


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-03-04T05:06:07+02:00", 1772593567000),
        ("Wed, 04 Mar 2026 05:06:07 GMT", 1772600767000),
        ("3/4/2026 5:06 pm", 1772643960000),
        ("Mar 2026", 1772323200000),
        ("0", 946684800000),
        ("12345", 327403382400000),
        ("2026-03-04T25:00:00Z", None),
        ("2026-W10", None),
        ("hello", None),
    ],
)
def test_dates_are_read_as_javascript_reads_them(text: str, moment: int | None) -> None:
    assert jsdate.parse(text) == moment


scalars = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=4)
)
documents = st.recursive(
    scalars | st.sampled_from(["true", "5", " 5 ", "", "2026-03-04", "a@b.co", "a:b"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("xyz"), inner, max_size=3),
    max_leaves=5,
)
FORMATS = ["", "email", "uri", "date", "date-time", "time", "uuid", "ipv4", "ipv6", "hostname", "uri-reference"]
declarations = st.builds(
    InputField,
    st.sampled_from("xyz"),
    st.just("Label"),
    st.sampled_from(["string", "number", "integer", "boolean", "datetime", "object"]),
    required=st.booleans(),
    multiple=st.booleans(),
    allow_null=st.booleans(),
)
texts = st.builds(InputField, st.sampled_from("xyz"), st.just("Label"), format=st.sampled_from(FORMATS))


@given(
    st.lists(declarations | texts, max_size=3, unique_by=lambda f: f.name).map(tuple),
    st.dictionaries(st.sampled_from("wxyz"), documents),
)
def test_a_payload_is_clean_or_faulty_and_a_clean_one_stays_as_it_is(
    declared: tuple[InputField, ...], payload: dict[str, Any]
) -> None:
    output, faults = cleaned(declared, payload)
    kept = {name: value for name, value in (output or {}).items() if value not in ("", [""])}
    again = fields.clean(tuple(f for f in declared if f.name in kept), kept)

    assert (output is None) is bool(faults)
    assert again == kept
