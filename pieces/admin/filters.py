"""The filters of entity lists: each by equality on an index that ends with the order of the list."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from unfold.contrib.filters.admin import DropdownFilter, TextFilter

from pieces.admin.finding import indexed
from pieces.models import LEVELS_BY_KIND, Entity, Kind
from pieces.names import name_of

Condition = Q | Callable[[], Q]  # a function, if it depends on the time


def by_choice(parameter: str, label: str, choices: Mapping[str, tuple[str, Condition]]) -> type[DropdownFilter]:
    """A filter by one of a few conditions, each with its name; the one under "" holds until another is chosen."""

    class ChoiceFilter(DropdownFilter):  # type: ignore[misc]  # unfold carries no types
        title = label
        parameter_name = parameter
        all_option = None

        def lookups(self, request: HttpRequest, model_admin: Any) -> Sequence[tuple[str, str]]:
            return [(value, name) for value, (name, _) in choices.items()]

        def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any]":
            _, condition = choices.get(self.value() or "", choices[""])
            return queryset.filter(condition() if callable(condition) else condition)

    return ChoiceFilter


def by_value(field: str) -> type[TextFilter]:
    """A filter by the exact value of a field that has an index per company."""

    class ValueFilter(TextFilter):  # type: ignore[misc]  # unfold carries no types
        title = field.replace("_", " ")
        parameter_name = field

        def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any]":
            value = (self.value() or "").strip().replace("\0", "")
            return indexed(queryset.filter(**{field: value})) if value else queryset

    return ValueFilter


def by_parent(kind: Kind) -> type[admin.SimpleListFilter]:
    """The list below one parent, reached by a link from its page; shown only where it is in force."""

    class ParentFilter(admin.SimpleListFilter):
        title = kind.value
        parameter_name = kind.column
        parent: Entity | None = None  # if there is one in the scope; the list's template links to it

        def lookups(self, request: HttpRequest, model_admin: Any) -> Sequence[tuple[str, str]]:
            if self.value() is not None:
                try:
                    rows = LEVELS_BY_KIND[kind].all_objects.filter(guid=UUID(self.value()))
                except ValueError as error:
                    raise IncorrectLookupParameters from error
                self.parent = rows.without_picture().first()
            return [(str(self.parent.guid), name_of(self.parent))] if self.parent else []

        def has_output(self) -> bool:  # if not, Django leaves the filter out
            """Also for a parent that is not there: or the list would show everything."""
            return self.value() is not None

        def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any]":
            return queryset.filter(**{kind.value: self.parent}) if self.parent else queryset.none()

    return ParentFilter
