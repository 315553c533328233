"""Companies, users and keys as the API takes and shows them (contract, "Managing"), asked within the transaction of the
request, the row locked. A wrong value is a 422, what the caller may not do a 403, a clash with other rows a 409."""

import uuid
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError as DjangoValidationError
from django.utils import timezone
from rest_framework import serializers
from rest_framework.exceptions import PermissionDenied
from rest_framework.fields import get_error_detail

from ractory.api.errors import Conflict, shown
from tenants.caller import Role, scopes_in
from tenants.models import ApiKey, Company, User
from tenants.networks import MAX_LENGTH, networks_in
from tenants.scope import current_scope, every_company


class CompanySerializer(serializers.ModelSerializer[Any]):
    class Meta:
        model = Company
        fields = ("guid", "name", "short_name", "is_active", "created_at")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        company = Company(guid=self.instance and self.instance.guid, name=attrs.get("name", ""))
        if company.is_name_taken():
            raise Conflict(f"There is a company {shown(company.name)} already.")
        return attrs


class OfCompanySerializer(serializers.ModelSerializer[Any]):
    """Of what belongs to a company, for good: the scope's, unless the body names another one."""

    company_guid = serializers.UUIDField(required=False, allow_null=True)

    def validate_company_guid(self, company: uuid.UUID | None) -> uuid.UUID | None:
        if company is not None and not current_scope().covers(company):
            raise PermissionDenied(f"Company {company} is not yours.")
        if self.instance and company != self.instance.company_guid:
            raise serializers.ValidationError("It stays in its company; make another one there", "company_fixed")
        if company is not None and not Company.objects.filter(guid=company).exists():
            raise serializers.ValidationError(f"There is no company {company}", "company_not_found")
        return company

    def after(self, attrs: dict[str, Any], *names: str) -> dict[str, Any]:
        """What these fields will be, with the company filled in for a new row."""
        if not self.instance:
            attrs["company_guid"] = attrs.get("company_guid") or current_scope().company
        after = {name: attrs.get(name, getattr(self.instance, name, None)) for name in ("company_guid", *names)}
        if after["company_guid"] is None and after.get("role") != Role.SYSTEM_ADMIN:
            said = {"company_guid": "Only a SystemAdmin can be without a company"}
            raise serializers.ValidationError(said, "required")
        return after


class UserSerializer(OfCompanySerializer):
    email = serializers.EmailField(max_length=254)
    password = serializers.CharField(max_length=1024, trim_whitespace=False, write_only=True)

    class Meta:
        model = User
        fields = ("guid", "email", "role", "company_guid", "name", "surname", "is_active", "created_at", "password")
        extra_kwargs: ClassVar[Any] = {"role": {"error_messages": {"invalid_choice": "There is no such role"}}}

    def validate_email(self, email: str) -> str:
        """In the form in which logins look for it."""
        return str(User._meta.get_field("email").clean(User.normalize_username(email), None))

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        after, by = self.after(attrs, "role", "is_active", "email", "name", "surname"), self.context["request"].user
        if self.instance:
            self.instance.check_change(by, role=after["role"], is_active=after["is_active"])
        by.check_grant(after["role"])
        with every_company():  # an email address is unique over all of them
            holder = User.objects.filter(email=after["email"]).first()
            if holder is not None and holder != self.instance:
                raise Conflict(f"There is a user {shown(after['email'])} already.")
        if "password" in attrs:
            user = User(**after)
            try:
                validate_password(attrs["password"], user)
            except DjangoValidationError as error:
                raise serializers.ValidationError({"password": get_error_detail(error)}) from error
            user.set_password(attrs["password"])
            attrs["password"] = user.password
        return attrs


class Words(serializers.CharField):
    """A list in a text: separated by commas or spaces as it is sent, by commas as it is shown, by spaces as stored."""

    def __init__(self, parse: Callable[[str], Iterable[object]], **options: Any) -> None:
        super().__init__(**options)
        self.parse = parse

    def to_internal_value(self, data: Any) -> str:
        try:
            return " ".join(map(str, self.parse(super().to_internal_value(data))))
        except ValueError as error:
            raise serializers.ValidationError(str(error), "word_unknown") from error

    def to_representation(self, value: str) -> str:
        return value.replace(" ", ",")


class ApiKeySerializer(OfCompanySerializer):
    scopes = Words(scopes_in, max_length=100)
    networks = Words(networks_in, max_length=2 * MAX_LENGTH, required=False, allow_blank=True)

    class Meta:
        model = ApiKey
        fields: ClassVar[Any] = (
            *("guid", "company_guid", "description", "scopes", "networks", "is_active", "expires_at"),
            *("revoked_at", "last_used_at", "created_at"),
        )
        extra_kwargs: ClassVar[Any] = {"description": {"required": True}}

    def validate_expires_at(self, moment: Any) -> Any:
        is_new = not self.instance or moment != self.instance.expires_at
        if moment is not None and moment <= timezone.now() and is_new:
            raise serializers.ValidationError("Input should be in the future", "past")
        return moment

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        scopes = self.after(attrs, "scopes")["scopes"]
        if self.instance and self.instance.revoked_at and attrs.get("is_active"):
            raise Conflict("The key is revoked, for good. Make another one.")
        self.context["request"].user.check_grant(*scopes.split())
        return attrs


class IssuedKeySerializer(ApiKeySerializer):
    """Of a key that has just been made: the only time that its text is shown."""

    key = serializers.CharField(read_only=True, source="text")

    class Meta(ApiKeySerializer.Meta):
        fields = (*ApiKeySerializer.Meta.fields, "key")

    def create(self, validated_data: dict[str, Any]) -> Any:
        key: Any
        key, key.text = ApiKey.issue(**validated_data | {"scopes": validated_data["scopes"].split()})
        return key


class RotateSerializer(serializers.Serializer[Any]):
    overlap_hours = serializers.IntegerField(min_value=0, max_value=366 * 24, default=24)
