"""The Content-Security-Policy, as a browser enforces it; and the page of the API, which is under one too."""

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from ractory.tests.browser.desk import PATIENCE, WIDE, Desk
from ractory.tests.browser.works import EMAIL, PASSWORD

INLINE = """
    const script = document.createElement("script");
    script.textContent = "document.title = 'injected'";
    document.body.append(script);
    return document.title
"""
ATTRIBUTE = """
    const image = document.createElement("div");
    image.innerHTML = "<img src='data:,' onerror='document.title = 1'>";
    document.body.append(image);
"""


@pytest.mark.parametrize("path", ["/admin/", "/api/docs"])
def test_injected_script_does_not_run_and_a_walk_would_fail(desk: Desk, path: str) -> None:
    desk.log_in(EMAIL, PASSWORD)
    desk.go(path)
    assert desk.violations() == []
    assert desk.driver.execute_script(INLINE) != "injected"
    assert len(desk.violations()) == 1
    desk.driver.execute_script(ATTRIBUTE)
    WebDriverWait(desk.driver, PATIENCE).until(lambda driver: desk.violations(), "no violation was reported")
    assert desk.driver.title != "1"


def test_nothing_from_elsewhere_is_loaded_and_no_frame_shows_a_page(desk: Desk) -> None:
    desk.log_in(EMAIL, PASSWORD)
    desk.driver.execute_script("document.body.append(Object.assign(new Image(), {src: 'http://127.0.0.1:1/a.png'}))")
    assert any("127.0.0.1:1" in violation for violation in desk.violations())


def test_the_page_of_the_api_lists_every_operation_and_calls_one(desk: Desk) -> None:
    desk.window(*WIDE)
    desk.go("/api/docs")
    desk.element("#operations-auth-login")
    operations = desk.driver.find_elements(By.CSS_SELECTOR, ".opblock")
    assert len(operations) > 20
    desk.element("#operations-meta-liveness button.opblock-summary-control").click()
    desk.element("#operations-meta-liveness .try-out__btn").click()
    desk.element("#operations-meta-liveness .execute").click()
    assert '"ok"' in desk.text("#operations-meta-liveness .live-responses-table tr.response")
    assert desk.faults() == []
