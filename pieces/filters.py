"""What an endpoint of an entity can be asked for, and which rows that leaves. Named columns match exactly, an empty
value finds the empty string; upper and lower case are the same to `search` (beyond ASCII as far as the database's
collation knows)."""

from functools import cache, cached_property
from typing import Any, ClassVar

import django_filters
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q, QuerySet
from django.http import QueryDict

from pieces.models import SHORT, Assembly, Component, Entity, Piece, Project
from pieces.reading import counted, fields_of
from ractory.api.paging import CursorQuery, Fields, Key, Ordering, Page, PageQuery
from ractory.api.query import MAX_VALUES, Flag, Guid, Listed, Moment, Parameter, Query, Text
from tenants.scope import current_scope

ONE_OF_TEXTS = f"Only rows with one of these texts, up to {MAX_VALUES}; one that has commas is found if it comes alone."
DEEP = 10_000  # rows that are skipped in an index before it is worth a limit


class EntityQuery(Query):
    """The parameters of all endpoints of an entity. Deleting and restoring have no others."""

    include_inactive = Flag(help_text="Soft-deleted rows, too.")


class ReadQuery(EntityQuery):
    """The parameters of `GET /{guid}`."""

    at = Moment(help_text="The object as it was at this moment, without the counts; UTC unless it says otherwise.")

    def __init__(self, data: QueryDict, model: type[Entity]) -> None:
        super().__init__(data)
        self.model = model
        self.fields["fields"] = Fields(fields_of(model, full=True))

    def clean(self) -> dict[str, Any]:
        given = self.cleaned_data
        if given.get("at") and (unknown := counted(self.model).keys() & given.get("fields", ())):
            self.add_error("fields", ValidationError(f"Nobody knows the past {sorted(unknown)[0]}", "field_unknown"))
        return given


class HistoryQuery(CursorQuery):
    """The parameters of `GET /{guid}/history`; a cursor is the id of a state."""

    order = (Key("id", models.BigAutoField(), descending=True),)


class ListQuery(PageQuery, EntityQuery):
    """The parameters of a list; those that choose rows come from its filter set."""

    detail = Flag(help_text="Full objects instead of short ones.")

    def __init__(self, data: QueryDict, model: type[Entity]) -> None:
        super().__init__(data)
        self.model = model
        self.fields["ordering"] = Ordering(sortable_fields(model))
        self.fields["fields"] = Fields(fields_of(model, full=True))

    @property
    def costly(self) -> str | None:
        """The parameter that may make the database look at every row there is, for one page; None if there is none."""
        page = self.page()
        reasons = {
            "search": self.checked().get("search"),
            "offset": page.offset > DEEP,
            "count": page.count,
            "ordering": not has_index(self.model, page),
        }
        return next((name for name, is_so in reasons.items() if is_so), None)


class ValueFilter(django_filters.Filter):  # type: ignore[misc]  # untyped
    """Rows with this value, or one of several. An empty text is a value, unlike to django-filter's own filters."""

    label = None  # no page shows one

    def __init__(self, kind: type[Parameter] = Text, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.field_class = kind

    def filter(self, qs: "QuerySet[Any]", value: Any) -> "QuerySet[Any]":
        lookup = self.lookup_expr
        if isinstance(value, list):  # an index has the rows with one value in the order of the list
            lookup, value = (lookup, value[0]) if len(value) == 1 else ("any_of", value)
        return qs if value is None else qs.filter(**{f"{self.field_name}__{lookup}": value})


class SearchFilter(ValueFilter):
    """Rows with this text in one of the columns. No index can help on PostgreSQL: below row-level security only
    leakproof functions are looked up in one (test_indexes.py). The list is walked in its order until it is a page."""

    def __init__(self, *columns: str) -> None:
        meaning = "Only rows with this text in one of their main fields, in upper or lower case."
        super().__init__(max_length=SHORT, help_text=meaning)
        self.columns = columns

    def filter(self, qs: "QuerySet[Any]", value: str | None) -> "QuerySet[Any]":
        found = Q(*((f"{column}__icontains", value) for column in self.columns), _connector=Q.OR)
        return qs.filter(found) if value else qs


class EntityFilterSet(django_filters.FilterSet):  # type: ignore[misc]  # untyped
    """Which rows a list shows. Its form has the list's other parameters too, so that a 422 names every fault."""

    guid = ValueFilter(Listed, each=Guid(), help_text=f"Only rows with one of these guids, up to {MAX_VALUES}.")
    updated_since = ValueFilter(
        Moment,
        "updated_at",
        "gte",
        help_text="Only rows changed at or after this moment; UTC unless it says otherwise.",
    )

    model: ClassVar[type[Entity]]

    class Meta:
        form = ListQuery

    def __init__(self, data: QueryDict) -> None:
        """The query is checked before it is known whose rows there are: `filter_queryset` gets these."""
        super().__init__(data, queryset=self.model.across_companies.none())

    @cached_property
    def form(self) -> ListQuery:
        form: ListQuery = self.get_form_class()(self.data, self.model)
        return form

    def filter_queryset(self, queryset: "QuerySet[Any]") -> "QuerySet[Any]":
        """Those of the rows that are asked for. Raises 422."""
        given = self.form.checked()
        for name, each in self.filters.items():
            queryset = each.filter(queryset, given[name])
        return queryset


class ProjectFilterSet(EntityFilterSet):
    model = Project
    code = ValueFilter()
    search = SearchFilter("code", "company_name")


class ComponentFilterSet(EntityFilterSet):
    model = Component
    project_guid = ValueFilter(Guid)
    code = ValueFilter()
    search = SearchFilter("code", "designation")


class AssemblyFilterSet(EntityFilterSet):
    model = Assembly
    project_guid, component_guid = ValueFilter(Guid), ValueFilter(Guid)


class PieceFilterSet(EntityFilterSet):
    model = Piece
    project_guid, component_guid, assembly_guid = (ValueFilter(Guid) for _ in range(3))
    piece_id, barcode = (ValueFilter(Listed, each=Text(), help_text=ONE_OF_TEXTS) for _ in range(2))
    profile_code, trolley, trolley_cell = (ValueFilter() for _ in range(3))
    search = SearchFilter(
        *("piece_id", "barcode", "profile_code", "profile_name", "component_code", "component_description"),
        *("component_number", "project_number", "client", "trolley", "trolley_cell"),
    )


def has_index(model: type[Entity], page: Page) -> bool:
    """Whether an index has a whole list in the order of the page."""
    if len(page.keys) == 1:  # by guid
        return True
    if current_scope().company is None or len({key.descending for key in page.keys}) > 1:
        return False
    order = ["company", *(key.name for key in page.keys)]
    return any(index.fields == order and index.condition is None for index in model._meta.indexes)


@cache
def sortable_fields(model: type[Entity]) -> dict[str, "models.Field[object, object]"]:
    """What a list can be ordered by: all that clients see, but pictures and long texts."""
    return {
        field.attname: field
        for field in model.wire_fields()
        if not isinstance(field, models.BinaryField) and (field.max_length or 0) <= SHORT
    }
