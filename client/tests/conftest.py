"""Servers for the client: one that is scripted, and the real one on the tests' database."""

from collections.abc import Iterator

import pytest

from bench.faults.server import Server
from client.tests.live import live_server
from client.tests.stub import Stub, serving


@pytest.fixture
def stub() -> Iterator[Stub]:
    with serving(Stub()) as made:
        yield made


@pytest.fixture(scope="module")
def server(django_db_setup: None) -> Iterator[Server]:
    with live_server(workers=2) as made:
        yield made
