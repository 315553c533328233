"""Companies (the tenants), their users with their logins, and their API keys. Their managers are not scoped:
credentials are looked up before anyone knows whose they are. Row-level security holds for them as for all others."""

import hashlib
import logging
import uuid
import zlib
from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from string import ascii_letters, digits
from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.core.exceptions import ValidationError
from django.db import OperationalError, connection, models
from django.db.models import F, Q
from django.http import HttpRequest
from django.utils import timezone
from django.utils.crypto import constant_time_compare, get_random_string, salted_hmac
from rest_framework.exceptions import PermissionDenied
from rest_framework.permissions import SAFE_METHODS
from uuid_utils.compat import uuid7

from ractory.api.errors import BeingMoved, Conflict, Moved
from ractory.api.redaction import KEY_PREFIX
from tenants.caller import CAPABILITIES, CAPABILITIES_AT_DESK, Caller, Capability, KeyScope, Role, needed_at_desk
from tenants.hashing import one_at_a_time
from tenants.networks import MAX_LENGTH, Address, networks_in
from tenants.scope import TenantManager, every_company

logger = logging.getLogger(__name__)


class GuidForeignKey(models.ForeignKey[Any, Any]):
    """A foreign key whose attribute and column are called `<name>_guid`, as the contract names relations."""

    def get_attname(self) -> str:
        return f"{self.name}_guid"


class Company(models.Model):
    """A tenant. Everything belongs to exactly one."""

    guid = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=255)
    short_name = models.CharField(max_length=50, null=True, blank=True)
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    feed_epoch = models.BigIntegerField(default=0, db_default=0, editable=False)  # how often rows have been purged
    sync_alert_hours = models.PositiveSmallIntegerField(
        "warn after hours without a sync", null=True, blank=True, help_text="On the home page. Empty: never."
    )
    # null: it is here. "": it is being moved, and nothing of it may be written. Else the address of the server that has
    # it now (manage.py move_company).
    moved_to = models.CharField(max_length=200, null=True, editable=False)

    class Meta:
        verbose_name_plural = "companies"

    def __str__(self) -> str:
        return self.name

    @every_company()
    def is_name_taken(self) -> bool:
        """Whether the name would be given to a second company. Of two transactions that ask at once the second waits
        for the end of the first. No constraint of the database: older companies may share a name."""
        if connection.vendor == "postgresql":
            connection.cursor().execute("SELECT pg_advisory_xact_lock(hashtext('names of companies'))")
        holders = list(Company.objects.filter(name=self.name).values_list("guid", flat=True))
        return bool(holders) and self.guid not in holders

    def clean(self) -> None:
        if self.is_name_taken():
            raise ValidationError({"name": "There is another company of this name."})

    @staticmethod
    def require_open(guid: uuid.UUID) -> None:
        """Raises 503 if the company is being moved, or has been. Holds its row until the transaction ends: whoever
        closes it waits for that, or is seen here. Its foreign keys would not do: they are deferred to the commit."""
        lock = "FOR KEY SHARE" if connection.vendor == "postgresql" else ""
        statement = f"SELECT moved_to FROM tenants_company WHERE guid = %s {lock}"  # noqa: S608  # our own words
        if connection.cursor().execute(statement, [guid.hex]).fetchone() != (None,):
            raise BeingMoved

    def check_place(self, request: HttpRequest) -> None:
        """Raises 308 if it has moved, 503 for what is no reading while it is being moved."""
        if self.moved_to:
            raise Moved(self.moved_to + request.get_full_path())
        if self.moved_to is not None and request.method not in SAFE_METHODS:
            raise BeingMoved

    def switch_off(self) -> None:
        """In the caller's transaction. Logs its users out, for good. Raises 409 if no SystemAdmin would be left."""
        if self.users.filter(role=Role.SYSTEM_ADMIN).exists():
            User.objects.require_system_admin(company=self)
        self.is_active = False
        self.save(update_fields=["is_active"])
        User.objects.end_sessions(company=self)


class TenantRow(models.Model):
    """A row of a company's: `objects` has those of the current scope, `across_companies` all."""

    objects: ClassVar[Any] = TenantManager()
    across_companies: ClassVar[Any] = models.Manager()

    class Meta:
        abstract = True


