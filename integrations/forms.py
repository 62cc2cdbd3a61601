"""Forms grown from a connector's InputFields: a secret is never shown, and a box left empty keeps it."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar

from django import forms
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from unfold.widgets import (
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminPasswordWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from connectors import fields as field_engine
from connectors.definitions import UNSET, InputField
from connectors.errors import PayloadError

SETTING = "setting_"
FORGET = "forget_"
KEEP = "Stored; leave empty to keep."


class ConfigurationForm(forms.ModelForm):  # type: ignore[type-arg]  # generic in the stubs only
    """What a page asks of a configured thing; `preset` holds what was chosen before the page opened."""

    preset: ClassVar[Mapping[str, Any]] = {}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance._state.adding:
            for name, value in self.preset.items():
                setattr(self.instance, name, value)

    def add_error(self, field: str | None, error: Any) -> None:
        """What the model refuses about something not asked on this page is said at the top of it."""
        if field is None and hasattr(error, "error_dict"):
            moved: dict[str, list[ValidationError]] = {}
            for name, errors in error.error_dict.items():
                moved.setdefault(name if name in self.fields else NON_FIELD_ERRORS, []).extend(errors)
            error = ValidationError(moved)
        super().add_error(field, error)


class SettingsForm(ConfigurationForm):
    """A form with the declared settings among its boxes; `values` is what to hand to `write_settings`."""

    declared: ClassVar[tuple[InputField, ...]] = ()
    values: dict[str, Any]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if self.errors:
            return cleaned
        plain = [field for field in self.declared if not field.secret]
        given = {field.name: cleaned.get(SETTING + field.name) for field in plain}
        try:
            self.values = field_engine.clean(plain, {k: v for k, v in given.items() if v not in (None, "")})
        except PayloadError as error:
            for fault in error.faults:
                box = SETTING + fault.path.removeprefix("/").partition("/")[0]
                self.add_error(box if box in self.fields else None, fault.message)
            return cleaned
        for field in plain:
            value = self.values.get(field.name)
            if field.pattern and value and not re.fullmatch(field.pattern, str(value)):
                self.add_error(SETTING + field.name, f"“{value}” is no {field.label}. {field.help}")
        for field in self.declared:
            entered = cleaned.get(SETTING + field.name)
            if field.secret and (entered or cleaned.get(FORGET + field.name)):
                self.values[field.name] = entered
        return cleaned


def configuration_form(preset: Mapping[str, Any], **boxes: forms.Field) -> type[ConfigurationForm]:
    """A ConfigurationForm with boxes beside those of the model."""
    return type("Form", (ConfigurationForm,), {"preset": preset, **boxes})


def settings_form(
    preset: Mapping[str, Any],
    declared: Sequence[InputField],
    settings: Mapping[str, Any],
    stored: Collection[str],
    **boxes: forms.Field,
) -> type[SettingsForm]:
    """A SettingsForm that starts from these settings; `stored` names the secrets that exist already."""
    grown: dict[str, forms.Field] = {}
    for field in declared:
        if field.hidden:
            continue
        if field.secret:
            grown[SETTING + field.name] = secret_box(
                field.label, field.help, bool(field.required), field.name in stored
            )
            if field.name in stored and not field.required:
                grown[FORGET + field.name] = forms.BooleanField(
                    label=f"Remove the stored {field.label}", required=False, widget=UnfoldBooleanSwitchWidget()
                )
        else:
            grown[SETTING + field.name] = _box(field, settings.get(field.name))
    return type("Form", (SettingsForm,), {"preset": preset, "declared": tuple(declared), **grown, **boxes})


def secret_box(label: str, help: str = "", required: bool = False, stored: bool = False) -> forms.CharField:
    """A box to enter a secret, never filled in."""
    return forms.CharField(
        label=label,
        help_text=f"{KEEP} {help}" if stored else help,
        required=required and not stored,
        widget=UnfoldAdminPasswordWidget({"autocomplete": "new-password"}),
    )


def _box(field: InputField, value: Any) -> forms.Field:
    common: dict[str, Any] = {
        "label": field.label,
        "help_text": field.help,
        "required": field.required is True,
        "initial": value if value is not None or field.default is UNSET else field.default,
    }
    if field.multiple or field.type == "object":
        return forms.JSONField(widget=UnfoldAdminTextareaWidget(), **common)
    if field.choices:
        choices = [(choice.value, choice.label) for choice in field.choices]
        if field.required is not True and field.default is UNSET:
            choices.insert(0, ("", "—"))
        return forms.ChoiceField(choices=choices, widget=UnfoldAdminSelectWidget(), **common)
    if field.type == "boolean":
        return forms.BooleanField(widget=UnfoldBooleanSwitchWidget(), **common | {"required": False})
    if field.type == "integer":
        return forms.IntegerField(widget=UnfoldAdminIntegerFieldWidget(), **common)
    if field.type == "number":
        return forms.FloatField(widget=UnfoldAdminDecimalFieldWidget({"step": "any"}), **common)
    text = UnfoldAdminTextareaWidget() if field.type == "text" else UnfoldAdminTextInputWidget()
    return forms.CharField(widget=text, **common)
