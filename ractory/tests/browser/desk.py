"""What a person at the desk does: log in, scan, click, read."""

import json
import time
from collections.abc import Callable
from urllib.request import urlopen

import websocket
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.chrome.webdriver import WebDriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

PATIENCE = 15  # seconds
WIDE, PHONE = (1280, 800), (390, 844)


class Desk:
    def __init__(self, driver: WebDriver, url: str) -> None:
        self.driver, self.url = driver, url
        self._violations: list[str] = []

    def window(self, width: int, height: int, scale: int = 1) -> None:
        """This many CSS pixels inside; a window itself can't be as narrow as a phone."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": width < 500}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def go(self, path: str) -> None:
        self.driver.get(self.url + path)

    def log_in(self, email: str, password: str) -> None:
        self.go("/admin/")
        self.fill("username", email)
        self.fill("password", password)
        self.press("#login-form button[type=submit]")

    def element(self, css: str) -> WebElement:
        """The first that matches, waited for."""
        return WebDriverWait(self.driver, PATIENCE).until(
            lambda driver: driver.find_element(By.CSS_SELECTOR, css), f"{css} is not on {self.driver.current_url}"
        )

    def fill(self, name: str, text: str) -> None:
        field = self.element(f"[name={name}]")
        field.clear()
        field.send_keys(text)

    def scan(self, text: str) -> None:
        """As a scanner does, a moment after the page came: types wherever the focus is, and ends with Enter."""
        time.sleep(0.2)
        self.leave_by(lambda: self.driver.switch_to.active_element.send_keys(text, Keys.ENTER))

    def type_keys(self, text: str, *, gap: float, end: str = "", hiccup: float = 0) -> None:
        """Real key events, so many milliseconds from one to the next, in the middle more by the hiccup; then the end.

        They are stamped as planned, however busy the machine is, and go past WebDriver, which would wait for the next
        page where a scanner does not."""
        address = self.driver.capabilities["goog:chromeOptions"]["debuggerAddress"]
        with urlopen(f"http://{address}/json/list") as answer:
            url = next(target["webSocketDebuggerUrl"] for target in json.load(answer) if target["type"] == "page")
        browser = websocket.create_connection(url, suppress_origin=True)
        at = time.time()
        for number, name in enumerate([*text, *([end] if end else [])]):
            at += (gap + (hiccup if number == len(text) // 2 else 0)) / 1000
            time.sleep(max(0, at - time.time()))
            key = {"key": name, "timestamp": at, "windowsVirtualKeyCode": {"Enter": 13, "Tab": 9}.get(name, 0)}
            down = key | ({} if name == "Tab" else {"text": "\r" if name == "Enter" else name})
            for event in ({"type": "keyDown", **down}, {"type": "keyUp", **key}):
                browser.send(json.dumps({"id": number, "method": "Input.dispatchKeyEvent", "params": event}))
        browser.send(json.dumps({"id": -1, "method": "Browser.getVersion"}))
        while json.loads(browser.recv()).get("id") != -1:  # all have arrived
            pass
        browser.close()

    def press(self, css: str) -> None:
        """Clicks what leads to another page, and waits for that."""
        self.leave_by(lambda: self.element(css).click())

    def follow(self, text: str) -> None:
        self.leave_by(lambda: self.driver.find_element(By.PARTIAL_LINK_TEXT, text).click())

    def choose(self, name: str, text: str) -> None:
        """Picks from a list that is sent as soon as it changes."""
        option = f"//select[@name='{name}']/option[.='{text}']"
        self.leave_by(lambda: self.driver.find_element(By.XPATH, option).click())

    def leave_by(self, act: Callable[[], object]) -> None:
        """Does what leads to another page, and waits for that."""
        before = self.driver.find_element(By.TAG_NAME, "html")
        act()
        WebDriverWait(self.driver, PATIENCE).until(lambda driver: _is_gone(before), "no other page came")
        WebDriverWait(self.driver, PATIENCE).until(
            lambda driver: driver.execute_script("return document.readyState") == "complete"
        )

    def text(self, css: str = "body") -> str:
        return self.element(css).text

    def messages(self) -> list[str]:
        """All that stands in the console since this was last asked: warnings, too."""
        log = self.driver.get_log("browser")  # type: ignore[no-untyped-call]  # partly typed
        self._violations += [entry["message"] for entry in log if "Content Security Policy" in entry["message"]]
        return [f"{entry['level']}: {entry['message']}" for entry in log]

    def faults(self) -> list[str]:
        """What the pages' scripts complained about since this was last asked."""
        return [message for message in self.messages() if message.startswith("SEVERE")]

    def violations(self) -> list[str]:
        """What a page's Content-Security-Policy has forbidden since this was last asked."""
        self.faults()
        violations, self._violations = self._violations, []
        return violations


def _is_gone(element: WebElement) -> bool:
    try:
        element.is_enabled()
    except WebDriverException:
        return True
    return False