class UserManager(BaseUserManager["User"]):
    def create_user(self, email: str, password: str | None = None, **fields: Any) -> "User":
        """A user with a hashed password; without one they can't log in until one is set."""
        user = self.model(email=email, **fields)
        user.set_password(password)
        user.full_clean(exclude=["password"])
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> "User":
        return self.create_user(email, password, role=Role.SYSTEM_ADMIN, **fields)

    def end_sessions(self, **whose: Any) -> None:
        """Logs these users out everywhere, at once: of their tokens and of the admin."""
        self.filter(**whose).update(session_generation=F("session_generation") + 1)

    @every_company()
    def require_system_admin(self, **without: Any) -> None:
        """Raises 409 unless others than these are SystemAdmins who can log in; locks them until the transaction ends,
        so that of two who switch each other off one is refused."""
        # `without` may have been switched off already in this transaction, and is one of those that there were.
        were_there = Q(**without) | ~Q(company__is_active=False)
        admins = self.filter(were_there, role=Role.SYSTEM_ADMIN, is_active=True)
        left = admins.exclude(**without).order_by("guid").select_for_update(of=("self",), no_key=True)
        if not left and admins.exists():  # where there is none at all, commands do it all
            raise Conflict("No active SystemAdmin would be left.")

    def get_by_natural_key(self, username: str | None) -> "User":
        return self.select_related("company").get(email=(username or "").lower())


