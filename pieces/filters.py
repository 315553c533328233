"""What an endpoint of an entity can be asked for: its parameters, checked all at once, and which rows they leave.

Named columns match exactly, an empty value finds the empty string. `search` finds a part of any of a few texts;
upper and lower case are the same to it (beyond ASCII only as far as the database's collation knows better).
"""

from functools import cache
from typing import Any, ClassVar

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q, QuerySet
from django.http import QueryDict

from pieces.expressions import SEPARATOR, JoinedTexts
from pieces.models import SHORT, Assembly, Component, Entity, Piece, Project
from pieces.reading import counted, fields_of, visible
from ractory.api.paging import CursorQuery, Fields, Key, Ordering, PageQuery
from ractory.api.query import MAX_VALUES, Flag, Guid, Listed, Moment, Query, Text
from tenants.scope import current_scope

ONE_OF_TEXTS = f"Only rows with one of these texts, up to {MAX_VALUES}; one that has commas is found if it comes alone."
DEEP = 10_000  # rows that are skipped in an index before it is worth a limit


class EntityQuery(Query):
    """What lists and single objects can both be asked for."""

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
    """The parameters of a list. Those that are named as a column find the rows with that value, or with one of several;
    an empty text is a value."""

    model: ClassVar[type[Entity]]
    searched: ClassVar[tuple[str, ...]] = ()  # the columns that `search` looks into

    detail = Flag(help_text="Full objects instead of short ones.")
    guid = Listed(Guid(), help_text=f"Only rows with one of these guids, up to {MAX_VALUES}.")
    updated_since = Moment(help_text="Only rows changed at or after this moment; UTC unless it says otherwise.")

    def __init__(self, data: QueryDict) -> None:
        super().__init__(data)
        self.fields["ordering"] = Ordering(sortable_fields(self.model))
        self.fields["fields"] = Fields(fields_of(self.model, full=True))

    @property
    def costly(self) -> str | None:
        """The parameter that may make the database look at every row there is, for one page; None if there is none."""
        page = self.page()
        order = ["company", *(key.name for key in page.keys)]
        indexes = [index.fields for index in self.model._meta.indexes if index.condition is None]
        one_way = len({key.descending for key in page.keys}) == 1
        has_index = len(page.keys) == 1 or (one_way and current_scope().company is not None and order in indexes)
        reasons = {
            "search": self.checked().get("search"),
            "offset": page.offset > DEEP,
            "count": page.count,
            "ordering": not has_index,
        }
        return next((name for name, is_so in reasons.items() if is_so), None)

    def rows(self) -> "QuerySet[Any]":
        """The rows that are asked for, of the tenant scope. Raises 422."""
        given = self.checked()
        wanted: dict[str, Any] = {"updated_at__gte": given["updated_since"]}
        for column in fields_of(self.model, full=True):
            if column in self.fields and column != "company_guid":  # which is the scope already
                value = given[column]
                if isinstance(value, list):  # an index has the rows with one value in the order of the list
                    column, value = (column, value[0]) if len(value) == 1 else (f"{column}__any_of", value)
                wanted[column] = value
        rows = visible(self.model, include_inactive=given["include_inactive"])
        return self._searched(rows.filter(**{lookup: value for lookup, value in wanted.items() if value is not None}))

    def _searched(self, rows: "QuerySet[Any]") -> "QuerySet[Any]":
        """Those with the text of `search` in one of the columns.

        No index can help on PostgreSQL: below row-level security only leakproof functions are looked up in one, and
        none that finds parts of texts is (test_indexes.py). So the list is walked in its order until the page is full;
        comparing all texts at once takes two thirds of the time of one after the other.
        """
        text = self.cleaned_data.get("search")
        if not text:
            return rows
        if SEPARATOR in text:  # it might begin in one column and end in the next
            return rows.filter(Q(*((f"{column}__icontains", text) for column in self.searched), _connector=Q.OR))
        found: QuerySet[Any] = rows.alias(searched=JoinedTexts(*self.searched)).filter(searched__icontains=text)
        return found


class Search(Text):
    def __init__(self) -> None:
        meaning = "Only rows with this text in one of their main fields, in upper or lower case."
        super().__init__(max_length=SHORT, help_text=meaning)


class ProjectQuery(ListQuery):
    model, searched = Project, ("code", "company_name")
    code, search = Text(), Search()


class ComponentQuery(ListQuery):
    model, searched = Component, ("code", "designation")
    project_guid, code, search = Guid(), Text(), Search()


class AssemblyQuery(ListQuery):
    model = Assembly
    project_guid, component_guid = Guid(), Guid()


class PieceQuery(ListQuery):
    model = Piece
    searched = (
        *("piece_id", "barcode", "profile_code", "profile_name", "component_code", "component_description"),
        *("component_number", "project_number", "client", "trolley", "trolley_cell"),
    )
    project_guid, component_guid, assembly_guid = Guid(), Guid(), Guid()
    piece_id, barcode = Listed(Text(), help_text=ONE_OF_TEXTS), Listed(Text(), help_text=ONE_OF_TEXTS)
    profile_code, trolley, trolley_cell = Text(), Text(), Text()
    search = Search()


@cache
def sortable_fields(model: type[Entity]) -> dict[str, "models.Field[object, object]"]:
    """What a list can be ordered by: all that clients see, but pictures and long texts."""
    return {
        field.attname: field
        for field in model.wire_fields()
        if not isinstance(field, models.BinaryField) and (field.max_length or 0) <= SHORT
    }
