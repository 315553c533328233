"""What leaves the desk, and how it comes back: lists as files, labels on paper, and codes before the camera."""

import base64
import csv
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.contrib.auth.hashers import make_password
from openpyxl import load_workbook
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from pieces.models import Piece
from ractory.tests.browser.camera import filmed, seeing
from ractory.tests.browser.conftest import found
from ractory.tests.browser.desk import PATIENCE, PHONE, WIDE, Desk
from ractory.tests.browser.works import PASSWORD, Works
from tenants.caller import Role
from tenants.models import User
from tenants.scope import every_company

OPERATOR, MANAGER = "otto@huber.example", "maria@huber.example"
UMLAUTS, LONG = "Flügel Ö 7", "x" * 255


@pytest.fixture
def people(works: Works) -> None:
    for email, role in ((OPERATOR, Role.OPERATOR), (MANAGER, Role.PROJECT_MANAGER)):
        User.objects.create(email=email, role=role, company=works.company, password=make_password(PASSWORD))


@pytest.fixture(params=[WIDE, PHONE], ids=["wide", "phone"])
def operator(desk: Desk, people: None, request: pytest.FixtureRequest) -> Desk:
    desk.window(*request.param)
    desk.log_in(OPERATOR, PASSWORD)
    return desk


@pytest.fixture
def night(desk: Desk) -> Iterator[None]:
    """Dark mode."""
    for scheme in ("dark", ""):
        preferred = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        desk.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", preferred)
        if scheme:
            yield


def codes(picture: Path) -> set[str]:
    """What a decoder that is not ours reads on it, each with the kind of its code."""
    command = [found("zbarimg"), "--quiet", "--nodbus", str(picture)]
    run = subprocess.run(command, capture_output=True, check=False)  # noqa: S603  # our own picture
    return set(run.stdout.decode().splitlines())


def expected(piece: Piece) -> set[str]:
    text = piece.barcode or piece.piece_id
    return {f"QR-Code:{text}"} | (set() if text in (UMLAUTS, LONG) else {f"CODE-128:{text}"})


@pytest.fixture
def chosen(works: Works) -> list[Piece]:
    """Pieces with all sorts of barcodes, in the order of their labels."""
    with every_company():
        pieces = list(Piece.objects.filter(component=works.component).order_by("piece_id")[:5])
        for piece, barcode in zip(pieces, [None, UMLAUTS, LONG, "9912-AB c"], strict=False):
            piece.barcode = barcode
            Piece.objects.filter(guid=piece.guid).update(barcode=barcode)
    return pieces


@pytest.mark.parametrize("size", ["roll", "a4"])
def test_labels_can_be_read_from_the_screen_and_from_paper(
    operator: Desk, night: None, chosen: list[Piece], size: str, tmp_path: Path
) -> None:
    operator.scan(chosen[-1].barcode or "")
    operator.follow("Print label")
    assert operator.text(".labels").startswith(chosen[-1].piece_id)
    operator.go(f"/admin/pieces/piece/labels/piece/?{'&'.join(f'guid={piece.guid}' for piece in chosen)}")
    if size == "a4":
        operator.follow("A4, ")
    operator.driver.execute_script("window.print = () => { document.title = 'printed'; }")
    operator.element("#print").click()
    assert operator.driver.title == "printed"
    labels = operator.driver.find_elements(By.CSS_SELECTOR, ".label")
    operator.window(*WIDE, scale=3)
    for label, piece in zip(labels, chosen, strict=True):
        (tmp_path / "label.png").write_bytes(label.screenshot_as_png)
        assert codes(tmp_path / "label.png") == expected(piece)
    for place, piece in enumerate(chosen):
        assert codes(printed(operator, tmp_path, size, place)) == expected(piece)


