"""Logging in: how often it may be tried, and how often with a wrong password, for an account and from an address.
Counted before it is known whether an attempt succeeds: none beyond the limit costs the hash of a password."""

import logging
import unicodedata
from hashlib import blake2b
from ipaddress import ip_network
from typing import Any

from django.conf import settings
from django.contrib.auth.backends import ModelBackend
from django.db import OperationalError
from django.db.models import F
from django.http import HttpRequest

from ractory.api.errors import ConflictRetry
from ractory.api.middleware import current_caller
from ractory.api.retry import in_transaction
from tenants.hashing import one_at_a_time
from tenants.models import Counter, User
from tenants.networks import client_address
from tenants.throttling import charge

logger = logging.getLogger(__name__)


class Attempt:
    """One try at a password or a token. Raises Throttled; counts as failed until it is said to have `succeeded`.
    Without `may_fail` it is a password that the user of this account sets: it costs a hash, and is no guess."""

    def __init__(self, request: HttpRequest | None, account: str | None = None, *, may_fail: bool = True) -> None:
        address: Any = client_address(request) if request else None
        if address and address.version == 6:  # whose client has a whole /64 to choose from
            address = ip_network((address, 64), strict=False)
        self.address, self.account = address and f"logins from {address}", _account_counter(account)
        all_from, failed_from = settings.THROTTLE_ALL_LOGINS_ADDRESS, settings.THROTTLE_LOGINS_ADDRESS
        for counter, whose, of_all, of_failed in (
            (self.address, " from this address", all_from, failed_from),
            (self.account, " of this account", settings.THROTTLE_ALL_LOGINS, settings.THROTTLE_LOGINS),
        ):
            if counter and account is not None:  # a token costs no hash
                charge(f"all {counter}", 1, of_all, "logins", whose)
            if counter and may_fail:
                charge(counter, 1, of_failed, "failed logins", whose)

    def succeeded(self) -> None:
        """The account's failures are forgotten; an address gets back this attempt only, or one good account would do
        for guessing at all others."""

        def take_back() -> None:
            Counter.objects.filter(name=self.address, used__gt=0).update(used=F("used") - 1)
            Counter.objects.filter(name=self.account).delete()

        try:
            in_transaction(take_back)
        except (ConflictRetry, OperationalError) as error:  # a busy database is no reason to refuse a good login
            logger.warning("A login that succeeded stays counted as failed: %s", error)


def forget_failures(account: str) -> bool:
    """Lets an account that is locked log in again; whether anything was counted for it."""
    name = _account_counter(account)
    return bool(Counter.objects.filter(name__in=[name, f"all {name}"]).delete()[0])


def _account_counter(account: str | None) -> str | None:
    """By a digest: people type their passwords into the wrong field."""
    if account is None:
        return None
    name = unicodedata.normalize("NFKC", account).strip().lower()
    return f"logins of {blake2b(name.encode(errors='replace'), digest_size=16).hexdigest()}"


class LimitedBackend(ModelBackend):
    """Django's own check of email and password, within the limits; unknown accounts count, and cost a hash, too."""

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **credentials: Any
    ) -> User | None:
        with one_at_a_time():  # the turn comes first: who does not get it is not counted
            attempt = Attempt(request, username or credentials.get(User.USERNAME_FIELD))
            user = super().authenticate(request, username, password, **credentials)
        if not isinstance(user, User):
            return None
        attempt.succeeded()
        current_caller.set(user.as_caller())  # the log's lines name it from now on
        return user

    def user_can_authenticate(self, user: Any) -> bool:
        """Neither a user who has been switched off nor one of a company that has been."""
        return isinstance(user, User) and user.is_usable
