"""API keys: made and shown once, rotated, revoked. sync.admin registers the list, with each key's last sync."""

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from functools import wraps
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.validators import MinValueValidator
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from unfold import widgets
from unfold.decorators import action
from uuid_utils.compat import uuid7

from ractory.api.errors import Conflict
from tenants.admin.staff import StaffAdmin, require
from tenants.caller import Capability, KeyScope
from tenants.models import ApiKey, Company
from tenants.networks import MAX_LENGTH, networks_in
from tenants.scope import current_scope, of_company
from tenants.templatetags.staff import badge, moment

SCOPES = ((KeyScope.SYNC_READ, "sync:read – read everything"), (KeyScope.SYNC_WRITE, "sync:write – read and write"))
OVERLAPS = (("0", "at once"), ("1", "in an hour"), ("24", "in a day"), ("168", "in a week"))  # hours


class ExpiryForm(forms.Form):
    """When a new key ends; and which one it is, so that the form makes one only, however often it is sent."""

    guid = forms.UUIDField(initial=uuid7, widget=forms.HiddenInput)
    last_day = forms.DateField(
        label="Last day (UTC)",
        required=False,
        help_text="Empty: until it is revoked.",
        validators=[MinValueValidator(lambda: timezone.now().date(), "This day is over.")],
        widget=widgets.UnfoldAdminTextInputWidget(attrs={"type": "date"}),
    )

    @property
    def expires_at(self) -> datetime | None:
        day: date | None = self.cleaned_data["last_day"]
        return datetime.combine(day + timedelta(days=1), time(), UTC) if day else None


class NetworksForm(forms.Form):
    """Where a key may be used from."""

    networks = forms.CharField(
        label="Only from these networks",
        required=False,
        max_length=2 * MAX_LENGTH,
        help_text="Addresses or networks (CIDR): 192.0.2.0/24, 2001:db8::/32. Empty: anywhere.",
        widget=widgets.UnfoldAdminTextareaWidget(attrs={"rows": 3}),
    )

    def clean_networks(self) -> str:
        try:
            return " ".join(map(str, networks_in(self.cleaned_data["networks"])))
        except ValueError as error:
            raise forms.ValidationError(capfirst(f"{error}.")) from error


class KeyForm(NetworksForm, forms.ModelForm):  # type: ignore[type-arg]  # it is generic for mypy only
    """What can be changed of a key later on."""

    class Meta:
        model = ApiKey
        fields = ("description", "networks", "is_active")


class NewKeyForm(NetworksForm, ExpiryForm):
    description = forms.CharField(
        label="What is it for?", max_length=255, widget=widgets.UnfoldAdminTextInputWidget(attrs={"autofocus": True})
    )
    scopes = forms.MultipleChoiceField(
        label="It may",
        choices=SCOPES,
        initial=list(KeyScope.values),
        widget=widgets.UnfoldAdminCheckboxSelectMultipleWidget,
    )
    company = forms.ModelChoiceField(queryset=Company.objects.order_by("name"), widget=widgets.UnfoldAdminSelectWidget)
    field_order = ("company", "description", "scopes", "last_day", "networks")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if current_scope().company:
            del self.fields["company"]


class RotateForm(ExpiryForm):
    overlap = forms.ChoiceField(
        label="The old key ends", choices=OVERLAPS, initial="24", widget=widgets.UnfoldAdminRadioSelectWidget
    )
    field_order = ("overlap", "last_day")


