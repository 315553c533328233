"""A browser before whose camera a piece's label is held."""

import base64
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from selenium import webdriver

from ractory.tests.browser.conftest import started
from ractory.tests.browser.desk import WIDE, Desk
from ractory.tests.browser.works import Works


def filmed(desk: Desk, works: Works, folder: Path) -> Path:
    """What the camera sees of the piece's label, which whoever is logged in opens: one picture in the size of a video,
    over and over."""
    desk.window(*WIDE)
    desk.go(f"/admin/pieces/piece/labels/piece/?guid={works.piece.guid}")
    around = desk.element(".label").rect
    clip = {"x": around["x"] - 40, "y": around["y"] - 45, "width": 320, "height": 240, "scale": 2}
    shot = desk.driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "jpeg", "quality": 90, "clip": clip})
    path = folder / "label.mjpeg"
    path.write_bytes(base64.b64decode(shot["data"]) * 3)
    return path


@contextmanager
def seeing(film: Path) -> Iterator[webdriver.Chrome]:
    flags = ("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream")
    with (
        tempfile.TemporaryDirectory() as profile,
        started(Path(profile), *flags, f"--use-file-for-fake-video-capture={film}") as driver,
    ):
        yield driver
