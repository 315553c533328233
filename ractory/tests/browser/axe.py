"""Looks at the page that is open by axe-core and by a few questions of our own, in both sizes, light and dark."""

from pathlib import Path
from typing import Any

import pytest

from ractory.tests.browser.desk import PHONE, WIDE, Desk

HERE = Path(__file__).parent
SOURCE = HERE / "node_modules" / "axe-core" / "axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
COLOURS = ["color-contrast", "link-in-text-block"]  # what another theme changes


class Axe:
    """Goes with every page from now on; what it finds is kept in `faults`, each with the first page that has it."""

    def __init__(self, desk: Desk) -> None:
        if not SOURCE.exists():
            pytest.fail("There is no axe-core: run this by `make test-browser`, or `npm ci` in ractory/tests/browser")
        self.desk, self.faults = desk, dict[str, str]()
        source = {"source": SOURCE.read_text() + (HERE / "look.js").read_text()}
        self.script = desk.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", source)

    def remove(self) -> None:
        self.desk.driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", self.script)

    def look(self, where: str) -> None:
        """At the page that is open, as it is now; `where` names it in what is found."""
        self.desk.driver.execute_script("look.shorten()")
        for size in (WIDE, PHONE):
            self.desk.window(*size)
            self._note(where, size, self.desk.driver.execute_script("return look.measure()"))
            for dark in (False, True):
                only = {"type": "rule", "values": COLOURS} if dark else {"type": "tag", "values": RULES}
                found = self.desk.driver.execute_script("return look.axe(...arguments)", dark, only)
                self._note(f"{where}, {'dark' if dark else 'light'}", size, found)
        self.desk.driver.execute_script("document.documentElement.classList.remove('dark')")
        self.desk.window(*WIDE)
        refused = f"{self.desk.driver.current_url} - Failed to load resource"  # the browser's word for the page itself
        self._note(where, WIDE, [message for message in self.desk.messages() if refused not in message])

    def _note(self, where: str, size: tuple[int, int], found: list[Any]) -> None:
        for fault in found:
            self.faults.setdefault(fault, f"{where}, {size[0]} px")
