"""Editing by hand, with a scanner on the same keyboard: nothing that it types gets into the data by mistake, and
nothing that a person types gets lost."""

import time

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from pieces.models import Piece, Project
from ractory.tests.browser.desk import PATIENCE, PHONE, WIDE, Desk
from ractory.tests.browser.works import EMAIL, PASSWORD, Works
from tenants.scope import every_company

CODE = "400000000003"
SCANNER, PERSON = 12, 66  # ms from key to key; nobody types faster than such a person
ZONE = "Europe/Berlin"


@pytest.fixture(params=[WIDE, PHONE], ids=["wide", "phone"])
def anna(desk: Desk, request: pytest.FixtureRequest) -> Desk:
    desk.window(*request.param)
    desk.driver.execute_cdp_cmd("Emulation.setTimezoneOverride", {"timezoneId": ZONE})
    desk.log_in(EMAIL, PASSWORD)
    return desk


def come_to(desk: Desk, path: str) -> None:
    """And look at it for a moment: nobody scans sooner, and that would count as the rest of a scan."""
    desk.go(path)
    time.sleep(0.2)


def edit(desk: Desk, works: Works, field: str = "barcode") -> None:
    come_to(desk, f"/admin/pieces/piece/{works.piece.guid}/edit/")
    enter(desk, field)


def enter(desk: Desk, field: str) -> None:
    """With the cursor behind what is in it. No click: the bar at the bottom may be above it."""
    element = desk.element(f"[name={field}]")
    desk.driver.execute_script("arguments[0].focus(); arguments[0].setSelectionRange?.(999, 999)", element)


def value(desk: Desk, name: str) -> str:
    return desk.element(f"[name={name}]").get_attribute("value") or ""


def is_asked(desk: Desk) -> bool:
    return bool(desk.driver.execute_script("return document.getElementById('scanned').open"))


def answer(desk: Desk, choice: str) -> None:
    desk.element(f"#scanned [value={choice}]").click()


def arrives(desk: Desk, path: str) -> None:
    WebDriverWait(desk.driver, PATIENCE).until(lambda driver: path in driver.current_url, f"never came to {path}")


def stored(works: Works) -> Piece:
    with every_company():
        piece: Piece = Piece.objects.get(guid=works.piece.guid)
    return piece


def asks_before_it_goes(desk: Desk) -> bool:
    """By what it says to a browser that wants to leave: WebDriver answers the browser's own question by itself."""
    wants = "return !dispatchEvent(new Event('beforeunload', {cancelable: true}))"
    return bool(desk.driver.execute_script(wants))


def test_a_scan_into_a_form_in_which_nothing_was_typed_is_a_search(anna: Desk, works: Works) -> None:
    for end in ("Enter", "Tab"):
        edit(anna, works)
        anna.type_keys("400000000004", gap=SCANNER, end=end, hiccup=200)
        arrives(anna, "/change/")
        assert "PCE-0005" in anna.text(".page-head")
    assert stored(works).barcode == CODE


def test_a_scan_amid_an_edit_is_asked_about(anna: Desk, works: Works) -> None:
    edit(anna, works, "cell")
    anna.fill("cell", "99")
    enter(anna, "barcode")
    anna.type_keys("400000000004", gap=SCANNER, end="Enter")
    assert is_asked(anna)
    assert "400000000004" in anna.text("#scanned")
    anna.type_keys("400000000005", gap=SCANNER, end="Enter")  # one more, with the focus on "Stay"
    assert is_asked(anna)
    assert "400000000005" in anna.text("#scanned")
    answer(anna, "stay")
    assert (value(anna, "barcode"), value(anna, "cell")) == (CODE, "99")

    anna.type_keys("400000000006", gap=SCANNER, end="Tab")
    answer(anna, "put")
    assert (value(anna, "barcode"), value(anna, "cell")) == ("400000000006", "99")
    anna.type_keys("400000000007", gap=SCANNER, end="Enter")
    answer(anna, "open")
    arrives(anna, "/change/")
    assert "PCE-0008" in anna.text(".page-head")
    edit(anna, works)
    assert not anna.element("#draft").is_displayed()
    assert (stored(works).barcode, stored(works).cell) == (CODE, "4")


