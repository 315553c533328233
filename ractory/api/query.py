"""Reading the query string: Django form fields that take a value as it was sent, and every fault of it at once.

Parameters that nobody knows are ignored. One that is known may be given once.
"""

import re
import uuid
from datetime import UTC, datetime
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.http import QueryDict

from ractory.api.errors import Fault, Unprocessable, shown

MAX_GUID = 64  # characters; with "urn:uuid:", braces and dashes it has 47
WHOLE = re.compile(r"[+-]?[0-9]{1,40}")
BOOLEANS = {"true": True, "1": True, "false": False, "0": False}
# Stricter than fromisoformat(), which takes any character between date and time, and digits without end. An offset
# whose plus sign nobody percent-encoded comes with a space: "…T10:00:00 02:00".
MOMENT = re.compile(
    r"(\d{4}-\d\d-\d\d(?:[Tt ]\d\d:\d\d(?::\d\d(?:[.,]\d{1,30})?)?)?)([Zz]|[+ -]\d\d(?::?\d\d)?)?", re.ASCII
)


class Flag(forms.Field):
    """`true`, `1`, `false` or `0`; False when absent."""

    def __init__(self) -> None:
        super().__init__(required=False)

    def to_python(self, value: str | None) -> bool:
        flag = False if value is None else BOOLEANS.get(value.lower())
        if flag is None:
            raise ValidationError("Input should be true or false", "bool_parsing")
        return flag


class Text(forms.CharField):
    """A text as it was sent, with its spaces: an absent one is None, an empty one is empty."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("required", False)
        super().__init__(strip=False, **options)

    def to_python(self, value: str | None) -> str | None:
        return value


class Whole(forms.Field):
    """A whole number within bounds; None when absent."""

    def __init__(self, least: int, most: int) -> None:
        super().__init__(required=False)
        self.least, self.most = least, most

    def to_python(self, value: str | None) -> int | None:
        if value is None:
            return None
        if not WHOLE.fullmatch(value):
            raise ValidationError("Input should be a whole number", "int_parsing")
        number = int(value)
        if not self.least <= number <= self.most:
            raise ValidationError(f"Input should be from {self.least} to {self.most}", "int_range")
        return number


class Guid(forms.Field):
    """A UUID; None when absent."""

    def to_python(self, value: str | None) -> uuid.UUID | None:
        try:
            return None if value is None else guid_of(value)
        except ValueError as error:
            raise ValidationError("Input should be a UUID", "uuid_parsing") from error


class Moment(forms.Field):
    """A date or a date and time in ISO 8601, in UTC unless it says otherwise; None when absent."""

    def to_python(self, value: str | None) -> datetime | None:
        try:
            return None if value is None else _moment_of(value)
        except (ValueError, OverflowError) as error:
            raise ValidationError("Input should be a date and time in ISO 8601", "datetime_parsing") from error


def guid_of(text: str) -> uuid.UUID:
    """The UUID that the text is, in any of its usual forms. Raises ValueError."""
    if len(text) > MAX_GUID:
        raise ValueError("too long for a UUID")
    return uuid.UUID(text)


def _moment_of(text: str) -> datetime:
    found = MOMENT.fullmatch(text)
    if found is None:
        raise ValueError("no date and time in ISO 8601")
    local, offset = found.groups("")
    return in_utc(datetime.fromisoformat(local + offset.upper().replace(" ", "+")))


def in_utc(value: datetime) -> datetime:
    """`value` in UTC, which a time without an offset already is. OverflowError out of the years 1 to 9999."""
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def given_twice(data: QueryDict, name: str) -> list[Fault]:
    """The fault of a parameter that is given more than once: nobody knows which of its values is meant."""
    values = data.getlist(name)
    if len(values) < 2:
        return []
    msg = f"Input should be given once, got {shown(values[0])}, then {shown(values[1])}"
    return [Fault(("query", name), msg, "given_twice")]


class Query(forms.Form):
    """The parameters of one endpoint."""

    data: QueryDict

    def faults(self) -> list[Fault]:
        """Everything that is wrong with the parameters."""
        twice = [fault for name in self.fields for fault in given_twice(self.data, name)]
        return twice + [
            Fault(
                ("query", name), f"{error.messages[0].rstrip('.')}, got {shown(self.data.get(name))}", str(error.code)
            )
            for name, errors in self.errors.as_data().items()
            for error in errors
            if not given_twice(self.data, name)
        ]

    def unknown(self) -> list[Fault]:
        """Parameters of other names: with a typing error an option would be passed over in silence."""
        names = self.data.keys() - self.fields.keys()
        return [Fault(("query", name), f"Unknown parameter {shown(name)}", "extra_forbidden") for name in sorted(names)]

    def checked(self) -> dict[str, Any]:
        """The values by name. Raises 422 with every fault (contract, "Conventions")."""
        if faults := self.faults():
            raise Unprocessable(faults)
        return self.cleaned_data
