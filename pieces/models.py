"""The hierarchy `Project -> Component -> Assembly -> Piece`, every field declared once, and its history. The sync
schema, the wire shapes and the OpenAPI document are derived from these classes. A field's name on the wire is its
`attname`. Lengths are whole millimetres, angles whole degrees (contract, "Fields")."""

import uuid
from functools import cache
from typing import Any, ClassVar

from django.db import models
from django.db.models import Q
from django.utils import timezone
from uuid_utils.compat import uuid7

from pieces.acts import Act as Act
from pieces.acts import Deletion as Deletion
from pieces.acts import Kind as Kind
from pieces.acts import Operation as Operation
from pieces.querysets import ActiveManager, AllManager
from tenants.models import Company, GuidForeignKey, TenantRow

SHORT, LONG = 255, 4000  # characters
MAX_PICTURE = 256 * 1024  # bytes, decoded
DIGEST_SIZE = 16  # bytes
NO_ACT = uuid.UUID(int=0)  # in place of an act, of a write by hand that names none

READ_ONLY = frozenset({"created_at", "updated_at", "deleted_at"})
INTERNAL = frozenset({"deletion_guid", "created_in", "changed_in", "digest", "picture_digest", "sent_digest"})


def text(limit: int = SHORT) -> Any:
    """An optional string; null (unknown) and "" (known to be empty) are kept apart."""
    return models.CharField(max_length=limit, null=True, blank=True)


def number(default: int | None = None) -> Any:
    """An optional 32-bit integer."""
    return models.IntegerField(null=True, blank=True, default=default)


def stored_digest() -> Any:
    return models.BinaryField(null=True, max_length=DIGEST_SIZE, editable=False)


def parent(model: str, children: str = "%(class)ss", **options: Any) -> Any:
    """A foreign key upwards; its index is in `Meta.indexes`, together with the guid, the order of lists."""
    return GuidForeignKey(model, on_delete=models.PROTECT, related_name=children, db_index=False, **options)


def list_index(*columns: str, sparse: bool = False) -> models.Index:
    """For lists filtered by equality on `columns`, in the order of their guids; `sparse`: the last column is often
    null, and those rows cost no index entry."""
    condition = Q(**{f"{columns[-1]}__isnull": False}) if sparse else None
    return models.Index(fields=[*columns, "guid"], name=f"%(class)s_by_{columns[-1]}", condition=condition)


