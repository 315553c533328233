"""Chromium from Debian's packages, headless; a missing one is a failure, never a skip."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pytest_django.live_server_helper import LiveServer
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from ractory.tests.browser.desk import Desk
from ractory.tests.browser.works import Works, build_works

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--lang=en"),
)


def found(*names: str) -> str:
    """The path of the first of these programs. Fails the test that needs it, if there is none."""
    path = next((path for name in names if (path := shutil.which(name))), None)
    if path is None:
        pytest.fail(f"There is no {names[0]} on the PATH: see .ci/run for what to install")
    return path


@contextmanager
def started(profile: Path, *flags: str) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = found("chromium", "chromium-browser")
    for flag in (*FLAGS, f"--user-data-dir={profile}", *flags):
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=Service(found("chromedriver")))
    try:
        yield driver
    finally:
        driver.quit()


@pytest.fixture(scope="session")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    with started(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


@pytest.fixture
def works(transactional_db: None) -> Works:
    return build_works()


@pytest.fixture
def desk(driver: webdriver.Chrome, live_server: LiveServer, works: Works) -> Iterator[Desk]:
    """The CompanyAdmin's place, not logged in yet. No walk may want what the Content-Security-Policy forbids."""
    driver.delete_all_cookies()
    desk = Desk(driver, live_server.url)
    yield desk
    assert desk.violations() == []
