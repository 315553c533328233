"""What is installed: the pins in pyproject.toml, locked with hashes in requirements.txt and requirements-dev.txt.

`make lock` resolves anew and needs the network; these tests only see whether somebody has forgotten it.
"""

import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from bench.faults.server import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SERVER = PROJECT["project"]["dependencies"]
DEV = PROJECT["dependency-groups"]["dev"]
OWN = re.compile(r"# +(?:via )? *ractory \(pyproject\.toml(?::dev)?\)$", re.MULTILINE)  # uv's note of a direct pin


def entries(file: str) -> dict[str, tuple[Requirement, str]]:
    """Of each locked package its requirement, with the lines of its hashes and of what needs it."""
    blocks = re.split(r"^(?=[a-z0-9])", (ROOT / file).read_text(), flags=re.MULTILINE)[1:]
    found = {}
    for block in blocks:
        requirement = Requirement(block.partition("\\\n")[0])
        found[requirement.name] = (requirement, block)
    assert found
    return found


@pytest.mark.parametrize(("file", "pins"), [("requirements.txt", SERVER), ("requirements-dev.txt", SERVER + DEV)])
def test_what_is_locked_is_what_is_pinned(file: str, pins: list[str]) -> None:
    wanted = {canonicalize_name(pin.name): str(pin.specifier) for pin in map(Requirement, pins)}
    locked = {name: str(entry.specifier) for name, (entry, block) in entries(file).items() if OWN.search(block)}
    assert locked == wanted, "pyproject.toml has changed since: make lock"


@pytest.mark.parametrize("file", ["requirements.txt", "requirements-dev.txt"])
def test_each_locked_package_has_one_version_and_hashes(file: str) -> None:
    for requirement, block in entries(file).values():
        assert re.fullmatch(r"==[\w.!+]+", str(requirement.specifier)), block
        assert re.search(r"^ +--hash=sha256:[0-9a-f]{64}", block, re.MULTILINE), block


def test_tests_run_on_what_the_server_runs_on() -> None:
    server, dev = entries("requirements.txt"), entries("requirements-dev.txt")
    hashes = re.compile(r"sha256:\w+")
    for name, (requirement, block) in server.items():
        assert dev[name][0] == requirement
        assert hashes.findall(dev[name][1]) == hashes.findall(block), name


@pytest.mark.parametrize("file", ["requirements.txt", "requirements-dev.txt"])
def test_no_file_names_an_index(file: str) -> None:
    assert "://" not in (ROOT / file).read_text()
