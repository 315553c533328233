"""Every page of the staff's site as each role, looked at by axe-core: WCAG 2.2 A and AA, and what is good practice.

The pages are those of the permission matrix, which fails if one has no entry in it: none is forgotten here.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.contrib.auth.hashers import make_password
from selenium.webdriver.common.by import By

from pieces.models import Deletion
from ractory.tests.browser.axe import Axe
from ractory.tests.browser.desk import WIDE, Desk
from ractory.tests.browser.works import EMAIL, PASSWORD, ROOT, Works, guid
from ractory.tests.test_staff_matrix import MAY, PAGES, Page, address
from sync.models import SyncRun, Upload
from sync.tests.mistakes import csv_of, mistakes_of
from sync.tests.mistakes import rows_of as rows_of_file
from tenants.caller import Role
from tenants.models import ApiKey, User
from tenants.scope import every_company

NO_PAGE = re.compile(r"export/|picture/|jsi18n/|refused\.")  # files


@pytest.fixture
def axe(desk: Desk) -> Iterator[Axe]:
    desk.window(*WIDE)
    axe = Axe(desk)
    yield axe
    axe.remove()
    assert not axe.faults, "\n".join(f"{where}: {fault}" for fault, where in sorted(axe.faults.items()))


def log_in_as(desk: Desk, works: Works, role: str) -> None:
    email = {"SystemAdmin": ROOT, "CompanyAdmin": EMAIL}.get(role, "new@huber.example")
    if email == "new@huber.example":
        User.objects.create(email=email, role=Role(role), company=works.company, password=make_password(PASSWORD))
    desk.log_in(email, PASSWORD)


def rows_of(works: Works) -> dict[str, object]:
    """A row of each model; of the trash one that a person put there."""
    company = works.company
    works.one_more()
    with every_company():
        run = SyncRun.objects.filter(company=company, received=1, status="succeeded").latest("guid")
        deletion = Deletion.objects.filter(company=company).latest("guid")
        key, user = ApiKey.objects.get(company=company), User.objects.get(email=EMAIL)
        file = {"entity": "pieces", "name": "cut.csv", "size": 1, "actor": f"user:{EMAIL}"}
        upload = Upload.objects.create(company=company, stage="unreadable", notes=["It is empty."], **file)
    rows: dict[str, object] = {"piece": works.piece.guid, "component": works.component.guid, "company": company.guid}
    rows |= {"project": guid(company, "project"), "assembly": guid(company, "assembly", 0), "deletion": deletion.guid}
    return rows | {"upload": upload.guid, "syncrun": run.guid, "apikey": key.guid, "user": user.guid}


def is_page(route: str, page: Page) -> bool:
    return page.get not in (302, 404, 405) and not NO_PAGE.search(route)


@pytest.mark.parametrize("role", ["SystemAdmin", "CompanyAdmin", "ProjectManager", "Operator"])
def test_every_page_of_a_role(desk: Desk, works: Works, axe: Axe, role: str) -> None:
    works.delete_a_piece()
    rows = rows_of(works)
    log_in_as(desk, works, role)
    routes = [route for route, page in PAGES.items() if is_page(route, page) and page.needs in MAY[role]]
    refused = next((route for route, page in PAGES.items() if is_page(route, page) and page.needs not in MAY[role]))
    titles: dict[str, str] = {}
    for route in (*routes, refused):
        desk.go(address(route, PAGES[route], rows)[0])  # type: ignore[arg-type]
        assert bool(desk.driver.find_elements(By.ID, "refusal")) == (route == refused), route
        axe.look(route)
        if (same := titles.setdefault(desk.driver.title, route)) != route:
            axe.faults[f"the title of {same}"] = route


def test_without_a_login(desk: Desk, axe: Axe) -> None:
    desk.go("/admin/")
    axe.look("login")
    desk.log_in(EMAIL, "not the password")
    axe.look("login refused")
    desk.log_in(EMAIL, PASSWORD)
    desk.driver.execute_script("document.getElementById('logout-form').submit()")
    desk.element(".logged-out")
    axe.look("logged out")


def test_lists_in_their_states(desk: Desk, works: Works, axe: Axe) -> None:
    desk.log_in(EMAIL, PASSWORD)
    desk.go("/admin/pieces/piece/?q=nothing-is-called-so")
    axe.look("empty list")
    desk.go("/admin/pieces/piece/?o=2&p=2")
    axe.look("sorted list, second page")
    for css, name in ((".menu > summary", "export"), (".action-select", "marked"), (".filters-button", "filters")):
        desk.go("/admin/pieces/piece/?trolley=T3")
        desk.element(css).click()
        axe.look(f"list, {name}")
    desk.go("/admin/pieces/piece/")
    desk.element(".user-menu > summary").click()
    axe.look("user menu")
    for query in ("T3-05", "nothing-is-called-so"):
        desk.go(f"/admin/pieces/piece/find/?q={query}")
        axe.look(f"find {query}")


def test_pages_that_say_no(desk: Desk, works: Works, axe: Axe) -> None:
    works.wrong_lengths(3)
    desk.log_in(EMAIL, PASSWORD)
    desk.go("/admin/nothing/")
    axe.look("not there")
    desk.go("/admin/logout/")
    axe.look("not this way")
    desk.go("/admin/password_change/")
    desk.fill("old_password", "not it")
    desk.press("#content [type=submit]")
    axe.look("password change refused")
    desk.go(f"/admin/tenants/user/{User.objects.get(email=EMAIL).guid}/password/")
    axe.look("another's password")
    desk.go("/admin/tenants/user/add/")
    desk.press("[name=_save]")
    axe.look("user refused")
    refused = SyncRun.across_companies.filter(company=works.company, status="rejected").latest("guid")
    desk.go(f"/admin/sync/syncrun/{refused.guid}/change/")
    axe.look("refused run")


def test_an_edit_on_its_way(desk: Desk, works: Works, axe: Axe) -> None:
    desk.log_in(EMAIL, PASSWORD)
    desk.go(f"/admin/pieces/piece/{works.piece.guid}/edit/")
    desk.fill("outer_length", "12oo")
    desk.press(".sticky .primary")
    axe.look("edit refused")
    desk.fill("outer_length", "1260")
    desk.press(".sticky .primary")
    axe.look("edit to be confirmed")
    desk.element("#content details > summary").click()
    desk.element("[name=barcode]").click()
    desk.type_keys("400000000007", gap=12, end="Enter")
    desk.element("#scanned[open]")
    axe.look("scan while editing")


def test_an_undo_and_a_restore_with_something_in_the_way(desk: Desk, works: Works, axe: Axe) -> None:
    works.wrong_lengths(3)
    run = SyncRun.across_companies.filter(company=works.company, received=3).latest("guid")
    works.sync("pieces", works.item(0) | {"outer_length": 2})
    desk.log_in(EMAIL, PASSWORD)
    desk.go(f"/admin/sync/syncrun/{run.guid}/undo/")
    axe.look("undo with conflicts")
    desk.scan("400000000003")
    desk.press("#delete")
    desk.press("form.once button.danger")
    works.sync("pieces", works.item(3) | {"guid": guid(works.company, "piece", "another"), "barcode": "another"})
    desk.press("#restore")
    axe.look("restore with conflicts")


def test_a_new_key(desk: Desk, axe: Axe) -> None:
    desk.log_in(EMAIL, PASSWORD)
    desk.go("/admin/tenants/apikey/add/")
    desk.fill("description", "Saw 2")
    desk.press("#content form .primary")
    axe.look("key, shown once")


def test_labels_of_both_sizes(desk: Desk, works: Works, axe: Axe) -> None:
    desk.log_in(EMAIL, PASSWORD)
    for size in ("roll", "a4"):
        desk.go(f"/admin/pieces/piece/labels/component/?guid={works.component.guid}&size={size}")
        axe.look(f"labels, {size}")


def test_an_upload_from_its_columns_to_its_receipt(desk: Desk, works: Works, axe: Axe, tmp_path: Path) -> None:
    file = tmp_path / "Zuschnitt.csv"
    rows = rows_of_file(mistakes_of(works.component)[:8], works.component)
    file.write_bytes(csv_of([{"Teil": row.pop("piece_id"), **row} for row in rows]))
    desk.log_in(EMAIL, PASSWORD)
    desk.go("/admin/sync/upload/")
    axe.look("uploads")
    desk.element("#file").send_keys(str(file))
    desk.press("#upload button.primary")
    for css, leads_on in (("#columns", "#columns"), ("#decide", "#decide"), ("#receipt", None)):
        desk.element(css)
        axe.look(f"upload, {css}")
        if leads_on:
            desk.press(f"{leads_on} button.primary")
