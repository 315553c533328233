"""The home page tells the day: what came and went, what was refused and why, what needs somebody."""

import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from pieces.models import Component
from pieces.tests.factories import PieceFactory
from sync.tests.batches import Sync, full_piece, piece_item
from sync.tests.test_admin_runs import made
from tenants.caller import Role
from tenants.models import ApiKey, Company
from tenants.tests.factories import UserFactory, issue_key
from tenants.tests.staff import admin_of, session_of, system_admin, text_of

pytestmark = pytest.mark.django_db

HOME = "/admin/"


@pytest.fixture
def staff(company: Company) -> Client:
    return admin_of(company)


def home(client: Client) -> str:
    """What a person reads below the search box."""
    return text_of(client.get(HOME)).rpartition("barcode_scanner")[2]


def as_role(company: Company, role: Role) -> Client:
    return session_of(UserFactory.create(company=company, role=role))


def test_the_day_is_told_in_pieces(staff: Client, sync: Sync, component: Component, company: Company) -> None:
    sync("pieces", *(full_piece(component, number) for number in range(5)))
    sync("pieces", full_piece(component, 0, cell="x"), full_piece(component, 1, cell="x"))
    sync("pieces", full_piece(component, 7), query="?dry_run=true")
    sync("pieces", full_piece(component, 2), full_piece(component, 3) | {"is_active": False})
    made(company, timezone.now() - timedelta(hours=25), inserted=1000)
    assert "5 pieces came 2 changed 1 were deleted 0 syncs refused" in home(staff)
    assert sync.api.delete(f"/api/v1/components/{component.guid}").status_code == 204
    assert "5 pieces came 2 changed 5 were deleted" in home(staff)  # 4 with their component


def test_refused_syncs_say_why_in_words(staff: Client, sync: Sync, component: Component) -> None:
    wrong = [piece_item(component, piece_id=str(n), outer_length="12oo") for n in range(3)]
    sync("pieces", *wrong, piece_item(component, barcode=5))
    text = home(staff)
    assert "1 sync refused" in text
    assert "3 × Outer length: This is not a whole number: “12oo”" in text
    assert "Barcode" not in text  # the most frequent one


def test_a_sync_that_does_not_come_is_told_after_the_hours_that_the_company_set(
    staff: Client, company: Company, other_company: Company
) -> None:
    now = timezone.now()
    made(company, now - timedelta(hours=30), operation="import")
    for fields in ({"status": "rejected"}, {"operation": "edit"}, {"dry_run": True}):  # bring nothing
        made(company, now, **fields)
    made(other_company, now)
    assert "last sync" in home(staff)
    assert "No sync for too long" not in home(staff)  # nobody wants to know
    for hours, late in ((31, False), (29, True)):
        Company.objects.filter(guid=company.guid).update(sync_alert_hours=hours)
        assert ("No sync for too long. The last one came" in home(staff)) == late
    Company.objects.update(sync_alert_hours=29)
    assert f"{company.name}: No sync for too long." in home(system_admin())
    assert f"{other_company.name}: No sync" not in home(system_admin())
    Company.objects.filter(guid=other_company.guid).update(created_at=now - timedelta(days=9), sync_alert_hours=1)
    assert "No sync for too long. None has come yet" not in home(admin_of(other_company))
    made(company, now)
    assert "No sync for too long" not in home(staff)


def test_keys_that_end_or_were_never_used_are_told_to_who_manages_them(
    staff: Client, company: Company, other_company: Company
) -> None:
    now = timezone.now()
    keys: dict[str, dict[str, object]] = {
        "Ending": {"expires_at": now + timedelta(days=20)},
        "Idle": {"last_used_at": None},
        "Busy": {},
        "Long": {"expires_at": now + timedelta(days=300)},
        "Over": {"expires_at": now - timedelta(days=1)},
        "Revoked": {"revoked_at": now},
        "Off": {"is_active": False},
    }
    for name, fields in keys.items():
        issue_key(company, description=name)
        ApiKey.objects.filter(description=name).update(**fields)
    issue_key(other_company, description="Theirs")
    ApiKey.objects.filter(description="Theirs").update(last_used_at=None)
    text = home(staff)
    assert re.search(r"Keys to look after Ending ends \S+ \S+ UTC Idle never used Projects", text)
    assert "Theirs" in home(system_admin())
    assert "Keys to look after" not in home(as_role(company, Role.INTEGRATION))


@pytest.mark.parametrize("role", Role)
def test_each_role_sees_what_it_may(company: Company, role: Role) -> None:
    piece = PieceFactory.create(company=company, piece_id="W-gone")
    admin_of(company).post("/admin/pieces/piece/remove/", {"guid": str(piece.guid)})
    text = home(as_role(company, role) if role != Role.SYSTEM_ADMIN else system_admin())
    assert "The last 24 hours" in text
    assert ("W-gone" in text) == (role not in (Role.OPERATOR, Role.INTEGRATION)) == ("Trash" in text)
    assert ("Keys" in text) is False  # there is none to tell of


def test_home_is_the_own_company_s_and_takes_the_same_queries_for_many(
    staff: Client, company: Company, other_company: Company
) -> None:
    root = system_admin()

    def taken(client: Client) -> int:
        with CaptureQueriesContext(connection) as queries:
            client.get(HOME)
        assert not any("pieces_piece" in query["sql"] and "COUNT(" in query["sql"] for query in queries)
        return len(queries)

    def fill(of: Company, name: str) -> None:
        issue_key(of, description=f"{name} key")
        piece = PieceFactory.create(company=of, project__code=f"{name} project")
        admin_of(of).post("/admin/pieces/piece/remove/", {"guid": str(piece.guid)})
        for _ in range(2):
            made(of, timezone.now(), status="rejected", http_status=422, actor=f"user:{name}")

    fill(company, "Ours")
    taken(staff), taken(root)
    few = [taken(staff), taken(root)]
    for _ in range(4):
        fill(company, "Ours")
        fill(other_company, "Theirs")
    assert [taken(staff), taken(root)] == few
    assert max(few) <= 18
    text = home(staff)
    assert "Ours project" in text
    assert "Theirs" not in text
    assert other_company.name in home(root)
