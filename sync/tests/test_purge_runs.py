"""`manage.py purge_runs`: old receipts and old kept answers go, young ones stay."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.core.management import CommandError, call_command
from django.utils import timezone
from rest_framework_simplejwt.tokens import RefreshToken

from pieces.models import Component, Piece
from ractory.api.tests.client import Api
from sync.models import IdempotentAnswer, SyncRun
from sync.tests.batches import Sync, piece_item
from tenants.authentication import begin
from tenants.models import Counter, LoginSession
from tenants.tests.factories import UserFactory
from tenants.tests.staff import session_of

LOGINS = {"snapshots": 0, "uploads": 0, "upload_parts": 0, "logins": 0, "staff_sessions": 0}


@pytest.fixture(autouse=True)
def runs(sync: Sync, component: Component) -> None:
    """Three receipts of 1, 50 and 100 days, each with an answer kept as long, and three pieces."""
    for days in (1, 50, 100):
        run = sync("pieces", piece_item(component, piece_id=str(days)), idempotency_key=str(days))["X-Sync-Run"]
        then = timezone.now() - timedelta(days=days) + timedelta(minutes=1)
        SyncRun.across_companies.filter(guid=run).update(started_at=then)
        IdempotentAnswer.objects.filter(key=str(days)).update(created_at=then)
        Counter.objects.create(name=str(days), used=1, until=int(then.timestamp() * 1000))


def purge(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    call_command("purge_runs", "--json", *arguments)
    return json.loads(capsys.readouterr().out)


def test_what_is_old_goes_and_the_data_stays(capsys: pytest.CaptureFixture[str]) -> None:
    assert purge(capsys) == {"runs": 1, "idempotency_keys": 2, "counters": 2} | LOGINS
    assert (SyncRun.across_companies.count(), IdempotentAnswer.objects.get().key) == (2, "1")
    assert Counter.objects.get().name == "1"
    assert purge(capsys, "--older-than", "49d") == {"runs": 1, "idempotency_keys": 0, "counters": 0} | LOGINS
    assert Piece.across_companies.count() == 3


def test_a_dry_run_only_counts(capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        purge(capsys, "--dry-run", "--older-than", "2d") == {"runs": 2, "idempotency_keys": 2, "counters": 2} | LOGINS
    )
    assert (SyncRun.across_companies.count(), IdempotentAnswer.objects.count()) == (3, 3)


def test_expired_logins_go_those_in_use_stay(capsys: pytest.CaptureFixture[str]) -> None:
    user = UserFactory.create()
    good, expired = begin(user)["refresh_token"], begin(user)["refresh_token"]
    jti = RefreshToken(expired)["jti"]
    LoginSession.objects.filter(refresh_jti=jti).update(expires_at=timezone.now())
    staff, late = session_of(user), session_of(user)
    Session.objects.filter(session_key=late.session.session_key).update(expire_date=timezone.now())
    removed = purge(capsys)
    assert (removed["logins"], removed["staff_sessions"]) == (1, 1)
    assert (LoginSession.objects.count(), Session.objects.count()) == (1, 1)
    assert staff.get("/admin/").status_code == 200
    assert Api().post("/api/v1/auth/refresh", {"refresh_token": good}).status_code == 200


@pytest.mark.parametrize("text", ["", "x", "-1", "1.5", "1w", "999999"])
def test_a_bad_age_is_one_clear_line(text: str) -> None:
    with pytest.raises(CommandError, match="not a duration"):
        call_command("purge_runs", f"--older-than={text}")