def test_a_person_s_typing_and_pasting_stay_where_they_are(anna: Desk, works: Works) -> None:
    edit(anna, works)
    anna.type_keys("12345678", gap=PERSON, end="Enter")
    assert value(anna, "barcode") == CODE + "12345678"
    anna.driver.execute_cdp_cmd("Input.insertText", {"text": "pasted-at-once"})
    anna.type_keys("", gap=PERSON, end="Enter")
    assert value(anna, "barcode") == CODE + "12345678pasted-at-once"
    anna.type_keys("9999", gap=SCANNER, end="Enter")  # hit nearly at once, but too few
    assert value(anna, "barcode").endswith("9999")
    assert "/edit/" in anna.driver.current_url  # Enter saves nothing, and asks nothing
    assert not is_asked(anna)
    assert not anna.driver.find_elements(By.ID, "confirm")
    assert stored(works).barcode == CODE


def test_a_scan_presses_no_button_and_picks_from_no_list(anna: Desk, works: Works) -> None:
    come_to(anna, f"/admin/pieces/project/{works.piece.project_guid}/edit/")
    anna.driver.execute_script("document.querySelector('.sticky .primary').focus()")
    anna.type_keys("T3 05 no", gap=SCANNER, end="Enter")
    arrives(anna, "?q=T3+05+no")
    come_to(anna, f"/admin/pieces/project/{works.piece.project_guid}/edit/")
    anna.driver.execute_script("document.querySelector('[name=in_production]').focus()")
    anna.type_keys("no-such-code", gap=SCANNER, end="Enter")
    arrives(anna, "?q=no-such-code")
    with every_company():
        assert Project.objects.get(guid=works.piece.project_guid).in_production is True


@pytest.mark.parametrize("page", ["user/add", "apikey/add"])
def test_other_forms_are_as_safe(anna: Desk, page: str) -> None:
    come_to(anna, f"/admin/tenants/{page}/")
    field = anna.element("#content form input[type=text], #content form input[type=email]")
    field.click()
    anna.type_keys("somebody", gap=PERSON, end="Enter")
    assert f"/{page}/" in anna.driver.current_url
    anna.type_keys(CODE, gap=SCANNER, end="Enter")
    assert is_asked(anna)
    answer(anna, "stay")
    assert field.get_attribute("value") == "somebody"
    field.clear()
    field.click()
    anna.type_keys(CODE, gap=SCANNER, end="Enter")
    arrives(anna, "/piece/")


def test_leaving_asks_and_what_was_typed_outlives_the_session(anna: Desk, works: Works) -> None:
    edit(anna, works)
    assert not asks_before_it_goes(anna)
    anna.fill("client", "Winter")
    assert asks_before_it_goes(anna)
    anna.driver.delete_cookie("sessionid")
    anna.press(".sticky .primary")
    anna.fill("username", EMAIL)
    anna.fill("password", PASSWORD)
    anna.press("#login-form button[type=submit]")
    assert value(anna, "client") == "Sommer"
    anna.element("#draft [data-puts-back]").click()
    assert value(anna, "client") == "Winter"
    anna.press(".sticky .primary")
    anna.press("#confirm .primary")
    assert stored(works).client == "Winter"
    edit(anna, works)
    assert not anna.element("#draft").is_displayed()


def test_a_fault_is_gone_to_and_a_change_shown_before_it_is_saved(anna: Desk, works: Works) -> None:
    edit(anna, works, "outer_length")
    assert "Outer length (mm)" in anna.text()
    assert "Angle left (°)" in anna.text()
    anna.fill("outer_length", "12oo")
    anna.press(".sticky .primary")
    focused = "return document.activeElement"
    WebDriverWait(anna.driver, PATIENCE).until(
        lambda driver: driver.execute_script(focused).get_attribute("role") == "alert"
    )
    anna.element("#refused a").click()
    assert anna.driver.execute_script(focused).get_attribute("name") == "outer_length"
    anna.fill("outer_length", "-500")
    anna.press(".sticky .primary")
    assert "Outer length" in anna.text("#confirm")
    assert "unusual: less than 0" in anna.text("#confirm")
    assert stored(works).outer_length == 1254
    anna.press("#confirm .primary")
    assert stored(works).outer_length == -500


