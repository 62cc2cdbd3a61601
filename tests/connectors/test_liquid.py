"""Liquid says what Segment's says, and cannot be made to work for ever."""

import time
from typing import Any

import pytest

from connectors import mapping
from connectors.errors import MappingError

EVENT: dict[str, Any] = {
    "event": "Order Placed",
    "receivedAt": "2026-03-04T17:06:07.089Z",
    "traits": {"first name": "Ann", "age": 41.0, "vip": True, "nick": "", "gone": None},
    "properties": {
        "total": 19.99,
        "huge": 1e21,
        "items": [{"sku": "A", "price": 5}, {"sku": "B", "price": 0}],
        "tags": ["a", None, [1, 2]],
        "html": "<b>x</b> & y",
    },
}


def rendered(template: str, event: dict[str, Any] = EVENT) -> Any:
    return mapping.compile({"x": {"@liquid": template}}).resolve(event)["x"]


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{ traits.age }} {{ properties.huge }} {{ traits.vip }} {{ traits.gone }}|", "41 1e+21 true |"),
        ("{{ properties.items }} {{ properties.tags }}", "[object Object][object Object] a12"),
        ('{{ properties.tags | join: "-" }}', "a--1,2"),
        ("{{ 5 | divided_by: 2 }} {{ 5 | divided_by: 0 }} {{ 5 | divided_by: 2, true }}", "2.5 Infinity 2"),
        ("{{ 0.1 | plus: 0.2 }} {{ 1.005 | round: 2 }} {{ -7 | modulo: 3 }}", "0.30000000000000004 1.01 2"),
        ('{{ "x" | plus: 1 }} {{ properties.total | times: 2 | ceil }}', "1 40"),
        ('{{ traits.nick | default: "d" }} {{ traits.vip | default: "d" }}', "d true"),
        ('{{ event | replace: "r", "R" | append: "!" | upcase }}', "ORDER PLACED!"),
        ("{{ event | truncate: 8 }} {{ event | slice: -6, 5 }}", "Order... Place"),
        ("{{ properties.html | strip_html }} {{ properties.html | escape }}", "x & y &lt;b&gt;x&lt;/b&gt; &amp; y"),
        ('{{ receivedAt | date: "%-d %b %Y %H:%M:%S.%L" }}', "4 Mar 2026 17:06:07.089"),
        ('{{ receivedAt | date: "%H:%M %z", -60 }}', "18:06 +0100"),
        ('{{ "now" | date: "%Y-%m-%d" }}', "2026-03-04"),
        ('{{ properties.items | where: "price", 5 | size }} {{ properties.items.last.sku }}', "1 B"),
        ('{{ "a b&c" | url_encode }} {{ "a+b%20c" | url_decode }} {{ "SGk" | base64_decode }}', "a+b%26c a b c Hi"),
        ("{{ properties.items | json }}", '[{"sku":"A","price":5},{"sku":"B","price":0}]'),
        ('{% if traits.nick == blank and traits["first name"] contains "n" %}yes{% endif %}', "yes"),
        ("{% assign a = traits.age | plus: 1 %}{% capture c %}<{{ a }}>{% endcapture %}{{ c }}", "<42>"),
        ("{{ event | no_such_filter }}", "Order Placed"),
        ("", ""),
    ],
)
def test_a_template_says_what_segments_says(template: str, text: str) -> None:
    assert rendered(template) == text


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{% for p in properties.items %}x{% endfor %}", 'tag "for" is disabled'),
        ('{% include "x" %}', 'tag "include" is disabled'),
        ("{% if true %}{% case event %}{% endcase %}{% endif %}", 'tag "case" is disabled'),
        ('{{ properties.items | map: "sku" }}', 'filter "map" is disabled'),
        ("{% assign a = properties.tags | sort %}", 'filter "sort" is disabled'),
        ("{{ properties.tags | sample }}", 'filter "sample" is disabled'),
        ("{% nope %}", "unexpected tag 'nope'"),
        ("x" * 1_001, "liquid template values are limited to 1000 characters"),
    ],
)
def test_what_is_banned_or_malformed_is_refused_when_the_mapping_is_saved(template: str, reason: str) -> None:
    for fields, path in (({"x": {"@liquid": template}}, "/x"), ({"x": [{"@liquid": template}]}, "/x/0")):
        with pytest.raises(MappingError) as caught:
            mapping.compile(fields)

        assert caught.value.messages == (f"{path}/@liquid cannot be used: {reason}.",)


@pytest.mark.parametrize(
    "template",
    [
        "{{ long" + " | base64_encode" * 60 + " }}",
        "{% assign a = long %}" + "{% assign a = a | append: a %}" * 30 + "{{ a }}",
        '{{ long | replace: "", long }}',
        '{{ long | split: "" | join: long }}',
        "{{ (1..9999999999) | size }}",
        '{{ receivedAt | date: "%999999Y" }}',
        "{{ long }}" * 90,
    ],
)
def test_a_template_that_makes_too_much_is_stopped_in_time(template: str) -> None:
    event = {**EVENT, "long": "<x>&" * 7_000}
    compiled = mapping.compile({"x": {"@liquid": template}})
    began = time.thread_time()

    with pytest.raises(MappingError):
        compiled.resolve(event)

    assert time.thread_time() - began < 0.1


def test_a_text_of_open_tags_costs_one_walk() -> None:
    began = time.thread_time()

    assert rendered("{{ x | strip_html | size }}", {"x": "<" * 60_000}) == "60000"
    assert time.thread_time() - began < 0.1
