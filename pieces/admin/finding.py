"""The search box, and the search and the filters of entity lists: each looks into an index."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from django.db.models import Q, QuerySet, Subquery, Value
from django.db.models.functions import Greatest
from django.http import HttpRequest
from unfold.contrib.filters.admin import DropdownFilter, TextFilter

from pieces.admin.page import with_parents
from pieces.models import LEVELS, SHORT, Component, Entity, Piece, Project
from ractory.api.query import guid_of
from tenants.models import Company
from tenants.scope import current_scope

MAX_HITS = 50  # per field
# In this order; guids come before all. Each of these has an index by company.
LOOKED_UP: Sequence[tuple[type[Entity], str]] = (
    *((Piece, name) for name in ("barcode", "piece_id", "trolley_cell", "trolley")),
    *((Component, "code"), (Project, "code"), (Project, "company_name")),
)
GTINS = (8, 12, 13, 14)  # digits: of EAN-8, UPC-A, EAN-13 and ITF-14; a shorter one is a longer one with zeros in front
# Behind a text, what sorts after all that may follow there: of the orders of bytes, of glibc and of ICU.
GREATEST = ("\U0010ffff", "\u9fa5", "\uffff")

Condition = Q | Callable[[], Q]  # a function, if it depends on the time


Hits = list[tuple[str, list[Any]]]  # what has a text as its "piece id", say; the active ones come first


def find(text: str) -> Hits:
    """What has this text as its guid or, if nothing has, as the whole value of one of the fields above; as typed, else
    in one of the other ways to write it."""
    hits: Hits = []
    with suppress(ValueError):
        guid = guid_of(text)
        hits = [("guid", list(level.all_objects.without_picture().filter(guid=guid))) for level in LEVELS]
    looked_up = LOOKED_UP if text and not any(entities for _, entities in hits) else ()
    for model, field in looked_up:
        texts = _written(text, is_code=field == "barcode")
        rows = indexed(with_parents(model).filter(**{f"{field}__any_of": texts})).order_by("-is_active", "guid")
        found = list(rows[:MAX_HITS])
        same = [entity for entity in found if getattr(entity, field) == text]
        hits.append((field.replace("_", " "), same or found))
    return [(label, entities) for label, entities in hits if entities]


def meant(hits: Hits) -> Entity | None:
    """The one that is meant, if there is no doubt: a single hit, or the only active one."""
    everything = {entity.guid: entity for _, entities in hits for entity in entities}
    active = [entity for entity in everything.values() if entity.is_active]
    sure = active if len(active) == 1 else list(everything.values())
    return sure[0] if len(sure) == 1 else None


def _written(text: str, *, is_code: bool) -> list[str]:
    """The ways in which the text may be stored: in capitals or small letters, with a space at an end that nobody sees,
    without the stars around it that some readers of Code 39 send and, of an article's number, with another length."""
    bare = text.strip("*") or text
    texts, digits = {text, bare}, bare.lstrip("0")
    if is_code and bare.isdecimal() and len(bare) in GTINS:
        texts |= {digits.zfill(length) for length in GTINS if len(digits) <= length}
    cases = {case for written in texts for case in (written, written.upper(), written.lower())}
    return [f"{before}{case}{after}" for case in cases for before in ("", " ") for after in ("", " ")]


def indexed(rows: "QuerySet[Any]") -> "QuerySet[Any]":
    """With the first column of the indexes by company, also where every company is in scope."""
    if current_scope().company is not None:
        return rows
    return rows.filter(company__any_of=list(Company.objects.values_list("guid", flat=True)))


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
    """The first of the fields that begins with the text in any row, as typed or else in capitals, small letters or
    both, and these rows in its order. It is a range of the company's index, in the order of the database's collation,
    which may take upper and lower case for the same. Over all companies no index has such a range: there it is the
    whole value."""
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
