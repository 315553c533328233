"""A CompanyAdmin's day at the desk, in a real browser; the other company is nowhere to be seen."""

import re

import pytest
from selenium.webdriver.common.by import By

from ractory.api.tests.client import Api
from ractory.tests.browser.desk import PHONE, WIDE, Desk
from ractory.tests.browser.works import EMAIL, PASSWORD, ROOT, Works
from sync.models import SyncRun


@pytest.fixture
def anna(desk: Desk) -> Desk:
    desk.window(*WIDE)
    desk.log_in(EMAIL, PASSWORD)
    return desk


def sees_nothing_of_others(desk: Desk) -> None:
    page = desk.driver.page_source
    assert "Other Windows" not in page
    assert "Secret order" not in page
    assert "5000000000" not in page


def test_a_scan_opens_the_piece_with_its_history(anna: Desk, works: Works) -> None:
    assert "Fenster Huber" in anna.text(".finder")
    anna.scan("400000000003")
    assert anna.driver.current_url.endswith(f"/piece/{works.piece.guid}/change/")
    assert "PCE-0004" in anna.text(".page-head")
    history = anna.text("#history")
    assert re.search(r"Changed by key “RaConnect” in a sync of 1 piece\n.*\nOuter length\n1221 mm → 1254 mm", history)
    assert re.search(r"Created by key “RaConnect” in a sync of 144 pieces", history)
    assert "PCE-0004" not in history  # what it was made with shows who asks
    anna.element("#history summary").click()
    assert "Piece id\nPCE-0004" in anna.text("#history")
    shown = "return document.querySelector('.picture img').naturalWidth"
    assert anna.driver.execute_script(shown) == 240
    sees_nothing_of_others(anna)
    anna.scan("T3-05")  # the box has the focus on every page
    assert len(anna.driver.find_elements(By.CSS_SELECTOR, ".rows tbody tr")) == 3
    sees_nothing_of_others(anna)


def test_another_company_s_piece_can_not_be_found_or_opened(anna: Desk, works: Works) -> None:
    for text in ("500000000003", str(works.foreign.guid)):
        anna.scan(text)
        assert "Nothing here is called" in anna.text("#nothing")
    anna.go(f"/admin/pieces/piece/{works.foreign.guid}/change/")
    assert "PCE-0004" not in anna.driver.page_source


def test_a_component_goes_to_the_trash_and_comes_back(anna: Desk, works: Works) -> None:
    anna.scan("W01")
    anna.press("#delete")
    assert anna.text("#preview") == "1 component, 2 assemblies, 24 pieces"
    anna.press("form.once button.danger")
    assert "In the trash: 1 component, 2 assemblies, 24 pieces." in anna.text()
    assert anna.text("#state") == "deleted"

    anna.follow("Trash")
    row = anna.text("#result_list tbody")
    assert "component W01" in row
    assert "2 assemblies, 24 pieces" in row
    assert EMAIL in row
    sees_nothing_of_others(anna)
    anna.follow("Restore …")
    assert anna.text("#preview") == "1 component, 2 assemblies, 24 pieces"
    anna.press("form.once button.primary")
    assert anna.text("#state") == "active"
    assert re.search(rf"Restored by {EMAIL} .*\n.*\nDeleted by {EMAIL}", anna.text("#history"))

    anna.scan("400000000000")  # a piece of it
    assert f"Deleted by {EMAIL} together with component W01" in anna.text("#history")


def test_a_conflict_is_explained_and_nothing_is_restored(anna: Desk, works: Works) -> None:
    anna.scan("400000000003")
    anna.press("#delete")
    anna.press("form.once button.danger")
    taken = {"piece_id": "PCE-0004", "project_guid": works.piece.project_guid, "company_guid": works.company.guid}
    answer = works.sync("pieces", taken | {"component_guid": works.piece.component_guid})
    assert answer.status_code == 200
    anna.press("#restore")
    anna.press("form.once button.primary")
    assert "Nothing was restored." in anna.text("#conflict")
    assert "Rename PCE-0004 …" in anna.text("#clashes")


def test_the_faults_of_a_refused_sync_are_readable(anna: Desk) -> None:
    anna.follow("Sync runs")
    assert "Sync of 144 pieces" in anna.text("#result_list")
    assert anna.driver.execute_script("return document.querySelectorAll('canvas.chart').length") == 2
    drawn = "return [...document.querySelectorAll('canvas.chart')].every(one => Chart.getChart(one).data.labels.length)"
    assert anna.driver.execute_script(drawn)
    sees_nothing_of_others(anna)
    anna.press("#result_list tbody:has(.badge-bad) a")
    assert "refused, 422" in anna.text(".page-head")
    kinds = anna.text("#kinds")
    assert "6 ×" in kinds
    assert "Outer length" in kinds
    assert "6 × Outer length This is not a whole number: “12oo”" in kinds
    assert re.search(r"10 400000000209 Piece id This must be filled in", anna.text("#faults"))


