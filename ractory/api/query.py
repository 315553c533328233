"""Reading the query string: a form per endpoint, whose fields take values as they were sent, each once at most. A
field's `schema`, the JSON Schema of its values, and its `help_text` describe it in the OpenAPI document."""

import re
import uuid
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.http import QueryDict
from rest_framework.exceptions import NotFound

from ractory.api.errors import Fault, Unprocessable, shown

MAX_VALUES = 200  # of a list: as many guids as an address of 8190 bytes has room for
MAX_GUID = 64  # characters; with "urn:uuid:", braces and dashes it has 47
WHOLE = re.compile(r"[+-]?[0-9]{1,40}")
BOOLEANS = {"true": True, "1": True, "false": False, "0": False}
# Stricter than fromisoformat(), which takes any character between date and time, and digits without end. The plus sign
# of an offset may have become a space, if nobody percent-encoded it.
MOMENT = re.compile(r"(?a)(\d{4}-\d\d-\d\d(?:[Tt ]\d\d:\d\d(?::\d\d(?:[.,]\d{1,30})?)?)?)([Zz]|[+ -]\d\d(?::?\d\d)?)?")
Json = dict[str, Any]
BOOLEAN: Json = {"anyOf": [{"type": "boolean"}, {"type": "string", "enum": ["1", "0"]}]}
GUID: Json = {"type": "string", "format": "uuid"}
# Years are 1 to 9999, in UTC too, so the first and the last day depend on the offset.
_IN_RANGE = "^(?!0000|0001-01-01|9999-12-31)"
DAY_OR_MOMENT: Json = {
    "anyOf": [
        {"type": "string", "format": "date-time", "pattern": _IN_RANGE, "maxLength": 50},
        {"type": "string", "format": "date", "pattern": _IN_RANGE},
    ]
}
NO_NUL = r"^[^\u0000]*$"
COMPANY = "Only rows of this company are shown, or may be sent. For a SystemAdmin; anyone else may name their own."
GIVEN_TWICE = "given_twice"


class Parameter(forms.Field):
    """One parameter; subclasses turn its text into a value by `to_python`. Absent, it is `absent`."""

    widget = forms.MultipleHiddenInput  # which hands over all values that were sent, not just the last one
    absent: Any = None
    schema: Json

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"required": False, **options})

    def clean(self, value: list[str]) -> Any:
        if len(value) > 1:  # nobody knows which one is meant
            first, second = map(shown, value[:2])
            raise ValidationError(f"Input should be given once, got {first}, then {second}", GIVEN_TWICE)
        return super().clean(value[0]) if value else self.absent


class Flag(Parameter):
    absent = False
    schema = BOOLEAN

    def to_python(self, value: Any) -> bool:
        if value.lower() not in BOOLEANS:
            raise ValidationError("Input should be true or false", "bool_parsing")
        return BOOLEANS[value.lower()]


class Text(Parameter, forms.CharField):
    """A text as it was sent, with its spaces: an absent one is None, an empty one is empty."""

    def __init__(self, **options: Any) -> None:
        super().__init__(strip=False, **options)
        self.schema = {"type": "string", "pattern": NO_NUL}
        if self.max_length is not None:
            self.schema["maxLength"] = self.max_length


class Choice(Parameter):
    def __init__(self, words: Collection[str], **options: Any) -> None:
        super().__init__(**options)
        self.words = words
        self.schema = {"type": "string", "enum": list(words)}

    def to_python(self, value: Any) -> str:
        if value not in self.words:
            raise ValidationError(f"Input should be one of {', '.join(self.words)}", "choice_unknown")
        return str(value)


class Whole(Parameter):
    def __init__(self, least: int, most: int, absent: int = 0, **options: Any) -> None:
        super().__init__(**options)
        self.least, self.most, self.absent = least, most, absent
        self.schema = {"type": "integer", "minimum": least, "maximum": most}

    def to_python(self, value: Any) -> int:
        if not WHOLE.fullmatch(value):
            raise ValidationError("Input should be a whole number", "int_parsing")
        number = int(value)
        if not self.least <= number <= self.most:
            raise ValidationError(f"Input should be from {self.least} to {self.most}", "int_range")
        return number


