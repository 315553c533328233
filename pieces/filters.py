"""What an endpoint of an entity can be asked for: its parameters, checked all at once, and which rows they leave.

Named columns match exactly, an empty value finds the empty string. `search` finds a part of any of a few texts;
upper and lower case are the same to it (beyond ASCII only as far as the database's collation knows better).
"""

from functools import cache

from django.db import models
from django.db.models import Q, QuerySet
from django.http import QueryDict

from pieces.expressions import SEPARATOR, JoinedTexts
from pieces.models import SHORT, Assembly, Component, Entity, Piece, Project
from pieces.reading import fields_of
from ractory.api.paging import Fields, Ordering, Page, PageQuery
from ractory.api.query import Flag, Guid, Moment, Query, Text
from tenants.scope import current_scope

DEEP = 10_000  # rows that are skipped in an index before it is worth a limit
# What the rows of a list can be found by: columns with an index, besides the parents, and texts to search in.
EXACT: dict[type[Entity], tuple[str, ...]] = {
    Project: ("code",),
    Component: ("code",),
    Assembly: (),
    Piece: ("piece_id", "barcode", "profile_code", "trolley", "trolley_cell"),
}
SEARCHED: dict[type[Entity], tuple[str, ...]] = {
    Project: ("code", "company_name"),
    Component: ("code", "designation"),
    Assembly: (),
    Piece: (
        *("piece_id", "barcode", "profile_code", "profile_name", "component_code", "component_description"),
        *("component_number", "project_number", "client", "trolley", "trolley_cell"),
    ),
}


class EntityQuery(Query):
    """The parameters of all endpoints of an entity. Deleting and restoring have no others."""

    include_inactive = Flag(help_text="Soft-deleted rows, too.")


class ReadQuery(EntityQuery):
    """The parameters of `GET /{guid}`."""

    def __init__(self, data: QueryDict, model: type[Entity]) -> None:
        super().__init__(data)
        self.fields["fields"] = Fields(fields_of(model, full=True))


class ListQuery(PageQuery, EntityQuery):
    """The parameters of a list."""

    detail = Flag(help_text="Full objects instead of short ones.")
    updated_since = Moment(help_text="Only rows changed at or after this moment; UTC unless it says otherwise.")

    def __init__(self, data: QueryDict, model: type[Entity]) -> None:
        super().__init__(data)
        self.model = model
        self.fields |= {name: Guid() for name in model.parent_columns()} | {name: Text() for name in EXACT[model]}
        if SEARCHED[model]:
            meaning = "Only rows with this text in one of their main fields, in upper or lower case."
            self.fields["search"] = Text(max_length=SHORT, help_text=meaning)
        self.fields["ordering"] = Ordering(sortable_fields(model))
        self.fields["fields"] = Fields(fields_of(model, full=True))

    def filtered(self, rows: "QuerySet[Entity]") -> "QuerySet[Entity]":
        """Those of the rows that are asked for. Raises 422."""
        given = self.checked()
        wanted = {name: given[name] for name in (*self.model.parent_columns(), *EXACT[self.model])}
        wanted["updated_at__gte"] = given["updated_since"]
        rows = rows.filter(**{lookup: value for lookup, value in wanted.items() if value is not None})
        text = given.get("search")
        if not text:
            return rows
        # No index can help on PostgreSQL: below row-level security a condition may be looked up in an index only if
        # its function is marked as leakproof, and no operator that looks for parts of texts is (test_indexes.py shows
        # it). So the list is walked in its order until the page is full; one comparison of all texts at once takes two
        # thirds of the time of one for each.
        columns = SEARCHED[self.model]
        if SEPARATOR in text:  # it might begin in one column and end in the next
            return rows.filter(Q(*((f"{column}__icontains", text) for column in columns), _connector=Q.OR))
        return rows.alias(searched=JoinedTexts(*columns)).filter(searched__icontains=text)

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
