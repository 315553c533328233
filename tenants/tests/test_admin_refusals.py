"""What a staff page says instead of itself: in words, in the frame of all pages, with a way back."""

import uuid
from typing import Any

import pytest
from django.test import Client

from pieces.models import Piece
from pieces.tests.factories import PieceFactory
from ractory.api.tests.client import Api
from tenants.caller import Role
from tenants.models import Company
from tenants.tests.factories import PASSWORD, UserFactory
from tenants.tests.staff import admin_of, session_of

pytestmark = pytest.mark.django_db

PIECES, USERS = "/admin/pieces/piece/", "/admin/tenants/user/"


@pytest.fixture
def piece(company: Company) -> Piece:
    made: Piece = PieceFactory.create(company=company)
    return made


def is_framed(answer: Any, status: int, *links: str) -> str:
    """The page, which has the search box, the sidebar and these ways back."""
    assert answer.status_code == status
    page: str = answer.content.decode()
    assert 'role="alert"' in page
    assert 'name="q"' in page
    for link in ("/admin/", PIECES, *links):
        assert f'href="{link}"' in page
    return page


def test_what_is_not_there_has_a_page_of_the_admin(company: Company, other_company: Company, piece: Piece) -> None:
    staff, foreign = admin_of(company), UserFactory.create(company=other_company)
    lists = ("pieces/piece", "pieces/project", "sync/syncrun", "tenants/user", "tenants/apikey", "tenants/company")
    for name in lists:
        for row in (uuid.uuid4(), "nonsense"):
            said = is_framed(staff.get(f"/admin/{name}/{row}/change/"), 404, f"/admin/{name}/")
            assert "There is nothing at this address" in said
    assert foreign.email not in is_framed(staff.get(f"{USERS}{foreign.guid}/change/"), 404, USERS)
    for path in ("/admin/nothing/", "/admin/pieces/", "/admin/search/"):
        is_framed(staff.get(path), 404)
    assert 'href="/admin/"' in Client().get("/admin/search/").content.decode()  # who has no session gets one, too


def test_a_page_that_takes_a_form_only_says_so(company: Company) -> None:
    answer = admin_of(company).get("/admin/logout/")
    assert "only takes what a form sends" in is_framed(answer, 405)
    assert "POST" in answer["Allow"]


def test_a_form_that_is_older_than_the_login_can_be_opened_again(company: Company, piece: Piece) -> None:
    user = UserFactory.create(company=company, role=Role.COMPANY_ADMIN)
    edit = f"{PIECES}{piece.guid}/edit/"
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(user)
    assert "This form was opened before you last logged in" in is_framed(browser.post(edit), 403, edit)
    login = browser.post("/admin/login/", {"username": user.email, "password": PASSWORD})  # in another tab
    assert 'href="/admin/login/"' not in is_framed(login, 403)


def test_who_logs_in_again_is_back_at_the_form(client: Client, company: Company, piece: Piece) -> None:
    user = UserFactory.create(company=company, role=Role.COMPANY_ADMIN)
    form = f"/admin/pieces/piece/remove/?guid={piece.guid}"
    answer = client.post(form, {"guid": str(piece.guid)})
    again = client.post(answer["Location"], {"username": user.email, "password": PASSWORD})
    assert again["Location"] == form
    assert client.get(form).status_code == 200


def test_a_browser_finds_the_admin_at_the_root_and_a_program_does_not(client: Client, api: Api) -> None:
    html = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    assert client.get("/", headers=html)["Location"] == "/admin/"
    for accept in ({}, {"Accept": "*/*"}, {"Accept": "application/json"}):
        answer = api.get("/", headers=accept)
        assert (answer.status_code, answer.json()) == (404, {"detail": "Not found."})


def test_what_no_page_of_the_admin_can_answer_has_a_way_back(company: Company) -> None:
    staff = session_of(UserFactory.create(company=company, role=Role.OPERATOR))
    too_many = {f"field{number}": "" for number in range(1001)}
    for answer in (staff.get("/administration/"), staff.post("/admin/password_change/", too_many)):
        assert answer.status_code in (400, 404)
        assert 'href="/admin/"' in answer.content.decode()