class Guid(Parameter):
    schema = GUID

    def to_python(self, value: Any) -> uuid.UUID:
        try:
            return guid_of(value)
        except ValueError as error:
            raise ValidationError("Input should be a UUID", "uuid_parsing") from error


class Listed(Parameter):
    """Up to `MAX_VALUES` values, separated by commas, each as a parameter like `each` takes it."""

    def __init__(self, each: Parameter, **options: Any) -> None:
        super().__init__(**options)
        self.each = each
        self.schema = {"type": "array", "items": each.schema, "minItems": 1, "maxItems": MAX_VALUES}

    def to_python(self, value: Any) -> list[Any]:
        texts = value.split(",")
        if len(texts) > MAX_VALUES:
            raise ValidationError(f"Input should have at most {MAX_VALUES} values, not {len(texts)}", "too_long")
        if len(texts) > 1 and isinstance(self.each, Text):  # or nothing would find a text that has commas
            texts.append(value)
        return [self._parsed(text) for text in texts]

    def _parsed(self, text: str) -> Any:
        try:
            return self.each.clean([text])
        except ValidationError as error:
            msg = f"{error.messages[0].rstrip('.')}, not {shown(text)}"
            raise ValidationError(msg, error.error_list[0].code) from error


class Moment(Parameter):
    """A date or a date and time in ISO 8601, in UTC unless it says otherwise."""

    schema = DAY_OR_MOMENT

    def to_python(self, value: Any) -> datetime:
        try:
            if (found := MOMENT.fullmatch(value)) is None:
                raise ValueError
            local, offset = found.groups("")
            return in_utc(datetime.fromisoformat(local + offset.upper().replace(" ", "+")))
        except (ValueError, OverflowError) as error:
            raise ValidationError("Input should be a date and time in ISO 8601", "datetime_parsing") from error


def guid_of(text: str) -> uuid.UUID:
    """The UUID that the text is, in any of its usual forms. Raises ValueError."""
    if len(text) > MAX_GUID:
        raise ValueError("too long for a UUID")
    return uuid.UUID(text)


def guid_in_path(text: str, said: str) -> uuid.UUID:
    """The UUID that a part of a path is. Raises 404, as for a `said` that there is not, for a text that is none."""
    try:
        return guid_of(text)
    except ValueError as error:
        raise NotFound(f"There is no {said} {shown(text)}.") from error


def in_utc(value: datetime) -> datetime:
    """`value` in UTC, which a time without an offset already is. OverflowError out of the years 1 to 9999."""
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Query(forms.Form):
    """The parameters of one endpoint; those of each endpoint on a tenant's data begin with the company."""

    company_guid = Guid(help_text=COMPANY)

    data: QueryDict
    fields: dict[str, Any]  # each a Parameter

    def faults(self) -> list[Fault]:
        """Everything that is wrong with the parameters; first, which of them are given twice."""
        found = []
        for name, errors in self.errors.as_data().items():
            for error in errors:
                got = "" if error.code == GIVEN_TWICE else f", got {shown(self.data.get(name))}"
                found.append(Fault(("query", name), f"{error.messages[0].rstrip('.')}{got}", str(error.code)))
        return sorted(found, key=lambda fault: fault.type != GIVEN_TWICE)

    def unknown(self) -> list[Fault]:
        """Parameters of other names: with a typing error an option would be passed over in silence."""
        names = self.data.keys() - self.fields.keys()
        return [Fault(("query", name), f"Unknown parameter {shown(name)}", "extra_forbidden") for name in sorted(names)]

    def checked(self) -> dict[str, Any]:
        """The values by name. Raises 422 with every fault (contract, "Conventions")."""
        if faults := self.faults():
            raise Unprocessable(faults)
        return self.cleaned_data
