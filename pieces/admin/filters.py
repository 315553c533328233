"""The search and the filters of entity lists: each by an index, by equality or from the beginning of a text."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from django.db.models import Q, QuerySet, Subquery, Value
from django.db.models.functions import Greatest
from django.http import HttpRequest
from unfold.contrib.filters.admin import DropdownFilter, TextFilter

from pieces.admin.finding import MAX_HITS, indexed
from pieces.models import SHORT, Project
from tenants.models import Company
from tenants.scope import current_scope

# Behind a text, what sorts after all that may follow there: of the orders of bytes, of glibc and of ICU.
GREATEST = ("\U0010ffff", "\u9fa5", "\uffff")

Condition = Q | Callable[[], Q]  # a function, if it depends on the time


def by_choice(parameter: str, label: str, choices: Mapping[str, tuple[str, Condition]]) -> type[DropdownFilter]:
    """A filter by one of a few conditions, each with its name; the one under "" holds until another is chosen."""

    def narrowed(self: Any, request: HttpRequest, rows: "QuerySet[Any]") -> "QuerySet[Any]":
        _, condition = choices.get(self.value() or "", choices[""])
        return rows.filter(condition() if callable(condition) else condition)

    names = [(value, name) for value, (name, _) in choices.items()]
    own = {"title": label, "parameter_name": parameter, "all_option": None, "queryset": narrowed}
    return type("ChoiceFilter", (DropdownFilter,), own | {"lookups": lambda *_: names})


def by_text(parameter: str, label: str, narrow: Callable[["QuerySet[Any]", str], "QuerySet[Any]"]) -> type[TextFilter]:
    def narrowed(self: Any, request: HttpRequest, rows: "QuerySet[Any]") -> "QuerySet[Any]":
        return narrow(rows, text) if (text := asked(self.value())) else rows

    return type("ByText", (TextFilter,), {"title": label, "parameter_name": parameter, "queryset": narrowed})


def by_value(field: str) -> type[TextFilter]:
    """A filter by the exact value of a field that has an index per company."""
    return by_text(field, field.replace("_", " "), lambda rows, value: indexed(rows.filter(**{field: value})))


def in_projects(rows: "QuerySet[Any]", text: str) -> "QuerySet[Any]":
    """Those in the projects whose code, or else whose customer, begins with the text; in the first 50 of these."""
    _, found = beginning(Project.all_objects.all(), ("code", "company_name"), text)
    projects = list(found.values_list("guid", flat=True)[:MAX_HITS])
    # Those of a single one an index has in the order of the list.
    return rows.filter(project=projects[0]) if len(projects) == 1 else rows.filter(project__any_of=projects)


def beginning(rows: "QuerySet[Any]", fields: Sequence[str], text: str) -> tuple[str | None, "QuerySet[Any]"]:
    """The rows of which a field begins with the text, as typed or else in capitals, small letters or both: by the first
    of the fields that any row has so, in its order. And which field that is.

    It is a range of the company's index, in the order of the database's collation. That may take upper and lower case
    for the same, or "ch" for a letter of its own. Over all companies, where no index has such a range, it is the whole
    value.
    """
    cases, is_one = dict.fromkeys((text, text.upper(), text.lower(), text.title())), current_scope().company is not None
    sets: list[tuple[str, QuerySet[Any]]] = []
    for field in fields if is_one else ():
        for case in cases:
            end = Greatest(*(Value(case + last) for last in GREATEST))
            sets.append((field, rows.filter(**{f"{field}__gte": case, f"{field}__lte": end}).order_by(field, "guid")))
    for field in () if is_one else fields:
        sets.append((field, indexed(rows.filter(**{f"{field}__any_of": list(cases)}))))
    # Not Exists, which forgets the order: PostgreSQL might look for the first row from the beginning of the table.
    firsts = [Subquery(found.values("guid")[:1]) for _, found in sets]
    there = Company.objects.order_by("guid").values_list(*firsts).first() or ()
    return next((found for found, first in zip(sets, there, strict=False) if first), (None, rows.none()))


def asked(value: str | None) -> str:
    """What stands in a field of a search, cut to what no value has."""
    return (value or "").strip().replace("\0", "")[: SHORT + 1]


BY_PROJECT = by_text("project", "project: code or customer", in_projects)