def test_a_key_is_made_shown_once_and_works(anna: Desk, works: Works, api: Api) -> None:
    anna.follow("API keys")
    anna.press("a[href*='/apikey/add/']")
    anna.fill("description", "Saw 2")
    anna.press("#content form .primary")
    key = anna.element("#new-key").get_attribute("value") or ""
    assert key.startswith("rfk_")
    assert key in (anna.element("#new-curl").get_attribute("value") or "")
    anna.element("[data-copies=new-key]").click()
    assert anna.text("[data-copies=new-key]") == "Copied"
    assert len(api.with_key(key).get("/api/v1/pieces?limit=1000").json()) == 144  # of 288 in all

    anna.follow("I have copied it")
    assert key not in anna.driver.page_source
    anna.follow("Saw 2")
    anna.follow("Revoke")
    anna.press("#content form .danger")
    assert api.get("/api/v1/pieces").status_code == 401


def test_a_change_by_hand_is_checked_and_recorded(anna: Desk) -> None:
    anna.scan("400000000003")
    anna.follow("Edit")
    anna.fill("outer_length", "99999999999")
    anna.press(".sticky .primary")
    assert "This number is too large or too small to be kept" in anna.text("#refused")
    anna.fill("outer_length", "1260")
    anna.press(".sticky .primary")
    anna.press("#confirm .primary")
    assert re.search(rf"Changed by {EMAIL} by hand\n.*\nOuter length\n1254 mm → 1260 mm", anna.text("#history"))


def test_a_wrong_delivery_is_taken_back_and_what_was_written_since_can_stay(anna: Desk, works: Works) -> None:
    works.wrong_lengths(30)
    anna.scan("400000000003")
    anna.follow("Edit")
    anna.fill("outer_length", "1260")
    anna.press(".sticky .primary")
    anna.press("#confirm .primary")
    anna.follow("sync of 30 pieces")
    assert "30\nchanged" in anna.text("#rows")
    assert len(anna.driver.find_elements(By.CSS_SELECTOR, "#changes tbody tr")) == 20
    anna.follow("More →")
    assert len(anna.driver.find_elements(By.CSS_SELECTOR, "#changes tbody tr")) == 10
    sees_nothing_of_others(anna)

    anna.press("#undo")
    assert "written since" in anna.text("#conflict")
    assert "piece PCE-0004 by hand" in anna.text(".rows tbody")
    anna.press("#skip")
    assert anna.text("#preview") == "29 changed, 1 left as they are"
    anna.press("form.once button.danger")
    assert "Undone: 29 changed, 1 left as they are." in anna.text()
    assert "This took back what was written in a sync of 30 pieces." in anna.text(".notice")
    assert re.search(r"Outer length\s+1 mm → 1\d\d\d mm", anna.text("#changes"))
    anna.follow("sync of 30 pieces")
    assert "This has been undone in an undo of 29 pieces." in anna.text("#undone")
    assert not anna.driver.find_elements(By.CSS_SELECTOR, "#undo")
    sees_nothing_of_others(anna)


def test_what_an_undo_took_is_in_the_trash(anna: Desk, works: Works) -> None:
    works.one_more()
    anna.scan("PCE-0301")
    anna.follow("sync of 1 piece")
    anna.press("#undo")
    assert anna.text("#preview") == "1 deleted"
    anna.press("form.once button.danger")
    anna.follow("Trash")
    assert re.search(rf"piece PCE-0301 .*{EMAIL} in an undo of 1 piece", anna.text("#result_list tbody"))


def test_on_a_phone_everything_fits(anna: Desk, works: Works) -> None:
    anna.window(*PHONE)
    anna.faults()  # those of the pages before
    piece, lists = f"/admin/pieces/piece/{works.piece.guid}", ("pieces/piece", "pieces/deletion", "sync/syncrun")
    pages = [f"{piece}/change/", f"{piece}/edit/", "/admin/pieces/piece/find/?q=T3-05", "/admin/tenants/user/add/"]
    refused = SyncRun.across_companies.filter(company=works.company, status="rejected").latest("guid")
    done = SyncRun.across_companies.filter(company=works.company, received=1, status="succeeded").latest("guid")
    pages += [f"/admin/sync/syncrun/{done.guid}/{page}/" for page in ("change", "undo")]
    pages += [f"/admin/sync/syncrun/{refused.guid}/change/", f"/admin/pieces/component/{works.component.guid}/change/"]
    for path in ("/admin/", *pages, *(f"/admin/{name}/" for name in (*lists, "tenants/apikey", "tenants/user"))):
        anna.go(path)
        overflow = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert anna.driver.execute_script(overflow) <= 0, path
        assert anna.faults() == []


def test_a_system_admin_picks_a_company(desk: Desk) -> None:
    desk.window(*WIDE)
    desk.log_in(ROOT, PASSWORD)
    desk.scan("PCE-0004")
    assert len(desk.driver.find_elements(By.CSS_SELECTOR, ".rows tbody tr")) == 2
    desk.choose("company", "Fenster Huber")
    desk.scan("PCE-0004")
    assert "/piece/" in desk.driver.current_url