class User(AbstractBaseUser):
    """A person or an integration that logs in with email and password."""

    guid = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    email = models.EmailField(unique=True)
    role = models.CharField(max_length=20, choices=Role.choices)
    company = GuidForeignKey(Company, on_delete=models.PROTECT, null=True, blank=True, related_name="users")
    name = models.CharField(max_length=255, null=True, blank=True)
    surname = models.CharField(max_length=255, null=True, blank=True)
    is_active = models.BooleanField(default=True)
    session_generation = models.PositiveIntegerField(default=0, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    USERNAME_FIELD = "email"

    objects: ClassVar[UserManager] = UserManager()

    class Meta:
        constraints = (
            models.CheckConstraint(
                name="user_has_company",
                condition=Q(role=Role.SYSTEM_ADMIN) | Q(company__isnull=False),
                violation_error_message="Only a SystemAdmin can be without a company.",
            ),
            models.CheckConstraint(name="user_role_known", condition=Q(role__in=Role.values)),
        )

    @classmethod
    def normalize_username(cls, username: Any) -> Any:
        """In lower case, as the login looks for it; every form's cleaning passes here."""
        return super().normalize_username(username).lower()

    @every_company()  # an email address is unique over all of them
    def validate_unique(self, exclude: Collection[str] | None = None) -> None:
        super().validate_unique(exclude)

    def set_password(self, raw_password: str | None) -> None:
        """Raises Throttled, as check_password does, while another thread hashes one."""
        with one_at_a_time():
            super().set_password(raw_password)

    def check_password(self, raw_password: str | None) -> bool:
        with one_at_a_time():
            return super().check_password(raw_password)

    @staticmethod
    def visible_to(caller: Caller) -> Q:
        """The condition for users that the caller manages: only a SystemAdmin sees SystemAdmins, even of the own
        company, since a password of theirs opens every company."""
        return Q() if caller.role == Role.SYSTEM_ADMIN else ~Q(role=Role.SYSTEM_ADMIN)

    def check_change(self, by: Caller, *, role: str, is_active: bool) -> None:
        """Whether the caller may give this user, as stored and locked, this role, and switch them on or off. Raises 409
        if no SystemAdmin would be left, 403 for a role above the caller's, and for their own (contract, "Managing")."""
        if self.is_superuser and not (role == Role.SYSTEM_ADMIN and is_active):
            User.objects.require_system_admin(guid=self.guid)
        if self.guid == by.guid and (role, is_active) != (self.role, self.is_active):
            raise PermissionDenied("Nobody changes their own role, or switches themselves off.")
        by.check_grant(role)

    def switch_off(self) -> None:
        """In the caller's transaction. Logs the user out for good: to be switched on again is no login."""
        self.is_active = False
        self.save(update_fields=["is_active"])
        User.objects.end_sessions(guid=self.guid)

    @property
    def tenant(self) -> Company | None:
        """The company that the user is kept within; None for a SystemAdmin, even one who belongs to a company."""
        return None if self.role == Role.SYSTEM_ADMIN else self.company

    @property
    def is_usable(self) -> bool:
        """False when the user, or the user's company, has been switched off."""
        return self.is_active and (self.company is None or self.company.is_active)

    is_staff = is_usable  # every role has something to look at

    @property
    def is_superuser(self) -> bool:
        return self.is_usable and self.role == Role.SYSTEM_ADMIN

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What the user may do on staff's pages."""
        return CAPABILITIES_AT_DESK[self.role] if self.is_usable else frozenset()

    def has_perm(self, perm: str, obj: models.Model | None = None) -> bool:
        """The same by Django's names for it. What is being moved, or has been, can only be looked at."""
        name = perm.rpartition(".")[2]
        is_here = self.tenant is None or self.tenant.moved_to is None
        return needed_at_desk(name) in self.capabilities and (is_here or name.startswith("view_"))

    def has_module_perms(self, app_label: str) -> bool:
        return self.is_staff

    def _get_session_auth_hash(self, secret: str | None = None) -> str:
        """What logins of the API and of the admin are bound to, so that a change ends them; Django's: the password."""
        bound_to = "\0".join((self.password, self.role, str(self.company_guid), str(self.session_generation)))
        return salted_hmac("tenants.models.User.session", bound_to, secret=secret, algorithm="sha256").hexdigest()

    def as_caller(self) -> Caller:
        role = Role(self.role)
        company = None if role == Role.SYSTEM_ADMIN else self.company_guid
        return Caller(self.guid, f"user:{self.email}", role, company, CAPABILITIES[role], email=self.email)


class LoginSession(models.Model):
    """A login by email and password, from its first pair of tokens to its last refresh (tenants.authentication)."""

    guid = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    user = GuidForeignKey(User, on_delete=models.CASCADE, related_name="login_sessions")
    bound_to = models.CharField(max_length=64)  # the user's session hash when it began
    refresh_jti = models.CharField(max_length=32)  # of its one refresh token that is good; no token is stored
    renewed_at = models.DateTimeField()
    expires_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return str(self.guid)


NOTED = timedelta(minutes=1)  # between two notes of a key's use
_ALPHABET = digits + ascii_letters
_SECRET_LENGTH = 32  # 32 characters of 62: 190 random bits
_CHECKSUM_LENGTH = 6


def _checksum(secret: str) -> str:
    """CRC-32 in base 62: a typo, or a find of a secret scanner, is recognised without a query."""
    number, base = zlib.crc32(secret.encode()), len(_ALPHABET)
    return "".join(_ALPHABET[number // base**place % base] for place in reversed(range(_CHECKSUM_LENGTH)))


# Written out: Django would compile a queryset anew for each request, and that takes longer than the look itself.
BY_DIGEST = """
    SELECT tenants_apikey.*, tenants_company.is_active AS company_is_active, moved_to
    FROM tenants_apikey JOIN tenants_company ON tenants_company.guid = company_guid WHERE digest = %s
"""


class ApiKey(models.Model):
    """A key of a company: `rfk_` + 32 random characters + 6 of checksum. Only its SHA-256 is stored: there is nothing
    to guess that a slow hash would protect."""

    guid = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    company = GuidForeignKey(Company, on_delete=models.PROTECT, related_name="api_keys")
    digest = models.CharField(max_length=64, unique=True, editable=False)
    scopes = models.CharField(max_length=100)  # sorted, separated by a space
    networks = models.CharField(max_length=MAX_LENGTH, blank=True)  # CIDR, separated by a space
    description = models.CharField(max_length=255, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    is_active = models.BooleanField(default=True, db_default=True)  # can be switched on again, unless revoked
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)
    replaced_by = models.UUIDField(null=True, editable=False)  # the key that a rotation made last
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)  # to the minute
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    company_is_active: bool  # of a key that was `found`, as the next one
    moved_to: str | None

    def __str__(self) -> str:
        return self.description or str(self.guid)

    @classmethod
    def issue(cls, *, scopes: Iterable[str], networks: str = "", **fields: Any) -> tuple["ApiKey", str]:
        """A new key of the given `company`, and its text, which is not kept. ValueError for a bad scope or network."""
        secret = get_random_string(_SECRET_LENGTH)
        text = KEY_PREFIX + secret + _checksum(secret)
        fields["scopes"] = " ".join(sorted(KeyScope(scope) for scope in set(scopes)))
        fields["networks"] = " ".join(map(str, networks_in(networks)))
        return cls.objects.create(digest=cls.digest_of(text), **fields), text

    @staticmethod
    def digest_of(text: str) -> str:
        return hashlib.sha256(text.encode()).hexdigest()

    @classmethod
    def found(cls, text: str) -> "ApiKey | None":
        """The key with this text, and its company, by one look into an index; a typo costs no query."""
        secret, checksum = text[len(KEY_PREFIX) : -_CHECKSUM_LENGTH], text[-_CHECKSUM_LENGTH:]
        if not text.startswith(KEY_PREFIX) or len(secret) != _SECRET_LENGTH or checksum != _checksum(secret):
            return None
        digest = cls.digest_of(text)
        for key in cls.objects.raw(BY_DIGEST, [digest]):
            # The index has found it; this holds whatever the database takes for equal.
            if constant_time_compare(key.digest, digest):
                known = {"guid": key.company_guid, "is_active": bool(key.company_is_active), "moved_to": key.moved_to}
                key.company = Company.from_db(None, list(known), list(known.values()))  # other columns are deferred
                return key
        return None

    def rotate(self, *, overlap: timedelta, now: datetime, **new: Any) -> tuple["ApiKey", str]:
        """A `new` key like this one, and its text. This one is revoked, or expires after the overlap if not before."""
        same = {"company": self.company, "networks": self.networks, "description": self.description}
        issued = ApiKey.issue(scopes=self.scopes.split(), **same, **new)
        self.replaced_by = issued[0].guid
        if overlap:
            self.expires_at = min(self.expires_at or now + overlap, now + overlap)
        self.save(update_fields=["expires_at", "replaced_by"])
        if not overlap:
            self.revoke(now)
        return issued

    @property
    def lifetime(self) -> datetime | None:
        """When it expires, or would if it had not been rotated: what a key that takes its place gets."""
        following = self.replaced_by and ApiKey.objects.filter(guid=self.replaced_by).first()
        return following.lifetime if following else self.expires_at

    def revoke(self, now: datetime) -> None:
        self.revoked_at, self.is_active = now, False
        self.save(update_fields=["revoked_at", "is_active"])

    def switch_off(self) -> None:
        self.is_active = False
        self.save(update_fields=["is_active"])

    def admits(self, address: Address | None) -> bool:
        """Whether the key may be used from there. A key without networks may be used from anywhere."""
        if not self.networks:
            return True
        return address is not None and any(address in network for network in networks_in(self.networks))

    def is_usable(self, now: datetime) -> bool:
        """False once revoked or expired, or when the key or the company has been switched off."""
        is_over = self.revoked_at is not None or (self.expires_at is not None and self.expires_at <= now)
        return self.is_active and not is_over and self.company.is_active

    def note_use(self, now: datetime) -> None:
        """Writes down that the key is in use, at most once a minute; a busy database is no reason to refuse it."""
        if self.last_used_at is not None and now - self.last_used_at < NOTED:
            return
        stale = Q(last_used_at=None) | Q(last_used_at__lte=now - NOTED)
        try:
            ApiKey.objects.filter(stale, guid=self.guid).update(last_used_at=now)
        except OperationalError as error:
            logger.warning("The use of API key %s was not noted: %s", self.guid, error)

    def as_caller(self) -> Caller:
        capabilities = frozenset().union(*(CAPABILITIES[scope] for scope in self.scopes.split()))
        actor = f"api_key:{self.guid}"
        return Caller(self.guid, actor, Role.INTEGRATION, self.company_guid, capabilities, scopes=self.scopes)


class Counter(models.Model):
    """How much of something has been used in a window of time (tenants.throttling), overwritten in the next one. On
    PostgreSQL the table is not logged: a count costs no write to disk, and a crash begins every window anew."""

    name = models.CharField(max_length=100, primary_key=True)
    used = models.BigIntegerField()
    until = models.BigIntegerField()  # the window's end, in milliseconds since 1970

    def __str__(self) -> str:
        return self.name
