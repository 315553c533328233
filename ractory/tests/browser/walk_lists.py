"""Lists, home, runs, trash and restoring in a real browser: wide and on a phone, in the dark, by keyboard."""

import re
from datetime import timedelta

import pytest
from django.utils import timezone
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from pieces.models import Deletion
from pieces.receipts import SyncRun
from ractory.tests.browser.desk import PHONE, WIDE, Desk
from ractory.tests.browser.works import EMAIL, PASSWORD, ROOT, Works, guid
from tenants.models import ApiKey, Company
from tenants.scope import every_company

OVERFLOW = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
SHOWN = "cell => cell.getClientRects().length"
SEEN = f"return [...arguments[0].children].filter({SHOWN}).map(cell => cell.innerText.trim())"


@pytest.fixture
def anna(desk: Desk) -> Desk:
    desk.window(*WIDE)
    desk.log_in(EMAIL, PASSWORD)
    return desk


def names(desk: Desk) -> list[str]:
    return [each.text for each in desk.driver.find_elements(By.CSS_SELECTOR, "#result_list tbody th a")]


def search(desk: Desk, text: str) -> None:
    field = desk.element("#searchbar")
    field.clear()
    field.send_keys(text)


def in_the_way(works: Works, *numbers: int) -> None:
    """Component W01 is in the trash; other pieces come by the names of some of its pieces."""
    for number in numbers:
        piece = {"piece_id": f"PCE-{number:04}", "project_guid": guid(works.company, "project")}
        above = {"component_guid": guid(works.company, "component", 1), "company_guid": str(works.company.guid)}
        assert works.sync("pieces", piece | above).status_code == 200


def test_a_list_is_searched_sorted_and_filtered(anna: Desk) -> None:
    anna.follow("Pieces")
    assert anna.driver.title.startswith("Pieces")
    assert "2026-0417" in anna.text("#result_list tbody")
    search(anna, "pce-014")
    anna.press("#searchbar-submit")
    assert names(anna) == [f"PCE-{n:04}" for n in range(140, 145)]
    anna.follow("show all")
    anna.follow("Piece id")
    assert names(anna)[0] == "PCE-0001"
    anna.follow("Piece id")
    assert names(anna)[0] == "PCE-0144"
    search(anna, "nothing like it")
    anna.press("#searchbar-submit")
    assert "Nothing here begins with “nothing like it”." in anna.text("#content-main")
    assert "Add" not in anna.text("#content-main")


def test_filters_are_reached_by_keyboard(anna: Desk) -> None:
    anna.go("/admin/pieces/piece/")
    button = anna.element("#filters")
    for _ in range(60):
        anna.driver.switch_to.active_element.send_keys(Keys.TAB)
        if anna.driver.switch_to.active_element == button:
            break
    anna.driver.switch_to.active_element.send_keys(Keys.ENTER)
    within = "return !!document.activeElement.closest('#changelist-filter')"
    assert anna.driver.execute_async_script(f"setTimeout(() => arguments[0]((() => {{ {within} }})()), 300)")
    anna.driver.switch_to.active_element.send_keys(Keys.ESCAPE)
    assert anna.driver.switch_to.active_element == button
    button.send_keys(Keys.ENTER)
    anna.fill("project", "Sommer")
    anna.fill("trolley_cell", "T3-05")
    anna.press("#filter-form button[type=submit]")
    assert sorted(names(anna)) == ["PCE-0005", "PCE-0053", "PCE-0101"]


def test_on_a_phone_a_row_is_a_card_with_three_things(anna: Desk, works: Works) -> None:
    anna.window(*PHONE)
    anna.go("/admin/pieces/piece/?q=PCE-0004")
    row = anna.element("#result_list .data-row")
    assert anna.driver.execute_script(SEEN, row)[1:] == ["PCE-0004", "2026-0417", "W04", "1254", "T3-04"]
    assert row.size["height"] < 90
    anna.go(f"/admin/pieces/component/remove/?guid={works.component.guid}")
    anna.press("form.once button.danger")
    in_the_way(works, 1, 7)
    lists = ("sync/syncrun/", "pieces/deletion/", "pieces/project/", "tenants/user/", "pieces/piece/find/?q=T3-05", "")
    with every_company():
        deletion = Deletion.objects.get().guid
    for path in (*lists, f"pieces/deletion/restore/?guid={deletion}"):
        anna.go(f"/admin/{path}")
        assert anna.driver.execute_script(OVERFLOW) <= 0, path
        for card in anna.driver.find_elements(By.CSS_SELECTOR, "#result_list .data-row, .rows tbody tr"):
            assert card.size["height"] < 170, (path, card.text)
    assert anna.faults() == []


