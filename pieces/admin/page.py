"""The page of one entity: what it is, where it hangs, what is in it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import BooleanField, Case, Value, When
from django.utils.safestring import SafeString
from django.utils.text import capfirst

from pieces.admin.grouping import groups_of
from pieces.admin.linking import list_of, name_of, page_of
from pieces.models import LEVELS, Assembly, Component, Entity, Pictured, Piece
from pieces.reading import add_counts
from tenants.templatetags.staff import NOTHING, moment

MAX_CHILDREN = 100
MEASURES = {"length", "width", "height", "tolerance", "rest"}
COLUMNS: dict[type[Entity], tuple[str, ...]] = {
    Component: ("code", "designation", "quantity"),
    Assembly: ("trolley_cell", "trolley", "cell_number"),
    Piece: ("piece_id", "barcode", "profile_code", "outer_length", "trolley_cell"),
}


@dataclass(frozen=True, slots=True)
class Facts:
    """A group's fields that have a value, and the names of those that have none."""

    title: str
    rows: Sequence[tuple[str, Any]]
    unset: Sequence[str]


@dataclass(frozen=True, slots=True)
class Child:
    url: str
    cells: Sequence[tuple[str, Any]]  # label, value; the first is the link
    is_active: bool


@dataclass(frozen=True, slots=True)
class Children:
    title: str
    labels: Sequence[str]
    rows: Sequence[Child]
    list_url: str
    is_cut: bool


def with_parents(model: type[Entity]) -> Any:
    """Whole rows with their parents, but without pictures: `has_picture` says whether there is one."""
    rows = model.all_objects.select_related("company", "deletion", *model.parents)
    if not issubclass(model, Pictured):
        return rows
    has = Case(When(picture__isnull=False, then=Value(True)), default=Value(False), output_field=BooleanField())
    unseen = ["picture", *(f"{name}__picture" for name in model.parents if name != "project")]
    return rows.defer(*unseen).annotate(has_picture=has)


def crumbs_of(entity: Entity) -> list[tuple[str, str]]:
    """The way down to the entity: names and addresses."""
    above = [parent for name in entity.parents if (parent := getattr(entity, name))]
    top = [("Projects", list_of(LEVELS[0]))]
    return top + [(name_of(parent), page_of(parent.kind, parent.guid)) for parent in above] + [(name_of(entity), "")]


def facts_of(entity: Entity) -> list[Facts]:
    facts = []
    for group in groups_of(type(entity)):
        values = [
            (label_of(field), shown_value(getattr(entity, field.attname), unit_of(field))) for field in group.fields
        ]
        unset = [label for label, value in values if value is None]
        facts.append(Facts(group.title, [pair for pair in values if pair[1] is not None], unset))
    return facts


def label_of(field: Any) -> str:
    return capfirst(str(field.verbose_name))


def unit_of(field: Any) -> str:
    """Lengths are whole millimetres, angles whole degrees (contract, "Words")."""
    if field.get_internal_type() != "IntegerField":
        return ""
    parts = set(field.attname.split("_"))
    return "°" if "angle" in parts else " mm" if parts & MEASURES else ""


def shown_value(value: Any, unit: str = "") -> SafeString | str | None:
    """None for nothing; an empty text, which is not the same, as such."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if hasattr(value, "isoformat"):
        return moment(value)
    return "(empty)" if value == "" else value if value is None else f"{value}{unit}"


def counts_of(entity: Entity) -> dict[str, int]:
    """The numbers of its active descendants by kind: "component", "piece"."""
    shown: dict[str, Any] = {"guid": entity.guid}
    add_counts(type(entity), [shown])
    return {name.removesuffix("_count"): n for name, n in shown.items() if name != "guid"}


def children_of(entity: Entity) -> list[Children]:
    """What is directly in it; the pieces of a component that are in no assembly too. Of a deleted one, deleted ones."""
    below = [level for level in type(entity).below() if level.parents[-1] == entity.kind]
    if isinstance(entity, Component):
        below.append(Piece)
    return [_children(entity, level) for level in below]


def _children(entity: Entity, level: type[Entity]) -> Children:
    link = f"{entity.kind.value}_guid"
    rows = (level.objects if entity.is_active else level.all_objects).filter(**{link: entity.guid})
    title = capfirst(level.plural)
    if isinstance(entity, Component) and level is Piece:
        rows, title = rows.filter(assembly=None), "Pieces in no assembly"
    names = COLUMNS[level]
    found = list(rows.order_by(names[0], "guid").values("guid", "is_active", *names)[: MAX_CHILDREN + 1])
    page = found[:MAX_CHILDREN]
    add_counts(level, page)
    labels = [label_of(level._meta.get_field(name)) for name in names]
    counted = {f"{below.kind.value}_count": capfirst(below.plural) for below in level.below()}
    counted = {name: label for name, label in counted.items() if page and name in page[0]}
    labels += counted.values()
    children = [_child(level, row, list(zip(labels, (*names, *counted), strict=True))) for row in page]
    return Children(title, labels, children, list_of(level, **{link: entity.guid}), len(found) > MAX_CHILDREN)


def _child(level: type[Entity], row: dict[str, Any], columns: Sequence[tuple[str, str]]) -> Child:
    cells = [(label, NOTHING if row[name] in (None, "") else row[name]) for label, name in columns]
    if cells[0][1] == NOTHING:
        cells[0] = (cells[0][0], f"{str(row['guid'])[:8]}…")
    return Child(page_of(level.kind, row["guid"]), cells, row["is_active"])
