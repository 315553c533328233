"""A file from the desk to its receipt, in a real browser; wide and on a phone."""

from pathlib import Path

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.support.select import Select
from selenium.webdriver.support.wait import WebDriverWait

from pieces.models import Piece
from ractory.tests.browser.desk import PATIENCE, PHONE, WIDE, Desk
from ractory.tests.browser.works import EMAIL, PASSWORD, Works
from sync.admin import uploads as pages
from sync.files import uploads
from sync.tests.files import small_piece
from sync.tests.mistakes import csv_of, mistakes_of, rows_of, xlsx_of

LIST = "/admin/sync/upload/"


def come(desk: Desk, css: str) -> None:
    """Waits until the page that works has come to this."""
    driver = WebDriverWait(desk.driver, 4 * PATIENCE)
    driver.until(lambda driver: driver.find_elements(By.CSS_SELECTOR, css), f"{css} never came")


def count(desk: Desk, css: str) -> int:
    return len(desk.driver.find_elements(By.CSS_SELECTOR, css))


def bring(desk: Desk, path: Path) -> None:
    desk.go(LIST)
    desk.element("#file").send_keys(str(path))
    desk.press("#upload button.primary")


@pytest.fixture(params=[WIDE, PHONE], ids=["wide", "phone"])
def anna(desk: Desk, request: pytest.FixtureRequest) -> Desk:
    desk.window(*request.param)
    desk.log_in(EMAIL, PASSWORD)
    return desk


def fits(desk: Desk) -> bool:
    """Nothing is wider than the window."""
    return bool(desk.driver.execute_script("return document.documentElement.scrollWidth <= window.innerWidth"))


def test_a_file_with_fifty_mistakes(anna: Desk, works: Works, tmp_path: Path) -> None:
    def field_of(column: str) -> Select:
        return Select(anna.driver.find_element(By.XPATH, f"//label[.='{column}']/ancestor::tr//select"))

    path = tmp_path / "Zuschnitt.xlsx"
    rows = rows_of(mistakes_of(works.component), works.component)
    path.write_bytes(xlsx_of([{"Teil": row.pop("piece_id"), **row} for row in rows]))
    bring(anna, path)
    come(anna, "#columns")
    assert count(anna, "#sheet tbody tr") == 10
    assert field_of("Teil").first_selected_option.text == "Piece id"
    assert fits(anna)
    field_of("Teil").select_by_visible_text("leave out")
    anna.press("#columns button.primary")
    assert "No column is “Piece id”, which every row needs." in anna.text("#problems")
    Select(anna.driver.find_element(By.XPATH, "//label[.='Teil']/ancestor::tr//select")).select_by_visible_text(
        "Piece id"
    )
    anna.press("#columns button.primary")
    come(anna, "#decide")
    assert count(anna, "#faults tbody tr") == 50
    assert "Teil" in anna.text("#faults")
    assert fits(anna)
    anna.press("#decide button.primary")
    come(anna, "#receipt")
    assert "50 rows were refused" in anna.text("#receipt")
    assert fits(anna)
    anna.press("#runs a")
    assert "1\ninserted" in anna.text("#rows")
    anna.go(LIST)
    assert "imported" in anna.text("#result_list")
    assert anna.faults() == []


def test_closed_in_the_middle_it_goes_on_where_it_was(
    anna: Desk, works: Works, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reloaded, left, and opened again from the list."""
    monkeypatch.setattr(uploads, "BATCH", 20)
    monkeypatch.setattr(pages, "SECONDS", 0)
    path = tmp_path / "pieces.csv"
    path.write_bytes(csv_of([small_piece(works.component, number) for number in range(600)]))
    bring(anna, path)
    come(anna, "#columns")
    anna.press("#columns button.primary")
    come(anna, "#decide")
    anna.press("#decide button.primary")
    anna.driver.refresh()
    come(anna, "#progress[value]")
    anna.go(LIST)
    state = anna.text("#result_list")
    assert "being imported" in state
    assert "of 600 rows" in state
    assert 0 < Piece.across_companies.filter(company=works.company).count() - 144 < 600
    anna.follow("pieces.csv")
    come(anna, "#receipt")
    assert Piece.across_companies.filter(company=works.company).count() == 144 + 600
    assert anna.faults() == []