def test_without_scripts_a_change_is_shown_and_saved_too(anna: Desk, works: Works) -> None:
    anna.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        anna.go(f"/admin/pieces/project/{works.piece.project_guid}/edit/")
        assert "Due date (UTC)" in anna.text("#content")
        anna.fill("company_name", "Winter")
        anna.press(".sticky .primary")
        assert "Winter" in anna.text("#confirm")
        anna.press("#confirm .primary")
        assert "Winter" in anna.text("#content")
    finally:
        anna.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


@pytest.mark.parametrize("due", ["2026-12-04T07:00:00Z", "2026-10-25T01:30:00Z", "2026-03-29T01:00:30Z"])
def test_a_due_date_is_edited_as_it_is_shown_and_keeps_its_hour(anna: Desk, works: Works, due: str) -> None:
    project = {"guid": works.piece.project_guid, "code": "2026-0417", "company_guid": works.company.guid}
    assert works.sync("projects", project | {"due_date": due}).status_code == 200
    page = f"/admin/pieces/project/{works.piece.project_guid}"
    anna.go(f"{page}/change/")
    shown = anna.text(f"time[datetime^='{due[:19]}']")
    assert f"Times are those of {ZONE}." in anna.text("#content")
    anna.go(f"{page}/edit/")
    assert value(anna, "due_date").replace("T", " ")[:16] == shown
    assert f"Due date ({ZONE})" in anna.text()
    anna.fill("company_name", "Winter")
    anna.press(".sticky .primary")
    assert "Due date" not in anna.text("#confirm table")
    anna.press("#confirm .primary")
    with every_company():
        stored = Project.objects.get(guid=works.piece.project_guid)
    assert f"{stored.due_date:%Y-%m-%dT%H:%M:%SZ}" == due

    anna.go(f"{page}/edit/")
    anna.driver.execute_script("document.querySelector('[name=due_date]').value = '2026-07-01T08:30'")
    anna.press(".sticky .primary")
    assert "2026-07-01 08:30" in anna.text("#confirm")
    anna.press("#confirm .primary")
    with every_company():
        stored = Project.objects.get(guid=works.piece.project_guid)
    assert f"{stored.due_date:%Y-%m-%dT%H:%M}" == "2026-07-01T06:30"


def test_of_two_scans_without_a_pause_nothing_is_merged(anna: Desk) -> None:
    """The pages are slow, so that the second scan comes before, amid or after their change, during which a browser
    passes no keys on."""
    slow = {"offline": False, "latency": 150, "downloadThroughput": -1, "uploadThroughput": -1}
    anna.driver.execute_cdp_cmd("Network.emulateNetworkConditions", slow)
    outcomes = {}
    for pause in (0, 150, 200, 250, 300, 400, 1000):
        come_to(anna, "/admin/")
        anna.type_keys("400000000004", gap=SCANNER, end="Enter")
        time.sleep(pause / 1000)
        anna.type_keys("400000000005", gap=SCANNER, end="Enter")
        time.sleep(1)
        page, is_asked_for = anna.text("#content"), anna.element("#cut").is_displayed()
        outcomes[pause] = "second" if "PCE-0006" in page else "asked for" if is_asked_for else "first"
        assert "PCE-0006" in page or "PCE-0005" in page, page
    assert outcomes[0] == outcomes[1000] == "second", outcomes


def test_the_last_searches_are_offered_until_logout(anna: Desk) -> None:
    anna.scan("PCE-0001")
    before = anna.driver.current_url
    time.sleep(0.2)
    anna.type_keys("*pce-0002*", gap=SCANNER, end="Tab")
    WebDriverWait(anna.driver, PATIENCE).until(lambda driver: driver.current_url != before)
    assert "PCE-0002" in anna.text(".page-head")
    anna.scan("PCE-0001")
    offered = "return [...document.querySelectorAll('#searches option')].map(one => one.value)"
    assert anna.driver.execute_script(offered) == ["PCE-0001", "*pce-0002*"]
    anna.driver.execute_script("document.getElementById('logout-form').requestSubmit()")
    WebDriverWait(anna.driver, PATIENCE).until(lambda driver: "logout" in driver.current_url)
    anna.log_in(EMAIL, PASSWORD)
    assert anna.driver.execute_script(offered) == []
