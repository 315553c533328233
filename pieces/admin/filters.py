"""The filters of entity lists: each by equality on an index that ends with the order of the list."""

import uuid
from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.contrib.filters.admin import DropdownFilter, TextFilter

from pieces.admin.finding import indexed
from pieces.admin.linking import name_of
from pieces.models import LEVELS_BY_KIND, Entity


class DeletedFilter(DropdownFilter):  # type: ignore[misc]  # unfold carries no types
    """Deleted ones only would be a search without an index: that list is the trash."""

    title = "deleted ones"
    parameter_name = "deleted"
    all_option = None

    def lookups(self, request: HttpRequest, model_admin: Any) -> Sequence[tuple[str, str]]:
        return (("", "hidden"), ("shown", "shown"))

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any]":
        return queryset if self.value() == "shown" else queryset.filter(is_active=True)


def by_value(field: str, label: str) -> type[TextFilter]:
    """A filter by the exact value of a field that has an index per company."""

    class ValueFilter(TextFilter):  # type: ignore[misc]  # unfold carries no types
        title = label
        parameter_name = field

        def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any]":
            value = (self.value() or "").strip().replace("\0", "")
            return indexed(queryset.filter(**{field: value})) if value else queryset

    return ValueFilter


def by_parent(kind: str) -> type[admin.SimpleListFilter]:
    """The list below one parent, reached by a link from its page; shown only where it is in force."""

    class ParentFilter(admin.SimpleListFilter):
        title = kind
        parameter_name = f"{kind}_guid"

        def lookups(self, request: HttpRequest, model_admin: Any) -> Sequence[tuple[str, str]]:
            parent = parent_in(request, kind)
            return [(str(parent.guid), name_of(parent))] if parent else []

        def has_output(self) -> bool:
            """Also for a parent that is not there: or the list would show everything."""
            return self.value() is not None

        def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any]":
            if self.value() is None:
                return queryset
            try:
                return queryset.filter(**{self.parameter_name: uuid.UUID(self.value())})
            except ValueError as error:
                raise IncorrectLookupParameters from error

    return ParentFilter


def parent_in(request: HttpRequest, kind: str) -> Entity | None:
    """The parent that the list's address names, if there is one in the scope; asked once per request."""
    known: dict[str, Entity | None] = request.__dict__.setdefault("_list_parents", {})
    if kind not in known:
        known[kind] = _parent_in(request, kind)
    return known[kind]


def _parent_in(request: HttpRequest, kind: str) -> Entity | None:
    try:
        guid = uuid.UUID(request.GET.get(f"{kind}_guid", ""))
    except ValueError:
        return None
    pictures = () if kind == "project" else ("picture",)
    parent: Entity | None = LEVELS_BY_KIND[kind].all_objects.filter(guid=guid).defer(*pictures).first()
    return parent