def once(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """A view whose form makes a key, in a transaction. Sent again, the form gets a page that says so."""

    @wraps(view)
    def wrapper(self: "ApiKeyAdmin", request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            with transaction.atomic():
                return view(self, request, *args, **kwargs)
        except IntegrityError:
            key = get_object_or_404(self.get_queryset(request), guid=request.POST["guid"])
            return self.page(request, "tenants/key_made.html", title="This key has been made already", key=key)

    return wrapper


@admin.register(ApiKey)
class ApiKeyAdmin(StaffAdmin):
    list_display = ("name", "scopes", "state", "expires", "last_use", "created")
    ordering = ("-guid",)
    search_fields = ("description",)
    search_help_text = "Part of a description"
    form = KeyForm
    fields = (*KeyForm.Meta.fields, "guid", "company", "scopes", "state", "expires", "last_use", "created")
    readonly_fields = fields[len(KeyForm.Meta.fields) :]
    actions_detail = ("rotate", "revoke")

    # --- what is seen ---

    @admin.display(description="Key")
    def name(self, key: ApiKey) -> str:
        return str(key)

    def state(self, key: ApiKey) -> SafeString:
        if key.revoked_at:
            return badge("revoked", "off")
        if not key.is_active:
            return badge("switched off", "off")
        return badge("active", "good") if key.is_usable(timezone.now()) else badge("expired", "off")

    def expires(self, key: ApiKey) -> str:
        return "never" if key.expires_at is None and not key.revoked_at else moment(key.revoked_at or key.expires_at)

    def last_use(self, key: ApiKey) -> str:
        return moment(key.last_used_at) if key.last_used_at else "never"

    # --- what may be done ---

    def get_queryset(self, request: HttpRequest) -> "QuerySet[ApiKey]":
        return of_company(super().get_queryset(request)).select_related("company")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and (obj is None or obj.revoked_at is None)

    @once
    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        require(request, Capability.MANAGE)
        form = NewKeyForm(request.POST or None)
        if not form.is_valid():
            return self.page(request, "tenants/key_form.html", title="New API key", form=form, button="Create key")
        fields = {name: form.cleaned_data[name] for name in ("guid", "scopes", "networks", "description")}
        company = current_scope().company or form.cleaned_data["company"].guid
        key, text = ApiKey.issue(company_guid=company, expires_at=form.expires_at, **fields)
        self.log_addition(request, key, "Created.")
        return self.issued(request, key, text)

    @action(description="Rotate", url_path="rotate", icon="autorenew")  # type: ignore[untyped-decorator]  # unfold carries no types
    @once
    def rotate(self, request: HttpRequest, object_id: str) -> HttpResponse:
        key = self.usable_key(request, object_id)
        last_day = key.lifetime and (key.lifetime - timedelta(microseconds=1)).date()
        form = RotateForm(request.POST or None, initial={"last_day": last_day})
        if not form.is_valid():
            title = f"Rotate {key}"
            return self.page(request, "tenants/key_form.html", title=title, form=form, key=key, button="Rotate key")
        overlap, guid = timedelta(hours=int(form.cleaned_data["overlap"])), form.cleaned_data["guid"]
        new, text = key.rotate(overlap=overlap, expires_at=form.expires_at, now=timezone.now(), guid=guid)
        self.log_change(request, key, f"Rotated: {new.guid} takes its place.")
        self.log_addition(request, new, f"Created in place of {key.guid}.")
        return self.issued(request, new, text, old=key)

    @action(description="Revoke", url_path="revoke", icon="block")  # type: ignore[untyped-decorator]  # unfold carries no types
    def revoke(self, request: HttpRequest, object_id: str) -> HttpResponse:
        with transaction.atomic():
            key = self.usable_key(request, object_id)
            if request.method != "POST":
                return self.page(request, "tenants/key_revoke.html", title=f"Revoke {key}?", key=key)
            key.revoke(timezone.now())
            self.log_change(request, key, "Revoked.")
        self.message_user(request, f"{key} is revoked: it gets 401 from now on.", messages.SUCCESS)
        return redirect("admin:tenants_apikey_changelist")

    def usable_key(self, request: HttpRequest, object_id: str) -> ApiKey:
        """The key, locked; 403 and 404 as of `get_object`, 409 if it is revoked."""
        key = self.get_object(request, object_id)
        locked = ApiKey.objects.select_for_update(of=("self",)).select_related("company").get(guid=key.guid)
        if locked.revoked_at:
            followed = " Another one has taken its place." if locked.replaced_by else ""
            raise Conflict(f"The key {locked} has been revoked: nothing more can be done with it.{followed}")
        return locked

    def issued(self, request: HttpRequest, key: ApiKey, text: str, old: ApiKey | None = None) -> HttpResponse:
        """The one page that shows a key. It is the answer to the POST: the key is nowhere kept for a second look."""
        url = request.build_absolute_uri("/api/v1/projects?limit=5")
        context = {"key": key, "text": text, "curl": f"curl -sS '{url}' -H 'X-API-Key: {text}'", "old": old}
        return self.page(request, "tenants/key_issued.html", title="Your new API key", **context)
