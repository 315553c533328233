"""A change by hand: a batch of one item, by the rules of sync, with a receipt in the person's name. The form is sent
twice: first to see what would change, then that is written. It brings along what its fields held when it was opened, so
that what others have changed since is seen."""

import base64
import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import orjson
from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import MaxLengthValidator
from django.utils.crypto import salted_hmac
from unfold import widgets
from uuid_utils.compat import uuid7

from pieces.acts import Origin
from pieces.admin.history import linked
from pieces.admin.page import RASTER_IMAGE, fact, groups_of, label_of, unit_of
from pieces.models import MAX_PICTURE, SHORT, Entity, Operation, Pictured
from pieces.names import found_by_guid
from pieces.templatetags.entities import with_links
from ractory.api.errors import Conflict, Unprocessable
from sync.admin.plain_words import WORDS, in_plain_words
from sync.schemas import IF_UPDATED_AT, INT_MAX, INT_MIN, Line
from sync.submission import Options, submit
from tenants.caller import Caller
from tenants.templatetags.staff import NOTHING

TO_THE_SECOND = "%Y-%m-%dT%H:%M:%S"  # as an <input type="datetime-local"> has it
LONGEST = 20_000  # mm, of what nobody is asked about; a bar has some 6 m


class WholeNumber(forms.IntegerField):
    re_decimal = re.compile("(?!)")  # "1.000" is a thousand to some, and Django would take it for 1
    default_error_messages = dict.fromkeys(("min_value", "max_value"), WORDS["int_range"])


class Text(forms.CharField):
    def to_python(self, value: Any) -> Any:
        """Browsers send the ends of lines in another form than they got them, and of a field of one line none."""
        text = super().to_python(value)
        return text and re.sub("\r?\n", "\n" if isinstance(self.widget, forms.Textarea) else "", text)


class PictureField(forms.FileField):
    def to_python(self, data: Any) -> Any:
        """In base64, as an item of a batch has it."""
        if (file := super().to_python(data)) is None:
            return None
        if file.size > MAX_PICTURE:
            raise ValidationError(f"{WORDS['bytes_too_long']}; this one has {file.size // 1024}.")
        file.seek(0)  # it may be read again
        if not RASTER_IMAGE.match(content := file.read()):
            raise ValidationError("This is not a picture: PNG, JPEG, GIF, BMP and WebP are taken.")
        return base64.b64encode(content).decode()


def form_of(model: type[Entity]) -> type[forms.Form]:
    """A form of the fields that people change. What may be in them the sync knows."""
    fields = {field.attname: _form_field(field) for field in fields_of(model)}
    if issubclass(model, Pictured):
        fields["picture"] = PictureField(required=False, help_text=f"At most {MAX_PICTURE // 1024} KiB.")
        switch = widgets.UnfoldBooleanSwitchWidget
        fields["no_picture"] = forms.BooleanField(required=False, label="Remove the picture", widget=switch)
    return type(f"{model.__name__}Form", (forms.Form,), fields)


def fields_of(model: type[Entity]) -> list[Any]:
    return [field for group in groups_of(model).values() for field in group]


def _form_field(field: Any) -> forms.Field:
    kind, unit = field.get_internal_type(), unit_of(field)
    label = f"{label_of(field)} ({unit})" if unit else label_of(field)
    about: dict[str, Any] = {"label": label, "required": not field.null, "show_hidden_initial": True}
    if kind == "BooleanField":
        return forms.NullBooleanField(**about, widget=widgets.UnfoldAdminNullBooleanSelectWidget)
    if kind == "IntegerField":
        # On some phones the keys for numbers have no minus, which an angle may need.
        widget = widgets.UnfoldAdminTextInputWidget(attrs={} if unit == "°" else {"inputmode": "numeric"})
        return WholeNumber(**about, min_value=INT_MIN, max_value=INT_MAX, widget=widget)
    if kind == "DateTimeField":
        attrs = {"type": "datetime-local", "class": " ".join(widgets.INPUT_CLASSES)}
        return forms.DateTimeField(**about, widget=forms.DateTimeInput(attrs, TO_THE_SECOND))
    long = kind == "CharField" and field.max_length > SHORT
    widget = widgets.UnfoldAdminTextareaWidget(attrs={"rows": 3}) if long else widgets.UnfoldAdminTextInputWidget()
    # No max_length: with that browsers cut off what is pasted, without a word.
    return Text(
        **about, strip=False, empty_value=None, widget=widget, validators=[MaxLengthValidator(field.max_length)]
    )