def test_what_fits_comes_back_and_the_rest_can_be_renamed(anna: Desk, works: Works) -> None:
    anna.scan("W01")
    anna.press("#delete")
    assert "2026-0417" in anna.text("form.once li")
    anna.press("form.once button.danger")
    in_the_way(works, 1, 7, 13)
    anna.press("#restore")
    assert len(anna.driver.find_elements(By.CSS_SELECTOR, "#clashes tbody tr")) == 3
    assert "2026-0417 › W02" in anna.text("#clashes tbody tr")
    anna.press("form.once button.primary")
    assert "Restored: 1 component, 2 assemblies, 21 pieces. What did not fit is still in the trash." in anna.text()
    anna.follow("Trash")
    assert re.search(r"piece PCE-00\d\d and 2 more\s+2026-0417 › W01", anna.text("#result_list tbody"))
    anna.follow("Restore …")
    anna.driver.find_element(By.PARTIAL_LINK_TEXT, "Rename PCE-0007").click()
    assert "/edit/" in anna.driver.current_url
    anna.go("/admin/pieces/deletion/")
    anna.follow("Restore …")
    anna.press("form.once button.primary")
    assert "Nothing was restored." in anna.text("#conflict")
    assert anna.driver.find_element(By.ID, "conflict").get_attribute("role") == "alert"


def test_a_deleted_parent_comes_back_together(anna: Desk, works: Works) -> None:
    anna.scan("400000000000")
    anna.press("#delete")
    anna.press("form.once button.danger")
    anna.go(f"/admin/pieces/component/remove/?guid={works.component.guid}")
    anna.press("form.once button.danger")
    anna.scan("400000000000")
    anna.press("#restore")
    anna.follow("Restore W01 together with these")
    assert anna.text("#preview") == "1 component, 2 assemblies, 24 pieces"
    anna.press("form.once button.primary")
    assert "Restored: 1 component, 2 assemblies, 24 pieces." in anna.text()


def test_a_run_of_one_is_called_by_it_and_many_faults_are_summed_up(anna: Desk, works: Works) -> None:
    works.one_more()
    anna.scan("PCE-0301")
    anna.follow("sync of 1 piece")
    assert "Sync of piece PCE-0301" in anna.text(".page-head")
    assert "2026-0417 › W01" in anna.text("#changes tbody")
    below = {"project_guid": guid(works.company, "project"), "company_guid": str(works.company.guid)}
    wrong = [{"piece_id": f"N-{n}", "outer_length": "12oo", "angle_left": "?"} | below for n in range(400)]
    assert works.sync("pieces", *wrong).status_code == 422
    with every_company():
        run = SyncRun.objects.filter(company=works.company, status="rejected").latest("guid")
    anna.go(f"/admin/sync/syncrun/{run.guid}/change/")
    assert "400 × Outer length" in " ".join(anna.text("#kinds").split())
    assert "These are the first of 1200 faults." in anna.text("#faults")
    anna.follow("N-7")
    assert "Nothing here is called “N-7”" in anna.text("#nothing")


@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
def test_home_tells_the_day(anna: Desk, works: Works, size: tuple[int, int]) -> None:
    _, _ = ApiKey.issue(company=works.company, scopes=["sync:read"], description="Saw 3")
    Company.objects.filter(guid=works.company.guid).update(sync_alert_hours=24)
    anna.window(*size)
    anna.go("/admin/")
    assert "144\npieces came" in anna.text("#today")
    assert "1\nsync refused" in anna.text("#today")
    assert "6 × Outer length: This is not a whole number: “12oo”" in anna.text("#refused")
    assert "Saw 3" in anna.text("#keys")
    assert not anna.driver.find_elements(By.CSS_SELECTOR, ".late")
    old = timezone.now() - timedelta(hours=30)
    SyncRun.across_companies.filter(company=works.company).update(started_at=old)
    anna.go("/admin/")
    assert "No sync for too long." in anna.text(".late")
    assert anna.driver.execute_script(OVERFLOW) <= 0
    assert anna.faults() == []


def test_who_sees_all_companies_sees_whose_it_is(desk: Desk) -> None:
    desk.window(*WIDE)
    desk.log_in(ROOT, PASSWORD)
    for path in ("pieces/piece/", "sync/syncrun/", "pieces/piece/find/?q=PCE-0004", ""):
        desk.go(f"/admin/{path}")
        assert "Fenster Huber" in desk.text("#content"), path
        assert "Other Windows" in desk.text("#content"), path
