"""The fields of each level in the groups in which people think of them."""

from dataclasses import dataclass
from functools import cache

from django.db.models import Field

from pieces.models import Assembly, Component, Entity, Piece, Project

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


@dataclass(frozen=True, slots=True)
class Group:
    title: str
    fields: "tuple[Field[object, object], ...]"


@cache
def groups_of(model: type[Entity]) -> tuple[Group, ...]:
    """The fields that people read and change; one that nobody has put in a group yet comes last, under "Other"."""
    fields = {field.attname: field for field in content_fields(model)}
    groups = [Group(title, tuple(fields.pop(name) for name in names.split())) for title, names in GROUPS[model].items()]
    return (*groups, Group("Other", tuple(fields.values()))) if fields else tuple(groups)


def content_fields(model: type[Entity]) -> "list[Field[object, object]]":
    """What a row says, apart from whose it is, where it hangs and its picture."""
    apart = {"guid", "company_guid", "is_active", "picture", *model.parent_columns()}
    return [field for field in model.settable_fields() if field.attname not in apart]
