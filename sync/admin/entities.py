"""The admins of the four levels with what sync knows: changes by hand."""

from uuid import UUID

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern

from pieces.admin import entities as plain
from pieces.admin.page import crumbs_of, groups_of
from pieces.models import LEVELS
from pieces.templatetags.entities import page_of
from ractory.api.errors import Conflict
from sync.admin.editing import edit, form_of
from tenants.admin.staff import caller_of
from tenants.caller import Capability


class SyncedAdmin(plain.EntityAdmin):
    """Adds a page to change an entity."""

    def get_urls(self) -> list[URLPattern]:
        return [self.route("<uuid:guid>/edit/", self.edit, "edit", Capability.SYNC), *super().get_urls()]

    def edit(self, request: HttpRequest, guid: UUID) -> HttpResponse:
        """The form; sent, what it would change; sent again with that, the change. Refused at the fields."""
        entity = self.entity_or_404(guid)
        if not entity.is_active:
            self.message_user(request, "What is deleted can't be changed. Nothing was saved.", messages.ERROR)
            return redirect(page_of(entity.kind, guid))
        form = form_of(self.model)(request.POST or None, request.FILES or None, initial=vars(entity))
        context = {"entity": entity, "form": form, "crumbs": crumbs_of(entity)}
        if form.is_bound:
            try:
                changes, shown, saved = edit(form, entity, caller=caller_of(request))
            except Conflict:  # since the entity was read, just now
                return self.edit(request, guid)
            if saved is not None:
                said = f"Saved: {', '.join(saved)}." if saved else "Nothing was changed."
                self.message_user(request, said, messages.SUCCESS if saved else messages.INFO)
                return redirect(page_of(entity.kind, guid))
            by_both = any(change.by_both for change in changes)
            context |= {"changes": changes, "shown": shown, "by_both": by_both}
        groups = [(title, [form[field.attname] for field in fields]) for title, fields in groups_of(self.model).items()]
        pictures = [form[name] for name in ("picture", "no_picture") if name in form.fields]
        context |= {"groups": groups, "pictures": pictures}
        return self.page(request, "sync/edit.html", title=f"Edit {entity}", **context)


BASES = (plain.ProjectAdmin, plain.ComponentAdmin, plain.AssemblyAdmin, plain.PieceAdmin)
for model, base in zip(LEVELS, BASES, strict=True):
    admin.site.register(model, type(base.__name__, (SyncedAdmin, base), {}))
