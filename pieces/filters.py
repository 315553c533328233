"""What a list can be asked for: the parameters of each entity's list, checked all at once, and its filters.

Named fields match exactly, an empty value finds the empty string. `search` finds a part of any of a few texts;
upper and lower case are the same to it (beyond ASCII only as far as the database's collation knows better).
"""

from collections.abc import Mapping
from functools import cache, reduce
from operator import or_
from typing import Any, ClassVar

import django_filters
from django.db import models
from django.db.models import Q, QuerySet

from pieces.models import SHORT, Assembly, Component, Entity, Piece, Project
from pieces.reading import fields_of
from pieces.texts import SEPARATOR, JoinedTexts
from ractory.api.paging import Fields, Ordering, Page, PageQuery
from ractory.api.query import Flag, Guid, Moment, Query, Text
from tenants.scope import current_scope

DEEP = 10_000  # rows that are skipped in an index before it is worth a limit


class DetailQuery(Query):
    """The parameters of `GET /{guid}`, but for `fields`."""

    company_guid = Guid(required=False)  # acted on by tenants.views; here to tell all faults at once
    include_inactive = Flag()


@cache
def detail_query(model: type[Entity]) -> type[DetailQuery]:
    """The parameters of `GET /{guid}` of this model."""

    class ChosenQuery(DetailQuery):
        fields = Fields(fields_of(model, full=True))  # type: ignore[assignment]  # Django takes it out of the class

    return ChosenQuery


class ListQuery(PageQuery, DetailQuery):
    """The parameters of a list, without its filters."""

    detail = Flag()


class TextFilter(django_filters.Filter):  # type: ignore[misc]  # untyped
    """Exactly this text."""

    field_class = Text

    def filter(self, qs: "QuerySet[Any]", value: str | None) -> "QuerySet[Any]":
        return qs if value is None else qs.filter(**{self.field_name: value})


class SearchFilter(django_filters.Filter):  # type: ignore[misc]  # untyped
    """A part of one of these columns. It walks the list in its order until the page is full.

    No index can help on PostgreSQL: below row-level security a condition may be looked up in an index only if its
    function is marked as leakproof, and no operator that looks for parts of texts is (test_indexes.py shows it).
    """

    field_class = Text

    def __init__(self, *columns: str) -> None:
        super().__init__(label="search", max_length=SHORT)
        self.columns = columns

    def filter(self, qs: "QuerySet[Any]", value: str | None) -> "QuerySet[Any]":
        if not value:
            return qs
        # One comparison of all texts at once takes two thirds of the time of one for each.
        if SEPARATOR in value:  # it might begin in one column and end in the next
            return qs.filter(reduce(or_, (Q(**{f"{column}__icontains": value}) for column in self.columns)))
        found: QuerySet[Any] = qs.alias(searched=JoinedTexts(*self.columns)).filter(searched__icontains=value)
        return found


class MomentFilter(django_filters.Filter):  # type: ignore[misc]  # untyped
    field_class = Moment


class GuidFilter(django_filters.Filter):  # type: ignore[misc]  # untyped
    field_class = Guid


def _text(column: str) -> TextFilter:
    return TextFilter(column, label=column)


def _parent(column: str) -> GuidFilter:
    return GuidFilter(column, label=column)


class EntityFilter(django_filters.FilterSet):  # type: ignore[misc]  # untyped
    """The filters that every entity has; each subclass names its model and adds its own."""

    model: ClassVar[type[Entity]]

    updated_since = MomentFilter("updated_at", "gte", label="updated_since")

    class Meta:
        form = ListQuery

    def __init__(self, data: Mapping[str, Any]) -> None:
        # The rows come later: a bad query is told before anyone looks whose rows they are.
        super().__init__(data, queryset=self.model.across_companies.none())

    def get_form_class(self) -> type[ListQuery]:
        class OrderedQuery(super().get_form_class()):  # type: ignore[misc]  # untyped
            ordering = Ordering(sortable_fields(self.model))
            fields = Fields(fields_of(self.model, full=True))

        return OrderedQuery

    @property
    def given(self) -> dict[str, Any]:
        """The parameters by name. Raises 422 with every fault of the query."""
        query: ListQuery = self.form
        return query.checked()

    @property
    def page(self) -> Page:
        query: ListQuery = self.form
        return query.page()

    @property
    def costly(self) -> str | None:
        """The parameter that may make the database look at every row there is, for one page; None if there is none."""
        page = self.page
        reasons = {
            "search": self.given.get("search"),
            "offset": page.offset > DEEP,
            "count": page.count,
            "ordering": not has_index(self.model, page),
        }
        return next((name for name, is_so in reasons.items() if is_so), None)

    def filter_queryset(self, queryset: "QuerySet[Any]") -> "QuerySet[Any]":
        for name, wanted in self.filters.items():
            queryset = wanted.filter(queryset, self.given[name])
        return queryset


def has_index(model: type[Entity], page: Page) -> bool:
    """Whether an index has a whole list in the order of the page."""
    if len(page.keys) == 1:  # by guid
        return True
    if current_scope().company is None or len({key.descending for key in page.keys}) > 1:
        return False
    order = ["company", *(key.name for key in page.keys)]
    return any(index.fields == order and index.condition is None for index in model._meta.indexes)


def sortable_fields(model: type[Entity]) -> dict[str, "models.Field[Any, Any]"]:
    """What a list can be ordered by: all that clients see, but pictures and long texts."""
    return {
        field.attname: field
        for field in model.wire_fields()
        if not isinstance(field, models.BinaryField) and (field.max_length or 0) <= SHORT
    }


class ProjectFilter(EntityFilter):
    model = Project
    code = _text("code")
    search = SearchFilter("code", "company_name")


class ComponentFilter(EntityFilter):
    model = Component
    project_guid = _parent("project_guid")
    code = _text("code")
    search = SearchFilter("code", "designation")


class AssemblyFilter(EntityFilter):
    model = Assembly
    project_guid = _parent("project_guid")
    component_guid = _parent("component_guid")


class PieceFilter(EntityFilter):
    model = Piece
    project_guid = _parent("project_guid")
    component_guid = _parent("component_guid")
    assembly_guid = _parent("assembly_guid")
    piece_id = _text("piece_id")
    barcode = _text("barcode")
    profile_code = _text("profile_code")
    trolley = _text("trolley")
    trolley_cell = _text("trolley_cell")
    search = SearchFilter(
        *("piece_id", "barcode", "profile_code", "profile_name", "component_code", "component_description"),
        *("component_number", "project_number", "client", "trolley", "trolley_cell"),
    )
