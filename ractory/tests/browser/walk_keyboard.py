"""Whole ways by the keyboard alone: what one reaches by Tab, opens by Enter or Space, and leaves by Escape."""

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from ractory.tests.browser.desk import PATIENCE, PHONE, WIDE, Desk
from ractory.tests.browser.works import EMAIL, PASSWORD, ROOT, Works

MOST = 300  # stops of the Tab key on a page


class Keyboard:
    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    @property
    def focus(self) -> WebElement:
        return self.desk.driver.switch_to.active_element

    def type(self, *keys: str, holding: str = "") -> None:
        """To wherever the focus is, as a keyboard does."""
        actions = ActionChains(self.desk.driver)
        if holding:
            actions.key_down(holding).send_keys(*keys).key_up(holding).perform()
        else:
            actions.send_keys(*keys).perform()

    def tab_to(self, css: str, *, back: bool = False) -> None:
        """Presses Tab until what matches has the focus."""
        for _ in range(MOST):
            self.type(Keys.TAB, holding=Keys.SHIFT if back else "")
            if self.is_on(css):
                return
        pytest.fail(f"Tab does not come to {css} on {self.desk.driver.current_url}")

    def is_on(self, css: str) -> bool:
        return bool(self.desk.driver.execute_script("return document.activeElement.matches(arguments[0])", css))

    def comes_to(self, css: str) -> bool:
        """By itself, in a moment."""
        WebDriverWait(self.desk.driver, PATIENCE).until(lambda driver: self.is_on(css), f"the focus is not on {css}")
        return True

    def press(self, css: str, key: str = Keys.ENTER) -> None:
        """Goes to what leads to another page, and there."""
        self.tab_to(css)
        self.desk.leave_by(lambda: self.type(key))


@pytest.fixture
def keyboard(desk: Desk, works: Works) -> Keyboard:
    desk.window(*WIDE)
    desk.log_in(EMAIL, PASSWORD)
    return Keyboard(desk)


def is_open(desk: Desk, css: str) -> bool:
    return desk.element(css).get_attribute("open") is not None


def test_menus_and_dialogs_open_and_give_the_focus_back(keyboard: Keyboard, desk: Desk) -> None:
    desk.go("/admin/pieces/piece/")
    keyboard.tab_to("a.skip", back=True)
    assert desk.element("a.skip").location["y"] >= 0
    keyboard.type(Keys.ENTER)
    assert keyboard.comes_to("main")

    keyboard.tab_to(".filters-button")
    keyboard.type(Keys.SPACE)
    assert is_open(desk, "#changelist-filter")
    for _ in range(12):  # more than there are stops in it: the browser's own bar may come between
        keyboard.type(Keys.TAB)
        assert keyboard.is_on("#changelist-filter *, body")
    keyboard.type(Keys.ESCAPE)
    assert not is_open(desk, "#changelist-filter")
    assert keyboard.is_on(".filters-button")

    keyboard.tab_to(".pages-beside", back=True)
    for shown in ("false", "true"):
        keyboard.type(Keys.ENTER)
        assert keyboard.focus.get_attribute("aria-expanded") == shown
        assert desk.element("#nav-sidebar").is_displayed() == (shown == "true")

    keyboard.tab_to(".user-menu > summary", back=True)
    keyboard.type(Keys.ENTER)
    keyboard.tab_to("[href='/admin/password_change/']")
    keyboard.type(Keys.ESCAPE)
    assert not is_open(desk, ".user-menu")
    assert keyboard.is_on(".user-menu > summary")
    keyboard.type(Keys.SPACE)
    keyboard.tab_to(".themes button:nth-of-type(2)")
    keyboard.type(Keys.SPACE)
    assert "dark" in (desk.element("html").get_attribute("class") or "")
    keyboard.tab_to(".themes button:nth-of-type(3)")
    keyboard.type(Keys.SPACE)
    keyboard.press("#logout-form button")
    assert "You are logged out" in desk.text()


def test_on_a_phone_the_list_of_pages_opens_and_closes(keyboard: Keyboard, desk: Desk) -> None:
    desk.window(*PHONE)
    desk.go("/admin/")
    keyboard.tab_to("#open-pages", back=True)
    keyboard.type(Keys.ENTER)
    assert keyboard.comes_to("#close-pages")
    keyboard.type(Keys.ESCAPE)
    assert keyboard.comes_to("#open-pages")
    assert not desk.element("#nav-sidebar").is_displayed()
    keyboard.type(Keys.SPACE)
    keyboard.press("#nav-sidebar a[href='/admin/pieces/piece/']")
    assert desk.text("h1") == "Pieces"


def test_a_piece_is_found_edited_deleted_and_brought_back(keyboard: Keyboard, desk: Desk) -> None:
    desk.scan("PCE-0004")  # the box has the focus
    keyboard.press(".page-head .buttons a[href$='/edit/']")
    keyboard.tab_to("[name=outer_length]")
    keyboard.type("a", holding=Keys.CONTROL)
    keyboard.type("12oo")
    keyboard.press(".sticky .primary")
    assert keyboard.comes_to("#refused .errornote")
    keyboard.tab_to("[name=outer_length]")
    keyboard.type("a", holding=Keys.CONTROL)
    keyboard.type("1260")
    keyboard.press(".sticky .primary")
    assert keyboard.comes_to("#confirm")
    keyboard.press("#confirm .primary")
    assert "1254 mm → 1260 mm" in desk.text("#history")

    keyboard.press("#delete")
    keyboard.press("form.once button.danger")
    assert desk.text("#state") == "deleted"
    keyboard.press("#restore")
    keyboard.press("form.once button.primary")
    assert desk.text("#state") == "active"


def test_a_list_is_filtered_and_its_second_page_opened(keyboard: Keyboard, desk: Desk) -> None:
    keyboard.press("#nav-sidebar a[href='/admin/pieces/piece/']")
    keyboard.tab_to(".filters-button")
    keyboard.type(Keys.ENTER)
    keyboard.tab_to("#changelist-filter [name=trolley]")
    desk.leave_by(lambda: keyboard.type("T3", Keys.ENTER))
    assert "trolley=T3" in desk.driver.current_url
    keyboard.press("a[rel=next]")
    assert "Page 2" in desk.text(".pages")
    assert len(desk.driver.find_elements(By.CSS_SELECTOR, "#result_list tbody")) == 50


def test_a_system_admin_picks_a_company(keyboard: Keyboard, desk: Desk) -> None:
    desk.driver.delete_all_cookies()
    desk.log_in(ROOT, PASSWORD)
    keyboard.tab_to("#picker")
    desk.leave_by(lambda: keyboard.type("Fen"))
    assert desk.element("#picker option:checked").text == "Fenster Huber"