class FieldChange(NamedTuple):
    """What a form that was sent does to a field, or somebody else since it was opened."""

    name: str
    label: str
    now: str
    new: str
    value: Any  # the new one, for the item
    by_both: bool
    keep: str  # whose value: "mine" or "theirs"; "" if both have changed it, and the person has yet to choose
    doubt: str = ""  # what is odd about the new value, though it may be so


def changes_in(form: forms.Form, entity: Any) -> Iterator[FieldChange]:
    """Of the fields in which nothing is wrong."""
    for field in fields_of(type(entity)):
        name, bound = field.attname, form[field.attname]
        now, new = bound.field.to_python(bound.initial), form.cleaned_data.get(name)
        if isinstance(new, str):
            new = new.strip() or None  # a scan would miss what begins or ends with a space
        mine = name in form.cleaned_data and name in form.changed_data and new != now
        theirs = bound.field.has_changed(now, form.data.get(bound.html_initial_name))
        if mine or theirs:
            choice = form.data.get("keep") or form.data.get(f"keep-{name}", "")
            keep = choice if mine and theirs else "mine" if mine else "theirs"
            old_fact, new_fact = (fact(field, value) or NOTHING for value in (getattr(entity, name), new))
            both, doubt = mine and theirs, doubt_about(field, new)
            yield FieldChange(name, label_of(field), old_fact, new_fact, new, both, keep, doubt)
    if "picture" in form.fields:
        old = "there is one" if entity.has_picture else NOTHING
        picture = form.cleaned_data.get("picture") or form.data.get("kept_picture")
        if entity.has_picture if form.cleaned_data["no_picture"] else picture:
            new = None if form.cleaned_data["no_picture"] else picture
            yield FieldChange("picture", "Picture", old, "this one" if new else NOTHING, new, False, "mine")


def doubt_about(field: Any, value: Any) -> str:
    """What is odd about a value that may be all the same: it is asked about before it is saved."""
    if isinstance(value, datetime):
        return "" if 2000 <= value.year < 2100 else "not of this century"
    if value is None or field.get_internal_type() != "IntegerField":
        return ""
    if unit_of(field) == "°":
        return "" if 0 <= value <= 180 else "not between 0° and 180°"
    if value < 0:
        return "" if "tolerance" in field.attname else "less than 0"
    return "more than 20 m" if unit_of(field) == "mm" and value > LONGEST else ""


def edit(form: forms.Form, entity: Any, *, caller: Caller) -> tuple[Sequence[FieldChange], str, Sequence[str] | None]:
    """What a form that was sent would change, what it has to bring along (`shown`) so that it does, and the labels of
    the fields that have been changed. None: nothing was written, as it was not shown before, or as something is to be
    chosen, or is wrong; that is noted in the form. Raises Conflict if the row is not as `entity` has it any more."""
    is_fit, changes = form.is_valid(), list(changes_in(form, entity))
    values = [(change.name, change.value) for change in changes]
    shown = salted_hmac("edit", repr((entity.updated_at, values))).hexdigest()
    wanted = [change for change in changes if change.keep != "theirs"]
    if not wanted:
        return changes, shown, [] if is_fit else None
    is_sure = is_fit and form.data.get("shown") == shown and all(change.keep for change in wanted)
    model: type[Entity] = type(entity)
    # The row's identity, its parents and what a batch may not leave out, and over these what is changed.
    needed = [field.attname for field in model.settable_fields() if not field.null and not field.has_default()]
    item = {name: getattr(entity, name) for name in ("guid", *needed, *model.parent_columns())}
    item |= {change.name: change.value for change in wanted} | {IF_UPDATED_AT: entity.updated_at}
    origin = Origin(Operation.EDIT, caller.actor, run=uuid7())
    options = Options(strict=True, dry_run=not is_sure, receipt=is_sure)
    try:
        run = submit(model, [Line(0, orjson.dumps(item))], origin=origin, options=options)
    except Unprocessable as refusal:
        for fault in refusal.found:
            if fault.loc[-1] == IF_UPDATED_AT:
                raise Conflict from refusal
            found = found_by_guid((kind, guid) for guid, kind in fault.mentions.items())
            links = {guid: linked(guid, found) for guid in fault.mentions}
            name = str(fault.loc[-1]) if fault.loc[-1] in form.fields else None
            form.add_error(name, with_links(in_plain_words(fault.as_record()), links))
        return changes, shown, None
    labels = [] if run.counts["unchanged"] else [change.label for change in wanted]
    return changes, shown, labels if is_sure else None
