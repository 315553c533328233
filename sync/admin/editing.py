"""A change by hand: a batch of one item, by the rules of sync, with a receipt in the person's name."""

import base64
import uuid
from typing import Any

import orjson
from django import forms
from unfold import widgets
from uuid_utils.compat import uuid7

from pieces.acts import Origin
from pieces.admin.page import groups_of, label_of
from pieces.models import MAX_PICTURE, SHORT, Entity, Operation, Pictured
from ractory.api.errors import Conflict, Unprocessable
from sync.schemas import IF_UPDATED_AT, Line
from sync.submission import Options, submit
from tenants.caller import Caller

MOMENT = "%Y-%m-%dT%H:%M"  # of an <input type="datetime-local">
CHANGED_SINCE = "Somebody else, or a sync, has changed it since you opened this page."


def form_of(model: type[Entity]) -> type[forms.Form]:
    """A form of the fields that people change. It checks no rules of its own: the sync does."""
    fields = {field.attname: _form_field(field) for group in groups_of(model).values() for field in group}
    if issubclass(model, Pictured):
        fields["picture"] = forms.FileField(required=False, help_text=f"At most {MAX_PICTURE // 1024} KiB.")
        fields["no_picture"] = forms.BooleanField(
            required=False, label="Remove the picture", widget=widgets.UnfoldBooleanSwitchWidget
        )
    fields["seen"] = forms.CharField(widget=forms.HiddenInput)  # updated_at of what the person looked at
    return type(f"{model.__name__}Form", (forms.Form,), fields)


def _form_field(field: Any) -> forms.Field:
    about: dict[str, Any] = {"label": label_of(field), "required": not field.null}
    kind = field.get_internal_type()
    if kind == "BooleanField":
        choices = (("", "not set"), ("true", "yes"), ("false", "no"))
        return forms.ChoiceField(**about, choices=choices, widget=widgets.UnfoldAdminSelectWidget)
    if kind == "IntegerField":
        return forms.CharField(**about, widget=widgets.UnfoldAdminIntegerFieldWidget)
    if kind == "DateTimeField":
        about["label"] += " (UTC)"
        return forms.CharField(**about, widget=widgets.UnfoldAdminTextInputWidget(attrs={"type": "datetime-local"}))
    long = kind == "CharField" and field.max_length > SHORT
    widget = widgets.UnfoldAdminTextareaWidget(attrs={"rows": 3}) if long else widgets.UnfoldAdminTextInputWidget()
    return forms.CharField(**about, strip=False, widget=widget)


def initial_of(entity: Entity) -> dict[str, Any]:
    names = [field.attname for group in groups_of(type(entity)).values() for field in group]
    return {name: _as_text(getattr(entity, name)) for name in names} | {"seen": entity.updated_at.isoformat()}


def _as_text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value.strftime(MOMENT)) if hasattr(value, "strftime") else str(value)


def edit(model: type[Entity], guid: uuid.UUID, form: forms.Form, *, caller: Caller) -> list[str]:
    """Carries the form's changes out; returns the labels of the fields, none if there is nothing to change.

    Raises Unprocessable with what the rules of sync object to, and Conflict if the row is not as it was seen any more.
    """
    given = {name: _given(form.cleaned_data[name]) for name in form.changed_data if name not in ("seen", "no_picture")}
    if form.cleaned_data.get("no_picture"):
        given["picture"] = None
    if not given:
        return []
    row = model.objects.without_picture().filter(guid=guid).first()
    if row is None or row.updated_at.isoformat() != form.cleaned_data["seen"]:
        raise Conflict(CHANGED_SINCE)
    # The row's identity, its parents and what a batch may not leave out, and over these what is given.
    needed = [field.attname for field in model.settable_fields() if not field.null and not field.has_default()]
    item = {name: getattr(row, name) for name in ("guid", *needed, *model.parent_columns())} | given
    item[IF_UPDATED_AT] = row.updated_at
    origin = Origin(Operation.EDIT, caller.actor, run=uuid7())
    try:
        run = submit(model, [Line(0, orjson.dumps(item))], origin=origin, options=Options(strict=True))
    except Unprocessable as refusal:
        if any(fault.loc[-1] == IF_UPDATED_AT for fault in refusal.found):  # in this moment
            raise Conflict(CHANGED_SINCE) from refusal
        raise
    if run.counts["unchanged"]:
        return []
    return [str(form.fields[name].label or name.capitalize()) for name in given]


def _given(value: Any) -> Any:
    """As an item of a batch has it; an emptied field is null."""
    if hasattr(value, "read"):
        return base64.b64encode(value.read()).decode()
    return value if value != "" else None
