"""What a template needs to draw a JSON value."""

from __future__ import annotations

from typing import Any

from django import template

register = template.Library()


@register.filter
def is_object(value: Any) -> bool:
    return isinstance(value, dict)


@register.filter
def is_list(value: Any) -> bool:
    return isinstance(value, list)


@register.filter
def as_text(value: Any) -> str:
    """A scalar as JSON names it, text as it is."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)
