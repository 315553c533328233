"""Takes the pictures of docs/staff.md: `make screenshots`. Look at them before they are committed.

With SCREENSHOTS=<folder> every page goes there, in both sizes.
"""

import base64
import os
from pathlib import Path

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.support.select import Select
from selenium.webdriver.support.wait import WebDriverWait

from ractory.tests.browser.camera import filmed, seeing
from ractory.tests.browser.desk import PATIENCE, PHONE, WIDE, Desk
from ractory.tests.browser.walk_lists import in_the_way
from ractory.tests.browser.walk_upload import bring, come
from ractory.tests.browser.works import EMAIL, PASSWORD, Works
from sync.tests.files import small_piece
from sync.tests.mistakes import csv_of

FOLDER = Path(os.environ.get("SCREENSHOTS", "docs/screenshots"))
IN_DOCS = {
    *("home-wide", "piece-wide", "piece-phone", "edit-wide", "confirm-wide", "delete-wide", "trash-phone"),
    *("pieces-wide", "pieces-phone", "restore-wide"),
    *("runs-wide", "run-wide", "run-phone", "changes-wide", "undo-wide", "key-wide"),
    *("export-wide", "columns-wide", "check-wide", "check-phone", "receipt-wide", "labels-wide", "camera-phone"),
}
MAX_SIZE = 180_000  # bytes


@pytest.fixture(params=[WIDE, PHONE], ids=["wide", "phone"])
def shooting(desk: Desk, request: pytest.FixtureRequest) -> tuple[Desk, str]:
    desk.window(*request.param)
    desk.log_in(EMAIL, PASSWORD)
    return desk, request.node.callspec.id


def shoot(shooting: tuple[Desk, str], name: str) -> None:
    desk, kind = shooting
    if "SCREENSHOTS" not in os.environ and f"{name}-{kind}" not in IN_DOCS:
        return
    FOLDER.mkdir(exist_ok=True)
    desk.driver.execute_script("document.activeElement.blur()")  # no cursor, whose blinking makes pictures differ
    picture = base64.b64decode(desk.driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})["data"])
    assert len(picture) < MAX_SIZE, name
    (FOLDER / f"{name}-{kind}.png").write_bytes(picture)


def test_shoot_the_pages(shooting: tuple[Desk, str], works: Works) -> None:
    desk, _ = shooting
    shoot(shooting, "home")
    desk.go("/admin/pieces/piece/")
    desk.element(".menu:has(a[download]) summary").click()
    shoot(shooting, "export")
    desk.scan("400000000003")
    shoot(shooting, "piece")
    works.wrong_lengths(30)
    desk.scan("400000000003")
    shoot(shooting, "history")
    desk.follow("sync of 30 pieces")
    shoot(shooting, "changes")
    desk.press("#undo")
    shoot(shooting, "undo")
    desk.press("form.once button.danger")
    shoot(shooting, "undone")
    desk.go(f"/admin/pieces/component/{works.component.guid}/change/")
    shoot(shooting, "component")
    desk.press("#delete")
    shoot(shooting, "delete")
    desk.press("form.once button.danger")
    desk.go("/admin/pieces/deletion/")
    shoot(shooting, "trash")
    in_the_way(works, 1, 7, 13)
    desk.follow("Restore …")
    shoot(shooting, "restore")
    desk.go("/admin/sync/syncrun/")
    shoot(shooting, "runs")
    desk.go("/admin/sync/syncrun/?status=rejected")
    desk.press("#result_list tbody:has(.badge-bad) a")
    shoot(shooting, "run")
    desk.go("/admin/pieces/piece/?o=1")
    shoot(shooting, "pieces")
    desk.go(f"/admin/pieces/piece/labels/project/?guid={works.piece.project_guid}")
    shoot(shooting, "labels")
    desk.go(f"/admin/pieces/piece/{works.piece.guid}/edit/")
    shoot(shooting, "edit")
    desk.fill("outer_length", "-1254")
    desk.fill("profile_color", "anthracite")
    desk.press(".sticky .primary")
    shoot(shooting, "confirm")
    desk.go("/admin/tenants/apikey/")
    shoot(shooting, "keys")
    desk.go("/admin/tenants/apikey/add/")
    shoot(shooting, "key-form")
    desk.fill("description", "Saw 2")
    desk.press("#content form .primary")
    shoot(shooting, "key")
    desk.go("/admin/tenants/user/add/")
    shoot(shooting, "user")
    desk.scan("T3-05")
    shoot(shooting, "find")


def test_shoot_an_upload(shooting: tuple[Desk, str], works: Works, tmp_path: Path) -> None:
    """A cutting list with columns that nobody knows, and some cells that are wrong."""
    desk, _ = shooting
    wrong = {
        7: {"Sägelänge": "12oo"},
        12: {"Sägelänge": "1.254"},
        23: {"Wagen": "#REF!"},
        31: {"barcode": "4,0791E+12"},
    }
    path, rows = tmp_path / "Zuschnitt KW 22.csv", []
    for number in range(40):
        piece = small_piece(works.component, number, profile_code="K70-101", barcode=f"40791160042{number:02}")
        cells = {"Sägelänge": 1254 - number, "Wagen": f"T4-{number % 12:02}", **wrong.get(number, {})}
        rows.append({**piece, "piece_id": f"Z{number:03}", **cells})
    path.write_bytes(csv_of(rows))
    bring(desk, path)
    come(desk, "#columns")
    shoot(shooting, "columns")
    for column, field in (("Sägelänge", "outer_length"), ("Wagen", "trolley_cell")):
        label = desk.driver.find_element(By.XPATH, f"//label[.='{column}']/ancestor::tr//select")
        Select(label).select_by_value(field)
    desk.press("#columns button.primary")
    come(desk, "#decide")
    shoot(shooting, "check")
    desk.press("#decide button.primary")
    come(desk, "#receipt")
    desk.driver.execute_script("document.getElementById('faults').scrollIntoView()")
    shoot(shooting, "receipt")


BLIND = """
    window.BarcodeDetector = class {
        static async getSupportedFormats() { return []; }
        async detect() { return []; }
    };
"""


def test_shoot_the_camera(shooting: tuple[Desk, str], works: Works, tmp_path: Path) -> None:
    """Before it has found something."""
    desk, kind = shooting
    with seeing(filmed(desk, works, tmp_path)) as driver:
        camera = Desk(driver, desk.url)
        camera.window(*(WIDE if kind == "wide" else PHONE))
        camera.log_in(EMAIL, PASSWORD)
        driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": BLIND})
        camera.go("/admin/")
        camera.element("#camera").click()
        said = camera.element("#camera-dialog [role=alert]")
        WebDriverWait(said, PATIENCE).until(lambda said: said.text, "the camera did not start")
        shoot((camera, kind), "camera")
