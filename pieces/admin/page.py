"""The page of one entity: what it is, where it hangs, what is in it. What happened to it: pieces.admin.history."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from django.db.models import Field, Q
from django.urls import reverse
from django.utils.text import capfirst

from pieces.models import Assembly, Component, Entity, Kind, Pictured, Piece, Project
from pieces.names import name_of
from pieces.querysets import EntityQuerySet
from pieces.reading import add_counts, counted
from pieces.templatetags.entities import page_of
from tenants.templatetags.staff import NOTHING, moment

MAX_CHILDREN = 100
# How one begins, by the second half of its media type.
RASTER_IMAGE = re.compile(
    rb"(?P<png>\x89PNG\r\n\x1a\n)|(?P<jpeg>\xff\xd8\xff)|(?P<gif>GIF8)|(?P<bmp>BM)|(?P<webp>RIFF.{4}WEBP)", re.DOTALL
)
MEASURES = {"length", "width", "height", "tolerance", "rest"}
# What tables show of an entity.
COLUMNS: dict[type[Entity], tuple[str, ...]] = {
    Project: ("code", "company_name", "due_date", "in_production"),
    Component: ("code", "designation", "quantity"),
    Assembly: ("trolley_cell", "trolley", "cell_number"),
    Piece: ("piece_id", "barcode", "profile_code", "outer_length", "trolley_cell"),
}
# The fields of each level in the groups in which people think of them.
GROUPS: dict[type[Entity], dict[str, str]] = {
    Project: {"Order": "code company_name due_date in_production"},
    Component: {"Unit": "code designation quantity"},
    Assembly: {"Trolley": "trolley trolley_cell cell_number"},
    Piece: {
        "Identity": "piece_id barcode component_code component_number component_description project_number "
        "project_code_parent project_phase project_description",
        "Dimensions": "outer_length inner_length angle_left angle_right orientation assembly_width assembly_height "
        "other_length welding_tolerance",
        "Profile": "profile_code profile_name profile_color profile_code_with_color profile_type profile_type_ra "
        "profile_width profile_height lamination gasket material_type",
        "Bar": "bar_id bar_length bar_rest bar_cutting_tolerance cutting_pattern segment_order",
        "Trolley": "trolley trolley_size trolley_cell cell parent_assembly_trolley_cell mullion_trolley_cell "
        "glazing_bead_trolley_cell",
        "Work and fittings": "operations reinforcement_code reinforcement_length fixing_mode water_handle "
        "hardware_info glass_info",
        "Info": "client dealer info2 info3",
    },
}


def with_parents(model: type[Entity]) -> Any:
    """Whole rows with their parents, but without pictures: `has_picture` says whether there is one."""
    rows = model.all_objects.select_related("company", "deletion", *model.parents)
    if not issubclass(model, Pictured):
        return rows
    unseen = ["picture", *(f"{name}__picture" for name in model.parents if name != Kind.PROJECT)]
    return rows.defer(*unseen).annotate(has_picture=Q(picture__isnull=False))


def about(entity: Entity) -> dict[str, Any]:
    """For the page's template: active descendants, counted by kind; facts by group, and the labels of what has none."""
    below = counted(type(entity)).values()
    counts = {level.kind.value: level.objects.in_any_of(entity.kind, [entity.guid]).count() for level in below}
    facts = []
    for title, fields in groups_of(type(entity)).items():
        values = [(label_of(field), fact(field, getattr(entity, field.attname))) for field in fields]
        unset = [label for label, value in values if value is None]
        facts.append({"title": title, "rows": [pair for pair in values if pair[1] is not None], "unset": unset})
    parts = {"crumbs": crumbs_of(entity), "facts": facts, "children": children_of(entity)}
    return {"entity": entity, "counts": counts, **parts}


def crumbs_of(entity: Entity) -> list[tuple[str, str]]:
    """The way down to the entity: names and addresses."""
    above = [parent for name in entity.parents if (parent := getattr(entity, name))]
    top = [("Projects", reverse("admin:pieces_project_changelist"))]
    return top + [(name_of(parent), page_of(parent.kind, parent.guid)) for parent in above] + [(name_of(entity), "")]


@cache
def groups_of(model: type[Entity]) -> "Mapping[str, Sequence[Field[Any, Any]]]":
    """The fields that people read and change, by the title of their group."""
    fields = {field.attname: field for field in model.settable_fields()}
    return {title: [fields[name] for name in names.split()] for title, names in GROUPS[model].items()}


def label_of(field: Any) -> str:
    return capfirst(str(field.verbose_name))


def unit_of(field: Any) -> str:
    parts = set(field.attname.split("_")) if field.get_internal_type() == "IntegerField" else set()
    return "°" if "angle" in parts else "mm" if parts & MEASURES else ""


def fact(field: Any, value: Any) -> str | None:
    """None for nothing; an empty text, which is not the same, as such. With units (contract, "Words")."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return moment(value)
    if isinstance(value, int):
        unit = unit_of(field)
        return f"{value}{'' if unit == '°' else ' '}{unit}".strip()
    return "(empty)" if value == "" else value


def children_of(entity: Entity) -> list[dict[str, Any]]:
    """What is directly in it; the pieces of a component that are in no assembly too. Of a deleted one, deleted ones."""
    tables = []
    for level in type(entity).below():
        rows = (level.objects if entity.is_active else level.all_objects).in_any_of(entity.kind, [entity.guid])
        if level.parents[-1] == entity.kind:
            tables.append(_table(capfirst(level.plural), entity, rows))
        elif isinstance(entity, Component):
            tables.append(_table("Pieces in no assembly", entity, rows.filter(assembly=None)))
    return tables


def _table(title: str, entity: Entity, rows: EntityQuerySet) -> dict[str, Any]:
    """The first of the rows; each cell is (label, value), and the first one is the link."""
    level: type[Entity] = rows.model
    names = COLUMNS[level]
    found = list(rows.order_by(names[0], "guid").values("guid", "is_active", *names)[: MAX_CHILDREN + 1])
    is_cut = len(found) > MAX_CHILDREN
    del found[MAX_CHILDREN:]
    add_counts(level, found)
    columns = {name: label_of(level._meta.get_field(name)) for name in names}
    columns |= {name: capfirst(below.plural) for name, below in counted(level).items()}
    for row in found:
        row[names[0]] = row[names[0]] or f"{str(row['guid'])[:8]}…"
        row["url"] = page_of(level.kind, row["guid"])
        row["cells"] = [(label, NOTHING if row[name] in (None, "") else row[name]) for name, label in columns.items()]
    list_url = reverse(f"admin:pieces_{level.kind}_changelist", query={entity.kind.column: entity.guid})
    return {"title": title, "labels": columns.values(), "rows": found, "list_url": list_url, "is_cut": is_cut}