class Entity(models.Model):
    """What the four levels have in common."""

    kind: ClassVar[Kind]
    plural: ClassVar[str]
    parents: ClassVar[tuple[Kind, ...]] = ()  # the levels above, from the top; each a foreign key
    known_by: ClassVar[str] = "code"  # the field whose value is an entity's name to people

    guid = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    company = GuidForeignKey(Company, on_delete=models.PROTECT, related_name="+", db_index=False)
    is_active = models.BooleanField(default=True)
    deleted_at = models.DateTimeField(null=True, blank=True, editable=False)
    deletion = GuidForeignKey(
        Deletion, null=True, blank=True, on_delete=models.PROTECT, related_name="+", db_index=False
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(default=timezone.now, editable=False)
    # The acts that made the row and that wrote it last. No foreign keys: they would cost a look per row and write.
    created_in = models.UUIDField(null=True, editable=False)
    changed_in = models.UUIDField(null=True, editable=False)
    # Of the content: all that a client sets except the guids and is_active (pieces.content).
    digest = stored_digest()
    sent_digest = stored_digest()  # of the bytes of the item that wrote the row last (sync.recognising)

    objects: ClassVar[Any] = ActiveManager()
    all_objects: ClassVar[Any] = AllManager()
    # Sees all tenants: only to find out whether a guid is taken, and for checks of the whole database.
    across_companies: ClassVar[Any] = models.Manager()

    class Meta:
        abstract = True
        default_manager_name = "all_objects"
        constraints: ClassVar[Any] = (
            # What composite keys refer to, and the order of a company's lists.
            models.UniqueConstraint(fields=["company", "guid"], name="%(class)s_company_guid"),
            models.CheckConstraint(
                name="%(class)s_active_or_deleted", condition=Q(is_active=Q(deleted_at__isnull=True))
            ),
            models.CheckConstraint(
                name="%(class)s_active_or_in_deletion", condition=Q(is_active=Q(deletion__isnull=True))
            ),
        )
        # Every index costs each sync time: these are the ones that lists need, on a million rows. The unique
        # constraint above serves the list without a filter.
        indexes: ClassVar[Any] = (
            list_index("company", "updated_at"),
            # For purging; active rows, which name no deletion, cost it nothing.
            models.Index(fields=["deletion"], condition=Q(deletion__isnull=False), name="%(class)s_by_deletion"),
            # What an act wrote, in the order of the feed, which goes on in the middle of an act that wrote a million
            # rows. Acts' guids grow, so that new entries go to the end of the index.
            models.Index(fields=["changed_in", "guid"], name="%(class)s_in_act"),
        )

    def __str__(self) -> str:
        return str(getattr(self, self.known_by) or self.guid)

    @classmethod
    def wire_fields(cls) -> list["models.Field[Any, Any]"]:
        """The fields that clients see, in the order of their declaration."""
        return [field for field in cls._meta.concrete_fields if field.attname not in INTERNAL]

    @classmethod
    def settable_fields(cls) -> list["models.Field[Any, Any]"]:
        """The fields that a sync may set."""
        return [field for field in cls.wire_fields() if field.attname not in READ_ONLY]

    @classmethod
    @cache
    def parent_columns(cls) -> tuple[str, ...]:
        """The columns of the foreign keys upwards, from the top."""
        return tuple(kind.column for kind in cls.parents)

    @classmethod
    def below(cls) -> list[type["Entity"]]:
        """The models of the levels below, from the top."""
        return [model for model in LEVELS if cls.kind in model.parents]


class Project(Entity):
    """An order of an end customer."""

    kind = Kind.PROJECT
    plural = "projects"

    code = models.CharField(max_length=SHORT)
    due_date = models.DateTimeField(null=True, blank=True)
    in_production = models.BooleanField(null=True, blank=True, default=False)
    company_name = text()

    class Meta(Entity.Meta):
        # By the customer staff find the projects, and through these the pieces: that costs no sync of pieces an entry.
        indexes: ClassVar[Any] = (
            *Entity.Meta.indexes,
            list_index("company", "code"),
            list_index("company", "company_name", sparse=True),
        )


class Pictured(Entity):
    """Entities with a picture: bytes here, base64 on the wire."""

    picture = models.BinaryField(null=True, blank=True, max_length=MAX_PICTURE, editable=True)
    picture_digest = stored_digest()  # so that comparing two pictures needs neither of them

    class Meta(Entity.Meta):
        abstract = True


class Component(Pictured):
    """A window or door unit."""

    kind = Kind.COMPONENT
    plural = "components"
    parents = (Kind.PROJECT,)

    project = parent("pieces.Project")
    code = models.CharField(max_length=SHORT)
    designation = text()
    quantity = number(default=1)

    class Meta(Pictured.Meta):
        indexes: ClassVar[Any] = (*Pictured.Meta.indexes, list_index("project"), list_index("company", "code"))


class Assembly(Pictured):
    """A frame or sash."""

    kind = Kind.ASSEMBLY
    plural = "assemblies"
    known_by = "trolley_cell"
    parents = (Kind.PROJECT, Kind.COMPONENT)

    project = parent("pieces.Project", "assemblies")
    component = parent("pieces.Component", "assemblies")
    trolley_cell = text()
    trolley = text()
    cell_number = number()

    class Meta(Pictured.Meta):
        verbose_name_plural = "assemblies"
        indexes: ClassVar[Any] = (*Pictured.Meta.indexes, list_index("project"), list_index("component"))


class Piece(Pictured):
    """A cut profile."""

    kind = Kind.PIECE
    plural = "pieces"
    known_by = "piece_id"
    parents = (Kind.PROJECT, Kind.COMPONENT, Kind.ASSEMBLY)

    piece_id = models.CharField(max_length=SHORT)
    project = parent("pieces.Project")
    component = parent("pieces.Component")
    assembly = parent("pieces.Assembly", null=True, blank=True)

    barcode = text()
    orientation = text()
    trolley = text()
    cell = text()
    trolley_cell = text()
    operations = text(LONG)
    component_code = text()
    component_description = text()
    info2 = text(LONG)
    info3 = text(LONG)
    client = text()
    dealer = text()
    project_description = text(LONG)
    project_phase = text()
    reinforcement_code = text()
    hardware_info = text(LONG)
    glass_info = text(LONG)
    project_number = text()
    component_number = text()
    water_handle = text()
    segment_order = text()
    cutting_pattern = text()
    fixing_mode = text()
    material_type = text()
    project_code_parent = text()
    bar_id = text()
    profile_code = text()
    profile_name = text()
    lamination = text()
    gasket = text()
    profile_color = text()
    profile_type_ra = text()
    profile_type = text()
    trolley_size = text()
    profile_code_with_color = text()
    parent_assembly_trolley_cell = text()
    mullion_trolley_cell = text()
    glazing_bead_trolley_cell = text()

    outer_length = number()
    inner_length = number()
    angle_left = number()
    angle_right = number()
    assembly_width = number()
    assembly_height = number()
    reinforcement_length = number()
    other_length = number()
    bar_rest = number()
    bar_length = number()
    bar_cutting_tolerance = number()
    profile_width = number()
    profile_height = number()
    welding_tolerance = number()

    class Meta(Pictured.Meta):
        constraints: ClassVar[Any] = (
            *Pictured.Meta.constraints,
            models.UniqueConstraint(
                fields=["project", "piece_id"], condition=Q(is_active=True), name="piece_id_unique_in_project"
            ),
        )
        indexes: ClassVar[Any] = (
            *Pictured.Meta.indexes,
            *(list_index(name) for name in ("project", "component", "assembly")),
            list_index("company", "piece_id"),
            *(list_index("company", name, sparse=True) for name in ("barcode", "profile_code")),
            *(list_index("company", name, sparse=True) for name in ("trolley", "trolley_cell")),
        )


LEVELS: tuple[type[Entity], ...] = (Project, Component, Assembly, Piece)
LEVELS_BY_KIND: dict[str, type[Entity]] = {model.kind.value: model for model in LEVELS}
LEVELS_BY_PLURAL: dict[str, type[Entity]] = {model.plural: model for model in LEVELS}


class History(TenantRow):
    """A state that a row had until another one replaced it: the entity's columns once more, filled by the database at
    each UPDATE (pieces.triggers); of a picture only the digest, unless the update changed it. A state's `changed_in` is
    the `replaced_in` of the one before it."""

    id = models.BigAutoField(primary_key=True)  # grows with time
    # No foreign keys: they would cost a look per row, and what they name may be purged.
    company = GuidForeignKey(Company, models.DO_NOTHING, db_constraint=False, related_name="+", db_index=False)
    replaced_in = models.UUIDField()  # the act; NO_ACT where nobody said
    replaced_at = models.DateTimeField()

    class Meta:
        abstract = True
        # The states that an act replaced, and those that it made. Acts' guids grow, so new entries of these indexes
        # stand together; those of one by the rows' own guids, all over the place, would take as long as all the rest.
        indexes: ClassVar[Any] = (
            models.Index(fields=["replaced_in", "guid", "id"], name="%(class)s_by_act"),
            models.Index(fields=["changed_in", "guid"], name="%(class)s_of_act"),
        )


def _history_of(model: type[Entity]) -> type[History]:
    fields: dict[str, Any] = {"__module__": __name__, "Meta": type("Meta", (History.Meta,), {"abstract": False})}
    for column in model._meta.concrete_fields:
        if column.name != "company":
            is_guid = isinstance(column, models.ForeignKey | models.UUIDField)
            fields[column.attname] = models.UUIDField(null=column.null) if is_guid else column.clone()
    return type(f"{model.__name__}History", (History,), fields)


HISTORIES: dict[type[Entity], type[History]] = {model: _history_of(model) for model in LEVELS}
