"""Companies in the admin: for SystemAdmins, who may look at one at a time."""

import uuid

import pytest
from django.test import Client

from pieces.tests.factories import PieceFactory
from tenants.models import Company
from tenants.tests.staff import admin_of, system_admin, text_of

pytestmark = pytest.mark.django_db

LIST, PICK = "/admin/tenants/company/", "/admin/tenants/company/pick/"
PIECES = "/admin/pieces/piece/"


def test_a_system_admin_sees_every_company_or_picks_one(company: Company, other_company: Company) -> None:
    for owner, name in ((company, "own-piece"), (other_company, "other-piece")):
        PieceFactory.create(company=owner, piece_id=name)
    root = system_admin()

    def seen() -> list[bool]:
        text = text_of(root.get(PIECES))
        return [name in text for name in ("own-piece", "other-piece")]

    assert seen() == [True, True]
    root.post(PICK, {"company": str(company.guid)})
    assert seen() == [True, False]
    root.post(PICK, {"company": ""})
    assert seen() == [True, True]


def test_only_what_exists_can_be_picked() -> None:
    root = system_admin()
    assert root.post(PICK, {"company": str(uuid.uuid4())}).status_code == 404
    assert root.post(PICK, {"company": "x"}).status_code == 404
    assert root.get(PICK)["Location"] == "/admin/"


def test_switching_the_company_stays_on_the_page_or_leads_to_its_list(company: Company, other_company: Company) -> None:
    root = system_admin()
    piece = PieceFactory.create(company=company, piece_id="own-piece")
    other = str(other_company.guid)

    def switched(company_guid: str, here: str) -> str:
        """Where the browser ends."""
        answer = root.post(PICK, {"company": company_guid, "next": here}, follow=True)
        assert answer.status_code == 200
        assert f'value="{company_guid}" selected' in answer.content.decode()
        return str(answer.request["PATH_INFO"] + ("?" + answer.request["QUERY_STRING"]).rstrip("?"))

    page = f"{PIECES}{piece.guid}/change/"
    assert switched(str(company.guid), page) == page
    assert switched(other, page) == PIECES
    assert switched(other, f"{PIECES}find/?q=own-piece") == f"{PIECES}find/?q=own-piece"
    assert switched(other, f"{PIECES}?p=3&trolley=T1&component_guid={piece.component_guid}") == f"{PIECES}?trolley=T1"
    assert switched(other, f"/admin/pieces/piece/remove/?guid={piece.guid}") == PIECES
    assert switched(other, LIST) == LIST
    for elsewhere in ("//evil.example/", "https://evil.example/admin/", "/api/docs", ""):
        assert switched(other, elsewhere) == "/admin/"
    assert root.get(page).status_code == 404  # not a switch


def test_companies_are_no_business_of_a_company_admin(company: Company, other_company: Company) -> None:
    staff = admin_of(company)
    for path in (f"{LIST}add/", PICK):
        answer = staff.post(path, {"company": str(other_company.guid), "name": "Mine"})
        assert answer.status_code == 403
        assert "Your role is Company Admin. This takes another one: System Admin." in answer.content.decode()
    assert staff.get(f"{LIST}{other_company.guid}/change/").status_code == 404
    assert other_company.name not in text_of(staff.get("/admin/"))
    assert Company.objects.count() == 2


def test_a_company_admin_says_when_to_warn_and_nothing_else(company: Company) -> None:
    staff, name = admin_of(company), company.name
    own = f"{LIST}{company.guid}/change/"
    assert name in text_of(staff.get(LIST))
    page = staff.get(own).content
    assert b'name="sync_alert_hours"' in page
    assert b'name="name"' not in page
    assert staff.post(own, {"sync_alert_hours": "12", "name": "Mine", "is_active": ""}).status_code == 302
    company.refresh_from_db()
    assert (company.sync_alert_hours, company.name, company.is_active) == (12, name, True)
    staff.post(own, {"sync_alert_hours": ""})
    company.refresh_from_db()
    assert company.sync_alert_hours is None


def test_a_picked_company_does_not_outlive_the_role(company: Company, other_company: Company) -> None:
    """A session that has picked one, and whose user is a CompanyAdmin by now."""
    staff = admin_of(company)
    session = staff.session
    session["staff_company"] = str(other_company.guid)
    session.save()
    PieceFactory.create(company=other_company, piece_id="other-piece")
    assert "other-piece" not in text_of(staff.get(PIECES))


def test_a_company_is_made_and_switched_off(company: Company) -> None:
    root = system_admin()
    assert root.post(f"{LIST}add/", {"name": "New one", "is_active": "on"}).status_code == 302
    assert root.post(f"{LIST}{company.guid}/change/", {"name": company.name}).status_code == 302
    company.refresh_from_db()
    assert not company.is_active
    assert root.post(f"{LIST}{company.guid}/delete/", {"post": "yes"}).status_code == 403


def test_staff_of_an_inactive_company_are_out(company: Company) -> None:
    staff = admin_of(company)
    Company.objects.filter(guid=company.guid).update(is_active=False)
    assert staff.get("/admin/")["Location"].startswith("/admin/login/")


def test_the_admin_needs_no_trailing_slash(client: Client, company: Company) -> None:
    assert admin_of(company).get("/admin").status_code == 200
