"""Addresses of staff pages that no page links to: whatever stands in them, no page breaks."""

import pytest
from django.test import Client

from tenants.models import ApiKey, Company
from tenants.tests.factories import UserFactory, issue_key
from tenants.tests.staff import system_admin, text_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def staff() -> Client:
    client = system_admin()
    client.raise_request_exception = False
    return client


@pytest.mark.parametrize("path", ["search/", "autocomplete/"])
@pytest.mark.parametrize(
    "query",
    [
        *({"s": "p", "page": page} for page in ("1", "abc", "0", "-1", "99", "9" * 5000)),
        {"s": "p", "extended": "1"},
        *(
            {"app_label": "tenants", "model_name": model, "field_name": field, "term": "a"}
            for model, field in (
                ("company", "users"),
                ("user", "company"),
                ("apikey", "company"),
                ("company", "api_keys"),
            )
        ),
        {},
    ],
    ids=lambda query: "-".join(query.values())[:40],
)
def test_the_look_ups_of_widgets_that_no_page_of_ours_has_are_closed(
    staff: Client, path: str, query: dict[str, str]
) -> None:
    assert staff.get(f"/admin/{path}", query).status_code == 404
    assert Client().get(f"/admin/{path}", query).status_code == 404


@pytest.mark.parametrize("kind", ["company", "user", "apikey"])
@pytest.mark.parametrize("page", ["", "add/", "{guid}/", "{guid}/change/", "{guid}/delete/", "{guid}/history/"])
def test_an_opener_names_no_field_but_the_guid(staff: Client, company: Company, kind: str, page: str) -> None:
    user, _ = UserFactory.create(company=company), issue_key(company)
    guid = {"company": company.guid, "user": user.guid, "apikey": ApiKey.objects.get().guid}[kind]
    path = f"/admin/tenants/{kind}/{page.format(guid=guid)}"
    for to_field in ("", "users", "digest", "nothing", "\0", "users__password"):
        assert staff.get(path, {"_to_field": to_field, "_popup": "1"}).status_code in (200, 302, 400, 403)
    assert staff.post(path, {"_to_field": "users", "_popup": "1"}).status_code in (200, 302, 400, 403, 405)
    assert staff.get(path, {"_to_field": "guid", "_popup": "1"}).status_code in (200, 302, 403)


@pytest.mark.parametrize(("kind", "row"), [("user", "anna@example.com"), ("apikey", "saw 4711")])
def test_a_search_is_for_a_few_words(staff: Client, company: Company, kind: str, row: str) -> None:
    """Each word is a condition of its own, and a database takes so many of them."""
    UserFactory.create(email="anna@example.com", company=company)
    issue_key(company, description="saw 4711")
    path = f"/admin/tenants/{kind}/"
    for text in ("a " * 2500, "'\"" * 2500, "x" * 5000):
        assert staff.get(path, {"q": text}).status_code == 200
    assert row in text_of(staff.get(path, {"q": f"{row[4:]} {row[:3]}"}))
    assert row not in text_of(staff.get(path, {"q": f"{row[:3]} nothing"}))


@pytest.mark.parametrize(
    "path", ["tenants/user/", "tenants/company/", "tenants/apikey/", "sync/syncrun/", "pieces/piece/"]
)
@pytest.mark.parametrize("name", ["p", "o", "e", "all", "q"])
def test_a_list_takes_anything_for_a_place_or_an_order(staff: Client, path: str, name: str) -> None:
    for text in ("", "0", "-1", "99", "abc", "9" * 5000, "\0"):
        assert staff.get(f"/admin/{path}", {name: text}).status_code in (200, 302)
