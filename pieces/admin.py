"""The staff's view of the four entities: looking and finding, within the staff member's company."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from pieces.models import Assembly, Component, Entity, Piece, Project


class EntityAdmin(ModelAdmin):  # type: ignore[misc]  # unfold carries no types
    """Read-only: rows come in by sync, and go by soft deletion."""

    show_full_result_count = False
    list_per_page = 50
    ordering = ("guid",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Entity | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Entity | None = None) -> bool:
        return False

    def get_exclude(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("picture",)


@admin.register(Project)
class ProjectAdmin(EntityAdmin):
    list_display = ("code", "company_name", "due_date", "in_production", "is_active", "updated_at")
    search_fields = ("code", "guid")


@admin.register(Component)
class ComponentAdmin(EntityAdmin):
    list_display = ("code", "project", "designation", "quantity", "is_active", "updated_at")
    list_select_related = ("project",)
    search_fields = ("code", "guid")


@admin.register(Assembly)
class AssemblyAdmin(EntityAdmin):
    list_display = ("__str__", "component", "trolley", "cell_number", "is_active", "updated_at")
    list_select_related = ("component",)
    search_fields = ("trolley_cell", "guid")


@admin.register(Piece)
class PieceAdmin(EntityAdmin):
    list_display = ("piece_id", "barcode", "component", "profile_code", "outer_length", "is_active", "updated_at")
    list_select_related = ("component",)
    search_fields = ("=piece_id", "=barcode", "=trolley_cell")