def printed(desk: Desk, folder: Path, size: str, place: int) -> Path:
    """The label at this place as a printer with 300 dpi gets it."""
    paper, label = folder / "labels.pdf", folder / "printed"
    if not paper.exists():
        pdf = desk.driver.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True, "printBackground": True})
        paper.write_bytes(base64.b64decode(pdf["data"]))
    row, column = divmod(place, 3)
    left, top = round(column * 70 / 25.4 * 300), round((row * 37 + 0.5) / 25.4 * 300)
    page = ["-f", place + 1] if size == "roll" else ["-x", left, "-y", top, "-W", 827, "-H", 437]
    command = [found("pdftoppm"), "-r", 300, "-png", "-singlefile", *page, paper, label]
    subprocess.run(list(map(str, command)), check=True)  # noqa: S603  # our own file
    return label.with_suffix(".png")


@pytest.fixture
def manager(desk: Desk, people: None, tmp_path: Path) -> Desk:
    desk.window(*WIDE)
    desk.driver.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)})
    desk.log_in(MANAGER, PASSWORD)
    return desk


def downloaded(desk: Desk, link: str, pattern: str, folder: Path) -> Path:
    desk.element(".menu:has(a[download]) summary").click()
    desk.driver.find_element(By.LINK_TEXT, link).click()
    WebDriverWait(desk.driver, PATIENCE).until(lambda _: list(folder.glob(pattern)), f"no {pattern} came")
    [file] = folder.glob(pattern)
    return file


def test_a_list_is_taken_along_as_it_is_filtered(manager: Desk, works: Works, tmp_path: Path) -> None:
    manager.go(f"/admin/pieces/piece/?component_guid={works.component.guid}")
    file = downloaded(manager, "CSV, the columns shown", "pieces-*.csv", tmp_path)
    titles, *rows = csv.reader(file.read_text("utf-8-sig").splitlines())
    assert (titles[0], len(rows), rows[0][titles.index("Component")]) == ("Piece id", 24, "W01")
    manager.window(*PHONE)
    manager.go("/admin/pieces/piece/")
    file = downloaded(manager, "Excel, all columns", "pieces-*.xlsx", tmp_path)
    rows = list(load_workbook(file).worksheets[0].iter_rows(values_only=True))
    assert len(rows) == 1 + 144
    assert not [row for row in rows if str(works.foreign.guid) in row]
    for name in ("pieces/project", "pieces/component", "pieces/assembly", "pieces/deletion", "sync/syncrun"):
        manager.go(f"/admin/{name}/")
        assert manager.element(".menu:has(a[download]) summary").is_displayed()
    assert manager.faults() == []


DETECTOR = """
    window.BarcodeDetector = class {
        static async getSupportedFormats() { return ["qr_code", "upc_a"]; }
        constructor({ formats }) { if (formats.join() !== "qr_code") throw new Error(formats.join()); }
        async detect(video) { return video.videoWidth ? [{ rawValue: "PCE-0001" }] : []; }
    };
"""


@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
def test_a_label_before_the_camera_opens_its_piece(
    desk: Desk, people: None, works: Works, tmp_path: Path, size: tuple[int, int]
) -> None:
    desk.log_in(OPERATOR, PASSWORD)
    with seeing(filmed(desk, works, tmp_path)) as driver:
        camera = Desk(driver, desk.url)
        camera.window(*size)
        camera.log_in(OPERATOR, PASSWORD)
        assert driver.execute_script("return typeof ZXing + typeof BarcodeDetector") == "undefined" * 2
        camera.press("#camera")  # there is nothing else to do
        assert camera.driver.current_url.endswith(f"/piece/{works.piece.guid}/change/")
        driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": DETECTOR})
        camera.go("/admin/")
        camera.press("#camera")
        assert "PCE-0001" in camera.text(".page-head")
        assert camera.faults() == []


def test_without_a_camera_the_page_says_so(operator: Desk) -> None:
    operator.element("#camera").click()
    said = operator.element("#camera-dialog [role=alert]")
    WebDriverWait(said, PATIENCE).until(lambda said: said.text, "nothing was said")
    assert said.text == "This device has no camera."
    operator.element("#camera-dialog button").click()
    assert not operator.element("#camera-dialog").is_displayed()
    assert operator.driver.switch_to.active_element == operator.element("#camera")
    assert operator.faults() == []
