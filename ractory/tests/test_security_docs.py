"""docs/security.md is true of the tests: each that it names is there, and each entry of the OWASP list names some."""

import re

import pytest
from django.conf import settings

PAGE = (settings.BASE_DIR / "docs" / "security.md").read_text()
NAMED = sorted(set(re.findall(r"`([\w/.]+\.py)::(\w+)`", PAGE)))
ENTRIES = [f"API{number}" for number in range(1, 11)]


def test_tests_are_named() -> None:
    assert len(NAMED) > 50
    assert PAGE.count("::") == len(re.findall(r"`[\w/.]+\.py::\w+`", PAGE)) + PAGE.count("`path::test`")


@pytest.mark.parametrize(("path", "name"), NAMED)
def test_a_named_test_exists(path: str, name: str) -> None:
    assert re.search(rf"^def {name}\(", (settings.BASE_DIR / path).read_text(), re.MULTILINE)


@pytest.mark.parametrize("entry", ENTRIES)
def test_every_owasp_entry_names_a_test(entry: str) -> None:
    (text,) = re.findall(rf"^### {entry}: .*\n((?:(?!#).*\n)+)", PAGE, re.MULTILINE)
    assert "::test_" in text
