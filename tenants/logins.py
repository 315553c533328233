"""Logging in: how often it may be tried, and how often with a wrong password, for an account and from an address.

The same counters as for requests (tenants.throttling), on SQLite too. An attempt is counted before it is known whether
it succeeds: so a hundred at once are a hundred, and none beyond the limit costs the hash of a password.
"""

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
from django.utils import timezone

from ractory.api.address import Address, client_address
from ractory.api.errors import ConflictRetry
from ractory.api.retry import in_transaction
from tenants.hashing import one_at_a_time
from tenants.models import Counter, User
from tenants.throttling import Charge, Rate, charge

logger = logging.getLogger(__name__)


class Attempt:
    """One try at a password or a token. Raises Throttled; counts as failed until it is said to have `succeeded`."""

    def __init__(self, request: HttpRequest | None, account: str | None = None) -> None:
        of_address: Rate | None = settings.THROTTLE_LOGINS_ADDRESS
        of_account: Rate | None = settings.THROTTLE_LOGINS
        self.address = self.account = None
        all_from_address, all_of_account = _all_logins(request, account)
        charges = [*all_from_address]
        if of_address and (address := client_address(request) if request else None):
            self.address = _address_counter(address)
            charges.append(Charge(self.address, 1, of_address, "failed logins", " from this address"))
        charges += all_of_account
        if of_account and account is not None:
            self.account = _account_counter(account)
            charges.append(Charge(self.account, 1, of_account, "failed logins", " of this account"))
        charge(charges, now=timezone.now())

    def succeeded(self) -> None:
        """The account's failures are forgotten; an address gets back this attempt only, or one good account would do
        for guessing at all others."""
        if not (self.address or self.account):
            return
        try:
            in_transaction(self._take_back)
        except (ConflictRetry, OperationalError) as error:  # a busy database is no reason to refuse a good login
            logger.warning("A login that succeeded stays counted as failed: %s", error)

    def _take_back(self) -> None:
        Counter.objects.filter(name=self.address, used__gt=0).update(used=F("used") - 1)
        Counter.objects.filter(name=self.account).delete()


def _all_logins(request: HttpRequest | None, account: str | None) -> tuple[list[Charge], list[Charge]]:
    """From the address, and of the account, whether they fail or succeed; a token costs no hash, so it is none."""
    of_address: Rate | None = settings.THROTTLE_ALL_LOGINS_ADDRESS
    of_account: Rate | None = settings.THROTTLE_ALL_LOGINS
    from_address, of_this = [], []
    if account is not None:
        if of_address and (address := client_address(request) if request else None):
            name = f"all {_address_counter(address)}"
            from_address.append(Charge(name, 1, of_address, "logins", " from this address"))
        if of_account:
            of_this.append(Charge(f"all {_account_counter(account)}", 1, of_account, "logins", " of this account"))
    return from_address, of_this


def count_password(request: HttpRequest, user: User) -> None:
    """A password that the user sets for somebody: it costs a hash, as a login of theirs does. Raises Throttled."""
    from_address, of_account = _all_logins(request, user.email)
    charge([*from_address, *of_account], now=timezone.now())


def _address_counter(address: Address) -> str:
    """An IPv6 client has a whole /64 to choose from."""
    return f"logins from {ip_network((address, 64), strict=False) if address.version == 6 else address}"


def _account_counter(account: str) -> str:
    """By a digest: people type their passwords into the wrong field."""
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
        if user is not None:
            attempt.succeeded()
        return user if isinstance(user, User) else None

    def user_can_authenticate(self, user: Any) -> bool:
        """Neither a user who has been switched off nor one of a company that has been."""
        return isinstance(user, User) and user.is_usable
